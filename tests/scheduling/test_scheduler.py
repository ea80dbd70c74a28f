"""Tests of the schedulers as their users see them: when jobs are served, queues, the end, and snapshots."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import attrs
import pytest

from idura_ciba.errors import StateError, UsageError
from idura_ciba.scheduling.queues import SMALL
from idura_ciba.scheduling.scheduler import ClientQueue, FairScheduler, IndexScheduler, Snapshot, Throttle
from idura_ciba.testing import run_virtual
from tests.jobs import Job, Log, MakeQueue, Requests, assert_nothing_is_left, now

# --- when and in which order ------------------------------------------------------------------------------------------


async def test_jobs_are_served_at_their_instants(log: Log, make_queue: MakeQueue) -> None:
    """In the order of time, whatever the order in which they came; the past is now."""
    queue = make_queue()
    for name, at in [("c", 9.0), ("a", 2.5), ("d", 9.5), ("b", 7.25), ("at once", -3.0)]:
        queue.schedule(Job(log, name), at)
    assert queue.waiting == 5
    await asyncio.sleep(20)
    assert log == [("at once", 0.0), ("a", 2.5), ("b", 7.25), ("c", 9.0), ("d", 9.5)]
    assert_nothing_is_left(queue)


async def test_nothing_is_served_before_its_time(log: Log, make_queue: MakeQueue) -> None:
    """The timer of an early job does not pull a later one along."""
    queue = make_queue()
    queue.schedule(Job(log, "a"), 5.0)
    queue.schedule(Job(log, "b"), 5.0 + 1e-6)
    await asyncio.sleep(5.0)
    assert [name for name, _ in log] == ["a"]
    await asyncio.sleep(1.0)
    assert [name for name, _ in log] == ["a", "b"]


async def test_jobs_of_one_instant_keep_their_order(log: Log, make_queue: MakeQueue) -> None:
    """First come, first served; jobs need not be comparable."""
    queue = make_queue()
    for number in range(50):
        queue.schedule(Job(log, str(number)), 1.0)
    await asyncio.sleep(2)
    assert log == [(str(number), 1.0) for number in range(50)]


async def test_a_job_that_has_nothing_to_do_takes_no_slot(log: Log, make_queue: MakeQueue) -> None:
    """It is asked once, and the next one is asked at once."""
    queue = make_queue(max_in_flight=1)
    for name, takes in [("a", None), ("b", 3.0), ("c", None), ("d", 1.0)]:
        queue.schedule(Job(log, name, takes), 1.0)
    await asyncio.sleep(10)
    assert log == [("a", 1.0), ("b", 1.0), ("c", 4.0), ("d", 4.0)]
    assert_nothing_is_left(queue)


async def test_a_job_can_schedule_itself_anew(log: Log, make_queue: MakeQueue) -> None:
    """As a transaction does after each poll."""
    queue = make_queue()

    class Poller(Job):
        async def work(self, takes: float) -> None:
            await super().work(takes)
            if len(self.log) < 4:
                queue.schedule(self, now() + 5.0)

    queue.schedule(Poller(log, "a", 0.5), 5.0)
    await asyncio.sleep(60)
    assert log == [("a", 5.0), ("a", 10.5), ("a", 16.0), ("a", 21.5)]
    assert_nothing_is_left(queue)


# --- the cap ----------------------------------------------------------------------------------------------------------


async def test_no_more_than_the_cap_are_in_flight(log: Log, make_queue: MakeQueue) -> None:
    """The others wait in the order in which they became due, and each free slot is used at once."""
    queue = make_queue(max_in_flight=2)
    for name, at, takes in [("a", 1.0, 10.0), ("b", 2.0, 3.0), ("d", 4.0, 1.0), ("c", 3.0, 1.0), ("e", 4.5, 1.0)]:
        queue.schedule(Job(log, name, takes), at)
    await asyncio.sleep(4.75)
    assert (queue.in_flight, queue.waiting) == (2, 3)
    await asyncio.sleep(20)
    assert log == [("a", 1.0), ("b", 2.0), ("c", 5.0), ("d", 6.0), ("e", 7.0)]
    assert_nothing_is_left(queue)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"max_in_flight": -1}, "max_in_flight"),
        ({"max_pending": 0}, "max_pending"),
        ({"rate": 0.0}, "rate"),
        ({"rate": math.inf}, "rate"),
        ({"rate": math.nan}, "rate"),
        ({"guard": 0.99}, "guard"),
        ({"guard": math.nan}, "guard"),
        ({"rate": "200"}, "rate"),
        ({"max_in_flight": "5"}, "max_in_flight"),
        ({"max_pending": 2.5}, "max_pending"),
        ({"guard": True}, "guard"),
    ],
    ids=str,
)
def test_a_limit_that_lets_nothing_through_is_refused(limits: dict[str, Any], code: str) -> None:
    """Nothing would ever be served, or nobody could be."""
    for kind in (IndexScheduler,) if "guard" in limits else (FairScheduler, IndexScheduler):
        with pytest.raises(UsageError) as caught:
            kind(**limits)
        assert caught.value.code == code


# --- changing one's mind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(5.0, 8.0), (8.0, 5.0), (5.0, 5.0)], ids=["later", "earlier", "same"])
async def test_the_last_named_instant_counts(first: float, second: float, log: Log, make_queue: MakeQueue) -> None:
    """A job that is scheduled again is served once."""
    queue = make_queue()
    job = Job(log, "a")
    queue.schedule(job, first)
    queue.schedule(job, second)
    assert queue.waiting == 1
    await asyncio.sleep(20)
    assert log == [("a", second)]


async def test_a_job_that_is_due_can_still_be_put_off(log: Log, make_queue: MakeQueue) -> None:
    """Also one that waits for a slot."""
    queue = make_queue(max_in_flight=1)
    blocker, job = Job(log, "blocker", 5.0), Job(log, "a")
    queue.schedule(blocker, 1.0)
    queue.schedule(job, 2.0)
    await asyncio.sleep(3)
    queue.schedule(job, 9.0)
    await asyncio.sleep(20)
    assert log == [("blocker", 1.0), ("a", 9.0)]


async def test_a_forgotten_job_is_not_served(log: Log, make_queue: MakeQueue) -> None:
    """Whether it had an instant, was due already, or had never come."""
    queue = make_queue(max_in_flight=1)
    blocker, due, early, never = (Job(log, name, 5.0) for name in ("blocker", "due", "early", "never"))
    queue.schedule(blocker, 1.0)
    queue.schedule(due, 2.0)
    queue.schedule(early, 30.0)
    await asyncio.sleep(3)
    for job in (due, early, never):
        queue.forget(job)
    assert queue.waiting == 0
    await asyncio.sleep(50)
    assert log == [("blocker", 1.0)]
    assert_nothing_is_left(queue)


async def test_a_forgotten_job_may_come_back(log: Log, make_queue: MakeQueue) -> None:
    """Forgetting undoes what was said before, not what is said after."""
    queue = make_queue()
    job = Job(log, "a")
    queue.schedule(job, 2.0)
    queue.forget(job)
    queue.schedule(job, 3.0)
    await asyncio.sleep(5)
    assert log == [("a", 3.0)]


async def test_forgetting_does_not_stop_work_in_flight(log: Log, make_queue: MakeQueue) -> None:
    """An answer on its way is still read."""
    queue = make_queue()
    job = Job(log, "a", 5.0)
    queue.schedule(job, 1.0)
    await asyncio.sleep(2)
    queue.forget(job)
    await asyncio.sleep(5)
    assert job.ended == "done"


# --- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
async def test_thousands_are_served_in_order_under_the_cap(log: Log, make_queue: MakeQueue) -> None:
    """With one timer, and with tasks only for what is in flight."""
    queue = make_queue(max_in_flight=20)
    rng = random.Random(5)
    instants = {str(number): round(rng.uniform(0, 100), 3) for number in range(5000)}
    most = 0

    class Watcher(Job):
        async def work(self, takes: float) -> None:
            nonlocal most
            most = max(most, queue.in_flight)
            assert len(asyncio.all_tasks()) <= 21
            await super().work(takes)

    for name, at in instants.items():
        queue.schedule(Watcher(log, name, 0.3), at)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.sleep(1000)
    assert len(log) == 5000
    assert [name for name, _ in log] == sorted(instants, key=lambda name: (instants[name], int(name)))
    assert all(at >= instants[name] for name, at in log)
    assert most == 20
    assert_nothing_is_left(queue)


async def test_what_is_forgotten_leaves_the_memory_soon(log: Log, make_queue: MakeQueue) -> None:
    """Thousands of abandoned logins do not stay until their time comes; those that remain are served all the same."""
    queue = make_queue()
    jobs = [Job(log, str(number)) for number in range(2000)]
    for number, job in enumerate(jobs):
        queue.schedule(job, 1000.0 + number)
    for job in jobs[:-10]:
        queue.forget(job)
    assert queue.waiting == 10
    assert len(queue._engine._heap) <= SMALL
    gone = weakref.ref(jobs[0])
    del jobs, job
    gc.collect()
    assert gone() is None
    assert queue._engine._timer is not None
    assert queue._engine._timer.when() == queue._engine._heap[0].at
    await asyncio.sleep(5000)
    assert log == [(str(number), 1000.0 + number) for number in range(1990, 2000)]


async def test_a_job_that_is_scheduled_again_and_again_is_one_entry(log: Log, make_queue: MakeQueue) -> None:
    """Nearly; the heap does not grow with every change of mind."""
    queue = make_queue()
    job = Job(log, "a")
    for number in range(10_000):
        queue.schedule(job, 20_000.0 - number)
        assert len(queue._engine._heap) <= SMALL + 1
    await asyncio.sleep(30_000)
    assert log == [("a", 10_001.0)]


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_closing_lets_work_in_flight_end(log: Log, make_queue: MakeQueue) -> None:
    """Within the patience; what only waits is dropped, and what comes later is not taken."""
    queue = make_queue(max_in_flight=1)
    working, due, early = Job(log, "working", 5.0), Job(log, "due"), Job(log, "early")
    queue.schedule(working, 1.0)
    queue.schedule(due, 2.0)
    queue.schedule(early, 3.5)
    await asyncio.sleep(3)
    await queue.aclose(patience=10.0)
    assert now() == 6.0
    assert working.ended == "done"
    queue.schedule(early, 7.0)
    queue.forget(due)
    assert_nothing_is_left(queue)
    await asyncio.sleep(50)
    assert log == [("working", 1.0)]


@pytest.mark.parametrize("patience", [0.0, 2.0])
async def test_closing_cancels_what_does_not_end_in_time(patience: float, log: Log, make_queue: MakeQueue) -> None:
    """And waits until the cancelled work has cleaned up behind itself."""
    queue = make_queue()
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
        queue.schedule(job, 0.0)
    await asyncio.sleep(0.25)
    await queue.aclose(patience=patience)
    assert slow.ended == "cancelled"
    assert quick.ended == ("done" if patience else "cancelled")
    assert cleaned == [now()] == [0.25 + patience + 0.5]
    assert_nothing_is_left(queue)


async def test_whoever_closes_may_be_cancelled(log: Log, make_queue: MakeQueue) -> None:
    """Then the work in flight is cancelled at once: nothing stays behind."""
    queue = make_queue()
    job = Job(log, "a", 60.0)
    queue.schedule(job, 0.0)
    await asyncio.sleep(1)
    closer = asyncio.create_task(queue.aclose(patience=30.0))
    await asyncio.sleep(1)
    closer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closer
    await asyncio.sleep(0)
    assert (job.ended, now()) == ("cancelled", 2.0)
    await asyncio.sleep(0)
    assert_nothing_is_left(queue)


@pytest.mark.parametrize(
    "prepare", [lambda _: None, lambda s: s.schedule(Job(Log(), "a"), 5.0)], ids=["idle", "waiting"]
)
async def test_closing_an_idle_scheduler_takes_no_time(
    prepare: Callable[[ClientQueue], None], make_queue: MakeQueue
) -> None:
    """It may be done twice."""
    queue = make_queue()
    prepare(queue)
    for _ in range(2):
        await queue.aclose(patience=10.0)
    assert now() == 0.0
    assert_nothing_is_left(queue)


# --- several clients --------------------------------------------------------------------------------------------------


async def test_queues_share_the_cap_and_the_order(log: Log) -> None:
    """As if all jobs were of one client."""
    scheduler = FairScheduler(max_in_flight=1)
    one, two = scheduler.queue(), scheduler.queue()
    for queue, name, at in [(one, "a", 1.0), (two, "b", 1.5), (one, "c", 2.0), (two, "d", 1.75)]:
        queue.schedule(Job(log, name, 5.0), at)
    await asyncio.sleep(3)
    assert (one.waiting, one.in_flight, two.waiting, two.in_flight) == (1, 1, 2, 0)
    await asyncio.sleep(50)
    assert log == [("a", 1.0), ("b", 6.0), ("d", 11.0), ("c", 16.0)]
    assert_nothing_is_left(one, two)


async def test_closing_a_queue_ends_only_its_own_jobs(log: Log) -> None:
    """Those of the other are served when they were to be, and get the place that came free."""
    scheduler = FairScheduler(max_in_flight=1)
    one, two = scheduler.queue(), scheduler.queue()
    mine, yours, later = Job(log, "mine", 60.0), Job(log, "yours", 1.0), Job(log, "later", 1.0)
    one.schedule(mine, 1.0)
    two.schedule(yours, 2.0)
    two.schedule(later, 50.0)
    for number in range(100):
        one.schedule(Job(log, str(number)), 20.0)
    await asyncio.sleep(3)
    await one.aclose(patience=2.0)
    assert (mine.ended, yours.ended, now()) == ("cancelled", None, 5.0)
    assert (one.waiting, two.waiting, two.in_flight) == (0, 1, 1)
    assert len(two._engine._heap) <= SMALL + 1
    await asyncio.sleep(100)
    assert log == [("mine", 1.0), ("yours", 5.0), ("later", 50.0)]
    assert_nothing_is_left(one, two)


async def test_one_job_in_two_queues_is_two_jobs(log: Log) -> None:
    """Forgetting it here does not forget it there."""
    scheduler = FairScheduler()
    one, two = scheduler.queue(), scheduler.queue()
    job = Job(log, "a")
    one.schedule(job, 1.0)
    two.schedule(job, 2.0)
    one.forget(job)
    await asyncio.sleep(5)
    assert log == [("a", 2.0)]


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "left behind"])
def test_event_loops_may_use_it_one_after_the_other(closes: bool, log: Log) -> None:
    """What the first left behind is gone, what it learned of the provider stays; its clock does not matter."""
    scheduler = FairScheduler(rate=20)

    async def first() -> None:
        queue = scheduler.queue()
        await asyncio.sleep(1000)
        for number in range(20):
            queue.schedule(Job(log, f"first {number}"), 1000.0)
        queue.schedule(Job(log, "never"), 5000.0)
        await asyncio.sleep(0)
        queue.answered(sent_at=999.0)
        for _ in range(4):
            queue.refused(sent_at=1000.0)
        if closes:
            await queue.aclose(patience=1)

    async def second() -> None:
        queue = scheduler.queue()
        queue.schedule(Job(log, "second"), 1.0)
        await asyncio.sleep(10_000)
        assert_nothing_is_left(queue)

    run_virtual(first())
    learned = scheduler.snapshot().allowed
    assert learned == 10.0
    log.clear()
    run_virtual(second())
    assert log == [("second", 1.0)]
    assert scheduler.snapshot().allowed == learned


async def test_two_event_loops_at_once_are_refused(log: Log) -> None:
    """One of them would never be served."""
    scheduler = FairScheduler()
    queue = scheduler.queue()
    queue.schedule(Job(log, "a"), 5.0)

    async def elsewhere() -> None:
        with pytest.raises(StateError) as caught:
            scheduler.queue().schedule(Job(log, "b"), 5.0)
        assert caught.value.code == "scheduler"

    await asyncio.to_thread(_run_beside, elsewhere())
    await asyncio.sleep(10)
    assert log == [("a", 5.0)]


def _run_beside(main: Coroutine[Any, Any, None]) -> None:
    """Run it on another loop while one is running in this thread."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        run_virtual(main)
    finally:
        asyncio._set_running_loop(running)


# --- how things stand -------------------------------------------------------------------------------------------------


async def test_a_snapshot_tells_how_things_stand(log: Log) -> None:
    """Over all queues."""
    scheduler = IndexScheduler(rate=50, max_in_flight=2, max_pending=6)
    one, two = scheduler.queue(), scheduler.queue()
    shot = Snapshot(0, 0, 0.0, 0, 0, 50.0, 50.0, 0.02, 0, 0, 0, 0, scheduler.snapshot().number)
    assert scheduler.snapshot() == shot
    for nth, queue in enumerate([one, two, one, two, one]):
        queue.schedule(Job(log, str(nth), 60.0), 1.0 + nth)
    two.schedule(Job(log, "later"), 100.0)
    request = asyncio.create_task(Requests(one, log).send("request"))
    await asyncio.sleep(7)
    shot = scheduler.snapshot()
    assert attrs.asdict(shot) == {
        "pending": 6, "due": 3, "late": 4.0, "in_flight": 2, "starting": 1, "rate": 50.0, "allowed": 50.0,
        "price": 0.02, "served": 2, "refused": 0, "slow_downs": 0, "learned": 0, "number": shot.number,
    }  # fmt: skip
    request.cancel()
    for queue in (one, two):
        await queue.aclose(patience=0)


async def test_what_only_the_clients_see_is_counted_too() -> None:
    """Over all queues."""
    scheduler = FairScheduler()
    scheduler.queue().note(slow_downs=True, learned=True)
    scheduler.queue().note(learned=3)
    shot = scheduler.snapshot()
    assert (shot.slow_downs, shot.learned) == (1, 4)


@pytest.mark.parametrize(
    ("shot", "text"),
    [
        (
            Snapshot(12, 0, 0.0, 3, 1, math.inf, math.inf, None, 400, 0, 2, 0),
            "12 pending, 0 due, 3 in flight, 1 starting, 400 served, 0 refused, 2 slow_downs, 0 decisions learned",
        ),
        (
            Snapshot(3000, 812, 2.14, 45, 0, 200.0, 187.25, 0.42, 9999, 12, slow_downs=0, learned=31),
            (
                "3000 pending, 812 due for up to 2.1 s, 45 in flight, 0 starting, at most 187.2 of 200 requests/s, "
                "price 0.42 s, 9999 served, 12 refused, 0 slow_downs, 31 decisions learned"
            ),
        ),
        (
            Snapshot(1, 0, 0.0, 0, 0, math.inf, 93.5, None, 1, 1, 0, 0),
            (
                "1 pending, 0 due, 0 in flight, 0 starting, at most 93.5 requests/s, 1 served, 1 refused, "
                "0 slow_downs, 0 decisions learned"
            ),
        ),
    ],
    ids=["no limit", "lowered", "learned"],
)
def test_a_snapshot_prints_as_one_line(shot: Snapshot, text: str) -> None:
    """Limits that there are not are left out."""
    assert str(shot) == text


async def test_who_waits_for_a_low_rate_goes_when_it_is_raised(log: Log) -> None:
    """Polls and starts alike, and at once."""
    scheduler = FairScheduler(rate=0.1)
    queue = scheduler.queue()
    for number in range(20):
        queue.schedule(Job(log, str(number)), 0.0)
    starting = [asyncio.create_task(start_in(queue)) for _ in range(3)]
    await asyncio.sleep(1)
    assert len(log) + sum(task.done() for task in starting) == 1
    scheduler.change_rate(100)
    await asyncio.sleep(0.5)
    assert len(log) == 20
    assert all(task.done() for task in starting)
    assert scheduler.snapshot().rate == scheduler.snapshot().allowed == 100
    assert_nothing_is_left(queue)


async def test_a_lower_rate_holds_at_once(log: Log) -> None:
    """What left in the last second counts."""
    scheduler = FairScheduler(rate=10)
    queue = scheduler.queue()
    for number in range(30):
        queue.schedule(Job(log, str(number)), 0.0)
    await asyncio.sleep(1.05)
    before = len(log)
    scheduler.change_rate(2)
    await asyncio.sleep(5)
    assert before <= 21
    assert len(log) - before <= 11
    with pytest.raises(UsageError):
        scheduler.change_rate(-1)
    assert scheduler.snapshot().rate == 2
    scheduler.change_rate(None)
    await asyncio.sleep(0.1)
    assert len(log) == 30


async def test_the_rate_is_changed_where_the_clients_are(log: Log) -> None:
    """Another event loop would serve jobs that are not its own."""
    scheduler = FairScheduler(rate=10)
    queue = scheduler.queue()
    queue.schedule(Job(log, "a"), 5.0)

    async def elsewhere() -> None:
        with pytest.raises(StateError):
            scheduler.change_rate(20)

    await asyncio.to_thread(_run_beside, elsewhere())
    assert scheduler.snapshot().rate == 10


async def test_what_one_scheduler_has_learned_holds_for_another(log: Log) -> None:
    """It tells that there is news, and the other waits as long and sends as little; what waits there looks again."""
    told: list[str] = []
    one, two = FairScheduler(rate=20), FairScheduler(rate=40)
    first, second = one.queue(), two.queue()
    one.share_throttle(lambda: told.append("one"), within=1.0)
    second.share_throttle(lambda: told.append("two"), within=1.0)
    for _ in range(20):
        first.answered(sent_at=0.0)
    await asyncio.sleep(1)
    for _ in range(8):
        first.refused(sent_at=0.5, retry_after=5.0)
    assert told == ["one", "one"]  # that it must wait, and that the rate is cut
    throttle = first.throttle()
    assert throttle == one.throttle() == Throttle(1, 0.9, 18.0, 5.0)
    second.take_over(throttle)
    second.schedule(Job(log, "late"), 1.0)
    assert two.snapshot().allowed == pytest.approx(36.0)
    await asyncio.sleep(4.9)
    assert len(log) == 0
    await asyncio.sleep(0.2)
    assert len(log) == 1
    one.change_rate(10, in_part=True)
    assert one.snapshot().allowed == pytest.approx(9.0)
    two.take_over(Throttle(2, 0.5))
    assert two.snapshot().allowed == pytest.approx(20.0)
    assert told == ["one", "one"]


async def start_in(queue: ClientQueue) -> None:
    """An authentication request that takes no time."""
    async with queue.admit():
        pass
