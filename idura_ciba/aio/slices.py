"""Heavy steps in slices: a thousand that come at once do not block the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context

from attrs import define, field

__all__ = ["Slices"]


@define(eq=False)
class Slices:
    """Admits at most `most` steps per turn of the event loop; the rest wait for later turns, in order.

    If new steps come in the turn in which the last waiting ones go on, that turn may have twice as many.

    Args:
        most: Steps per turn.
    """

    most: int
    _taken: int = field(init=False, default=0)
    # The loop that the waiting steps belong to; those of a loop that has ended are dropped.
    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None, repr=False)
    _waiting: deque[asyncio.Future[None]] = field(init=False, factory=deque, repr=False)

    async def step(self) -> None:
        """Return when the step may be taken: at once, unless this turn is full."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._taken = loop, 0
            self._waiting.clear()
        if self._taken < self.most and not self._waiting:
            self._take(loop)
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _take(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._taken:
            loop.call_soon(self._next_turn, loop, context=Context())
        self._taken += 1

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._taken = 0
        while self._waiting and self._taken < self.most:
            turn = self._waiting.popleft()
            if not turn.done():
                self._take(loop)
                turn.set_result(None)
