"""Replicas in one process, on a virtual clock, over one store: their lines to it can be cut, and they can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from idura_ciba.errors import StoreError
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.sqlite import SqliteStore

SECRET = b"s" * 32
LEASE = 5.0


class Line:
    """A worker's line to the store that all share; it can be cut."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.whole = asyncio.Event()
        self.whole.set()
        #: Statements whose answers are lost: they are carried out all the same.
        self.losing: set[str] = set()
        #: Whether nothing can be connected to, which is told at once.
        self.is_refused = False
        self.statements = 0

    def cut(self) -> None:
        """Nothing comes through from now on."""
        self.whole.clear()

    def mend(self) -> None:
        """What waited goes through."""
        self.whole.set()

    def admit(self) -> None:
        """It can be connected to again."""
        self.is_refused = False

    async def open(self) -> None:
        """It is open."""

    async def aclose(self) -> None:
        """The others go on."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name == "changes":
            return self._changes

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self.whole.wait()
            if self.is_refused:
                raise StoreError("refused", code="store_away")
            self.statements += 1
            answer = await method(*args, **kwargs)
            if name in self.losing:
                self.losing.discard(name)
                raise StoreError("lost", code="store_away")
            return answer

        return call

    async def _changes(self) -> AsyncIterator[Any]:
        async for change in self._store.changes():
            if self.whole.is_set():
                yield change


MakeFleet = Callable[..., Awaitable[Fleet]]


async def kill(fleet: Fleet) -> None:
    """As SIGKILL does: whatever it was about to do never happens."""
    for task in [*fleet._tasks, *fleet._ciba.queue._owner.tasks]:
        task.cancel()
    for own in fleet._own.values():
        fleet._ciba.queue.forget(own.transaction._driver)
    fleet._own.clear()
    fleet._closing = True
    await asyncio.sleep(0)
