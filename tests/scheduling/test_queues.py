"""Tests of who comes first among those that are due."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.scheduling.jobs import Entry, Owner
from idura_ciba.scheduling.queues import HIGHEST_PRICE, SMALL, FifoQueue, IndexQueue


class Job:
    """Worth a price from `key` on, and from `slope` seconds later for each second of it."""

    def __init__(self, key: float, slope: float = 0.0, urgent_at: float = math.inf) -> None:
        self.key, self.slope, self.urgent_at = key, slope, urgent_at
        self.asked = 0

    def serve(self) -> None:
        """Nothing to do."""

    def due(self, price: float) -> float:
        """In proportion to the price."""
        self.asked += 1
        return self.key + self.slope * price


def entry(job: Job, at: float = 0.0) -> Entry:
    """One that has become due."""
    return Entry(at, 0, job, Owner())


def take(queue: FifoQueue, now: float, *, pending: int = 10, throughput: float = 1.0) -> Job | None:
    """Serve one, as an engine does."""
    chosen = queue.choose(now, pending=pending, throughput=throughput)
    if chosen is None:
        return None
    job, chosen.job = chosen.job, None
    queue.discard()
    assert isinstance(job, Job)
    return job


@given(
    kind=st.sampled_from([FifoQueue, IndexQueue, lambda: IndexQueue(guard=1.2)]),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.floats(0, 50), st.one_of(st.floats(0, 50), st.just(math.inf))),
            st.tuples(st.just("take"), st.floats(0, 2), st.just(0.0)),
            st.tuples(st.just("forget"), st.floats(0, 1), st.just(0.0)),
        ),
        max_size=300,
    ),
)
def test_nobody_is_lost_and_nobody_comes_twice(
    kind: Callable[[], FifoQueue], steps: list[tuple[str, float, float]]
) -> None:
    """Whoever was pushed and not forgotten comes out once; stale entries are no more than a few beside the live."""
    queue, entries, out, now = kind(), list[Entry](), Counter[Job](), 0.0
    for what, number, urgent_at in steps:
        live = [waiting for waiting in entries if waiting.job is not None]
        if what == "push":
            entries.append(entry(Job(number, 1.0, urgent_at), now))
            queue.push(entries[-1])
        elif what == "take":
            now += number
            job = take(queue, now)
            assert (job is None) == (not live)
            out[job] += job is not None
        elif live:
            live[int(number * (len(live) - 1))].job = None
            queue.discard()
        assert len(queue) == sum(waiting.job is not None for waiting in entries)
    rest = [waiting.job for waiting in entries if waiting.job is not None]
    while (job := take(queue, now)) is not None:
        out[job] += 1
        assert job in rest
    assert not len(queue)
    assert set(out.values()) <= {0, 1}


def test_round_robin_goes_by_when_one_became_due() -> None:
    """And asks no job what it is worth."""
    queue = FifoQueue()
    jobs = [Job(float(-nth)) for nth in range(5)]
    for job in jobs:
        queue.push(entry(job))
    assert [take(queue, 1.0) for _ in range(6)] == [*jobs, None]
    assert not any(job.asked for job in jobs)
    assert queue.price is None


def test_the_smallest_key_comes_first() -> None:
    """Each job is asked once, however long it waits."""
    queue = IndexQueue()
    jobs = [Job(key) for key in (5.0, 3.0, 4.0, math.inf, 1.0)]
    for job in jobs:
        queue.push(entry(job))
    assert [take(queue, 6.0 + nth) for nth in range(5)] == [jobs[nth] for nth in (4, 1, 2, 0, 3)]
    assert {job.asked for job in jobs} == {1}


def test_who_is_alone_is_not_compared() -> None:
    """Under the budget a price costs nothing."""
    queue, job = IndexQueue(), Job(1e9)
    queue.push(entry(job))
    assert take(queue, 1.0) is job
    assert job.asked == 0


def test_equal_keys_keep_their_order() -> None:
    """First come, first served."""
    queue, jobs = IndexQueue(), [Job(1.0, urgent_at=2.0) for _ in range(20)]
    for job in jobs:
        queue.push(entry(job))
    assert [take(queue, nth / 2) for nth in range(20)] == jobs


def test_a_job_without_a_price_counts_by_its_instant() -> None:
    """It stands where a job stands whose price is reached when it is due."""

    class Plain:
        def serve(self) -> None:
            """Nothing to do."""

    queue, plain, early, late = IndexQueue(), Plain(), Job(1.0), Job(3.0)
    queue.push(Entry(2.0, 0, plain, Owner()))  # type: ignore[arg-type]
    for job in (late, early):
        queue.push(entry(job, 2.0))
    chosen = []
    while (found := queue.choose(5.0, pending=3, throughput=1.0)) is not None:
        chosen.append(found.job)
        found.job = None
        queue.discard()
    assert chosen == [early, plain, late]


@pytest.mark.parametrize(("ahead", "rises"), [(-1.0, True), (0.0, None), (1.0, False)])
def test_the_price_follows_the_load_slowly(ahead: float, rises: bool | None) -> None:
    """Up while the smallest key is past, down while it is to come; by a factor e in one round at most."""
    queue = IndexQueue()
    queue.price = 1.0
    pending, throughput = 50, 5.0
    cycle, now = pending / throughput, 0.0
    for nth in itertools.count():
        for _ in range(2):
            queue.push(entry(Job(now + 100 * cycle * ahead)))
        for _ in range(2):
            take(queue, now, pending=pending, throughput=throughput)
        if nth >= cycle * throughput:
            break
        now += 1 / throughput
    assert queue.price == pytest.approx({True: math.e, None: 1.0, False: 1 / math.e}[rises])


def test_the_price_stays_within_bounds() -> None:
    """Whatever is asked of it, for however long."""
    for key, bound in ((-math.inf, HIGHEST_PRICE), (math.inf, 0.02)):
        queue = IndexQueue()
        for nth in range(2000):
            queue.push(entry(Job(key)))
            queue.push(entry(Job(key)))
            take(queue, float(nth), pending=2)
        assert queue.price == bound


def overloaded(queue: FifoQueue, *, jobs: int, throughput: float, seconds: float, interval: float) -> dict[Job, float]:
    """The longest time between two services of each job; all want one each `interval`, and half count little."""
    crowd = [Job(0.0) for _ in range(jobs)]
    due = sorted((nth * interval / jobs, nth) for nth in range(jobs))
    served, longest = dict.fromkeys(crowd, 0.0), dict.fromkeys(crowd, 0.0)
    for tick in range(int(seconds * throughput)):
        now = tick / throughput
        while due and due[0][0] <= now:
            at, nth = due.pop(0)
            crowd[nth].key = at + (1000.0 if nth % 2 else 0.0)
            queue.push(entry(crowd[nth], at))
        job = take(queue, now, pending=jobs, throughput=throughput)
        if job is not None:
            longest[job] = max(longest[job], now - served[job])
            served[job] = now
            due.append((now + interval, crowd.index(job)))
    return {job: max(gap, seconds - served[job]) for job, gap in longest.items()}


@pytest.mark.parametrize("load", [2, 4])
def test_the_guard_lets_nobody_wait_much_longer_than_round_robin(load: int) -> None:
    """Without it those that count little starve. With it they go first after 1.2 rounds, and wait for each other."""
    jobs, interval = 60, 3.0
    throughput = jobs / interval / load
    fair, free, guarded = (
        max(overloaded(queue, jobs=jobs, throughput=throughput, seconds=200, interval=interval).values())
        for queue in (FifoQueue(), IndexQueue(), IndexQueue(guard=1.2))
    )
    assert fair <= jobs / throughput + 1
    assert free > 10 * fair
    assert guarded <= 1.5 * fair


def test_stale_entries_are_cleared_away() -> None:
    """Also behind one that is never served, and those that were served long before they were urgent."""
    queue = IndexQueue()
    queue.push(entry(Job(math.inf)))
    for nth in range(5000):
        for _ in range(2 if nth < 10 else 1):
            queue.push(entry(Job(float(nth), urgent_at=1e6 - nth), float(nth)))
        take(queue, float(nth))
    kept = (queue._order, queue._by_key, queue._by_urgency, queue._fresh)
    assert all(len(container) <= SMALL + 1 for container in kept)
    queue.clear()
    assert not any((queue._order, queue._by_key, queue._by_urgency, queue._fresh))
    assert queue.first() is None
