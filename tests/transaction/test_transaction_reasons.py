"""A transaction that ends badly says why: in each poll's event, in the log, and in the final error."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from idura_ciba import CibaError, TransportError
from idura_ciba.observe import PollEvent, TransactionEvent, log_events
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.simulator.catalogue import CATALOGUE, on
from idura_ciba.testing import virtual_clock
from tests.logins import SWEDE, MakeClient, polls, swedish

JSON = {"Content-Type": "application/json"}
#: What goes wrong with every poll: the code that the login ends with, the reason, and the statuses that are seen.
TROUBLES: dict[str, tuple[Fault, str, str, set[int | None]]] = {
    "503 of a gateway": (Fault.answer(503, {"Retry-After": "2"}, b"<html>"), "unheard", "HTTP 503, not JSON", {503}),
    "503 with a code": (
        Fault.answer(503, JSON, b'{"error": "temporarily_unavailable"}'),
        "unheard",
        "HTTP 503, temporarily_unavailable",
        {503},
    ),
    "500 with server_error": (
        Fault.answer(500, JSON, b'{"error": "server_error", "error_description": "209801011231"}'),
        "indeterminate",
        "HTTP 500, server_error",
        {500},
    ),
    "429 with a page": (Fault.answer(429, {}, b"Slow down, Terne"), "unheard", "HTTP 429, not JSON", {429}),
    "an answer lost": (Fault.lose_answer(), "indeterminate", "the connection broke", {None}),
    "no connection": (Fault.refuse_connection(), "unheard", "the connection was refused", {None}),
    "held too long": (Fault.delay(50), "indeterminate", "no complete answer arrived in time", {None}),
    "403 of an edge": (Fault.answer(403, {}, b"<html>"), "turned_away", "HTTP 403, not JSON", {403}),
    "compressed": (
        CATALOGUE["token"]["compressed with what nobody knows"],
        "compressed",
        "in a way unknown here",
        {400, 200},
    ),
    "damaged": (
        CATALOGUE["token"]["compressed and broken off"],
        "indeterminate",
        "compressed, which was not asked for, and damaged",
        {400, 200},
    ),
    "too long": (CATALOGUE["token"]["oversized"], "oversized", "longer than 1048576 bytes", {400, 200}),
}


@pytest.mark.parametrize(("fault", "code", "reason", "statuses"), TROUBLES.values(), ids=TROUBLES)
async def test_a_login_that_was_not_heard_of_says_why(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    code: str,
    reason: str,
    statuses: set[int | None],
) -> None:
    """The last reason, also after many polls; nothing of a body, and nobody's name or number."""
    simulated_idura.script(SWEDE, Script.approve(after=4))
    simulated_idura.faults.append(polls(fault))
    heard: list[PollEvent | TransactionEvent] = []
    with caplog.at_level(logging.DEBUG, logger="idura_ciba"):
        async with make_ciba_client(observers=(heard.append, log_events)) as ciba:
            outcome = await (await ciba.start(swedish())).outcome()
    error = outcome.error
    assert error is not None
    assert error.code == code
    assert reason in error.what
    told = [event for event in heard if isinstance(event, PollEvent)]
    assert len(told) == outcome.polls
    assert all(event.reason is not None and reason in event.reason for event in told)
    assert {event.status for event in told} <= statuses
    (end,) = [event for event in heard if isinstance(event, TransactionEvent) and event.state.is_final]
    assert (end.code, end.reason) == (code, error.what)
    assert sum(reason in record.getMessage() for record in caplog.records) >= outcome.polls + 1
    seen = "\n".join(
        [str(error), repr(vars(error)), *map(repr, heard), *(each.getMessage() for each in caplog.records)]
    )
    assert not re.search(rf"{SWEDE}|Terne|<html>", seen)


@pytest.mark.parametrize("timeout", [None, 30.0])
async def test_how_many_polls_were_in_vain(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, timeout: float | None
) -> None:
    """And for how long the provider said nothing; by a caller's timeout too."""
    simulated_idura.script(SWEDE, Script.never())
    simulated_idura.faults.append(polls(Fault.answer(503), *range(3, 100)))
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish(), timeout=timeout)).outcome()
    assert outcome.error is not None
    assert f"({outcome.polls - 2} polls in a row, the last: HTTP 503, not JSON)" in outcome.error.what
    if timeout is None:
        assert outcome.error.code == "unheard"
        # The second poll left after 6 s.
        assert "for the last 114 s of it" in outcome.error.what
    else:
        assert outcome.error.code == "caller_timeout_unheard"


async def test_what_was_lost_is_told_with_what_came_after_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """An approval is lost on the way, and the provider has forgotten it by the next poll."""
    simulated_idura.script(SWEDE, Script.approve(after=4))
    simulated_idura.faults.append(polls(Fault.answer(502, {}, b"<html>"), 1))
    simulated_idura.faults.append(polls(Fault.answer(400, JSON, b'{"error": "invalid_grant"}'), 2))
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.error is not None
    assert "(HTTP 502, not JSON; then HTTP 400, invalid_grant)" in outcome.error.what


async def test_a_doubt_says_why_when_it_begins(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Whoever watches states needs no polls to know."""
    simulated_idura.script(SWEDE, Script.deny(after=20))
    simulated_idura.faults.append(polls(Fault.answer(504), 2))
    heard: list[tuple[str, str | None]] = []

    def hear(event: PollEvent | TransactionEvent) -> None:
        if isinstance(event, TransactionEvent):
            heard.append((event.state.value, event.reason))

    async with make_ciba_client(observers=[hear]) as ciba:
        await (await ciba.start(swedish())).outcome()
    assert heard == [
        ("pending", None),
        ("in_doubt", "HTTP 504, not JSON"),
        ("pending", None),
        ("denied", "the person declined, cancelled, or picked the wrong words"),
    ]


# --- what cannot become better ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oversized", "a compressed bomb", "compressed with what nobody knows"])
async def test_tokens_that_are_not_taken_end_the_login_at_once(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, name: str
) -> None:
    """They come once only: no poll follows, and the error names the option, or whose setting it is."""
    simulated_idura.script(SWEDE, Script.approve(after=10))
    simulated_idura.faults.append(lambda a: CATALOGUE["token"][name] if a.endpoint == "token" and a.nth == 4 else None)
    async with make_ciba_client() as ciba:
        with pytest.raises(TransportError) as caught:
            await ciba.authenticate(swedish())
        assert asyncio.get_running_loop().time() == 12
        await asyncio.sleep(300)
    assert simulated_idura.ledger.summary()["polls"] == 4
    assert caught.value.code == ("compressed" if "nobody" in name else "oversized")
    assert ("max_token_size" in caught.value.advice) is (caught.value.code == "oversized")
    assert caught.value.status == 200
    assert caught.value.resume_token is None


async def test_a_page_that_is_too_long_is_no_token(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A gateway's novel under 502 is as good as none, and the login goes on."""
    simulated_idura.script(SWEDE, Script.approve(after=10))
    simulated_idura.faults.append(polls(Fault.answer(502, {}, b"<p>" * 1_000_000), 1, 2))
    async with make_ciba_client() as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed


# --- before anybody is asked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "name", "code", "what"),
    [
        ("discovery", "held for ever", "timeout", "discovery document could not be fetched: no complete answer"),
        ("discovery", "oversized", "oversized", "discovery document could not be fetched: the answer is longer than"),
        ("jwks", "connection refused", "connection", "key set could not be fetched: the connection was refused"),
        ("bc-authorize", "connection refused", "never_connected", "could not be reached (the connection was refused"),
        ("bc-authorize", "502", "start_unknown", "no usable answer came back (HTTP 502, not JSON)"),
        ("bc-authorize", "oversized", "start_unknown", "(HTTP 200, the answer is longer than 65536 bytes)"),
        ("bc-authorize", "429 with JSON of its own", "busy", "refused the request (HTTP 429, too_many_requests)"),
        ("bc-authorize", "200 with HTML", "bad_answer", "breaks the specification (HTTP 200, not JSON)"),
    ],
)
async def test_an_error_says_at_which_stage_it_was_met(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, endpoint: str, name: str, code: str, what: str
) -> None:
    """Which document, or the request itself, and why."""
    simulated_idura.script(SWEDE, Script.approve(after=1))
    simulated_idura.faults.append(on(endpoint, CATALOGUE[endpoint][name]))  # type: ignore[arg-type, index]
    async with make_ciba_client() as ciba:
        with pytest.raises(CibaError) as caught:
            await ciba.authenticate(swedish())
    assert caught.value.code == code
    assert what in caught.value.what


async def test_the_reason_of_a_transport_of_ones_own_is_told(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whoever knows why a handshake failed says it in `what`, and it reaches whoever reads the end."""

    class Distrustful:
        def __init__(self) -> None:
            self._inner = MemoryTransport(simulated_idura, clock=virtual_clock())

        async def send(self, request: object) -> object:
            if request.url.endswith("/oauth2/token"):  # type: ignore[attr-defined]
                error = TransportError("TLS to simulator.idura.broker failed: certificate has expired", code="tls")
                error.maybe_sent = False
                raise error
            return await self._inner.send(request)  # type: ignore[arg-type]

        async def aclose(self) -> None:
            """Nothing to release."""

    async with make_ciba_client(transport=Distrustful()) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.error is not None
    assert outcome.error.code == "unheard"
    assert "the last: TLS to simulator.idura.broker failed: certificate has expired)" in outcome.error.what


async def test_a_callers_timeout_says_what_passed_before_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The code tells silence, doubt and a person who takes their time apart; all can be resumed."""
    codes: list[str] = []

    def away(arrival: Arrival) -> Fault | None:
        return faults[len(codes)] if arrival.endpoint == "token" else None

    faults = [Fault.refuse_connection(), Fault.lose_answer(), None]
    simulated_idura.faults.append(away)
    for person in (SWEDE, "209602294564", "209712310011"):
        simulated_idura.script(person, Script.never())
        async with make_ciba_client() as ciba:
            outcome = await (await ciba.start(swedish(person), timeout=20)).outcome()
        assert outcome.error is not None
        assert outcome.error.resume_token is not None
        codes.append(outcome.error.code)
    assert codes == ["caller_timeout_unheard", "caller_timeout_in_doubt", "caller_timeout"]
