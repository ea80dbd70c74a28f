"""Tests of how a transaction ends by this clock."""

from __future__ import annotations

import pytest
from attrs import evolve

from idura_ciba.errors import Abandoned, CibaError, Denied, Expired, Indeterminate
from idura_ciba.http.backchannel import Answered
from idura_ciba.protocol.answers import ErrorAnswer, StillPending, Unusable, UnusableAnswer
from idura_ciba.protocol.machine import Event, State, advance
from idura_ciba.protocol.timing import Timing
from idura_ciba.transaction.ending import ended_by_answer, ended_by_clock
from idura_ciba.transaction.history import History, NoTokens

TIMING = Timing.begin(requested_at=0.0, acknowledged_at=0.0, expires_in=120.0, interval=3.0)
PENDING = StillPending(None)
REFUSED = UnusableAnswer(Unusable.NOT_CONNECTED, 0, "the connection was refused")
BUSY = UnusableAnswer(Unusable.BUSY, 503, "HTTP 503, not JSON")


def after(*polls: tuple[NoTokens, float]) -> History:
    """A history of polls, each answered at once."""
    history = History(())
    for answer, at in polls:
        history.note(answer, at, at, evolve(TIMING, not_before=at).sent(at))
    return history


@pytest.mark.parametrize(
    ("history", "state", "limit", "kind", "code", "reason"),
    [
        # Heard near the end.
        (after((PENDING, 119.8)), State.PENDING, None, Expired, "expired", ""),
        (after((BUSY, 60.0), (PENDING, 119.8)), State.PENDING, None, Expired, "expired", ""),
        (after((PENDING, 119.8), (REFUSED, 121.0)), State.PENDING, None, Expired, "expired", "refused)"),
        # Never heard, or not for the last part.
        (after(), State.PENDING, None, Indeterminate, "unheard", "no poll was sent"),
        (after((REFUSED, 119.8)), State.PENDING, None, Indeterminate, "unheard", "(the connection was refused)"),
        (
            after((PENDING, 60.0), (BUSY, 90.0), (BUSY, 119.0)),
            State.PENDING,
            None,
            Indeterminate,
            "unheard",
            "HTTP 503",
        ),
        (after((PENDING, 60.0)), State.PENDING, None, Indeterminate, "unheard", "last 60 s"),
        # In doubt, whatever was heard.
        (after((PENDING, 119.8)), State.IN_DOUBT, None, Indeterminate, "indeterminate", ""),
        (after((BUSY, 119.8)), State.IN_DOUBT, None, Indeterminate, "indeterminate", "(HTTP 503, not JSON)"),
        # The caller's own end.
        (after((PENDING, 18.0)), State.PENDING, 20.0, Abandoned, "caller_timeout", "nobody answered"),
        (after(), State.PENDING, 2.0, Abandoned, "caller_timeout", "nobody answered"),
        (
            after((REFUSED, 9.0), (BUSY, 18.0)),
            State.PENDING,
            20.0,
            Abandoned,
            "caller_timeout_unheard",
            "2 polls in a row",
        ),
        (after((PENDING, 9.0), (REFUSED, 19.8)), State.PENDING, 20.0, Abandoned, "caller_timeout_unheard", "refused)"),
        (after((BUSY, 18.0)), State.IN_DOUBT, 20.0, Abandoned, "caller_timeout_in_doubt", "HTTP 503"),
        (after((PENDING, 18.0)), State.IN_DOUBT, 20.0, Abandoned, "caller_timeout_in_doubt", "may have been lost"),
        # A limit beyond the end is none.
        (after((PENDING, 119.8)), State.PENDING, 300.0, Expired, "expired", ""),
    ],
)
def test_how_it_ends(
    history: History, state: State, limit: float | None, kind: type[CibaError], code: str, reason: str
) -> None:
    """Only who was heard near the end lets anybody say that nobody answered; and each end says why."""
    event, error = ended_by_clock(state, evolve(TIMING, limit=limit), history)
    assert (type(error), error.code) == (kind, code)
    assert reason in error.what
    names = {Expired: State.EXPIRED, Indeterminate: State.INDETERMINATE, Abandoned: State.ABANDONED}
    assert advance(state, event) is names[kind]
    assert (event is Event.ENDED_UNHEARD) is (code == "unheard")


EXPIRED, DENIED = ErrorAnswer("expired_token", None, 400), ErrorAnswer("access_denied", None, 400)


@pytest.mark.parametrize(
    ("state", "event", "answer", "history", "kind", "what"),
    [
        (State.PENDING, Event.EXPIRED, EXPIRED, after((PENDING, 119.8)), Expired, "nobody answered in time"),
        (State.PENDING, Event.DENIED, DENIED, after((BUSY, 60.0)), Denied, "the person declined"),
        (
            State.PENDING,
            Event.ENDED_UNHEARD,
            EXPIRED,
            after((PENDING, 20.0), (REFUSED, 40.0), (BUSY, 119.0)),
            Indeterminate,
            "last 100 s of it the provider said nothing of this login (2 polls in a row, the last: HTTP 503, not JSON",
        ),
        (
            State.IN_DOUBT,
            Event.ENDED_UNHEARD,
            EXPIRED,
            after((BUSY, 119.0)),
            Indeterminate,
            "the final one (HTTP 503, not JSON; then HTTP 400, expired_token)",
        ),
        (
            State.IN_DOUBT,
            Event.DENIED,
            DENIED,
            after((REFUSED, 9.0)),
            Indeterminate,
            "(the connection was refused; then",
        ),
    ],
)
def test_how_an_answer_ends_it(
    state: State,
    event: Event,
    answer: ErrorAnswer,
    history: History,
    kind: type[CibaError],
    what: str,
) -> None:
    """Who was not heard near the end does not hear from an expiry that nobody answered."""
    error = ended_by_answer(state, event, Answered(answer, 121.0, 121.1), TIMING, history, wall=0.0)
    assert type(error) is kind
    assert what in error.what


def test_an_expiry_long_before_the_end_tells_how_long_nothing_was_heard_before_it() -> None:
    """A provider may give up early, and what came after that counts for nothing."""
    answered = Answered(EXPIRED, 80.0, 80.1)
    error = ended_by_answer(State.PENDING, Event.ENDED_UNHEARD, answered, TIMING, after((PENDING, 20.0)), wall=0.0)
    assert "for the last 60 s of it" in error.what
