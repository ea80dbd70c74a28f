"""How a login begins: with one authentication request, which is sent once, or with a resume token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from attrs import define, evolve, field, frozen

from idura_ciba import explain
from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.aio.slices import Slices
from idura_ciba.eids.person import PersonTags
from idura_ciba.eids.phase import phase_table
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import CibaError, ResumeError
from idura_ciba.http.backchannel import Answered
from idura_ciba.http.provider import Provider
from idura_ciba.observe import RequestEvent, TransactionEvent
from idura_ciba.protocol.answers import Acknowledgement, AuthenticationAnswer, ErrorAnswer, Unusable, UnusableAnswer
from idura_ciba.protocol.machine import State, advance, judge_acknowledgement
from idura_ciba.protocol.timing import Timing
from idura_ciba.redaction import Redacted
from idura_ciba.scheduling.engine import SLICE
from idura_ciba.transaction.context import Context
from idura_ciba.transaction.driver import Driver
from idura_ciba.transaction.holds import Hold, Holds
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.pending import Pending
from idura_ciba.transaction.said import Said
from idura_ciba.transaction.transaction import Transaction
from idura_ciba.trust.expectation import Expectation

__all__ = ["Note", "Start", "Starter"]

#: Records that a request is about to be sent.
Note = Callable[[], Awaitable[None]]


@frozen
class Start:
    """The arguments of `CibaClient.start`.

    Attributes:
        request: Whom to ask, and how.
        limit: Monotonic instant at which the caller's timeout ends, or None.
        note: Awaited just before the request is sent.
        reference: The caller's own name for the login, or None.
        called_at: Monotonic instant of the call.
    """

    request: EidRequest
    limit: float | None
    note: Note | None
    reference: str | None
    called_at: float

    @property
    def lifetime(self) -> float:
        """Seconds for which a prompt may be on the phone if the provider's answer, which would say it, was lost."""
        return max(self.request.prompt_lifetime, self.request.requested_expiry or 0)


@define(eq=False)
class Starter:
    """Begins the logins of one client."""

    context: Context
    provider: Provider
    tags: PersonTags
    holds: Holds
    pending: Pending
    check_open: Callable[[], None]
    _slices: Slices = field(init=False, factory=lambda: Slices(SLICE))

    async def start(self, start: Start, *, even_if_pending: bool) -> Transaction:
        """See `CibaClient.start`, which says what may be raised."""
        await self._slices.step()
        try:
            self.check_open()  # it may have been closed while others had their turns
            person = self.tags.tag(("hint",), start.request.person_key)
            if not even_if_pending:
                self.holds.check(person)
        except CibaError as error:
            raise self._failed(error, start) from None
        hold = self.holds.take(person)
        task = asyncio.get_running_loop().create_task(self._submit(start, hold))
        self.context.tasks.add(task)
        task.add_done_callback(self.context.forget)
        try:
            return await asyncio.shield(task)
        except CibaError as error:
            raise error.without_frames() from None
        except asyncio.CancelledError:
            if is_cancelled():
                raise
        lost = explain.acknowledgement_lost("the client was closed meanwhile") if hold.may_ring else explain.closed()
        raise self._failed(lost, start)

    async def resume(self, token: Redacted, *, limit: float | None, doubt: bool | None) -> Transaction:
        """See `CibaClient.resume`, which says what may be raised."""
        clock = self.context.clock
        try:
            checkpoint = self.pending.latest(self.context.sealer.open(token))
            if doubt:
                # A poll may have left a moment ago, whatever the token says.
                checkpoint = evolve(checkpoint, in_doubt=True)
            timing = checkpoint.timing(monotonic=clock.monotonic(), wall=clock.wall(), limit=limit)
        except ResumeError as error:
            raise error.without_frames() from None
        try:
            await self.provider.endpoints()
        except CibaError as error:
            raise explain.about_document(error, "meanwhile").without_frames() from None
        self.check_open()
        self.holds.check(checkpoint.person, but_abandoned=True)
        driver = Driver(
            self.context,
            auth_req_id=checkpoint.auth_req_id,
            person=checkpoint.person,
            expected=checkpoint.expected,
            caller=self.context.callers.present(checkpoint.reference, checkpoint.phases),
            timing=timing,
            said=Said.of(checkpoint.spoken_words, checkpoint.nonce, resumed=True),
            state=State.IN_DOUBT if (checkpoint.in_doubt if doubt is None else doubt) else State.PENDING,
            polls=checkpoint.polls,
            tokens=checkpoint.tokens,
            trace_context=checkpoint.trace_context,
        )
        return self.pending.adopt(driver, self.holds.take(checkpoint.person), resumed=True)

    async def rejoin(self, request: EidRequest, *, limit: float | None) -> Transaction:
        """See `CibaClient.rejoin`."""
        wanted = Expectation.of(request, tags=self.tags, issued_from=0.0)
        for hold in reversed(self.holds.of(self.tags.tag(("hint",), request.person_key))):
            if hold.driver is None or hold.transaction is None:
                continue
            if evolve(wanted, issued_from=hold.driver.expected.issued_from) != hold.driver.expected:
                raise explain.other_request()
            if not hold.driver.state.is_final:
                return hold.transaction
            if (token := hold.driver.resume_token()) is not None:
                return await self.resume(token, limit=limit, doubt=None)
        raise explain.nothing_pending()

    async def finish(self, *, patience: float) -> None:
        """Wait up to `patience` seconds for the requests in flight, each of which rings a phone or spends a token."""
        if self.context.tasks:
            await asyncio.wait(self.context.tasks, timeout=patience)

    async def stop(self) -> None:
        """Cancel the requests that are still in flight."""
        for task in self.context.tasks:
            task.cancel()
        await asyncio.gather(*self.context.tasks, return_exceptions=True)
        await self.context.backchannel.aclose()

    async def _submit(self, start: Start, hold: Hold) -> Transaction:
        answered: Answered[AuthenticationAnswer] | None = None
        may_ring = False
        try:
            expected = Expectation.of(start.request, tags=self.tags, issued_from=self.context.clock.wall())
            await self.context.backchannel.prepare()
            async with self.context.queue.admit(until=start.limit):
                if start.note is not None:
                    await start.note()
                may_ring = True
                parameters, nonce = start.request.parameters(), None
                if self.context.pings is not None:
                    nonce, token = self.context.pings.issue(self.context.rng)
                    parameters = {**parameters, "client_notification_token": token}
                answered = await self.context.backchannel.authenticate(
                    parameters, limit=start.limit, lifetime=start.lifetime
                )
                return self._take_up(answered, expected, hold, start, nonce)
        except CibaError as error:
            if answered is not None:
                raise
            # Discovery or signing failed, or the time was over before: nothing has left.
            self.holds.free(hold)
            raise self._failed(explain.about_document(error, "before"), start) from None
        except BaseException as error:
            if may_ring:
                self.holds.lost(hold, lifetime=start.lifetime)
            else:
                self.holds.free(hold)
            if isinstance(error, Exception):
                raise self._failed(explain.internal(error, "meanwhile" if may_ring else "before"), start) from None
            raise

    def _take_up(
        self,
        answered: Answered[AuthenticationAnswer],
        expected: Expectation,
        hold: Hold,
        start: Start,
        nonce: bytes | None,
    ) -> Transaction:
        answer = answered.answer
        if isinstance(answer, Acknowledgement) and answer.auth_req_id in self.pending:
            # One id for two people: whoever polls first would get whatever comes.
            answer = UnusableAnswer(Unusable.BROKEN, 200, "its auth_req_id is that of another login")
            answered = Answered(answer, answered.sent_at, answered.received_at, answered.trace_id)
        if not isinstance(answer, Acknowledgement):
            raise self._not_begun(answer, answered, hold, start)
        driver = Driver(
            self.context,
            auth_req_id=answer.auth_req_id,
            person=hold.person,
            expected=expected,
            caller=self.context.callers.present(start.reference, phase_table(start.request.phases)),
            timing=Timing.begin(
                requested_at=answered.sent_at,
                acknowledged_at=answered.received_at,
                expires_in=answer.expires_in,
                interval=answer.interval,
                limit=start.limit,
            ),
            said=Said.of(answer.spoken_words, nonce, answer.further),
            trace_id=answered.trace_id,
        )
        self._tell_request(answered, start, driver.id)
        self.context.verifier.keys.warm(driver.id)
        return self.pending.adopt(driver, hold)

    def _not_begun(
        self,
        answer: ErrorAnswer | UnusableAnswer,
        answered: Answered[AuthenticationAnswer],
        hold: Hold,
        start: Start,
    ) -> CibaError:
        state = advance(State.SUBMITTING, judge_acknowledgement(answer))
        never_connected = isinstance(answer, UnusableAnswer) and answer.kind is Unusable.NOT_CONNECTED
        if state is State.REJECTED or never_connected:
            self.holds.free(hold)
        else:
            self.holds.lost(hold, lifetime=start.lifetime)
        error = explain.not_begun(
            answer,
            lost=state is State.INDETERMINATE,
            wall=self.context.clock.wall(),
            server_date=answered.server_date,
        )
        error.trace_id = answered.trace_id
        return self._failed(error, start, answered)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _failed(
        self, error: CibaError, start: Start, answered: Answered[AuthenticationAnswer] | None = None
    ) -> CibaError:
        """A start that failed is an event too, of a transaction that nobody else has heard of; returns the error."""
        error.reference = start.reference
        if self.context.observers:
            name, clock = self.context.rng.randbytes(8).hex(), self.context.clock
            if answered is not None:
                self._tell_request(answered, start, name)
            self.context.observers.tell(
                TransactionEvent(
                    name,
                    Outcome.not_begun(error).state,
                    error.code,
                    polls=0,
                    elapsed=clock.monotonic() - start.called_at,
                    trace_id=error.trace_id,
                    reason=error.what,
                    reference=error.reference,
                    at=clock.wall(),
                    acr_values=start.request.acr_values or "",
                )
            )
        return error

    def _tell_request(self, answered: Answered[AuthenticationAnswer], start: Start, name: str) -> None:
        if self.context.observers:
            self.context.observers.tell(
                RequestEvent.of(
                    name,
                    judge_acknowledgement(answered.answer),
                    answered.answer,
                    elapsed=answered.received_at - answered.sent_at,
                    waited=answered.sent_at - start.called_at,
                    trace_id=answered.trace_id,
                    reference=start.reference,
                    at=self.context.clock.wall(),
                    acr_values=start.request.acr_values or "",
                )
            )
