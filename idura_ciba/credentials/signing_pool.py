"""Slow signatures on threads, beside the event loop.

Handing one signature to an executor and back costs about as much as a whole poll. Here a thread goes on while there is
work, and all finished signatures are handed to the event loop together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

from attrs import define, field, frozen

from idura_ciba.aio.threads import OwnThreads

__all__ = ["SigningPool"]

T = TypeVar("T")


@frozen(eq=False)
class _Raised:
    """What a function raised. Not for `set_exception`, which refuses some exceptions and complains about others."""

    error: BaseException


@frozen(eq=False)
class _Call(Generic[T]):
    """A function to call, and the future of its result."""

    function: Callable[[], T]
    done: asyncio.Future[T | _Raised]


@define(eq=False)
class SigningPool(Generic[T]):
    """Calls functions on threads of its own.

    Args:
        threads: How many at once.
    """

    threads: int
    _executor: OwnThreads = field(init=False, repr=False)
    _asked: deque[_Call[T]] = field(init=False, factory=deque, repr=False)
    _answered: deque[tuple[_Call[T], T | _Raised]] = field(init=False, factory=deque, repr=False)
    # Threads that have begun and not ended, as far as the loop knows; and whether a hand-over is already scheduled.
    _working: int = field(init=False, default=0)
    _called: bool = field(init=False, default=False)

    @_executor.default
    def _make_executor(self) -> OwnThreads:
        return OwnThreads("idura-ciba-signing", self.threads)

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function; return what it returns, or raise what it raises. If cancelled in time, it is not called.

        It runs in the caller's context, as with `asyncio.to_thread`: a key in an HSM may log or trace.
        """
        loop = asyncio.get_running_loop()
        call: _Call[T] = _Call(partial(copy_context().run, function), loop.create_future())
        self._asked.append(call)
        self._begin(loop)
        answer = await call.done
        if isinstance(answer, _Raised):
            try:
                raise answer.error
            finally:
                del answer  # whose error keeps this frame
        return answer

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._working < self.threads and self._asked:
            work = loop.run_in_executor(self._executor, self._work, loop)
            self._working += 1
            work.add_done_callback(lambda _: self._ended(loop))

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        self._working -= 1
        # Something may have come after the thread's last look.
        self._begin(loop)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: one after the other, until nothing is asked for."""
        while self._asked:
            try:
                call = self._asked.popleft()
            except IndexError:
                return  # another thread was faster
            if call.done.cancelled():
                continue
            try:
                self._answered.append((call, call.function()))
            except BaseException as error:  # noqa: BLE001 - raised again by whoever asked
                self._answered.append((call, _Raised(error)))
            if not self._called:
                self._called = True
                loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._called = False  # before the look: whoever answers after it calls again
        while self._answered:
            call, answer = self._answered.popleft()
            if not call.done.done():
                call.done.set_result(answer)
