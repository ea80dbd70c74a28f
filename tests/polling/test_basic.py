"""Tests of the strategies without a memory."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.polling.basic import Backoff, Fixed, Proportional
from idura_ciba.polling.strategy import Strategy, as_strategy, next_poll

ALL = [Fixed(), Fixed(10), Proportional(), Backoff(tenacity.wait_fixed(3))]


@pytest.mark.parametrize("strategy", ALL, ids=["Fixed()", "Fixed(10)", "Proportional()", "Backoff"])
def test_each_is_a_strategy_and_a_value(strategy: Any) -> None:
    """One object serves every login: it is taken as it is, keeps nothing and can be compared."""
    assert isinstance(strategy, Strategy)
    assert as_strategy(strategy) is strategy
    assert Fixed(10) == Fixed(10.0)
    assert Proportional() == Proportional(0.05)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_fixed_is_the_floor(view: Any, heard_at: float, not_before: float) -> None:
    """Without a number of its own it polls as soon as the provider allows."""
    assert next_poll(Fixed(), view(heard_at=heard_at, not_before=not_before)) == not_before


@pytest.mark.parametrize(("seconds", "at"), [(0, 155.0), (3.0, 155.0), (5.0, 155.0), (7.5, 157.5), (60, 210.0)])
def test_fixed_may_poll_less_often(seconds: float, at: float, view: Any) -> None:
    """Counted from the last answer, and never faster than the interval of 5 s."""
    assert next_poll(Fixed(seconds), view(heard_at=150.0)) == at
    assert next_poll(Fixed(seconds), view()) == at - 50.0


@pytest.mark.parametrize(
    ("alpha", "heard_at", "gap"),
    [
        (0.05, 100.0, 5.0),
        (0.05, 199.5, 5.0),
        (0.05, 209.5, 5.5),
        (0.05, 999.5, 45.0),
        (1.0, 119.5, 20.0),
        (0.0, 999.5, 5.0),
    ],
)
def test_proportional_waits_a_share_of_the_time_that_has_passed(
    alpha: float, heard_at: float, gap: float, view: Any
) -> None:
    """Counted from the request at 99.5; at least the interval."""
    at = next_poll(Proportional(alpha), view(heard_at=heard_at, earliest_end=1e6))
    assert at is not None
    assert at - heard_at == pytest.approx(gap)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, True, "5"], ids=repr)
def test_numbers_that_cannot_be_are_refused_at_once(value: Any) -> None:
    """Not only when the first login polls."""
    for make in (Fixed, Proportional):
        with pytest.raises(UsageError) as caught:
            make(value)
        assert caught.value.code == "strategy"
    with pytest.raises(UsageError):
        Proportional(None)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("wait", "waits"),
    [
        (tenacity.wait_none(), [5, 5, 5, 5, 5, 5]),
        (tenacity.wait_fixed(7), [7, 7, 7, 7, 7, 7]),
        (tenacity.wait_exponential(), [5, 5, 5, 8, 16, 32]),
        (tenacity.wait_exponential(multiplier=3, max=30), [5, 6, 12, 24, 30, 30]),
        (tenacity.wait_incrementing(start=1, increment=3), [5, 5, 7, 10, 13, 16]),
        (tenacity.wait_fixed(4) + tenacity.wait_incrementing(start=0, increment=2), [5, 6, 8, 10, 12, 14]),
        (tenacity.wait_chain(tenacity.wait_fixed(9), tenacity.wait_fixed(6)), [9, 6, 6, 6, 6, 6]),
        (lambda state: 10 * state.attempt_number, [10, 20, 30, 40, 50, 60]),
    ],
    ids=["none", "fixed", "exponential", "capped", "incrementing", "combined", "chain", "function"],
)
def test_backoff_waits_as_tenacity_would(wait: Any, waits: list[float], view: Any) -> None:
    """After the attempts so far, counted from the last answer and floored by the interval of 5 s."""
    strategy = Backoff(wait)
    for attempt, seconds in enumerate(waits, start=1):
        assert next_poll(strategy, view(heard_at=150.0, attempt=attempt)) == 150.0 + seconds
    # The same again: nothing was kept.
    assert next_poll(strategy, view(heard_at=150.0, attempt=1)) == 150.0 + waits[0]


@pytest.mark.parametrize(
    ("wait", "least", "most"),
    [
        (tenacity.wait_random(6, 9), 6, 9),
        (tenacity.wait_random_exponential(multiplier=10, max=40), 5, 40),
        (tenacity.wait_exponential_jitter(max=20, exp_base=6, jitter=2), 6, 8),
    ],
    ids=["random", "random exponential", "jitter"],
)
def test_backoff_may_draw_lots(wait: Any, least: float, most: float, view: Any) -> None:
    """Random waits work, within their bounds and the floor."""
    random.seed(7)
    gaps = [next_poll(Backoff(wait), view(heard_at=150.0, attempt=2)) - 150.0 for _ in range(50)]  # type: ignore[operator]
    assert least <= min(gaps) < max(gaps) <= most


def test_backoff_survives_many_attempts(view: Any) -> None:
    """Exponents that no float can hold end at the wait's own maximum."""
    strategy = Backoff(tenacity.wait_exponential(max=30))
    assert next_poll(strategy, view(heard_at=150.0, attempt=100_000)) == 180.0


@pytest.mark.parametrize("wait", [None, 5, "exponential", tenacity.wait_fixed], ids=repr)
def test_what_is_no_wait_is_refused_at_once(wait: Any) -> None:
    """A class of waits among them: it could be called, and not with what a wait is called with."""
    with pytest.raises(UsageError) as caught:
        Backoff(wait)
    assert caught.value.code == "strategy"


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1e9])
def test_a_wait_that_is_no_duration_is_noticed(seconds: float, view: Any) -> None:
    """Even behind tenacity's back."""
    with pytest.raises(UsageError) as caught:
        next_poll(Backoff(lambda _: seconds), view())
    assert caught.value.code == "strategy_failed"
