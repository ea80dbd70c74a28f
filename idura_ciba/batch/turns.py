"""One prompt at a time for each person, because a second request cancels both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from idura_ciba.aio.clock import Clock

__all__ = ["Turns"]


class Turns:
    """Serializes the logins of each person.

    Args:
        clock: The clock.
        held: Until when people may have a prompt of an earlier run, by their tags, in seconds since the epoch.
    """

    def __init__(self, clock: Clock, held: Mapping[bytes, float]) -> None:
        self._clock = clock
        self._held = dict(held)
        # A lock for each person being handled now, and how many logins hold it or wait for it.
        self._locks: dict[bytes, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def take(self, person: bytes) -> AsyncIterator[bool]:
        """Wait for this person's turn and keep it; yield whether it had to wait."""
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
        """Wait until a prompt of an earlier run has expired; return whether it had to wait."""
        until = self._held.pop(person, 0.0)
        waited = False
        # The wall clock may be set meanwhile.
        while (seconds := until - self._clock.wall()) > 0:
            waited = True
            await asyncio.sleep(seconds)
        return waited
