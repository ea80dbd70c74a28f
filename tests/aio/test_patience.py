"""Tests of a timeout that lets a loop that was blocked read first."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba.aio.patience import GRACE, LATE, PatientTimeout
from tests.fakes import block


async def test_it_runs_out_at_its_instant() -> None:
    """As `asyncio.timeout_at` does; without an instant, never."""
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError), PatientTimeout(loop.time() + 3):
        await asyncio.sleep(10)
    assert loop.time() == 3
    with PatientTimeout(None):
        await asyncio.sleep(1000)
    with PatientTimeout(loop.time() + 3):
        await asyncio.sleep(2)
    await asyncio.sleep(10)


@pytest.mark.parametrize(
    ("late", "ends_at"), [(LATE / 2, 3 + LATE / 2), (LATE * 2, 3 + LATE * 2 + GRACE), (40, 43 + GRACE)]
)
async def test_a_blocked_loop_gets_a_moment_to_read(late: float, ends_at: float) -> None:
    """A loop that was merely busy does not."""
    loop = asyncio.get_running_loop()
    loop.call_at(2.999, block, 0.001 + late)
    with pytest.raises(TimeoutError), PatientTimeout(3):
        await asyncio.sleep(1000)
    assert loop.time() == pytest.approx(ends_at)


async def test_what_arrived_while_the_loop_was_blocked_is_taken() -> None:
    """It needs some turns of the loop: the socket is read, a future is done, a task wakes up."""
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()
    loop.call_at(1, block, 40)
    loop.call_at(20, lambda: loop.call_soon(loop.call_soon, arrived.set_result, 1))
    with PatientTimeout(10):
        assert await arrived == 1


async def test_a_loop_that_goes_on_just_when_the_timer_is_due_reads_first() -> None:
    """Then nothing is late but the answer's reader."""
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()
    loop.call_at(1, block, 9.001)
    loop.call_at(2, lambda: loop.call_soon(loop.call_soon, arrived.set_result, 1))
    with PatientTimeout(10):
        assert await arrived == 1
    with PatientTimeout(loop.time() + 1):
        await asyncio.sleep(1)


async def test_another_instant_takes_the_place_of_the_first() -> None:
    """Sooner, later, and never."""
    loop = asyncio.get_running_loop()
    with PatientTimeout(1) as timeout:
        timeout.reschedule(50)
        await asyncio.sleep(20)
        timeout.reschedule(None)
        await asyncio.sleep(1000)
    with PatientTimeout(None) as timeout:
        timeout.reschedule(loop.time() + 100)
        await asyncio.sleep(20)


async def test_a_cancellation_of_somebody_else_stays_one() -> None:
    """And no timer is left behind."""

    async def wait() -> None:
        with PatientTimeout(100):
            await asyncio.sleep(50)

    task = asyncio.create_task(wait())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("first", ["somebody", "the timeout"])
async def test_two_cancellations_in_one_turn_are_somebody_elses(first: str) -> None:
    """Who is cancelled must not go on because a timeout ran out just then."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    async def wait() -> None:
        with PatientTimeout(5 if first == "the timeout" else 5.0001):
            await asyncio.sleep(50)

    waiting = asyncio.create_task(wait())
    loop.call_at(5.0001 if first == "the timeout" else 5, waiting.cancel)
    loop.call_at(4, block, 1.1)  # both timers are due in the same turn
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not task.cancelling()


async def test_of_two_the_one_that_ran_out_is_told() -> None:
    """An outer one passes through an inner one, and leaves the task as it was."""
    told: list[str] = []
    task = asyncio.current_task()
    assert task is not None
    try:
        with PatientTimeout(5):
            try:
                with PatientTimeout(100):
                    await asyncio.sleep(50)
            except TimeoutError:
                told.append("inner")
    except TimeoutError:
        told.append("outer")
    assert told == ["outer"]
    assert not task.cancelling()


async def test_whoever_ignores_it_goes_on_uncancelled() -> None:
    """As with `asyncio.timeout`, what is raised instead counts, or that nothing is."""
    task = asyncio.current_task()
    assert task is not None

    async def ignore(error: type[Exception] | None) -> None:
        with PatientTimeout(asyncio.get_running_loop().time() + 5):
            try:
                await asyncio.sleep(50)
            except asyncio.CancelledError:
                if error:
                    raise error from None

    await ignore(None)
    with pytest.raises(KeyError):
        await ignore(KeyError)
    assert not task.cancelling()


async def test_it_is_for_tasks() -> None:
    """There is nothing to cancel in a callback."""
    told: list[str] = []

    def enter() -> None:
        try:
            PatientTimeout(5).__enter__()
        except RuntimeError as error:
            told.append(str(error))

    asyncio.get_running_loop().call_soon(enter)
    await asyncio.sleep(0)
    assert told == ["a timeout needs a task"]
