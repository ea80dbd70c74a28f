"""Tests of what is told about what happens inside."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from attrs.exceptions import FrozenInstanceError

from idura_ciba.observe import Observers, PollEvent, TransactionEvent, log_events
from idura_ciba.protocol.answers import ErrorAnswer, SlowedDown, StillPending, TokenAnswer, Unusable, UnusableAnswer
from idura_ciba.protocol.machine import Event as Happening
from idura_ciba.protocol.machine import State

Event = TransactionEvent | PollEvent

APPROVED = TransactionEvent("00ff", State.APPROVED, None, 3, 12.34, "trace-1")
FAILED = TransactionEvent("00ff", State.FAILED, "id_token_rejected", 3, 12.34, None)
DOUBTED = TransactionEvent("00ff", State.IN_DOUBT, None, 3, 12.34, None, "HTTP 502, not JSON")
POLLED = PollEvent("00ff", "still pending", 0.1234, "trace-2")
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
    event = PollEvent.of("00ff", Happening.PUT_OFF, answer, 0.5, "trace-3")
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
    ],
    ids=["approved", "failed", "in doubt", "poll", "poll that failed"],
)
def test_events_can_be_logged(event: Event, level: int, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """States at INFO, polls at DEBUG."""
    observer: Callable[[Event], None] = log_events
    with caplog.at_level(logging.DEBUG, logger="idura_ciba"):
        Observers([observer]).tell(event)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("idura_ciba", level, message)
