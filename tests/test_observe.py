"""Tests of what is told about what happens inside."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from attrs.exceptions import FrozenInstanceError

from idura_ciba.aio.clock import Clock
from idura_ciba.errors import TransportError
from idura_ciba.observe import (
    AnyEvent as Event,
)
from idura_ciba.observe import (
    FleetEvent,
    Observers,
    PollEvent,
    RequestEvent,
    TransactionEvent,
    VerificationEvent,
    log_events,
)
from idura_ciba.protocol.answers import ErrorAnswer, SlowedDown, StillPending, TokenAnswer, Unusable, UnusableAnswer
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.protocol.machine import Event as Happening
from idura_ciba.protocol.machine import State

APPROVED = TransactionEvent("00ff", State.APPROVED, None, 3, 12.34, "trace-1")
FAILED = TransactionEvent("00ff", State.FAILED, "id_token_rejected", 3, 12.34, None)
DOUBTED = TransactionEvent("00ff", State.IN_DOUBT, None, 3, 12.34, None, "HTTP 502, not JSON")
POLLED = PollEvent("00ff", "still pending", 0.1234, "trace-2")
ASKED = "backchannel_authentication_endpoint"
REFUSED = RequestEvent.of(
    "00ff",
    Happening.TURNED_AWAY,
    ErrorAnswer("access_denied", None, 400),
    elapsed=0.2,
    trace_id="trace-4",
    reference="call 7",
)
KEYS = RequestEvent.of_document("jwks_uri", HttpResponse(200, {}, b"{}", 0, 0), 0.03)
VERIFIED = VerificationEvent("00ff", None, 0.002)
UNVERIFIED = VerificationEvent("00ff", "id_token_person", 0.002)
LOST = PollEvent("00ff", "answer lost", 0.5, None, 502, "HTTP 502, not JSON")


def test_everybody_is_told_in_order() -> None:
    """Each observer gets each event, in the order in which they were given."""
    heard: list[tuple[str, Event]] = []
    observers = Observers(lambda event, name=name: heard.append((name, event)) for name in "ab")
    observers.tell(POLLED)
    observers.tell(APPROVED)
    assert heard == [("a", POLLED), ("b", POLLED), ("a", APPROVED), ("b", APPROVED)]


def test_without_observers_nobody_listens() -> None:
    """Then no event need be made; telling one is harmless."""
    assert not Observers([])
    assert Observers(iter([print]))
    Observers([]).tell(POLLED)


def test_an_observer_cannot_change_an_event() -> None:
    """The next one sees what happened."""
    with pytest.raises(FrozenInstanceError):
        POLLED.result = "approved"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (StillPending(None), None, None),
        (SlowedDown(None), None, None),
        (ErrorAnswer("access_denied", None, 400), 400, "HTTP 400, access_denied"),
        (ErrorAnswer("Person 209801011231", None, 403), 403, "HTTP 403, an error without a code"),
        (UnusableAnswer(Unusable.BUSY, 503, "HTTP 503, overloaded"), 503, "HTTP 503, overloaded"),
        (
            UnusableAnswer(Unusable.LOST, 0, "no complete answer arrived in time"),
            None,
            "no complete answer arrived in time",
        ),
    ],
)
def test_a_poll_that_brought_nothing_says_why(answer: TokenAnswer, status: int | None, reason: str | None) -> None:
    """With the HTTP status where there was one; an answer that was had needs no reason."""
    event = PollEvent.of("00ff", Happening.PUT_OFF, answer, elapsed=0.5, trace_id="trace-3")
    assert event == PollEvent("00ff", "put off", 0.5, "trace-3", status, reason)


def test_a_broken_observer_is_survived_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Others still hear everything, and the log says what kind of failure it was and nothing more."""
    heard: list[Event] = []

    def broken(event: Event) -> None:
        msg = f"secret in {event.transaction}"
        raise KeyError(msg)

    observers = Observers([broken, heard.append, broken])
    for event in (POLLED, APPROVED, FAILED):
        observers.tell(event)
    assert heard == [POLLED, APPROVED, FAILED]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("idura_ciba", logging.WARNING)
    assert record.getMessage() == "an observer failed with KeyError; further failures are not logged"
    assert record.exc_info is None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_observer_may_end_the_program(stop: type[BaseException]) -> None:
    """What is no failure goes through."""

    def interrupt(_: Event) -> None:
        raise stop

    with pytest.raises(stop):
        Observers([interrupt]).tell(POLLED)


@pytest.mark.parametrize(
    ("event", "level", "message"),
    [
        (APPROVED, logging.INFO, "transaction 00ff is approved after 12.3 s and 3 polls (code None, trace trace-1)"),
        (
            FAILED,
            logging.INFO,
            "transaction 00ff is failed after 12.3 s and 3 polls (code id_token_rejected, trace None)",
        ),
        (
            DOUBTED,
            logging.INFO,
            "transaction 00ff is in_doubt after 12.3 s and 3 polls (code None, trace None): HTTP 502, not JSON",
        ),
        (POLLED, logging.DEBUG, "transaction 00ff: poll still pending in 0.123 s (trace trace-2)"),
        (LOST, logging.DEBUG, "transaction 00ff: poll answer lost in 0.500 s (trace None): HTTP 502, not JSON"),
        (
            REFUSED,
            logging.DEBUG,
            f"transaction 00ff (call 7): {ASKED} turned away in 0.200 s (trace trace-4): HTTP 400, access_denied",
        ),
        (KEYS, logging.DEBUG, "jwks_uri answered in 0.030 s (trace None)"),
        (VERIFIED, logging.DEBUG, "transaction 00ff: tokens verified in 0.002 s"),
        (UNVERIFIED, logging.DEBUG, "transaction 00ff: tokens not verified (id_token_person) in 0.002 s"),
        (FleetEvent("joined", "0f1e"), logging.INFO, "worker 0f1e of the fleet: joined"),
        (
            FleetEvent("declared_dead", "0f1e", 3),
            logging.WARNING,
            "worker 0f1e of the fleet: declared dead, with 3 logins",
        ),
        (
            FleetEvent("taken_over", "0f1e", 1, "case 1", "00ff", "call 7"),
            logging.INFO,
            "login case 1 (call 7) of the fleet: taken over by worker 0f1e (code None)",
        ),
    ],
    ids=[
        *("approved", "failed", "in doubt", "poll", "poll that failed", "request", "document", "proof", "no proof"),
        *("joined", "declared dead", "taken over"),
    ],
)
def test_events_can_be_logged(event: Event, level: int, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """States at INFO, polls at DEBUG."""
    observer: Callable[[Event], None] = log_events
    with caplog.at_level(logging.DEBUG, logger="idura_ciba"):
        Observers([observer]).tell(event)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("idura_ciba", level, message)


def failed(*, maybe_sent: bool, status: int = 0) -> TransportError:
    """A request that brought no answer."""
    error = TransportError("the answer is longer than 9 bytes")
    error.maybe_sent, error.status = maybe_sent, status
    return error


@pytest.mark.parametrize(
    ("came", "result", "status", "reason"),
    [
        (HttpResponse(200, {}, b"", 0, 0), "answered", 200, None),
        (HttpResponse(302, {}, b"", 0, 0), "refused", 302, None),
        (HttpResponse(503, {}, b"", 0, 0), "refused", 503, None),
        (failed(maybe_sent=False), "not connected", None, "the answer is longer than 9 bytes"),
        (failed(maybe_sent=True, status=200), "answer lost", 200, "the answer is longer than 9 bytes"),
    ],
)
def test_what_came_of_asking_for_a_document(
    came: HttpResponse | TransportError, result: str, status: int | None, reason: str | None
) -> None:
    """It is nobody's request; whoever was the first to need it is named."""
    heard: list[Event] = []
    Observers([heard.append], Clock(wall=lambda: 1000.0)).document("jwks_uri", "00ff", came, 0.5)
    assert heard == [RequestEvent(None, "jwks_uri", result, 0.5, status=status, reason=reason, at=1000.0, cause="00ff")]


class Tracing:
    """An observer that knows for whom it works."""

    def __init__(self, context: str | None = None) -> None:
        self.context = context
        self.clients: list[object] = []

    def __call__(self, event: Event) -> None:
        """Hear nothing."""

    def attach(self, client: object) -> None:
        """Remember it."""
        self.clients.append(client)

    def trace_context(self, transaction: str) -> str | None:
        """As told."""
        assert transaction == "00ff"
        return self.context


def test_observers_that_want_to_know_the_client_are_told_it() -> None:
    """Others are not asked; of several trace contexts the first counts, and one that breaks is survived."""

    class Broken(Tracing):
        def trace_context(self, _: str) -> str | None:
            raise RuntimeError

    first, second, broken = Tracing("00-1"), Tracing("00-2"), Broken()
    observers = Observers([print, Tracing(), broken, first, second])
    observers.attach(client := type("Client", (), {"snapshot": dict})())
    assert first.clients == second.clients == [client]
    assert observers.trace_context("00ff") == "00-1"
    assert Observers([print]).trace_context("00ff") is None
