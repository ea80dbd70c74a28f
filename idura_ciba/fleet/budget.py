"""This worker's share of a rate that all workers have together.

The sum of the shares never exceeds the rate in any second: what shrinks is used less for a second before the others are
told, and what grows is used only after they have left it. The share of a worker that dies is others' once its lease is
over and a second more; until then it may have sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from idura_ciba.fleet.store import WINDOW, Store

__all__ = ["Share"]

#: Requests per second as long as there is no share: so few that nothing leaves. Whoever has none must not begin.
NOTHING = 1e-6
#: Differences that are not worth a statement.
NEARLY = 1e-9


class Share:
    """One worker's share.

    Args:
        store: Knows the shares of all.
        rate: What all workers have together, in requests per second. None: no limit.
        lease: The workers' lease, in seconds.
        use: Called with the rate to use from now on.
    """

    def __init__(self, store: Store, rate: float | None, lease: float, use: Callable[[float], None]) -> None:
        self._store = store
        self._rate = rate
        self._lease = lease
        self._use = use
        self._has = 0.0
        self._less: tuple[float, float] | None = None
        self.granted: asyncio.Event = asyncio.Event()
        self.lost()

    def lost(self) -> None:
        """This worker is somebody else from now on, who has nothing yet."""
        self._has, self._less = 0.0, None
        if self._rate is None:
            self.granted.set()
        else:
            self.granted.clear()
            self._use(NOTHING)

    async def settle(self, worker: str, workers: int) -> None:
        """See that this worker has as much as each of so many.

        Raises:
            StoreError: The store cannot be reached; the share is as it was.
        """
        if self._rate is None:
            return
        now, wanted = asyncio.get_running_loop().time(), self._rate / max(1, workers)
        if self._less is not None and now - self._less[1] >= WINDOW:
            less, self._less = self._less[0], None
            await self._ask(worker, less)
        elif wanted < self._has - NEARLY and (self._less is None or wanted < self._less[0] - NEARLY):
            self._use(wanted)
            self._less = wanted, now
        elif self._less is None and wanted > self._has + NEARLY:
            await self._ask(worker, wanted)
            if self._has > 0:
                self._use(self._has)
                self.granted.set()

    async def _ask(self, worker: str, wanted: float) -> None:
        assert self._rate is not None  # noqa: S101 - for type checkers: nobody asks without a limit
        self._has = await self._store.share(worker, wanted=wanted, rate=self._rate, lease=self._lease)
