"""Tests of how long people take: counting and reading."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.polling.life_table import EDGES, LEAST_SURVIVAL, TOLERANCE, LifeTable, Survival

# --- curves -----------------------------------------------------------------------------------------------------------

_rates = st.sampled_from([0.0, 1e-12, 1e-4, 0.5, 50.0]) | st.floats(0, 2)


@st.composite
def curves(draw: st.DrawFn) -> Survival:
    """Any curve: bins of any width, hazards from none to certain."""
    widths = draw(st.lists(st.floats(0.01, 50), min_size=0, max_size=12))
    edges = [0.0]
    for width in widths:
        edges.append(edges[-1] + width)
    return Survival(edges, draw(st.lists(_rates, min_size=len(edges), max_size=len(edges))))


def sampled_unseen(curve: Survival, since: float, at: float, steps: int) -> float:
    """The definition: the integral of the probability that there is an answer by then, given none at `since`."""
    width = (at - since) / steps
    middles = (since + (nth + 0.5) * width for nth in range(steps))
    return sum(1 - curve.pending(middle) / curve.pending(since) for middle in middles) * width


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.1, 3.0])
def test_a_constant_hazard_is_read_as_its_formula_says(rate: float) -> None:
    """Whether it is cut into bins or not."""
    for curve in (Survival([0.0], [rate]), Survival([0.0, 1.0, 4.0], [rate] * 3)):
        for at in (0.0, 0.5, 1.0, 3.0, 5.0):
            assert curve.pending(at) == pytest.approx(math.exp(-rate * at))
            since = 2.0
            gap = max(0.0, at - since)
            expected = gap - (1 - math.exp(-rate * gap)) / rate if rate else 0.0
            assert curve.unseen(since, at) == pytest.approx(expected, abs=1e-12)


@pytest.mark.unmeasured
@given(curves(), st.floats(0, 100), st.floats(0.01, 60))
def test_unseen_is_what_it_is_defined_as(curve: Survival, since: float, gap: float) -> None:
    """Seconds that an answer has waited, in expectation, given that there was none before."""
    assume(curve.pending(since) > 1e-12)  # below it the definition is rounding
    sampled = sampled_unseen(curve, since, since + gap, 2000)
    assert curve.unseen(since, since + gap) == pytest.approx(sampled, abs=2e-3 * gap + 1e-6)


@pytest.mark.unmeasured
@given(curves(), st.floats(0, 100), st.lists(st.floats(0, 200), min_size=2, max_size=10))
def test_unseen_rises_and_never_faster_than_time(curve: Survival, since: float, gaps: list[float]) -> None:
    """Its slope is a probability; it begins at nothing."""
    assert curve.unseen(since, since) == 0.0
    assert curve.unseen(since, since - 1.0) == 0.0
    for one, other in pairwise(sorted(gaps)):
        rise = curve.unseen(since, since + other) - curve.unseen(since, since + one)
        assert -1e-9 <= rise <= other - one + 1e-9


def test_who_is_hardly_left_waits_as_long_as_anybody() -> None:
    """Where one in 10^9 is pending and none of them will answer, nothing waits unseen; not even by rounding."""
    edges = [0.0, 1.0, 2.0, 15.0, 36.0, 86.0, 86.5, 87.5, 88.5, 89.5, 90.5, 91.5, 99.5]
    curve = Survival(edges, [0.0] * 3 + [0.9868221827117338] + [0.0] * 9)
    for gap in (2.0, 6.0, 15.0, 3000.0):
        assert curve.unseen(85.0, 85.0 + gap) == pytest.approx(0.0, abs=1e-11)


@pytest.mark.unmeasured
@given(curves(), st.floats(0, 100), st.floats(1e-4, 50))
def test_crossing_is_the_inverse_of_unseen(curve: Survival, since: float, price: float) -> None:
    """At that instant the price is reached, and a moment before it is not; where it never is, there is none."""
    at = curve.crossing(since, price)
    assert at >= since
    if math.isinf(at):
        # Where less than `TOLERANCE` of them will ever answer, nobody is expected to.
        assert curve.unseen(since, since + EDGES[-1]) < price + TOLERANCE * EDGES[-1]
        return
    assert curve.unseen(since, at) == pytest.approx(price, abs=1e-5)
    assert curve.unseen(since, at - 0.01) <= price + 1e-6


#: Nobody is left to answer, and the edges are such that their areas do not cancel to the last bit.
HOPELESS = Survival(
    [0.0, 1.1, 2.09999, 27.298547132685037, 28.298537132685038, 57.83667624301653, 58.33667624301653, 81.0916338618193],
    [18.83933257904219, *[0.0] * 7],
)


def test_rounding_is_no_answer() -> None:
    """However small the price: where nobody will ever answer it is never reached."""
    for price in (5e-324, 3.191963393000877e-292, 1e-12, 1e-3):
        assert HOPELESS.crossing(32.83070871108107, price) == math.inf
        assert HOPELESS.crossing(32.83070871108107, price, 86.0) == 86.0


@pytest.mark.unmeasured
@given(curves(), st.floats(0, 100), st.floats(0, 50), st.floats(0, 60))
def test_crossing_can_be_bounded(curve: Survival, since: float, price: float, gap: float) -> None:
    """The bound changes nothing but what is beyond it."""
    assert curve.crossing(since, price, since + gap) == pytest.approx(
        min(since + gap, curve.crossing(since, price)), abs=1e-5
    )


@pytest.mark.unmeasured
@given(curves(), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e4))
def test_nothing_is_ever_no_number(curve: Survival, since: float, gap: float, price: float) -> None:
    """However certain or hopeless the answer is."""
    values = [curve.pending(since), curve.unseen(since, since + gap), curve.crossing(since, price)]
    assert not any(math.isnan(value) for value in values)
    assert 0 <= values[0] <= 1


def test_a_price_of_nothing_is_reached_at_once() -> None:
    """Also where nobody ever answers."""
    assert Survival([0.0], [0.0]).crossing(7.0, 0.0) == 7.0


def test_who_is_left_when_all_have_answered_never_does() -> None:
    """A curve that ends leaves no division by nothing."""
    curve = Survival.from_cdf(lambda at: min(1.0, at / 10), [0.0, 5.0, 10.0, 15.0])
    assert curve.pending(4.0) == pytest.approx(0.5 ** (4 / 5))
    assert curve.crossing(12.0, 0.1) == math.inf
    steep = Survival([0.0, 1.0, 2.0], [15.0, 15.0, 15.0])
    assert steep.pending(2.0) == pytest.approx(LEAST_SURVIVAL)
    assert steep.crossing(50.0, 0.1) == pytest.approx(50.0 + 1 / 15 + 0.1, abs=0.02)


@pytest.mark.parametrize("never", [0.0, 0.3])
def test_a_known_distribution_is_met_at_the_edges(never: float) -> None:
    """Between them the hazard is constant, and after the last one there is none."""
    curve = Survival.from_cdf(lambda at: (1 - never) * (1 - math.exp(-((at / 20) ** 2))))
    for edge in EDGES[:18]:
        left = never + (1 - never) * math.exp(-((edge / 20) ** 2))
        assert curve.pending(edge) == pytest.approx(left, rel=1e-6)
    assert curve.pending(1e9) == pytest.approx(never, abs=1e-6)


# --- counting ---------------------------------------------------------------------------------------------------------


def test_the_bins_are_a_second_wide_and_then_a_fifth_of_their_beginning() -> None:
    """Up to an hour, which no prompt reaches."""
    assert EDGES[:8] == pytest.approx((0, 1, 2, 3, 4, 5, 6, 7.2))
    assert EDGES[-2] < 3600 <= EDGES[-1]


def test_who_never_answered_was_at_risk_until_the_last_poll() -> None:
    """And is no event."""
    table = LifeTable()
    table.add(2.5, None)
    assert sum(table.events) == 0
    assert table.exposure[:4] == [1.0, 1.0, 0.5, 0.0]
    assert table.weight == 1


def test_an_answer_is_spread_over_the_time_between_two_polls() -> None:
    """And so is the time at risk: half way through, on average."""
    table = LifeTable()
    table.add(2.0, 6.0)
    assert table.events[:7] == pytest.approx([0, 0, 0.25, 0.25, 0.25, 0.25, 0])
    assert table.exposure[:7] == pytest.approx([1, 1, 0.875, 0.625, 0.375, 0.125, 0])


def test_an_answer_is_spread_as_the_curve_has_it() -> None:
    """Where it is likely; the time at risk is what passes until then, in expectation."""
    curve = Survival(EDGES, [0.0, 0.0, 0.0, 0.0, 1.0, 3.0] + [0.0] * (len(EDGES) - 6))
    table = LifeTable()
    table.add(2.0, 6.0, curve)
    early = (1 - math.exp(-1)) / (1 - math.exp(-4))
    assert table.events[:7] == pytest.approx([0, 0, 0, 0, early, 1 - early, 0])
    assert table.exposure[:4] == pytest.approx([1, 1, 1, 1])
    assert table.exposure[4] == pytest.approx((1 - math.exp(-1) - math.exp(-4)) / (1 - math.exp(-4)))


@pytest.mark.parametrize("rate", [0.0, 1e-7])
def test_what_the_curve_holds_for_impossible_is_spread_evenly(rate: float) -> None:
    """It happened all the same."""
    one, other = LifeTable(), LifeTable()
    one.add(2.0, 6.0, Survival(EDGES, [0.0, 0.0, 0.0, rate] + [0.0] * (len(EDGES) - 4)))
    other.add(2.0, 6.0)
    assert one == other


@pytest.mark.unmeasured
@given(st.floats(0, 5000), st.none() | st.floats(0, 5000), curves())
def test_with_any_curve_each_person_is_counted_once(pending: float, answered: float | None, curve: Survival) -> None:
    """One event or none; at risk until the last poll that found them pending, and not after the one that did not."""
    rates = [curve.rates[nth % len(curve.rates)] for nth in range(len(EDGES))]
    table = LifeTable()
    table.add(pending, answered, Survival(EDGES, rates))
    last = pending if answered is None else max(pending, answered)
    assert sum(table.events) == pytest.approx(float(answered is not None))
    assert pending - 1e-6 <= sum(table.exposure) <= last + 1e-3 * last
    assert min(table.events) >= 0
    assert min(table.exposure) >= 0


@pytest.mark.unmeasured
@given(st.floats(0, 5000), st.none() | st.floats(0, 5000))
def test_each_person_is_counted_once(pending: float, answered: float | None) -> None:
    """One event or none, and at risk for as long as was waited, on average."""
    table = LifeTable()
    table.add(pending, answered)
    last = pending if answered is None else max(pending, answered)
    assert sum(table.events) == pytest.approx(float(answered is not None))
    assert sum(table.exposure) == pytest.approx((pending + last) / 2)
    assert min(table.events) >= 0
    assert min(table.exposure) >= 0
    table.check()


def test_a_history_of_ones_own_is_counted_as_it_was() -> None:
    """Times that are known exactly, and times at which the rest was given up."""
    table = LifeTable.of([0.5, 3.5, 100.0], [120.0, 120.0])
    assert table.weight == 5
    assert sum(table.events) == 3
    assert table.events[0] == table.events[3] == 1
    assert sum(table.exposure) == pytest.approx(344)
    table.check()


_people = st.lists(st.tuples(st.floats(0, 200), st.none() | st.floats(0, 200)), max_size=8)


def counted(people: list[tuple[float, float | None]]) -> LifeTable:
    """A table of these people."""
    table = LifeTable()
    for pending, answered in people:
        table.add(pending, answered)
    return table


@pytest.mark.unmeasured
@given(_people, _people)
def test_tables_add_up(one: list[Any], other: list[Any]) -> None:
    """To what counting all at once gives."""
    table = counted(one)
    table.include(counted(other))
    both = counted(one + other)
    assert table.weight == both.weight
    assert table.events == pytest.approx(both.events)
    assert table.exposure == pytest.approx(both.exposure)


def test_forgetting_changes_what_counts_and_not_what_is_concluded() -> None:
    """All fades alike, so the curve stays."""
    table = counted([(10.0, 13.0), (4.0, 5.0), (120.0, None)])
    before = table.survival()
    table.fade(0.25)
    assert table.weight == 0.75
    after = table.survival()
    assert [after.pending(edge) for edge in EDGES] == pytest.approx([before.pending(edge) for edge in EDGES])


def test_many_people_are_smoothed_less_than_few() -> None:
    """What is sharp in a thousand histories may be chance in ten."""

    def early(count: int) -> float:
        return 1 - LifeTable.of([15.0] * count).survival().pending(12.0)

    assert early(250) == 0
    assert early(150) == pytest.approx(early(10))
    assert early(150) > 0.05


def test_nothing_is_expected_where_nobody_was_waited_for() -> None:
    """An empty table reads as nobody ever answering."""
    assert LifeTable().survival().pending(1000.0) == 1.0


@pytest.mark.parametrize("gap", [0.0, 3.0, 8.0])
@pytest.mark.parametrize("lifetime", [60.0, 120.0])
def test_the_truth_is_learned_from_what_polls_can_tell(gap: float, lifetime: float) -> None:
    """From answers known to within a gap, and people given up at the end of the lifetime.

    Were the ones that never answered left out, all would seem to answer; were they counted as answers, the curve would
    fall at the end.
    """
    dice, table, curve = Random(5), LifeTable(), None
    never, median, sigma = 0.2, 18.0, 0.6
    for nth in range(6000):
        if nth in {500, 1000, 2000}:
            curve = table.survival()
        took = math.inf if dice.random() < never else median * math.exp(sigma * dice.gauss(0, 1))
        if took > lifetime:
            table.add(lifetime, None)
        elif gap:
            phase = dice.uniform(0, gap)
            pending = max(0.0, math.floor((took - phase) / gap) * gap + phase)
            table.add(pending, pending + gap if pending else phase, curve)
        else:
            table.add(took, took)
    learned = table.survival()
    for at in (5.0, 10.0, 15.0, 20.0, 30.0, 45.0, lifetime):
        answered = 0.5 * math.erfc(-math.log(at / median) / (sigma * math.sqrt(2)))
        assert learned.pending(at) == pytest.approx(1 - (1 - never) * answered, abs=0.025)


def test_a_belief_weighs_what_it_says() -> None:
    """It reads as the distribution that it was made from, to the width of its bins."""
    table = LifeTable.expected(lambda at: 0.8 * (1 - math.exp(-at / 30)), 20.0)
    assert table.weight == 20
    assert sum(table.events) == pytest.approx(16, rel=1e-3)
    table.check()
    curve = table.survival()
    for at in (1.0, 10.0, 30.0, 100.0):
        assert curve.pending(at) == pytest.approx(0.2 + 0.8 * math.exp(-at / 30), abs=0.02)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.events.pop(),
        lambda table: table.exposure.append(0.0),
        lambda table: table.events.__setitem__(0, -1e-9),
        lambda table: table.events.__setitem__(0, math.nan),
        lambda table: table.events.__setitem__(0, 2.0),
        lambda table: table.exposure.__setitem__(3, math.inf),
        lambda table: table.exposure.__setitem__(3, 1e300),
        lambda table: table.exposure.__setitem__(3, "1"),
        lambda table: table.exposure.__setitem__(3, math.isnan(math.nan)),
        lambda table: setattr(table, "weight", None),
        lambda table: setattr(table, "weight", math.nan),
    ],
)
def test_what_no_counting_can_give_is_refused(spoil: Any) -> None:
    """Before it is added to anything."""
    table = counted([(2.0, 4.0)])
    table.check()
    spoil(table)
    with pytest.raises(UsageError) as caught:
        table.check()
    assert caught.value.code == "strategy"


@pytest.mark.unmeasured
@given(_people, st.floats(0, 300), st.floats(TOLERANCE, 20))
def test_any_history_makes_a_curve_that_can_be_used(people: list[Any], since: float, price: float) -> None:
    """Also one person, also nobody."""
    curve = counted(people).survival()
    at = curve.crossing(since, price)
    assume(math.isfinite(at))
    assert curve.unseen(since, at) == pytest.approx(price, abs=1e-5)
