"""One order at the provider: its life, its throttle and what a poll of it is told.

Rules, in the order in which a poll meets them:

1. Tokens are handed out once. After that the id is spent, and the tokens are revoked when somebody asks again.
2. Expiry comes first, so an approval that nobody fetched in time is lost.
3. Then the throttle, so `slow_down` can hide an approval.
4. Only then what the person said.
"""

from __future__ import annotations

import math
from typing import Literal

from attrs import define, field, frozen

from idura_ciba.simulator.eid import Wish
from idura_ciba.simulator.ledger import OrderRecord
from idura_ciba.simulator.scenario import Script

__all__ = ["Order", "Rules", "Verdict"]

#: Below what sums of wall-clock floats and any network can tell apart, so that a poll after exactly `interval` passes.
_GRAIN = 0.001
#: CIBA Core section 11: by at least 5 seconds.
_SLOW_DOWN_STEP = 5.0

Verdict = Literal["approved", "pending", "slow_down", "denied", "cancelled", "expired", "spent"]


@frozen(kw_only=True)
class Rules:
    """How this provider behaves where real ones differ; by default strict.

    Attributes:
        throttle: What an arrival less than the interval after the last one does besides earning `slow_down`: `reset`
            counts from it (Duende), `ttl` goes on counting from the last good one (Keycloak), `off` allows it.
        throttle_from_start: The first poll must keep its distance from the acknowledgement too.
        expiry: `exact`, or counted in whole seconds: `early` (up to 1 s too soon) or `late` (up to 1 s too late).
        denials_are_spent: A denial is told once, then `invalid_grant`; else it is told again.
        known_people_only: People without a script are `unknown_user_id`.
        accepted_audiences: What the `aud` of a client assertion may be; empty: the issuer and nothing else.
        clock_tolerance: Seconds by which a client's clock may be off.
        expires_in_as_text: Token answers say `"120"` and not `120`, as in some of Idura's examples.
        announces_backchannel: Discovery lists the `backchannel_*` members, which Idura may or may not do.
    """

    throttle: Literal["reset", "ttl", "off"] = "reset"
    throttle_from_start: bool = True
    expiry: Literal["exact", "early", "late"] = "exact"
    denials_are_spent: bool = False
    known_people_only: bool = False
    accepted_audiences: frozenset[str] = frozenset()
    clock_tolerance: float = 15.0
    expires_in_as_text: bool = False
    announces_backchannel: bool = True

    def expires_at(self, now: float, expires_in: float) -> float:
        """When an order that begins now runs out."""
        if self.expiry == "early":
            now = math.floor(now)
        elif self.expiry == "late":
            now = math.ceil(now)
        return now + expires_in


@define(eq=False)
class Order:
    """The live state behind one `auth_req_id`.

    Attributes:
        record: Its page in the ledger.
        wish: Who was asked, through which eID.
        script: What the person does.
        interval: Seconds that polls must keep between them; grows with each `slow_down`.
        spaced_from: The instant from which the next poll must keep its distance, None where it need not.
        dice_key: Seeds what is made up for this order.
        in_flight: Polls of it that are under way.
    """

    record: OrderRecord
    wish: Wish
    script: Script
    interval: float
    spaced_from: float | None
    dice_key: str = field(repr=False)
    in_flight: int = 0

    def is_open(self, now: float) -> bool:
        """Whether the prompt is still on the phone."""
        record = self.record
        return record.outcome == "open" and now < record.expires_at and record.answer_by(now) is None

    def cancel(self, now: float) -> None:
        """End the order because a second one for the same person came in."""
        self.record.collided = True
        self.record.decision = self.record.decided_at = None
        self.record.end("cancelled", now)

    def poll(self, now: float, rules: Rules) -> Verdict:
        """Answer one poll."""
        record = self.record
        record.note_poll(now)
        if record.outcome == "approved" or (record.outcome == "denied" and rules.denials_are_spent):
            record.tokens_revoked = record.tokens_issued_at is not None
            return "spent"
        if record.outcome == "expired" or now >= record.expires_at:
            if record.outcome == "open":
                record.end("expired", now)
            return "expired"
        if self._comes_too_soon(now, rules):
            record.slow_downs += 1
            self.interval += _SLOW_DOWN_STEP
            return "slow_down"
        if record.outcome == "open":
            answer = record.answer_by(now)
            if answer is None:
                return "pending"
            record.end(answer, now)
            return answer
        return "cancelled" if record.outcome == "cancelled" else "denied"

    def pending_text(self, now: float) -> str:
        """How far the person has come, in the eID's words."""
        return self.wish.eid.pending[self.script.phase(now - self.record.started_at)]

    def _comes_too_soon(self, now: float, rules: Rules) -> bool:
        if rules.throttle == "off":
            return False
        too_soon = self.spaced_from is not None and now - self.spaced_from < self.interval - _GRAIN
        if rules.throttle == "reset" or not too_soon:
            self.spaced_from = now
        return too_soon
