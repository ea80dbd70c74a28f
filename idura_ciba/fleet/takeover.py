"""Goes on with logins that nobody asks for, because their worker has died or let them go."""

from __future__ import annotations

import logging
from collections.abc import Callable

from idura_ciba import explain
from idura_ciba.client import CibaClient
from idura_ciba.errors import CibaError, ResumeError
from idura_ciba.fleet.events import Events
from idura_ciba.fleet.login import written
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.signs import Signs
from idura_ciba.fleet.store import Owned, Stage, Store, Stored
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Takeover"]

_logger = logging.getLogger("idura_ciba")


class Takeover:
    """Resumes, or says why nobody can.

    Args:
        ciba: The client that asks.
        store: Where the logins are.
        sealing: Shows their tokens.
        adopt: Called with each login that is asked for again.
        events: Is told of each that was taken over, and of each that nobody can go on with.
        signs: Counts those that were taken over.
    """

    def __init__(
        self,
        ciba: CibaClient,
        store: Store,
        sealing: Sealing,
        adopt: Callable[[Owned, Transaction], object],
        *,
        events: Events,
        signs: Signs,
    ) -> None:
        self._ciba = ciba
        self._store = store
        self._sealing = sealing
        self._adopt = adopt
        self._events = events
        self._signs = signs
        # Those that cannot be read here; each is told once.
        self._unread: set[str] = set()

    async def resume(self, stored: Stored) -> None:
        """Go on with a login that is this worker's now.

        Raises:
            StoreError: The store cannot be reached. It lets the login go when it is back, see `Store.release`.
        """
        owned = Owned(stored.login, stored.epoch)
        if stored.stage is Stage.ASKING or stored.token is None:
            await self._end(stored, explain.interrupted("asking"))
            return
        if stored.cancelled:
            await self._end(stored, explain.abandoned())
            return
        token = self._sealing.show_token(stored.login, stored.token)
        try:
            if token is None:
                raise ResumeError("it was stored under another resume_secret", code="resume_seal")
            # It may have polled a moment ago, so the next poll waits an interval; and its last answer may be lost.
            transaction = await self._ciba.resume(token, doubt=True if stored.doubt else None)
        except CibaError as error:
            await self._not_resumed(stored, owned, stored.token, error)
        else:
            self._adopt(owned, transaction)
            self._signs.taken_over += 1
            self._events.of_login("taken_over", str(stored.owner), stored.login, transaction)

    async def _not_resumed(self, stored: Stored, owned: Owned, token: str, error: CibaError) -> None:
        if error.code == "resume_expired":
            await self._end(stored, explain.interrupted("answering"))
            return
        if isinstance(error, ResumeError) and owned.login not in self._unread:
            self._unread.add(owned.login)
            _logger.warning("a login of the fleet cannot be resumed here: %s", error.what)
        # The provider is away, or another worker knows better: with the next look around.
        await self._store.let_go(owned, token=token, tell=False, doubt=stored.doubt)

    async def _end(self, stored: Stored, error: CibaError) -> None:
        owned, outcome = Owned(stored.login, stored.epoch), Outcome.not_begun(error)
        blob = self._sealing.hide(owned.login, written(outcome))
        if await self._store.end(owned, state=outcome.state, outcome=blob, gone=False):
            self._events.of_login("ended", str(stored.owner), stored.login, code=error.code)
