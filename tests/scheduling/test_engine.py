"""Tests of the one heap and the one timer: what holds whatever is scheduled, forgotten, cancelled and closed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idura_ciba.scheduling.engine import CLOCK_RESOLUTION, SLICE
from idura_ciba.scheduling.scheduler import ClientQueue, FairScheduler, IndexScheduler
from idura_ciba.testing import run_virtual

KINDS = {
    "fair": FairScheduler,
    "index": IndexScheduler,
    "guarded": lambda **limits: IndexScheduler(guard=1.2, **limits),
}
#: Instants, many of them the same or next to each other.
INSTANTS = st.one_of(
    st.integers(0, 12).map(float),
    st.floats(0.0, 12.0),
    st.builds(lambda at, by: at + by, st.integers(0, 12), st.sampled_from([1e-9, 4e-10, 1e-7])),
)


class Job:
    """Notes when it is served; all that it does then was decided before."""

    def __init__(self, stage: Stage, takes: float | None, key: float, urgent_at: float, again: list[float]) -> None:
        self.stage, self.takes, self.key, self.urgent_at, self.again = stage, takes, key, urgent_at, again
        self.served: list[float] = []
        #: What it was scheduled for and not served or forgotten yet.
        self.wanted: float | None = None

    def schedule(self, queue: ClientQueue, at: float) -> None:
        """Tell the queue, and remember."""
        self.queue = queue
        queue.schedule(self, at)
        if not self.stage.closed.get(queue):
            self.wanted = at

    def forget(self) -> None:
        """The same."""
        self.queue.forget(self)
        self.wanted = None

    def due(self, price: float) -> float:
        """Some number, or a fault."""
        if self.key < 0:
            raise ZeroDivisionError
        return self.key + price

    def serve(self) -> Coroutine[Any, Any, None] | None:
        """Checks that it was wanted, and not earlier."""
        now = asyncio.get_running_loop().time()
        assert self.wanted is not None
        assert self.wanted <= now
        self.wanted = None
        self.served.append(now)
        if self.takes is None:
            if self.again:
                self.schedule(self.queue, now + self.again.pop())
            return None
        self.stage.left.append(now)
        return self.work(self.takes)

    async def work(self, takes: float) -> None:
        """Takes a while, and perhaps wants to be served again."""
        self.stage.in_flight += 1
        assert self.stage.in_flight <= self.stage.cap
        try:
            if takes:
                await asyncio.sleep(takes)
            if self.again:
                self.schedule(self.queue, asyncio.get_running_loop().time() + self.again.pop())
        finally:
            self.stage.in_flight -= 1


class Stage:
    """What all jobs of one run share."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.in_flight = 0
        self.left: list[float] = []
        self.closed: dict[ClientQueue, bool] = {}


JOBS = st.lists(
    st.tuples(
        INSTANTS,
        st.one_of(st.none(), st.just(0.0), st.floats(0.0, 2.0)),
        st.one_of(st.floats(-1.0, 20.0), st.just(math.nan)),
        st.one_of(st.just(math.inf), st.floats(0.0, 12.0), st.just(math.nan)),
        st.lists(st.floats(0.0, 4.0), max_size=2),
    ),
    max_size=25,
)
DEEDS = st.lists(
    st.tuples(
        INSTANTS, st.sampled_from(["forget", "again", "admit", "cancel", "close", "look"]), st.integers(0, 24), INSTANTS
    ),
    max_size=12,
)


class Run:
    """Two queues of one scheduler with their jobs and admissions, and the deeds that can be done to them."""

    def __init__(self, scheduler: FairScheduler, cap: int, jobs: list[Any]) -> None:
        self.scheduler, self.stage = scheduler, Stage(cap)
        self.queues = [scheduler.queue(), scheduler.queue()]
        self.crowd = [Job(self.stage, takes, key, urgent_at, list(again)) for _, takes, key, urgent_at, again in jobs]
        self.admissions: list[asyncio.Task[None]] = []
        for nth, (job, (at, *_)) in enumerate(zip(self.crowd, jobs, strict=True)):
            job.schedule(self.queues[nth % 2], at)

    async def do(self, deed: str, number: int, instant: float) -> None:
        """One deed."""
        await getattr(self, f"_{deed}")(number, instant)

    async def _admit(self, _number: int, _instant: float) -> None:
        if not self.stage.closed.get(self.queues[0]):
            self.admissions.append(asyncio.create_task(self._be_admitted()))

    async def _be_admitted(self) -> None:
        async with self.queues[0].admit():
            self.stage.left.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.5)

    async def _cancel(self, number: int, _instant: float) -> None:
        if self.admissions:
            self.admissions[number % len(self.admissions)].cancel()

    async def _close(self, number: int, instant: float) -> None:
        queue = self.queues[number % 2]
        self.stage.closed[queue] = True
        for job in self.crowd:
            job.wanted = None if job.queue is queue else job.wanted
        await queue.aclose(patience=instant)

    async def _look(self, _number: int, _instant: float) -> None:
        shot = self.scheduler.snapshot()
        assert shot.pending == sum(queue.waiting + queue.in_flight for queue in self.queues)
        assert shot.in_flight == sum(queue.in_flight for queue in self.queues)

    async def _forget(self, number: int, _instant: float) -> None:
        if self.crowd:
            self.crowd[number % len(self.crowd)].forget()

    async def _again(self, number: int, instant: float) -> None:
        if self.crowd:
            job = self.crowd[number % len(self.crowd)]
            job.schedule(job.queue, instant)

    async def end(self) -> None:
        """Let all be served, and see that nothing is left."""
        await asyncio.sleep(300)
        for task in self.admissions:
            # Where as many as may be are pending for ever, nobody is admitted.
            task.cancel()
        await asyncio.gather(*self.admissions, return_exceptions=True)
        assert [job.wanted for job in self.crowd] == [None] * len(self.crowd)
        for queue in self.queues:
            await queue.aclose(patience=0)
        engine = self.queues[0]._engine
        assert (engine.pending, engine.starting, self.stage.in_flight, len(engine.queue)) == (0, 0, 0, 0)
        assert not engine._heap
        assert engine._timer is None
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.unmeasured
@settings(max_examples=150)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    rate=st.one_of(st.none(), st.integers(1, 12)),
    cap=st.integers(1, 5),
    max_pending=st.one_of(st.none(), st.integers(1, 10)),
    jobs=JOBS,
    deeds=DEEDS,
)
def test_whatever_happens_nothing_is_lost_early_twice_or_left_behind(
    kind: str, rate: int | None, cap: int, max_pending: int | None, jobs: list[Any], deeds: list[Any]
) -> None:
    """Each wish is served once and not before its instant; the cap and the budget hold; at the end there is nothing."""

    async def main() -> None:
        run = Run(KINDS[kind](rate=rate, max_in_flight=cap, max_pending=max_pending), cap, jobs)
        for at, deed, number, instant in sorted(deeds, key=lambda deed: deed[0]):
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            await run.do(deed, number, instant)
        await run.end()
        left = run.stage.left
        if rate is not None:
            assert all(following >= first + 1.0 for first, following in zip(left, left[rate:], strict=False))

    run_virtual(main())


@pytest.mark.unmeasured
@given(
    kind=st.sampled_from(sorted(KINDS)),
    jobs=st.lists(st.tuples(INSTANTS, st.floats(0.0, 3.0)), max_size=30),
)
def test_below_its_limits_every_scheduler_is_on_time(kind: str, jobs: list[tuple[float, float]]) -> None:
    """As if there were no limits: each job is served at its instant, whatever it is worth."""

    async def main() -> None:
        busiest = max((sum(first <= at < first + 1.1 for at, _ in jobs) for first, _ in jobs), default=0)
        stage = Stage(len(jobs))
        queue = KINDS[kind](rate=max(1, busiest), max_in_flight=max(1, len(jobs))).queue()
        crowd = [Job(stage, takes, 100.0 - nth, math.inf, []) for nth, (_, takes) in enumerate(jobs)]
        for job, (at, _) in zip(crowd, jobs, strict=True):
            job.schedule(queue, at)
        await asyncio.sleep(50)
        for job, (at, _) in zip(crowd, jobs, strict=True):
            assert len(job.served) == 1
            assert at <= job.served[0] <= at + CLOCK_RESOLUTION * 1.01

    run_virtual(main())


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_a_busy_scheduler_has_one_timer_and_no_idle_tasks(kind: str) -> None:
    """Thousands wait for the budget, and nothing but one timer waits for them."""
    stage = Stage(100)
    queue = KINDS[kind](rate=50, max_in_flight=100).queue()
    for nth in range(5000):
        Job(stage, 0.0, float(nth), math.inf, []).schedule(queue, nth / 5000)
    await asyncio.sleep(10)
    assert 490 <= len(stage.left) <= 550
    loop = asyncio.get_running_loop()
    assert len([timer for timer in loop._scheduled if not timer.cancelled()]) == 1  # type: ignore[attr-defined]
    assert len(asyncio.all_tasks()) <= 2
    await queue.aclose(patience=0)


async def test_timers_a_hair_apart_do_not_stop_the_clock() -> None:
    """They are called together, the later one early; it is then asked for the rest of the time."""
    stage = Stage(10)
    queue = FairScheduler().queue()
    near, far = (Job(stage, 0.0, 0.0, math.inf, []) for _ in range(2))
    asyncio.get_running_loop().call_at(5.0, lambda: far.schedule(queue, 5.0 + 8e-10))
    near.schedule(queue, 5.0)
    await asyncio.sleep(6)
    assert near.served == [5.0]
    assert far.served == [pytest.approx(5.0, abs=2 * CLOCK_RESOLUTION)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_crowd_that_is_due_at_once_does_not_keep_the_loop(kind: str) -> None:
    """A few are begun in each turn of the loop, all at their instant, and whoever else waits has turns between."""
    queue = KINDS[kind](max_in_flight=10_000).queue()
    loop, begun, per_turn = asyncio.get_running_loop(), 0, list[int]()

    class Plain:
        async def work(self) -> None:
            nonlocal begun
            begun += 1

        def serve(self) -> Coroutine[Any, Any, None]:
            return self.work()

    def turn() -> None:
        per_turn.append(begun - sum(per_turn))
        if begun < 500:
            loop.call_soon(turn)

    for _ in range(500):
        queue.schedule(Plain(), 7.0)
    loop.call_at(7.0, turn)
    await asyncio.sleep(7.0 + CLOCK_RESOLUTION)
    assert begun == 500
    assert max(per_turn) <= SLICE
    await queue.aclose(patience=1)
