"""How a transaction ends: by an answer that brought no tokens, or because its time is over and nobody has said so.

`expired` only where the provider was heard near the end: otherwise the person may have answered unseen.
"""

from __future__ import annotations

from attrs import field, frozen

from idura_ciba import explain
from idura_ciba.errors import CibaError
from idura_ciba.http.backchannel import Answered
from idura_ciba.protocol.answers import TokenAnswer, why
from idura_ciba.protocol.machine import Event, State, advance
from idura_ciba.protocol.timing import Timing
from idura_ciba.transaction.history import History
from idura_ciba.transaction.outcome import Outcome

__all__ = ["DECISIONS", "EXPIRIES", "STOPPED", "Ended", "ended_by_answer", "ended_by_clock", "keeps_prompting"]

#: Events after which the person has decided.
DECISIONS = frozenset({Event.APPROVED, Event.DENIED, Event.PROOF_REJECTED})
#: Events that may stand for the provider's word that the login has expired.
EXPIRIES = frozenset({Event.EXPIRED, Event.ENDED_UNHEARD})
#: Events by which this side stops, while the prompt stays on the phone.
STOPPED = frozenset({Event.ABANDONED, Event.HANDED_OVER})


@frozen
class Ended:
    """What there is of a transaction that has ended.

    Attributes:
        outcome: How.
        resumable: Whether it can be resumed.
        prompting: Whether its prompt may still be on the phone.
    """

    outcome: Outcome
    resumable: bool = field(kw_only=True)
    prompting: bool = field(kw_only=True)


def keeps_prompting(state: State, event: Event) -> bool:
    """Whether a prompt may stay on the phone after such an end: the provider did not finish it."""
    return event in STOPPED or (state is State.FAILED and event is not Event.PROOF_REJECTED)


def ended_by_answer(
    state: State, event: Event, answered: Answered[TokenAnswer], timing: Timing, history: History, *, wall: float
) -> CibaError:
    """What a final answer that is no token means, in words.

    Args:
        state: Before the answer.
        event: What the answer means to the machine.
        answered: The answer.
        timing: As of the poll that brought it.
        history: The polls before it.
        wall: Seconds since the epoch.
    """
    answer, trouble = answered.answer, history.trouble
    if event is Event.ENDED_UNHEARD and state is State.PENDING:
        silence = history.silence(timing, until=answered.sent_at)
        ending = explain.unheard(silence, trouble, last=why(answer))
        ending.error = explain.wire_code(answer)
        return ending
    return explain.final_answer(
        advance(state, event), answer, wall=wall, server_date=answered.server_date, trouble=trouble
    )


def ended_by_clock(state: State, timing: Timing, history: History) -> tuple[Event, CibaError]:
    """What has happened when the time is over by this clock, and the words for it."""
    in_doubt, trouble = state is State.IN_DOUBT, history.trouble
    if timing.limited:
        return Event.ABANDONED, explain.limit_passed(in_doubt=in_doubt, trouble=trouble)
    if in_doubt:
        return Event.ENDED, explain.indeterminate(trouble=trouble)
    if history.heard_within(timing):
        return Event.ENDED, explain.expired("deadline", trouble=trouble)
    return Event.ENDED_UNHEARD, explain.unheard(history.silence(timing), trouble)
