"""A record of what really happened at the provider, for tests and benchmarks to compare a client's results with.

The ledger keeps identity numbers and `auth_req_id`s, because only they match its records with the client's. Its repr,
its summary and its lines do not show them.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from attrs import asdict, define, field

__all__ = ["Ledger", "OrderRecord", "Outcome", "Totals"]

Outcome = Literal["open", "approved", "denied", "expired", "cancelled"]


@define(eq=False, kw_only=True)
class OrderRecord:
    """One order: one prompt on one person's phone. Instants are wall-clock seconds of the provider.

    Attributes:
        number: 1 for the first order of the ledger.
        eid: Short name of the eID.
        client_id: The client that placed the order.
        person: The person named by the hint.
        auth_req_id: The order's id; empty if none was issued.
        started_at: When the request arrived.
        expires_at: When the order expires.
        decided_at: When the person answers; None if not within the order's lifetime.
        decision: What the person answers then.
        outcome: The final answer that the provider gave, or owes; `open` until then.
        ended_at: When the provider first gave that answer, or when the order ended without a poll.
        collided: Cancelled by, or refused as, a second order for the same person.
        polls: Polls that arrived.
        first_poll_at: When the first poll arrived.
        last_poll_at: When the last poll arrived.
        min_spacing: The shortest time between two polls, in seconds.
        slow_downs: Polls answered `slow_down`.
        overlapping: Polls that began while another one was in flight.
        told: The client got a final answer.
        polls_after_final: Polls that arrived after that.
        tokens_issued_at: When tokens were issued.
        tokens_revoked: A later poll made the provider revoke the tokens.
        delivered: How often the client got the outcome (tokens, denial, expiry) complete.
    """

    number: int
    eid: str
    client_id: str
    person: str = field(repr=False)
    auth_req_id: str = field(default="", repr=False)
    started_at: float
    expires_at: float
    decided_at: float | None = None
    decision: Literal["approved", "denied"] | None = None
    outcome: Outcome = "open"
    ended_at: float | None = None
    collided: bool = False
    polls: int = 0
    first_poll_at: float | None = None
    last_poll_at: float | None = None
    min_spacing: float | None = None
    slow_downs: int = 0
    overlapping: int = 0
    told: bool = False
    polls_after_final: int = 0
    tokens_issued_at: float | None = None
    tokens_revoked: bool = False
    delivered: int = 0

    def note_poll(self, now: float) -> None:
        """Count one poll."""
        self.polls += 1
        if self.last_poll_at is None:
            self.first_poll_at = now
        else:
            spacing = now - self.last_poll_at
            if self.min_spacing is None or spacing < self.min_spacing:
                self.min_spacing = spacing
        self.last_poll_at = now
        if self.told:
            self.polls_after_final += 1

    def answer_by(self, now: float) -> Literal["approved", "denied"] | None:
        """What the person has answered by now."""
        return self.decision if self.decided_at is not None and now >= self.decided_at else None

    def end(self, outcome: Outcome, now: float) -> None:
        """Close the order."""
        self.outcome = outcome
        self.ended_at = now


@define
class Totals:
    """Counts of what belongs to no order.

    Attributes:
        requests: Requests of any kind that reached the provider.
        refused: Authentication requests that were refused, collisions included.
        collisions: How often a second order for a person cancelled both.
        rejected_clients: Requests that failed client authentication.
        replayed_jti: Those among them that reused an assertion.
        unknown_ids: Polls for an order that does not exist or belongs to another client.
    """

    requests: int = 0
    refused: int = 0
    collisions: int = 0
    rejected_clients: int = 0
    replayed_jti: int = 0
    unknown_ids: int = 0


@define(eq=False)
class Ledger:
    """The provider's record of orders and requests.

    Attributes:
        orders: Every order, by arrival.
        totals: Counts of everything else.
        proofs: Counts of proofs of DPoP: `accepted`, `nonce demanded`, `refused`, `replayed`, `other key`, `missing`.
    """

    orders: list[OrderRecord] = field(factory=list, repr=False)
    totals: Totals = field(factory=Totals)
    proofs: Counter[str] = field(factory=Counter, repr=False)

    def settle(self, now: float) -> None:
        """Mark every open order that has expired by `now`."""
        for record in self.orders:
            if record.outcome == "open" and now >= record.expires_at:
                record.end("expired", record.expires_at)

    def summary(self, now: float | None = None) -> dict[str, int]:
        """Return all counts; with `now`, call `settle` first."""
        if now is not None:
            self.settle(now)
        outcomes = Counter(record.outcome for record in self.orders)
        return {
            "orders": len(self.orders),
            **{outcome: outcomes[outcome] for outcome in ("open", "approved", "denied", "expired", "cancelled")},
            "lost_approvals": sum(
                record.decision == "approved" and record.outcome in {"approved", "expired"} and not record.delivered
                for record in self.orders
            ),
            "tokens_issued": sum(record.tokens_issued_at is not None for record in self.orders),
            "tokens_revoked": sum(record.tokens_revoked for record in self.orders),
            "delivered": sum(record.delivered for record in self.orders),
            "polls": sum(record.polls for record in self.orders),
            "slow_downs": sum(record.slow_downs for record in self.orders),
            "overlapping": sum(record.overlapping for record in self.orders),
            "polls_after_final": sum(record.polls_after_final for record in self.orders),
            **asdict(self.totals),
        }

    def lines(self) -> list[str]:
        """Return one line per order and one for the totals, without anything secret or personal.

        Times are seconds since the first order, so two runs with the same seed give the same lines.
        """
        epoch = self.orders[0].started_at if self.orders else 0.0
        lines = [_line(record, epoch) for record in self.orders]
        return [*lines, "totals " + " ".join(f"{name}={count}" for name, count in asdict(self.totals).items())]


def _line(record: OrderRecord, epoch: float) -> str:
    words = [f"order {record.number} {record.eid} at={record.started_at - epoch:.3f}"]
    if record.decided_at is not None:
        words.append(f"person={record.decision}@{record.decided_at - epoch:.3f}")
    words.append(record.outcome if record.ended_at is None else f"{record.outcome}@{record.ended_at - epoch:.3f}")
    words.append(f"polls={record.polls}")
    if record.min_spacing is not None:
        words.append(f"min_spacing={record.min_spacing:.3f}")
    counts = ("slow_downs", "overlapping", "polls_after_final", "delivered")
    words += [f"{name}={getattr(record, name)}" for name in counts if getattr(record, name)]
    words += [name for name in ("collided", "tokens_revoked") if getattr(record, name)]
    return " ".join(words)
