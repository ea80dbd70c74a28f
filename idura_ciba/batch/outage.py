"""When the provider cannot be reached, nobody is asked until it can: the trouble is not any one person's."""

from __future__ import annotations

import asyncio

from idura_ciba.errors import CibaError

__all__ = ["Outage"]

#: Seconds until the first new try and between later ones at most.
FIRST, LONGEST = 1.0, 60.0


class Outage:
    """Says when to try again.

    Args:
        patience: Seconds for which nothing may have worked before it is given up.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._pause = FIRST
        self._until = 0.0
        self._since: float | None = None

    async def over(self) -> None:
        """Wait until it is time to try; by then somebody else may have met it anew."""
        now = asyncio.get_running_loop().time()
        if now < self._until:
            await asyncio.sleep(self._until - now)
            await self.over()

    def ended(self) -> None:
        """Something has worked."""
        self._pause, self._since = FIRST, None

    def met(self, error: CibaError) -> bool:
        """Something has failed for all; whether it is worth trying again."""
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        if now >= self._until:
            # Many meet it at once, and that is one failure.
            wait = max(self._pause, getattr(error, "retry_after", None) or 0.0)
            self._until, self._pause = now + wait, min(LONGEST, 2 * self._pause)
        return now - self._since < self._patience
