"""Ask one person: journal the intent before the request can leave, and withdraw it if the request certainly did not."""

from __future__ import annotations

import asyncio

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.batch.journal import Journal
from idura_ciba.batch.logins import Login
from idura_ciba.batch.store import Entry
from idura_ciba.batch.verdicts import is_about_all
from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import CibaError, JournalError
from idura_ciba.transaction.already_pending import AlreadyPending
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Asking", "until_free"]

#: Seconds between two checks whether a person is free again, if the end of their prompt is unknown.
LOOK = 5.0


class Asking:
    """Starts the logins of one batch.

    Attributes:
        stopping: No more requests may leave.
        client: Asks.
        journal: Keeps what was asked.
        clock: The clock.
        leaves_pending: Whether logins that are pending when the run stops are left to go on, and not abandoned.
    """

    leaves_pending: bool = False

    def __init__(self, client: CibaClient, journal: Journal, clock: Clock) -> None:
        self.stopping: bool = False
        self.client: CibaClient = client
        self.journal: Journal = journal
        self.clock: Clock = clock

    async def ask(
        self, entry: Entry, request: EidRequest, login: Login, *, former: Entry | None
    ) -> Transaction | Outcome:
        """Ask one person once.

        Args:
            entry: The person's entry in the journal.
            request: The request to send.
            login: Its `is_sending` is set before the request can leave.
            former: The entry of an earlier run with this key; None if the journal must not have one yet.

        Returns:
            The accepted transaction, or the outcome if there is none.

        Raises:
            AlreadyPending: The person may still have a prompt; nobody was asked.
            CibaError: Nobody was asked, for a reason that concerns all requests. The intent is withdrawn.
        """
        lifetime = max(request.prompt_lifetime, request.requested_expiry or 0)

        async def note() -> None:
            if self.stopping:
                raise explain.abandoned("stopped")
            entry.asked_at = self.clock.wall()
            entry.until = entry.asked_at + lifetime
            login.is_sending = True
            if former is not None:
                await self.journal.note(_retries(entry.person), await self.count_retries(entry.person) + 1)
                await self.journal.write(entry)
            elif not await self.journal.begin(entry):
                raise explain.named_before("key")

        login.is_sending = False
        try:
            return await self.client.start(request, before_sending=note)
        except AlreadyPending:
            raise
        except CibaError as error:
            if is_about_all(error, sent=login.is_sending):
                if login.is_sending and not isinstance(error, JournalError):
                    await self.withdraw(entry, former)
                raise
            return Outcome.not_begun(error)

    async def withdraw(self, entry: Entry, former: Entry | None) -> None:
        """Take back the intent of a person who was not asked, so that the journal is as it was before."""
        if former is None:
            await self.journal.forget(entry.key)
        else:
            await self.journal.note(_retries(entry.person), await self.count_retries(entry.person) - 1)
            await self.journal.write(former)

    async def count_retries(self, person: bytes) -> int:
        """Return how often a person was asked again because an answer was unknown."""
        return int(await self.journal.fact(_retries(person)) or 0)


async def until_free(error: AlreadyPending, clock: Clock) -> None:
    """Wait until the client can ask this person again."""
    transaction = error.transaction
    if transaction is not None:
        await transaction.outcome()
        if (until := transaction.prompt_until) is not None:
            await asyncio.sleep(max(0.0, until - clock.wall()))
    else:
        # Whoever asks them may know the end earlier than that.
        await asyncio.sleep(LOOK if error.until is None else min(LOOK, max(0.1, error.until - clock.wall())))


def _retries(person: bytes) -> str:
    return f"retries {person.hex()}"
