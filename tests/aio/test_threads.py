"""Tests of our own threads: as many as are needed, no more than allowed, and none that keeps anything from ending."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import pytest

from idura_ciba.aio import threads
from idura_ciba.aio.threads import OwnThreads


def serving(name: str) -> int:
    """How many threads of a name there are."""
    return sum(thread.name == name for thread in threading.enumerate())


def test_each_call_gets_its_own_result_or_error() -> None:
    """Also what no future takes from asyncio."""
    pool = OwnThreads("own", 3)
    futures = [pool.submit(divmod, nth, 3) for nth in range(100)]
    assert [future.result(20) for future in futures] == [divmod(nth, 3) for nth in range(100)]
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(20)


def test_so_many_calls_run_at_once_and_the_others_wait() -> None:
    """A thread that is free is used before a new one is started."""
    pool, meeting = OwnThreads("so many", 2), threading.Barrier(2, timeout=20)
    for _ in range(3):
        pair = [pool.submit(meeting.wait) for _ in range(2)]
        assert {future.result(20) for future in pair} == {0, 1}
    assert serving("so many") == 2
    release = threading.Event()
    held = [pool.submit(release.wait, 20) for _ in range(2)]
    third: Future[int] = pool.submit(int)
    assert not third.done()
    release.set()
    assert third.result(20) == 0
    assert all(future.result(20) for future in held)


def test_idle_threads_end_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of a program that does not use them."""
    monkeypatch.setattr(threads, "IDLE", 0.01)
    pool = OwnThreads("idle", 4)
    for _ in range(2):
        assert pool.submit(int).result(20) == 0
        for thread in threading.enumerate():
            if thread.name == "idle":
                thread.join(20)
        assert serving("idle") == 0
    assert (pool._threads, pool._free) == (0, 0)


def test_what_is_cancelled_in_time_is_not_called() -> None:
    """As with any executor."""
    pool, release, called = OwnThreads("cancelled", 1), threading.Event(), list[int]()
    busy = pool.submit(release.wait, 20)
    waiting = pool.submit(called.append, 1)
    assert waiting.cancel()
    release.set()
    assert busy.result(20)
    pool.submit(int).result(20)
    assert called == []


def test_a_call_that_hangs_does_not_keep_the_interpreter() -> None:
    """A name look-up that never answers must not keep a command from ending."""
    program = (
        "import asyncio, time\n"
        "from idura_ciba.aio.threads import OwnThreads\n"
        "async def main():\n"
        "    asyncio.get_running_loop().run_in_executor(OwnThreads('hung', 1), time.sleep, 60)\n"
        "asyncio.run(main())\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
    assert time.monotonic() - began < 40


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
async def test_it_is_an_executor_of_the_event_loop() -> None:
    """And works while the application's is full."""
    loop, release = asyncio.get_running_loop(), threading.Event()
    hogs = [loop.run_in_executor(None, release.wait, 20) for _ in range(64)]
    pool = OwnThreads("beside", 1)
    assert await asyncio.wait_for(loop.run_in_executor(pool, max, 3, 4), 20) == 4
    release.set()
    await asyncio.gather(*hogs)
    pool.shutdown()
    assert await loop.run_in_executor(pool, int) == 0
