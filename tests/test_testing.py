"""Tests of the virtual clock."""

from __future__ import annotations

import asyncio
import doctest
import importlib.util
import math
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import testing
from idura_ciba.aio.clock import Clock
from idura_ciba.testing import VIRTUAL_EPOCH, DeadlockError, VirtualLoop, run_virtual


def now() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()


@given(st.sets(st.integers(0, 3_000_000_000), min_size=1, max_size=50), st.floats(0, 1e7))
def test_every_timer_runs_at_exactly_its_instant(delays: set[int], start: float) -> None:
    """No rounding error stands between a timer and the time that it sees, wherever the clock began."""
    instants = {start + delay / 3000 for delay in delays}

    async def main() -> list[tuple[float, float]]:
        seen: list[tuple[float, float]] = []

        def note(instant: float) -> None:
            seen.append((instant, now()))

        for instant in instants:
            asyncio.get_running_loop().call_at(instant, note, instant)
        await asyncio.sleep(max(delays) / 3000)
        await asyncio.sleep(0)
        return seen

    assert run_virtual(main(), start=start) == [(instant, instant) for instant in sorted(instants)]


def test_ten_thousand_sleeps_add_up_without_drift() -> None:
    """Each sleep ends at the float that its own sum names."""

    async def main() -> None:
        expected = 0.0
        for _ in range(10_000):
            expected += 0.1
            await asyncio.sleep(0.1)
            assert now() == expected

    run_virtual(main())


def test_timers_of_one_instant_all_run_there() -> None:
    """A herd of timers with the same instant is not spread by rounding."""

    async def main() -> set[float]:
        return set(await asyncio.gather(*(wake() for _ in range(1000))))

    async def wake() -> float:
        await asyncio.sleep(0.7)
        return now()

    assert run_virtual(main(), start=0.1) == {0.1 + 0.7}


def test_a_long_wait_is_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asyncio looks up once a day while it waits, the virtual clock needs no look."""
    polls = 0

    async def main() -> float:
        nonlocal polls
        advance = loop._virtual._advance

        def counted() -> None:
            nonlocal polls
            polls += 1
            advance()

        monkeypatch.setattr(loop._virtual, "_advance", counted)
        await asyncio.sleep(100 * 24 * 3600)
        return now()

    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(main()) == 100 * 24 * 3600
        assert polls == 1


@pytest.mark.unmeasured
def test_thousands_of_tasks_run_the_same_each_time() -> None:
    """Two runs agree on each instant and on the order of all steps."""

    async def worker(name: int, draw: random.Random, trace: list[tuple[float, int]]) -> None:
        for _ in range(5):
            with suppress(TimeoutError):
                async with asyncio.timeout(draw.uniform(0, 200)):
                    await asyncio.sleep(draw.uniform(0, 200))
            trace.append((now(), name))

    async def main() -> list[tuple[float, int]]:
        draw = random.Random(7)
        trace: list[tuple[float, int]] = []
        async with asyncio.TaskGroup() as group:
            for name in range(2_000):
                group.create_task(worker(name, draw, trace))
        return trace

    first = run_virtual(main())
    assert first == run_virtual(main())
    assert len(first) == 10_000
    assert first == sorted(first, key=lambda step: step[0])


async def test_time_stands_still_while_something_runs() -> None:
    """However many turns the loop takes, only waiting costs time."""
    before = now()
    for _ in range(100):
        await asyncio.sleep(0)
    assert now() == before


async def test_a_cancelled_timer_does_not_turn_the_clock() -> None:
    """Time jumps to the next timer that is still wanted."""
    before = now()
    for delay in (1, 2, 4):
        asyncio.get_running_loop().call_later(delay, print).cancel()
    await asyncio.sleep(8)
    assert now() == before + 8


async def test_timers_that_are_over_take_no_memory() -> None:
    """A long run does not collect what it has behind it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    for _ in range(100):
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(35)
    await asyncio.sleep(100)
    assert len(loop._virtual.timers) <= 2


async def test_timers_within_the_clocks_resolution_run_together() -> None:
    """Nothing gets stuck on instants so close that asyncio does not tell them apart."""
    before = now()
    await asyncio.gather(asyncio.sleep(0.1 + 0.2), asyncio.sleep(0.3))
    await asyncio.sleep(1)
    assert now() - before == pytest.approx(1.3, abs=1e-9)


async def test_a_timeout_ends_at_its_instant() -> None:
    """`asyncio.timeout` works on virtual time."""
    before = now()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(35):
            await asyncio.Event().wait()
    assert now() == before + 35


def test_the_clock_begins_where_it_is_told() -> None:
    """The start is 0 unless another is asked for."""

    async def main() -> float:
        return now()

    assert run_virtual(main()) == 0.0
    assert run_virtual(main(), start=1000.5) == 1000.5


def test_a_clock_too_far_on_is_refused() -> None:
    """Where asyncio could not tell a timer's instant from the next, an error says so instead of a busy loop."""
    with pytest.raises(OverflowError, match="earlier time"):
        run_virtual(asyncio.sleep(1), start=VIRTUAL_EPOCH)


def test_a_deadlock_is_an_error_that_names_who_waits() -> None:
    """Where a real loop would hang, the run ends, the tasks are cancelled and the loop can be closed."""
    ended: list[str] = []

    async def waits_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("tidied up")

    with pytest.raises(DeadlockError, match="waits_for_ever"):
        run_virtual(waits_for_ever())
    assert ended == ["tidied up"]


def test_what_it_runs_raises_its_own_error_only() -> None:
    """Nothing is said of how the loop was found."""

    async def fails() -> None:
        raise KeyError

    with pytest.raises(KeyError) as caught:
        run_virtual(fails())
    assert caught.value.__context__ is None


def test_sleeping_for_ever_is_a_deadlock() -> None:
    """An infinite sleep never ends, and the clock stays a number."""
    with pytest.raises(DeadlockError):
        run_virtual(asyncio.sleep(math.inf))


def test_timers_that_were_cancelled_do_not_postpone_a_deadlock() -> None:
    """The clock does not move on towards what nobody waits for."""
    loop = VirtualLoop()
    loop.call_later(10, print).cancel()
    with pytest.raises(DeadlockError):
        loop.run_forever()
    assert loop.time() == 0.0
    loop.close()


def test_a_loop_without_tasks_is_a_deadlock_too() -> None:
    """`run_forever` with nothing to run is told so."""
    loop = VirtualLoop()
    with pytest.raises(DeadlockError, match="the loop itself"):
        loop.run_forever()
    loop.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
async def test_a_signal_wakes_the_loop() -> None:
    """What arrives through the loop's own pipe is seen, although nothing else is left to happen."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, came.set)
    try:
        loop.call_later(1, os.kill, os.getpid(), signal.SIGUSR1)
        await came.wait()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


async def test_another_thread_can_call_in() -> None:
    """`call_soon_threadsafe` works, and its callback comes before time moves."""
    came = asyncio.Event()
    before = now()
    thread = threading.Thread(target=asyncio.get_running_loop().call_soon_threadsafe, args=(came.set,))
    thread.start()
    thread.join()
    async with asyncio.timeout(5):
        await came.wait()
    assert now() == before


async def test_an_executor_runs_on_the_loops_own_thread() -> None:
    """Each run is the same and takes no virtual time; other tasks have their turn, as they would with a thread."""
    steps: list[str] = []

    async def other() -> None:
        steps.append("other")

    before = now()
    task = asyncio.create_task(other())
    with ThreadPoolExecutor() as pool:
        ran_in = await asyncio.get_running_loop().run_in_executor(pool, threading.current_thread)
    steps.append("executor")
    await task
    assert ran_in is threading.current_thread()
    assert steps == ["other", "executor"]
    assert await asyncio.to_thread(max, 3, 4) == 4
    assert now() == before


async def test_an_executors_error_reaches_the_awaiter() -> None:
    """An exception of the function is raised where its result is awaited."""
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)


async def test_executor_work_that_is_cancelled_in_time_is_not_done() -> None:
    """As with a thread pool, what has not begun can be called off."""
    done: list[int] = []
    future = asyncio.get_running_loop().run_in_executor(None, done.append, 1)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    await asyncio.sleep(1)
    assert done == []


REAL_THINGS = {
    name
    for name in dir(VirtualLoop)
    if name.startswith(("create_", "sock_", "connect_", "subprocess_", "start_", "send", "getaddr", "getname", "add_"))
} - {"create_future", "create_task", "add_signal_handler"}


@pytest.mark.parametrize("name", sorted(REAL_THINGS))
async def test_nothing_real_can_be_waited_for(name: str) -> None:
    """Whatever asyncio has for sockets, pipes, processes and names is refused, with the reason."""
    with pytest.raises(RuntimeError, match=f"{name}: the virtual clock would jump"):
        await getattr(asyncio.get_running_loop(), name)()


async def test_streams_and_processes_are_refused() -> None:
    """The refusal reaches those who use asyncio's higher interfaces."""
    with pytest.raises(RuntimeError, match="virtual clock"):
        await asyncio.open_connection("127.0.0.1", 1)
    with pytest.raises(RuntimeError, match="virtual clock"):
        await asyncio.create_subprocess_exec(sys.executable)


async def test_wall_time_runs_with_virtual_time(virtual_clock: Clock) -> None:
    """The clock of the fixture shows a fixed date plus the loop's time."""
    before = now()
    assert virtual_clock.wall() == VIRTUAL_EPOCH + before
    await asyncio.sleep(90)
    assert virtual_clock.wall() == VIRTUAL_EPOCH + before + 90
    assert virtual_clock.monotonic() == before + 90
    assert time.gmtime(VIRTUAL_EPOCH)[:6] == (2026, 1, 1, 0, 0, 0)


@pytest.mark.sockets
async def test_a_test_with_sockets_runs_on_a_real_loop() -> None:
    """The marker is the way out of the virtual clock."""
    assert not isinstance(asyncio.get_running_loop(), VirtualLoop)


async def test_any_other_test_runs_on_the_virtual_loop() -> None:
    """A test needs nothing to be fast."""
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)


def test_the_module_works_without_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that only wants the virtual clock needs no test framework."""
    monkeypatch.setitem(sys.modules, "pytest", None)
    spec = importlib.util.spec_from_file_location("testing_without_pytest", testing.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.run_virtual(asyncio.sleep(1, "slept")) == "slept"


def test_the_examples_are_true() -> None:
    """What the docstrings show is what comes out."""
    assert doctest.testmod(testing) == (0, 2)


@pytest.mark.sockets  # a real loop, as a notebook has one
async def test_it_runs_where_a_loop_is_running_already() -> None:
    """In a notebook each cell runs on a loop; what it returns, raises and sees is as without one."""
    seen: ContextVar[str] = ContextVar("seen")
    seen.set("here")

    async def two_minutes() -> tuple[float, str]:
        await asyncio.sleep(120)
        return asyncio.get_running_loop().time(), seen.get()

    assert run_virtual(two_minutes()) == (120.0, "here")
    with pytest.raises(DeadlockError):
        run_virtual(asyncio.Event().wait())
    with pytest.raises(ZeroDivisionError):
        run_virtual(_fails())


async def _fails() -> None:
    raise ZeroDivisionError
