"""Tests of the strategy that leaves it to pings."""

from __future__ import annotations

from typing import Any

import pytest

from idura_ciba.errors import UsageError
from idura_ciba.polling.basic import Fixed
from idura_ciba.polling.final_poll import GUARD, FinalPoll
from idura_ciba.polling.hazard import HazardAware
from idura_ciba.polling.pinged import EAGER, WhenPinged, usual
from idura_ciba.polling.strategy import Record, Strategy, as_strategy, next_poll, sharing


def test_it_is_a_strategy_and_a_value() -> None:
    """One object serves every login."""
    assert isinstance(WhenPinged(), Strategy)
    assert WhenPinged() == WhenPinged(Fixed(30.0)) != WhenPinged(Fixed(40.0))
    assert as_strategy(WhenPinged()) == WhenPinged(fallback=Fixed(30.0))
    with pytest.raises(UsageError):
        WhenPinged(30)  # type: ignore[arg-type]


def test_it_polls_seldom_without_a_ping(view: Any) -> None:
    """Half a minute after the last answer, or when the fallback wants it."""
    assert next_poll(WhenPinged(), view(heard_at=150.0)) == 180.0
    assert next_poll(WhenPinged(lambda view: view.heard_at + 12), view(heard_at=150.0)) == 162.0
    assert next_poll(WhenPinged(lambda _: None), view(heard_at=150.0)) is None


def test_it_polls_often_after_a_ping(view: Any) -> None:
    """At the floor; where nothing has come of it for half a minute, seldom again."""
    assert next_poll(WhenPinged(), view(heard_at=150.0, pinged_at=148.0)) == 155.0
    assert next_poll(WhenPinged(), view(heard_at=150.0, pinged_at=150.0 - EAGER + 0.1)) == 155.0
    assert next_poll(WhenPinged(), view(heard_at=150.0, pinged_at=150.0 - EAGER)) == 180.0


def test_the_last_poll_before_the_end_stays(view: Any) -> None:
    """`FinalPoll` goes around it."""
    assert next_poll(FinalPoll(WhenPinged()), view(heard_at=195.0)) == pytest.approx(219.3)


def test_a_fallback_that_learns_goes_on_learning() -> None:
    """And shares what it has learned."""
    learning = HazardAware()
    assert WhenPinged(learning).finished == learning.finished
    FinalPoll(WhenPinged(learning)).finished(Record("kind", 0.0, 0.1, True, 9.0, 10.0))  # noqa: FBT003
    assert learning.export()["tables"]
    assert learning in sharing(FinalPoll(WhenPinged(learning)))
    assert WhenPinged().finished is None


def test_a_client_whose_caller_has_not_chosen_polls_seldom_only_where_it_is_pinged() -> None:
    """With a last poll just before the end either way."""
    assert [usual(pinged=pinged).inner for pinged in (False, True)] == [Fixed(), WhenPinged()]
    assert [usual(pinged=pinged).guard for pinged in (False, True)] == [GUARD, GUARD]
