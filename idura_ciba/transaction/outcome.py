"""Values that describe a transaction: progress while it is pending, and its outcome."""

from __future__ import annotations

import copy
from typing import Self

from attrs import frozen

from idura_ciba.eids.phase import Phase
from idura_ciba.errors import Abandoned, CibaError, HandedOver, Indeterminate, ProviderError
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted
from idura_ciba.trust.authentication import Authentication

__all__ = ["Handover", "Outcome", "Update"]


@frozen
class Outcome:
    """How a transaction ended, as a value.

    Attributes:
        state: One of the final states.
        authentication: The login when `state` is `approved`, else None.
        error: Why there is none, else None.
        polls: How many polls it took.
        slow_downs: How many of them the provider found too early.
        reference: The caller's own, as given to `start`.
    """

    state: State
    authentication: Authentication | None = None
    error: CibaError | None = None
    polls: int = 0
    slow_downs: int = 0
    reference: str | None = None

    @classmethod
    def not_begun(cls, error: CibaError) -> Self:
        """Make an outcome of an error that `CibaClient.start` or `resume` raised."""
        state = State.FAILED
        if isinstance(error, ProviderError):
            state = State.REJECTED
        elif isinstance(error, Indeterminate):
            state = State.INDETERMINATE
        elif isinstance(error, Abandoned):
            state = State.ABANDONED
        elif isinstance(error, HandedOver):
            state = State.HANDED_OVER
        return cls(state, error=error, reference=error.reference)

    def result(self) -> Authentication:
        """The login.

        Raises:
            CibaError: The outcome's error.
        """
        if self.error is not None:
            # A copy for each caller: a shared error would collect everybody's tracebacks.
            raise copy.copy(self.error)
        assert self.authentication is not None  # noqa: S101 - one of the two is always there
        return self.authentication


@frozen
class Update:
    """Progress to show while a person is being asked. Instants are seconds since the epoch.

    Attributes:
        state: Where the transaction stands.
        hint: The provider's latest word on progress, verbatim. Foreign text: escape it before showing it.
        phase: What it means, over all eIDs; `phase.text("sv")` is a text for people. At the end, how it ended.
        polls: Answers waited for so far.
        next_poll_at: When the next poll is due; None while one is under way and at the end.
        expires_at: When the prompt goes from the phone at the latest.
        reference: The caller's own, as given to `start`.
    """

    state: State
    hint: str | None
    phase: Phase
    polls: int
    next_poll_at: float | None
    expires_at: float
    reference: str | None = None


@frozen
class Handover:
    """A pending login that a closing client leaves to whoever resumes it.

    Attributes:
        reference: The caller's own, as given to `start`.
        id: The name of its transaction here; a resumed one has another.
        token: Resumes it in `CibaClient.resume`, here or in another process; a secret.
        state: Where it stood: `pending`, or `in_doubt` if an answer may have been lost.
    """

    reference: str | None
    id: str
    token: Redacted
    state: State
