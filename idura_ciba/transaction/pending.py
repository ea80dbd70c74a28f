"""The transactions of one client that have not ended, and how they end when it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

from idura_ciba.redaction import Redacted
from idura_ciba.transaction.driver import Driver
from idura_ciba.transaction.holds import Hold, Holds
from idura_ciba.transaction.outcome import Handover
from idura_ciba.transaction.resume import Checkpoint
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Pending"]

#: Each takes some 50 us, most of them for its resume token.
ENDED_IN_A_TURN = 32


class Pending:
    """Keeps each transaction from its beginning to its end.

    Args:
        holds: Told when a transaction begins and ends.
    """

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        # By auth_req_id, oldest first.
        self._pending: dict[str, Hold] = {}
        self._ends = self._end_each()  # started when the client closes; shared by all who close it

    def __len__(self) -> int:
        """How many there are."""
        return len(self._pending)

    def __contains__(self, auth_req_id: str) -> bool:
        """Whether one of them has this `auth_req_id`."""
        return auth_req_id in self._pending

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """All of them, oldest first."""
        return tuple(hold.transaction for hold in self._pending.values() if hold.transaction)

    def adopt(self, driver: Driver, hold: Hold) -> Transaction:
        """A transaction has begun; returns its handle."""
        transaction = hold.begin(driver)
        self._holds.settle(hold)
        # A strategy that fails at once has ended it already.
        if not driver.state.is_final:
            self._pending[driver.auth_req_id] = hold
        return transaction

    def ended(self, auth_req_id: Redacted) -> None:
        """A transaction has ended, also one that was never adopted."""
        hold = self._pending.pop(auth_req_id, None)
        if hold is not None:
            self._holds.settle(hold)

    def latest(self, checkpoint: Checkpoint) -> Checkpoint:
        """Bring a checkpoint up to date if this client knows its transaction.

        Raises:
            ResumeError: The provider has already ended it.
        """
        for hold in self._holds.of(checkpoint.person):
            if hold.driver is not None:
                checkpoint = hold.driver.latest(checkpoint)
        return checkpoint

    async def end_in_turns(self, left: list[Handover]) -> None:
        """End all of them, some in each turn of the event loop; what resumes them is added to `left`."""
        while some := tuple(islice(self._ends, ENDED_IN_A_TURN)):
            left += some
            await asyncio.sleep(0)

    def end_at_once(self, left: list[Handover]) -> None:
        """End those that have not ended yet, for a closer that was cancelled in the midst of it."""
        left.extend(self._ends)

    def leave_behind(self, left: list[Handover]) -> None:
        """Forget all of them without ending any, because their event loop is gone; adds what resumes them to `left`."""
        left.extend(filter(None, (driver.handover(driver.resume_token()) for driver in self._drivers())))
        self._pending.clear()

    def _drivers(self) -> tuple[Driver, ...]:
        return tuple(hold.driver for hold in self._pending.values() if hold.driver)

    def _end_each(self) -> Iterator[Handover]:
        yield from filter(None, (driver.end_with_client() for driver in self._drivers()))
