"""Pings that reach another replica than the one that asks: it is told, and polls as soon as it may.

1. Only what the provider has sent is passed on: a ping with a token of this client, whose login is not here, once for
   each token. Whoever has no token costs the store nothing.
2. What is passed on makes no ping, and is encrypted like everything else in the store.
3. Nothing is written, and nothing is tried again. A hand-over that is lost costs what a lost ping does: the login polls
   all the same, only later.
4. Each replica that hears of a ping remembers it for a while, so that a login whose replica has just died polls as soon
   as it is taken over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.store import Store
from idura_ciba.ping.receiver import PingReceiver

__all__ = ["Pings"]


class Pings:
    """Passes pings on, and takes those of others.

    Args:
        receiver: Where the provider's pings arrive at this replica; None: the client is not pinged.
        store: Tells the others.
        sealing: Hides what they are told.
        once: Waits for the store, and lets it be away.
        spawn: Begins a task that is nobody's.
    """

    def __init__(
        self,
        receiver: PingReceiver | None,
        store: Store,
        sealing: Sealing,
        once: Callable[[Awaitable[object]], Coroutine[Any, Any, None]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._desk = None if receiver is None else receiver.desk
        self._store = store
        self._sealing = sealing
        self._once = once
        self._spawn = spawn

    def begin(self) -> None:
        """Pass on from now on."""
        if self._desk is not None:
            self._desk.share(self._pass_on)

    def end(self) -> None:
        """No longer."""
        if self._desk is not None:
            self._desk.share(None)

    def hear(self, ping: str) -> None:
        """Take what a replica has passed on, this one included; whatever else it is changes nothing."""
        if self._desk is not None and (notice := self._sealing.show_ping(ping)) is not None:
            self._desk.heard(notice)

    def _pass_on(self, notice: bytes) -> None:
        self._spawn(self._once(self._store.pass_on(self._sealing.hide_ping(notice))))
