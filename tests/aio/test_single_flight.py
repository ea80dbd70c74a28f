"""Tests of work that many wait for and that is done once."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from idura_ciba.aio.single_flight import SingleFlight
from idura_ciba.errors import StateError, TransportError


class Work:
    """Takes two seconds; its result is its number, or an error in its place."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.cancelled = 0
        self.error = error

    async def __call__(self) -> int:
        """Count and wait."""
        self.begun += 1
        number = self.begun
        try:
            await asyncio.sleep(2)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return number


def now() -> float:
    """The virtual instant."""
    return asyncio.get_running_loop().time()


async def test_whoever_asks_meanwhile_gets_the_same_result() -> None:
    """The work begins once, and everybody has it at the same instant."""
    flight = SingleFlight(work := Work())
    first = asyncio.create_task(flight.run())
    await asyncio.sleep(1.5)
    assert await asyncio.gather(first, flight.run(), flight.run()) == [1, 1, 1]
    assert (work.begun, now()) == (1, 2.0)


async def test_whoever_asks_later_begins_anew() -> None:
    """Nothing is remembered: that is a cache's business."""
    flight = SingleFlight(Work())
    assert [await flight.run(), await flight.run()] == [1, 2]


async def test_all_get_the_same_error_and_the_next_one_tries_again() -> None:
    """A failure is a result like any other."""
    flight = SingleFlight(work := Work(ValueError("no")))
    results = await asyncio.gather(flight.run(), flight.run(), return_exceptions=True)
    assert results == [work.error, work.error]
    work.error = None
    assert await flight.run() == 2


async def test_each_waiter_gets_an_error_of_its_own() -> None:
    """What one of them writes on it does not turn up in another's, and no traceback of the work is kept."""
    original = TransportError("no answer", code="odd", phone="It rings", advice="wait")
    flight = SingleFlight(Work(original))
    first, second = await asyncio.gather(flight.run(), flight.run(), return_exceptions=True)
    assert isinstance(first, TransportError)
    assert isinstance(second, TransportError)
    assert len({id(first), id(second), id(original)}) == 3
    assert str(first) == str(second) == str(original)
    first.trace_id = "mine"
    assert second.trace_id is original.trace_id is None
    assert first.__context__ is None


async def test_a_waiter_that_is_cancelled_leaves_the_others_alone() -> None:
    """Even the one for whom it was begun."""
    flight = SingleFlight(work := Work())
    first = asyncio.create_task(flight.run())
    second = asyncio.create_task(flight.run())
    await asyncio.sleep(1)
    first.cancel()
    assert await second == 1
    assert first.cancelled()
    assert (work.begun, work.cancelled) == (1, 0)


async def test_work_goes_on_when_nobody_waits_any_more() -> None:
    """Whoever comes next joins it."""
    flight = SingleFlight(work := Work())
    waiter = asyncio.create_task(flight.run())
    await asyncio.sleep(1)
    waiter.cancel()
    await asyncio.sleep(0.5)
    assert await flight.run() == 1
    assert (work.begun, now()) == (1, 2.0)


async def test_a_failure_that_nobody_waits_for_is_silent() -> None:
    """The loop does not complain of an exception that was never retrieved."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    flight = SingleFlight(work := Work(ValueError("no")))
    waiter = asyncio.create_task(flight.run())
    await asyncio.sleep(1)
    waiter.cancel()
    await asyncio.sleep(5)
    del flight, waiter
    gc.collect()
    assert work.begun == 1
    assert complaints == []


async def test_closing_stops_the_work_for_whoever_waits() -> None:
    """At once, with an error that says so, and nothing stays behind; nobody is taken for cancelled."""
    flight = SingleFlight(work := Work())
    waiter = asyncio.create_task(flight.run())
    await asyncio.sleep(1)
    await flight.aclose()
    assert (work.cancelled, now()) == (1, 1.0)
    with pytest.raises(StateError) as caught:
        await waiter
    assert caught.value.code == "closed"
    assert caught.value.__context__ is None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_is_cancelled_while_the_work_is_stopped_stays_cancelled() -> None:
    """A cancellation is never turned into anything else."""
    flight = SingleFlight(Work())
    waiter = asyncio.create_task(flight.run())
    await asyncio.sleep(1)
    waiter.cancel()
    await flight.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert waiter.cancelled()


async def test_closing_has_nothing_to_do_before_and_after_the_work() -> None:
    """It may be done at any time and twice."""
    flight = SingleFlight(work := Work())
    await flight.aclose()
    assert await flight.run() == 1
    await flight.aclose()
    await flight.aclose()
    assert (work.begun, work.cancelled) == (1, 0)
