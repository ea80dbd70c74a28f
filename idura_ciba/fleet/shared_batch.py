"""This replica's part of a batch on which several work together.

Everybody goes through all of the people and claims slices of them. Whom to ask when is decided as for a batch of one
machine (`idura_ciba.batch`); who may be asked, and what becomes of them, is in the store (`BatchStore`). One of the
replicas writes the results, whoever has asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Literal

from attrs import define, field, frozen

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.batch.journal import Journal
from idura_ciba.batch.logins import Places
from idura_ciba.batch.results import Result
from idura_ciba.batch.runner import OUTAGE, Run
from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import ArgumentError, StoreError
from idura_ciba.fleet.batch_asking import Ask, FleetAsking
from idura_ciba.fleet.batch_rows import Everybody, Row, Rows
from idura_ciba.fleet.batch_store import Ended, Standing
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.store import Store
from idura_ciba.fleet.worker import Worker
from idura_ciba.options import reference_text, whole_number
from idura_ciba.protocol.machine import State
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Plan", "Replica", "SharedBatch"]

#: Seconds between two looks at how far the batch is.
EVERY: Final = 1.0
#: Results that one statement changes: none may take long.
AT_ONCE: Final = 2000
#: Results that are fetched, and marked as taken, together.
TOGETHER: Final = 100


@frozen
class Replica:
    """What a batch needs of its replica."""

    ciba: CibaClient
    store: Store
    sealing: Sealing
    worker: Worker
    clock: Clock
    ask: Ask


@frozen(kw_only=True)
class Plan:
    """How the people are asked, and what becomes of the results.

    Attributes:
        claims: Names of claims to put into the results; None for all.
        max_in_flight: Maximum number of people who are asked at once, by all replicas of the fleet together.
        duplicates: As for `batch.verify_many`.
        digest: Equal only for the same people in the same order. None: from all keys and people.
        accepted: As for `batch.verify_many`.
        is_whole: Whoever writes begins anew with all results of the batch, because they must make up one whole file.
            `SharedBatch.finish` must be called once the file is safe.
        begin: Called when this replica begins to write, and when it begins anew.
        seen: Called with the result of each person whom this replica asked.
    """

    claims: Collection[str] | None = ()
    max_in_flight: int = 100
    duplicates: Literal["wait", "skip"] = "wait"
    digest: bytes | None = None
    accepted: Callable[[str, Transaction], None] | None = None
    is_whole: bool = False
    begin: Callable[[], None] = lambda: None
    seen: Callable[[Result], None] = lambda _: None

    def __attrs_post_init__(self) -> None:
        """Check what a type checker does not.

        Raises:
            UsageError: Something cannot be.
        """
        whole_number("max_in_flight", self.max_in_flight)
        if self.duplicates not in ("wait", "skip"):
            raise ArgumentError("duplicates must be wait or skip", code="duplicates")


@define(eq=False)
class _Slice:
    """One that this replica has claimed, and those in it who are not in the store yet."""

    number: int
    rows: dict[str, Row] = field(factory=dict)


class SharedBatch:
    """One replica's part of a batch.

    Attributes:
        enough: Once it is set, this replica asks nobody else, and leaves the rest to the others.
        is_over: Whether all results are written, here or elsewhere.
        is_written: Whether this replica has yielded all results.
    """

    def __init__(self, replica: Replica, name: str, people: Everybody, plan: Plan) -> None:
        text = reference_text(name, names_person=lambda _: False)
        if text is None:
            raise ArgumentError("a batch needs a name", code="batch", advice="pass the same name on every machine")
        self.enough: asyncio.Event = asyncio.Event()
        self.is_over: bool = False
        self.is_written: bool = False
        self._name = text
        self._rows = Rows(text, people, replica.sealing, once=plan.duplicates == "skip")
        self._plan = plan
        self._replica = replica
        self._store = replica.store
        self._worker = replica.worker
        # By key, those who are being asked; by number, the slices that are not done.
        self._slices: dict[str, _Slice] = {}
        self._open: dict[int, _Slice] = {}
        self._places = Places()
        self._is_open = False
        # Whether this replica has begun to write, and what it has yielded that the store may not know to be taken.
        self._writes = False
        self._yielded: list[str] = []

    async def open(self) -> None:
        """Take part, and find out whether it is over; nobody is asked yet.

        Raises:
            StoreError: The batch has other people, or the store cannot be reached.
        """
        digest = await self._rows.digest(self._plan.digest)
        await self._worker.in_time(self._store.open_batch(self._name, digest))
        self.is_over = (await self._standing()).is_over
        self._is_open = True

    async def results(self) -> AsyncGenerator[tuple[Result, Mapping[str, Any]], None]:
        """Ask, and yield the results of all replicas, with what stands beside them, if this one writes them.

        Ends when the batch is over, or when there is nothing more to do here.

        Raises:
            StoreError: The batch has other people, or the store was away for five minutes.
            CibaError: As for `batch.verify_many`.
        """
        loop, away_since = asyncio.get_running_loop(), None
        if not self._is_open:
            await self.open()
        asking = loop.create_task(self._ask_all())
        try:
            while True:
                try:
                    async with aclosing(self._written()) as written:
                        async for result in written:
                            yield result
                    away_since = None
                except StoreError as error:
                    away_since = away_since or loop.time()
                    if error.code == "store_closed" or loop.time() - away_since > OUTAGE:
                        raise
                if asking.done():
                    asking.result()
                if self.is_over or self.is_written or (asking.done() and self.enough.is_set()):
                    return
                await asyncio.sleep(EVERY)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if self.is_over or not self.is_written:
                await self._leave()

    async def finish(self) -> bool:
        """All results are safe: keep no more of them; False if another replica writes them now."""
        self.is_over = await self._worker.insist(lambda: self._store.finish_batch(self._name, self._worker.name))
        left = partial(self._store.empty_batch, self._name, most=AT_ONCE)
        while self.is_over and await self._worker.insist(left) > 0:
            pass
        await self._leave()
        return self.is_over

    async def _leave(self) -> None:
        await self._worker.once(self._store.leave_batch(self._name, self._worker.name))

    # --- results ----------------------------------------------------------------------------------------------------

    async def _written(self) -> AsyncGenerator[tuple[Result, Mapping[str, Any]], None]:
        """Yield the results that there are, if it is for this replica to write them."""
        worker, store = self._worker, self._store
        self.is_over = (await self._standing()).is_over
        if self.is_over or not await self._may_write():
            return
        while await self._take():
            found = await worker.in_time(store.results(self._name, most=TOGETHER))
            if not found:
                break
            for ended in found:
                yield self._read(ended)
            self._yielded = [ended.login for ended in found]
        standing = await self._standing()
        if standing.is_all_done and not standing.is_open:
            self.is_written = self._plan.is_whole or await self.finish()

    async def _may_write(self) -> bool:
        """Whether it is for this replica to write; if so, it has begun to."""
        worker, store = self._worker, self._store
        may = await worker.in_time(store.may_write(self._name, worker.name))
        if may is None and self._writes:
            return True
        self._writes = False
        if may is False:
            return False
        if self._plan.is_whole:
            while await worker.in_time(store.offer_again(self._name, worker.name, most=AT_ONCE)):
                pass
            self._yielded = []
        self._plan.begin()
        self._writes = True
        return True

    async def _take(self) -> bool:
        """Have the store know that what was yielded is taken; False if another replica writes by now."""
        if not self._yielded:
            return True
        taken = self._store.take_results(self._name, self._worker.name, self._yielded, keep=self._plan.is_whole)
        if not await self._worker.in_time(taken):
            return False
        self._yielded = []
        return True

    def _read(self, ended: Ended) -> tuple[Result, Mapping[str, Any]]:
        about = self._rows.about(ended.login, ended.about)
        members, claims = self._replica.sealing.show(ended.login, ended.outcome), self._plan.claims
        chosen = {name: value for name, value in members.get("claims", {}).items() if claims is None or name in claims}
        result = Result(
            key=about.get("key", ""),
            state=State(ended.state),
            code=members.get("code"),
            explanation=members.get("message"),
            subject=members.get("subject"),
            person_confirmed=members.get("person_confirmed"),
            acr=members.get("acr"),
            trace_id=members.get("trace_id"),
            claims=chosen,
            asked_at=about.get("asked_at"),
            ended_at=ended.at,
            polls=members.get("polls", 0),
            slow_downs=members.get("slow_downs", 0),
            waited=about.get("waited", False),
        )
        return result, about.get("more", {})

    async def _standing(self) -> Standing:
        standing = await self._worker.in_time(self._store.standing(self._name, self._worker.name))
        # Whoever is asked by somebody else already stays theirs; as they answer, it evens out.
        self._places.count = max(1, self._plan.max_in_flight // max(1, standing.workers))
        return standing

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _ask_all(self) -> None:
        """Ask whoever is for this replica to ask, until the end of the batch."""
        replica, plan = self._replica, self._plan
        async with Journal(None, replica.ciba) as journal:
            asking = FleetAsking(replica.ciba, journal, replica.clock, ask=replica.ask, rows=self._rows, find=self._row)
            run = Run(asking, ())
            run.accepted = plan.accepted
            run.places = self._places
            async with aclosing(run.results(self._mine())) as results:
                async for result in results:
                    plan.seen(result)
                    found = self._slices.pop(result.key)
                    row = found.rows.pop(result.key)
                    if result.key not in asking.in_store:
                        await self._conclude(row, result)
                    asking.in_store.discard(result.key)
                    if not found.rows:
                        await self._finish_slice(found.number)

    async def _mine(self) -> AsyncIterator[tuple[str, EidRequest]]:
        """Those whom this replica asks: until the end of the people, and then those whom others have left."""
        while not self.enough.is_set():
            slices = 0
            async for number, rows in self._rows.sliced():
                slices = number + 1
                if number not in self._open and await self._claim(number):
                    for row in await self._unknown(number, rows):
                        yield row.key, row.request
                        if self.enough.is_set():
                            return
            await self._count(slices)
            if not await self._wait_for_others():
                return

    async def _wait_for_others(self) -> bool:
        """Wait until everything is done (False), or somebody has left something."""
        while not self.enough.is_set():
            standing = await self._worker.insist(self._standing)
            if standing.is_all_done:
                return False
            if standing.free > len(self._open):
                return True
            await asyncio.sleep(EVERY)
        return False

    async def _unknown(self, number: int, rows: list[Row]) -> list[Row]:
        """Those of a slice of whom the store does not know; whoever had it before may have asked some.

        Raises:
            UsageError: A key belongs to two people.
        """
        known = await self._worker.insist(lambda: self._store.known([row.login for row in rows]))
        tags, found = dict(known), _Slice(number)
        self._open[number] = found
        for row in rows:
            if tags.setdefault(row.login, row.tag) != row.tag:
                raise ArgumentError(
                    "a key belongs to two people in this batch",
                    code="key_reused",
                    phone="The phone has not rung for this row",
                    advice="give each person a key of their own",
                )
            if row.login in known or row.key in found.rows or row.key in self._slices:
                continue
            if row.again:
                result = Result.of_nobody(row.key, Outcome(State.ABANDONED, error=explain.named_before("person")))
                self._plan.seen(result)
                await self._conclude(row, result)
            else:
                found.rows[row.key] = row
                self._slices[row.key] = found
        if not found.rows:
            await self._finish_slice(number)
        return list(found.rows.values())

    def _row(self, key: str) -> Row:
        return self._slices[key].rows[key]

    async def _conclude(self, row: Row, result: Result) -> None:
        members = {"code": result.code, "message": result.explanation, "trace_id": result.trace_id}
        member = self._rows.member(row, asked_at=result.asked_at, waited=result.waited)
        outcome = self._replica.sealing.hide(row.login, members)
        state = result.state.value
        await self._worker.insist(
            lambda: self._store.conclude(row.login, row.tag, member, state=state, outcome=outcome)
        )

    async def _claim(self, number: int) -> bool:
        return await self._worker.insist(lambda: self._store.claim_slice(self._name, number, self._worker.name))

    async def _finish_slice(self, number: int) -> None:
        await self._worker.insist(lambda: self._store.finish_slice(self._name, number, self._worker.name))
        del self._open[number]

    async def _count(self, slices: int) -> None:
        await self._worker.insist(lambda: self._store.count_slices(self._name, slices))
