"""The driver of one transaction: the job that the scheduler serves when a poll is due.

It polls, takes the answers, and settles the outcome once, however many tasks await it. Callers hold a `Transaction`.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

from idura_ciba import explain
from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.aio.patience import LATE
from idura_ciba.eids.phase import phase_of
from idura_ciba.errors import CibaError
from idura_ciba.http.backchannel import Answered
from idura_ciba.observe import TransactionEvent
from idura_ciba.polling.final_poll import GUARD, FinalPoll
from idura_ciba.protocol.answers import SlowedDown, TokenAnswer, Tokens, why
from idura_ciba.protocol.machine import Event, State, advance, is_verdict, judge
from idura_ciba.protocol.timing import GRACE_PATIENCE, Timing
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.caller import Caller
from idura_ciba.transaction.context import OVERSLEPT, Context
from idura_ciba.transaction.ending import DECISIONS, STOPPED, Ended, ended_by_answer, ended_by_clock, keeps_prompting
from idura_ciba.transaction.history import History
from idura_ciba.transaction.outcome import Handover, Outcome, Update
from idura_ciba.transaction.resume import Checkpoint, already_ended
from idura_ciba.transaction.said import Said
from idura_ciba.transaction.verifying import verified
from idura_ciba.transaction.watchers import Watchers
from idura_ciba.trust.authentication import Authentication
from idura_ciba.trust.expectation import Expectation
from idura_ciba.trust.jwks import is_for_want_of_keys

__all__ = ["Driver"]


class Driver:
    """One transaction, as the scheduler and the client see it.

    Attributes:
        caller: Whoever began it; everything that this transaction calls is called in their name.
        auth_req_id: Its id at the provider; with the client's credential, enough to fetch the login.
        expected: What its ID token must say.
        state: Where the transaction stands.
        said: What was said when it began.
        trace_id: The provider's trace id of its latest answer.
        on_doubt: See `Transaction.on_doubt`.
    """

    __slots__ = (
        "_answer_out", "_closing", "_ended", "_history", "_in_doubt", "_next_at", "_person", "_polling", "_shared",
        "_suspended", "_timing", "_tokens", "_trace_context", "_wall_offset", "_watchers", "auth_req_id", "caller",
        "expected", "on_doubt", "said", "state", "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        context: Context,
        *,
        auth_req_id: Redacted,
        person: bytes,
        expected: Expectation,
        caller: Caller,
        timing: Timing,
        said: Said,
        trace_id: str | None = None,
        trace_context: str | None = None,
        state: State = State.PENDING,
        polls: int = 0,
        tokens: Tokens | None = None,
    ) -> None:
        self.on_doubt: Callable[[bool], None] | None = None
        self.caller: Caller = caller
        self._shared, self._person = context, person
        self.auth_req_id: Redacted = auth_req_id
        self.expected: Expectation = expected
        self._timing, self._trace_context = timing, trace_context
        self.said: Said = said
        self.trace_id: str | None = trace_id
        self.state: State = state
        self._history = History(expected.demand.acr_values, polls)
        # Fixed once: instants that are shown and stored must not jump when the wall clock is set.
        self._wall_offset = context.wall_offset.of(context.clock.wall() - context.clock.monotonic())
        self._suspended = context.suspended.of(context.clock.suspended())
        self._next_at: float | None = None
        # An answer is out until it is known not to be final: resuming meanwhile begins in doubt.
        self._closing = self._polling = self._answer_out = False
        self._in_doubt = state is State.IN_DOUBT
        # The provider's answer from when it is here until it is verified: it is issued only once.
        self._tokens = tokens
        self._ended: Ended | None = None
        self._watchers: Watchers | None = None

    def begin(self, *, resumed: bool) -> None:
        """Begin to ask, or go on."""
        self._tell_state(None, resumed=resumed)
        self._trace_context = self._shared.observers.trace_context(self.id) or self._trace_context
        self._plan()

    # --- for the handle ---------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """A random name; a resumed transaction has another one than before."""
        # Computed each time instead of stored, because so many transactions may wait.
        return self._shared.name_of(f"{self.auth_req_id} {id(self)}")

    @property
    def prompt_gone_at(self) -> float | None:
        """Wall-clock instant at which the prompt has expired at the latest; None once the provider has finished."""
        until = self.prompt_until
        return None if until == -math.inf else until + self._wall_offset

    def resume_token(self) -> Redacted | None:
        """The token as of now; a poll may be in flight."""
        if self._ended is not None and not self._ended.resumable:
            return None
        return self._shared.sealer.seal(self._checkpoint(going_on=not self.state.is_final))

    async def updates(self, *, polls: bool, until: asyncio.Event | None) -> AsyncIterator[Update]:
        """The present state, then each change; see `Transaction.updates`."""
        self._shared.check_home()
        self._watchers = self._watchers or Watchers()
        async for update in self._watchers.updates(self._update, polls=polls, until=until):
            yield update

    async def outcome(self) -> Outcome:
        """Wait for the end."""
        if self._ended is not None:
            return self._ended.outcome
        self._shared.check_home()
        self._watchers = self._watchers or Watchers()
        return await self._watchers.outcome()

    def abandon(self) -> None:
        """Stop asking."""
        if not self.state.is_final:
            self._shared.check_home()
            self.caller.run(self._settle, Event.ABANDONED, explain.abandoned())

    # --- for the client ---------------------------------------------------------------------------------------------

    @property
    def prompt_until(self) -> float:
        """Monotonic instant until which the prompt may be on the phone; in the past once the provider has finished."""
        return self._timing.provider_end if self._ended is None or self._ended.prompting else -math.inf

    @property
    def context(self) -> contextvars.Context:
        """The context of the caller, for the scheduler."""
        return self.caller.context

    @property
    def is_asking(self) -> bool:
        """Whether it is pending, or the last poll of an abandoned transaction is still in flight."""
        return self._polling or not self.state.is_final

    def end_with_client(self) -> Handover | None:
        """Stop asking because the client closes; returns what resumes it, if it was pending."""
        if not self.state.is_final:  # an observer of another end may have abandoned this one
            self.caller.run(self._settle, Event.HANDED_OVER, explain.handed_over())
        error = self._ended.outcome.error if self._ended else None
        return self.handover(error.resume_token if error else None)

    def handover(self, token: Redacted | None) -> Handover | None:
        """What resumes it, given its token; None without one."""
        stood = State.IN_DOUBT if self._in_doubt or self._answer_out else State.PENDING
        return None if token is None else Handover(self.caller.reference, self.id, token, stood)

    def latest(self, checkpoint: Checkpoint) -> Checkpoint:
        """Bring an older checkpoint of this transaction up to date; a later or another one is returned unchanged.

        Raises:
            ResumeError: It is of this transaction, which the provider has ended.
        """
        if checkpoint.auth_req_id != self.auth_req_id:
            return checkpoint
        if self._ended is not None and not self._ended.resumable:
            raise already_ended()
        return self._checkpoint(going_on=False).or_later(checkpoint)

    def pinged(self) -> None:
        """The provider has an answer: poll as soon as the interval allows. A poll in flight is followed by another."""
        self._history.pinged_at = now = self._shared.clock.monotonic()
        at = max(now, self._timing.not_before)
        if self._shared.queue.hasten(self, at):
            self._closing, self._next_at = False, at  # the strategy may have given up
            self._notify()

    # --- for the scheduler ------------------------------------------------------------------------------------------

    def serve(self) -> Coroutine[Any, Any, None] | None:
        """The work that is due now; called by the scheduler at the planned instant."""
        if self._tokens is not None:
            return self._verify(self._tokens)
        self._shift_if_suspended()
        now, timing = self._shared.clock.monotonic(), self._timing
        if not self._closing:
            # Past the end only for the one that `_plan_end` has planned there; else the cap kept it waiting too long.
            at = self._next_at or now
            is_late = timing.past_limit(at) and now < min(at + GRACE_PATIENCE, timing.provider_end)
            if is_late or now < timing.latest_end:
                return self._poll(end=at if is_late else timing.latest_end)
            self._plan_end()
        elif self._shared.grace_poll and timing.grace_at is not None and now < timing.grace_until:
            return self._poll(end=timing.latest_end)
        else:
            self._settle(*ended_by_clock(self.state, self._timing, self._history))
        return None

    @property
    def urgent_at(self) -> float:
        """From this monotonic instant on it comes first: an answer that is not fetched by the end is lost."""
        strategy = self._shared.strategy
        return self._timing.earliest_end - (strategy.distance if isinstance(strategy, FinalPoll) else GUARD)

    def due(self, price: float) -> float:
        """The monotonic instant from which a poll is worth `price` seconds of expected unseen waiting."""
        at = None if self._closing else self._shared.poll_due(self._history, self._timing, price)
        return at if at is not None else self._next_at or 0.0

    # --- polling ----------------------------------------------------------------------------------------------------

    async def _poll(self, *, end: float) -> None:
        """Poll once and take the answer, see `Backchannel.poll`. Raises nothing but `CancelledError`."""
        if self.state.is_final:
            return  # abandoned before its first step
        self._next_at = None
        self._answer_out = self._polling = True
        self._timing = self._timing.sent(self._shared.clock.monotonic())
        self._notify()
        try:
            if self.on_doubt is not None:
                self.on_doubt(True)  # noqa: FBT003 - it has no other argument
            answered = await self._shared.backchannel.poll(self.auth_req_id, end=end)
            if self.state.is_final:
                return  # abandoned meanwhile
            await self._take(answered)
        except CibaError as error:
            self._fail(error)
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled():
                # The client is closing. The answer may be on its way, and resuming must know that.
                if not self.state.is_final and self._tokens is None:
                    self._advance(Event.ANSWER_LOST)
                raise
            self._fail(explain.internal(error))
        finally:
            self._polling = False

    async def _take(self, answered: Answered[TokenAnswer]) -> None:
        answer, wall = answered.answer, self._shared.clock.wall()
        self.trace_id = answered.trace_id or self.trace_id
        event = judge(
            answer,
            strikes=self._history.strikes,
            after_end=answered.received_at >= self._timing.provider_end,
            heard=self._history.heard_before(answered.sent_at, self._timing),
        )
        self._shared.queue.note(slow_downs=isinstance(answer, SlowedDown))
        self._history.count(answer, answered.sent_at, answered.received_at, interval=self._timing.interval)
        if self._shared.observers:
            self._shared.tell_poll(self.id, event, answered, reference=self.caller.reference)
        if isinstance(answer, Tokens):
            await self._verify(answer)
        elif advance(self.state, event).is_final:
            self._answer_out = is_verdict(answer)
            error = ended_by_answer(self.state, event, answered, self._timing, self._history, wall=wall)
            self._settle(event, error, resumable=not self._answer_out)
        else:
            self._answer_out = False
            self._timing = self._history.note(answer, answered.sent_at, answered.received_at, self._timing)
            self._advance(event, why=why(answer))
            if self.on_doubt is not None and not self._in_doubt:
                self.on_doubt(False)  # noqa: FBT003 - as above
            if self._closing:
                self._settle(*ended_by_clock(self.state, self._timing, self._history))
            else:
                self._plan()

    async def _verify(self, tokens: Tokens) -> None:
        """Verify the tokens. They are issued only once: nothing is polled from now on, and they are kept until then."""
        self._tokens = tokens
        answer = await verified(
            self._shared,
            tokens,
            expected=self.expected,
            requested_at=self._timing.requested_at,
            auth_req_id=self.auth_req_id,
            trace_id=self.trace_id,
            name=self.id,
            reference=self.caller.reference,
        )
        if self.state.is_final:
            return  # abandoned meanwhile
        if isinstance(answer, Authentication):
            self._tokens = None
            self._settle(Event.APPROVED, None, answer)
        else:
            unknown = is_for_want_of_keys(answer)
            self._tokens = tokens if unknown else None
            self._settle(Event.PROOF_REJECTED, answer.without_frames(), resumable=unknown)

    # --- time -------------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Schedule the next poll where the strategy wants it, or the end."""
        if self.state.is_final:
            return  # an observer of the last answer has abandoned it
        if self._tokens is not None:
            self._schedule(self._shared.clock.monotonic(), until=math.inf)
            return
        try:
            at = self._shared.next_poll(self._history, self._timing)
        except CibaError as error:
            self._fail(error)
            return
        if self.state.is_final:
            return  # or the strategy has
        if at is None or at >= self._timing.latest_end:
            self._plan_end()
        else:
            self._schedule(at, until=self._timing.latest_end)

    def _plan_end(self) -> None:
        timing, last, now = self._timing, self._history.last, self._shared.clock.monotonic()
        due = timing.not_before < timing.latest_end and (last is None or last.received_at < timing.latest_end)
        # Only a blocked event loop, or a machine that slept, is so late for the caller's limit; the person need not be.
        if due and timing.past_limit(now - LATE) and (self._next_at or -math.inf) < timing.latest_end:
            self._schedule(now, until=min(now + GRACE_PATIENCE, timing.provider_end))
            return
        self._closing = True
        at, end = timing.grace_at if self._shared.grace_poll else None, timing.latest_end
        self._schedule(end if at is None else at, until=end if at is None else timing.grace_until)

    def _schedule(self, at: float, *, until: float) -> None:
        self._next_at = at
        self._shared.queue.schedule(self, at, until=until)
        self._notify()

    def _shift_if_suspended(self) -> None:
        """Move all instants if this machine was suspended: the provider's time and the caller's timeout went on."""
        slept = self._shared.clock.suspended() - self._suspended
        if slept > OVERSLEPT:
            self._suspended += slept
            self._timing = self._timing.suspended(slept)
            self._history.suspended(slept)
            self._wall_offset += slept

    # --- endings ----------------------------------------------------------------------------------------------------

    def _fail(self, error: CibaError) -> None:
        """Something failed on this side: stop asking. The caller may fix it and resume."""
        if not self.state.is_final:
            self._settle(Event.ABANDONED, error.without_frames())

    def _settle(
        self,
        event: Event,
        error: CibaError | None,
        authentication: Authentication | None = None,
        *,
        resumable: bool = False,
    ) -> None:
        """Enter a final state: the only place that does."""
        state, resumable = advance(self.state, event), resumable or event in STOPPED
        if error is not None:
            # A function that makes it, as of now. It must not refer to the driver: that would be a cycle.
            later = partial(self._shared.sealer.seal, self._checkpoint(going_on=False)) if resumable else None
            error.belong(trace_id=self.trace_id, reference=self.caller.reference, resume_token=later)
        counted = (self._history.polls, self._history.slow_downs)
        outcome = Outcome(state, authentication, error, *counted, self.caller.reference)
        self._ended = Ended(outcome, resumable=resumable, prompting=keeps_prompting(state, event))
        self._advance(event, *((error.code, error.what) if error else ()))
        self._next_at = None
        certain = not (self._in_doubt or self.said.resumed)
        self._shared.learn_from(self._history, self._timing, event, certain=certain)
        self._shared.queue.forget(self)
        watchers, self._watchers = self._watchers, None  # nobody need wait for it any more
        if watchers is not None:
            watchers.ended(outcome)
        self._shared.ended(self.auth_req_id)

    def _advance(self, event: Event, code: str | None = None, why: str | None = None) -> None:
        before, self.state = self.state, advance(self.state, event)
        if not self.state.is_final:
            self._in_doubt = self.state is State.IN_DOUBT
        if self.state is not before:
            self._tell_state(event, code, why)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _tell_state(self, event: Event | None, *cause: str | None, resumed: bool = False) -> None:
        code, why = cause or (None, None)
        if self._shared.observers:
            now, history = self._shared.clock.monotonic(), self._history
            told = (self.id, self.state, code, history.polls, now - self._timing.requested_at, self.trace_id, why)
            whose = (self.caller.reference, self._shared.clock.wall(), " ".join(history.kind))
            resumes = (resumed, self._trace_context if resumed else None)
            noticed = history.silence(self._timing, until=now) if event in DECISIONS else None
            self._shared.observers.tell(TransactionEvent(*told, *whose, *resumes, noticed))

    def _notify(self) -> None:
        """Wake the watchers."""
        if self._watchers is not None:
            self._watchers.changed()

    def _update(self) -> Update:
        return Update(
            state=self.state,
            hint=self._history.hint,
            phase=phase_of(self.state, self._history.hint, self.caller.phases),
            polls=self._history.polls,
            next_poll_at=None if self._next_at is None else self._next_at + self._wall_offset,
            expires_at=self._timing.provider_end + self._wall_offset,
            reference=self.caller.reference,
        )

    def _checkpoint(self, *, going_on: bool) -> Checkpoint:
        """The checkpoint as of now; `going_on` if this process polls after it, with an unknown result."""
        timing, offset, last = self._timing, self._wall_offset, self._history.last
        return Checkpoint(
            auth_req_id=self.auth_req_id,
            person=self._person,
            expected=self.expected,
            requested_at=timing.requested_at + offset,
            acknowledged_at=timing.acknowledged_at + offset,
            expires_in=timing.expires_in,
            interval=timing.interval,
            not_before=timing.not_before + offset,
            heard_at=(last.received_at if last else timing.acknowledged_at) + offset,
            in_doubt=self._in_doubt or self._answer_out or going_on,
            polls=self._history.polls,
            spoken_words=self.said.spoken_words,
            tokens=self._tokens,
            reference=self.caller.reference,
            phases=self.caller.phases,
            trace_context=self._trace_context,
            nonce=self.said.nonce,
        )
