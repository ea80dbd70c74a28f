"""Holds: who must not be asked now, because a prompt is, or may be, on their phone.

A second request for one person cancels both at BankID and at Freja. So a person is held from before the first byte of a
request until the provider has finished with it, or until its prompt has certainly expired. Cancelling, abandoning and
losing an answer do not lift a hold: none of them takes the prompt from the phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import define, field

from idura_ciba.aio.clock import Clock
from idura_ciba.transaction.already_pending import AlreadyPending
from idura_ciba.transaction.driver import Driver
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Hold", "Holds"]

#: Below this number, people who are free again are not searched for.
SMALL = 1024


@define(eq=False, weakref_slot=False)
class Hold:
    """A hold on one person.

    Attributes:
        person: Their tag.
        driver: The driver of their transaction; None until the acknowledgement arrives, and for good if it was lost.
        transaction: The handle of their transaction.
    """

    person: bytes
    driver: Driver | None = None
    transaction: Transaction | None = None
    # An earlier hold on the same person.
    former: Hold | None = field(default=None, repr=False)
    _until: float = math.inf

    @property
    def until(self) -> float:
        """Monotonic instant from which there is no prompt; minus infinity if there certainly is none."""
        return self._until if self.driver is None else self.driver.prompt_until

    def begin(self, driver: Driver) -> Transaction:
        """The provider has accepted; returns the caller's handle."""
        self.driver, self.transaction = driver, Transaction(driver)
        return self.transaction

    def end(self, until: float) -> None:
        """There is no transaction; there may be a prompt until this instant."""
        self.driver, self.transaction, self._until = None, None, until

    @property
    def may_ring(self) -> bool:
        """False once it is certain that the request was not sent, or that the provider has finished with it."""
        return self.until > -math.inf


class Holds:
    """The holds of one client, by tag.

    A person who is asked twice on purpose is held twice, and free when both holds have ended.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # The latest hold on each person, which links to the earlier ones.
        self._held: dict[bytes, Hold] = {}
        self._look_through_at = SMALL

    def of(self, person: bytes) -> Sequence[Hold]:
        """The present holds on a person, the latest last."""
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
        """Check that a person is free; with `but_abandoned`, for resuming, only that nobody is asking them.

        Raises:
            AlreadyPending: They are not.
        """
        for hold in reversed(self.of(person)):
            if but_abandoned and hold.driver is not None and not hold.driver.is_asking:
                continue
            raise self._refusal(hold)

    def _refusal(self, hold: Hold) -> AlreadyPending:
        if hold.driver is not None and not hold.driver.state.is_final:
            what, advice = "this client is already asking this person", "await the login in `.transaction`"
        elif hold.driver is not None:
            what = "this client has asked this person, and its prompt may still be on their phone"
            advice = "go on with it with `CibaClient.rejoin`, or ask again after `.until`, when the prompt has expired"
        elif hold.until < math.inf:
            what = "an earlier request for this person may have arrived, and its prompt may still be on their phone"
            advice = "ask again after `.until`, when the prompt has expired"
        else:
            what, advice = "this client is just about to ask this person", "wait for the other start"
        error = AlreadyPending(what, phone="A second request would cancel the first", advice=advice)
        error.transaction = hold.transaction
        if hold.transaction is not None:
            error.resume_token = hold.transaction.resume_token
        if hold.until < math.inf:
            error.until = hold.until + self._clock.wall() - self._clock.monotonic()
        return error

    def take(self, person: bytes) -> Hold:
        """Hold a person."""
        hold = self._held[person] = Hold(person, former=self._held.get(person))
        if len(self._held) > self._look_through_at:
            for each in list(self._held):
                self.of(each)
            self._look_through_at = max(SMALL, 2 * len(self._held))
        return hold

    def lost(self, hold: Hold, *, lifetime: float) -> None:
        """The request may have arrived, and nothing more is known; its prompt lives `lifetime` seconds at most."""
        hold.end(self._clock.monotonic() + lifetime)

    def free(self, hold: Hold) -> None:
        """The person certainly has no prompt."""
        hold.end(-math.inf)
        self.of(hold.person)

    def settle(self, hold: Hold) -> None:
        """The transaction of a hold has begun or ended."""
        if hold.until <= self._clock.monotonic():
            self.of(hold.person)
