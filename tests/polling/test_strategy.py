"""Tests of what a strategy is and may know."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.polling.basic import Fixed
from idura_ciba.polling.final_poll import FinalPoll
from idura_ciba.polling.hazard import HazardAware
from idura_ciba.polling.phase import PhaseAware
from idura_ciba.polling.pinged import WhenPinged
from idura_ciba.polling.strategy import (
    Indexed,
    Learning,
    Poll,
    PollView,
    Record,
    Strategy,
    as_strategy,
    check_duration,
    learns_decisions,
    next_poll,
    sharing,
)


class Answering:
    """A strategy that answers with whatever it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[PollView] = []

    def next_poll(self, view: PollView) -> Any:
        """Remember the question."""
        self.asked.append(view)
        return self.answer


# --- the view ---------------------------------------------------------------------------------------------------------


def test_the_provider_was_last_heard_at_the_last_answer(view: Any) -> None:
    """Or at the acknowledgement, before the first poll."""
    assert view().heard_at == 100.0
    assert view(heard_at=131.5).heard_at == 131.5


def test_a_view_can_be_stored_and_compared(view: Any) -> None:
    """A decision can be replayed from a log: views are values, and chance is no part of them."""
    assert view(rng=Random(1)) == view(rng=Random(2))
    assert "rng" not in repr(view())
    with pytest.raises(FrozenInstanceError):
        view().now = 0.0
    assert Poll(1.0, 2.0, "unanswered") == Poll(1.0, 2.0, "unanswered", None, None)


def test_a_record_is_a_value_and_says_nothing_of_the_person() -> None:
    """Its fields are instants, words of the provider and the kind of login."""
    record = Record(("urn:grn:authn:se:bankid", 120.0), 1.0, 1.1, True, 7.0, 10.0, (("hint", 4.0),))  # noqa: FBT003
    assert record == Record(record.key, 1.0, 1.1, True, 7.0, 10.0, (("hint", 4.0),))  # noqa: FBT003
    with pytest.raises(FrozenInstanceError):
        record.answered = False  # type: ignore[misc]  # that is the point


def test_learning_and_an_index_are_no_duty() -> None:
    """A strategy without them is one all the same."""
    assert not isinstance(Fixed(), Learning)
    assert not isinstance(Fixed(), Indexed)


# --- what is taken for a strategy -------------------------------------------------------------------------------------


def test_what_a_strategy_shares_is_found_within() -> None:
    """In itself or in what it wraps, however deep; others share nothing."""
    hazard, phase = HazardAware(), PhaseAware()
    assert sharing(hazard) == (hazard,)
    within = FinalPoll(phase)
    around = FinalPoll(within)
    assert sharing(around) == (around, within, phase)
    assert sharing(Fixed()) == ()
    assert sharing(as_strategy(lambda view: view.not_before)) == ()


def test_only_the_innermost_strategy_learns_how_long_people_take() -> None:
    """What wraps it learns other things."""
    assert learns_decisions(FinalPoll(WhenPinged(HazardAware())))
    assert learns_decisions(HazardAware())
    assert not learns_decisions(FinalPoll(WhenPinged()))
    assert not learns_decisions(FinalPoll(Fixed()))


def test_a_strategy_is_taken_as_it_is() -> None:
    """Any object with the one method will do."""
    strategy = Answering(1.0)
    assert isinstance(strategy, Strategy)
    assert as_strategy(strategy) is strategy


@pytest.mark.parametrize(
    "function",
    [lambda view: view.acknowledged_at + 7, Answering(107.0).next_poll],
    ids=["a function", "a bound method"],
)
def test_a_function_is_taken_for_a_strategy(function: Any, view: Any) -> None:
    """It is asked like any other, and two wrappers of one function are equal."""
    assert next_poll(as_strategy(function), view()) == 107.0
    assert as_strategy(function) == as_strategy(function)


@pytest.mark.parametrize("thing", [None, 5, "fixed", Fixed, Answering, ...], ids=repr)
def test_nothing_else_is_taken_for_a_strategy(thing: Any) -> None:
    """Least of all a class, which could be called and would answer with an object."""
    with pytest.raises(UsageError) as caught:
        as_strategy(thing)
    assert caught.value.code == "strategy"


# --- asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "at"),
    [(None, None), (0, 105.0), (104.999, 105.0), (105.0, 105.0), (106, 106.0), (1e300, 1e300), (-0.0, 105.0)],
)
def test_the_floor_is_applied_to_every_answer(answer: float | None, at: float | None, view: Any) -> None:
    """The later of the two counts; None stays None."""
    strategy = Answering(answer)
    asked = view()
    heard = next_poll(strategy, asked)
    assert heard == at
    assert heard is None or type(heard) is float
    assert strategy.asked == [asked]


@pytest.mark.parametrize(
    "answer",
    [
        *(math.nan, math.inf, -math.inf, -1.0, -1, -1e-9, True, False, "105", "", b"105"),
        *(10**400, Decimal(105), Fraction(105), 105j, [105.0], object()),
    ],
    ids=lambda answer: repr(answer)[:12],
)
def test_an_answer_that_is_no_instant_is_refused(answer: Any, view: Any) -> None:
    """Nothing is repaired silently: a broken strategy that seems to work is found in production."""
    with pytest.raises(UsageError) as caught:
        next_poll(Answering(answer), view())
    assert caught.value.code == "strategy_failed"
    assert caught.value.phone
    assert "monotonic" in caught.value.advice


def test_what_a_strategy_raises_is_not_swallowed(view: Any) -> None:
    """Whoever asks decides what becomes of it."""
    with pytest.raises(ZeroDivisionError):
        next_poll(as_strategy(lambda view: view.now / 0), view())


@given(st.none() | st.floats(0, 1e9), st.floats(0, 1e9))
def test_no_strategy_gets_below_the_floor(view: Any, answer: float | None, not_before: float) -> None:
    """Whatever it answers."""
    at = next_poll(Answering(answer), view(not_before=not_before))
    assert at is None if answer is None else at == max(answer, not_before)


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.05, 1e300])
def test_durations_are_finite_and_not_negative(value: float) -> None:
    """Zero is one, too."""
    check_duration("seconds", value)


@pytest.mark.parametrize("value", [-1, -0.1, math.nan, math.inf, True, "5", None, 10**400], ids=lambda v: repr(v)[:9])
def test_other_durations_are_refused_by_name(value: Any) -> None:
    """The error says which argument it was."""
    with pytest.raises(UsageError) as caught:
        check_duration("seconds", value)
    assert caught.value.what == "seconds must be a finite number of at least 0"
    assert caught.value.code == "strategy"
