"""Tests of the life of one order: expiry, throttle and verdicts."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from idura_ciba.simulator import Rules, Script
from idura_ciba.simulator.eid import Wish
from idura_ciba.simulator.ledger import OrderRecord
from idura_ciba.simulator.orders import Order
from idura_ciba.simulator.swedish_bankid import SWEDISH_BANKID

WISH = Wish(SWEDISH_BANKID, "209801011231")
LOOSE = Rules(throttle="off")


def order(
    *, decision: Literal["approved", "denied"] | None = None, at: float = 10, interval: float = 3, spaced: bool = True
) -> Order:
    """An order that began at 0 and runs out at 120."""
    record = OrderRecord(
        number=1,
        eid="se",
        client_id="urn:x",
        person=WISH.person,
        started_at=0.0,
        expires_at=120.0,
        decision=decision,
        decided_at=at if decision else None,
    )
    return Order(record, WISH, Script.approve(at), interval, 0.0 if spaced else None, "dice")


def verdicts(subject: Order, *instants: float, **rules: Any) -> list[str]:
    """What polls at these instants are told."""
    return [subject.poll(now, Rules(**rules)) for now in instants]


def test_a_polite_client_is_never_slowed_down() -> None:
    """A poll after exactly the interval passes, also where floats make a little less of it."""
    subject = order()
    assert verdicts(subject, 3.0, 5.9999999, 9.0) == ["pending"] * 3
    assert subject.interval == 3


def test_the_first_poll_keeps_its_distance_too() -> None:
    """The clock of the throttle starts with the acknowledgement, unless told otherwise."""
    assert verdicts(order(), 2.9) == ["slow_down"]
    assert verdicts(order(spaced=False), 0.0, 2.9) == ["pending", "slow_down"]


def test_a_violation_resets_the_throttle_and_stretches_the_interval() -> None:
    """Duende's way: who comes too soon waits from there, five seconds longer each time."""
    subject = order()
    assert verdicts(subject, 3, 5, 12.9, 25.8) == ["pending", "slow_down", "slow_down", "slow_down"]
    assert subject.interval == 18
    assert verdicts(subject, 43.8) == ["pending"]
    assert subject.record.slow_downs == 3


def test_the_other_throttle_counts_from_the_last_good_poll() -> None:
    """Keycloak's way: a violation is refused and otherwise forgotten, apart from the longer interval."""
    subject = order()
    assert verdicts(subject, 3, 5, 10.9, 16, throttle="ttl") == ["pending", "slow_down", "slow_down", "pending"]
    assert subject.interval == 13


def test_the_throttle_can_be_off() -> None:
    """Some providers do not care."""
    assert verdicts(order(), 0, 0.1, 0.2, throttle="off") == ["pending"] * 3


def test_slow_down_hides_an_approval() -> None:
    """The throttle stands before the person's answer."""
    assert verdicts(order(decision="approved"), 10, 11, 19) == ["approved", "spent", "spent"]
    assert verdicts(order(decision="approved"), 8, 10, 18) == ["pending", "slow_down", "approved"]


def test_tokens_are_handed_out_once() -> None:
    """Afterwards the id is spent for ever, and asking again revokes the tokens."""
    subject = order(decision="approved")
    assert verdicts(subject, 10) == ["approved"]
    subject.record.tokens_issued_at = 10
    assert verdicts(subject, 10.1, 500) == ["spent", "spent"]
    assert subject.record.tokens_revoked


def test_a_denial_is_told_again_or_spent() -> None:
    """Both kinds of provider exist."""
    subject = order(decision="denied")
    assert verdicts(subject, 10, 13, 16) == ["denied"] * 3
    assert (subject.record.outcome, subject.record.ended_at) == ("denied", 10)
    spending = order(decision="denied")
    assert verdicts(spending, 10, 13, denials_are_spent=True) == ["denied", "spent"]
    assert not spending.record.tokens_revoked


def test_expiry_comes_first() -> None:
    """An approval that nobody fetched is lost, and nobody is told to slow down any more."""
    subject = order(decision="approved")
    assert verdicts(subject, 120, 120.1) == ["expired", "expired"]
    assert (subject.record.outcome, subject.record.ended_at, subject.record.slow_downs) == ("expired", 120, 0)


def test_a_told_denial_expires_as_well() -> None:
    """After its time an order is expired, whatever it was before; the books keep what it was."""
    subject = order(decision="denied")
    assert verdicts(subject, 10, 121) == ["denied", "expired"]
    assert subject.record.outcome == "denied"


def test_a_settled_order_stays_expired() -> None:
    """Once booked as expired an order does not come back."""
    subject = order(decision="approved")
    subject.record.end("expired", 120)
    assert verdicts(subject, 50) == ["expired"]


def test_a_cancelled_order_is_told_so() -> None:
    """The second order for a person ends the first one."""
    subject = order(decision="approved")
    subject.cancel(5)
    assert verdicts(subject, 10, 13) == ["cancelled", "cancelled"]
    record = subject.record
    assert (record.outcome, record.ended_at, record.decided_at, record.collided) == ("cancelled", 5, None, True)


@pytest.mark.parametrize(
    ("decision", "now", "is_open"),
    [(None, 119.9, True), (None, 120, False), ("approved", 9.9, True), ("approved", 10, False), ("denied", 10, False)],
)
def test_an_order_is_open_while_the_prompt_is_on_the_phone(
    decision: Literal["approved", "denied"] | None, now: float, is_open: bool
) -> None:
    """Until the person answers or the time is over."""
    assert order(decision=decision).is_open(now) is is_open


def test_an_ended_order_is_not_open() -> None:
    """A cancelled one has left the phone."""
    subject = order()
    subject.cancel(1)
    assert not subject.is_open(2)


def test_sub_states_follow_the_script() -> None:
    """Swedish BankID tells how far the person is."""
    subject = order(at=10)
    assert [subject.pending_text(now) for now in (0, 4.5, 9.9)] == [
        "awaiting first user interaction",
        "awaiting user request acknowledgement",
        "awaiting user identification",
    ]


@pytest.mark.parametrize(("expiry", "end"), [("exact", 130.4), ("early", 130.0), ("late", 131.0)])
def test_expiry_can_be_counted_in_whole_seconds(expiry: Literal["exact", "early", "late"], end: float) -> None:
    """Real servers are up to a second early or late."""
    assert Rules(expiry=expiry).expires_at(10.4, 120) == pytest.approx(end)


def test_polls_are_counted() -> None:
    """Their number, the first, the last and the shortest time between two."""
    subject = order()
    for now in (3, 7, 10.5, 15):
        subject.poll(now, LOOSE)
    record = subject.record
    assert (record.polls, record.first_poll_at, record.last_poll_at, record.min_spacing) == (4, 3, 15, 3.5)
