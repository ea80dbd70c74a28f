"""What strategies learn of how long people take, shared among the replicas, so that a fresh one polls as well as any.

Rules:
1. Each process has a row of its own, under a random name that it keeps for as long as its strategy lives, whatever
   becomes of the worker. It publishes only what it counted itself, and consults the rows of the others, each time in
   place of those before. So nothing is counted twice, and nothing of its own comes back.
2. Only strategies of one kind and version read each other.
3. What processes have published that are gone stays, for a week and of the latest only (`EXPERIENCE_KEPT`,
   `MOST_SOURCES`). So the size is bounded, and what is true no longer is forgotten.
4. It is encrypted, although it names nobody: a strategy may keep the provider's words.
5. None of it may harm a login. Whatever goes wrong is logged once.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from idura_ciba.errors import UsageError
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.store import Store
from idura_ciba.observe import Harmless
from idura_ciba.polling.strategy import Shared, Strategy, sharing

__all__ = ["Learning"]

#: Seconds between two exchanges. A curve is refitted after twenty logins at least, so that sooner would show little.
EXCHANGE_EVERY: Final = 60.0
#: Bytes of a row at most. What `HazardAware` exports has 1 KB for each kind of login, and it keeps 64 kinds.
MOST_BYTES: Final = 2**20

#: The name of each strategy, also where several clients of this process share it.
_SOURCES: MutableMapping[Shared, str] = WeakKeyDictionary()


class Learning:
    """Shares what one client's strategy learns, and what the strategies in it do.

    Args:
        store: Where the others find it.
        sealing: Hides it.
        strategy: The client's. Where nothing in it has `export` and `consult`, there is nothing to share.
        once: Tries something that needs the store, and goes on if that is away.
    """

    def __init__(
        self,
        store: Store,
        sealing: Sealing,
        strategy: Strategy,
        once: Callable[[Awaitable[object]], Awaitable[None]],
    ) -> None:
        harmless = Harmless("sharing what a strategy has learned")
        self._parts = [Part(store, sealing, part, once, harmless) for part in sharing(strategy)]

    async def live(self) -> None:
        """Exchange now and then; for ever."""
        while self._parts:
            await asyncio.sleep(EXCHANGE_EVERY)
            await self.publish()
            await self.consult()

    async def publish(self) -> None:
        """Let the others have what was learned here, where that is anything new."""
        await asyncio.gather(*(part.publish() for part in self._parts))

    async def consult(self) -> None:
        """Have what the others have learned."""
        await asyncio.gather(*(part.consult() for part in self._parts))


class Part:
    """Shares what one strategy learns by itself; arguments as for `Learning`."""

    def __init__(
        self,
        store: Store,
        sealing: Sealing,
        strategy: Shared,
        once: Callable[[Awaitable[object]], Awaitable[None]],
        harmless: Harmless,
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._once = once
        self._harmless = harmless
        self._strategy = strategy
        # What was published. At first what it knew before it had learned anything, which is worth no row.
        self._published: Mapping[str, Any] | None = harmless.call(_export, strategy)
        self.consulted: list[str] = []
        version = (self._published or {}).get("version", "")
        self._kind, self._source = f"{type(strategy).__qualname__} {version}", _source_of(strategy)

    async def publish(self) -> None:
        """See `Learning`."""
        exported = self._harmless.call(_export, self._strategy)
        if exported is not None and exported != self._published:
            await self._once(self._write(exported))

    async def consult(self) -> None:
        """See `Learning`."""
        await self._once(self._read())

    async def _write(self, exported: Mapping[str, Any]) -> None:
        sealed = self._harmless.call(self._hide, exported)
        if sealed is not None:
            await self._store.publish(self._source, self._kind, experience=sealed)
            self._published = exported

    async def _read(self) -> None:
        found = [self._sealing.show(self._kind, blob) for blob in await self._store.consult(self._source, self._kind)]
        texts = sorted(json.dumps(each["experience"]) for each in found if "experience" in each)
        if texts != self.consulted:  # it takes milliseconds
            self.consulted = texts
            self._harmless.call(partial(_consult, self._strategy), [json.loads(text) for text in texts])

    def _hide(self, exported: Mapping[str, Any]) -> bytes:
        sealed = self._sealing.hide(self._kind, {"experience": exported})
        if len(sealed) > MOST_BYTES:
            raise OverflowError  # which the log names
        return sealed


def _source_of(strategy: Shared) -> str:
    """The name of its row; the same for all clients of this process that share it."""
    name = secrets.token_hex(8)
    try:
        return _SOURCES.setdefault(strategy, name)
    except TypeError:  # one of somebody's own that cannot be referred to weakly
        return name


def _export(strategy: Shared) -> Mapping[str, Any]:
    return strategy.export()


def _consult(strategy: Shared, exports: list[Mapping[str, Any]]) -> None:
    try:
        strategy.consult(exports)
    except UsageError:
        # One is of another release. The others are worth having.
        strategy.consult([each for each in exports if _is_readable(strategy, each)])


def _is_readable(strategy: Shared, exported: Mapping[str, Any]) -> bool:
    try:
        strategy.consult([exported])
    except UsageError:
        return False
    return True
