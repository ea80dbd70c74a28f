"""Who must not be asked now, because a prompt of theirs is or may be on their phone.

A second order for one person cancels both at BankID and at Freja, so a person is held from before the first byte of a
request until the provider has finished with it, or until its prompt has certainly gone. Neither cancelling, abandoning
nor losing an answer lifts a hold: none of them takes the prompt from the phone.
"""

from __future__ import annotations

import math

from attrs import define

from idura_ciba.clock import Clock
from idura_ciba.errors import AlreadyPending
from idura_ciba.transaction import Transaction

__all__ = ["Hold", "Holds"]

#: Seconds for which a request whose acknowledgement was lost is taken to ring: the longest of Idura's short prompts.
UNKNOWN_LIFETIME = 120.0


@define
class Hold:
    """One person held. `transaction` is None while the acknowledgement is out, and for good where it was lost."""

    person: str
    until: float = math.inf
    transaction: Transaction | None = None
    is_held: bool = True


class Holds:
    """The people held by one client, by the tags that stand for them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, Hold] = {}

    def check(self, person: str, *, but_abandoned: bool = False) -> None:
        """Make sure that a person is free, or with `but_abandoned` only that nobody is asking them: for resuming.

        Raises:
            AlreadyPending: They are not.
        """
        hold = self._held.get(person)
        if hold is None:
            return
        if hold.until <= self._clock.monotonic():
            del self._held[person]
            return
        if but_abandoned and hold.transaction is not None and not hold.transaction.is_asking:
            return
        error = AlreadyPending(
            "this person is being asked already by this client, or may have a prompt that nobody can take back",
            phone="A second order would cancel the first",
            advice="await the transaction in `.transaction`, or wait until the prompt is gone",
        )
        error.transaction = hold.transaction
        if hold.transaction is not None:
            error.resume_token = hold.transaction.resume_token
        raise error

    def take(self, person: str) -> Hold:
        """Hold a person from now on."""
        hold = self._held[person] = Hold(person)
        return hold

    def lost(self, hold: Hold, *, lifetime: float | None) -> None:
        """The request may have arrived and nothing more is known; `lifetime` is what was asked for, if anything."""
        hold.until = self._clock.monotonic() + (lifetime or UNKNOWN_LIFETIME)

    def free(self, hold: Hold) -> None:
        """The person has no prompt."""
        hold.is_held = False
        if self._held.get(hold.person) is hold:
            del self._held[hold.person]

    def settle(self, hold: Hold) -> None:
        """Bring a hold up to date with its transaction."""
        assert hold.transaction is not None  # noqa: S101 - for type checkers
        hold.until = hold.transaction.prompt_until
        if hold.until <= self._clock.monotonic():
            self.free(hold)
