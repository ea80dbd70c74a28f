"""Tests of what is kept of the polls of a transaction."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve

from idura_ciba.polling.strategy import Poll
from idura_ciba.protocol.answers import ErrorAnswer, SlowedDown, StillPending, Unusable, UnusableAnswer
from idura_ciba.protocol.timing import Timing
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.history import MAX_HINTS, History, NoTokens

TIMING = Timing.begin(requested_at=9.8, acknowledged_at=10.0, expires_in=120.0, interval=3.0)
KIND = ("urn:grn:authn:se:bankid",)
LOST = UnusableAnswer(Unusable.LOST, 0, "nothing came")
MISTRUST = ErrorAnswer("invalid_client", None, 401)


def after(*polls: tuple[NoTokens, float]) -> History:
    """A history of polls, each answered 0.1 s after it was sent."""
    history = History(KIND)
    for answer, sent_at in polls:
        history.count(answer, sent_at, sent_at + 0.1, interval=3.0)
        history.note(answer, sent_at, sent_at + 0.1, evolve(TIMING, not_before=sent_at).sent(sent_at))
    return history


def pending(hint: str | None = None, retry_after: float | None = None) -> StillPending:
    """`authorization_pending`, with a word or without."""
    return StillPending(None if hint is None else Redacted(hint), retry_after)


def test_a_strategy_sees_the_last_poll_and_the_latest_word() -> None:
    """With when the word was first heard, however often it came again."""
    view = after((pending("started"), 13.0), (pending("userSign"), 16.0), (pending("userSign"), 19.0)).view(
        TIMING, now=20.0, rng=Random(1)
    )
    assert view.last == Poll(19.0, 19.1, "pending", "userSign", None)
    assert (view.hint, view.hint_since) == ("userSign", 16.1)
    assert (view.attempt, view.now, view.key) == (4, 20.0, (KIND, 120.0))
    assert (view.requested_at, view.acknowledged_at, view.interval, view.not_before) == (9.8, 10.0, 3.0, 13.0)
    assert (view.earliest_end, view.latest_end) == (129.8, 130.0)


@pytest.mark.parametrize(
    ("answer", "outcome", "hint", "retry_after"),
    [
        (pending("started", 4.0), "pending", "started", 4.0),
        (SlowedDown(Redacted("started"), 5.0, 8.0), "slow_down", "started", 5.0),
        (evolve(LOST, retry_after=6.0), "unanswered", None, 6.0),
        (evolve(MISTRUST, retry_after=7.0), "unanswered", None, 7.0),
    ],
)
def test_each_kind_of_answer_is_a_poll(
    answer: NoTokens, outcome: str, hint: str | None, retry_after: float | None
) -> None:
    """What was no answer says nothing of the person, and leaves the last word as it was."""
    last = after((answer, 13.0)).last
    assert last is not None
    assert (last.outcome, last.hint, last.retry_after) == (outcome, hint, retry_after)
    history = after((pending("before"), 13.0), (answer, 16.0))
    assert history.hint == (hint or "before")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (pending(), TIMING.answered(sent_at=13.0, received_at=13.1)),
        (pending(retry_after=9.0), TIMING.answered(sent_at=13.0, received_at=13.1, retry_after=9.0)),
        (SlowedDown(None, 4.0, 20.0), TIMING.slowed_down(received_at=13.1, retry_after=4.0, interval=20.0)),
        (LOST, TIMING.put_off(sent_at=13.0, received_at=13.1)),
        (evolve(LOST, retry_after=9.0), TIMING.put_off(sent_at=13.0, received_at=13.1, retry_after=9.0)),
        (MISTRUST, TIMING.answered(sent_at=13.0, received_at=13.1)),
    ],
)
def test_each_kind_of_answer_keeps_the_next_poll_away_by_its_rule(answer: NoTokens, expected: Timing) -> None:
    """Only silence and refusal to answer call for backing off."""
    assert History(KIND).note(answer, 13.0, 13.1, TIMING) == expected


def test_strikes_are_counted_in_a_row() -> None:
    """Any other answer forgives."""
    assert after((MISTRUST, 13.0)).strikes == 1
    assert after((MISTRUST, 13.0), (MISTRUST, 16.0)).strikes == 2
    assert after((MISTRUST, 13.0), (LOST, 16.0)).strikes == 0


def test_a_decision_lies_between_two_polls() -> None:
    """Between the last that was answered `pending` or `slow_down`, and the one that brought it."""
    history = after((pending("started"), 13.0), (SlowedDown(None), 16.0), (LOST, 24.0))
    history.count(MISTRUST, 30.0, 30.1, interval=3.0)
    record = history.record(TIMING, decided=True)
    assert (record.answered, record.last_pending_at, record.decided_by_at) == (True, 16.0, 30.0)
    assert (record.key, record.requested_at, record.acknowledged_at) == ((KIND, 120.0), 9.8, 10.0)
    assert record.hints == (("started", 13.0),)


def test_a_poll_that_was_held_speaks_of_when_it_was_answered() -> None:
    """Otherwise people would seem to be as much faster as providers are patient."""
    history = History(KIND)
    history.note(pending("started"), 13.0, 43.0, TIMING)
    history.count(pending(), 43.0, 50.0, interval=3.0)
    record = history.record(TIMING, decided=True)
    assert (record.last_pending_at, record.decided_by_at, record.hints) == (43.0, 50.0, (("started", 43.0),))


def test_a_clock_that_stood_still_moves_everything_back() -> None:
    """So that what comes after it keeps its distance."""
    history = after((pending("started"), 13.0), (pending(), 16.0))
    history.suspended(600.0)
    record = history.record(TIMING, decided=False)
    assert (record.last_pending_at, record.hints) == (-584.0, (("started", -587.0),))
    assert history.silence(TIMING) == 130.0 + 584.0
    assert not history.heard_within(evolve(TIMING, expires_in=10.0))
    assert history.heard_within(TIMING.suspended(600.0 + 108.0))
    view = history.view(TIMING, now=20.0, rng=Random(1))
    assert view.last == Poll(-584.0, pytest.approx(-583.9), "pending", None, None)
    assert view.hint_since == pytest.approx(-586.9)
    empty = History(KIND)
    empty.suspended(600.0)
    assert (empty.last, empty.pinged_at) == (None, None)


def test_a_ping_calls_until_a_poll_that_left_after_it_is_answered() -> None:
    """One that was under way may have been answered before the person decided."""
    history = after((pending(), 13.0))
    assert not history.is_called
    history.pinged_at = 16.05
    assert history.is_called
    assert history.view(TIMING, now=20.0, rng=Random(1)).pinged_at == 16.05
    for sent_at, called in ((16.0, True), (19.0, False)):
        history.note(pending(), sent_at, sent_at + 0.1, TIMING)
        assert history.is_called is called
    history.suspended(600.0)
    assert history.pinged_at == pytest.approx(-583.95)
    first = History(KIND)
    first.pinged_at = 11.0
    assert first.is_called


def test_without_a_decision_it_is_only_known_that_there_was_none() -> None:
    """Until the last poll that said so; with no such poll, not at all."""
    record = after((pending(), 13.0), (LOST, 16.0)).record(TIMING, decided=False)
    assert (record.answered, record.last_pending_at, record.decided_by_at) == (False, 13.0, None)
    assert after((LOST, 13.0)).record(TIMING, decided=False).last_pending_at is None


def test_words_are_kept_once_each_and_not_without_end() -> None:
    """A provider that says something else each time fills no memory."""
    history = after(*((pending(str(nth % 20)), 13.0 + 3 * nth) for nth in range(40)))
    record = history.record(TIMING, decided=False)
    assert [word for word, _ in record.hints] == [str(nth) for nth in range(MAX_HINTS)]
    assert record.hints[1] == ("1", 16.0)
    assert history.hint == "19"


@pytest.mark.parametrize(
    ("polls", "heard"),
    [
        ([], False),
        ([(pending(), 123.9)], True),
        ([(SlowedDown(None), 123.9)], True),
        ([(pending(), 123.6)], False),
        ([(LOST, 123.9)], False),
        ([(pending(), 123.9), (LOST, 126.0)], False),
        ([(pending(), 123.9), (MISTRUST, 126.0)], False),
        ([(pending(), 123.9), (LOST, 126.0), (pending(), 129.6)], True),
        # What fails after the end takes nothing from what was heard before it.
        ([(pending(), 129.6), (LOST, 131.0)], True),
        ([(pending(), 126.0), (LOST, 129.6), (LOST, 131.0)], False),
    ],
)
def test_heard_at_last_means_within_two_intervals_of_the_end(
    polls: list[tuple[NoTokens, float]], *, heard: bool
) -> None:
    """Whoever was not heard so late, and asked in vain after that, may have decided unseen."""
    assert after(*polls).heard_within(TIMING) is heard


def test_a_poll_that_left_before_the_end_and_failed_after_it_was_before_the_end() -> None:
    """What counts is when somebody was asked: a connection that is waited for may outlast the login."""
    history = after((pending(), 124.0))
    history.note(LOST, 139.0, 139.0, evolve(TIMING, not_before=129.0).sent(129.0))
    assert not history.heard_within(TIMING)


@pytest.mark.parametrize(
    ("polls", "trouble"),
    [
        ([], None),
        ([(pending(), 13.0)], None),
        ([(LOST, 13.0)], "nothing came"),
        ([(pending(), 13.0), (MISTRUST, 16.0)], "HTTP 401, invalid_client"),
        ([(MISTRUST, 13.0), (LOST, 16.0), (LOST, 19.0)], "3 polls in a row, the last: nothing came"),
        ([(LOST, 13.0), (LOST, 16.0), (SlowedDown(None), 19.0)], None),
        ([(LOST, 13.0), (pending(), 16.0), (LOST, 19.0)], "nothing came"),
    ],
)
def test_the_trouble_is_that_of_the_last_polls(polls: list[tuple[NoTokens, float]], trouble: str | None) -> None:
    """Any word on the login ends it."""
    assert after(*polls).trouble == trouble


@pytest.mark.parametrize(
    ("polls", "sent_at", "heard"),
    [
        # The acknowledgement was a word too, of when it was asked for: 9.8.
        ([], 13.0, True),
        ([], 15.7, True),
        ([], 15.9, False),
        ([(pending(), 60.0)], 66.0, True),
        ([(pending(), 60.0)], 70.0, False),
        ([(pending(), 60.0), (LOST, 63.0)], 66.0, True),
        # By the end at the latest: what leaves after it asks about what was before it.
        ([(pending(), 124.0)], 131.0, True),
        ([(pending(), 123.0)], 131.0, False),
        ([(pending(), 124.0), (LOST, 129.6)], 139.0, True),
    ],
)
def test_an_expiry_hides_nothing_if_the_provider_was_heard_shortly_before(
    polls: list[tuple[NoTokens, float]], sent_at: float, *, heard: bool
) -> None:
    """Within two intervals, as many as one poll that failed leaves between two that did not."""
    assert after(*polls).heard_before(sent_at, TIMING) is heard


@pytest.mark.parametrize(
    ("polls", "silence"),
    [([], 120.2), ([(LOST, 13.0)], 120.2), ([(pending(), 70.0), (LOST, 100.0)], 60.0), ([(pending(), 131.0)], 0.0)],
)
def test_silence_begins_with_the_last_word(polls: list[tuple[NoTokens, float]], silence: float) -> None:
    """That is the acknowledgement where no poll brought any; after the end there is none."""
    assert after(*polls).silence(TIMING) == pytest.approx(silence)
    assert after(*polls).silence(TIMING, until=100.0) == pytest.approx(max(0.0, silence - 30.0))


def test_the_callers_limit_does_not_end_what_the_provider_may_have_to_say() -> None:
    """A poll that a blocked event loop kept until long after the limit hears that all is over, and not since when."""
    limited = evolve(TIMING, limit=20.0)
    assert after((pending(), 17.0)).heard_before(19.0, limited)
    assert not after((pending(), 17.0)).heard_before(131.0, limited)


def test_an_acknowledgement_that_was_read_late_is_an_old_word() -> None:
    """It lay in the socket while the event loop was blocked, and the person may have answered meanwhile."""
    late = Timing.begin(requested_at=10.0, acknowledged_at=128.0, expires_in=120.0, interval=3.0)
    assert not after().heard_before(131.0, late)
    assert after().silence(late, until=131.0) == 121.0
