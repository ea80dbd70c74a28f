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
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AsyncExitStack, aclosing
from typing import Literal

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.batch.asking import Asking, until_free
from idura_ciba.batch.journal import LINGER, Journal
from idura_ciba.batch.keys import People, each, refuse_reused_keys, require_same_person
from idura_ciba.batch.logins import Login, Logins, Places, abandon_between_polls
from idura_ciba.batch.outage import Outage
from idura_ciba.batch.results import Result, write_down
from idura_ciba.batch.slow_start import SlowStart
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.batch.turns import Turns
from idura_ciba.batch.verdicts import asked_often, ends_run, is_about_client, is_lost, is_unclear, is_unknown, too_late
from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import (
    Abandoned,
    ArgumentError,
    CibaError,
    Expired,
    HandedOver,
    Indeterminate,
    JournalError,
    ProviderError,
    ResumeError,
)
from idura_ciba.observe import Harmless
from idura_ciba.options import whole_number
from idura_ciba.protocol.machine import State
from idura_ciba.transaction.already_pending import AlreadyPending
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["People", "Run", "verify_many"]

#: Seconds of an outage after which a run gives up. The next run asks whom it has not asked.
OUTAGE = 300.0
#: People who may be refused for an unclear reason, one after the other, before the provider has accepted anybody.
SUSPECTS = 3
#: Times that somebody is asked again whose answer is unknown.
RETRIES = 2
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
    What decides about the whole run is settled by one: the others are asked once the provider has accepted somebody,
    or refused somebody for a reason of their own, and only a few before a first poll was answered. While the provider
    cannot be reached, nobody is asked, but for one who finds out when it is back. After five minutes of that, the run
    ends with the error, and people not asked yet are not in the journal. A refusal of the client ends it at once.
    Once nobody was accepted and three people in a row were refused for a reason that may be the client's, such as
    `access_denied`, the run ends as well, and they are asked again by the next one.

    To stop, cancel the task, or leave the loop and close the generator (`contextlib.aclosing`). Polls in flight may
    still bring their answers; everything else is in the journal, and the next run resumes it. A result counts as
    delivered when the next one is requested; a delivered result is not yielded again.

    Args:
        client: The client to use; it stays open, and its scheduler holds the provider's limits.
        people: Pairs of a key and a request. A key always means the same person within a journal. It must not identify
            the person, because the journal and the results hold it. Of a collection, all keys are compared with the
            journal before anybody is asked; of an iterator, each in its order.
        journal: An open journal, so that the next run can resume. None: a journal in memory.
        max_in_flight: Maximum number of people who are being asked, wait for their turn, or whose results were not
            taken yet. With a request rate limit, `1.8 * rate * interval` is right.
        duplicates: What to do with a person who appears again under another key: `wait` asks again after the earlier
            login has ended, and the result says so; `skip` does not ask, and the result says so.
        claims: Names of claims to put into the results; None for all.
        retry_indeterminate: Ask people again whose answer is unknown, once none of their prompts can be left, and
            at most twice. Get their agreement first.
        accepted: Called with the key and the transaction of each accepted login, resumed ones included. Use it for the
            `spoken_words` of Norwegian BankID, which must be read to the person.
        clock: The clock; replaced in tests.

    Raises:
        JournalError: The journal cannot be written any more. Pending logins end first.
        ClientRejected: The provider does not accept this client's credentials.
        ProviderError: The provider does not allow this client to ask people, or may not.
        TransportError: The provider could not be reached for five minutes.
        UsageError: An argument is invalid, a key belongs to another person, or the client was closed.
    """
    if duplicates not in ("wait", "skip"):
        raise ArgumentError("duplicates must be wait or skip", code="duplicates")
    async with AsyncExitStack() as stack:
        if journal is None:
            journal = await stack.enter_async_context(Journal(None, client))
        asking = Asking(client, journal, clock or Clock())
        run = Run(asking, claims, skip=duplicates == "skip", retry=retry_indeterminate)
        run.accepted = accepted
        run.places.count = whole_number("max_in_flight", max_in_flight)
        async for result in await stack.enter_async_context(aclosing(run.results(people))):
            yield result


class Run:
    """One run over a batch: whom to ask when."""

    def __init__(
        self, asking: Asking, claims: Collection[str] | None, *, skip: bool = False, retry: bool = False
    ) -> None:
        self.accepted: Callable[[str, Transaction], None] | None = None
        self.places: Places = Places()
        self._asking = asking
        self._client = asking.client
        self._journal = asking.journal
        self._clock = asking.clock
        self._claims = claims
        self._skip = skip
        self._retry = retry
        self._outage = Outage(OUTAGE)
        self._start = SlowStart(self._outage)
        # Refused for a reason that may be the client's, and withdrawn from the journal.
        self._suspects: list[tuple[Entry, Outcome]] = []
        self._harmless = Harmless("the callback for accepted logins")
        self._turns = Turns(self._clock, {})
        self._logins = Logins(self._login_ended)
        # Results not taken yet, then None; each with its entry if the journal must record the delivery.
        self._ready: asyncio.Queue[tuple[Result, Entry | None] | None] = asyncio.Queue()
        self._feeding: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        # Nobody else may be asked: set by `_fail`, and not if only the caller's iterable has broken.
        self._is_failing = False
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
        self.places.free()
        if entry is not None:
            entry.phase, entry.answer = Phase.DELIVERED, None
            self._journal.deliver(entry)

    # --- places -----------------------------------------------------------------------------------------------------

    def _give(self, result: Result, entry: Entry | None) -> None:
        self._ready.put_nowait((result, entry))

    def _login_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error)
        self._perhaps_over()

    def _perhaps_over(self) -> None:
        if self._logins or self._feeding is None or not self._feeding.done():
            return
        if self._suspects and self._error is None and not self._stopping:
            # Too few to tell.
            self._acquit()
        else:
            self._ready.put_nowait(None)

    def _fail(self, error: BaseException) -> None:
        """End this run with an error, after the pending logins have ended."""
        self._is_failing = True
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
            self.places.exceed()
            if entry.phase is Phase.ENDED:
                answer = self._journal.sealing.decrypt(entry.key, entry.answer or b"")
                self._give(Result.of(entry, answer or {}, replayed=True), entry)
            elif entry.phase is Phase.INTENDED:
                outcome = Outcome(State.INDETERMINATE, error=explain.interrupted("asking"))
                self._logins.begin(self._end(entry, outcome), Login())
            else:
                login = Login()
                certain = self._journal.marks.recall(entry.mark)
                self._logins.begin(self._resume(entry, login, doubt=False if certain else None), login)

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
                    await self._end(entry, too_late(error))
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
            if isinstance(people, Collection):
                await refuse_reused_keys(self._journal, people)
            await self.places.take()
            async for key, request in each(people):
                # One after the other: a key that has moved is found before those after it are asked.
                try:
                    person, former = await self._look_up(key, request)
                except CibaError as error:
                    self._fail(error)
                    raise
                if former is None or (former.run < self._journal.run and self._retry and is_unknown(former)):
                    login = Login()
                    self._logins.begin(self._verify(key, person, former, request, login), login)
                elif former.run == self._journal.run:
                    self._refuse(key, explain.named_before("key"))
                else:
                    continue
                await self.places.take()
            self.places.free()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - from the caller's iterable; raised once the pending logins have ended
            self._error = self._error or error

    async def _look_up(self, key: str, request: EidRequest) -> tuple[bytes, Entry | None]:
        """Return a person's tag, and the entry with their key."""
        if not isinstance(key, str) or not key or not isinstance(request, EidRequest):
            raise ArgumentError("people must be pairs of a key and a request", code="people")
        person = self._journal.sealing.tag(request)
        known = await self._journal.find(key) if self._journal.run > 1 else None
        require_same_person(known, person)
        return person, known

    async def _verify(self, key: str, person: bytes, former: Entry | None, request: EidRequest, login: Login) -> None:
        """Ask one person, when it is their turn."""
        async with self._turns.take(person) as waited:
            entry = Entry(key, person, Phase.INTENDED, self._journal.run, 0.0, 0.0, waited=waited)
            if self._skip and await self._was_asked(person, key):
                await self._end(entry, Outcome(State.ABANDONED, error=explain.named_before("person")))
                return
            if former is not None and await self._asking.count_retries(person) >= RETRIES:
                entry.asked_at, entry.until = former.asked_at, former.until
                await self._end(entry, Outcome(State.INDETERMINATE, error=asked_often()))
                return
            await self._ask(entry, request, login, former)

    async def _was_asked(self, person: bytes, key: str) -> bool:
        return await self._journal.read(lambda store: store.was_asked(person, key))

    def _refuse(self, key: str, error: CibaError) -> None:
        self._give(Result.of_nobody(key, Outcome(State.ABANDONED, error=error)), None)

    async def _ask(self, entry: Entry, request: EidRequest, login: Login, former: Entry | None) -> None:
        """Ask as soon as possible, and record what came of it."""
        while True:
            try:
                async with self._start.turn():
                    if self._gave_up():
                        break
                    asked = await self._asking.ask(entry, request, login, former=former)
                    if self._weigh(asked) and isinstance(asked, Outcome):
                        await self._asking.withdraw(entry, former)
                        self._suspect(entry, asked)
                        return
            except AlreadyPending as error:
                entry.waited = True
                await until_free(error, self._clock)
                continue
            except CibaError as error:
                self._back_off_or_fail(error)
                continue
            if isinstance(asked, Transaction):
                entry.phase = Phase.ACCEPTED
                await self._follow(entry, asked, login, is_new=True)
            elif asked.error is not None and asked.error.code == "key_twice":
                self._refuse(entry.key, asked.error)
            else:
                await self._end(entry, asked)
            return
        self.places.free()

    def _weigh(self, asked: Transaction | Outcome) -> bool:
        """Learn from one person for all; return whether this may be a refusal of the client."""
        if isinstance(asked, Transaction):
            self._start.answered()
            if not self._start.is_proven:
                self._start.accepted()
        elif isinstance(asked.error, ProviderError) and (self._start.is_settled or not is_unclear(asked.error)):
            self._start.answered()
        elif is_unclear(asked.error):
            return not self._start.is_settled
        elif asked.error is not None and is_lost(asked.error) and not self._start.lost(asked.error):
            self._fail(asked.error)
        if self._start.is_settled:
            self._acquit()
        return False

    def _suspect(self, entry: Entry, outcome: Outcome) -> None:
        """Hold a refusal back until it is known whether others are refused as well."""
        self.places.free()
        self._suspects.append((entry, outcome))
        if self._start.is_settled:
            self._acquit()
        elif len(self._suspects) >= SUSPECTS and outcome.error is not None:
            self._fail(outcome.error)

    def _acquit(self) -> None:
        """Give the results that were held back: the refusals were about these people."""
        suspects, self._suspects = self._suspects, []
        for entry, outcome in suspects:
            self.places.exceed()
            self._logins.begin(self._end(entry, outcome), Login())

    def _back_off_or_fail(self, error: CibaError) -> None:
        """Handle a failure that concerns all requests: wait for it to pass, or end the run."""
        if not self._stopping and (ends_run(error) or not self._start.away(error)):
            self._fail(error.without_frames())

    def _gave_up(self) -> bool:
        return self._stopping or self._is_failing

    async def _follow(self, entry: Entry, transaction: Transaction, login: Login, *, is_new: bool = False) -> None:
        """Journal the resume token of an accepted login, and wait for its end."""
        if self._asking.leaves_pending:
            # Whoever goes on with it has its token, and watches over its polls (`on_doubt`).
            login.is_sending = False
        else:
            login.transaction = transaction
            entry.mark = self._journal.marks.follow(transaction, entry.mark)
            entry.token = transaction.resume_token
            self._journal.write_soon(entry)
        if self.accepted is not None:
            self._harmless.call(lambda accepted: accepted(entry.key, transaction), self.accepted)
        if self._stopping and not self._asking.leaves_pending:
            await abandon_between_polls(transaction)
        if not self._start.is_proven:
            await self._prove(transaction, is_new=is_new)
        outcome = await transaction.outcome()
        error = outcome.error
        if error is not None and is_about_client(error):
            # The login is not lost yet: a run with a mended client can resume it.
            self._fail(error)
            return
        is_closed = outcome.state is State.HANDED_OVER
        is_left = is_closed or (self._stopping and outcome.state is State.ABANDONED)
        if is_left and error is not None and error.resume_token is not None:
            # This token knows whether an answer may be lost.
            entry.token, entry.mark = error.resume_token, None
            self._journal.write_soon(entry)
            if is_closed:
                self._fail(explain.closed())
            return
        await self._end(entry, outcome)

    async def _prove(self, transaction: Transaction, *, is_new: bool) -> None:
        """Wait for the first answer to a poll, which tells whether this client may fetch answers."""
        async for update in transaction.updates(polls=True):
            if update.state.is_final:
                error = (await transaction.outcome()).error
                unheard = isinstance(error, Abandoned | Expired | HandedOver | Indeterminate)
                heard = not unheard and not is_about_client(error)
            else:
                heard = update.state is State.PENDING and update.polls > 0
            if heard:
                self._start.proven()
                return
        if is_new:
            self._start.left()

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
        self._start.close()
        await self._logins.leave(*(() if self._feeding is None else (self._feeding,)))
        if self._journal.failure is None:
            await self._journal.flush()
