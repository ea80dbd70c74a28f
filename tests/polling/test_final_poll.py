"""Tests of the last poll before the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import tenacity
from attrs import evolve, field, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.polling.basic import Backoff, Fixed, Proportional
from idura_ciba.polling.final_poll import ROUND_TRIP, TOO_LATE, FinalPoll
from idura_ciba.polling.hazard import HazardAware
from idura_ciba.polling.phase import PhaseAware
from idura_ciba.polling.strategy import Indexed, Poll, PollView, Record, next_poll
from idura_ciba.protocol.timing import Timing
from idura_ciba.transaction.history import History

# --- one decision -----------------------------------------------------------------------------------------------------
# The last answer came at 150, the interval is 5, the end is at 219.5: the last poll belongs at 219.3, and the one
# before it at 214.05 at the latest.

#: What the inner strategy wants, the floor, and what comes of it.
DECISIONS: Mapping[str, tuple[float | None, float, float | None]] = {
    "far from the end": (160.0, 155.0, 160.0),
    "below the floor": (151.0, 155.0, 155.0),
    "at the last poll": (219.3, 155.0, 219.3),
    "after the last poll": (500.0, 155.0, 219.3),
    "never": (None, 155.0, 219.3),
    "never, and the floor is close": (None, 219.3, 219.3),
    "never, and the floor leaves a moment": (None, 219.4, 219.4),
    "never, and the floor leaves too little": (None, 219.45, None),
    "never, and the floor is behind the end": (None, 230.0, None),
    "soon, and the floor is behind the end": (160.0, 230.0, None),
    "too close to the last poll": (216.0, 155.0, 214.05),
    "too close, and the floor forbids to be earlier": (216.0, 215.0, 219.3),
    "too close by a hair": (214.1, 155.0, 214.05),
    "just in time": (214.0, 155.0, 214.0),
    "far enough for two more": (160.0, 155.0, 160.0),
}


@pytest.mark.parametrize(("wanted", "not_before", "at"), DECISIONS.values(), ids=DECISIONS)
def test_one_decision(wanted: float | None, not_before: float, at: float | None, view: Any) -> None:
    """The inner answer, moved where the last poll asks for it."""
    strategy = FinalPoll(lambda _: wanted)
    assert strategy.next_poll(view(heard_at=150.0, not_before=not_before)) == (
        None if at is None else pytest.approx(at)
    )


@pytest.mark.parametrize(
    ("heard_at", "at"),
    [
        # Two full gaps fit: no reason to move anything.
        (203.0, 208.0),
        # One more poll fits before the last, and only one: it goes to the middle ...
        (205.0, 212.15),
        (208.0, 213.65),
        # ... or as far from the last one as it has to be ...
        (208.9, 214.05),
        # ... and where none fits, the last one is the next.
        (209.1, 219.3),
    ],
)
def test_the_gaps_before_the_end_are_shared_evenly(heard_at: float, at: float, view: Any) -> None:
    """Polling at the floor and then waiting for long would detect later, on average, for the same number of polls."""
    assert FinalPoll(Fixed()).next_poll(view(heard_at=heard_at)) == pytest.approx(at)


def test_a_late_poll_is_not_moved_later_to_be_in_the_middle(view: Any) -> None:
    """What was wanted after the middle of what is left stays."""
    assert FinalPoll(lambda _: 213.0).next_poll(view(heard_at=200.0)) == 213.0


@pytest.mark.parametrize("guard", [0, 0.0, 0.3, 1.2])
def test_the_guard_can_be_chosen(guard: float, view: Any) -> None:
    """The last poll leaves that long before the earliest possible end, also where the floor is the same instant."""
    for not_before in (105.0, 219.5 - guard):
        assert FinalPoll(lambda _: None, guard=guard).next_poll(view(not_before=not_before)) == 219.5 - guard


@pytest.mark.parametrize("guard", [-0.1, math.nan, math.inf, True, "0.2", None], ids=repr)
def test_a_guard_that_cannot_be_is_refused(guard: Any) -> None:
    """A negative one would send the last poll after the end."""
    with pytest.raises(UsageError) as caught:
        FinalPoll(Fixed(), guard=guard)
    assert caught.value.what == "guard must be a finite number of at least 0"


def test_the_inner_strategy_may_be_a_function_and_nothing_less() -> None:
    """What cannot be asked is refused when it is given."""
    assert FinalPoll(Fixed(), 0.2).guard == FinalPoll(Fixed()).guard
    assert FinalPoll(Fixed()) != FinalPoll(Fixed()), "each learns by itself"
    with pytest.raises(UsageError, match="not a strategy"):
        FinalPoll(Fixed)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("answer", [math.nan, math.inf, -1.0, True, "5"], ids=repr)
def test_a_broken_inner_strategy_is_not_repaired(answer: Any, view: Any) -> None:
    """Not even where its answer would not have counted."""
    with pytest.raises(UsageError) as caught:
        next_poll(FinalPoll(lambda _: answer), view())
    assert caught.value.code == "strategy_failed"


# --- any decision -----------------------------------------------------------------------------------------------------

_seconds = st.floats(0, 1000).map(lambda value: round(value, 3))
#: Rounding of instants of this size.
TINY = 1e-6


@st.composite
def moments(draw: st.DrawFn) -> tuple[PollView, float | None]:
    """A moment of any login, often close to its end, and what the inner strategy wants.

    The floor is the interval after the last answer, the answer itself, or anything later.
    """
    acknowledged_at = draw(_seconds)
    heard_at = acknowledged_at + draw(_seconds)
    interval = float(draw(st.integers(1, 60)))
    soon = st.floats(0, 3 * interval + 1).map(lambda value: round(value, 3))
    latest_end = heard_at + draw(soon | _seconds)
    view = PollView(
        now=heard_at,
        requested_at=acknowledged_at - 0.5,
        acknowledged_at=acknowledged_at,
        earliest_end=latest_end - draw(st.sampled_from([0.0, 0.5, 5.0])),
        latest_end=latest_end,
        interval=interval,
        not_before=heard_at + draw(st.sampled_from([interval, 0.0]) | soon | _seconds),
        attempt=2,
        last=Poll(heard_at - draw(_seconds), heard_at, "pending"),
        hint=None,
        hint_since=None,
        key=None,
        rng=Random(1),
    )
    return view, draw(st.none() | (soon | _seconds).map(lambda value: heard_at + value))


#: A provider that takes half an interval to answer.
SLOW = PollView(
    now=0.0,
    requested_at=-0.5,
    acknowledged_at=0.0,
    earliest_end=3.0,
    latest_end=3.0,
    interval=2.0,
    not_before=0.0,
    attempt=2,
    last=Poll(-1.0, 0.0, "pending"),
    hint=None,
    hint_since=None,
    key=None,
    rng=Random(1),
)


@pytest.mark.unmeasured
@given(moments(), st.sampled_from([0.0, 0.2, 1.2]))
@example((SLOW, 1.0), 0.0)
def test_what_holds_for_any_decision(case: tuple[PollView, float | None], guard: float) -> None:
    """Never below the floor, never after the end, and never so close before the last poll as to push it over."""
    moment, wanted = case
    strategy = FinalPoll(lambda _: wanted, guard=guard)
    at = strategy.next_poll(moment)
    urgent_at = moment.earliest_end - guard
    assert strategy.next_poll(moment) == at, "asked again it answers the same"
    if at is None:
        assert moment.not_before > urgent_at
        assert moment.not_before >= moment.earliest_end - TOO_LATE
        return
    assert at >= moment.not_before
    assert at <= moment.earliest_end
    assert at == urgent_at or at > urgent_at or urgent_at - at >= moment.interval + ROUND_TRIP - TINY
    if at > urgent_at:
        assert at == moment.not_before < moment.earliest_end - TOO_LATE
    if wanted is not None and at < urgent_at and at < wanted:
        assert moment.last is not None
        taken = moment.last.received_at - moment.last.sent_at
        # A poll that was held says nothing about the way.
        way = max(ROUND_TRIP, taken if taken < moment.interval else 0.0)
        assert at == pytest.approx(urgent_at - moment.interval - way), "earlier than wanted only to fit"


# --- whole logins -----------------------------------------------------------------------------------------------------


@frozen
class Login:
    """A login that nobody answers.

    Attributes:
        expires_in: Its lifetime in seconds.
        interval: Seconds between polls.
        round_trip: Seconds from send to answer.
        upset: Polls, by number from 0, whose answer is something else than `pending`.
    """

    expires_in: float
    interval: float
    round_trip: float = 0.12
    upset: Mapping[int, str] = field(factory=dict)

    def begin(self) -> Timing:
        """Sent at 1000."""
        return Timing.begin(
            requested_at=1000.0,
            acknowledged_at=1000.0 + self.round_trip,
            expires_in=self.expires_in,
            interval=self.interval,
        )

    def run(self, strategy: Any) -> list[float]:
        """The instants of all polls, as transactions ask for them."""
        timing, last, sent = self.begin(), None, []
        while len(sent) < 1000:
            heard_at = last.received_at if last else timing.acknowledged_at
            at = next_poll(strategy, self.view(timing, heard_at, len(sent) + 1, last))
            if at is None or at >= timing.latest_end:
                return sent
            received_at = at + self.round_trip
            match self.upset.get(len(sent)):
                case "slow_down":
                    timing = timing.slowed_down(received_at=received_at)
                case "busy":
                    timing = timing.put_off(sent_at=at, received_at=received_at)
                case "hold":
                    received_at = at + 30.0
                    timing = timing.answered(sent_at=at, received_at=received_at)
                case _:
                    timing = timing.answered(sent_at=at, received_at=received_at)
            last = Poll(at, received_at, "pending")
            sent.append(at)
        pytest.fail("it never stops")

    @staticmethod
    def view(timing: Timing, now: float, attempt: int, last: Poll | None) -> PollView:
        """What the strategy is told."""
        return History((), polls=attempt - 1, last=last).view(timing, now=now, rng=Random(1))


LOGINS = [Login(expires_in, interval) for expires_in in (12.0, 30.0, 120.0, 900.0) for interval in (2.0, 3.0, 5.0)]
INNER = {
    "Fixed": Fixed(),
    "Fixed(20)": Fixed(20),
    "Proportional": Proportional(),
    "Proportional(.5)": Proportional(0.5),
    "exponential": Backoff(tenacity.wait_exponential(max=60)),
    "incrementing": Backoff(tenacity.wait_incrementing(start=3, increment=4)),
    "combined": Backoff(tenacity.wait_fixed(2) + tenacity.wait_exponential(max=20)),
    "random": Backoff(tenacity.wait_random(0, 30)),
    "hazard": HazardAware(),
    "hazard, any delay": HazardAware(price=60.0, max_gap=1000.0),
    "phase": PhaseAware(),
    "never": lambda _: None,
}


def name(login: Login) -> str:
    """A short name for a test."""
    return f"{login.expires_in:g}s every {login.interval:g}s"


@pytest.mark.parametrize("login", LOGINS, ids=name)
@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
@pytest.mark.parametrize("round_trip", [0.02, 0.12, 0.25])
def test_the_last_poll_leaves_just_before_the_end(login: Login, inner: Any, round_trip: float) -> None:
    """Every login gets its last poll at exactly the right instant, and no two polls come too close."""
    login = evolve(login, round_trip=round_trip)
    sent = login.run(FinalPoll(inner))
    assert sent[-1] == pytest.approx(login.begin().earliest_end - 0.2)
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert min(gaps, default=math.inf) >= login.interval + round_trip - TINY
    assert sent[0] >= login.begin().not_before


@pytest.mark.parametrize("login", LOGINS, ids=name)
def test_a_slow_provider_gets_its_last_poll_where_the_floor_allows(login: Login) -> None:
    """With a round trip of more than a second the room kept for it is too small; what can be had is had."""
    login = evolve(login, round_trip=1.1)
    sent = login.run(FinalPoll(Fixed()))
    end = login.begin().earliest_end
    next_floor = sent[-1] + 1.1 + login.interval
    assert end - 0.2 - TINY <= sent[-1] < end or next_floor >= end - TOO_LATE


@pytest.mark.parametrize("login", [login for login in LOGINS if login.expires_in >= 120], ids=name)
@pytest.mark.parametrize("upset", ["slow_down", "busy", "hold"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("inner", [Fixed(), HazardAware()], ids=["fixed", "hazard"])
def test_the_last_poll_survives_a_disturbance(login: Login, inner: Any, upset: str, number: int) -> None:
    """After a slow_down, a refusal or a poll that is held there is time enough to be punctual again."""
    sent = evolve(login, upset={number: upset}).run(FinalPoll(inner))
    assert sent[-1] == pytest.approx(login.begin().earliest_end - 0.2)


@pytest.mark.parametrize("login", LOGINS, ids=name)
def test_fixed_alone_polls_at_the_floor(login: Login) -> None:
    """Each poll leaves exactly an interval after the last answer, from first to last."""
    sent = login.run(Fixed())
    step = login.interval + login.round_trip
    count = math.ceil((login.begin().latest_end - login.begin().acknowledged_at - login.interval) / step)
    assert sent == pytest.approx([1000.0 + step * number for number in range(1, count + 1)])


def test_the_wrapper_costs_at_most_one_poll_more() -> None:
    """Whatever is inside."""
    for login in LOGINS:
        for inner in INNER.values():
            if not callable(inner) and "random" not in repr(inner):
                assert len(login.run(FinalPoll(inner))) <= len(login.run(inner)) + 1


@pytest.mark.parametrize(
    ("sent_at", "at"),
    [
        (149.9, 214.05),  # the usual way: a quarter of a second is kept
        (148.9, 213.2),  # a slow one: as much as it took last
        (140.0, 214.05),  # a poll that was held tells nothing of the way
    ],
)
def test_room_is_left_for_the_way_there_and_back(sent_at: float, at: float, view: Any) -> None:
    """So that the last poll is allowed when its time has come."""
    asked = FinalPoll(lambda _: 216.0).next_poll(view(last=Poll(sent_at, 150.0, "pending"), not_before=155.0))
    assert asked == pytest.approx(at)


def test_before_the_first_poll_the_acknowledgement_tells_how_long_the_way_is(view: Any) -> None:
    """It took half a second here."""
    asked = FinalPoll(lambda _: 216.0).next_poll(view(last=None, not_before=105.0))
    assert asked == pytest.approx(219.3 - 5.0 - 0.5)


# --- what it passes on ------------------------------------------------------------------------------------------------


@frozen
class Steady:
    """A strategy that learns and can be priced: the person answers at a constant rate, whatever has passed."""

    rate: float = 0.05
    heard: list[Record] = field(factory=list)

    def next_poll(self, view: PollView) -> float:
        """The floor."""
        return view.not_before

    def finished(self, record: Record) -> None:
        """Remember it."""
        self.heard.append(record)

    def index(self, view: PollView, at: float) -> float:
        """The time less the mean time that passes without an answer."""
        gap = max(0.0, at - view.heard_at)
        return gap - (1 - math.exp(-self.rate * gap)) / self.rate

    def due(self, view: PollView, price: float) -> float:
        """Halve until it is found."""
        low, high = 0.0, 1e6
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (low, middle) if self.index(view, view.heard_at + middle) >= price else (middle, high)
        return view.heard_at + high


def test_what_the_inner_strategy_can_do_the_wrapper_can_do() -> None:
    """A record is told on, once; where nobody else learns, nobody else is told."""
    record = Record("key", 0.0, 0.1, answered=False, last_pending_at=None, decided_by_at=None)
    inner = Steady()
    learning, other = FinalPoll(inner), FinalPoll(Fixed())
    assert isinstance(learning, Indexed)
    assert isinstance(other, Indexed)
    learning.finished(record)
    other.finished(record)
    assert inner.heard == [record]


def test_the_final_poll_is_worth_what_is_lost_without_it(view: Any) -> None:
    """30 s for the probability that the person has answered by then, besides the waiting so far."""
    inner, asked = Steady(), view(heard_at=150.0)
    strategy = FinalPoll(inner)
    answered = 1 - math.exp(-0.05 * 69.3)
    assert strategy.index(asked, 160.0) == inner.index(asked, 160.0)
    assert strategy.index(asked, 219.3) == pytest.approx(inner.index(asked, 219.3) + 30 * answered, rel=2e-3)


def test_what_would_cost_the_final_poll_is_worth_no_more_than_before(view: Any) -> None:
    """From 214.05 on another poll would push it over the end."""
    inner, asked = Steady(), view(heard_at=200.0)
    strategy = FinalPoll(inner)
    for at in (214.05, 216.0, 219.29):
        assert strategy.index(asked, at) == pytest.approx(inner.index(asked, 214.05))
    assert strategy.due(asked, inner.index(asked, 213.0)) == pytest.approx(213.0)
    assert strategy.due(asked, inner.index(asked, 216.0)) == pytest.approx(219.3)


def test_an_inner_strategy_without_an_index_is_priced_by_the_time_since_the_last_answer(view: Any) -> None:
    """Nothing is known of the person, so everyone's waiting counts the same."""
    strategy, asked = FinalPoll(Fixed()), view(heard_at=150.0)
    assert strategy.index(asked, 162.0) == 12.0
    assert strategy.index(asked, 140.0) == 0.0
    assert strategy.due(asked, 12.0) == 162.0
    assert strategy.due(asked, 0.0) == 150.0
    assert strategy.due(asked, 80.0) == pytest.approx(219.3)


@pytest.mark.unmeasured
@given(moments(), st.sampled_from([Steady(), Steady(1.0), Steady(1e-4), Fixed()]), st.floats(1e-3, 100))
def test_due_is_the_inverse_of_the_index(case: tuple[PollView, float | None], inner: Any, price: float) -> None:
    """At that instant the index has reached the price, and a moment before it has not."""
    moment, strategy = case[0], FinalPoll(inner)
    at = strategy.due(moment, price)
    assert strategy.index(moment, at + 1e-3) >= price - TINY
    assert strategy.index(moment, at - 1e-3) <= price + TINY


@pytest.mark.unmeasured
@given(moments(), st.sampled_from([Steady(), Fixed()]), st.floats(0, 500), st.floats(0, 500))
def test_the_index_never_falls(case: tuple[PollView, float | None], inner: Any, one: float, other: float) -> None:
    """Also not across the final poll."""
    moment, strategy = case[0], FinalPoll(inner)
    earlier, later = sorted((moment.heard_at + one, moment.heard_at + other))
    assert -TINY <= strategy.index(moment, earlier) <= strategy.index(moment, later) + TINY
