"""Tests of what workers tell each other with their signs of life: what refusals teach one holds for all."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from attrs import define, field

from idura_ciba.fleet import Fleet
from idura_ciba.fleet.signs import Signs
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Others, Report
from idura_ciba.scheduling.scheduler import FairScheduler, Throttle
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura
from tests.fakes import swede, swedish_number
from tests.fleet.replicas import LEASE, Line, MakeFleet, kill

RATE = 60.0


@define
class Limit:
    """A provider that answers so many requests a second, over a window, and refuses the others.

    Attributes:
        rate: How many.
        window: Seconds over which it counts.
        counts_refused: Whether it counts what it refuses.
        answered: When a request was answered.
        refused: When one was refused.
    """

    rate: float
    window: float = 1.0
    counts_refused: bool = False
    answered: list[float] = field(factory=list)
    refused: list[float] = field(factory=list)
    _recent: deque[float] = field(factory=deque)

    def __call__(self, arrival: Arrival) -> Fault | None:
        """Answer or refuse."""
        if arrival.endpoint not in {"token", "bc-authorize"}:
            return None
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - self.window:
            self._recent.popleft()
        is_answered = len(self._recent) < self.rate * self.window
        if is_answered or self.counts_refused:
            self._recent.append(now)
        (self.answered if is_answered else self.refused).append(now)
        return None if is_answered else Fault.answer(429)

    def share_refused(self, since: float) -> float:
        """Of the requests since then."""
        refused, answered = (sum(at >= since for at in times) for times in (self.refused, self.answered))
        return refused / (refused + answered)

    def used(self, since: float, until: float) -> float:
        """Answers, as a share of what it allows."""
        return sum(since <= at < until for at in self.answered) / (until - since) / self.rate


def allowed(fleet: Fleet) -> float:
    """What a replica may send now."""
    return fleet._ciba.queue.snapshot().allowed


async def everybody(replicas: list[Fleet], people: int) -> list[asyncio.Task[Any]]:
    """Ask so many people, each replica as many."""
    return [asyncio.create_task(replicas[nth % len(replicas)].start(swede(nth))) for nth in range(people)]


@pytest.mark.unmeasured
@pytest.mark.parametrize(("window", "counts_refused"), [(1.0, False), (10.0, True)])
async def test_replicas_find_together_what_the_provider_allows(
    simulated_idura: SimulatedIdura, replica: MakeFleet, window: float, counts_refused: bool
) -> None:
    """Two thirds of the agreed rate: after half a minute few requests are refused, and most of it is used."""
    people, limit = 700, Limit(RATE * 2 / 3, window, counts_refused)
    for nth in range(people):
        simulated_idura.script(swedish_number(nth), Script.never())
    simulated_idura.faults.append(limit)
    replicas = [await replica(rate=RATE) for _ in range(3)]
    began = asyncio.get_running_loop().time()
    starting = await everybody(replicas, people)
    await asyncio.sleep(100)
    assert limit.share_refused(began + 30) <= 0.03
    assert limit.used(began + 30, began + 100) >= 0.85
    assert sum(map(allowed, replicas)) <= 1.15 * limit.rate
    joined = await replica(rate=RATE)
    await asyncio.sleep(3)
    assert sum(map(allowed, [*replicas, joined])) <= 1.15 * limit.rate
    for task in starting:
        task.cancel()


async def test_a_retry_after_that_one_is_told_stops_the_others(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """Within two seconds, and for as long as it says; whoever joins meanwhile waits too."""
    people = 60
    for nth in range(people):
        simulated_idura.script(swedish_number(nth), Script.never())
    replicas = [await replica() for _ in range(3)]
    logins = [await replicas[nth % 3].start(swede(nth)) for nth in range(people)]
    told, polled = list[float](), list[float]()
    refusing = True

    def refuse_one(arrival: Arrival) -> Fault | None:
        if arrival.endpoint != "token":
            return None
        polled.append(asyncio.get_running_loop().time())
        if refusing and arrival.person in {swedish_number(nth) for nth in range(0, people, 3)}:
            told.append(polled[-1])
            return Fault.answer(429, {"Retry-After": "20"})
        return None

    await asyncio.sleep(6)
    simulated_idura.faults.append(refuse_one)
    await asyncio.sleep(12)
    refusing = False
    assert (await replicas[0].snapshot())["closed"] > 5
    joined = await replica()
    assert joined._ciba.queue.throttle().closed == 0  # it was not told itself
    assert joined._ciba.queue._engine.budget.ready_at(queued=False) > asyncio.get_running_loop().time() + 5
    await asyncio.sleep(30)
    assert told
    begins, ends = told[0] + 2, told[-1] + 20
    assert [at for at in polled if begins < at < ends - 1] == []
    assert [at for at in polled if at > ends]
    assert len(logins) == people


async def test_one_burst_is_one_cut_and_all_have_it(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """Whoever was refused: the others are allowed the same part, within two seconds."""
    people = 240
    for nth in range(people):
        simulated_idura.script(swedish_number(nth), Script.never())
    replicas = [await replica(rate=RATE) for _ in range(3)]
    starting = await everybody(replicas, people)
    await asyncio.sleep(8)
    assert [allowed(fleet) for fleet in replicas] == [RATE / 3] * 3
    for _ in range(8):
        replicas[1]._ciba.queue.refused(sent_at=asyncio.get_running_loop().time())
    cut = allowed(replicas[1])
    assert cut < RATE / 3
    await asyncio.sleep(2)
    assert [allowed(fleet) for fleet in replicas] == pytest.approx([cut] * 3, rel=0.05)
    assert {fleet._ciba.queue.throttle().cuts for fleet in replicas} == {1}
    for task in starting:
        task.cancel()


async def test_what_was_learned_outlives_whoever_learned_it(replica: MakeFleet) -> None:
    """Killed or closed; the last one too, for the one that comes after it."""
    one, two = await replica(rate=RATE), await replica(rate=RATE)
    await asyncio.sleep(3)
    one._ciba.queue.take_over(Throttle(5, 0.5))
    await asyncio.sleep(1)
    await kill(one)
    await asyncio.sleep(10)
    assert allowed(two) == pytest.approx(RATE / 2)
    await two.close()
    three = await replica(rate=RATE)
    await asyncio.sleep(10)
    assert allowed(three) == pytest.approx(RATE / 2)


async def test_nothing_more_is_asked_of_the_store(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Three statements a second for each, whether anything was learned or not."""
    del simulated_idura
    line = Line(store)
    fleet = await replica(line)
    await asyncio.sleep(2 * LEASE)
    for learned in (False, True):
        if learned:
            fleet._ciba.queue.take_over(Throttle(3, 0.5, 10.0))
        before = line.statements
        await asyncio.sleep(20)
        assert line.statements - before <= 3 * 20 + 3


async def test_news_do_not_wait_for_the_next_sign(store: SqliteStore) -> None:
    """And without any, it comes when it is due."""
    scheduler, now = FairScheduler(rate=20), asyncio.get_running_loop().time
    signs = Signs(scheduler.queue())
    signs.begin(within=1.0)
    began = now()
    assert not await signs.wait(until=began + 3)
    assert now() == pytest.approx(began + 3)
    scheduler.queue().refused(sent_at=now(), retry_after=30.0)
    assert await signs.wait(until=now() + 3)
    assert now() == pytest.approx(began + 3)
    assert signs.report() == Report(Throttle(0, 1.0, 20.0, 30.0))
    await signs.wait(until=now() + 3)
    assert now() == pytest.approx(began + 6)
    signs.hear(Others(2, Throttle(4, 0.25)))
    assert signs.report().throttle == Throttle(4, 0.25, 5.0, 27.0)
    del store
