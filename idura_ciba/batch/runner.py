"""Verifying many people, some at a time, so that a crash loses nothing and rings no phone twice.

For each person, in this order:
1. The intent is in the journal, on the disk, before the request can leave, and not much earlier.
2. What is needed to go on is in the journal once the provider has accepted.
3. The outcome is in the journal before the caller hears of it.
4. That the caller has it is in the journal when the caller asks for the next one.

What a run left is settled by the next: 1 without 2 is indeterminate, because the phone may have rung; 2 without 3 goes
on; 3 without 4 is handed over again.
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

#: Whom to ask: the caller's key, which no two share and which says nothing of the person, and the request.
People = Iterable[tuple[str, EidRequest]] | AsyncIterable[tuple[str, EidRequest]]

#: Seconds for which stopping waits for requests and polls under way; a poll may take as long as its answer.
PATIENCE = 5.0
#: Seconds of an outage after which a run gives up. What it has not asked it asks the next time.
OUTAGE = 300.0
#: After these the prompt is gone from the phone.
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
    """Verify people, and give each result as soon as it is known.

    `people` is read as places become free and never to its end in advance. A place is free when its result has been
    taken, so whoever is slow to take results lets fewer phones ring. A person who cannot be asked or does not answer is
    a result like any other. While the provider cannot be reached nobody is asked; after five minutes of that the run
    ends with the error, and what it has not asked is not in the journal.

    Cancelling, or leaving the loop and closing the generator (`contextlib.aclosing`), stops asking: polls under way may
    bring their answers, everything else is in the journal, and the next run goes on. A result counts as handed over
    when the next one is asked for; what was handed over is not given again.

    Args:
        client: Asks; lent, and so is its scheduler, which has the limits of the provider.
        people: Pairs of a key and a request. A key stands for one person of this journal for ever; give none that says
            who it is, because it stands in the journal and in the results.
        journal: Remembers across runs; open. None: one in memory.
        max_in_flight: People at most that are being asked, wait for their turn, or whose results were not taken yet.
            Right under a limit of requests is `1.8 * rate * interval`.
        duplicates: What becomes of a person who is named again, under another key: `wait` asks again once the former
            login is over, and says so in the result; `skip` does not ask, and says so.
        claims: Names of claims to put into the results; None for all.
        retry_indeterminate: Ask those again of whom no answer is known, once no prompt of theirs can be left. Agree
            that with them first.
        accepted: Told the key and the transaction of each person who is being asked now, also of those whom a former
            run had asked: for the `spoken_words` of Norwegian BankID, which somebody has to read to them.
        clock: Tells the time; replaced in tests.

    Raises:
        JournalError: The journal cannot be written any more. Those who were being asked come to their ends first.
        ClientRejected: The provider does not accept this client's credentials.
        TransportError: The provider could not be reached for five minutes.
        UsageError: An argument cannot work; a key stands for another person; the client was closed.
    """
    if duplicates not in ("wait", "skip"):
        raise UsageError("duplicates is neither wait nor skip", code="duplicates")
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
        self._harmless = Harmless("what is told of accepted logins")
        self._turns = Turns(clock, {})
        self._logins: set[Login] = set()
        # Those that were not taken yet, then None; with an entry where the journal has to hear that they were.
        self._ready: asyncio.Queue[tuple[Result, Entry | None] | None] = asyncio.Queue()
        self._taken = 0
        self._place_free = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._stopping = False

    async def results(self, people: People) -> AsyncGenerator[Result, None]:
        """All of them; stops cleanly however the reader leaves."""
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
        """The reader has one and comes for the next."""
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
        """Work on one login; its place is taken already."""
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
        """This run cannot go on. Those who are being asked come to their ends first."""
        if self._error is None:
            self._error = error
        if self._feeding is not None:
            self._feeding.cancel()

    # --- recovery ---------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Deal with what earlier runs left unfinished."""
        self._turns = Turns(self._clock, await self._journal.held(self._clock.wall()))
        for entry in await self._journal.unfinished():
            if entry.phase is Phase.INTENDED and self._retry:
                continue  # asked again when its turn in the file comes
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
        """Resume a login that an earlier run began."""
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
        """Begin with one after the other, as places become free."""
        try:
            await self._take_place()
            async for key, request in _each(people):
                login = Login()
                self._begin(self._verify(key, request, login), login)
                await self._take_place()
            self._free_place()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the caller's own; it is raised once what was begun is over
            self._error = self._error or error

    async def _verify(self, key: str, request: EidRequest, login: Login) -> None:
        """Ask one person, unless the journal knows better."""
        if not isinstance(key, str) or not key or not isinstance(request, EidRequest):
            raise UsageError("people are pairs of a key and a request", code="people")
        person = self._journal.sealing.tag(request)
        known = await self._journal.find(key) if self._journal.run > 1 else None
        if known is not None and known.person != person:
            raise UsageError(
                "a key stands for another person in this journal: the journal is another batch's, or the keys changed",
                code="key_reused",
                phone="The phone has not rung for this",
                advice="name the journal of this batch, or a new one, and keys that stay with their people",
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
        """Ask, as soon as it is possible, and write down what came of it."""
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
            # What was withdrawn is new again.
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
        """Something has failed for everybody: try again later, or end the run."""
        for_good = isinstance(error, JournalError | UsageError | ClientRejected | LocalProtocolError)
        if not self._stopping and (for_good or not self._outage.met(error)):
            self._fail(error.without_frames())

    def _gave_up(self) -> bool:
        return self._stopping or self._error is not None

    async def _follow(self, entry: Entry, transaction: Transaction, login: Login) -> None:
        """The provider has accepted: keep what is needed to go on, and wait for the end."""
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
                # This one knows whether an answer may be lost.
                entry.token, entry.mark = error.resume_token, None
                self._journal.write_soon(entry)
                if is_closed:
                    self._fail(explain.closed())
                return
        await self._end(entry, outcome)

    async def _end(self, entry: Entry, outcome: Outcome) -> None:
        """Write down how it ended, and only then give it to the reader."""
        mark, entry.mark = entry.mark, None
        entry.phase, entry.ended_at = Phase.ENDED, self._clock.wall()
        if outcome.state in _PROMPT_GONE:
            entry.until = entry.ended_at
        result = write_down(entry, outcome, self._journal.sealing, self._claims)
        try:
            # In company: it is no request that waits for this.
            await self._journal.write(entry, linger=LINGER)
        except JournalError as error:
            # It is told all the same: an answer can be had once only.
            self._fail(error.without_frames())
            self._give(result, None)
        else:
            self._journal.marks.release(mark)
            self._give(result, entry)

    # --- stopping ---------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Stop asking. What has left may arrive; everything else can be resumed from the journal."""
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
            # Also when the stopping itself is cancelled.
            for login in logins:
                if login.transaction is not None:
                    login.transaction.abandon()
                elif login.task is not None:
                    login.task.cancel()
        await asyncio.gather(*tasks, *leaving, return_exceptions=True)
        if self._journal.failure is None:
            await self._journal.flush()


def _is_unknown(entry: Entry) -> bool:
    """Whether it is not known what came of asking."""
    return entry.phase is Phase.INTENDED or entry.state == State.INDETERMINATE


def _too_late(error: ResumeError, *, doubt: bool | None) -> Outcome:
    """What came of a login that cannot be gone on with."""
    if error.code != "resume_expired":
        return Outcome.not_begun(error)
    if doubt is False:
        # Nobody has fetched an answer, and none can be fetched any more.
        return Outcome(State.EXPIRED, error=explain.expired("deadline", heard=False))
    return Outcome(State.INDETERMINATE, error=explain.interrupted("answering"))


async def _abandon_between_polls(transaction: Transaction) -> None:
    """Abandon a transaction as soon as none of its polls is under way, whose answer would be lost."""
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
