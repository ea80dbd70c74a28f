"""Tests of the event loop in a thread: any thread may call, and nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from idura_ciba.aio.portal import Portal
from idura_ciba.errors import StateError
from tests.scaled import ScaledLoop

call: ContextVar[str] = ContextVar("call")


@pytest.fixture(name="portal")
def _portal() -> Iterator[Portal]:
    """One whose clock is fast."""
    portal = Portal("portal of the tests", ScaledLoop)
    yield portal
    portal.stop()
    assert "portal of the tests" not in {thread.name for thread in threading.enumerate()}


def test_many_threads_call_at_once_and_each_gets_its_own(portal: Portal) -> None:
    """On one event loop, in the context of each caller."""
    loops: set[asyncio.AbstractEventLoop] = set()

    def ask(nth: int) -> tuple[int, str]:
        call.set(f"call {nth}")

        async def work() -> tuple[int, str]:
            loops.add(asyncio.get_running_loop())
            await asyncio.sleep(nth % 3)
            return nth, call.get()

        return portal.call(work)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(100)))
    assert answers == [(nth, f"call {nth}") for nth in range(100)]
    assert len(loops) == 1


def test_an_error_comes_back_as_it_is(portal: Portal) -> None:
    """And the next call works."""

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        portal.call(fail)
    assert portal.ask(lambda: 7) == 7


def test_waiting_can_end_before_the_work_does(portal: Portal) -> None:
    """The work is cancelled then, as an interrupt would."""
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(10_000)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        portal.call(hang, timeout=0.05)
    for _ in range(3):
        portal.call(lambda: asyncio.sleep(0))
    assert ended == ["cancelled"]


def test_its_own_thread_cannot_wait_for_itself(portal: Portal) -> None:
    """An observer that calls the client would hang for ever."""

    async def call_again() -> None:
        portal.call(lambda: asyncio.sleep(0))

    with pytest.raises(StateError) as caught:
        portal.call(call_again)
    assert caught.value.code == "own_thread"


def test_after_stopping_nothing_is_called() -> None:
    """What is only read is read all the same, and stopping twice is harmless."""
    portal = Portal("portal of the tests")
    assert portal.ask(lambda: 1) == 1  # no thread yet
    portal.call(lambda: asyncio.sleep(0))
    portal.stop()
    portal.stop()
    with pytest.raises(StateError) as caught:
        portal.call(lambda: asyncio.sleep(0))
    assert caught.value.code == "closed"
    assert portal.ask(lambda: 2) == 2


def test_a_fork_leaves_the_thread_behind(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that forks its workers after the first use would hang in each of them."""
    portal.call(lambda: asyncio.sleep(0))
    here = os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: here + 1)
        with pytest.raises(StateError) as caught:
            portal.call(lambda: asyncio.sleep(0))
        assert caught.value.code == "forked"
    assert portal.ask(lambda: 3) == 3
