"""One prompt at a time for each person, whatever the batch says: a second request cancels both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from idura_ciba.aio.clock import Clock

__all__ = ["Turns"]


class Turns:
    """Lets one login of a person begin when the one before it is over.

    Args:
        clock: Tells the time.
        held: Until when people may have a prompt of an earlier run, in seconds since the epoch.
    """

    def __init__(self, clock: Clock, held: Mapping[bytes, float]) -> None:
        self._clock = clock
        self._held = dict(held)
        # Only who is in the batch now: a lock, and how many have it or wait for it.
        self._locks: dict[bytes, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def take(self, person: bytes) -> AsyncIterator[bool]:
        """Wait for a turn and keep it; gives whether it had to wait."""
        lock, users = self._locks.get(person, (asyncio.Lock(), 0))
        self._locks[person] = lock, users + 1
        try:
            waited = lock.locked()
            async with lock:
                yield await self._until_gone(person) or waited
        finally:
            users = self._locks[person][1] - 1
            if users:
                self._locks[person] = lock, users
            else:
                del self._locks[person]

    async def _until_gone(self, person: bytes) -> bool:
        """Wait until a prompt of an earlier run has gone from the phone."""
        until = self._held.pop(person, 0.0)
        waited = False
        # The wall clock may be set meanwhile.
        while (seconds := until - self._clock.wall()) > 0:
            waited = True
            await asyncio.sleep(seconds)
        return waited
