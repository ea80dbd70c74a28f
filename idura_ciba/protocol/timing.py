"""The floor under every poll, and the end above it.

Rules:
1. The next poll leaves no earlier than one interval after the *receipt* of the last answer. By the letter the interval
   runs from send to send, but servers measure arrivals: counted from the send, almost every transaction at a strict
   server draws `slow_down`.
2. The provider may hold a poll. One that was held for a whole interval may be followed at once (CIBA Core 10.1).
3. `slow_down` adds 5 seconds for good.
4. `Retry-After` only ever stretches.
5. A poll that brought no answer counts as sent, and makes the next one wait longer than it would (RFC 8628 section
   3.5): doubled for each in a row, bounded, and never so long that it alone costs the last chance to ask.
6. The provider counts `expires_in` from when it received the request. That lies between our sending it and its
   acknowledgement, so the end is only known to within that span: `earliest_end` and `latest_end`. A caller's own limit
   pulls both forward and never pushes either back.

All instants are seconds on one monotonic clock. Nothing here is ever changed; each rule returns a new `Timing`.
"""

from __future__ import annotations

from attrs import evolve, frozen

__all__ = ["Timing"]

#: CIBA Core section 11: at least 5 seconds; RFC 8628 section 3.5: exactly 5.
SLOW_DOWN_STEP = 5.0
#: The longest pause that unanswered polls alone can cause; beyond it recovery would go unnoticed for too long.
MAX_BACKOFF = 60.0
#: Backing off leaves this much before the earliest end, so that a last poll still fits.
LAST_CHANCE = 1.0
#: Providers that count whole seconds expire up to one second late.
GRACE_DELAY = 1.0
#: Nobody waits longer than this for that last word; the usual intervals of 2 to 5 seconds fit in.
GRACE_PATIENCE = 10.0


@frozen(weakref_slot=False)
class Timing:
    """When a pending transaction may ask, and until when.

    Attributes:
        requested_at: When the authentication request was sent.
        acknowledged_at: When its acknowledgement had arrived.
        expires_in: Seconds the transaction lives, by the provider's word.
        interval: Seconds at least between polls; grows, never shrinks.
        not_before: The earliest instant at which the next poll may leave.
        limit: The caller's own end, if any.
        unanswered: Polls in a row that brought no answer.
    """

    requested_at: float
    acknowledged_at: float
    expires_in: float
    interval: float
    not_before: float
    limit: float | None = None
    unanswered: int = 0

    @classmethod
    def begin(
        cls,
        *,
        requested_at: float,
        acknowledged_at: float,
        expires_in: float,
        interval: float,
        limit: float | None = None,
    ) -> Timing:
        """The floor right after the acknowledgement: one interval passes before the first poll."""
        return cls(
            requested_at=requested_at,
            acknowledged_at=acknowledged_at,
            expires_in=expires_in,
            interval=interval,
            not_before=acknowledged_at + interval,
            limit=limit,
        )

    @property
    def provider_end(self) -> float:
        """By when the provider has certainly given the transaction up, and the prompt is gone from the phone."""
        return self.acknowledged_at + self.expires_in

    @property
    def earliest_end(self) -> float:
        """The first instant at which the provider may have given the transaction up."""
        end = self.requested_at + self.expires_in
        return end if self.limit is None else min(end, self.limit)

    @property
    def latest_end(self) -> float:
        """From here on the transaction is certainly over; no regular poll leaves after it."""
        # `provider_end`, without the call: this is asked four times for each poll.
        end = self.acknowledged_at + self.expires_in
        return end if self.limit is None else min(end, self.limit)

    @property
    def limited(self) -> bool:
        """Whether the caller's limit, and not the provider's word, sets the end."""
        return self.limit is not None and self.limit < self.provider_end

    def past_limit(self, at: float) -> bool:
        """Whether at this instant the caller's limit has passed, and the provider still waits for the person."""
        return self.limited and self.latest_end < at < self.provider_end

    @property
    def left_at(self) -> float:
        """When the poll that is under way left, as `sent` has noted it."""
        return self.not_before - self.interval

    @property
    def grace_at(self) -> float | None:
        """When one poll after the end may leave, to hear the provider's own word on it; None when it must not.

        It is for a provider that rounds up or is lenient, so it is not worth waiting for long: not after a caller's
        limit, and not where `Retry-After` or a grown interval holds it back.
        """
        at = max(self.not_before, self.latest_end + GRACE_DELAY)
        return None if self.limited or at > self.grace_until else at

    @property
    def grace_until(self) -> float:
        """After this the provider's word on the end is not worth having any more."""
        return self.latest_end + GRACE_PATIENCE

    def _spaced(self, not_before: float, unanswered: int) -> Timing:
        # Written out: `evolve` takes ten times as long, and this is called twice for each poll.
        return Timing(
            self.requested_at,
            self.acknowledged_at,
            self.expires_in,
            self.interval,
            not_before,
            self.limit,
            unanswered,
        )

    def sent(self, at: float) -> Timing:
        """A poll was sent: should its end never be known here, whoever resumes keeps the distance from it."""
        return self._spaced(max(self.not_before, at + self.interval), self.unanswered)

    def suspended(self, seconds: float) -> Timing:
        """The machine was suspended for so long: whatever was noted lies further back, and the ends are nearer."""
        return evolve(
            self,
            requested_at=self.requested_at - seconds,
            acknowledged_at=self.acknowledged_at - seconds,
            not_before=self.not_before - seconds,
            limit=None if self.limit is None else self.limit - seconds,
        )

    def answered(self, *, sent_at: float, received_at: float, retry_after: float | None = None) -> Timing:
        """After `authorization_pending`."""
        held = received_at - sent_at >= self.interval
        floor = received_at if held else received_at + self.interval
        return self._spaced(_stretch(floor, received_at, retry_after), 0)

    def slowed_down(
        self,
        *,
        received_at: float,
        retry_after: float | None = None,
        interval: float | None = None,
    ) -> Timing:
        """After `slow_down`; `interval` is what the provider asks for by name, if it does.

        An interval that leaves no time to ask cannot be meant.
        """
        named = interval if interval is not None and interval < self.expires_in else 0.0
        grown = max(self.interval + SLOW_DOWN_STEP, named)
        floor = _stretch(received_at + grown, received_at, retry_after)
        return evolve(self, interval=grown, not_before=floor, unanswered=0)

    def put_off(self, *, sent_at: float, received_at: float, retry_after: float | None = None) -> Timing:
        """After a poll that was refused unread or lost, at `received_at` or when it was given up.

        Without a `Retry-After` the pause doubles for each such poll in a row.
        """
        unanswered = self.unanswered + 1
        held = received_at - sent_at >= self.interval
        floor = received_at if held else received_at + self.interval
        if retry_after is None:
            # From the send: a poll that hung for half a minute has been waited for already. Capped exponent, because
            # a long outage must not overflow a float.
            pause = min(self.interval * 2.0 ** min(unanswered, 16), MAX_BACKOFF)
            floor = max(floor, min(sent_at + pause, self.earliest_end - LAST_CHANCE))
        return self._spaced(_stretch(floor, received_at, retry_after), unanswered)


def _stretch(floor: float, received_at: float, retry_after: float | None) -> float:
    return floor if retry_after is None else max(floor, received_at + retry_after)
