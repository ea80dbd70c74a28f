"""Tests of jobs that are moved forward, because there is a reason to serve them now."""

from __future__ import annotations

import asyncio

from tests.jobs import Job, Log, MakeQueue, assert_nothing_is_left


async def test_a_waiting_job_is_moved_forward(log: Log, make_queue: MakeQueue) -> None:
    """Once; it is not served again at the later instant, and never moved back."""
    queue = make_queue()
    job = Job(log, "a")
    queue.schedule(job, 30.0, until=100.0)
    assert queue.hasten(job, 10.0)
    assert not queue.hasten(job, 20.0)
    assert not queue.hasten(job, 10.0)
    await asyncio.sleep(40)
    assert log == [("a", 10.0)]
    assert_nothing_is_left(queue)


async def test_a_job_that_is_not_waiting_is_left_alone(log: Log, make_queue: MakeQueue) -> None:
    """In flight, due, or unknown: it is never served twice at once, and takes nobody's turn."""
    queue = make_queue(max_in_flight=1)
    first, second, third = Job(log, "first", 5.0), Job(log, "second"), Job(log, "third")
    assert not queue.hasten(first, 0.0)
    for job in (first, second, third):
        queue.schedule(job, 1.0)
    await asyncio.sleep(2)
    assert not any(queue.hasten(job, at) for job in (first, third) for at in (-5.0, 1.5, 9.0))
    await asyncio.sleep(10)
    assert log == [("first", 1.0), ("second", 6.0), ("third", 6.0)]
    assert_nothing_is_left(queue)


async def test_its_end_stays(log: Log, make_queue: MakeQueue) -> None:
    """Where there is no place for it, it is served at its end all the same."""
    queue = make_queue(max_in_flight=1)
    queue.schedule(Job(log, "long", 100.0), 0.0)
    job = Job(log, "a")
    queue.schedule(job, 30.0, until=50.0)
    await asyncio.sleep(1)
    assert queue.hasten(job, 10.0)
    await asyncio.sleep(60)
    assert log == [("long", 0.0), ("a", 50.0)]
