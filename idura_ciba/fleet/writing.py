"""Writes to the store what becomes of this worker's logins, so that nobody can read it there."""

from __future__ import annotations

from collections.abc import Callable

from idura_ciba.fleet.login import written
from idura_ciba.fleet.own import Own
from idura_ciba.fleet.sealing import LAYOUT, Sealing
from idura_ciba.fleet.store import Owned, Stage, Store, Stored
from idura_ciba.transaction.outcome import Outcome

__all__ = ["Writing"]


class Writing:
    """Writes once; who must try again says so.

    Args:
        store: The store.
        sealing: Hides what is written.
        wall: Seconds since the epoch.
    """

    def __init__(self, store: Store, sealing: Sealing, wall: Callable[[], float]) -> None:
        self._store = store
        self._sealing = sealing
        self._wall = wall

    def stored(self, own: Own, worker: str) -> Stored:
        """What would be stored of a login now."""
        state, progress = own.transaction.state.value, self._sealing.hide(own.owned.login, own.shown)
        return Stored(
            *(own.owned.login, Stage.PENDING, state, own.owned.epoch, worker, None, progress),
            cancelled=False,
            seconds=self._left(own),
            layout=LAYOUT,
            doubt=False,
        )

    async def accept(self, own: Own) -> bool:
        """The provider has accepted."""
        login = own.owned.login
        return await self._store.accept(
            own.owned,
            token=self._sealing.hide_token(login, own.transaction.resume_token),
            progress=self._sealing.hide(login, own.shown),
            seconds=max(0.0, self._left(own)),
            layout=LAYOUT,
        )

    async def note(self, own: Own) -> bool:
        """Its progress."""
        return await self._store.note(own.owned, progress=self._sealing.hide(own.owned.login, own.shown))

    async def end(self, owned: Owned, outcome: Outcome, *, gone: bool) -> bool:
        """How it ended, and whether the prompt is gone from the phone."""
        blob = self._sealing.hide(owned.login, written(outcome))
        return await self._store.end(owned, state=outcome.state, outcome=blob, gone=gone)

    async def let_go(self, own: Own, token: str | None) -> bool:
        """Anybody may go on with this token."""
        return await self._store.let_go(own.owned, token=self._sealing.hide_token(own.owned.login, token))

    def _left(self, own: Own) -> float:
        now = self._wall()
        return (own.transaction.prompt_until or now) - now
