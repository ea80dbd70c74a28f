"""The result of one person of a batch."""

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
    """The result of one person of a batch, the same with and without a crash. Instants are seconds since the epoch.

    Attributes:
        key: The caller's key.
        state: The final state.
        code: The error's stable code; None for an approved login.
        explanation: The error's sentences; None for an approved login.
        subject: The person's pseudonym at this client.
        person_confirmed: Whether the ID token confirms the person asked for; None without a login.
        acr: The assurance level reached.
        trace_id: The trace id for the provider's support.
        claims: The requested claims that are in the ID token.
        asked_at: When the request was about to leave; None if nobody was asked.
        ended_at: When the login ended.
        polls: Number of polls, as far as this process knows.
        slow_downs: Number of polls that the provider answered with `slow_down`.
        waited: Another login of the same person had to end first.
        replayed: The login ended in an earlier run, which stopped before it could deliver the result.
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
        """Combine an entry and its decrypted answer."""
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
        """Make the result of somebody who was not asked and has no entry in the journal."""
        assert outcome.error is not None  # noqa: S101 - for type checkers: nobody is logged in unasked
        return cls(key=key, state=outcome.state, code=outcome.error.code, explanation=str(outcome.error))


def write_down(entry: Entry, outcome: Outcome, sealing: Sealing, claims: Collection[str] | None) -> Result:
    """Write an outcome into an entry, with the answer encrypted, and return it as a result.

    Args:
        entry: The person's entry.
        outcome: The outcome of the login.
        sealing: Encrypts the answer.
        claims: Names of the claims to keep; None for all.
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
