"""Tests of counting what came of a batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import State
from idura_ciba.batch import Result
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.batch.tally import LONGEST, Tally


def result(state: State = State.APPROVED, took: float = 0.0, **members: Any) -> Result:
    """What came of somebody who was asked."""
    return Result(**{"key": "k", "state": state, "asked_at": 1000.0, "ended_at": 1000.0 + took, **members})


def counted(*results: Result) -> Tally:
    """The tally of these."""
    tally = Tally()
    for each in results:
        tally.add(each)
    return tally


def test_nothing_is_known_of_nobody() -> None:
    """No average and no median of nothing."""
    tally = Tally()
    assert (len(tally), tally.requests_each, tally.median()) == (0, None, None)


def test_everything_is_counted() -> None:
    """Requests are one for each login, and its polls."""
    tally = counted(
        result(took=4.2, polls=3, slow_downs=1),
        result(State.DENIED, 4.9, polls=3, code="denied", waited=True),
        result(State.EXPIRED, 120, polls=9, slow_downs=2, code="expired"),
        result(State.FAILED, code="connection"),
        result(State.FAILED, code="connection", waited=True),
    )
    assert len(tally) == 5
    assert tally.states == {"approved": 1, "denied": 1, "expired": 1, "failed": 2}
    assert tally.codes == {"connection": 2}
    assert tally.seconds == {4: 2}
    assert tally.polls == {3: 2, 9: 1, 0: 2}
    assert (tally.asked, tally.requests, tally.slow_downs, tally.waited) == (5, 20, 3, 2)
    assert tally.requests_each == 4.0


def test_a_tally_knows_from_when_to_when_people_were_asked() -> None:
    """In whatever order they ended; those who were not asked have no part in it."""
    tally = counted(
        result(took=50.0), result(took=2.0, asked_at=990.0, ended_at=992.0), result(asked_at=0.0, ended_at=2000.0)
    )
    assert (tally.first_at, tally.last_at) == (990.0, 1050.0)
    assert (Tally().first_at, Tally().last_at) == (None, None)


@pytest.mark.parametrize("instants", [{"asked_at": None}, {"asked_at": 0.0}, {"ended_at": None}], ids=str)
def test_who_was_not_asked_took_no_requests(instants: dict[str, Any]) -> None:
    """They count by their state, and lower no average."""
    tally = counted(result(State.ABANDONED, polls=7, code="person_twice", **instants))
    assert (len(tally), tally.asked, tally.requests, tally.polls, tally.seconds) == (1, 0, 0, {}, {})
    assert tally.codes == {"person_twice": 1}
    assert tally.requests_each is None


def test_an_entry_of_the_journal_counts_as_its_result_does() -> None:
    """The whole batch is counted from there."""
    entry = Entry("k", b"p", Phase.DELIVERED, 1, 1000.0, 0.0, state="denied", code="denied", ended_at=1003.0, polls=2)
    entry.waited, entry.slow_downs = True, 1
    tally = Tally()
    tally.add(entry)
    other = counted(result(State.DENIED, 3.0, code="denied", polls=2, waited=True, slow_downs=1))
    for name in ("states", "codes", "seconds", "asked", "requests", "polls", "slow_downs", "waited"):
        assert getattr(tally, name) == getattr(other, name)


@pytest.mark.parametrize(("took", "second"), [(-5.0, 0), (0.99, 0), (1.0, 1), (5000.0, LONGEST)])
def test_a_clock_that_was_set_spoils_nothing(took: float, second: int) -> None:
    """Answers are between the request and the longest that a prompt lives."""
    assert counted(result(took=took)).seconds == {second: 1}


@pytest.mark.parametrize(
    ("seconds", "expired", "median"),
    [
        ({10: 1}, 0, 10.5),
        ({10: 4}, 0, 10.5),
        ({1: 1, 9: 1}, 0, 2.0),
        ({1: 1, 9: 2}, 0, 9.25),
        ({1: 1, 9: 2}, 1, 9.5),
        ({1: 1, 9: 2}, 3, 10.0),
        ({1: 1, 9: 2}, 4, None),
        ({}, 4, None),
    ],
)
def test_half_have_answered_after_the_median(seconds: dict[int, int], expired: int, median: float | None) -> None:
    """Those count who never do; where half never do, nobody knows it."""
    tally = Tally(seconds=Counter(seconds))
    tally.states[State.EXPIRED] += expired
    assert tally.median() == median


@given(st.lists(st.tuples(st.sampled_from((State.APPROVED, State.DENIED, State.EXPIRED)), st.integers(0, 300))))
def test_the_median_is_within_a_second_of_the_truth(ended: list[tuple[State, int]]) -> None:
    """Though seconds are all that is kept."""
    tally = counted(*(result(state, took) for state, took in ended))
    times = sorted(took for state, took in ended if state is not State.EXPIRED)
    median, place = tally.median(), (len(ended) - 1) // 2
    if not times or 2 * len(times) < len(ended):
        assert median is None
    else:
        assert median is not None
        assert times[place] <= median <= times[place] + 1
