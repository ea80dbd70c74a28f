"""Tests of how many requests may leave, and of what refusals teach."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.scheduling.budget import CUT, FEW, LONGEST_BACKOFF, RUN, Budget

RATES = st.one_of(st.integers(1, 40).map(float), st.floats(0.2, 40.0))


def send_all(budget: Budget, wishes: list[float]) -> list[float]:
    """When requests leave that wish to at these rising instants, in their order."""
    left: list[float] = []
    now, queued = -math.inf, False
    for wish in wishes:
        if wish > now:
            queued = False
        at = max(now, wish)
        ready_at = budget.ready_at(queued=queued)
        if ready_at > at:
            # Who waits has spacing, too; asked again, as whoever wakes does.
            queued = True
            at = max(at, budget.ready_at(queued=True))
        budget.take(at, queued=queued)
        left.append(at)
        now = at
    return left


@pytest.mark.parametrize("rate", [0, -1.0, math.inf, math.nan])
def test_a_rate_is_a_positive_number(rate: float) -> None:
    """Everything else is a slip."""
    with pytest.raises(UsageError):
        Budget(rate)


# --- the agreed rate --------------------------------------------------------------------------------------------------


@given(rate=RATES, steps=st.lists(st.one_of(st.just(0.0), st.floats(0.0, 0.3)), max_size=200))
def test_in_no_second_leave_more_than_agreed(rate: float, steps: list[float]) -> None:
    """However they come; a fraction is rounded down, and below one it is the distance that counts."""
    left = send_all(Budget(rate), list(itertools.accumulate(steps, initial=100.0)))
    most, window = max(1, math.floor(rate)), max(1.0, 1 / rate)
    for first, following in zip(left, left[most:], strict=False):
        assert following >= first + window


@given(rate=st.integers(1, 40), steps=st.lists(st.one_of(st.just(0.0), st.floats(0.0, 0.3)), max_size=200))
def test_whoever_stays_below_the_rate_is_not_held_back(rate: int, steps: list[float]) -> None:
    """Not for a moment, though all come at once at times."""
    wishes: list[float] = []
    for wish in itertools.accumulate(steps, initial=100.0):
        if len(wishes) < rate or wish >= wishes[-rate] + 1.0:
            wishes.append(wish)
    assert send_all(Budget(rate), wishes) == wishes


@given(rate=st.integers(1, 60))
def test_all_of_the_rate_can_be_used(rate: int) -> None:
    """Where there is always somebody waiting, `rate` leave in each second."""
    left = send_all(Budget(rate), [100.0] * (10 * rate))
    for second in range(10):
        assert sum(100.0 + second - 1e-9 <= at < 101.0 + second - 1e-9 for at in left) == rate


def test_those_who_wait_leave_evenly_spaced() -> None:
    """The first second may come as it comes; from then on no two leave together."""
    left = send_all(Budget(20), [0.0] * 100)
    assert left[:20] == [0.0] * 20
    gaps = [later - earlier for earlier, later in itertools.pairwise(left[40:])]
    assert min(gaps) == pytest.approx(0.05)
    assert max(gaps) == pytest.approx(0.05)


def test_a_late_timer_costs_nothing() -> None:
    """Those who wait catch up: a loop that wakes 30 ms late each time still sends nearly all it may."""
    budget, left, now = Budget(100), [], 0.0
    while now < 20.0:
        while (ready_at := budget.ready_at(queued=True)) <= now:
            budget.take(now, queued=True)
            left.append(now)
        now = max(now, ready_at) + 0.03
    assert len(left) >= 0.95 * 100 * 20


def test_a_stall_is_not_made_up_for() -> None:
    """Those who wait do not all leave together after it."""
    budget = Budget(100)
    send_all(budget, [0.0] * 150)
    together = 0
    while budget.ready_at(queued=True) <= 3.0:
        budget.take(3.0, queued=True)
        together += 1
    assert together <= 6


CHANGES = st.lists(st.tuples(st.one_of(st.none(), RATES), st.integers(1, 30)), min_size=1, max_size=8)


@given(changes=CHANGES, pause=st.sampled_from([0.0, 0.01, 0.4]))
def test_a_changed_rate_holds_from_then_on(changes: list[tuple[float | None, int]], pause: float) -> None:
    """Each that leaves has no more before it, within the second, than the rate of that moment allows."""
    budget, now, left = Budget(), 100.0, list[float]()
    for rate, number in changes:
        budget.change(rate)
        assert budget.rate == (math.inf if rate is None else rate)
        for _ in range(number):
            now = max(now + pause, budget.ready_at(queued=True))
            budget.take(now, queued=True)
            left.append(now)
            if rate is not None:
                most, window = max(1, math.floor(rate)), max(1.0, 1 / rate)
                assert sum(at > now - window + 1e-9 for at in left) <= most


def test_a_higher_rate_is_used_at_once() -> None:
    """Whoever waited for a low one need not wait until its distance is over."""
    budget = Budget(0.1)
    budget.take(100.0, queued=True)
    assert budget.ready_at(queued=True) == pytest.approx(110.0)
    budget.change(10)
    assert budget.ready_at(queued=True) == pytest.approx(100.1)
    budget.change(None)
    assert budget.ready_at(queued=True) <= 100.0


def test_what_was_learned_outlives_a_change() -> None:
    """A higher rate is no answer of the provider; a lower one counts."""
    budget = Budget(100)
    for nth in range(60):
        budget.take(100 + nth / 60, queued=False)
        budget.was_refused(101.0, sent_at=100 + nth / 60) if nth % 2 else budget.answered(101.0, sent_at=100 + nth / 60)
    learned = budget.allowed
    assert learned < 100
    budget.change(500)
    assert (budget.rate, budget.allowed) == (500, learned)
    budget.change(5)
    assert (budget.rate, budget.allowed) == (5, 5)
    budget.change(50)
    assert budget.allowed == 50


@pytest.mark.parametrize("rate", [0, -1.0, math.inf, math.nan, "5"])
def test_a_change_to_no_rate_changes_nothing(rate: float) -> None:
    """As when it is made."""
    budget = Budget(7)
    with pytest.raises(UsageError):
        budget.change(rate)
    assert (budget.rate, budget.allowed) == (7, 7)


def test_without_a_rate_nothing_is_held_back() -> None:
    """Until the provider has said something."""
    budget = Budget()
    assert (budget.rate, budget.allowed) == (math.inf, math.inf)
    assert send_all(budget, [0.0] * 10_000) == [0.0] * 10_000


# --- refusals ---------------------------------------------------------------------------------------------------------


def answer(budget: Budget, begin: float, end: float, rate: float) -> None:
    """So many answers a second."""
    for nth in range(round((end - begin) * rate)):
        at = begin + nth / rate
        budget.answered(at, sent_at=at - 0.1)


def refuse(budget: Budget, now: float, *, count: int = RUN) -> None:
    """So many refusals at once, enough for a cut."""
    for _ in range(count):
        budget.was_refused(now, sent_at=now - 0.1)


def test_refusals_cut_to_what_was_answered() -> None:
    """Less a bit; the seconds before count as far as they were better."""
    budget = Budget(200)
    answer(budget, 0.0, 10.0, 120.0)
    refuse(budget, 10.0, count=8)
    assert budget.allowed == pytest.approx(CUT * 120.0, rel=0.01)
    assert budget.refused == 8


def test_what_was_answered_is_looked_at_before_the_refusals_began() -> None:
    """Where few come back, the seconds until they can be believed would make the cut deeper than it has to be."""
    budget = Budget(200)
    answer(budget, 0.0, 10.0, 120.0)
    for nth in range(8):
        budget.was_refused(10.0 + nth / 2, sent_at=9.95 + nth / 2)
    assert budget.allowed == pytest.approx(CUT * 120.0, rel=0.01)


def test_few_refusals_concern_only_their_own_login() -> None:
    """Neither the rate nor the others: one in a hundred is no limit, whatever `Retry-After` it names."""
    budget = Budget(200)
    for nth in range(20):
        answer(budget, nth, nth + 0.98, 100.0)
        budget.was_refused(nth + 0.99, sent_at=nth + 0.9, retry_after=30.0)
    assert (budget.allowed, budget.ready_at(queued=False)) == (200.0, -math.inf)
    assert budget.refused == 20


@pytest.mark.parametrize(
    ("answers", "refusals", "stops"), [(500, 5, False), (500, 6, True), (5, 1, True), (0, 1, True)]
)
def test_a_tenth_of_what_comes_back_concerns_all(answers: int, refusals: int, stops: bool) -> None:
    """Of the last fifty: whoever sends little believes the first one, and whoever sends much the sixth in a row."""
    budget = Budget(200)
    answer(budget, 0.0, 10.0, answers / 10)
    for _ in range(refusals):
        budget.was_refused(10.0, sent_at=9.9, retry_after=30.0)
    assert budget.ready_at(queued=False) == (40.0 if stops else -math.inf)


def test_what_is_refused_as_usual_concerns_nobody_else() -> None:
    """It takes a share of three times the usual, and a tenth of all beside."""
    budget, dice = Budget(200), Random(3)
    answer(budget, -1.0, 0.0, 100.0)
    for nth in range(5000):
        now = nth / 100
        if dice.random() < 0.05:
            budget.was_refused(now, sent_at=now - 0.1, retry_after=30.0)
        else:
            budget.answered(now, sent_at=now - 0.1)
    assert budget.ready_at(queued=False) == -math.inf
    for _ in range(12):
        budget.was_refused(50.0, sent_at=49.9, retry_after=30.0)
    assert budget.ready_at(queued=False) == 80.0


@pytest.mark.unmeasured
@pytest.mark.parametrize("share", [0.03, 0.05, 0.1])
@pytest.mark.parametrize("demand", [1.0, 5.0, 50.0, 200.0])
def test_accidents_do_not_starve_anybody(demand: float, share: float) -> None:
    """Requests that are refused by the dice, however few there are, say nothing about the rate for long."""
    budget, dice, back = Budget(), Random(7), deque[float]()
    now, queued, waited = 0.0, False, 0.0
    for nth in range(round(300 * demand)):
        wish = nth / demand
        queued = queued and wish <= now
        now = max(now, wish)
        if (ready_at := budget.ready_at(queued=queued)) > now:
            queued = True
            now = max(now, ready_at, budget.ready_at(queued=True))
        while back and back[0] + 0.1 <= now:
            sent_at = back.popleft()
            told = budget.was_refused if dice.random() < share else budget.answered
            told(sent_at + 0.1, sent_at=sent_at)
        budget.take(now, queued=queued)
        back.append(now)
        waited += now - wish
    assert waited / (300 * demand) < (0.02 if share < 0.1 else 10.0)
    assert budget.allowed >= demand


def test_a_cut_takes_no_more_than_half() -> None:
    """The time before may have been quiet."""
    budget = Budget(200)
    answer(budget, 0.0, 10.0, 10.0)
    refuse(budget, 10.0, count=8)
    assert budget.allowed == 100.0


def test_refusals_of_one_second_are_one() -> None:
    """Also one that arrives later, of a request that left before the cut."""
    budget = Budget(200)
    answer(budget, 0.0, 10.0, 10.0)
    for nth in range(50):
        refuse(budget, 10.0 + nth / 60, count=1)
    budget.was_refused(40.0, sent_at=9.99)
    assert budget.allowed == 100.0
    answer(budget, 11.0, 12.0, 10.0)
    refuse(budget, 12.0)
    assert budget.allowed == 50.0


def test_without_a_rate_the_first_refusal_names_one() -> None:
    """By what has left and was answered in the last second, and no fewer than a few."""
    budget = Budget()
    send_all(budget, [nth / 50 for nth in range(500)])
    answer(budget, 0.0, 10.0, 50.0)
    refuse(budget, 10.0, count=8)
    assert budget.allowed == pytest.approx(CUT * 50.0, rel=0.02)
    quiet = Budget()
    quiet.take(9.5, queued=False)
    answer(quiet, 5.0, 10.0, 1.0)
    refuse(quiet, 10.0)
    assert quiet.allowed == 0.5 * FEW


def test_an_outage_teaches_nothing_about_numbers() -> None:
    """Where nothing is answered at all requests back off, and afterwards the rate is what it was."""
    budget = Budget(200)
    for nth in range(600):
        now = 20.0 + nth * 0.1
        if budget.ready_at(queued=True) <= now:
            budget.take(now, queued=True)
            budget.was_refused(now, sent_at=now)
    assert budget.allowed == 200.0


def test_backoff_follows_refusals_without_an_answer_and_doubles() -> None:
    """A second, two, four; an answer ends it, and few refusals are no reason."""
    budget = Budget(100)
    now, pauses = 20.0, []
    for _ in range(12):
        before = budget.ready_at(queued=False)
        for _ in range(FEW):
            budget.was_refused(now, sent_at=now)
        after = budget.ready_at(queued=False)
        if after > before:
            pauses.append(after - now)
        now = max(now + 1.0, after)
    assert pauses[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert set(pauses[6:]) == {LONGEST_BACKOFF}
    budget.answered(now, sent_at=now)
    for _ in range(FEW - 1):
        budget.was_refused(now + 2.0, sent_at=now + 2.0)
        assert budget.ready_at(queued=False) <= now + 2.0


@pytest.mark.parametrize(("retry_after", "seconds"), [(0.0, 0.0), (7.5, 7.5), (1e9, LONGEST_BACKOFF)])
def test_retry_after_stops_all_requests(retry_after: float, seconds: float) -> None:
    """With or without a rate, of an old request too, and never for longer than a minute."""
    for budget in (Budget(), Budget(5)):
        budget.was_refused(10.0, sent_at=-5.0, retry_after=retry_after)
        budget.was_refused(10.5, sent_at=-5.0, retry_after=0.0)
        assert budget.ready_at(queued=False) == max(10.5, 10.0 + seconds)


def test_the_rate_grows_back_while_somebody_waits() -> None:
    """By 1 % a second, after a while by 10 %, to what was agreed and no further."""
    budget = Budget(100)
    answer(budget, 0.0, 10.0, 50.0)
    refuse(budget, 10.0, count=8)
    assert budget.allowed == pytest.approx(50.0)
    now, seen = 10.0, {}
    while now < 60.0:
        now = max(now, budget.ready_at(queued=True))
        budget.take(now, queued=True)
        seen[math.floor(now)] = budget.allowed
    assert seen[25] == pytest.approx(50.0 * math.exp(0.15), rel=0.02)
    assert seen[35] == pytest.approx(50.0 * math.exp(0.2 + 0.5), rel=0.1)
    assert seen[59] == 100.0


def test_a_rate_that_nobody_used_does_not_grow() -> None:
    """It was not tried out."""
    budget = Budget(100)
    answer(budget, 0.0, 10.0, 50.0)
    refuse(budget, 10.0, count=8)
    send_all(budget, [20.0 + nth for nth in range(100)])
    assert budget.allowed == pytest.approx(50.0)


def test_another_clock_changes_nothing_that_was_learned() -> None:
    """Instants of the old one mean nothing any more; the rate does."""
    budget = Budget(100)
    answer(budget, 1000.0, 1010.0, 50.0)
    send_all(budget, [1010.0] * 100)
    budget.was_refused(1010.0, sent_at=1009.0, retry_after=30.0)
    allowed = budget.allowed
    budget.restart()
    assert budget.allowed == allowed
    assert send_all(budget, [1.0] * 50) == [1.0] * 50


# --- with a provider --------------------------------------------------------------------------------------------------


def goodput(
    limit: float, window: float, *, counts_refused: bool, demand: Callable[[float], float], seconds: int
) -> list[float]:
    """Answered requests in each second, as a share of the limit, where the client knows of none.

    The provider refuses what comes when `limit * window` have come in the last `window` seconds.
    """
    budget, dice = Budget(), Random(1)
    answered = [0] * (seconds + 1)
    recent = deque[float]()
    events: list[tuple[float, int, float, bool | None]] = [(0.0, 0, 0.0, None)]
    now, waiting, wake, queued, numbers = 0.0, 0, math.inf, False, itertools.count(1)
    while now < seconds:
        if wake < events[0][0]:
            now, wake = wake, math.inf
        else:
            now, _, sent_at, accepted = heapq.heappop(events)
            if accepted is None:
                waiting = min(waiting + 1, 10_000)
                heapq.heappush(events, (now + 1 / demand(now), next(numbers), 0.0, None))
            elif accepted:
                budget.answered(now, sent_at=sent_at)
            else:
                budget.was_refused(now, sent_at=sent_at)
        wake = math.inf
        while waiting:
            if (ready_at := budget.ready_at(queued=queued)) > now:
                queued, wake = True, ready_at
                break
            budget.take(now, queued=queued)
            waiting -= 1
            while recent and recent[0] <= now - window:
                recent.popleft()
            accepted = len(recent) < limit * window
            if accepted or counts_refused:
                recent.append(now)
            answered[math.floor(now)] += accepted
            heapq.heappush(events, (now + 0.12 * dice.lognormvariate(0.0, 0.3), next(numbers), now, accepted))
        else:
            queued = False
    return [count / limit for count in answered[:seconds]]


@pytest.mark.parametrize("counts_refused", [False, True])
@pytest.mark.parametrize("window", [1.0, 10.0])
@pytest.mark.parametrize("load", [2.0, 10.0])
def test_half_a_minute_teaches_what_a_provider_allows(window: float, load: float, counts_refused: bool) -> None:
    """From nothing known, at once and far above the limit: nine tenths of it are used then, and stay so."""
    shares = goodput(60.0, window, counts_refused=counts_refused, demand=lambda _: 60.0 * load, seconds=120)
    assert sum(shares[30:60]) / 30 >= 0.9
    assert sum(shares[60:120]) / 60 >= 0.9


def test_a_limit_that_falls_is_learned_again() -> None:
    """Twice the load from one moment to the next, while the budget was still growing."""
    shares = goodput(60.0, 10.0, counts_refused=True, demand=lambda now: 50.0 if now < 60 else 120.0, seconds=150)
    assert sum(shares[90:150]) / 60 >= 0.9
