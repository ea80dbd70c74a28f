"""The polls of one transaction so far: all that a strategy may know of it, and may learn from.

It says nothing about where the transaction stands; that is the machine's.
"""

from __future__ import annotations

import math
from random import Random

from attrs import define, evolve, field

from idura_ciba.polling.strategy import Poll, PollView, Record
from idura_ciba.protocol.answers import ErrorAnswer, SlowedDown, StillPending, TokenAnswer, UnusableAnswer, why
from idura_ciba.protocol.machine import mistrusts
from idura_ciba.protocol.timing import Timing
from idura_ciba.redaction import Redacted

__all__ = ["History", "NoTokens"]

#: Answers after which a transaction may go on.
NoTokens = StillPending | SlowedDown | ErrorAnswer | UnusableAnswer

#: More hints than an eID has. They are foreign text and kept for each pending transaction.
MAX_HINTS = 8


@define(eq=False, weakref_slot=False)
class History:
    """Grows with each poll. Instants are monotonic seconds.

    Attributes:
        kind: What kind of login this is: `acr_values`.
        polls: How many there were.
        slow_downs: How many of them came too early for the provider.
        strikes: How many answers in a row have mistrusted us.
        last: The last one that did not end the transaction.
        hint: The provider's latest word on progress.
        hint_since: When it was first heard.
        failures: How many answers in a row have said nothing of the login.
        pinged_at: When the provider said that the person has decided.
    """

    kind: tuple[str, ...]
    polls: int = 0
    slow_downs: int = field(default=0, init=False)
    strikes: int = 0
    last: Poll | None = None
    hint: Redacted | None = None
    hint_since: float | None = None
    failures: int = field(default=0, init=False)
    pinged_at: float | None = field(default=None, init=False)
    _reason: str | None = field(default=None, init=False)
    # Whether a poll that left before the end has brought no answer since the provider was last heard.
    _missed: bool = field(default=False, init=False)
    _asked_at: float | None = field(default=None, init=False)
    _pending_at: float | None = field(default=None, init=False)
    _hints: tuple[tuple[str, float], ...] = field(default=(), init=False)

    def count(self, answer: TokenAnswer, sent_at: float, received_at: float, *, interval: float) -> None:
        """Count a poll, whatever its answer."""
        self.polls += 1
        self.slow_downs += isinstance(answer, SlowedDown)
        self.strikes = self.strikes + 1 if mistrusts(answer) else 0
        self._asked_at = _true_at(sent_at, received_at, interval)

    def note(self, answer: NoTokens, sent_at: float, received_at: float, timing: Timing) -> Timing:
        """Record an answer that did not end the transaction; returns the timing of the next poll."""
        hint: Redacted | None = None
        retry_after = answer.retry_after
        match answer:
            case StillPending(hint=hint):
                self.last = Poll(sent_at, received_at, "pending", hint, retry_after)
                spaced = timing.answered(sent_at=sent_at, received_at=received_at, retry_after=retry_after)
            case SlowedDown(hint=hint, interval=interval):
                self.last = Poll(sent_at, received_at, "slow_down", hint, retry_after)
                spaced = timing.slowed_down(received_at=received_at, retry_after=retry_after, interval=interval)
            case _:
                self.last = Poll(sent_at, received_at, "unanswered", None, retry_after)
                self.failures, self._reason = self.failures + 1, why(answer)
                self._missed = self._missed or timing.left_at < timing.earliest_end
                # Refused credentials are an answer; only silence and refusal to answer call for backing off.
                rule = timing.answered if mistrusts(answer) else timing.put_off
                return rule(sent_at=sent_at, received_at=received_at, retry_after=retry_after)
        self.failures, self._reason, self._missed = 0, None, False
        self._pending_at = _true_at(sent_at, received_at, timing.interval)
        if hint is not None and hint != self.hint:
            self.hint, self.hint_since = hint, received_at
            if len(self._hints) < MAX_HINTS and all(hint != known for known, _ in self._hints):
                self._hints += ((hint, self._pending_at),)
        return spaced

    def suspended(self, seconds: float) -> None:
        """As in `Timing.suspended`."""
        if self.last is not None:
            self.last = evolve(
                self.last, sent_at=self.last.sent_at - seconds, received_at=self.last.received_at - seconds
            )
        if self.hint_since is not None:
            self.hint_since -= seconds
        if self.pinged_at is not None:
            self.pinged_at -= seconds
        if self._pending_at is not None:
            self._pending_at -= seconds
        self._hints = tuple((hint, since - seconds) for hint, since in self._hints)

    @property
    def is_called(self) -> bool:
        """Whether the provider has an answer, and no poll that left since has been answered."""
        return self.pinged_at is not None and (self.last is None or self.last.sent_at < self.pinged_at)

    @property
    def trouble(self) -> str | None:
        """Why the last polls brought no answer, in words; None if the last one brought one."""
        return self._reason if self.failures < 2 else f"{self.failures} polls in a row, the last: {self._reason}"  # noqa: PLR2004 - a row

    def heard_within(self, timing: Timing) -> bool:
        """Whether the provider was heard near the end: so late that no further poll was due, and none failed since."""
        heard_at = self._pending_at
        return not self._missed and heard_at is not None and heard_at >= timing.earliest_end - 2 * timing.interval

    def heard_before(self, sent_at: float, timing: Timing) -> bool:
        """Whether the provider was heard so shortly before that poll, or the end, that no answer can be missed.

        The provider's end: it goes on after the caller's limit, and a poll may have left later than it was meant to.
        """
        end = timing.requested_at + timing.expires_in
        return self._last_heard_at(timing) >= min(sent_at, end) - 2 * timing.interval

    def silence(self, timing: Timing, *, until: float = math.inf) -> float:
        """Seconds before the end, or before a poll that left earlier, for which nothing was heard of the login."""
        return max(0.0, min(timing.latest_end, until) - self._last_heard_at(timing))

    def _last_heard_at(self, timing: Timing) -> float:
        # Not when the acknowledgement was read: it may have lain in the socket while the event loop was blocked.
        return timing.requested_at if self._pending_at is None else self._pending_at

    def view(self, timing: Timing, *, now: float, rng: Random) -> PollView:
        """What a strategy may know."""
        return PollView(
            now=now,
            requested_at=timing.requested_at,
            acknowledged_at=timing.acknowledged_at,
            earliest_end=timing.earliest_end,
            latest_end=timing.latest_end,
            interval=timing.interval,
            not_before=timing.not_before,
            attempt=self.polls + 1,
            last=self.last,
            hint=self.hint,
            hint_since=self.hint_since,
            key=(self.kind, timing.expires_in),
            rng=rng,
            pinged_at=self.pinged_at,
        )

    def record(self, timing: Timing, *, decided: bool, expired_at: float | None = None) -> Record:
        """What a strategy may learn from, at the end.

        Args:
            timing: As of the last poll.
            decided: Whether the last poll brought a decision.
            expired_at: When the provider's word was here that the login had expired; None if it did not say so.
        """
        expired_between = None
        if self._asked_at is not None and expired_at is not None and expired_at < timing.provider_end:
            expired_between = (self._asked_at, expired_at)
        return Record(
            key=(self.kind, timing.expires_in),
            requested_at=timing.requested_at,
            acknowledged_at=timing.acknowledged_at,
            answered=decided,
            last_pending_at=self._pending_at,
            decided_by_at=self._asked_at if decided else None,
            hints=self._hints,
            announced_end=timing.requested_at + timing.expires_in,
            expired_between=expired_between,
        )


def _true_at(sent_at: float, received_at: float, interval: float) -> float:
    """The instant that an answer describes: its end for a long poll, otherwise its beginning."""
    return received_at if received_at - sent_at >= interval else sent_at
