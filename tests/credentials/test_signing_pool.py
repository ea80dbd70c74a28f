"""Slow signatures on threads: everybody gets their own, the loop is called once for many, and nothing is left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from idura_ciba.credentials.signing_pool import SigningPool


async def test_on_a_virtual_clock_it_is_called_too() -> None:
    """There the loop itself does it; many at once, and again later."""
    pool = SigningPool[int](threads=2)
    for _ in range(2):
        assert await asyncio.gather(*(pool.call(partial(pow, 2, nth)) for nth in range(50))) == [
            2**n for n in range(50)
        ]


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
async def test_everybody_gets_their_own() -> None:
    """Of a thousand who ask at once and again, whatever some of them raise."""
    pool = SigningPool[int](threads=3)

    def work(nth: int) -> int:
        if nth % 7 == 0:
            raise ValueError(nth)
        return nth

    for first in (0, 1000):
        numbers = range(first, first + 1000)
        calls = (pool.call(partial(work, nth)) for nth in numbers)
        for nth, answer in zip(numbers, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            assert repr(answer) == (repr(ValueError(nth)) if nth % 7 == 0 else repr(nth))
    assert not pool._asked
    assert not pool._answered


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
async def test_so_many_work_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a thread of its own, and none is the loop's."""
    loop, pool = asyncio.get_running_loop(), SigningPool[int](threads=2)
    begun, real, meeting = [], loop.run_in_executor, threading.Barrier(2, timeout=20)

    def counted(*arguments: Any) -> asyncio.Future[Any]:
        begun.append(arguments)
        return real(*arguments)

    def work() -> int:
        meeting.wait()  # passes only where two are here
        return threading.get_ident()

    monkeypatch.setattr(loop, "run_in_executor", counted)
    asking = [asyncio.create_task(pool.call(work)) for _ in range(8)]
    await asyncio.sleep(0)  # all have asked, and the loop has heard of no end yet
    assert len(begun) == 2
    idents = await asyncio.gather(*asking)
    assert threading.get_ident() not in idents
    assert len(set(idents)) >= 2


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
async def test_what_is_ready_is_handed_over_together() -> None:
    """However much was made while the loop was busy, it is called once."""
    loop, pool = asyncio.get_running_loop(), SigningPool[int](threads=1)
    calls, real, go_on, last = 0, loop.call_soon_threadsafe, threading.Event(), threading.Event()

    def counted(callback: Callable[..., object], *arguments: Any, **options: Any) -> asyncio.Handle:
        nonlocal calls
        calls += callback == pool._hand_over
        return real(callback, *arguments, **options)

    loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]

    def finish() -> int:
        last.set()
        return 1

    works: list[Callable[[], int]] = [partial(go_on.wait, 20), *(int for _ in range(100)), finish]
    asking = [asyncio.create_task(pool.call(work)) for work in works]
    await asyncio.sleep(0)
    go_on.set()
    assert last.wait(20)  # the loop does nothing meanwhile
    assert sum(await asyncio.gather(*asking)) == 2
    assert calls <= 2  # the last one may be made after the loop has looked


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
async def test_what_is_cancelled_in_time_is_not_called() -> None:
    """And what was under way troubles nobody."""
    pool, begun, go_on = SigningPool[int](threads=1), threading.Event(), threading.Event()
    called: list[str] = []

    def slow() -> int:
        called.append("slow")
        begun.set()
        assert go_on.wait(20)
        return 1

    def quick() -> int:
        called.append("quick")
        return 2

    under_way, waiting, kept = (asyncio.create_task(pool.call(work)) for work in (slow, quick, quick))
    await asyncio.sleep(0)
    assert begun.wait(20)
    for task in (under_way, waiting):
        task.cancel()
    await asyncio.gather(under_way, waiting, return_exceptions=True)
    go_on.set()
    assert await kept == 2
    assert called == ["slow", "quick"]
    assert under_way.cancelled()
    assert waiting.cancelled()


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
async def test_even_what_a_future_refuses_reaches_whoever_asked() -> None:
    """A future takes no `StopIteration`, and whoever waited would wait for ever."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await SigningPool[int](threads=1).call(partial(next, iter(())))
    with pytest.raises(asyncio.CancelledError, match="of its own"):
        await SigningPool[int](threads=1).call(_cancelled)


def _cancelled() -> int:
    raise asyncio.CancelledError("of its own")


@pytest.mark.sockets
async def test_a_signature_is_made_in_the_context_of_whoever_needs_it() -> None:
    """A key in an HSM may write an audit log, which must name the right call, also where one thread serves several."""
    call: ContextVar[str] = ContextVar("call")
    pool: SigningPool[str] = SigningPool(threads=1)

    async def sign(name: str) -> tuple[str, str]:
        call.set(name)
        return name, await pool.call(call.get)

    signed = await asyncio.gather(*(sign(f"call {nth}") for nth in range(20)))
    assert all(name == seen for name, seen in signed)
