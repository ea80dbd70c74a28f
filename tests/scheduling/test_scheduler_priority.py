"""Tests of the schedulers: which of the jobs that are due is served first, and which needs no place at all."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from typing import Any

import pytest

from idura_ciba.errors import UsageError
from idura_ciba.scheduling.queues import SMALL
from idura_ciba.scheduling.scheduler import FairScheduler, IndexScheduler
from tests.jobs import Job, Log, MakeQueue, Priced, assert_nothing_is_left

# --- who comes first --------------------------------------------------------------------------------------------------


async def test_the_index_scheduler_serves_first_what_is_worth_most(log: Log) -> None:
    """Whatever the order in which they became due."""
    queue = IndexScheduler(max_in_flight=1).queue()
    queue.schedule(Job(log, "blocker", 10.0), 0.0)
    for name, slope, at in [("late", 300.0, 1.0), ("early", 100.0, 3.0), ("never", math.inf, 1.5), ("mid", 200.0, 2.0)]:
        queue.schedule(Priced(log, name, slope, 1.0), at)
    await asyncio.sleep(50)
    assert [name for name, _ in log] == ["blocker", "early", "mid", "late", "never"]
    assert_nothing_is_left(queue)


@pytest.mark.parametrize(
    ("kind", "order"),
    [(FairScheduler, ["not yet", "a", "b", "c"]), (IndexScheduler, ["a", "not yet", "b", "c"])],
)
async def test_an_urgent_job_goes_first(log: Log, kind: type[FairScheduler], order: list[str]) -> None:
    """From the instant on that it names, and not before."""
    queue = kind(max_in_flight=1).queue()
    queue.schedule(Job(log, "blocker", 10.0), 0.0)
    urgent, not_yet = Priced(log, "urgent", 1e9, 1.0), Priced(log, "not yet", 1e9, 1.0)
    urgent.urgent_at, not_yet.urgent_at = 9.0, 11.5
    for job in (not_yet, urgent, Priced(log, "a", 1.0, 1.0), Priced(log, "b", 2.0, 1.0), Priced(log, "c", 3.0, 1.0)):
        queue.schedule(job, 1.0)
    await asyncio.sleep(50)
    assert [name for name, _ in log] == ["blocker", "urgent", *order]


@pytest.mark.parametrize("answer", [math.nan, ZeroDivisionError(), asyncio.CancelledError(), "soon", None], ids=repr)
async def test_a_broken_price_stops_nobody(answer: object, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """Its job is served in its turn, and the fault is logged once."""

    class Broken(Priced):
        def due(self, price: float) -> Any:
            del price
            if isinstance(answer, BaseException):
                raise answer
            return answer

    queue = IndexScheduler(max_in_flight=1).queue()
    queue.schedule(Job(log, "blocker", 10.0), 0.0)
    jobs = [Broken(log, "broken", 0.0), Priced(log, "a", 50.0), Priced(log, "b", 500.0), Broken(log, "broken too", 0.0)]
    for nth, job in enumerate(jobs):
        queue.schedule(job, 2.0 + nth)
    with caplog.at_level(logging.WARNING, logger="idura_ciba"):
        await asyncio.sleep(50)
    assert [name for name, _ in log] == ["blocker", "a", "broken", "broken too", "b"]
    assert len(caplog.records) == 1
    assert_nothing_is_left(queue)


@pytest.mark.parametrize("while_working", [False, True])
async def test_a_job_that_fails_stops_nobody(while_working: bool, log: Log, make_queue: MakeQueue) -> None:
    """It is reported as asyncio reports what nobody waits for, and the next one has its place."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    class Failing(Job):
        def serve(self) -> Coroutine[Any, Any, None] | None:
            self.log.note(self.name)
            if not while_working:
                raise ZeroDivisionError
            return self.fail()

        async def fail(self) -> None:
            raise ZeroDivisionError

    queue = make_queue(max_in_flight=1)
    for job in (Failing(log, "failing"), Job(log, "next", 1.0), Failing(log, "failing too"), Job(log, "last")):
        queue.schedule(job, 1.0)
    await asyncio.sleep(5)
    assert log == [("failing", 1.0), ("next", 1.0), ("failing too", 2.0), ("last", 2.0)]
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError] * 2
    assert_nothing_is_left(queue)


@pytest.mark.parametrize("at", [math.nan, math.inf])
async def test_an_instant_that_never_comes_is_refused(at: float, log: Log, make_queue: MakeQueue) -> None:
    """NaN in a heap would put all others out of order."""
    queue = make_queue()
    with pytest.raises(UsageError):
        queue.schedule(Job(log, "a"), at)
    assert_nothing_is_left(queue)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FairScheduler, IndexScheduler])
@pytest.mark.parametrize("short_of", ["places", "requests"])
async def test_an_end_needs_no_place(log: Log, kind: type[FairScheduler], short_of: str) -> None:
    """What waits is asked when its end comes, in the order of ends, and never again for that instant."""
    queue = kind(max_in_flight=1).queue() if short_of == "places" else kind(rate=0.01).queue()
    queue.schedule(Job(log, "long", 100.0), 1.0)
    for name, at, until in [("a", 2.0, 9.0), ("b", 3.0, 7.0), ("early", 3.0, 2.0)]:
        queue.schedule(Job(log, name, None), at, until=until)
    gone = Job(log, "gone", None)
    queue.schedule(gone, 3.0, until=5.0)
    await asyncio.sleep(4)
    queue.forget(gone)
    await asyncio.sleep(200)
    assert log == [("long", 1.0), ("early", 3.0), ("b", 7.0), ("a", 9.0)]
    assert not queue._engine._ends
    assert_nothing_is_left(queue)


@pytest.mark.unmeasured
async def test_ends_that_did_not_come_are_not_kept(log: Log, make_queue: MakeQueue) -> None:
    """Neither of what was served at once, nor of what had to wait for a while."""
    queue = make_queue(rate=50)
    queue.schedule(Job(log, "far away"), 1e6)
    for second in range(100):
        for nth in range(40 if second else 4000):
            queue.schedule(Job(log, f"{second} {nth}"), second + 0.5, until=1e5)
        await asyncio.sleep(1)
        assert len(queue._engine._ends) <= 2 * len(queue._engine.queue) + SMALL
    await asyncio.sleep(200)
    assert len(queue._engine._ends) <= SMALL
    await queue.aclose(patience=0)


@pytest.mark.parametrize("fault", [KeyError, asyncio.CancelledError])
@pytest.mark.parametrize("kind", [FairScheduler, IndexScheduler])
async def test_a_job_that_breaks_stalls_nobody(log: Log, kind: type[FairScheduler], fault: type[BaseException]) -> None:
    """The loop hears of it, and the others are served at their instants."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    class Broken(Job):
        def serve(self) -> None:
            raise fault

    queue = kind(max_in_flight=1).queue()
    jobs = [Broken(log, "x"), Job(log, "a", 1.0), Broken(log, "y"), Job(log, "b"), Broken(log, "z")]
    for nth, job in enumerate(jobs):
        queue.schedule(job, 1.0, until=1.5 + nth / 10)
    await asyncio.sleep(5)
    assert sorted(log) == [("a", 1.0), ("b", 1.8)]
    assert [type(complaint["exception"]) for complaint in complaints] == [fault] * 3
    assert_nothing_is_left(queue)
