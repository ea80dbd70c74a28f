"""Tests of which phones are shown."""

from __future__ import annotations

import pytest
from attrs import define, field

from idura_ciba.phone.board import MOST_SHOWN, Board
from idura_ciba.simulator import Prompt, Script
from idura_ciba.simulator.eid import Wish
from idura_ciba.simulator.ledger import OrderRecord
from idura_ciba.simulator.orders import Order
from idura_ciba.simulator.people import invent_person
from idura_ciba.simulator.swedish_bankid import SWEDISH_BANKID


@define
class Street:
    """People with phones, and the board that shows these."""

    orders: list[Order] = field(factory=list)
    board: Board = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Hang up the board."""
        self.board = Board(self.prompts)

    def ring(self, person: str, script: Script | None = None) -> Prompt:
        """Ask somebody at 0, for 120 seconds."""
        record = OrderRecord(
            number=len(self.orders) + 1, eid="se", client_id="a", person=person, started_at=0.0, expires_at=120.0
        )
        order = Order(record, Wish(SWEDISH_BANKID, person), Script.by_hand(), 3, None, "dice")
        if script is not None:
            order.script = script
        self.orders.append(order)
        return self.prompt(order)

    def prompt(self, order: Order) -> Prompt:
        """What is on a phone."""
        return Prompt(order, invent_person(0, "se", order.record.person), "Acme")

    def prompts(self, now: float) -> list[Prompt]:
        """What can be answered."""
        return [self.prompt(order) for order in self.orders if order.is_open(now)]

    def shown(self) -> dict[int, str]:
        """The state of each phone that is shown."""
        return {number: phone.state for number, phone in self.board.phones.items()}


@pytest.fixture(name="street")
def _street() -> Street:
    return Street()


def test_a_phone_appears_changes_and_stays_until_it_is_put_away(street: Street) -> None:
    """The board says whether there are others than before, or which ones have changed."""
    assert street.board.look(0) == []
    prompt = street.ring("209801011231")
    assert street.board.look(1) is None
    assert street.board.look(2) == []
    prompt.open_app(3)
    (changed,) = street.board.look(3) or []
    assert (changed.prompt.number, changed.state, changed.rings) == (1, "opened", True)
    street.board.put_away(1)
    assert street.shown() == {1: "opened"}
    prompt.decline(4)
    assert [phone.state for phone in street.board.look(4) or []] == ["denied"]
    street.board.put_away(1)
    street.board.put_away(1)
    assert street.shown() == {}
    assert street.board.look(5) == []


def test_phones_move_by_themselves(street: Street) -> None:
    """By their scripts, and when the time is over."""
    street.ring("209801011231", Script.never(opened_after=10))
    seen = []
    for now in (0, 10, 119, 120):
        street.board.look(now)
        seen.append(street.shown()[1])
    assert seen == ["notified", "opened", "opened", "expired"]


def test_a_person_has_one_phone(street: Street) -> None:
    """A later request takes the place of what is left of the one before."""
    prompt = street.ring("209801011231")
    street.board.look(0)
    prompt.decline(1)
    street.board.look(1)
    assert street.shown() == {1: "denied"}
    street.ring("209801011231")
    street.ring("209712310011")
    assert street.board.look(3) is None
    assert street.shown() == {2: "notified", 3: "notified"}


def test_there_is_an_end_to_phones(street: Street) -> None:
    """Those that ring stay, and of the others those that ended last; nothing flickers."""
    prompts = [street.ring(f"2098010{number:05}") for number in range(MOST_SHOWN)]
    assert street.board.look(0) is None
    prompts[0].decline(1)
    prompts[1].decline(1)
    street.board.look(1)
    for number in range(3):
        street.ring(f"2097010{number:05}")
    assert street.board.look(2) is None
    assert len(street.shown()) == MOST_SHOWN
    assert {1, 2, MOST_SHOWN + 3}.isdisjoint(street.shown())
    assert {MOST_SHOWN + 1, MOST_SHOWN + 2} <= set(street.shown())
    assert street.board.look(3) == []
