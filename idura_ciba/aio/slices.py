"""Heavy steps in slices: a thousand that come at once do not keep the event loop from everything else."""

from __future__ import annotations

import asyncio
from collections import deque

from attrs import define, field

__all__ = ["Slices"]


@define(eq=False)
class Slices:
    """Lets so many steps be taken in a turn of the event loop; the others wait for the next turns, in their order.

    Where some come in the very turn in which the last of those who waited go on, that turn may have twice as many.

    Args:
        most: Steps in a turn.
    """

    most: int
    _taken: int = field(init=False, default=0)
    # Those of one event loop; whoever waits in a loop that is gone waits for nothing.
    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None, repr=False)
    _waiting: deque[asyncio.Future[None]] = field(init=False, factory=deque, repr=False)

    async def step(self) -> None:
        """Return when a step may be taken: at once, unless many are."""
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
            loop.call_soon(self._next_turn, loop)
        self._taken += 1

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._taken = 0
        while self._waiting and self._taken < self.most:
            turn = self._waiting.popleft()
            if not turn.done():
                self._take(loop)
                turn.set_result(None)
