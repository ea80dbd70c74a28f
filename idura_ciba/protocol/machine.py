"""The life of a transaction as one table.

Rules:
1. A state changes here or nowhere: `advance` looks up `TRANSITIONS`; a pair that is not in it raises and changes
   nothing.
2. A final state has no way out.
3. `in_doubt` is `pending` after an answer that may have been lost on the way. Whatever was lost was final, so from
   here the provider's "no", "too late" and "unknown id" cannot be told from the echo of an approval: they end
   `indeterminate`. Only `authorization_pending` and `slow_down` prove that nothing was lost.
4. `expired` means that the provider was heard until near the end. Where it was not, the person may have answered
   unseen, and providers let an approval expire that nobody has fetched: `indeterminate`, whoever says that it is over.
5. What the person's phone shows plays no part: no event here changes it.

The picture in the documentation is drawn from the table.

Spec: CIBA Core 1.0 sections 7.3, 10.1, 11 and 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from idura_ciba.errors import LocalProtocolError
from idura_ciba.protocol import answers

__all__ = ["TRANSITIONS", "Event", "State", "advance", "is_verdict", "judge", "judge_acknowledgement", "mistrusts"]

#: RFC 6585 section 4.
TOO_MANY = 429
#: RFC 6749 section 5.2 has the errors of a token endpoint under these; CIBA Core section 11 under the first.
BAD_REQUEST, UNAUTHORIZED = 400, 401


class State(StrEnum):
    """Where a transaction stands.

    Attributes:
        is_final: Whether nothing can change any more.
    """

    is_final: bool

    SUBMITTING = "submitting"
    PENDING = "pending"
    IN_DOUBT = "in_doubt"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    REJECTED = "rejected"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    ABANDONED = "abandoned"
    HANDED_OVER = "handed_over"


class Event(StrEnum):
    """What happened, in the past participle."""

    # while submitting
    ACKNOWLEDGED = "acknowledged"
    NOT_CONNECTED = "not connected"
    TURNED_AWAY = "turned away"
    ACKNOWLEDGEMENT_BROKEN = "acknowledgement broken"
    ACKNOWLEDGEMENT_LOST = "acknowledgement lost"
    # while waiting
    STILL_PENDING = "still pending"
    SLOWED_DOWN = "slowed down"
    PUT_OFF = "put off"
    ANSWER_LOST = "answer lost"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    GRANT_UNKNOWN = "grant unknown"
    MISTRUSTED = "mistrusted"
    REFUSED = "refused"
    PROOF_REJECTED = "proof rejected"
    # from our own side
    ENDED = "ended"
    ENDED_UNHEARD = "ended unheard"
    ABANDONED = "abandoned"
    HANDED_OVER = "handed over"


_PENDING = {
    Event.STILL_PENDING: State.PENDING,
    Event.SLOWED_DOWN: State.PENDING,
    Event.ANSWER_LOST: State.IN_DOUBT,
    Event.APPROVED: State.APPROVED,
    Event.REFUSED: State.FAILED,
    Event.PROOF_REJECTED: State.FAILED,
    Event.ABANDONED: State.ABANDONED,
    Event.HANDED_OVER: State.HANDED_OVER,
}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = MappingProxyType(
    {
        State.SUBMITTING: {
            Event.ACKNOWLEDGED: State.PENDING,
            Event.NOT_CONNECTED: State.FAILED,
            Event.TURNED_AWAY: State.REJECTED,
            Event.ACKNOWLEDGEMENT_BROKEN: State.FAILED,
            Event.ACKNOWLEDGEMENT_LOST: State.INDETERMINATE,
        },
        State.PENDING: {
            **_PENDING,
            Event.NOT_CONNECTED: State.PENDING,
            Event.PUT_OFF: State.PENDING,
            Event.MISTRUSTED: State.PENDING,
            Event.DENIED: State.DENIED,
            Event.EXPIRED: State.EXPIRED,
            Event.GRANT_UNKNOWN: State.FAILED,
            Event.ENDED: State.EXPIRED,
            Event.ENDED_UNHEARD: State.INDETERMINATE,
        },
        State.IN_DOUBT: {
            **_PENDING,
            Event.NOT_CONNECTED: State.IN_DOUBT,
            Event.PUT_OFF: State.IN_DOUBT,
            Event.MISTRUSTED: State.IN_DOUBT,
            Event.DENIED: State.INDETERMINATE,
            Event.EXPIRED: State.INDETERMINATE,
            Event.GRANT_UNKNOWN: State.INDETERMINATE,
            Event.ENDED: State.INDETERMINATE,
            Event.ENDED_UNHEARD: State.INDETERMINATE,
        },
        State.APPROVED: {},
        State.DENIED: {},
        State.EXPIRED: {},
        State.REJECTED: {},
        State.FAILED: {},
        State.INDETERMINATE: {},
        State.ABANDONED: {},
        State.HANDED_OVER: {},
    }
)


# Told by the table, and asked six times for each poll.
for _state, _onward in TRANSITIONS.items():
    _state.is_final = not _onward


def advance(state: State, event: Event) -> State:
    """The state after `event`.

    Raises:
        LocalProtocolError: The table has no such transition.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise LocalProtocolError(
            f"the event {event.value!r} is not possible in the state {state.value!r}",
            advice="this is a bug in idura_ciba; please report it",
        ) from None


#: What an answer that cannot be used means for a request that nobody has acknowledged.
_UNACKNOWLEDGED: Mapping[answers.Unusable, Event] = MappingProxyType(
    {
        answers.Unusable.NOT_CONNECTED: Event.NOT_CONNECTED,
        answers.Unusable.TURNED_AWAY: Event.TURNED_AWAY,
        answers.Unusable.BUSY: Event.ACKNOWLEDGEMENT_LOST,
        answers.Unusable.LOST: Event.ACKNOWLEDGEMENT_LOST,
        answers.Unusable.UNACCEPTABLE: Event.ACKNOWLEDGEMENT_LOST,
        answers.Unusable.REDIRECT: Event.ACKNOWLEDGEMENT_BROKEN,
        answers.Unusable.BROKEN: Event.ACKNOWLEDGEMENT_BROKEN,
    }
)


def judge_acknowledgement(answer: answers.AuthenticationAnswer) -> Event:
    """What an answer of the backchannel authentication endpoint means for the transaction.

    Spec: CIBA Core 1.0 sections 7.3 and 13.
    """
    if isinstance(answer, answers.Acknowledgement):
        return Event.ACKNOWLEDGED
    if isinstance(answer, answers.ErrorAnswer):
        return Event.TURNED_AWAY
    if answer.kind is answers.Unusable.BUSY and (answer.status == TOO_MANY or answer.retry_after is not None):
        # Refused by a limit, or with a time to come back: nobody took the request further.
        return Event.TURNED_AWAY
    return _UNACKNOWLEDGED[answer.kind]


#: What an OAuth code of a provider that trusts us means while waiting; every other one is final (RFC 8628 section 3.5).
_CODES: Mapping[str, Event] = MappingProxyType(
    {
        "access_denied": Event.DENIED,
        "expired_token": Event.EXPIRED,
        "invalid_grant": Event.GRANT_UNKNOWN,
    }
)

#: What an answer that cannot be used means while waiting.
_UNUSABLE: Mapping[answers.Unusable, Event] = MappingProxyType(
    {
        answers.Unusable.NOT_CONNECTED: Event.NOT_CONNECTED,
        answers.Unusable.BUSY: Event.PUT_OFF,
        answers.Unusable.LOST: Event.ANSWER_LOST,
        answers.Unusable.REDIRECT: Event.REFUSED,
        answers.Unusable.BROKEN: Event.REFUSED,
        # Tokens come only once, so that asking again brings nothing better.
        answers.Unusable.UNACCEPTABLE: Event.REFUSED,
    }
)


#: Codes that speak of the client and not of the login: RFC 6749 section 5.2, RFC 9449 sections 5 and 8.
_OF_THE_CLIENT = frozenset({"invalid_client", "invalid_dpop_proof", "use_dpop_nonce"})


def mistrusts(answer: answers.TokenAnswer) -> bool:
    """Whether an answer turns us away without a word on the login.

    So do `invalid_client`, codes about a proof of DPoP or its nonce, a 4xx without a code, and a code that no
    specification knows under a 4xx that carries no OAuth errors, as edges and proxies produce them. One is forgiven,
    because the next request carries fresh credentials and may meet another edge; a second in a row is not.
    """
    if isinstance(answer, answers.ErrorAnswer):
        foreign = answer.error not in answers.KNOWN_CODES and answer.status in range(UNAUTHORIZED + 1, 500)
        return answer.error in _OF_THE_CLIENT or foreign
    return isinstance(answer, answers.UnusableAnswer) and answer.kind is answers.Unusable.TURNED_AWAY


def is_verdict(answer: answers.TokenAnswer) -> bool:
    """Whether the provider itself has spoken on this login: nothing before it, and not of our credentials only."""
    redirected = isinstance(answer, answers.UnusableAnswer) and answer.kind is answers.Unusable.REDIRECT
    return not redirected and not mistrusts(answer)


def judge(answer: answers.TokenAnswer, *, strikes: int, after_end: bool, heard: bool = True) -> Event:
    """What an answer of the token endpoint means for the transaction.

    Args:
        answer: The answer as read.
        strikes: How many answers just before this one were such that `mistrusts`.
        after_end: Whether the transaction's time is certainly over; servers forget what expired long ago, so that
            `invalid_grant` then reads as expired.
        heard: Whether the provider was heard shortly before, so that an answer of the person would have been seen.

    Tokens are judged `APPROVED` here; whoever verifies them may still find `PROOF_REJECTED`.

    Spec: CIBA Core 1.0 section 11, RFC 6749 section 5.2, RFC 8628 section 3.5.
    """
    if mistrusts(answer):
        if strikes:
            return Event.REFUSED
        # Under 400 come the answers to polls. One that cannot be read may have been the last: a denial, an expiry.
        unread = isinstance(answer, answers.UnusableAnswer) and answer.status == BAD_REQUEST
        return Event.ANSWER_LOST if unread else Event.MISTRUSTED
    event = _meaning(answer)
    if event is Event.GRANT_UNKNOWN and after_end:
        event = Event.EXPIRED
    return Event.ENDED_UNHEARD if event is Event.EXPIRED and not heard else event


def _meaning(answer: answers.TokenAnswer) -> Event:
    match answer:
        case answers.Tokens():
            return Event.APPROVED
        case answers.StillPending():
            return Event.STILL_PENDING
        case answers.SlowedDown():
            return Event.SLOWED_DOWN
        case answers.ErrorAnswer():
            return _CODES.get(answer.error, Event.REFUSED)
        case _:
            return _UNUSABLE[answer.kind]
