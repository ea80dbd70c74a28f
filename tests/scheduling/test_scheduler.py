"""Tests of the one heap and the one timer that serve all pending transactions of a client."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from idura_ciba.errors import UsageError
from idura_ciba.scheduling.scheduler import SMALL, Scheduler


def now() -> float:
    """The virtual instant."""
    return asyncio.get_running_loop().time()


class Log(list[tuple[str, float]]):
    """Who was served when, to a microsecond."""

    def note(self, name: str) -> None:
        """Note that it happened now."""
        self.append((name, round(now(), 6)))


class Job:
    """Work that takes `takes` seconds; 0 for work that is over at once, None for none after all."""

    def __init__(self, log: Log, name: str, takes: float | None = 0.0) -> None:
        self.log = log
        self.name = name
        self.takes = takes
        self.ended: str | None = None

    def serve(self) -> Coroutine[Any, Any, None] | None:
        """Note when it was asked; then work."""
        self.log.note(self.name)
        return None if self.takes is None else self.work(self.takes)

    async def work(self, takes: float) -> None:
        """Take a while."""
        try:
            await asyncio.sleep(takes)
            self.ended = "done"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


@pytest.fixture
def log() -> Log:
    """An empty log."""
    return Log()


def assert_nothing_is_left(scheduler: Scheduler) -> None:
    """Neither a job, nor work, nor a timer, nor a task beside the test's own."""
    assert (scheduler.waiting, scheduler.in_flight) == (0, 0)
    assert scheduler._timer is None
    assert not scheduler._heap
    assert not scheduler._due
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- when and in which order ------------------------------------------------------------------------------------------


async def test_jobs_are_served_at_their_instants(log: Log) -> None:
    """In the order of time, whatever the order in which they came; the past is now."""
    scheduler = Scheduler()
    for name, at in [("c", 9.0), ("a", 2.5), ("d", 9.5), ("b", 7.25), ("at once", -3.0)]:
        scheduler.schedule(Job(log, name), at)
    assert scheduler.waiting == 5
    await asyncio.sleep(20)
    assert log == [("at once", 0.0), ("a", 2.5), ("b", 7.25), ("c", 9.0), ("d", 9.5)]
    assert_nothing_is_left(scheduler)


async def test_nothing_is_served_before_its_time(log: Log) -> None:
    """The timer of an early job does not pull a later one along."""
    scheduler = Scheduler()
    scheduler.schedule(Job(log, "a"), 5.0)
    scheduler.schedule(Job(log, "b"), 5.0 + 1e-6)
    await asyncio.sleep(5.0)
    assert [name for name, _ in log] == ["a"]
    await asyncio.sleep(1.0)
    assert [name for name, _ in log] == ["a", "b"]


async def test_jobs_of_one_instant_keep_their_order(log: Log) -> None:
    """First come, first served; jobs need not be comparable."""
    scheduler = Scheduler()
    for number in range(50):
        scheduler.schedule(Job(log, str(number)), 1.0)
    await asyncio.sleep(2)
    assert log == [(str(number), 1.0) for number in range(50)]


async def test_an_end_needs_no_slot(log: Log) -> None:
    """What waits for a slot is asked when its end comes, in the order of ends, and never again for that instant."""
    scheduler = Scheduler(max_in_flight=1)
    scheduler.schedule(Job(log, "long", 100.0), 1.0)
    for name, at, until in [("a", 2.0, 9.0), ("b", 3.0, 7.0), ("early", 3.0, 2.0)]:
        scheduler.schedule(Job(log, name, None), at, until=until)
    gone = Job(log, "gone", None)
    scheduler.schedule(gone, 3.0, until=5.0)
    await asyncio.sleep(4)
    scheduler.forget(gone)
    await asyncio.sleep(200)
    assert log == [("long", 1.0), ("early", 3.0), ("b", 7.0), ("a", 9.0)]
    assert not scheduler._ends
    assert_nothing_is_left(scheduler)


async def test_ends_that_did_not_come_are_not_kept(log: Log) -> None:
    """Neither of what was served at once, nor of what had to wait for a while in a crowd that never ends."""
    scheduler = Scheduler(max_in_flight=10)
    for second in range(60):
        for nth in range(400 if second == 0 else 100):
            scheduler.schedule(Job(log, f"{second} {nth}", 0.1), second + 0.5, until=1e5)
        await asyncio.sleep(1)
        assert scheduler._due
        assert len(scheduler._ends) <= 2 * len(scheduler._due) + SMALL
    await scheduler.aclose(patience=0)
    assert_nothing_is_left(scheduler)


async def test_a_job_that_breaks_stalls_nobody(log: Log) -> None:
    """The loop hears of it, and the others are served at their instants."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    class Broken(Job):
        def serve(self) -> None:
            raise KeyError

    scheduler = Scheduler(max_in_flight=1)
    for nth, job in enumerate(
        [Broken(log, "x"), Job(log, "a", 1.0), Broken(log, "y"), Job(log, "b"), Broken(log, "z")]
    ):
        scheduler.schedule(job, 1.0, until=1.5 + nth / 10)
    await asyncio.sleep(5)
    assert log == [("a", 1.0), ("b", 1.8)]
    assert [type(complaint["exception"]) for complaint in complaints] == [KeyError] * 3
    assert_nothing_is_left(scheduler)


async def test_a_job_that_has_nothing_to_do_takes_no_slot(log: Log) -> None:
    """It is asked once, and the next one is asked at once."""
    scheduler = Scheduler(max_in_flight=1)
    for name, takes in [("a", None), ("b", 3.0), ("c", None), ("d", 1.0)]:
        scheduler.schedule(Job(log, name, takes), 1.0)
    await asyncio.sleep(10)
    assert log == [("a", 1.0), ("b", 1.0), ("c", 4.0), ("d", 4.0)]
    assert_nothing_is_left(scheduler)


async def test_a_job_can_schedule_itself_anew(log: Log) -> None:
    """As a transaction does after each poll."""
    scheduler = Scheduler()

    class Poller(Job):
        async def work(self, takes: float) -> None:
            await super().work(takes)
            if len(self.log) < 4:
                scheduler.schedule(self, now() + 5.0)

    scheduler.schedule(Poller(log, "a", 0.5), 5.0)
    await asyncio.sleep(60)
    assert log == [("a", 5.0), ("a", 10.5), ("a", 16.0), ("a", 21.5)]
    assert_nothing_is_left(scheduler)


# --- the cap ----------------------------------------------------------------------------------------------------------


async def test_no_more_than_the_cap_are_in_flight(log: Log) -> None:
    """The others wait in the order in which they became due, and each free slot is used at once."""
    scheduler = Scheduler(max_in_flight=2)
    for name, at, takes in [("a", 1.0, 10.0), ("b", 2.0, 3.0), ("d", 4.0, 1.0), ("c", 3.0, 1.0), ("e", 4.5, 1.0)]:
        scheduler.schedule(Job(log, name, takes), at)
    await asyncio.sleep(4.75)
    assert (scheduler.in_flight, scheduler.waiting) == (2, 3)
    await asyncio.sleep(20)
    assert log == [("a", 1.0), ("b", 2.0), ("c", 5.0), ("d", 6.0), ("e", 7.0)]
    assert_nothing_is_left(scheduler)


@pytest.mark.parametrize("cap", [0, -1])
def test_a_cap_below_one_is_refused(cap: int) -> None:
    """Nothing would ever be served."""
    with pytest.raises(UsageError) as caught:
        Scheduler(max_in_flight=cap)
    assert caught.value.code == "max_in_flight"


# --- changing one's mind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(5.0, 8.0), (8.0, 5.0), (5.0, 5.0)], ids=["later", "earlier", "same"])
async def test_the_last_named_instant_counts(first: float, second: float, log: Log) -> None:
    """A job that is scheduled again is served once."""
    scheduler = Scheduler()
    job = Job(log, "a")
    scheduler.schedule(job, first)
    scheduler.schedule(job, second)
    assert scheduler.waiting == 1
    await asyncio.sleep(20)
    assert log == [("a", second)]


async def test_a_job_that_is_due_can_still_be_put_off(log: Log) -> None:
    """Also one that waits for a slot."""
    scheduler = Scheduler(max_in_flight=1)
    blocker, job = Job(log, "blocker", 5.0), Job(log, "a")
    scheduler.schedule(blocker, 1.0)
    scheduler.schedule(job, 2.0)
    await asyncio.sleep(3)
    scheduler.schedule(job, 9.0)
    await asyncio.sleep(20)
    assert log == [("blocker", 1.0), ("a", 9.0)]


async def test_a_forgotten_job_is_not_served(log: Log) -> None:
    """Whether it had an instant, was due already, or had never come."""
    scheduler = Scheduler(max_in_flight=1)
    blocker, due, early, never = (Job(log, name, 5.0) for name in ("blocker", "due", "early", "never"))
    scheduler.schedule(blocker, 1.0)
    scheduler.schedule(due, 2.0)
    scheduler.schedule(early, 30.0)
    await asyncio.sleep(3)
    for job in (due, early, never):
        scheduler.forget(job)
    assert scheduler.waiting == 0
    await asyncio.sleep(50)
    assert log == [("blocker", 1.0)]
    assert_nothing_is_left(scheduler)


async def test_a_forgotten_job_may_come_back(log: Log) -> None:
    """Forgetting undoes what was said before, not what is said after."""
    scheduler = Scheduler()
    job = Job(log, "a")
    scheduler.schedule(job, 2.0)
    scheduler.forget(job)
    scheduler.schedule(job, 3.0)
    await asyncio.sleep(5)
    assert log == [("a", 3.0)]


async def test_forgetting_does_not_stop_work_in_flight(log: Log) -> None:
    """An answer on its way is still read."""
    scheduler = Scheduler()
    job = Job(log, "a", 5.0)
    scheduler.schedule(job, 1.0)
    await asyncio.sleep(2)
    scheduler.forget(job)
    await asyncio.sleep(5)
    assert job.ended == "done"


# --- many -------------------------------------------------------------------------------------------------------------


async def test_thousands_are_served_in_order_under_the_cap(log: Log) -> None:
    """With one timer, and with tasks only for what is in flight."""
    scheduler = Scheduler(max_in_flight=20)
    rng = random.Random(5)
    instants = {str(number): round(rng.uniform(0, 100), 3) for number in range(5000)}
    most = 0

    class Watcher(Job):
        async def work(self, takes: float) -> None:
            nonlocal most
            most = max(most, scheduler.in_flight)
            assert len(asyncio.all_tasks()) <= 21
            await super().work(takes)

    for name, at in instants.items():
        scheduler.schedule(Watcher(log, name, 0.3), at)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.sleep(1000)
    assert len(log) == 5000
    assert [name for name, _ in log] == sorted(instants, key=lambda name: (instants[name], int(name)))
    assert all(at >= instants[name] for name, at in log)
    assert most == 20
    assert_nothing_is_left(scheduler)


async def test_what_is_forgotten_leaves_the_memory_soon(log: Log) -> None:
    """Thousands of abandoned logins do not stay until their time comes; those that remain are served all the same."""
    scheduler = Scheduler()
    jobs = [Job(log, str(number)) for number in range(2000)]
    for number, job in enumerate(jobs):
        scheduler.schedule(job, 1000.0 + number)
    for job in jobs[:-10]:
        scheduler.forget(job)
    assert scheduler.waiting == 10
    assert len(scheduler._heap) <= SMALL
    gone = weakref.ref(jobs[0])
    del jobs, job
    gc.collect()
    assert gone() is None
    assert scheduler._timer is not None
    assert scheduler._timer.when() == scheduler._heap[0][0]
    await asyncio.sleep(5000)
    assert log == [(str(number), 1000.0 + number) for number in range(1990, 2000)]


async def test_a_job_that_is_scheduled_again_and_again_is_one_entry(log: Log) -> None:
    """Nearly; the heap does not grow with every change of mind."""
    scheduler = Scheduler()
    job = Job(log, "a")
    for number in range(10_000):
        scheduler.schedule(job, 20_000.0 - number)
        assert len(scheduler._heap) <= SMALL + 1
    await asyncio.sleep(30_000)
    assert log == [("a", 10_001.0)]


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_closing_lets_work_in_flight_end(log: Log) -> None:
    """Within the patience; what only waits is dropped, and what comes later is not taken."""
    scheduler = Scheduler(max_in_flight=1)
    working, due, early = Job(log, "working", 5.0), Job(log, "due"), Job(log, "early")
    scheduler.schedule(working, 1.0)
    scheduler.schedule(due, 2.0)
    scheduler.schedule(early, 3.5)
    await asyncio.sleep(3)
    await scheduler.aclose(patience=10.0)
    assert now() == 6.0
    assert working.ended == "done"
    scheduler.schedule(early, 7.0)
    scheduler.forget(due)
    assert_nothing_is_left(scheduler)
    await asyncio.sleep(50)
    assert log == [("working", 1.0)]


@pytest.mark.parametrize("patience", [0.0, 2.0])
async def test_closing_cancels_what_does_not_end_in_time(patience: float, log: Log) -> None:
    """And waits until the cancelled work has cleaned up behind itself."""
    scheduler = Scheduler()
    cleaned: list[float] = []

    class Slow(Job):
        async def work(self, takes: float) -> None:
            try:
                await super().work(takes)
            finally:
                await asyncio.sleep(0.5)
                cleaned.append(now())

    quick, slow = Job(log, "quick", 1.5), Slow(log, "slow", 60.0)
    for job in (quick, slow):
        scheduler.schedule(job, 0.0)
    await asyncio.sleep(0.25)
    await scheduler.aclose(patience=patience)
    assert slow.ended == "cancelled"
    assert quick.ended == ("done" if patience else "cancelled")
    assert cleaned == [now()] == [0.25 + patience + 0.5]
    assert_nothing_is_left(scheduler)


async def test_whoever_closes_may_be_cancelled(log: Log) -> None:
    """Then the work in flight is cancelled at once: nothing stays behind."""
    scheduler = Scheduler()
    job = Job(log, "a", 60.0)
    scheduler.schedule(job, 0.0)
    await asyncio.sleep(1)
    closer = asyncio.create_task(scheduler.aclose(patience=30.0))
    await asyncio.sleep(1)
    closer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closer
    await asyncio.sleep(0)
    assert (job.ended, now()) == ("cancelled", 2.0)
    await asyncio.sleep(0)
    assert_nothing_is_left(scheduler)


@pytest.mark.parametrize(
    "prepare", [lambda _: None, lambda s: s.schedule(Job(Log(), "a"), 5.0)], ids=["idle", "waiting"]
)
async def test_closing_an_idle_scheduler_takes_no_time(prepare: Callable[[Scheduler], None]) -> None:
    """It may be done twice."""
    scheduler = Scheduler()
    prepare(scheduler)
    for _ in range(2):
        await scheduler.aclose(patience=10.0)
    assert now() == 0.0
    assert_nothing_is_left(scheduler)
