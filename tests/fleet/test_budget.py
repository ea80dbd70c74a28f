"""Tests of one rate over all replicas: no second has more requests, whoever comes, goes or dies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from idura_ciba.errors import UsageError
from idura_ciba.fleet.budget import NOTHING, Share
from idura_ciba.fleet.fleet import Fleet
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number
from tests.fleet.replicas import LEASE, SECRET, Line, MakeFleet, kill
from tests.logins import MakeClient

RATE = 30.0


class Noting(MemoryTransport):
    """Notes when requests that count leave."""

    left: list[float]

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Pass on."""
        if request.method == "POST":
            self.left.append(asyncio.get_running_loop().time())
        return await super().send(request)


def most_in_a_second(left: list[float]) -> int:
    """The largest number within any second."""
    left = sorted(left)
    most = first = 0
    for last, at in enumerate(left):
        while left[first] <= at - 1 + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


async def test_no_second_has_more_than_the_rate_whoever_comes_goes_or_dies(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, store: SqliteStore
) -> None:
    """And all of it is used, also what a dead replica had."""
    people, left = 400, list[float]()
    for nth in range(people):
        simulated_idura.script(swedish_number(nth), Script.approve(after=120))

    async def replica() -> Fleet:
        transport = Noting(simulated_idura, clock=virtual_clock())
        transport.left = left
        ciba = make_ciba_client(resume_secret=SECRET, observers=(), transport=transport)
        fleet = Fleet(ciba, Line(store), lease=LEASE, rate=RATE, clock=virtual_clock())
        return await fleet.__aenter__()

    one = await replica()
    starting = [asyncio.create_task(one.start(swede(nth))) for nth in range(people - 50)]
    await asyncio.sleep(6)
    two = await replica()
    starting += [asyncio.create_task(two.start(swede(nth))) for nth in range(people - 50, people)]
    await asyncio.sleep(6)
    three = await replica()
    await asyncio.sleep(15)
    shares = [fleet._ciba.queue.snapshot().rate for fleet in (one, two, three)]
    assert shares == pytest.approx([RATE / 3] * 3)
    await kill(three)
    await asyncio.sleep(10)
    assert one._ciba.queue.snapshot().rate == pytest.approx(RATE / 2)
    await two.close()
    await asyncio.sleep(10)
    assert one._ciba.queue.snapshot().rate == pytest.approx(RATE)
    assert most_in_a_second(left) <= RATE
    now = asyncio.get_running_loop().time()
    assert sum(at > now - 5 for at in left) >= 5 * RATE * 0.9
    for task in starting:
        task.cancel()
    await one.close()


async def test_whoever_has_no_share_begins_nothing(store: SqliteStore) -> None:
    """Until the others have left some; then at once, and no longer than it lives."""
    await store.join("greedy")
    await store.join("new")
    assert await store.share("greedy", wanted=RATE, rate=RATE, lease=LEASE) == RATE
    used: list[float] = []
    share = Share(store, RATE, LEASE, used.append)
    assert used == [NOTHING]
    await share.settle("new", 2)
    assert not share.granted.is_set()
    await store.share("greedy", wanted=RATE / 2, rate=RATE, lease=LEASE)
    await share.settle("new", 2)
    assert share.granted.is_set()
    assert used == [NOTHING, RATE / 2]
    share.lost()
    assert not share.granted.is_set()
    assert used[-1] == NOTHING


async def test_whoever_waits_for_a_share_is_refused_when_the_replica_is_closed(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Nobody was asked, and closing need not wait."""
    await store.join("greedy")
    await store.share("greedy", wanted=RATE, rate=RATE, lease=LEASE)
    fleet = await replica(rate=RATE)
    starting = asyncio.create_task(fleet.start(swede(0)))
    await asyncio.sleep(1)
    async with asyncio.timeout(0.1):
        await fleet.close()
    with pytest.raises(UsageError):
        await starting
    assert simulated_idura.ledger.orders == []


async def test_less_is_used_before_the_others_are_told(store: SqliteStore) -> None:
    """For a second: what was sent before counts that long."""
    told: list[tuple[float, float]] = []
    used: list[tuple[float, float]] = []

    class Listening:
        async def share(self, _: str, *, wanted: float, **__: Any) -> float:
            told.append((asyncio.get_running_loop().time(), wanted))
            return wanted

    share = Share(Listening(), RATE, LEASE, lambda rate: used.append((asyncio.get_running_loop().time(), rate)))  # type: ignore[arg-type]  # as much as is needed
    del store
    for workers in (1, 1, 3, 3, 3, 2, 2, 2, 2):
        await share.settle("one", workers)
        await asyncio.sleep(0.6)
    assert [(round(at, 1), wanted) for at, wanted in told] == [(0.0, 30.0), (2.4, 10.0), (3.0, 15.0)]
    assert [(round(at, 1), rate) for at, rate in used[1:]] == [(0.0, 30.0), (1.2, 10.0), (3.0, 15.0)]


async def test_without_a_rate_nothing_is_asked_or_changed() -> None:
    """The scheduler's own rate counts."""
    used: list[float] = []
    share = Share(SqliteStore(), None, LEASE, used.append)
    assert share.granted.is_set()
    await share.settle("one", 3)
    share.lost()
    assert share.granted.is_set()
    assert used == []
