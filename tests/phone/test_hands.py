"""Tests of who plays the people."""

from __future__ import annotations

from random import Random

import pytest

from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import Crowd, Script

DICE = Random(1)


@pytest.mark.parametrize(("by_hand", "before", "after"), [(None, False, True), (True, True, True), (False,) * 3])
def test_whoever_opens_the_page_takes_over(by_hand: bool | None, before: bool, after: bool) -> None:
    """Unless it was decided before who plays."""
    hands = Hands(lambda _: Script.approve(3), by_hand=by_hand)
    assert (hands.by_hand, hands(DICE)) == (before, Script.by_hand() if before else Script.approve(3))
    hands.page_opened()
    assert (hands.by_hand, hands(DICE)) == (after, Script.by_hand() if after else Script.approve(3))


def test_people_can_be_let_go_again() -> None:
    """And a second page does not take over against that."""
    hands = Hands()
    hands.page_opened()
    hands.by_hand = False
    hands.page_opened()
    assert hands(Random(1)) == Crowd()(Random(1))
