"""The transactions of one client that have not ended, and how they end when it closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice

from idura_ciba.ping.desk import PingDesk
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.driver import Driver
from idura_ciba.transaction.holds import Hold, Holds
from idura_ciba.transaction.outcome import Handover
from idura_ciba.transaction.resume import Checkpoint
from idura_ciba.transaction.transaction import Transaction

__all__ = ["OnClose", "Pending"]

_logger = logging.getLogger("idura_ciba")

#: Is told what was pending when the client was closed.
OnClose = Callable[[Sequence[Handover]], Awaitable[None] | None]

#: Each takes some 50 us, most of them for its resume token.
ENDED_IN_A_TURN = 32


class Pending:
    """Keeps each transaction from its beginning to its end.

    Args:
        holds: Told when a transaction begins and ends.
        on_close: Given what closing has left; awaited if it returns an awaitable.
        pings: Told which transactions await a ping.
    """

    def __init__(self, holds: Holds, on_close: OnClose | None = None, pings: PingDesk | None = None) -> None:
        self._holds = holds
        self._pings = pings
        self._on_close = on_close
        # What closing has left: not yet given to `on_close`, and not yet returned by `close`.
        self._left: list[Handover] = []
        self._given: list[Handover] = []
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

    def adopt(self, driver: Driver, hold: Hold, *, resumed: bool = False) -> Transaction:
        """A transaction begins, or goes on; returns its handle."""
        transaction = hold.begin(driver)
        driver.begin(resumed=resumed)
        self._holds.settle(hold)
        # A strategy that fails at once has ended it already.
        if not driver.state.is_final:
            self._pending[driver.auth_req_id] = hold
            if self._pings is not None and driver.said.nonce is not None:
                self._pings.expect(driver.said.nonce, driver.auth_req_id, driver.pinged)
        return transaction

    def ended(self, auth_req_id: Redacted) -> None:
        """A transaction has ended, also one that was never adopted."""
        hold = self._pending.pop(auth_req_id, None)
        if hold is not None:
            if self._pings is not None and hold.driver is not None and hold.driver.said.nonce is not None:
                self._pings.ended(hold.driver.said.nonce, over=not hold.may_ring)
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

    async def end_in_turns(self) -> None:
        """End all of them because the client closes, some in each turn of the event loop."""
        while some := tuple(islice(self._ends, ENDED_IN_A_TURN)):
            self._left += some
            await asyncio.sleep(0)

    def end_at_once(self) -> None:
        """End those that have not ended yet, for a closer that was cancelled in the midst of it."""
        self._left += self._ends

    async def leave_behind(self) -> list[Handover]:
        """Hand all of them over without ending any, because their event loop is gone; returns what was left."""
        self._left += filter(None, (driver.handover(driver.resume_token()) for driver in self._drivers()))
        self._pending.clear()
        await self.hand_over()
        return self.take_left()

    async def hand_over(self) -> None:
        """Give what was left to `on_close`. Whatever that raises, nothing is lost: the next call gives it again."""
        left, self._left = self._left, []
        try:
            if left and self._on_close is not None and (told := self._on_close(tuple(left))) is not None:
                await told
        except BaseException:
            self._left = left + self._left
            raise
        self._given += left

    def take_left(self) -> list[Handover]:
        """What was left, handed over, and not taken yet."""
        given, self._given = self._given, []
        return given

    def warn_of_dropped(self, left: Sequence[Handover]) -> None:
        """Say so where what closing has left is kept by nobody."""
        if left and self._on_close is None:
            _logger.warning(
                "%d pending logins were dropped when the client was closed: nobody can fetch their answers; pass "
                "on_close to CibaClient, or call close() and keep what it returns",
                len(left),
            )

    def _drivers(self) -> tuple[Driver, ...]:
        return tuple(hold.driver for hold in self._pending.values() if hold.driver)

    def _end_each(self) -> Iterator[Handover]:
        yield from filter(None, (driver.end_with_client() for driver in self._drivers()))
