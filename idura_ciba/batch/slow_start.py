"""Let one request find out for all whether the provider answers, and let the others follow gradually.

A window limits how many authentication requests are out at once. It begins at one, and each answer widens it by one, so
that it doubles with each round trip. An outage narrows it to one again, a lost answer halves it. Until a first poll has
shown that this client may fetch answers, only a few phones ring.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from idura_ciba.batch.outage import Outage
from idura_ciba.errors import CibaError

__all__ = ["FEW", "SlowStart"]

#: Phones that ring at most before a poll was answered.
FEW = 5
#: Seconds after which a first acceptance must do: a strategy may poll late.
PROOF = 30.0


class SlowStart:
    """The window.

    Args:
        outage: Decides when to try again after an outage.
    """

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._window = 1
        self._out = 0
        self._unproven = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        #: Whether a poll was answered, so that more than a few may be asked.
        self.is_proven: bool = False
        #: Whether the provider has accepted somebody, or refused somebody for a reason of their own.
        self.is_settled: bool = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until one more request may go out, and count it until it was answered."""
        await self._take()
        try:
            await self._outage.over()
            yield
        finally:
            self._out -= 1
            self._wake()

    async def _take(self) -> None:
        coming = asyncio.get_running_loop().create_future()
        self._waiting.append(coming)
        self._wake()
        try:
            await coming
        except asyncio.CancelledError:
            if coming.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(coming)
            else:
                self._out -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        """Let in as many as there is room for, in their order."""
        while self._waiting and self._has_room():
            coming = self._waiting.popleft()
            if not coming.done():
                self._out += 1
                coming.set_result(None)

    def _has_room(self) -> bool:
        window = self._window if self.is_proven else min(self._window, FEW) - self._unproven
        return self._out < window

    # --- what was heard ---------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """Record that the provider has accepted somebody, or refused somebody for a reason of their own."""
        self.is_settled = True
        self._outage.ended()
        self._window += 1
        self._wake()

    def accepted(self) -> None:
        """Record a phone that rings before a poll was answered. `proven` or `left` must follow."""
        self._unproven += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PROOF, self.proven)

    def left(self) -> None:
        """Record the end of a login that had no proof."""
        self._unproven -= 1
        self._wake()

    def proven(self) -> None:
        """Record that a poll was answered."""
        self.is_proven = True
        self.close()
        self._wake()

    def lost(self, error: CibaError) -> bool:
        """Record a lost answer; return whether to go on."""
        goes_on = self._window > 1 or self._outage.met(error)
        self._window = max(1, self._window // 2)
        return goes_on

    def away(self, error: CibaError) -> bool:
        """Record a failure that concerns all requests; return whether to go on."""
        self._window = 1
        return self._outage.met(error)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
