"""Tests of the provider's books."""

from __future__ import annotations

from typing import Any

from idura_ciba.simulator import Ledger, OrderRecord


def record(**changes: Any) -> OrderRecord:
    """A record of an order that began at 100 and runs out at 220."""
    defaults = {"number": 1, "eid": "se", "client_id": "urn:x", "person": "209801011231", "started_at": 100.0}
    return OrderRecord(**{**defaults, "expires_at": 220.0, "auth_req_id": "secret-id", **changes})


def test_the_answer_is_known_from_its_instant_on() -> None:
    """Not before, and never if there is none."""
    answering = record(decision="denied", decided_at=110.0)
    assert [answering.answer_by(now) for now in (109.9, 110.0)] == [None, "denied"]
    assert record().answer_by(1e12) is None


def test_polls_after_a_told_answer_are_counted() -> None:
    """Only once the client has really been told."""
    page = record()
    page.note_poll(103)
    page.told = True
    page.note_poll(106)
    assert (page.polls, page.polls_after_final) == (2, 1)


def test_settling_books_what_has_run_out() -> None:
    """Open orders expire at their own instant; ended ones stay as they are."""
    ledger = Ledger([record(), record(expires_at=400.0), record(outcome="denied", ended_at=105.0)])
    ledger.settle(300)
    assert [(page.outcome, page.ended_at) for page in ledger.orders] == [
        ("expired", 220),
        ("open", None),
        ("denied", 105),
    ]


def test_the_summary_counts_everything() -> None:
    """Outcomes, polls, faults and totals as plain numbers."""
    ledger = Ledger(
        [
            record(
                outcome="approved", decision="approved", decided_at=104.0, tokens_issued_at=105.0, delivered=1, polls=2
            ),
            record(outcome="approved", decision="approved", decided_at=104.0, tokens_issued_at=105.0, polls=3),
            record(decision="approved", decided_at=219.0),
            record(outcome="cancelled", collided=True),
            record(slow_downs=2, overlapping=1, polls_after_final=4, tokens_revoked=True),
        ]
    )
    ledger.totals.collisions = 1
    assert ledger.summary()["open"] == 2
    assert ledger.summary(now=220) == {
        "orders": 5,
        "open": 0,
        "approved": 2,
        "denied": 0,
        "expired": 2,
        "cancelled": 1,
        "lost_approvals": 2,
        "tokens_issued": 2,
        "tokens_revoked": 1,
        "delivered": 1,
        "polls": 5,
        "slow_downs": 2,
        "overlapping": 1,
        "polls_after_final": 4,
        "requests": 0,
        "refused": 0,
        "collisions": 1,
        "rejected_clients": 0,
        "replayed_jti": 0,
        "unknown_ids": 0,
    }


def test_lines_tell_the_story_in_relative_time() -> None:
    """One line an order, one for the totals."""
    approved = record(outcome="approved", decision="approved", decided_at=104.0, ended_at=106.25, delivered=1)
    approved.note_poll(103)
    approved.note_poll(106.25)
    second = record(number=2, started_at=101.5, outcome="cancelled", ended_at=101.5, collided=True)
    ledger = Ledger([approved, second, record(number=3)])
    assert ledger.lines() == [
        "order 1 se at=0.000 person=approved@4.000 approved@6.250 polls=2 min_spacing=3.250 delivered=1",
        "order 2 se at=1.500 cancelled@1.500 polls=0 collided",
        "order 3 se at=0.000 open polls=0",
        "totals requests=0 refused=0 collisions=0 rejected_clients=0 replayed_jti=0 unknown_ids=0",
    ]
    assert len(Ledger().lines()) == 1


def test_nothing_shown_is_secret() -> None:
    """Neither person numbers nor ids are in a repr, the summary or the lines."""
    ledger = Ledger([record()])
    shown = f"{ledger!r} {ledger.orders[0]!r} {ledger.summary()} {ledger.lines()}"
    assert "209801011231" not in shown
    assert "secret-id" not in shown
