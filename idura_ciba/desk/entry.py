"""A login as the desk knows it: an immutable value, to be shown, kept and exported. The number is never part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from attrs import evolve, field, frozen

from idura_ciba.eids.phase import Phase
from idura_ciba.fleet import FleetOutcome
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted, clean
from idura_ciba.trust.refusal import DISTRUSTED

__all__ = ["DETAILS_LOST", "Entry", "Verdict"]

#: The end is known, and who it was is not: the command stopped between fetching the outcome and writing it down.
DETAILS_LOST: Final = "details_lost"

#: What an agent must see at a glance. `unconfirmed`: somebody has approved, and nothing says that it was this person;
#: `distrusted`: the answer is about somebody else, or not genuine.
Verdict = Literal["asking", "confirmed", "unconfirmed", "no", "unknown", "stopped", "trouble", "distrusted"]

_VERDICTS: Final[Mapping[State, Verdict]] = {
    State.DENIED: "no",
    State.EXPIRED: "no",
    State.INDETERMINATE: "unknown",
    State.ABANDONED: "stopped",
    State.REJECTED: "trouble",
    State.FAILED: "trouble",
}


def _hidden(text: str | None) -> Redacted | None:
    return None if text is None else Redacted(text)


@frozen(kw_only=True)
class Entry:
    """One login at one instant.

    Attributes:
        id: Its id in the fleet: random, and the only thing of it that may stand in an address.
        nth: Which one of the day it is, from 1: how an agent tells two callers apart before either has a name.
        eid: The short name of the eID.
        label: What people call the eID.
        note: The agent's own note, such as a case number; may be empty.
        asked_at: When the agent asked, in seconds since the epoch.
        state: Where it stands.
        phase: What to tell people about that.
        hint: The provider's latest word, while nothing is known of what it means. Foreign text.
        words: Words to read aloud, until the end.
        until: When the prompt goes from the phone at the latest, in seconds since the epoch; None if it is not known.
        tag: The person's, meaningless without the client's key: a form that comes again must be about the same one.
        again_at: When somebody last wanted to ask this person again, which rang nobody; None if nobody did.
        ended_at: When it ended; None before.
        name: The person's name as the ID token has it; None unless approved, or without that claim.
        level: The level reached, as the ID token spells it.
        confirmed: Whether the ID token names the person who was asked for.
        code: The error's stable code; None unless it ended in one.
        explanation: The error in English sentences, for whoever runs the desk.
        trace_id: The provider's trace id of its last answer.
        is_done: Whether the agent has seen the result and is done with it; then only the list of the day has it.
    """

    id: str
    nth: int
    eid: str
    label: str
    note: Redacted = field(default=Redacted(), converter=Redacted)
    asked_at: float
    state: State = State.SUBMITTING
    phase: Phase = Phase.WAITING
    hint: Redacted | None = field(default=None, converter=_hidden)
    words: Redacted | None = field(default=None, converter=_hidden)
    until: float | None = None
    tag: str = field(default="", repr=False)
    again_at: float | None = None
    ended_at: float | None = None
    name: Redacted | None = field(default=None, converter=_hidden)
    level: str | None = None
    confirmed: bool = False
    code: str | None = None
    explanation: str | None = None
    trace_id: str | None = None
    is_done: bool = False

    @property
    def verdict(self) -> Verdict:
        """What an agent must see at a glance."""
        if self.state is State.APPROVED:
            return "confirmed" if self.confirmed else "unconfirmed"
        if self.code in DISTRUSTED:
            return "distrusted"
        return _VERDICTS.get(self.state, "asking")

    def ended(self, outcome: FleetOutcome, *, at: float) -> Self:
        """This login, once it has ended: the name is all that is taken of the person."""
        if outcome.delivered and outcome.state is State.APPROVED:
            # An approval of nobody knows whom is no answer.
            outcome = FleetOutcome(State.INDETERMINATE, code=DETAILS_LOST)
        name = outcome.claims.get("name")
        return evolve(
            self,
            state=outcome.state,
            phase=Phase(outcome.state),
            hint=None,
            words=None,
            ended_at=at,
            name=clean(name) if isinstance(name, str) and name.strip() else None,
            level=outcome.acr,
            confirmed=outcome.person_confirmed,
            code=outcome.code,
            explanation=outcome.message,
            trace_id=outcome.trace_id,
        )

    def kept(self) -> dict[str, Any]:
        """What is kept of it, as JSON can carry it; listed by hand, so that nothing new slips in. Seal it."""
        return {
            "nth": self.nth,
            "eid": self.eid,
            "label": self.label,
            "note": self.note,
            "asked_at": self.asked_at,
            "state": self.state.value,
            "until": self.until,
            "tag": self.tag,
            "ended_at": self.ended_at,
            "name": self.name,
            "level": self.level,
            "confirmed": self.confirmed,
            "code": self.code,
            "explanation": self.explanation,
            "trace_id": self.trace_id,
            "is_done": self.is_done,
        }

    @classmethod
    def read(cls, id_: str, members: Mapping[str, Any]) -> Self:
        """The way back; how far the person is, is not kept, and read from the fleet."""
        state = State(members["state"])
        phase = Phase(state) if state.is_final else Phase.UNKNOWN
        return cls(id=id_, phase=phase, **{**members, "state": state})
