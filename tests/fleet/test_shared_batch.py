"""Tests of a batch on which several replicas work together, in one process and on a virtual clock."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from contextlib import aclosing
from typing import Any

import pytest

from idura_ciba import State, UsageError
from idura_ciba.batch import Result
from idura_ciba.errors import ArgumentError, ProviderError, StoreError
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.batch_rows import SLICE
from idura_ciba.fleet.shared_batch import TOGETHER, Plan, SharedBatch
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from tests.fakes import swede, swedes, swedish_number
from tests.fleet.replicas import Line, MakeFleet, kill
from tests.logins import on

EVERYBODY = swedes(260)
KEYS = sorted(key for key, _ in EVERYBODY)
BATCH = "november"

pytestmark = pytest.mark.usefixtures("simulated_idura")


@pytest.fixture(name="simulated_idura")
def _simulated_idura(simulated_idura: SimulatedIdura) -> SimulatedIdura:
    """One where everybody approves after some seconds."""
    for nth in range(len(EVERYBODY)):
        simulated_idura.script(swedish_number(nth), Script.approve(after=5 + nth % 7))
    return simulated_idura


async def all_of(fleet: Fleet, people: Any = EVERYBODY, **options: Any) -> list[Result]:
    """What one replica yields."""
    return [result async for result in fleet.verify_many(BATCH, people, **options)]


def refusal(error: str) -> Fault:
    """The provider refuses a request with this error."""
    return Fault.answer(400, {"content-type": "application/json"}, json.dumps({"error": error}).encode())


def asked(idura: SimulatedIdura) -> Counter[str]:
    """How often each person was asked."""
    return Counter(order.person for order in idura.ledger.orders)


async def test_two_replicas_ask_everybody_once_and_one_has_all_results(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Each asks some; the other one yields nothing, and ends when all is over. Nothing is left of anybody."""
    fleets = [await replica(), await replica()]
    seen = await asyncio.gather(*(all_of(fleet, claims=["name"]) for fleet in fleets))
    assert sorted(map(len, seen)) == [0, len(EVERYBODY)]
    results = seen[0] or seen[1]
    assert sorted(result.key for result in results) == KEYS
    assert {result.state for result in results} == {State.APPROVED}
    assert all(result.subject and set(result.claims) == {"name"} and result.person_confirmed for result in results)
    assert all(result.asked_at and result.ended_at and result.ended_at > result.asked_at for result in results)
    assert all(result.polls > 0 for result in results)
    assert set(asked(simulated_idura).values()) == {1}
    assert len(asked(simulated_idura)) == len(EVERYBODY)
    left = store._run("SELECT count(*) FROM login WHERE outcome IS NOT NULL OR about IS NOT NULL OR token IS NOT NULL")
    assert left.fetchone() == (0,)
    assert await all_of(fleets[0]) == [], "it is over, and its name stands for it"


async def test_each_asks_some(replica: MakeFleet) -> None:
    """Or a second machine would be of no use."""
    fleets, mine = [await replica(), await replica()], [list[Result](), list[Result]()]
    plans = [Plan(seen=seen.append, max_in_flight=50) for seen in mine]

    async def work(fleet: Fleet, plan: Plan) -> None:
        async with aclosing(fleet.share_batch(BATCH, EVERYBODY, plan).results()) as results:
            async for _ in results:
                pass

    await asyncio.gather(*map(work, fleets, plans))
    assert min(map(len, mine)) >= 50
    assert sum(map(len, mine)) == len(EVERYBODY)


@pytest.mark.parametrize("after", [0.5, 3, 8, 20])
async def test_what_a_dead_replica_has_begun_is_ended_by_the_other(
    simulated_idura: SimulatedIdura, replica: MakeFleet, after: float
) -> None:
    """Whatever it was: to ask, to wait for, to write; nobody is asked twice, and nobody is left out."""
    for nth in range(0, len(EVERYBODY), 3):
        simulated_idura.script(swedish_number(nth), Script.approve(after=40))
    one, two = await replica(), await replica()
    taken: list[str] = []

    async def take() -> None:
        async for result in one.verify_many(BATCH, EVERYBODY):
            taken.append(result.key)  # noqa: PERF401 - it is killed in the middle

    first = asyncio.create_task(take())
    await asyncio.sleep(after)
    second = asyncio.create_task(all_of(two))
    await asyncio.sleep(after)
    await kill(one)
    results = await second
    first.cancel()
    found = Counter(result.key for result in results)
    assert max(found.values()) == 1
    assert sorted({*found, *taken}) == KEYS
    assert len(found.keys() & set(taken)) <= TOGETHER, "those that were being taken"
    assert max(asked(simulated_idura).values()) == 1
    states = Counter(result.state for result in results)
    assert set(states) <= {State.APPROVED, State.INDETERMINATE}
    assert states[State.INDETERMINATE] <= 1, "whose request was on its way"


async def test_whoever_goes_on_has_all_results_if_they_must_be_whole(replica: MakeFleet) -> None:
    """Also those that the one before had taken."""
    one, two = await replica(), await replica()
    begun: list[str] = []

    def part(fleet: Fleet, name: str) -> SharedBatch:
        plan = Plan(is_whole=True, begin=lambda: begun.append(name), digest=b"the file")
        return fleet.share_batch(BATCH, lambda: [(*pair, {"column": f"of {pair[0]}"}) for pair in EVERYBODY], plan)

    taken = []
    async with aclosing(part(one, "one").results()) as results:
        async for result, _ in results:
            taken.append(result.key)
            if len(taken) == 120:
                break
    shared, found = part(two, "two"), dict[str, str]()
    async for result, more in shared.results():
        assert result.key not in found
        found[result.key] = more["column"]
    assert sorted(found) == KEYS
    assert found["key-7"] == "of key-7"
    assert begun == ["one", "two"]
    assert (shared.is_written, shared.is_over) == (True, False)
    assert await shared.finish()
    assert await all_of(two, digest=b"the file") == []


async def test_the_people_must_be_the_same(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """And in the same order; nobody is asked."""
    one, two = await replica(), await replica()
    first = asyncio.create_task(all_of(one, swedes(3)))
    await asyncio.sleep(1)
    for others in (swedes(2), swedes(3)[::-1], [("key-0", swede(1)), *swedes(3)[1:]], swedes(4)):
        with pytest.raises(StoreError) as caught:
            await all_of(two, others)
        assert caught.value.code == "batch_differs"
    assert len(await first) == 3
    assert len(simulated_idura.ledger.orders) == 3


async def test_people_may_come_from_a_function(replica: MakeFleet) -> None:
    """That begins them anew, also asynchronously, and with rows that mean nobody; an iterator is there only once."""
    begun = 0

    async def people() -> Any:
        nonlocal begun
        begun += 1
        for pair in swedes(3):
            yield pair
            yield None

    fleet = await replica()
    assert len(await all_of(fleet, people, digest=b"of the file")) == 3
    assert begun == 1
    with pytest.raises(UsageError):
        await all_of(fleet, iter(swedes(3)))
    with pytest.raises(UsageError):
        await all_of(fleet, [("key", "nobody")])


async def test_a_refusal_is_a_result(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """Of a person; and for people who come twice, as it was asked for."""
    simulated_idura.faults.append(on("bc-authorize", refusal("unknown_user_id"), nth=2))
    people = [*swedes(4), ("again", swede(0))]
    found = {result.key: result for result in await all_of(await replica(), people, duplicates="skip")}
    assert len(found) == 5
    assert sorted(result.state for result in found.values()) == ["abandoned", *["approved"] * 3, "rejected"]
    assert (found["again"].code, found["again"].asked_at) == ("person_twice", None)
    (refused,) = [result for result in found.values() if result.state is State.REJECTED]
    assert (refused.code, bool(refused.explanation)) == ("provider_error", True)
    assert refused.asked_at
    assert len(simulated_idura.ledger.orders) == 3


async def test_a_person_who_comes_twice_is_asked_again_later(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """On whichever machine, and never while a prompt is on the phone."""
    people = [(f"{key} of {turn}", request) for turn in range(2) for key, request in EVERYBODY]
    fleets = [await replica(), await replica()]
    seen = await asyncio.gather(*(all_of(fleet, people) for fleet in fleets))
    assert sorted(map(len, seen)) == [0, len(people)]
    assert set(asked(simulated_idura).values()) == {2}
    assert simulated_idura.ledger.summary(math.inf)["collisions"] == 0


async def test_a_key_stands_for_one_person(replica: MakeFleet) -> None:
    """Twice for the same one is once; for another one is a mistake of the caller's."""
    fleet = await replica()
    assert len(await all_of(fleet, [*swedes(2), swedes(1)[0]])) == 2
    people = [*swedes(SLICE), *swedes(SLICE)[-2:]]
    far_apart = [result.key async for result in fleet.verify_many("far apart", people, max_in_flight=300)]
    assert sorted(far_apart) == sorted(key for key, _ in swedes(SLICE))
    with pytest.raises(ArgumentError) as caught:
        _ = [_ async for _ in fleet.verify_many("other", [*swedes(2), ("key-0", swede(5))])]
    assert caught.value.code == "key_reused"


async def test_whoever_has_had_enough_leaves_the_rest_to_others(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """What it asks for is ended first."""
    one, two = await replica(), await replica()
    shared = one.share_batch(BATCH, EVERYBODY, Plan(max_in_flight=20))
    taken = 0
    async for _ in shared.results():
        taken += 1
        shared.enough.set()
    assert not shared.is_over
    assert 0 < taken < len(EVERYBODY)
    assert taken + len(await all_of(two)) == len(EVERYBODY)
    assert set(asked(simulated_idura).values()) == {1}


async def test_a_client_that_may_not_ask_ends_its_part(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """With the error; another one can go on."""
    simulated_idura.faults.append(on("bc-authorize", refusal("unauthorized_client")))
    fleet = await replica()
    with pytest.raises(ProviderError) as caught:
        await all_of(fleet)
    assert caught.value.error == "unauthorized_client"
    simulated_idura.faults.clear()
    assert len(await all_of(fleet)) == len(EVERYBODY)


async def test_a_store_that_is_away_for_a_while_is_waited_for(replica: MakeFleet, store: SqliteStore) -> None:
    """And not for ever."""
    line = Line(store)
    fleet = await replica(line)
    working = asyncio.create_task(all_of(fleet))
    await asyncio.sleep(2)
    line.cut()
    await asyncio.sleep(60)
    line.mend()
    results = await working
    assert Counter(result.key for result in results) == Counter(KEYS)
    line.cut()
    with pytest.raises(StoreError) as caught:
        await asyncio.wait_for(all_of(fleet), 1000)
    assert caught.value.code == "store_away"


@pytest.mark.parametrize("lost", ["offer_again", "take_results", "results", "may_write", "standing"])
async def test_an_answer_that_is_lost_gives_no_result_twice(replica: MakeFleet, store: SqliteStore, lost: str) -> None:
    """And begins no file that was not begun."""
    line, begun = Line(store), 0
    fleet = await replica(line)

    def begin() -> None:
        nonlocal begun
        begun += 1

    plan = Plan(is_whole=True, begin=begin)
    shared, found = fleet.share_batch(BATCH, EVERYBODY, plan), list[str]()
    await shared.open()
    line.losing = {lost}
    async for result, _ in shared.results():
        assert begun == 1
        found.append(result.key)
        if len(found) == 20:
            line.losing = {lost}
        elif len(found) == 120:
            line.is_refused = True
            asyncio.get_running_loop().call_later(3, line.admit)
    assert sorted(found) == KEYS
    assert await shared.finish()


async def test_the_limit_is_one_for_all(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """As the rate is; half a minute after others have joined, at the latest."""
    people, most = swedes(len(EVERYBODY)), 0
    for nth in range(len(people)):
        simulated_idura.script(swedish_number(nth), Script.approve(after=20))
    fleets = [await replica() for _ in range(3)]
    working = [asyncio.create_task(all_of(fleet, people, max_in_flight=30)) for fleet in fleets]
    while not all(task.done() for task in working):
        await asyncio.sleep(1)
        most = max(most, sum(order.outcome == "open" for order in simulated_idura.ledger.orders))
    assert 20 <= most <= 33


@pytest.mark.parametrize("options", [{"max_in_flight": 0}, {"duplicates": "ask"}])
async def test_what_cannot_be_is_refused(replica: MakeFleet, options: Any) -> None:
    """Before anything happens."""
    fleet = await replica()
    with pytest.raises(UsageError):
        await all_of(fleet, **options)
    for name in ("", None, "\n"):
        with pytest.raises(UsageError):
            fleet.share_batch(name, EVERYBODY, Plan())  # type: ignore[arg-type]
