"""What others have to say about logins: that they have changed, and what is wanted of those of this worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from idura_ciba.fleet.login import Watch
from idura_ciba.fleet.own import Own
from idura_ciba.fleet.store import Store, Wish
from idura_ciba.fleet.worker import Worker

__all__ = ["Listening"]


class Listening:
    """Hears what changes in the store.

    Args:
        store: The store.
        worker: This worker.
        own: The logins that it asks for, by id.
        watch: Wakes those who wait here.
        note: Writes down the progress of a login.
        hear: Is given what others pass on of pings.
        spawn: Begins a task.
    """

    def __init__(
        self,
        store: Store,
        worker: Worker,
        own: Mapping[str, Own],
        *,
        watch: Watch,
        note: Callable[[Own], Coroutine[Any, Any, None]],
        hear: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], Awaitable[None]],
    ) -> None:
        self._store = store
        self._worker = worker
        self._own = own
        self._watch = watch
        self._note = note
        self._hear = hear
        self._spawn = spawn

    async def listen(self) -> None:
        """Until the store is closed."""
        async for change in self._store.changes():
            if change.ping is not None:
                self._hear(change.ping)
                continue
            if change.login is None:
                self._spawn(self._look_around())
            elif change.wish is not None:
                self._fulfil(change.wish, self._own.get(change.login))
                continue
            self._watch.changed(change.login)

    async def _look_around(self) -> None:
        """Something may have been missed, or somebody has let go."""
        await self._worker.once(self._stop_cancelled())
        await self._worker.take_soon()

    async def _stop_cancelled(self) -> None:
        for login in await self._store.cancelled(self._worker.name):
            self._fulfil(Wish.STOP, self._own.get(login))

    def _fulfil(self, wish: Wish, own: Own | None) -> None:
        if own is None:
            return
        if wish is Wish.STOP:
            own.transaction.abandon()
        elif not own.watched:
            own.watched = True
            self._spawn(self._note(own))
