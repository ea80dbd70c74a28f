"""Pause all logins while the provider cannot be reached: an outage is not one person's failure."""

from __future__ import annotations

import asyncio

from idura_ciba.errors import CibaError

__all__ = ["Outage"]

#: Seconds until the first retry, and at most between later ones.
FIRST, LONGEST = 1.0, 60.0


class Outage:
    """Decides when to try again.

    Args:
        patience: Seconds of outage after which to give up.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._pause = FIRST
        self._until = 0.0
        self._since: float | None = None

    async def over(self) -> None:
        """Wait until it is time to try again, also if others have extended the pause meanwhile."""
        now = asyncio.get_running_loop().time()
        if now < self._until:
            await asyncio.sleep(self._until - now)
            await self.over()

    def ended(self) -> None:
        """Record a success."""
        self._pause, self._since = FIRST, None

    def met(self, error: CibaError) -> bool:
        """Record a failure that concerns all requests; return whether to try again."""
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        if now >= self._until:
            # Many requests fail at once, and that counts as one failure.
            wait = max(self._pause, getattr(error, "retry_after", None) or 0.0)
            self._until, self._pause = now + wait, min(LONGEST, 2 * self._pause)
        return now - self._since < self._patience
