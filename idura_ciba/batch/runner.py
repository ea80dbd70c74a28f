"""Verify many people, some at a time, so that a crash loses nothing and rings no phone twice.

For each person, in this order, the journal has on disk:
1. The intent, shortly before the request can leave.
2. The resume token, once the provider has accepted.
3. The outcome, before the caller gets the result.
4. The delivery, once the caller asks for the next result.

The next run settles what a run left: 1 without 2 is indeterminate, because the phone may have rung; 2 without 3 is
resumed; 3 without 4 is delivered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Collection, Coroutine, Iterable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any, Literal

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.batch.asking import Asking, Login, until_free
from idura_ciba.batch.journal import LINGER, Journal
from idura_ciba.batch.outage import Outage
from idura_ciba.batch.results import Result, write_down
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.batch.turns import Turns
from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import (
    AlreadyPending,
    CibaError,
    ClientRejected,
    JournalError,
    LocalProtocolError,
    ResumeError,
    UsageError,
)
from idura_ciba.observe import Harmless
from idura_ciba.options import whole_number
from idura_ciba.protocol.machine import State
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["People", "verify_many"]

#: The people to ask: a unique key of the caller's that does not identify the person, and the request.
People = Iterable[tuple[str, EidRequest]] | AsyncIterable[tuple[str, EidRequest]]

#: Seconds for which stopping waits for requests and polls in flight; a long poll may take longer.
PATIENCE = 5.0
#: Seconds of an outage after which a run gives up. The next run asks whom it has not asked.
OUTAGE = 300.0
#: States in which the prompt is gone from the phone.
_PROMPT_GONE = frozenset({State.APPROVED, State.DENIED, State.EXPIRED, State.REJECTED})


async def verify_many(
    client: CibaClient,
    people: People,
    *,
    journal: Journal | None = None,
    max_in_flight: int = 100,
    duplicates: Literal["wait", "skip"] = "wait",
    claims: Collection[str] | None = (),
    retry_indeterminate: bool = False,
    accepted: Callable[[str, Transaction], None] | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[Result, None]:
    """Verify people, and yield each result as soon as it is known.

    `people` is read only as slots become free, never to its end in advance. A slot becomes free when its result is
    taken, so a slow consumer lets fewer phones ring. A person who cannot be asked or does not answer is a result too.
    While the provider cannot be reached, nobody is asked. After five minutes of that, the run ends with the error, and
    people not asked yet are not in the journal.

    To stop, cancel the task, or leave the loop and close the generator (`contextlib.aclosing`). Polls in flight may
    still bring their answers; everything else is in the journal, and the next run resumes it. A result counts as
    delivered when the next one is requested; a delivered result is not yielded again.

    Args:
        client: The client to use; it stays open, and its scheduler holds the provider's limits.
        people: Pairs of a key and a request. A key always means the same person within a journal. It must not identify
            the person, because the journal and the results hold it.
        journal: An open journal, so that the next run can resume. None: a journal in memory.
        max_in_flight: Maximum number of people who are being asked, wait for their turn, or whose results were not
            taken yet. With a request rate limit, `1.8 * rate * interval` is right.
        duplicates: What to do with a person who appears again under another key: `wait` asks again after the earlier
            login has ended, and the result says so; `skip` does not ask, and the result says so.
        claims: Names of claims to put into the results; None for all.
        retry_indeterminate: Ask people again whose answer is unknown, once none of their prompts can be left. Get
            their agreement first.
        accepted: Called with the key and the transaction of each accepted login, resumed ones included. Use it for the
            `spoken_words` of Norwegian BankID, which must be read to the person.
        clock: The clock; replaced in tests.

    Raises:
        JournalError: The journal cannot be written any more. Pending logins end first.
        ClientRejected: The provider does not accept this client's credentials.
        TransportError: The provider could not be reached for five minutes.
        UsageError: An argument is invalid, a key belongs to another person, or the client was closed.
    """
    if duplicates not in ("wait", "skip"):
        raise UsageError("duplicates must be wait or skip", code="duplicates")
    async with AsyncExitStack() as stack:
        if journal is None:
            journal = await stack.enter_async_context(Journal(None, client))
        run = _Run(client, journal, clock or Clock(), claims, skip=duplicates == "skip", retry=retry_indeterminate)
        run.accepted = accepted
        run.places = whole_number("max_in_flight", max_in_flight)
        async for result in await stack.enter_async_context(aclosing(run.results(people))):
            yield result


class _Run:
    """One run over a batch."""

    def __init__(
        self,
        client: CibaClient,
        journal: Journal,
        clock: Clock,
        claims: Collection[str] | None,
        *,
        skip: bool,
        retry: bool,
    ) -> None:
        self.accepted: Callable[[str, Transaction], None] | None = None
        self.places: int = 1
        self._client = client
        self._journal = journal
        self._skip = skip
        self._claims = claims
        self._clock = clock
        self._retry = retry
        self._outage = Outage(OUTAGE)
        self._asking = Asking(client, journal, clock)
        self._harmless = Harmless("the callback for accepted logins")
        self._turns = Turns(clock, {})
        self._logins: set[Login] = set()
        # Results not taken yet, then None; each with its entry if the journal must record the delivery.
        self._ready: asyncio.Queue[tuple[Result, Entry | None] | None] = asyncio.Queue()
        self._taken = 0
        self._place_free = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._stopping = False

    async def results(self, people: People) -> AsyncGenerator[Result, None]:
        """Yield all results; stops cleanly however the consumer leaves."""
        try:
            await self._recover()
            self._feeding = asyncio.get_running_loop().create_task(self._feed(people))
            self._feeding.add_done_callback(lambda _: self._perhaps_over())
            while (ready := await self._ready.get()) is not None:
                result, entry = ready
                yield result
                self._deliver(entry)
            if self._error is not None:
                raise self._error
        finally:
            await self._stop()

    def _deliver(self, entry: Entry | None) -> None:
        """Record that the consumer has taken a result."""
        self._free_place()
        if entry is not None:
            entry.phase, entry.answer = Phase.DELIVERED, None
            self._journal.deliver(entry)

    # --- places -----------------------------------------------------------------------------------------------------

    async def _take_place(self) -> None:
        while self._taken >= self.places:
            self._place_free.clear()
            await self._place_free.wait()
        self._taken += 1

    def _free_place(self) -> None:
        self._taken -= 1
        self._place_free.set()

    def _give(self, result: Result, entry: Entry | None) -> None:
        self._ready.put_nowait((result, entry))

    def _begin(self, work: Coroutine[Any, Any, None], login: Login) -> None:
        """Start the task of a login, whose slot is already taken."""
        self._logins.add(login)
        login.task = asyncio.get_running_loop().create_task(work)
        login.task.add_done_callback(partial(self._ended, login))

    def _ended(self, login: Login, task: asyncio.Task[None]) -> None:
        self._logins.discard(login)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._perhaps_over()

    def _perhaps_over(self) -> None:
        if not self._logins and self._feeding is not None and self._feeding.done():
            self._ready.put_nowait(None)

    def _fail(self, error: BaseException) -> None:
        """End this run with an error, after the pending logins have ended."""
        if self._error is None:
            self._error = error
        if self._feeding is not None:
            self._feeding.cancel()

    # --- recovery ---------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Settle the entries that earlier runs have left."""
        self._turns = Turns(self._clock, await self._journal.held(self._clock.wall()))
        for entry in await self._journal.unfinished():
            if entry.phase is Phase.INTENDED and self._retry:
                continue  # asked again when its row comes
            self._taken += 1
            if entry.phase is Phase.ENDED:
                answer = self._journal.sealing.decrypt(entry.key, entry.answer or b"")
                self._give(Result.of(entry, answer or {}, replayed=True), entry)
            elif entry.phase is Phase.INTENDED:
                outcome = Outcome(State.INDETERMINATE, error=explain.interrupted("asking"))
                self._begin(self._end(entry, outcome), Login())
            else:
                login = Login()
                certain = self._journal.marks.recall(entry.mark)
                self._begin(self._resume(entry, login, doubt=False if certain else None), login)

    async def _resume(self, entry: Entry, login: Login, *, doubt: bool | None) -> None:
        """Resume a login of an earlier run."""
        token = entry.token
        assert token is not None  # noqa: S101 - for type checkers: it was accepted
        async with self._turns.take(entry.person):
            while not self._gave_up():
                await self._outage.over()
                try:
                    transaction = await self._client.resume(token, doubt=doubt)
                except AlreadyPending as error:
                    await until_free(error, self._clock)
                except ResumeError as error:
                    await self._end(entry, _too_late(error, doubt=doubt))
                    return
                except CibaError as error:
                    self._back_off_or_fail(error)
                else:
                    await self._follow(entry, transaction, login)
                    return

    # --- the batch --------------------------------------------------------------------------------------------------

    async def _feed(self, people: People) -> None:
        """Start one login after another, as slots become free."""
        try:
            await self._take_place()
            async for key, request in _each(people):
                login = Login()
                self._begin(self._verify(key, request, login), login)
                await self._take_place()
            self._free_place()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - from the caller's iterable; raised once the pending logins have ended
            self._error = self._error or error

    async def _verify(self, key: str, request: EidRequest, login: Login) -> None:
        """Ask one person, unless the journal has an entry for the key."""
        if not isinstance(key, str) or not key or not isinstance(request, EidRequest):
            raise UsageError("people must be pairs of a key and a request", code="people")
        person = self._journal.sealing.tag(request)
        known = await self._journal.find(key) if self._journal.run > 1 else None
        if known is not None and known.person != person:
            raise UsageError(
                "a key belongs to another person in this journal: the journal is of another batch, or keys changed",
                code="key_reused",
                phone="The phone has not rung for this row",
                advice="pass the journal of this batch, or a new one, and keys that always mean the same person",
            )
        if known is not None and known.run == self._journal.run:
            self._refuse(key, explain.named_before("key"))
            return
        if known is not None and not (self._retry and _is_unknown(known)):
            self._free_place()
            return
        async with self._turns.take(person) as waited:
            entry = Entry(key, person, Phase.INTENDED, self._journal.run, 0.0, 0.0, waited=waited)
            if self._skip and await self._was_asked(person, key):
                await self._end(entry, Outcome(State.ABANDONED, error=explain.named_before("person")))
                return
            await self._ask(entry, request, login, is_new=known is None)

    async def _was_asked(self, person: bytes, key: str) -> bool:
        return await self._journal.read(lambda store: store.was_asked(person, key))

    def _refuse(self, key: str, error: CibaError) -> None:
        self._give(Result.of_nobody(key, Outcome(State.ABANDONED, error=error)), None)

    async def _ask(self, entry: Entry, request: EidRequest, login: Login, *, is_new: bool) -> None:
        """Ask as soon as possible, and record what came of it."""
        while True:
            await self._outage.over()
            try:
                asked = await self._asking.ask(entry, request, login, is_new=is_new)
                break
            except AlreadyPending as error:
                entry.waited = True
                await until_free(error, self._clock)
            except CibaError as error:
                self._back_off_or_fail(error)
            if self._gave_up():
                self._free_place()
                return
            # A withdrawn entry is new again.
            is_new = is_new or login.is_sending
        if isinstance(asked, Transaction):
            self._outage.ended()
            entry.phase = Phase.ACCEPTED
            await self._follow(entry, asked, login)
        elif asked.error is not None and asked.error.code == "key_twice":
            self._refuse(entry.key, asked.error)
        else:
            await self._end(entry, asked)

    def _back_off_or_fail(self, error: CibaError) -> None:
        """Handle a failure that concerns all requests: wait for it to pass, or end the run."""
        for_good = isinstance(error, JournalError | UsageError | ClientRejected | LocalProtocolError)
        if not self._stopping and (for_good or not self._outage.met(error)):
            self._fail(error.without_frames())

    def _gave_up(self) -> bool:
        return self._stopping or self._error is not None

    async def _follow(self, entry: Entry, transaction: Transaction, login: Login) -> None:
        """Journal the resume token of an accepted login, and wait for its end."""
        entry.mark = self._journal.marks.follow(transaction, entry.mark)
        entry.token = transaction.resume_token
        self._journal.write_soon(entry)
        login.transaction = transaction
        if self.accepted is not None:
            self._harmless.call(lambda accepted: accepted(entry.key, transaction), self.accepted)
        if self._stopping:
            await _abandon_between_polls(transaction)
        outcome = await transaction.outcome()
        error = outcome.error
        if outcome.state is State.ABANDONED and error is not None and error.resume_token is not None:
            is_closed = error.code == "closed"
            if self._stopping or is_closed:
                # This token knows whether an answer may be lost.
                entry.token, entry.mark = error.resume_token, None
                self._journal.write_soon(entry)
                if is_closed:
                    self._fail(explain.closed())
                return
        await self._end(entry, outcome)

    async def _end(self, entry: Entry, outcome: Outcome) -> None:
        """Journal the outcome, and only then give the result to the consumer."""
        mark, entry.mark = entry.mark, None
        entry.phase, entry.ended_at = Phase.ENDED, self._clock.wall()
        if outcome.state in _PROMPT_GONE:
            entry.until = entry.ended_at
        result = write_down(entry, outcome, self._journal.sealing, self._claims)
        try:
            # It may share a commit, because no request waits for it.
            await self._journal.write(entry, linger=LINGER)
        except JournalError as error:
            # The result is given nevertheless: the provider gives an answer only once.
            self._fail(error.without_frames())
            self._give(result, None)
        else:
            self._journal.marks.release(mark)
            self._give(result, entry)

    # --- stopping ---------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Stop asking. Requests in flight may complete; everything else can be resumed from the journal."""
        self._stopping = self._asking.stopping = True
        logins = tuple(self._logins)
        tasks = [login.task for login in logins if login.task is not None]
        if self._feeding is not None:
            self._feeding.cancel()
            tasks.append(self._feeding)
        for login in logins:
            if login.transaction is None and login.task is not None and not login.is_sending:
                login.task.cancel()
        leaving = [
            asyncio.create_task(_abandon_between_polls(login.transaction)) for login in logins if login.transaction
        ]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=PATIENCE)
        finally:
            # Also if stopping is itself cancelled.
            for login in logins:
                if login.transaction is not None:
                    login.transaction.abandon()
                elif login.task is not None:
                    login.task.cancel()
        await asyncio.gather(*tasks, *leaving, return_exceptions=True)
        if self._journal.failure is None:
            await self._journal.flush()


def _is_unknown(entry: Entry) -> bool:
    """Return whether the answer of this person is unknown."""
    return entry.phase is Phase.INTENDED or entry.state == State.INDETERMINATE


def _too_late(error: ResumeError, *, doubt: bool | None) -> Outcome:
    """Return the outcome of a login that cannot be resumed."""
    if error.code != "resume_expired":
        return Outcome.not_begun(error)
    if doubt is False:
        # No answer was fetched, and none can be fetched any more.
        return Outcome(State.EXPIRED, error=explain.expired("deadline", heard=False))
    return Outcome(State.INDETERMINATE, error=explain.interrupted("answering"))


async def _abandon_between_polls(transaction: Transaction) -> None:
    """Abandon a transaction once no poll is in flight, because the answer of that poll would be lost."""
    async for update in transaction.updates():
        if update.state.is_final or update.next_poll_at is not None:
            break
    transaction.abandon()


async def _each(people: People) -> AsyncIterator[tuple[str, EidRequest]]:
    if isinstance(people, AsyncIterable):
        async for pair in people:
            yield pair
        return
    for pair in people:
        yield pair
