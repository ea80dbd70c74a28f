"""Many replicas as one client: one prompt for each person, every login on each of them, and none lost with a machine.

The order of events, which makes that so:

1. One statement takes the hold of the person, only where none is live, and writes down the intent to ask.
2. The request leaves.
3. Acceptance, with the sealed token; then progress, when people can see a difference; then the end, all of them only by
   the owner of that epoch.
4. Delivery, which empties the outcome.

A worker that dies between 1 and 3 leaves an intent, which ends indeterminate: nobody knows whether the phone rang.
After that its logins are resumed by others.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Self

from attrs import asdict

from idura_ciba.aio.clock import Clock
from idura_ciba.batch.results import Result
from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import CibaError
from idura_ciba.fleet.batch_rows import Everybody
from idura_ciba.fleet.batch_store import Member
from idura_ciba.fleet.budget import Share
from idura_ciba.fleet.events import Events
from idura_ciba.fleet.learning import Learning
from idura_ciba.fleet.listening import Listening
from idura_ciba.fleet.login import FleetLogin, FleetOutcome, Watch, asked_elsewhere
from idura_ciba.fleet.own import Own
from idura_ciba.fleet.pings import Pings
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.shared_batch import Plan, Replica, SharedBatch
from idura_ciba.fleet.signs import Signs
from idura_ciba.fleet.store import Held, Owned, Store, Stored, login_unknown
from idura_ciba.fleet.stores import open_store
from idura_ciba.fleet.takeover import Takeover
from idura_ciba.fleet.tasks import Tasks
from idura_ciba.fleet.worker import Worker
from idura_ciba.fleet.writing import Writing
from idura_ciba.options import positive, reference_text
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Fleet"]

#: Seconds that a request may take from its intent until its prompt appears, at most: connecting and the answer.
LEEWAY: Final = 60.0
#: Seconds for which `start` waits until the acceptance is stored; the login goes on whatever the store does.
STORED_WITHIN: Final = 2.0
#: Seconds between two purges.
PURGE_EVERY: Final = 60.0


class Fleet:
    """One of the replicas that are one client together.

    It closes the client when it is closed. What is pending then is taken over by another replica at once; without one,
    it is resumed by the next `Fleet` over the same store.

    Args:
        ciba: The client that asks, over the same issuer and with the same `resume_secret` on each replica.
        store: Where logins are kept: `postgresql://...` for any number of replicas (extra `fleet`), the path of an
            SQLite file for one, or a `Store`. None: in memory.
        rate: Most requests in any second of all replicas together. Each gets an equal share of it, in place of the rate
            of the client's scheduler. None: as the scheduler says.
        lease: Seconds after which a replica that is not heard of is dead, and its logins are others'.
        retention: Seconds for which it is remembered that a login has ended.
        clock: As for the client; replaced in tests.

    Raises:
        UsageError: An argument cannot work.
    """

    def __init__(
        self,
        ciba: CibaClient,
        store: str | Path | Store | None = None,
        *,
        rate: float | None = None,
        lease: float = 5.0,
        retention: float = 86_400.0,
        clock: Clock | None = None,
    ) -> None:
        self._ciba = ciba
        self._store = open_store(store, ciba)
        lease = positive("lease", lease, least=0.1)
        rate = None if rate is None else positive("rate", rate)
        self._share = Share(self._store, rate, lease, partial(ciba.queue.change_rate, in_part=True))
        self._signs = Signs(ciba.queue)
        self._sealing = Sealing.of(ciba)
        self._clock = clock or Clock()
        self._writing = Writing(self._store, self._sealing, self._clock.wall)
        self._events = Events(ciba.observers, self._clock)
        takeover = Takeover(*(ciba, self._store, self._sealing, self._adopt), events=self._events, signs=self._signs)
        self._worker = Worker(
            *(self._store, lease),
            share=self._share,
            signs=self._signs,
            events=self._events,
            resume=takeover.resume,
            died=self._died,
            known=self._known,
        )
        self._learning = Learning(self._store, self._sealing, ciba.strategy, self._worker.once)
        self._retention = positive("retention", retention)
        self._own: dict[str, Own] = {}
        self._tasks = Tasks()
        self._spawn = self._tasks.spawn
        beside = partial(self._spawn, for_all=True)
        self._pings = Pings(ciba.pings, self._store, self._sealing, self._worker.once, beside)
        self._beginning: dict[asyncio.Task[Own], str] = {}
        self._closing = False
        self.watch: Watch = Watch()
        self.is_closed: bool = False

    def __repr__(self) -> str:
        """How many it asks."""
        return f"<Fleet worker {self._worker.name or 'not open'}, asking {len(self._own)}>"

    async def __aenter__(self) -> Self:
        """Open the store and join.

        Raises:
            StoreError: The store cannot be used.
        """
        await self._store.open()
        try:
            await self._worker.join()
        except BaseException:
            await self._store.aclose()
            raise
        listening = Listening(
            *(self._store, self._worker, self._own),
            watch=self.watch,
            note=self._note,
            hear=self._pings.hear,
            spawn=self._spawn,
        )
        self._pings.begin()
        await self._learning.consult()
        for work in (self._worker.live(), listening.listen(), self._forget(), self._learning.live()):
            self._spawn(work, for_all=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def start(
        self,
        request: EidRequest,
        *,
        id: str | None = None,  # noqa: A002 - what everybody calls it
        timeout: float | None = None,
        reference: str | None = None,
    ) -> FleetLogin:
        """Ask the provider to ask the person, unless a replica is asking them already; see `CibaClient.start`.

        Args:
            request: Whom to ask and how.
            id: By which any replica finds the login; used once. None: a random one.
            timeout: As for `CibaClient.start`.
            reference: As for `CibaClient.start`.

        Raises:
            AlreadyPending: Some replica is asking this person, or their prompt may still be on the phone; `.login_id`
                is the login, `.until` when they can be asked again.
            StoreError: The store cannot be reached, or the id was used before. Nobody was asked.
            CibaError: As for `CibaClient.start`.
        """
        login = reference_text(id, names_person=request.is_named_in) or secrets.token_hex(16)
        own = await self._ask(request, login, timeout=timeout, reference=reference)
        return FleetLogin(self, self._writing.stored(own, self._worker.name))

    async def get(self, login: str) -> FleetLogin:
        """Find a login, on whichever replica it began.

        Raises:
            StoreError: There is none of this id (`login_unknown`), or the store cannot be reached.
        """
        return FleetLogin(self, await self.look(login))

    async def verify_many(
        self,
        batch: str,
        people: Everybody,
        *,
        claims: Collection[str] | None = (),
        max_in_flight: int = 100,
        duplicates: Literal["wait", "skip"] = "wait",
        digest: bytes | None = None,
        accepted: Callable[[str, Transaction], None] | None = None,
    ) -> AsyncGenerator[Result, None]:
        """Verify many people together with all replicas that call this for the same batch; see `batch.verify_many`.

        Each replica asks some of them, and one of them yields the results of all; another one goes on where it dies,
        with the results that were not taken: a result is taken when the next one is requested, or some are, at most
        100. On the others it yields nothing, and ends when the batch is over. Afterwards the batch is remembered for
        `retention` seconds, in which its name stands for it.

        Args:
            batch: Its name, the same on every replica.
            people: Pairs of a key and a request, the same in the same order on every replica: a collection, or a
                function that begins them anew.
            claims: As for `batch.verify_many`.
            max_in_flight: As for `batch.verify_many`, for all replicas together.
            duplicates: As for `batch.verify_many`.
            digest: What is equal only for the same people, to save a replica from reading them all beforehand.
            accepted: As for `batch.verify_many`; called on the replica that asks.

        Raises:
            StoreError: The batch has other people (`batch_differs`), or the store was away for five minutes.
            CibaError: As for `batch.verify_many`.
        """
        plan = Plan(claims=claims, max_in_flight=max_in_flight, duplicates=duplicates, digest=digest, accepted=accepted)
        async with aclosing(self.share_batch(batch, people, plan).results()) as results:
            async for result, _ in results:
                yield result

    def share_batch(self, batch: str, people: Everybody, plan: Plan) -> SharedBatch:
        """Take part in a batch, for those who need more than `verify_many` does."""
        replica = Replica(self._ciba, self._store, self._sealing, self._worker, self._clock, self._ask_member)
        return SharedBatch(replica, batch, people, plan)

    async def snapshot(self) -> dict[str, Any]:
        """The present state of all replicas as plain data that JSON can carry; `worker` is the name of this one.

        Raises:
            StoreError: The store cannot be reached.
        """
        return {"worker": self._worker.name, **asdict(await self._store.census())}

    async def close(self, *, patience: float = 5.0) -> None:
        """Stop asking, hand over, and close the client; polls in flight get `patience` seconds, to leave no doubt."""
        if self._closing:
            return
        self._closing = self._worker.closing = True
        left = {each.id: each.token for each in await self._ciba.close(patience=patience)}
        self._pings.end()
        self._share.granted.set()  # whoever waits for that is refused as well
        if self._beginning:
            await asyncio.wait(self._beginning)  # the client has let none of them wait
        following = [own.following for own in self._own.values() if own.following is not None]
        if following:
            # Those that have ended meanwhile store how; the others have nothing to wait for.
            await asyncio.wait(following, timeout=patience)
        for own in list(self._own.values()):
            if (token := left.get(own.transaction.id)) is not None:
                await self._worker.once(self._hand_over(own, token))
        await self._tasks.stop()
        leaving = self._worker.once(self._store.leave(self._worker.name))
        await asyncio.gather(self._learning.publish(), leaving)  # each waits for a store that is away
        self.is_closed = True
        self.watch.changed(None)  # whoever waits here need not wait any longer
        await self._store.aclose()

    async def _hand_over(self, own: Own, token: Redacted) -> None:
        if not own.accepted.is_set():
            await self._writing.accept(own)
        await self._writing.let_go(own, token)

    # --- for logins -------------------------------------------------------------------------------------------------

    def owns(self, login: str) -> bool:
        """Whether this replica asks the person, or has their answer and has not stored it yet."""
        return login in self._own

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._clock.wall()

    def show(self, stored: Stored) -> dict[str, Any]:
        """What its owner has written of its progress."""
        return self._sealing.show(stored.login, stored.progress)

    async def look(self, login: str) -> Stored:
        """The login as it is stored.

        Raises:
            StoreError: There is none of this id, or the store cannot be reached.
        """
        stored = await self._store.get(login)
        if stored is None:
            raise login_unknown()
        return stored

    def present(self, login: str) -> Stored | None:
        """The login as it is, if this replica asks the person and their answer is not here yet."""
        own = self._own.get(login)
        return None if own is None or own.transaction.state.is_final else self._writing.stored(own, self._worker.name)

    async def wish_to_see(self, login: str) -> None:
        """Have whoever asks the person write down their progress."""
        await self._store.watch(login)

    async def deliver(self, stored: Stored) -> FleetOutcome:
        """How a login that has ended did; what it holds of the person is in the store no longer."""
        blob = await self._store.deliver(stored.login)
        members = self._sealing.show(stored.login, blob)
        return FleetOutcome.of(stored.state, members, delivered=not members)

    async def cancel(self, login: str) -> bool:
        """Have its owner stop."""
        own = self._own.get(login)
        if own is not None and not own.transaction.state.is_final:
            own.transaction.abandon()
            return True
        return await self._store.cancel(login)

    # --- one login --------------------------------------------------------------------------------------------------

    async def _ask_member(
        self, request: EidRequest, login: str, *, member: Member, note: Callable[[], None]
    ) -> Transaction:
        return (await self._ask(request, login, member=member, note=note)).transaction

    async def _ask(self, request: EidRequest, login: str, **options: Any) -> Own:
        # To its end even if the caller is cancelled: the phone may ring, and that must be known.
        beginning = self._spawn(self._begin(request, login, **options))
        self._beginning[beginning] = login
        beginning.add_done_callback(self._beginning.pop)
        return await asyncio.shield(beginning)

    async def _begin(
        self,
        request: EidRequest,
        login: str,
        *,
        timeout: float | None = None,
        reference: str | None = None,
        member: Member | None = None,
        note: Callable[[], None] | None = None,
    ) -> Own:
        intents: list[Owned] = []

        async def intend() -> None:
            self._worker.check_store()
            await self._share.granted.wait()
            lifetime = max(request.prompt_lifetime, request.requested_expiry or 0) + LEEWAY
            tag = self._sealing.tag(request)
            hold = self._store.hold(login, tag, self._worker.name, seconds=lifetime, member=member)
            answer = await self._worker.in_time(hold)
            if isinstance(answer, Held):
                raise asked_elsewhere(answer, wall=self.wall())
            intents.append(answer)
            if note is not None:
                note()

        if self._worker.lease.holds:
            # First: a request counts in the second in which the client admits it, and must leave in that.
            await self._share.granted.wait()
        try:
            # The store knows of every prompt, those of this client included, and which login it is.
            transaction = await self._ciba.start(
                request, timeout=timeout, reference=reference, even_if_pending=True, before_sending=intend
            )
        except CibaError as error:
            for owned in intents:
                await self._not_begun(owned, error)
            raise
        own = self._adopt(intents[0], transaction, is_new=True)
        await asyncio.wait({self._spawn(own.accepted.wait())}, timeout=STORED_WITHIN)
        return own

    async def _not_begun(self, owned: Owned, error: CibaError) -> None:
        outcome = Outcome.not_begun(error)
        if outcome.state is State.INDETERMINATE:
            await self._worker.insist(lambda: self._writing.end(owned, outcome, gone=False))
        else:
            await self._worker.insist(lambda: self._store.withdraw(owned))

    def _adopt(self, owned: Owned, transaction: Transaction, *, is_new: bool = False) -> Own:
        own = self._own[owned.login] = Own(owned, transaction)
        own.show()
        transaction.on_doubt = self._fence
        own.following = self._spawn(self._follow(own, is_new=is_new))
        return own

    def _fence(self, leaves: bool) -> None:
        if leaves:
            self._worker.lease.check()

    async def _follow(self, own: Own, *, is_new: bool) -> None:
        """Store what becomes of a login until it has ended, or is no longer ours."""
        owned, transaction = own.owned, own.transaction
        if is_new and not await self._worker.insist(lambda: self._writing.accept(own)):
            # This worker was paused so long that the intent has ended indeterminate; the person stays held.
            own.taken = True
            transaction.abandon()
        own.accepted.set()
        async for update in transaction.updates():
            own.show(update.hint, update.phase.value)
            self.watch.changed(owned.login)
            if own.watched and not update.state.is_final:
                await self._note(own)
        outcome = await transaction.outcome()
        if outcome.state is State.HANDED_OVER:
            return
        if own.taken:
            self._drop(own)
            return
        if outcome.error is not None and outcome.error.code == "fenced":
            self._drop(own)
            self._events.of_login("fenced", self._worker.name, owned.login, transaction, code="fenced")
            await self._worker.once(self._writing.let_go(own, outcome.error.resume_token))
            return
        gone = transaction.prompt_until is None
        await self._worker.insist(lambda: self._writing.end(owned, outcome, gone=gone))
        self._drop(own)

    async def _note(self, own: Own) -> None:
        await self._worker.once(self._writing.note(own))

    def _drop(self, own: Own) -> None:
        """This worker has nothing to do with a login any more, unless it has taken it again."""
        if self._own.get(own.owned.login) is own:
            del self._own[own.owned.login]
        self.watch.changed(own.owned.login)

    # --- among the others -------------------------------------------------------------------------------------------

    def _known(self) -> list[str]:
        """The logins that this worker asks for, or is about to."""
        return [*self._own, *self._beginning.values()]

    def _died(self) -> None:
        """Whatever this worker had is others'."""
        for own in list(self._own.values()):
            own.taken = True
            own.transaction.abandon()
            self._drop(own)

    async def _forget(self) -> None:
        while True:
            await self._worker.once(self._store.purge(older=self._retention))
            await asyncio.sleep(PURGE_EVERY)
