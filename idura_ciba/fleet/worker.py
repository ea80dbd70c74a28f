"""This worker among the others: it says that it lives, and takes what the dead have left."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from idura_ciba.errors import StoreError
from idura_ciba.fleet.budget import Share
from idura_ciba.fleet.events import Events
from idura_ciba.fleet.lease import Lease
from idura_ciba.fleet.sealing import LAYOUT
from idura_ciba.fleet.signs import Signs
from idura_ciba.fleet.store import Store, Stored

__all__ = ["Worker"]

T = TypeVar("T")

_logger = logging.getLogger("idura_ciba")

#: Signs of life in a lease, at least.
BEATS: Final = 5
#: Seconds between two signs at most, however long the lease: they also carry what refusals have taught.
LONGEST_SILENCE: Final = 1.0
#: Logins taken in one statement.
BATCH: Final = 100
#: Seconds between two attempts to reach the store.
AGAIN: Final = 0.5


class Worker:
    """One of those who share a store.

    Args:
        store: The store.
        lease: Seconds after which a worker that was not heard of is dead.
        share: Its share of the rate.
        signs: What it says and hears with its signs of life.
        events: Is told who joins, and who was declared dead.
        resume: Goes on with a login that this worker has taken.
        died: Called when the others have declared this worker dead.
        known: The logins that this worker asks for, or is about to.
    """

    def __init__(
        self,
        store: Store,
        lease: float,
        *,
        share: Share,
        signs: Signs,
        events: Events,
        resume: Callable[[Stored], Awaitable[None]],
        died: Callable[[], None],
        known: Callable[[], Iterable[str]],
    ) -> None:
        self._store = store
        self._share = share
        self._signs = signs
        self._events = events
        self._resume = resume
        self._died = died
        self._known = known
        # Those that were taken and are not known yet.
        self._taking: set[str] = set()
        # Whether an answer of the store may have been lost, so that it may say that more is ours.
        self._missed = False
        self.lease: Lease = Lease(lease)
        self.name: str = ""
        self.closing: bool = False
        self._period = min(lease / BEATS, LONGEST_SILENCE)
        signs.begin(within=self._period)

    async def join(self) -> None:
        """Begin, under a new name.

        Raises:
            StoreError: The store cannot be reached.
        """
        self.name = secrets.token_hex(8)
        asked_at = asyncio.get_running_loop().time()
        await self.in_time(self._store.join(self.name))
        self.lease.confirmed(asked_at)
        self._events.of_worker("joined", self.name)
        await self._beat()

    async def live(self) -> None:
        """Say that this worker lives, and take what the dead have left; for ever."""
        look_at = asyncio.get_running_loop().time() + self._period
        while True:
            is_news = await self._signs.wait(until=look_at)
            if not is_news:
                look_at = asyncio.get_running_loop().time() + self._period
            try:
                await self._beat()
                if is_news:
                    continue
                if self._missed:
                    await self._release()
                if self.lease.may_judge:
                    for name in await self.in_time(self._store.bury(lease=self.lease.seconds)):
                        self._events.of_worker("buried", name)
                    await self._take()
            except StoreError:
                continue  # the lease runs out by itself
            except Exception as error:  # noqa: BLE001 - a worker that gives no sign of life any more is dead
                _logger.error("a bug in the fleet, please report it: %s", type(error).__name__)  # noqa: TRY400 - frames

    def check_store(self) -> None:
        """Before anybody is asked: somebody must be able to know of it.

        Raises:
            StoreError: The store was not heard of for a lease.
        """
        if not self.lease.holds:
            raise StoreError(
                "the store was not heard of in time, so nobody may be asked",
                code="store_away",
                phone="The phone has not rung",
                advice="try again once the store can be reached",
            )

    async def take_soon(self) -> None:
        """Somebody has let go: go on at once, rather than with the next sign of life."""
        if self.lease.may_judge and not self.closing:
            await self.once(self._take())

    async def _beat(self) -> None:
        asked_at = asyncio.get_running_loop().time()
        beat = self._store.beat(self.name, lease=self.lease.seconds, report=self._signs.report())
        if (others := await self.in_time(beat)) is not None:
            self.lease.confirmed(asked_at)
            self._signs.hear(others)
            await self.in_time(self._share.settle(self.name, others.workers))
            return
        self.lease.lost()
        self._share.lost()
        self._events.of_worker("declared_dead", self.name, len([*self._known()]))
        self._died()
        await self.join()

    async def _release(self) -> None:
        await self.in_time(self._store.release(self.name, keep=[*self._known(), *self._taking]))
        self._missed = False

    async def _take(self) -> None:
        while self._share.granted.is_set():
            taken = await self.in_time(self._store.take(self.name, most=BATCH, layouts=[LAYOUT]))
            self._taking.update(stored.login for stored in taken)
            try:
                await asyncio.gather(*(self._resume(stored) for stored in taken))
            finally:
                self._taking.difference_update(stored.login for stored in taken)
            if len(taken) < BATCH:
                return

    # --- what is written to the store -------------------------------------------------------------------------------

    async def in_time(self, work: Awaitable[T]) -> T:
        """Wait no longer than a lease: a connection that is cut says nothing, for ever.

        Raises:
            StoreError: The store cannot be reached.
        """
        try:
            # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes just when the work is done.
            async with asyncio.timeout(self.lease.seconds):
                return await work
        except TimeoutError:
            self._missed = True
            raise StoreError("the store did not answer in time", code="store_away") from None
        except StoreError:
            self._missed = True
            raise

    async def once(self, work: Awaitable[object]) -> None:
        """Try; if the store is away, the others find out by themselves."""
        try:
            await self.in_time(work)
        except StoreError as error:
            _logger.warning("the store of the fleet: %s", error.what)

    async def insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until the store has answered: an answer in hand outlives a store that is away."""
        while True:
            try:
                return await self.in_time(call())
            except StoreError:
                await asyncio.sleep(AGAIN)
