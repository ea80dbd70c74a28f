"""Tests of the caller's own reference: it comes back wherever something is said of the login, and names nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from idura_ciba import AlreadyPending, CibaClient, Denied, EidRequest, FrejaID, ProviderError, State, UsageError
from idura_ciba.eids.norwegian_bankid import NorwegianBankID
from idura_ciba.errors import ResumeError
from idura_ciba.observe import AnyEvent, PollEvent, RequestEvent, TransactionEvent, log_events
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from tests.fakes import swede
from tests.logins import NORWEGIAN, OTHER_SWEDE, SWEDE, MakeClient, on, swedish

CALL = "call-4711 Ærø"


async def test_it_comes_back_in_whatever_is_said_of_the_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The transaction, its updates, events, log records, outcome and error."""
    caplog.set_level(logging.DEBUG, "idura_ciba")
    simulated_idura.script(SWEDE, Script.deny(after=7))
    events: list[AnyEvent] = []
    async with make_ciba_client(observers=[events.append, log_events]) as ciba:
        login = await ciba.start(swedish(), reference=CALL)
        assert login.reference == CALL
        assert {update.reference async for update in login.updates()} == {CALL}
        outcome = await login.outcome()
        with pytest.raises(Denied) as caught:
            await login
        with pytest.raises(Denied) as denied:
            await ciba.authenticate(swedish(), reference="another")
    assert outcome.reference == caught.value.reference == CALL
    assert denied.value.reference == "another"
    told = [event for event in events if event.transaction == login.id]
    assert {type(event) for event in told} == {RequestEvent, TransactionEvent, PollEvent}
    assert {event.reference for event in told} == {CALL}
    records = [record for record in caplog.records if login.id in record.getMessage()]
    assert len(records) == len(told)
    for record, event in zip(records, told, strict=True):
        assert CALL in record.getMessage()
        assert record.__dict__["ciba_reference"] == CALL
        assert record.__dict__["ciba_transaction"] == event.transaction
        assert record.__dict__["ciba_reason"] == event.reason


async def test_it_survives_closing_and_resuming(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Closing says which logins were pending, by whose call; it is sealed, so that nobody can move it to another."""
    simulated_idura.script(SWEDE, Script.approve(after=20))
    former = make_ciba_client()
    started = [await former.start(swedish(), reference=CALL), await former.start(NorwegianBankID(NORWEGIAN))]
    left = await former.close()
    assert [(each.reference, each.id, each.state) for each in left] == [
        (CALL, started[0].id, State.PENDING),
        (None, started[1].id, State.PENDING),
    ]
    async with make_ciba_client() as ciba:
        with pytest.raises(ResumeError):
            await ciba.resume(left[0].token.replace("4711", "4712"))
        login = await ciba.resume(left[0].token)
        assert login.reference == CALL
        assert (await login.outcome()).reference == CALL
        assert (await ciba.resume(left[1].token)).reference is None
        await ciba.close()


async def test_a_start_that_fails_is_an_event_like_any_other(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """With the state it would have ended in, its code and its reference: telemetry must see who was never asked."""
    events: list[TransactionEvent] = []

    def observe(event: AnyEvent) -> None:
        if isinstance(event, TransactionEvent) and event.state.is_final:
            events.append(event)

    refusal = Fault.answer(400, {"content-type": "application/json"}, json.dumps({"error": "access_denied"}).encode())
    simulated_idura.faults += [on("bc-authorize", refusal, nth=2), on("bc-authorize", Fault.lose_answer(), nth=3)]
    async with make_ciba_client(observers=[observe]) as ciba:
        await ciba.start(swedish(), reference="first")
        with pytest.raises(AlreadyPending) as pending:
            await ciba.start(swedish(), reference="second")
        with pytest.raises(ProviderError) as refused:
            await ciba.start(NorwegianBankID(NORWEGIAN), reference="third")
        with pytest.raises(Exception, match="may have reached"):
            await ciba.start(NorwegianBankID(NORWEGIAN), reference="fourth")
        assert pending.value.reference == "second"
        assert refused.value.reference == "third"
        assert [(event.reference, event.state, event.code, event.polls) for event in events] == [
            ("second", State.FAILED, "already_pending", 0),
            ("third", State.REJECTED, "provider_error", 0),
            ("fourth", State.INDETERMINATE, "start_unknown", 0),
        ]
        assert len({event.transaction for event in events}) == 3
        await ciba.close()


@pytest.mark.parametrize(
    "reference",
    ["", "x" * 201, "two\nlines", "tab\there", "\u202eright to left", "null\0", "\ud800", 7, b"call", True, ["call"]],
    ids=repr,
)
async def test_what_cannot_stand_in_a_log_line_is_refused(make_ciba_client: MakeClient, reference: Any) -> None:
    """Before anything is sent."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError) as caught:
            await ciba.start(swedish(), reference=reference)
    assert caught.value.code == "reference"
    assert "not rung" in caught.value.phone


@pytest.mark.parametrize(
    ("request_", "reference"),
    [
        (swedish(SWEDE), SWEDE),
        (swedish(SWEDE), f"call of {SWEDE[:8]}-{SWEDE[8:]}"),
        (swedish(SWEDE), f"{SWEDE[2:8]} - {SWEDE[8:]}"),
        (NorwegianBankID(NORWEGIAN), f"no/{NORWEGIAN}"),
        (FrejaID(phone="+46701740605"), "from +46 70 174 06 05"),
        (FrejaID(email="Nobody.Real@example.com"), "mail nobody.real@EXAMPLE.com"),
        (EidRequest(login_hint="employee:K-4711-99"), "for K471199"),
    ],
)
async def test_a_reference_that_names_the_person_is_refused(
    make_ciba_client: MakeClient, request_: EidRequest, reference: str
) -> None:
    """It would stand in every log line; the error does not repeat it."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError) as caught:
            await ciba.start(request_, reference=reference)
    assert caught.value.code == "reference"
    assert reference not in str(caught.value)


@pytest.mark.parametrize("reference", ["call-4711", "SE", "x" * 200, "Fall 12/2026: åäö"])
async def test_any_other_short_text_will_do(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, reference: str
) -> None:
    """Also one that is as short as a country."""
    del simulated_idura
    async with make_ciba_client() as ciba:
        assert (await ciba.start(FrejaID(SWEDE), reference=reference)).reference == reference
        await ciba.close()


# --- handing over -----------------------------------------------------------------------------------------------------


async def test_leaving_with_pending_logins_says_how_many_were_dropped(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing where none were, or where somebody has taken them."""
    del simulated_idura
    async with make_ciba_client(observers=[]) as ciba:
        await ciba.start(swedish())
        await ciba.start(swedish(OTHER_SWEDE))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("2 pending logins were dropped")
    caplog.clear()
    async with make_ciba_client(observers=[]) as ciba:
        await ciba.start(swede(1))
        assert len(await ciba.close()) == 1
    async with make_ciba_client(observers=[], on_close=lambda _: None) as ciba:
        await ciba.start(swede(2))
    assert not caplog.records


@pytest.mark.parametrize("is_async", [False, True])
async def test_whoever_is_told_at_the_close_can_store_what_is_pending(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, is_async: bool
) -> None:
    """A function or a coroutine function; closing waits for it, and everything has been released by then."""
    del simulated_idura
    stored: list[tuple[str | None, str]] = []

    async def store(left: Any) -> None:
        await asyncio.sleep(3)
        stored.extend((each.reference, each.token) for each in left)

    def put(left: Any) -> None:
        stored.extend((each.reference, each.token) for each in left)

    async with make_ciba_client(on_close=store if is_async else put) as ciba:
        login = await ciba.start(swedish(), reference=CALL)
        waiting = asyncio.create_task(login.outcome())
        await asyncio.sleep(6)
    outcome = await waiting
    assert outcome.state is State.HANDED_OVER
    assert outcome.error is not None
    assert stored == [(CALL, outcome.error.resume_token)]
    assert await ciba.close() == []


async def test_nothing_is_lost_if_storing_fails(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """The failure is seen, and closing again tries again."""
    del simulated_idura
    tries: list[int] = []

    def store(left: Any) -> None:
        tries.append(len(left))
        if len(tries) == 1:
            raise OSError

    ciba = make_ciba_client(on_close=store)
    login = await ciba.start(swedish())
    with pytest.raises(OSError):  # noqa: PT011 - whatever it is
        await ciba.close()
    (left,) = await ciba.close()
    assert tries == [1, 1]
    assert left.token == login.resume_token
    assert await ciba.close() == []


async def test_a_close_that_is_cancelled_hands_over_all_the_same(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A service that is told to stop at once still knows who is being asked."""
    simulated_idura.faults.append(on("token", Fault.delay(30)))
    stored: list[State] = []
    ciba: CibaClient = make_ciba_client(on_close=lambda left: stored.extend(each.state for each in left))
    await ciba.start(swedish())
    await asyncio.sleep(8)
    closing = asyncio.create_task(ciba.close(patience=60))
    await asyncio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert stored == [State.IN_DOUBT]
    assert [left.state for left in await ciba.close()] == [State.IN_DOUBT]
    assert len(stored) == 1
