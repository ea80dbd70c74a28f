"""One order at the provider: its lifetime, its throttle, and the answers to its polls.

Rules, in the order in which a poll is checked:

1. Tokens are issued once. After that the id is spent, and another poll revokes the tokens.
2. Expiry comes before the decision, so an approval that is not fetched in time is lost.
3. The throttle comes next, so `slow_down` can hide an approval.
4. The person's decision comes last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from attrs import define, field, frozen

from idura_ciba.simulator.eid import Wish
from idura_ciba.simulator.ledger import OrderRecord
from idura_ciba.simulator.people import Person, dice, invent_person
from idura_ciba.simulator.scenario import Script

__all__ = ["Order", "Rules", "Verdict"]

#: Seconds of tolerance for rounding errors of wall-clock floats, so that a poll after exactly `interval` passes.
_GRAIN = 0.001
#: Seconds. CIBA Core section 11: `slow_down` raises the interval by at least 5 s.
_SLOW_DOWN_STEP = 5.0

Verdict = Literal["approved", "pending", "slow_down", "denied", "cancelled", "expired", "spent"]


@frozen(kw_only=True)
class Rules:
    """How this provider behaves where real ones differ; strict by default.

    Attributes:
        throttle: What a poll within the interval does, apart from being answered `slow_down`: `reset` restarts the
            interval (Duende), `ttl` keeps counting from the last good poll (Keycloak). `off`: no `slow_down` at all.
        throttle_from_start: The interval also applies between the acknowledgement and the first poll.
        expiry: `exact`, or in whole seconds: `early` (up to 1 s too soon) or `late` (up to 1 s too late).
        denials_are_spent: A denial is given once, then `invalid_grant`; otherwise every time.
        known_people_only: People without a script are `unknown_user_id`.
        accepted_audiences: Accepted values of a client assertion's `aud`; empty: the issuer only.
        clock_tolerance: Seconds by which a client's clock may be off.
        expires_in_as_text: Token answers say `"120"` instead of `120`, as in some of Idura's examples.
        userinfo: Whether there is a userinfo endpoint, and whether its answers are signed (and encrypted where the
            client's ID tokens are).
        refresh_tokens: Whether they are issued, and whether each use brings another one.
        announces_backchannel: Discovery lists the `backchannel_*` members, which Idura may or may not do.
        dpop: Tokens are issued for a proof of DPoP only, and bound to its key; an order that is placed with a proof is
            that key's. Otherwise proofs are ignored, as by Idura.
        dpop_nonces: Seconds for which a nonce is the present one, that proofs must carry; 0: none.
    """

    throttle: Literal["reset", "ttl", "off"] = "reset"
    throttle_from_start: bool = True
    expiry: Literal["exact", "early", "late"] = "exact"
    denials_are_spent: bool = False
    known_people_only: bool = False
    accepted_audiences: frozenset[str] = frozenset()
    clock_tolerance: float = 15.0
    expires_in_as_text: bool = False
    userinfo: Literal["none", "plain", "signed"] = "none"
    refresh_tokens: Literal["none", "kept", "rotated"] = "none"
    announces_backchannel: bool = True
    dpop: bool = False
    dpop_nonces: float = 0.0

    def expires_at(self, now: float, expires_in: float) -> float:
        """When an order that begins at `now` expires."""
        if self.expiry == "early":
            now = math.floor(now)
        elif self.expiry == "late":
            now = math.ceil(now)
        return now + expires_in


@define(eq=False)
class Order:
    """The state behind one `auth_req_id`.

    Attributes:
        record: Its record in the ledger.
        wish: Whom to ask, through which eID.
        script: What the person does.
        interval: Least seconds between polls; grows with each `slow_down`.
        spaced_from: The instant from which the interval to the next poll counts; None: no throttle yet.
        dice_key: Seeds whatever is made up for this order.
        in_flight: Polls in flight.
        jkt: The thumbprint of the key with which it was placed, if any.
    """

    record: OrderRecord
    wish: Wish
    script: Script
    interval: float
    spaced_from: float | None
    dice_key: str = field(repr=False)
    in_flight: int = 0
    jkt: str | None = None
    _announce: Callable[[], None] = lambda: None

    @property
    def words(self) -> str | None:
        """The word pair that is read to the person, if the eID has one."""
        words = self.wish.eid.words
        return None if words is None else words(dice(self.dice_key, "words"))

    def holder(self, seed: int) -> Person:
        """The person who is asked, made up from the provider's seed; or the other one who answers."""
        wish = self.wish
        number = wish.person if wish.is_number else wish.eid.invent_number(seed, wish.person)
        return invent_person(seed, wish.eid.name, self.script.answered_by or number)

    def decide(self, script: Script, now: float) -> None:
        """Take another script in the middle of the order: what it decides is decided now."""
        self.script = script
        self.record.decision, self.record.decided_at = script.decision, now if script.decision else None
        self._announce()

    def when_decided(self, announce: Callable[[], None]) -> None:
        """Call this now, and again for each change of what the person decides and when."""
        self._announce = announce
        announce()

    def is_open(self, now: float) -> bool:
        """Whether the prompt is still on the phone."""
        record = self.record
        return record.outcome == "open" and now < record.expires_at and record.answer_by(now) is None

    def cancel(self, now: float) -> None:
        """End the order because a second one for the same person arrived."""
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
        """The progress of the person, in the eID's words."""
        return self.wish.eid.pending[self.script.phase(now - self.record.started_at)]

    def _comes_too_soon(self, now: float, rules: Rules) -> bool:
        if rules.throttle == "off":
            return False
        too_soon = self.spaced_from is not None and now - self.spaced_from < self.interval - _GRAIN
        if rules.throttle == "reset" or not too_soon:
            self.spaced_from = now
        return too_soon
