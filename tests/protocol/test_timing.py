"""Tests of the floor under every poll, and of the end above it.

Instants are seconds after the acknowledgement unless a test says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.protocol.timing import (
    GRACE_DELAY,
    GRACE_PATIENCE,
    LAST_CHANCE,
    MAX_BACKOFF,
    SLOW_DOWN_STEP,
    Timing,
)


def begin(
    *, interval: float = 5.0, expires_in: float = 120.0, requested_at: float = -0.5, limit: float | None = None
) -> Timing:
    """A transaction that was acknowledged at 0."""
    return Timing.begin(
        requested_at=requested_at, acknowledged_at=0.0, expires_in=expires_in, interval=interval, limit=limit
    )


#: What happened to one poll: the rule, when it was sent, when it was over, and what the answer said about time.
Step = tuple[str, float, float] | tuple[str, float, float, Mapping[str, float]]


def follow(timing: Timing, steps: Iterable[Step]) -> Timing:
    """Apply what happened to one poll after the other; none of them may have been sent below the floor."""
    for rule, sent_at, received_at, *said in steps:
        assert sent_at >= timing.not_before, "the test itself polls too early"
        instants = {"received_at": received_at} | ({} if rule == "slowed_down" else {"sent_at": sent_at})
        timing = getattr(timing, rule)(**instants, **(said[0] if said else {}))
    return timing


PENDING, SLOW, PUT_OFF = "answered", "slowed_down", "put_off"

#: By the letter, the interval counts from one send to the next. Here it counts from the receipt of the last answer,
#: which keeps every strict server satisfied. So each vector has two results: the next send by the letter, then ours.
VECTORS: dict[str, tuple[dict[str, float], list[Step], float, float, float]] = {
    # id: ({what is not usual}, [polls], next send by the letter, next send here, interval here)
    "first poll": ({}, [], 5.0, 5.0, 5.0),
    "sent 5.0, pending at 7.0": ({}, [(PENDING, 5.0, 7.0)], 10.0, 12.0, 5.0),
    "sent 5.0, pending at 35.0 (long poll)": ({}, [(PENDING, 5.0, 35.0)], 35.0, 35.0, 5.0),
    "sent 5.0, slow_down at 5.2": ({}, [(SLOW, 5.0, 5.2)], 15.0, 15.2, 10.0),
    "sent 5, slow_down 5.1; sent 15, slow_down 15.1": ({}, [(SLOW, 5.0, 5.1), (SLOW, 15.1, 15.2)], 30.0, 30.2, 15.0),
    "sent 5, slow_down 5.1; sent 15, pending 15.1": ({}, [(SLOW, 5.0, 5.1), (PENDING, 15.1, 15.2)], 25.0, 25.2, 10.0),
    "sent 5.0, 503 Retry-After: 20 at 6.0": ({}, [(PUT_OFF, 5.0, 6.0, {"retry_after": 20.0})], 26.0, 26.0, 5.0),
    "sent 5.0, 503 Retry-After: 1 at 6.0": ({}, [(PUT_OFF, 5.0, 6.0, {"retry_after": 1.0})], 10.0, 11.0, 5.0),
    "sent 5.0, no answer, given up at 35.0": ({}, [(PUT_OFF, 5.0, 35.0)], 35.0, 35.0, 5.0),
    # By RFC 8628, whose doubling stays, at 45.0; CIBA has no such rule, and here an answer ends the backing off.
    "the same, then sent 35.0, pending at 35.1": ({}, [(PUT_OFF, 5.0, 35.0), (PENDING, 35.0, 35.1)], 40.0, 40.1, 5.0),
    "interval 3 from ack, sent 3.0, pending 3.1": ({"interval": 3.0}, [(PENDING, 3.0, 3.1)], 6.0, 6.1, 3.0),
    "expires_in 12, sent 10.0 pending 10.1": ({"expires_in": 12.0}, [(PENDING, 10.0, 10.1)], 15.0, 15.1, 5.0),
    # CIBA Core 10.1 illustrates its rule with three cases of interval 5.
    "spec: pending after 30 s": ({}, [(PENDING, 10.0, 40.0)], 40.0, 40.0, 5.0),
    "spec: pending after 2 s": ({}, [(PENDING, 10.0, 12.0)], 15.0, 17.0, 5.0),
    "spec: nothing within 30 s": ({}, [(PUT_OFF, 10.0, 40.0)], 40.0, 40.0, 5.0),
}


@pytest.mark.parametrize(("unusual", "steps", "letter", "ours", "interval"), VECTORS.values(), ids=VECTORS)
def test_the_next_send(
    unusual: dict[str, float], steps: list[Step], letter: float, ours: float, interval: float
) -> None:
    """The next poll leaves when ours says, and never earlier than the letter allows."""
    timing = follow(begin(**unusual), steps)
    assert timing.not_before == pytest.approx(ours)
    assert timing.interval == interval
    assert ours >= letter


def test_no_regular_slot_is_left_before_a_short_end() -> None:
    """The last vector goes on: the floor lies behind the end."""
    timing = follow(begin(expires_in=12.0), [(PENDING, 10.0, 10.1)])
    assert timing.not_before > timing.latest_end == 12.0


@pytest.mark.parametrize(
    ("received_at", "not_before"),
    [(10.0, 15.0), (14.999, 19.999), (15.0, 15.0), (15.001, 15.001), (45.0, 45.0)],
)
def test_a_poll_that_was_held_for_an_interval_may_be_followed_at_once(received_at: float, not_before: float) -> None:
    """One that came back sooner may not."""
    assert follow(begin(), [(PENDING, 10.0, received_at)]).not_before == pytest.approx(not_before)
    # The same without an answer; so close to the end nothing is added for that.
    assert follow(begin(expires_in=11.0), [(PUT_OFF, 10.0, received_at)]).not_before == pytest.approx(not_before)


def test_a_poll_counts_from_when_it_leaves() -> None:
    """Whoever resumes without its answer keeps the distance; a longer floor stays, and so does the backoff."""
    assert begin(interval=5.0).sent(7.0).not_before == 12.0
    assert begin().put_off(sent_at=5.0, received_at=5.1).sent(7.0).unanswered == 1
    assert begin(interval=5.0).answered(sent_at=5.0, received_at=5.1, retry_after=20).sent(7.0).not_before == 25.1


def test_a_held_poll_that_was_told_to_slow_down_is_not_followed_at_once() -> None:
    """The provider has just said that it is asked too often."""
    assert follow(begin(), [(SLOW, 5.0, 35.0)]).not_before == 45.0


@pytest.mark.parametrize(
    ("advertised", "interval"),
    [(None, 10.0), (1.0, 10.0), (9.0, 10.0), (10.0, 10.0), (30.0, 30.0)],
)
def test_slow_down_with_an_interval_grows_to_the_larger(advertised: float | None, interval: float) -> None:
    """At least five seconds are added, whatever the provider names beside the code."""
    timing = begin().slowed_down(received_at=5.0, interval=advertised)
    assert (timing.interval, timing.not_before) == (interval, 5.0 + interval)


@pytest.mark.parametrize(
    ("rule", "floor"),
    [(PENDING, 11.0), (SLOW, 16.0), (PUT_OFF, 11.0)],
)
def test_retry_after_only_stretches(rule: str, floor: float) -> None:
    """A time that ends before the floor changes nothing, a later one is obeyed."""
    for retry_after in (0.0, 1.0, floor - 6.0):
        assert follow(begin(), [(rule, 5.0, 6.0, {"retry_after": retry_after})]).not_before == floor
    for retry_after in (floor - 5.0, 20.0, 1e9):
        assert follow(begin(), [(rule, 5.0, 6.0, {"retry_after": retry_after})]).not_before == 6.0 + retry_after


def test_retry_after_stretches_a_held_poll_too() -> None:
    """Having waited for the answer does not count against a time that it names."""
    for rule in (PENDING, PUT_OFF):
        assert follow(begin(), [(rule, 5.0, 35.0, {"retry_after": 7.0})]).not_before == 42.0


# --- polls without an answer ------------------------------------------------------------------------------------------


def test_the_pause_doubles_for_each_poll_in_a_row_that_brought_nothing() -> None:
    """Counted from the send, up to a minute."""
    timing, pauses = begin(expires_in=900.0), []
    for _ in range(6):
        sent_at = timing.not_before
        timing = timing.put_off(sent_at=sent_at, received_at=sent_at)
        pauses.append(timing.not_before - sent_at)
    assert pauses == [10.0, 20.0, 40.0, MAX_BACKOFF, MAX_BACKOFF, MAX_BACKOFF]
    assert timing.unanswered == 6


@pytest.mark.parametrize("rule", [PENDING, SLOW])
def test_an_answer_ends_the_backing_off(rule: str) -> None:
    """The next silence starts over with a single doubling."""
    timing = follow(begin(expires_in=900.0), [(PUT_OFF, 5.0, 5.0), (PUT_OFF, 15.0, 15.0), (rule, 50.0, 50.0)])
    assert timing.unanswered == 0
    after = timing.put_off(sent_at=100.0, received_at=100.0)
    assert after.not_before == 100.0 + 2 * timing.interval


def test_a_time_that_the_provider_names_replaces_the_doubling() -> None:
    """Also one that has passed already; the poll still counts as unanswered."""
    timing = follow(begin(), [(PUT_OFF, 5.0, 5.0), (PUT_OFF, 15.0, 15.0, {"retry_after": 0.0})])
    assert (timing.not_before, timing.unanswered) == (20.0, 2)


@pytest.mark.parametrize(
    ("sent_at", "received_at", "not_before"),
    [
        # The end may come at 119.5 at the earliest.
        (60.0, 60.1, 118.5),
        (113.4, 113.5, 118.5),
        (114.0, 114.5, 119.5),
        (118.0, 118.1, 123.1),
    ],
)
def test_backing_off_alone_does_not_cost_the_last_chance(sent_at: float, received_at: float, not_before: float) -> None:
    """A second before the end one more poll is possible, unless the floor itself lies later."""
    timing = evolve(begin(), unanswered=10, not_before=sent_at)
    assert follow(timing, [(PUT_OFF, sent_at, received_at)]).not_before == pytest.approx(not_before)


def test_a_long_interval_is_kept_where_it_is_longer_than_any_pause() -> None:
    """The bound is on what silence adds, not on what the provider asks for."""
    timing = begin(interval=100.0, expires_in=900.0)
    assert timing.put_off(sent_at=100.0, received_at=101.0).not_before == 201.0


def test_a_long_outage_is_survived() -> None:
    """After thousands of failures the numbers are still numbers."""
    timing = evolve(begin(expires_in=1e9), unanswered=100_000)
    assert timing.put_off(sent_at=5.0, received_at=5.0).not_before == 5.0 + MAX_BACKOFF


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "earliest", "latest", "limited"),
    [
        (None, 119.5, 120.0, False),
        (1000.0, 119.5, 120.0, False),
        (120.0, 119.5, 120.0, False),
        (119.75, 119.5, 119.75, True),
        (119.5, 119.5, 119.5, True),
        (30.0, 30.0, 30.0, True),
        (-0.25, -0.25, -0.25, True),
    ],
)
def test_a_limit_of_the_callers_own_only_pulls_forward(
    limit: float | None, earliest: float, latest: float, limited: bool
) -> None:
    """The end lies between the send and the acknowledgement, each plus the lifetime, or at the limit before that."""
    timing = begin(limit=limit)
    assert (timing.earliest_end, timing.latest_end, timing.limited) == (earliest, latest, limited)
    assert timing.provider_end == 120.0


@pytest.mark.parametrize(
    ("not_before", "limit", "grace_at"),
    [
        (5.0, None, 121.0),
        (121.0, None, 121.0),
        (122.5, None, 122.5),
        (130.0, None, 130.0),
        (130.001, None, None),
        (1e9, None, None),
        (5.0, 120.0, 121.0),
        (5.0, 119.9, None),
    ],
)
def test_a_grace_poll_comes_soon_or_not_at_all(not_before: float, limit: float | None, grace_at: float | None) -> None:
    """One poll after the end, within an interval, and none where the caller's own limit came first."""
    timing = evolve(begin(limit=limit), not_before=not_before)
    assert timing.grace_at == grace_at
    assert timing.grace_until == timing.latest_end + 10.0


def test_the_numbers_are_those_of_the_specifications() -> None:
    """Their sources stand beside them in the module."""
    assert (SLOW_DOWN_STEP, MAX_BACKOFF, LAST_CHANCE, GRACE_DELAY) == (5.0, 60.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("named", "interval"), [(None, 8.0), (0.0, 8.0), (7.0, 8.0), (60.0, 60.0), (119.0, 119.0), (120.0, 8.0), (1e9, 8.0)]
)
def test_an_interval_that_leaves_no_time_to_ask_is_not_obeyed(named: float | None, interval: float) -> None:
    """A provider that names as much as the whole life of the login cannot mean it."""
    timing = Timing.begin(requested_at=0.0, acknowledged_at=0.0, expires_in=120.0, interval=3.0)
    slower = timing.slowed_down(received_at=10.0, interval=named)
    assert (slower.interval, slower.not_before) == (interval, 10.0 + interval)


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers(1, 60))
def test_it_is_known_when_the_poll_under_way_left(began_at: float, late: float, interval: int) -> None:
    """A poll never leaves before the floor, so the floor that its leaving sets tells when that was."""
    timing = Timing.begin(requested_at=began_at, acknowledged_at=began_at, expires_in=120.0, interval=float(interval))
    left_at = timing.not_before + late
    assert timing.sent(left_at).left_at == pytest.approx(left_at)


# --- any course of events ---------------------------------------------------------------------------------------------

_seconds = st.floats(0, 1000).map(lambda value: round(value, 3))
_starts = st.builds(
    lambda at, took, expires_in, interval, limit: Timing.begin(
        requested_at=at,
        acknowledged_at=at + took,
        expires_in=float(expires_in),
        interval=float(interval),
        limit=None if limit is None else at + limit,
    ),
    _seconds,
    _seconds,
    st.integers(1, 86_400),
    st.integers(1, 3600),
    st.none() | _seconds,
)
#: Which rule, how long after the floor the poll left, how long it took, and what was said about time.
_polls = st.lists(
    st.tuples(
        st.sampled_from([PENDING, SLOW, PUT_OFF]),
        _seconds,
        _seconds,
        st.none() | _seconds,
        st.none() | st.integers(1, 3600).map(float),
    ),
    min_size=1,
    max_size=8,
)


@given(_starts, _polls)
def test_what_holds_in_any_course_of_events(timing: Timing, polls: list[tuple[Any, ...]]) -> None:
    """The floor only rises, the interval only grows, the end stays where it is."""
    ends = (timing.earliest_end, timing.latest_end, timing.provider_end, timing.limited)
    assert timing.earliest_end <= timing.latest_end <= timing.provider_end
    assert timing.not_before == timing.acknowledged_at + timing.interval
    for rule, late, took, retry_after, advertised in polls:
        before, copy = timing, evolve(timing)
        sent_at = before.not_before + late
        received_at = sent_at + took
        said: dict[str, Any] = {"retry_after": retry_after} | ({"interval": advertised} if rule == SLOW else {})
        timing = follow(before, [(rule, sent_at, received_at, said)])

        assert before == copy, "a Timing was changed"
        assert ends == (timing.earliest_end, timing.latest_end, timing.provider_end, timing.limited)
        assert math.isfinite(timing.not_before)
        assert timing.not_before >= received_at
        assert timing.not_before >= before.not_before
        assert timing.not_before >= received_at + (retry_after or 0.0)
        held = received_at - sent_at >= before.interval and rule != SLOW
        assert held or timing.not_before >= received_at + timing.interval
        if rule == SLOW:
            assert timing.interval >= before.interval + SLOW_DOWN_STEP
            # One that leaves no time to ask cannot be meant.
            assert advertised is None or advertised >= timing.expires_in or timing.interval >= advertised
        else:
            assert timing.interval == before.interval
        assert timing.unanswered == (before.unanswered + 1 if rule == PUT_OFF else 0)
        floor = received_at + max(0.0 if held else timing.interval, retry_after or 0.0)
        if rule == PUT_OFF:
            # What silence adds is bounded, and never alone costs the last chance.
            assert timing.not_before <= max(floor, sent_at + MAX_BACKOFF)
            assert timing.not_before <= max(floor, timing.earliest_end - LAST_CHANCE)
        else:
            assert timing.not_before == floor
        if timing.grace_at is not None:
            assert not timing.limited
            assert timing.grace_at >= max(timing.not_before, timing.latest_end + GRACE_DELAY)
            assert timing.grace_at <= timing.grace_until == timing.latest_end + GRACE_PATIENCE


def test_a_clock_that_stood_still_moves_everything_back() -> None:
    """All instants alike, durations not at all; a limit that nobody set stays unset."""
    timing = Timing.begin(requested_at=10.0, acknowledged_at=10.5, expires_in=120.0, interval=3.0, limit=100.0)
    moved = timing.suspended(60.0)
    assert (moved.requested_at, moved.acknowledged_at, moved.not_before, moved.limit) == (-50.0, -49.5, -46.5, 40.0)
    assert (moved.expires_in, moved.interval, moved.unanswered) == (120.0, 3.0, 0)
    assert (moved.provider_end, moved.earliest_end) == (70.5, 40.0)
    assert evolve(timing, limit=None).suspended(60.0).limit is None
