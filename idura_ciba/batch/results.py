"""What came of one person of a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Self

from attrs import field, frozen

from idura_ciba.batch.sealing import Sealing
from idura_ciba.batch.store import Entry
from idura_ciba.protocol.machine import State
from idura_ciba.transaction.outcome import Outcome

__all__ = ["Result", "write_down"]


@frozen(kw_only=True)
class Result:
    """What came of one person of a batch; the same after a crash as without one. Instants are seconds since the epoch.

    Attributes:
        key: The caller's.
        state: How it ended.
        code: The error's stable word; None for a login.
        explanation: The error's sentences; None for a login.
        subject: The person's pseudonym at this client.
        person_confirmed: Whether the token says that it was the person asked for; None without a login.
        acr: The level reached.
        trace_id: For the provider's support.
        claims: Those that were asked for and are in the token.
        asked_at: When the request was about to leave; None where nobody was asked.
        ended_at: When it was over.
        polls: How many polls it took, as far as this process knows.
        slow_downs: How many of them the provider found too early.
        waited: Another login of the same person had to end first.
        replayed: It ended in an earlier run, which could not hand it over any more.
    """

    key: str
    state: State
    code: str | None = None
    explanation: str | None = None
    subject: str | None = field(default=None, repr=False)
    person_confirmed: bool | None = None
    acr: str | None = None
    trace_id: str | None = None
    claims: Mapping[str, Any] = field(factory=dict, repr=False)
    asked_at: float | None = None
    ended_at: float | None = None
    polls: int = 0
    slow_downs: int = 0
    waited: bool = False
    replayed: bool = False

    @classmethod
    def of(cls, entry: Entry, answer: Mapping[str, Any], *, replayed: bool = False) -> Self:
        """What an entry and its answer say together."""
        assert entry.state is not None  # noqa: S101 - for type checkers: it has ended
        return cls(
            key=entry.key,
            state=State(entry.state),
            code=entry.code,
            asked_at=entry.asked_at or None,
            ended_at=entry.ended_at,
            polls=entry.polls,
            slow_downs=entry.slow_downs,
            waited=entry.waited,
            replayed=replayed,
            **answer,
        )

    @classmethod
    def of_nobody(cls, key: str, outcome: Outcome) -> Self:
        """Somebody who was not asked and of whom the journal knows nothing."""
        assert outcome.error is not None  # noqa: S101 - for type checkers: nobody is logged in unasked
        return cls(key=key, state=outcome.state, code=outcome.error.code, explanation=str(outcome.error))


def write_down(entry: Entry, outcome: Outcome, sealing: Sealing, claims: Collection[str] | None) -> Result:
    """Put how it ended into an entry, and what it said, encrypted; returns both as a result.

    Args:
        entry: Of the person.
        outcome: What came of it.
        sealing: Encrypts.
        claims: Those to keep; None for all.
    """
    login, error = outcome.authentication, outcome.error
    answer: dict[str, Any]
    if login is not None:
        chosen = {name: value for name, value in login.claims.items() if claims is None or name in claims}
        answer = {
            "subject": login.subject,
            "person_confirmed": login.person_confirmed,
            "acr": login.acr,
            "trace_id": login.trace_id,
            "claims": chosen,
        }
    else:
        assert error is not None  # noqa: S101 - for type checkers: one of the two is always there
        entry.code = error.code
        answer = {"explanation": str(error), "trace_id": error.trace_id}
    entry.state = outcome.state.value
    entry.polls += outcome.polls
    entry.slow_downs += outcome.slow_downs
    entry.token = None
    entry.answer = sealing.encrypt(entry.key, answer)
    return Result.of(entry, answer)
