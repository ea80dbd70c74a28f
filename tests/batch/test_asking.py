"""Tests of asking one person of a batch. Whole batches are tested in `test_runner.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from idura_ciba import AlreadyPending, CibaClient, CibaError, Outcome, State, Transaction
from idura_ciba.aio.clock import Clock
from idura_ciba.batch import Journal
from idura_ciba.batch.asking import Asking, until_free
from idura_ciba.batch.logins import Login
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.errors import LocalProtocolError
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH, virtual_clock
from tests.fakes import swede, swedish_number

MakeClient = Callable[..., CibaClient]
OpenJournal = Callable[[CibaClient], Journal]


def entry(key: str = "a") -> Entry:
    """An entry of somebody who is to be asked."""
    return Entry(key, b"p" * 16, Phase.INTENDED, 1, 0.0, 0.0)


def on(endpoint: str, fault: Fault) -> Callable[[Arrival], Fault | None]:
    """A rule: always this fault at this endpoint."""
    return lambda arrival: fault if arrival.endpoint == endpoint else None


async def test_the_intent_is_on_the_disk_before_the_request_leaves(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """With when it left, and until when the phone may ring."""
    noted: list[Entry] = []
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:

        def look(arrival: Arrival) -> Fault | None:
            if arrival.endpoint == "bc-authorize":
                noted.extend(store_of(open_journal))
            return None

        simulated_idura.faults.append(look)
        login = Login()
        asked = await Asking(ciba, open_journal, virtual_clock()).ask(entry(), swede(1), login, former=None)
        assert isinstance(asked, Transaction)
        assert login.is_sending
    assert [(each.key, each.asked_at, each.until) for each in noted] == [("a", VIRTUAL_EPOCH, VIRTUAL_EPOCH + 180.0)]


def store_of(journal: Journal) -> list[Entry]:
    """What the journal holds right now."""
    assert journal._store is not None
    return list(journal._store)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (on("discovery", Fault.answer(500)), "bad_document"),
        (on("bc-authorize", Fault.refuse_connection()), "never_connected"),
        (on("bc-authorize", Fault.answer(429)), "busy"),
        (
            on("bc-authorize", Fault.answer(401, {"Content-Type": "application/json"}, b'{"error":"invalid_client"}')),
            "invalid_client",
        ),
    ],
    ids=["no discovery", "no connection", "too many", "unknown client"],
)
async def test_what_is_nobodys_fault_withdraws_the_intent(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal, fault: object, code: str
) -> None:
    """Nobody was asked, so nobody is noted, and the next run asks them."""
    simulated_idura.faults.append(fault)  # type: ignore[arg-type]
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:
        with pytest.raises(CibaError) as caught:
            await Asking(ciba, open_journal, virtual_clock()).ask(entry(), swede(1), Login(), former=None)
        assert caught.value.code == code
        assert store_of(open_journal) == []
    assert simulated_idura.ledger.orders == []


async def test_what_is_about_a_person_is_their_outcome(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """A refusal, and a request that may have arrived; their intents stay until that is written."""
    simulated_idura.faults.append(on("bc-authorize", Fault.lose_answer()))
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:
        asking = Asking(ciba, open_journal, virtual_clock())
        lost = await asking.ask(entry(), swede(1), Login(), former=None)
        assert isinstance(lost, Outcome)
        assert lost.state is State.INDETERMINATE
        assert [each.key for each in store_of(open_journal)] == ["a"]
        second = await asking.ask(entry(), swede(2), Login(), former=None)
        assert isinstance(second, Outcome)
        assert second.error is not None
        assert second.error.code == "key_twice"
        with pytest.raises(AlreadyPending):
            await asking.ask(entry("b"), swede(1), Login(), former=None)
        again = await asking.ask(entry(), swede(3), Login(), former=entry())
        assert isinstance(again, Outcome)


async def test_a_client_that_cannot_sign_asks_nobody(
    make_ciba_client: MakeClient, journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million people would fail in a minute otherwise."""
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:

        async def broken(*_arguments: object, **_options: object) -> None:
            raise LocalProtocolError("a bug", code="internal")

        monkeypatch.setattr(ciba, "start", broken)
        with pytest.raises(LocalProtocolError):
            await Asking(ciba, open_journal, virtual_clock()).ask(entry(), swede(1), Login(), former=None)


async def test_nothing_leaves_once_it_is_stopping(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """Also what was about to."""
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:
        asking = Asking(ciba, open_journal, virtual_clock())
        asking.stopping = True
        with pytest.raises(CibaError):
            await asking.ask(entry(), swede(1), Login(), former=None)
        assert store_of(open_journal) == []
    assert simulated_idura.ledger.orders == []


async def test_waiting_for_a_person_ends_when_their_prompt_is_gone(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, virtual_clock: Clock
) -> None:
    """When they have answered; when an abandoned prompt has expired; and now and then where nobody knows."""
    simulated_idura.script(swedish_number(1), Script.approve(after=7))
    simulated_idura.script(swedish_number(2), Script.never())
    loop = asyncio.get_running_loop()
    async with make_ciba_client() as ciba:
        transactions = [await ciba.start(swede(nth)) for nth in (1, 2)]
        transactions[1].abandon()
        for nth, expected in ((1, 9.0), (2, 120.0)):
            with pytest.raises(AlreadyPending) as caught:
                await ciba.start(swede(nth))
            await until_free(caught.value, virtual_clock)
            assert loop.time() == pytest.approx(expected, abs=1e-6)
        await until_free(AlreadyPending("lost"), virtual_clock)
        assert loop.time() == pytest.approx(125.0, abs=1e-6)
