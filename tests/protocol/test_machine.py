"""Tests of the one table that changes a transaction's state, and of what answers mean to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import LocalProtocolError
from idura_ciba.protocol.answers import (
    Acknowledgement,
    AuthenticationAnswer,
    ErrorAnswer,
    SlowedDown,
    StillPending,
    TokenAnswer,
    Tokens,
    Unusable,
    UnusableAnswer,
)
from idura_ciba.protocol.machine import (
    TRANSITIONS,
    Event,
    State,
    advance,
    is_verdict,
    judge,
    judge_acknowledgement,
    mistrusts,
)
from idura_ciba.redaction import Redacted

#: The whole machine, written down a second time: each event in each state that is not final; a dot is an event that
#: cannot happen there.
TABLE = """
event                   submitting     pending        in_doubt
acknowledged            pending        .              .
turned away             rejected       .              .
acknowledgement broken  failed         .              .
acknowledgement lost    indeterminate  .              .
not connected           failed         pending        in_doubt
put off                 .              pending        in_doubt
mistrusted              .              pending        in_doubt
still pending           .              pending        pending
slowed down             .              pending        pending
answer lost             .              in_doubt       in_doubt
approved                .              approved       approved
proof rejected          .              failed         failed
refused                 .              failed         failed
denied                  .              denied         indeterminate
expired                 .              expired        indeterminate
grant unknown           .              failed         indeterminate
ended                   .              expired        indeterminate
ended unheard           .              indeterminate  indeterminate
abandoned               .              abandoned      abandoned
handed over             .              handed_over    handed_over
"""

FINAL = {"approved", "denied", "expired", "rejected", "failed", "indeterminate", "abandoned", "handed_over"}


def read_table() -> dict[tuple[str, str], str]:
    """The table as (state, event) to state, without the dots."""
    (_, *states), *rows = (line.split("  ") for line in TABLE.strip().splitlines())
    columns = [state.strip() for state in states if state]
    read = {}
    for event, *cells in rows:
        targets = [cell.strip() for cell in cells if cell]
        read.update({(state, event): target for state, target in zip(columns, targets, strict=True) if target != "."})
    return read


EXPECTED = read_table()
TOKENS = Tokens(Redacted("a.b.c"), None, None, None, {})
ACKNOWLEDGEMENT = Acknowledgement(Redacted("id"), 120.0, 5.0, None, {})


def unusable(kind: Unusable, status: int = 0, retry_after: float | None = None) -> UnusableAnswer:
    """An answer that cannot be used."""
    return UnusableAnswer(kind, status, "because", retry_after)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_pair_of_state_and_event(state: State, event: Event) -> None:
    """An event leads where the table says, or raises and changes nothing."""
    target = EXPECTED.get((state.value, event.value))
    before = {key: dict(row) for key, row in TRANSITIONS.items()}
    if target:
        assert advance(state, event) is State(target)
    else:
        with pytest.raises(LocalProtocolError, match=f"'{event.value}' is not possible in the state '{state.value}'"):
            advance(state, event)
    assert before == TRANSITIONS


def test_an_illegal_event_is_reported_as_our_own_fault() -> None:
    """The error has a code and asks for a report; nothing stands behind it."""
    with pytest.raises(LocalProtocolError) as caught:
        advance(State.APPROVED, Event.DENIED)
    assert str(caught.value) == (
        "The event 'denied' is not possible in the state 'approved'. "
        "This is a bug in idura_ciba; please report it. [illegal_event]"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_states_are_those_of_the_table() -> None:
    """No state and no event is missing from this page."""
    assert {state.value for state in State} == FINAL | {state for state, _ in EXPECTED}
    assert {event.value for event in Event} == {event for _, event in EXPECTED}
    assert set(TRANSITIONS) == set(State)


def test_final_states_have_no_way_out() -> None:
    """And only they have none."""
    assert {state.value for state in State if state.is_final} == FINAL
    assert all(bool(TRANSITIONS[state]) is not state.is_final for state in State)


def test_every_state_can_be_reached_and_left() -> None:
    """From the first state there is a way to every state, and from every state one to an end."""

    def reachable(start: State) -> set[State]:
        seen, new = set(), {start}
        while new:
            seen |= new
            new = {target for state in new for target in TRANSITIONS[state].values()} - seen
        return seen

    assert reachable(State.SUBMITTING) == set(State)
    for state in State:
        assert any(target.is_final for target in reachable(state))


@pytest.mark.unmeasured
@given(st.sampled_from([State.SUBMITTING, State.PENDING, State.IN_DOUBT]), st.lists(st.sampled_from(Event)))
def test_any_sequence_of_events_follows_the_table(state: State, events: list[Event]) -> None:
    """Illegal events leave the state alone, and what is final stays final."""
    model = state.value
    for event in events:
        try:
            after = advance(state, event)
        except LocalProtocolError:
            after = state
        model = EXPECTED.get((model, event.value), model)
        assert after.value == model
        assert after is state or not state.is_final
        state = after


def test_doubt_is_cleared_only_by_proof_that_nothing_was_lost() -> None:
    """While in doubt, a "no" is no denial; once the provider says "pending", it is one again."""
    for proof in (Event.STILL_PENDING, Event.SLOWED_DOWN):
        assert advance(advance(State.IN_DOUBT, proof), Event.DENIED) is State.DENIED
    for nothing in (Event.NOT_CONNECTED, Event.PUT_OFF, Event.MISTRUSTED, Event.ANSWER_LOST):
        assert advance(advance(State.IN_DOUBT, nothing), Event.DENIED) is State.INDETERMINATE


# --- what the answer to the first request means -----------------------------------------------------------------------

FIRST_ANSWERS: Mapping[str, tuple[AuthenticationAnswer, Event]] = {
    "acknowledgement": (ACKNOWLEDGEMENT, Event.ACKNOWLEDGED),
    **{
        f"{status} {code}": (ErrorAnswer(code, None, status), Event.TURNED_AWAY)
        for status, code in [
            *((400, "invalid_request"), (400, "unknown_user_id"), (400, "invalid_binding_message")),
            *((401, "invalid_client"), (403, "access_denied"), (400, "slow_down"), (400, "made up")),
        ]
    },
    "never connected": (unusable(Unusable.NOT_CONNECTED), Event.NOT_CONNECTED),
    "bare 403": (unusable(Unusable.TURNED_AWAY, 403), Event.TURNED_AWAY),
    "429": (unusable(Unusable.BUSY, 429), Event.TURNED_AWAY),
    "429 with a time": (unusable(Unusable.BUSY, 429, 20.0), Event.TURNED_AWAY),
    "503 with a time": (unusable(Unusable.BUSY, 503, 20.0), Event.TURNED_AWAY),
    "503 with a time that is now": (unusable(Unusable.BUSY, 503, 0.0), Event.TURNED_AWAY),
    "503": (unusable(Unusable.BUSY, 503), Event.ACKNOWLEDGEMENT_LOST),
    "408": (unusable(Unusable.BUSY, 408), Event.ACKNOWLEDGEMENT_LOST),
    "425": (unusable(Unusable.BUSY, 425), Event.ACKNOWLEDGEMENT_LOST),
    "502": (unusable(Unusable.LOST, 502), Event.ACKNOWLEDGEMENT_LOST),
    "502 with a time": (unusable(Unusable.LOST, 502, 20.0), Event.ACKNOWLEDGEMENT_LOST),
    "no answer": (unusable(Unusable.LOST), Event.ACKNOWLEDGEMENT_LOST),
    "200 too long": (unusable(Unusable.UNACCEPTABLE, 200), Event.ACKNOWLEDGEMENT_LOST),
    "302": (unusable(Unusable.REDIRECT, 302), Event.ACKNOWLEDGEMENT_BROKEN),
    "200 that says nothing": (unusable(Unusable.BROKEN, 200), Event.ACKNOWLEDGEMENT_BROKEN),
}


@pytest.mark.parametrize(("answer", "event"), FIRST_ANSWERS.values(), ids=FIRST_ANSWERS)
def test_what_the_answer_to_the_first_request_means(answer: AuthenticationAnswer, event: Event) -> None:
    """Whatever may have made a phone ring is told apart from what certainly did not."""
    assert judge_acknowledgement(answer) is event


# --- what the answer to a poll means ----------------------------------------------------------------------------------

#: By answer: the event at first, after a strike, and after the end; `...` repeats the first.
POLL_ANSWERS: Mapping[str, tuple[TokenAnswer, Event, Any, Any]] = {
    "tokens": (TOKENS, Event.APPROVED, ..., ...),
    "authorization_pending": (StillPending(None), Event.STILL_PENDING, ..., ...),
    "slow_down": (SlowedDown(None), Event.SLOWED_DOWN, ..., ...),
    "access_denied": (ErrorAnswer("access_denied", None, 400), Event.DENIED, ..., ...),
    "access_denied, 403": (ErrorAnswer("access_denied", None, 403), Event.DENIED, ..., ...),
    "expired_token": (ErrorAnswer("expired_token", None, 400), Event.EXPIRED, ..., ...),
    "invalid_grant": (ErrorAnswer("invalid_grant", None, 400), Event.GRANT_UNKNOWN, ..., Event.EXPIRED),
    "invalid_client": (ErrorAnswer("invalid_client", None, 401), Event.MISTRUSTED, Event.REFUSED, ...),
    "invalid_client, 400": (ErrorAnswer("invalid_client", None, 400), Event.MISTRUSTED, Event.REFUSED, ...),
    **{
        code: (ErrorAnswer(code, None, 400), Event.REFUSED, ..., ...)
        for code in [
            *("invalid_request", "unauthorized_client", "unsupported_grant_type", "invalid_scope"),
            *("transaction_failed", "made up", "Access_Denied"),
        ]
    },
    **{
        f"made up, {status}": (ErrorAnswer("made up", None, status), Event.MISTRUSTED, Event.REFUSED, ...)
        for status in (402, 403, 404, 499)
    },
    **{
        f"made up, {status}": (ErrorAnswer("made up", None, status), Event.REFUSED, ..., ...)
        for status in (200, 399, 400, 401, 500)
    },
    "invalid_request, 403": (ErrorAnswer("invalid_request", None, 403), Event.REFUSED, ..., ...),
    "never connected": (unusable(Unusable.NOT_CONNECTED), Event.NOT_CONNECTED, ..., ...),
    "429": (unusable(Unusable.BUSY, 429), Event.PUT_OFF, ..., ...),
    "503": (unusable(Unusable.BUSY, 503, 20.0), Event.PUT_OFF, ..., ...),
    "502": (unusable(Unusable.LOST, 502), Event.ANSWER_LOST, ..., ...),
    "no answer": (unusable(Unusable.LOST), Event.ANSWER_LOST, ..., ...),
    "200 cut short": (unusable(Unusable.LOST, 200), Event.ANSWER_LOST, ..., ...),
    "bare 403": (unusable(Unusable.TURNED_AWAY, 403), Event.MISTRUSTED, Event.REFUSED, ...),
    "bare 401": (unusable(Unusable.TURNED_AWAY, 401), Event.MISTRUSTED, Event.REFUSED, ...),
    "unreadable 400": (unusable(Unusable.TURNED_AWAY, 400), Event.ANSWER_LOST, Event.REFUSED, ...),
    "200 too long": (unusable(Unusable.UNACCEPTABLE, 200), Event.REFUSED, ..., ...),
    "302": (unusable(Unusable.REDIRECT, 302), Event.REFUSED, ..., ...),
    "200 that says nothing": (unusable(Unusable.BROKEN, 200), Event.REFUSED, ..., ...),
}


@pytest.mark.parametrize(("answer", "first", "struck", "late"), POLL_ANSWERS.values(), ids=POLL_ANSWERS)
def test_what_the_answer_to_a_poll_means(answer: TokenAnswer, first: Event, struck: Any, late: Any) -> None:
    """Mistrust is forgiven once, an unknown id after the end has expired, and the rest always means the same."""
    struck = first if struck is ... else struck
    late = first if late is ... else late
    assert judge(answer, strikes=0, after_end=False) is first
    assert judge(answer, strikes=1, after_end=False) is struck
    assert judge(answer, strikes=2, after_end=False) is struck
    assert judge(answer, strikes=0, after_end=True) is late
    assert judge(answer, strikes=1, after_end=True) is (struck if struck is not first else late)
    # Where nobody was heard, an expiry may hide an approval that nobody has fetched; everything else means the same.
    for after_end, means in ((False, first), (True, late)):
        unheard = Event.ENDED_UNHEARD if means is Event.EXPIRED else means
        assert judge(answer, strikes=0, after_end=after_end, heard=False) is unheard


_any_unusable = st.builds(
    UnusableAnswer,
    st.sampled_from(Unusable),
    st.integers(0, 999),
    st.text(),
    st.none() | st.floats(0, allow_infinity=False),
)
_any_error = st.builds(ErrorAnswer, st.text(min_size=1), st.none() | st.text(), st.integers(100, 599))


@pytest.mark.unmeasured
@given(st.just(ACKNOWLEDGEMENT) | _any_error | _any_unusable)
def test_the_first_answer_always_means_something_possible(answer: AuthenticationAnswer) -> None:
    """No answer leads to an event that the machine refuses."""
    assert judge_acknowledgement(answer) in TRANSITIONS[State.SUBMITTING]


@pytest.mark.unmeasured
@given(
    st.sampled_from([State.PENDING, State.IN_DOUBT]),
    st.sampled_from([TOKENS, StillPending(None), SlowedDown(None)]) | _any_error | _any_unusable,
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
)
def test_an_answer_to_a_poll_always_means_something_possible(
    state: State, answer: TokenAnswer, strikes: int, after_end: bool, heard: bool
) -> None:
    """No answer leads to an event that the machine refuses, nor one to a login but tokens; a second mistrust ends."""
    if mistrusts(answer):
        assert advance(state, judge(answer, strikes=1, after_end=after_end)) is State.FAILED
    event = judge(answer, strikes=strikes, after_end=after_end, heard=heard)
    assert event in TRANSITIONS[state]
    assert heard or advance(state, event) is not State.EXPIRED
    assert (advance(state, event) is State.APPROVED) == isinstance(answer, Tokens)


#: By answer: whether it mistrusts us, and whether the provider has spoken on the login.
VERDICTS: Mapping[str, tuple[TokenAnswer, bool, bool]] = {
    "tokens": (TOKENS, False, True),
    "authorization_pending": (StillPending(None), False, True),
    "slow_down": (SlowedDown(None), False, True),
    "invalid_grant": (ErrorAnswer("invalid_grant", None, 400), False, True),
    "a known code, 403": (ErrorAnswer("access_denied", None, 403), False, True),
    "a known code, 499": (ErrorAnswer("invalid_request", None, 499), False, True),
    "made up, 400": (ErrorAnswer("made up", None, 400), False, True),
    "made up, 401": (ErrorAnswer("made up", None, 401), False, True),
    "made up, 402": (ErrorAnswer("made up", None, 402), True, False),
    "made up, 499": (ErrorAnswer("made up", None, 499), True, False),
    "made up, 500": (ErrorAnswer("made up", None, 500), False, True),
    "invalid_client, 400": (ErrorAnswer("invalid_client", None, 400), True, False),
    "invalid_client, 200": (ErrorAnswer("invalid_client", None, 200), True, False),
    "bare 403": (unusable(Unusable.TURNED_AWAY, 403), True, False),
    "unreadable 400": (unusable(Unusable.TURNED_AWAY, 400), True, False),
    "302": (unusable(Unusable.REDIRECT, 302), False, False),
    "200 that says nothing": (unusable(Unusable.BROKEN, 200), False, True),
    "200 too long": (unusable(Unusable.UNACCEPTABLE, 200), False, True),
    "no answer": (unusable(Unusable.LOST), False, True),
    "429": (unusable(Unusable.BUSY, 429), False, True),
}


@pytest.mark.parametrize(("answer", "mistrustful", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_who_has_spoken(answer: TokenAnswer, *, mistrustful: bool, verdict: bool) -> None:
    """The provider on the login, or something before it, or nobody but of our credentials."""
    assert mistrusts(answer) is mistrustful
    assert is_verdict(answer) is verdict
