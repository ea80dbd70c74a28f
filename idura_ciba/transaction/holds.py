"""Who must not be asked now, because a prompt of theirs is or may be on their phone.

A second request for one person cancels both at BankID and at Freja, so a person is held from before the first byte of a
request until the provider has finished with it, or until its prompt has certainly gone. Neither cancelling, abandoning
nor losing an answer lifts a hold: none of them takes the prompt from the phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import define, field

from idura_ciba.aio.clock import Clock
from idura_ciba.errors import AlreadyPending
from idura_ciba.transaction.driver import Driver
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Hold", "Holds"]

#: So few people are not worth looking through for those who are free again.
SMALL = 1024


@define(eq=False, weakref_slot=False)
class Hold:
    """One person held.

    Attributes:
        person: Whom, as a tag.
        driver: What asks; None while the acknowledgement is out, and for good where it was lost.
        transaction: What the caller holds of it.
    """

    person: bytes
    driver: Driver | None = None
    transaction: Transaction | None = None
    # The same person, held before.
    former: Hold | None = field(default=None, repr=False)
    _until: float = math.inf

    @property
    def until(self) -> float:
        """Monotonic instant from which on there is no prompt; minus infinity where there certainly is none."""
        return self._until if self.driver is None else self.driver.prompt_until

    def begin(self, driver: Driver) -> Transaction:
        """The provider has accepted; returns what the caller holds."""
        self.driver, self.transaction = driver, Transaction(driver)
        return self.transaction

    def end(self, until: float) -> None:
        """Nobody asks; there may be a prompt until an instant."""
        self.driver, self.transaction, self._until = None, None, until

    @property
    def may_ring(self) -> bool:
        """False once it is certain that the request never left, or that the provider has finished with it."""
        return self.until > -math.inf


class Holds:
    """The people held by one client, by the tags that stand for them.

    A person asked twice on purpose is held twice, and free when both are over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # The latest of each person, which leads to the former ones.
        self._held: dict[bytes, Hold] = {}
        self._look_through_at = SMALL

    def of(self, person: bytes) -> Sequence[Hold]:
        """What holds a person now, the latest last."""
        now = self._clock.monotonic()
        live: list[Hold] = []
        hold = self._held.pop(person, None)
        while hold is not None:
            if hold.until > now:
                live.append(hold)
            hold = hold.former
        live.reverse()
        former = None
        for hold in live:
            hold.former, former = former, hold
        if former is not None:
            self._held[person] = former
        return live

    def check(self, person: bytes, *, but_abandoned: bool = False) -> None:
        """Make sure that a person is free, or with `but_abandoned` only that nobody is asking them: for resuming.

        Raises:
            AlreadyPending: They are not.
        """
        for hold in reversed(self.of(person)):
            if but_abandoned and hold.driver is not None and not hold.driver.is_asking:
                continue
            transaction = hold.transaction
            error = AlreadyPending(
                "this person is being asked already by this client, or may have a prompt that nobody can take back",
                phone="A second request would cancel the first",
                advice="await the transaction in `.transaction`, or wait until the prompt is gone"
                if transaction
                else "wait until the prompt is gone",
            )
            error.transaction = transaction
            if transaction is not None:
                error.resume_token = transaction.resume_token
            raise error

    def take(self, person: bytes) -> Hold:
        """Hold a person from now on."""
        hold = self._held[person] = Hold(person, former=self._held.get(person))
        if len(self._held) > self._look_through_at:
            for each in list(self._held):
                self.of(each)
            self._look_through_at = max(SMALL, 2 * len(self._held))
        return hold

    def lost(self, hold: Hold, *, lifetime: float) -> None:
        """The request may have arrived and nothing more is known; such a prompt lives so many seconds at most."""
        hold.end(self._clock.monotonic() + lifetime)

    def free(self, hold: Hold) -> None:
        """The person has no prompt."""
        hold.end(-math.inf)
        self.of(hold.person)

    def settle(self, hold: Hold) -> None:
        """The transaction of a hold has ended, or has just begun."""
        if hold.until <= self._clock.monotonic():
            self.of(hold.person)
