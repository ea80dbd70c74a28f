"""Tests of the client: several that share a budget, and many that take turns."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from idura_ciba import (
    Abandoned,
    FairScheduler,
    FinalPoll,
    FrejaID,
    HazardAware,
    Indeterminate,
    IndexScheduler,
    StateError,
    Transaction,
)
from idura_ciba.scheduling.engine import SLICE
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura
from tests.logins import OTHER_SWEDE, SWEDE, MakeClient, swedish

PEOPLE = ("209801011231", "209602294564", "209712310011", "209801611246", "209807917894", "209602894579")


@pytest.mark.parametrize("kind", [FairScheduler, IndexScheduler])
async def test_two_clients_share_one_budget(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, kind: type[FairScheduler]
) -> None:
    """In no second leave more requests than the rate, orders and polls of both clients together; and all log in."""
    sent: list[float] = []
    loop = asyncio.get_running_loop()

    def note(arrival: Arrival) -> None:
        if arrival.endpoint in {"bc-authorize", "token"}:
            sent.append(loop.time())

    simulated_idura.faults.append(note)
    for person in PEOPLE:
        simulated_idura.script(person, Script.approve(after=20))
    scheduler = kind(rate=2)
    async with make_ciba_client(scheduler=scheduler) as one, make_ciba_client(scheduler=scheduler) as other:
        clients = [one, other] * 3
        requests = [client.authenticate(swedish(person)) for client, person in zip(clients, PEOPLE, strict=True)]
        logins = await asyncio.gather(*requests)
        shot = scheduler.snapshot()
    assert [login.claims["ssn"] for login in logins] == list(PEOPLE)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in zip(sent, sent[2:], strict=False))
    assert shot.pending == shot.refused == shot.slow_downs == 0
    assert shot.served == len(sent) - len(PEOPLE)
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_refusals_teach_all_clients_to_ask_less(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A 429 to one is heard by the other; what the provider asks for holds for both."""
    loop = asyncio.get_running_loop()
    sent: list[float] = []

    def limit(arrival: Arrival) -> Fault | None:
        if arrival.endpoint != "token":
            return None
        sent.append(loop.time())
        return Fault.answer(429, {"Retry-After": "20"}) if len(sent) == 1 else None

    simulated_idura.faults.append(limit)
    scheduler = FairScheduler()
    async with make_ciba_client(scheduler=scheduler) as one, make_ciba_client(scheduler=scheduler) as other:
        await one.start(swedish())
        await other.start(swedish(OTHER_SWEDE))
        await asyncio.sleep(60)
        assert scheduler.snapshot().refused == 1
        # The other poll of the same instant had left already.
        assert sent[:2] == [3.0, 3.0]
        assert sent[2] >= 23.0


async def test_orders_wait_for_a_place_and_end_with_their_timeout(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Beyond `max_pending` nobody's phone rings before somebody else's login is over."""
    simulated_idura.script(SWEDE, Script.approve(after=10))
    async with make_ciba_client(scheduler=FairScheduler(max_pending=1)) as ciba:
        await ciba.start(swedish())
        with pytest.raises(Abandoned) as caught:
            await ciba.start(swedish(OTHER_SWEDE), timeout=2)
        assert caught.value.code == "caller_timeout"
        assert "has not rung" in caught.value.phone
        assert asyncio.get_running_loop().time() == 2
        second = await ciba.start(swedish(OTHER_SWEDE))
        assert 10 <= asyncio.get_running_loop().time() < 14
        assert ciba.pending == (second,)


async def test_many_that_begin_at_once_take_turns(make_ciba_client: MakeClient) -> None:
    """A few in each turn of the loop, from the first that is done for them on; the others find a closed client."""
    async with make_ciba_client() as ciba:
        calls = [asyncio.create_task(ciba.start(FrejaID(email=f"{nth}@example.com"))) for nth in range(100)]
        held = [0]
        while held[-1] < 60:
            await asyncio.sleep(0)
            held.append(len(ciba._starter.holds._held))
        assert max(later - earlier for earlier, later in pairwise(held)) <= 2 * SLICE
        await ciba.close(patience=0)
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert len(ciba._starter.holds._held) < 100 - SLICE
    assert {type(end) for end in ends} <= {StateError, Indeterminate, Transaction}
    assert [end.code for end in ends[-SLICE:] if isinstance(end, StateError)] == ["closed"] * SLICE


async def test_who_has_not_had_a_turn_when_the_client_is_closed_asks_for_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Not for discovery either: a closed client would open connections that nobody closes."""
    asked: list[str] = []
    simulated_idura.faults.append(lambda arrival: asked.append(arrival.endpoint))
    ciba = make_ciba_client()
    calls = [asyncio.create_task(ciba.start(FrejaID(email=f"{nth}@example.com"))) for nth in range(100)]
    await asyncio.sleep(0)
    await ciba.close(patience=0)
    before = len(asked)
    for call in calls:
        with pytest.raises(StateError) as caught:
            await call
        assert caught.value.code == "closed"
    assert len(asked) == before


async def test_closing_gives_no_order_a_place_any_more(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Those that wait end at once, with an error that says that nothing was sent, and the people are free."""
    scheduler = FairScheduler(max_pending=1)
    ciba = make_ciba_client(scheduler=scheduler)
    await ciba.start(swedish())
    waiting = [asyncio.create_task(ciba.start(swedish(person))) for person in PEOPLE[1:]]
    await asyncio.sleep(1)
    assert scheduler.snapshot().starting == 5
    assert len(await ciba.close()) == 1
    for task in waiting:
        with pytest.raises(StateError) as caught:
            await task
        assert caught.value.code == "closed"
    assert asyncio.get_running_loop().time() == 1
    assert len(simulated_idura.ledger.orders) == 1
    assert scheduler.snapshot().pending == scheduler.snapshot().starting == 0
    async with make_ciba_client(scheduler=scheduler) as another:
        await another.start(swedish(OTHER_SWEDE))


async def test_the_index_scheduler_asks_the_strategy_whose_turn_it_is(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """With a third of the requests that all would like, everybody is still heard of, and nobody too early."""
    for nth, person in enumerate(PEOPLE):
        simulated_idura.script(person, Script.approve(after=10 + 5 * nth))
    scheduler = IndexScheduler(rate=1, guard=1.2)
    async with make_ciba_client(scheduler=scheduler, strategy=FinalPoll(HazardAware(price=0.0))) as ciba:
        logins = await asyncio.gather(*(ciba.authenticate(swedish(person)) for person in PEOPLE))
        shot = scheduler.snapshot()
    assert all(login.person_confirmed for login in logins)
    assert (shot.learned, shot.slow_downs) == (6, 0)
    assert shot.price is not None
