"""Tests of polling where it is worth it."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.polling.final_poll import FinalPoll
from idura_ciba.polling.hazard import (
    MAX_KINDS,
    MAX_PRICE,
    MAX_PRICES,
    ROUND_TRIP,
    HazardAware,
    _delay,
    begun_at,
    last_pending_at,
    log_normal,
    price_for,
)
from idura_ciba.polling.life_table import EDGES, LifeTable, Survival
from idura_ciba.polling.strategy import Indexed, Learning, Poll, PollView, Record, Strategy, next_poll

KEY = ("urn:grn:authn:se:bankid", 120.0)
STEADY = Survival([0.0], [0.05])


def record(pending: float | None, answered: float | None, key: Any = KEY) -> Record:
    """A transaction that began at 1000; times count from there."""
    return Record(
        key=key,
        requested_at=999.9,
        acknowledged_at=1000.1,
        answered=answered is not None,
        last_pending_at=None if pending is None else 1000.0 + pending,
        decided_by_at=None if answered is None else 1000.0 + answered,
    )


def taught(strategy: Any, count: int = 100, median: float = 12.0, key: Any = KEY) -> Any:
    """A strategy that has seen people who take about so long; one in ten never answers."""
    dice = Random(3)
    for _ in range(count):
        took = median * math.exp(0.5 * dice.gauss(0, 1))
        never = dice.random() < 0.1 or took > 119
        strategy.finished(record(119.0, None, key) if never else record(max(0.0, took - 1.5), took + 1.5, key))
    return strategy


def polls(
    strategy: Any, view: Any, interval: float = 3.0, lifetime: float = 120.0, round_trip: float = 0.0
) -> list[float]:
    """Seconds at which somebody is polled who never answers."""
    sent: list[float] = []
    last = None
    while True:
        heard = 1000.0 if last is None else last.received_at
        asked = view(
            heard_at=heard,
            requested_at=1000.0,
            acknowledged_at=1000.0,
            earliest_end=1000.0 + lifetime,
            latest_end=1000.0 + lifetime,
            interval=interval,
            not_before=heard + interval,
            attempt=len(sent) + 1,
            last=last,
            key=(KEY[0], lifetime),
        )
        at = next_poll(strategy, asked)
        if at is None or at >= 1000.0 + lifetime:
            return sent
        sent.append(at - 1000.0)
        last = Poll(at, at + round_trip, "pending")


# --- deciding ---------------------------------------------------------------------------------------------------------


def test_it_is_a_strategy_that_learns_and_has_an_index() -> None:
    """All three, so that any part of the package may ask for them."""
    strategy = HazardAware()
    assert isinstance(strategy, Strategy)
    assert isinstance(strategy, Learning)
    assert isinstance(strategy, Indexed)


@pytest.mark.parametrize("price", [0.05, 0.4, 2.0])
def test_a_poll_is_due_when_an_answer_has_waited_for_the_price(price: float, view: Any) -> None:
    """Counted from the send of the last poll, since that is when the person had certainly not answered."""
    strategy = HazardAware(price=price, known=STEADY, max_gap=1e6)
    asked = view(last=Poll(149.0, 150.0, "pending"), not_before=149.5)
    at = strategy.next_poll(asked)
    gap = at - 149.0
    assert gap - (1 - math.exp(-0.05 * gap)) / 0.05 == pytest.approx(price, abs=1e-5)
    assert strategy.index(asked, at) == pytest.approx(price, abs=1e-5)
    assert strategy.due(asked, price) == pytest.approx(at, abs=1e-5)


def test_before_the_first_poll_it_counts_from_when_the_provider_began(view: Any) -> None:
    """Between the request at 99.5 and its acknowledgement at 100."""
    at = HazardAware(price=0.4, known=STEADY).next_poll(view())
    assert at - 99.75 == pytest.approx(STEADY.crossing(0.0, 0.4))


@pytest.mark.parametrize("outcome", ["slow_down", "unanswered"])
def test_after_a_poll_without_news_the_floor_decides(outcome: Any, view: Any) -> None:
    """An answer may have been hidden behind it; for an index the news is an interval older."""
    strategy = HazardAware(price=0.4, known=STEADY)
    asked = view(heard_at=150.0, last=Poll(149.9, 150.0, outcome), not_before=161.0)
    assert strategy.next_poll(asked) == 161.0
    assert last_pending_at(asked) == pytest.approx(144.9)
    assert strategy.index(asked, 150.0) == pytest.approx(STEADY.unseen(0, 5.1))
    assert strategy.due(asked, 0.4) == pytest.approx(144.9 + STEADY.crossing(0.0, 0.4))


def test_a_provider_that_holds_polls_is_asked_again_at_once(view: Any) -> None:
    """It will answer as soon as there is an answer, so to be connected is all."""
    strategy = HazardAware(price=1.0, known=Survival([0.0], [0.0]))
    asked = view(last=Poll(143.0, 150.0, "pending"), not_before=150.0)
    assert strategy.next_poll(asked) == 150.0
    assert strategy.next_poll(evolve(asked, last=Poll(146.0, 150.0, "pending"))) == 161.0


@pytest.mark.parametrize(
    ("max_gap", "latest_end", "gap"),
    [(None, 280.0, 15.0), (None, 280.6, 30.0), (None, 1000.0, 30.0), (7, 280.0, 7.0), (0, 280.0, 5.1)],
)
def test_no_gap_is_longer_than_that(max_gap: float | None, latest_end: float, gap: float, view: Any) -> None:
    """Not even where nobody is expected to answer; the floor still holds."""
    strategy = HazardAware(price=1.0, known=Survival([0.0], [0.0]), max_gap=max_gap)
    asked = view(heard_at=150.0, latest_end=latest_end)
    assert next_poll(strategy, asked) == pytest.approx(149.9 + gap)
    assert strategy.due(asked, 1.0) == math.inf


def test_polls_fall_where_answers_are_likely(view: Any) -> None:
    """Rarely at first and at the end, at the floor in between."""
    sent = polls(HazardAware(known=Survival.from_cdf(lambda at: 0.8 * log_normal(18, 0.3, at))), view)
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert sent[0] > 8
    assert gaps[1] == pytest.approx(3.0)
    assert gaps[-1] == pytest.approx(15.0)


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, True, "1"], ids=repr)
@pytest.mark.parametrize("name", ["slack", "price", "max_gap"])
def test_numbers_that_cannot_be_are_refused_at_once(name: str, wrong: Any) -> None:
    """Not only when the first login polls."""
    with pytest.raises(UsageError) as caught:
        HazardAware(**{name: wrong})
    assert caught.value.what == f"{name} must be a finite number of at least 0"


def test_a_prior_that_is_none_is_refused_at_once() -> None:
    """As the tables of other processes are."""
    with pytest.raises(UsageError, match="not a life table"):
        HazardAware(prior=LifeTable(1.0, [2.0] * len(EDGES)))
    with pytest.raises(UsageError):
        HazardAware(slack=None)  # type: ignore[arg-type]  # that is the point


# --- the price --------------------------------------------------------------------------------------------------------

DISTRIBUTIONS = {
    "quick": Survival.from_cdf(lambda at: 0.95 * log_normal(12, 0.5, at)),
    "slow": Survival.from_cdf(lambda at: 0.7 * log_normal(25, 0.7, at)),
    "heavy": Survival.from_cdf(lambda at: 0.85 * (0.7 * log_normal(12, 0.5, at) + 0.3 * log_normal(60, 1.0, at))),
    "steady": STEADY,
}


@pytest.mark.parametrize("curve", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize(("interval", "lifetime"), [(2.0, 120.0), (5.0, 120.0), (5.0, 30.0), (3.0, 900.0)])
@pytest.mark.parametrize("slack", [0.05, 0.10, 0.5])
def test_the_price_keeps_to_the_slack(
    curve: Survival, interval: float, lifetime: float, slack: float, view: Any
) -> None:
    """Answers are heard of later by just that share, on average, summed up here from the schedule itself."""

    def delay(strategy: HazardAware) -> float:
        sent = [0.0, *polls(FinalPoll(strategy), view, interval, lifetime, ROUND_TRIP)]
        way = (1 - curve.pending(lifetime)) * ROUND_TRIP / 2
        return way + sum(curve.pending(one) * curve.unseen(one, other) for one, other in pairwise(sent))

    later = delay(HazardAware(slack, known=curve, max_gap=30)) / delay(HazardAware(price=0, known=curve, max_gap=30))
    assert later <= 1 + slack + 0.03
    assert later >= 1 + 0.6 * slack or lifetime == 30  # where a poll more or less is a third of them


def test_the_last_gap_takes_in_what_is_too_short_for_a_poll() -> None:
    """As `FinalPoll` does: at 10.24 s of 12 there is none, so what comes after 5.12 s is heard of at the end."""
    expected = STEADY.unseen(0.0, 5.12) + STEADY.pending(5.12) * STEADY.unseen(5.12, 12.0)
    assert _delay(STEADY, 0.0, 5.12, 12.0, 0.0) == pytest.approx(expected)


def test_more_slack_means_fewer_polls(view: Any) -> None:
    """And none means all of them."""
    counts = [len(polls(HazardAware(slack), view)) for slack in (0.0, 0.05, 0.1, 0.3, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] >= 36
    assert counts[-1] < counts[1] < counts[0]


def test_where_nobody_ever_answers_any_price_will_do() -> None:
    """The highest is taken; the longest gap bounds what it does."""
    assert price_for(Survival([0.0], [0.0]), 0.1, interval=3.0, lifetime=120.0, max_gap=15.0) == MAX_PRICE


def test_the_price_is_found_once_and_not_at_each_poll(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs milliseconds: near lifetimes share one, and intervals that grow do not cost without end."""
    calls: list[Any] = []
    monkeypatch.setattr(
        "idura_ciba.polling.hazard.price_for", lambda *args, **kwargs: calls.append((args, kwargs)) or 0.1
    )
    strategy = HazardAware()
    for heard_at in range(105, 205, 5):
        strategy.next_poll(view(heard_at=heard_at))
        strategy.next_poll(view(heard_at=heard_at, latest_end=220.01))
    assert len(calls) == 1
    for interval in range(1, 200):
        strategy.next_poll(view(heard_at=150.0, interval=float(interval)))
    assert len(calls) == MAX_PRICES


@pytest.mark.unmeasured
@given(
    st.floats(0, 1e6),
    st.floats(0, 30),
    st.floats(0, 2000),
    st.floats(0, 100),
    st.floats(0.1, 1000),
    st.floats(0.01, 1e5),
    st.floats(0, 50),
)
def test_nothing_is_ever_no_number(
    view: Any,
    began: float,
    taken: float,
    passed: float,
    way: float,
    interval: float,
    lifetime: float,
    price: float,
) -> None:
    """However odd the moment; and decisions never lie in the past of the last poll."""
    heard = began + taken + passed + way
    asked = view(
        requested_at=began,
        acknowledged_at=began + taken,
        earliest_end=began + lifetime,
        latest_end=began + taken + lifetime,
        interval=interval,
        last=Poll(began + taken + passed, heard, "pending"),
        now=heard,
        not_before=heard + interval,
    )
    strategy = HazardAware(price=price)
    at = strategy.next_poll(asked)
    assert math.isfinite(at)
    assert at >= asked.last.sent_at - 1e-6
    assert strategy.index(asked, heard + 10) >= 0
    assert strategy.due(asked, 1.0) >= asked.last.sent_at - 1e-6


# --- learning ---------------------------------------------------------------------------------------------------------


def test_it_learns_when_people_answer(view: Any) -> None:
    """From polls that only tell before and after; it then polls less and asks first when somebody may have answered."""
    before, after = polls(HazardAware(), view), polls(taught(HazardAware(), 300), view)
    assert len(after) < len(before)
    assert after[0] > before[0]


def test_kinds_are_kept_apart(view: Any) -> None:
    """What is learned of one kind changes no decision about another."""
    strategy = taught(HazardAware(), key=("urn:grn:authn:no:bankid", 900.0))
    assert polls(strategy, view) == polls(HazardAware(), view)
    assert polls(taught(strategy), view) == polls(taught(HazardAware()), view)


def test_decisions_change_only_once_in_many_transactions(view: Any) -> None:
    """A decision can be replayed from what was exported."""
    strategy = HazardAware()
    before = polls(strategy, view)
    taught(strategy, 19)
    assert polls(strategy, view) == before
    taught(strategy, 1)
    assert polls(strategy, view) != before


def test_a_change_is_noticed(view: Any) -> None:
    """After a few half-lives it polls like one that has never seen anything else."""
    changed = polls(taught(taught(HazardAware(price=0.3), 1000, 12.0), 2000, 40.0), view)
    assert changed[0] == pytest.approx(polls(taught(HazardAware(price=0.3), 2000, 40.0), view)[0], rel=0.15)
    assert changed[0] > 1.4 * polls(taught(HazardAware(price=0.3), 1000, 12.0), view)[0]


def test_what_is_known_is_not_learned(view: Any) -> None:
    """A certain distribution stays as it is."""
    strategy = HazardAware(known=STEADY)
    before = polls(strategy, view)
    assert polls(taught(strategy, 200), view) == before
    assert strategy.export()["tables"] == []


def test_a_history_of_ones_own_may_be_the_prior(view: Any) -> None:
    """It is believed from the first login on, and outweighed like any other."""
    own = LifeTable.of([30.0 + nth / 10 for nth in range(200)], [120.0] * 20)
    assert polls(HazardAware(prior=own), view)[0] == pytest.approx(15.0)  # the longest gap
    assert polls(HazardAware(), view)[0] < 5


@pytest.mark.parametrize("answered", [None, 40.0])
def test_a_login_without_a_poll_tells_what_it_can(answered: float | None) -> None:
    """None that was pending: from the beginning on; and one that ended unasked tells nothing."""
    strategy = HazardAware()
    strategy.finished(record(None, answered))
    (table,) = strategy.export()["tables"]
    assert sum(table["events"]) == pytest.approx(float(answered is not None))
    assert 0 <= sum(table["exposure"]) <= (answered or 0)


def test_an_answer_that_is_none_counts_as_an_end() -> None:
    """A transaction that failed by a poll was pending until then, and was not decided."""
    strategy = HazardAware()
    strategy.finished(evolve(record(20.0, 25.0), answered=False))
    (table,) = strategy.export()["tables"]
    assert sum(table["events"]) == 0
    assert sum(table["exposure"]) == pytest.approx(20)


@pytest.mark.unmeasured
@given(st.lists(st.tuples(st.floats(-10, 1e4), st.none() | st.floats(-10, 1e4), st.integers(0, 200)), max_size=60))
def test_state_is_bounded_and_decisions_are_finite_whatever_ends(ends: list[Any]) -> None:
    """Also for instants that contradict each other, and for any number of kinds."""
    strategy = HazardAware(price=0.2)
    for pending, answered, kind in ends:
        strategy.finished(record(pending, answered, kind))
    for kind in range(3 * MAX_KINDS):
        strategy.finished(record(5.0, 8.0, kind))
    exported = strategy.export()
    assert len(exported["tables"]) == MAX_KINDS
    assert len(json.dumps(exported)) < 2000 * MAX_KINDS


def test_conclusions_are_forgotten_with_what_they_were_drawn_from(view: Any) -> None:
    """A kind that had to make room is one that nobody has heard of."""
    strategy = taught(HazardAware(price=0.3))
    for kind in range(2 * MAX_KINDS):
        taught(strategy, 20, key=kind)
    assert len(strategy._fitted) <= MAX_KINDS
    assert polls(strategy, view) == polls(HazardAware(price=0.3), view)


def test_learning_goes_on_in_another_process(view: Any) -> None:
    """One that takes over decides as the one before it would have, and several learn as one."""
    first = taught(HazardAware(), 100)
    second = HazardAware()
    second.merge(json.loads(json.dumps(first.export())))
    assert polls(second, view) == polls(first, view)
    beside = HazardAware()
    beside.consult([first.export()])
    assert polls(beside, view) == polls(first, view)
    assert beside.export()["tables"] == []
    beside.consult([])
    assert polls(beside, view) == polls(HazardAware(), view)


@pytest.mark.parametrize("method", ["merge", "consult"])
def test_what_is_no_export_is_refused(method: str, view: Any) -> None:
    """And nothing has changed."""
    strategy = taught(HazardAware())
    before = polls(strategy, view)
    with pytest.raises(UsageError):
        getattr(strategy, method)([{"version": 2}] if method == "consult" else {"version": 2})
    assert polls(strategy, view) == before


def test_the_beginning_is_halfway_between_request_and_acknowledgement(view: Any) -> None:
    """Of views and of records alike, so that what is learned is what is asked for."""
    assert begun_at(view()) == 99.75
    assert begun_at(record(None, None)) == 1000.0
    assert isinstance(view(), PollView)
