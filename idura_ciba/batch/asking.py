"""Ask one person: journal the intent before the request can leave, and withdraw it if the request certainly did not."""

from __future__ import annotations

import asyncio

from attrs import define, field

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.batch.journal import Journal
from idura_ciba.batch.store import Entry
from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import (
    AlreadyPending,
    CibaError,
    ClientRejected,
    JournalError,
    LocalProtocolError,
    ProviderError,
    TransportError,
    UsageError,
)
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Asking", "Login", "until_free"]

#: Seconds between two checks whether a person is free again, if the end of their prompt is unknown.
LOOK = 5.0
#: Usage errors that concern the client, not one request.
_ABOUT_CLIENT = frozenset({"closed", "other_loop", "scheduler"})


@define(eq=False)
class Login:
    """One person's login in this run, and its progress.

    Attributes:
        task: The task that handles it.
        is_sending: Its intent is in the journal, and its request may have left.
        transaction: The accepted transaction.
    """

    task: asyncio.Task[None] | None = None
    is_sending: bool = False
    transaction: Transaction | None = field(default=None, repr=False)


class Asking:
    """Starts the logins of one batch.

    Attributes:
        stopping: No more requests may leave.
    """

    def __init__(self, client: CibaClient, journal: Journal, clock: Clock) -> None:
        self.stopping: bool = False
        self._client = client
        self._journal = journal
        self._clock = clock

    async def ask(self, entry: Entry, request: EidRequest, login: Login, *, is_new: bool) -> Transaction | Outcome:
        """Ask one person once.

        Args:
            entry: The person's entry in the journal.
            request: The request to send.
            login: Its `is_sending` is set before the request can leave.
            is_new: The journal must not have an entry with this key yet.

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
            entry.asked_at = self._clock.wall()
            entry.until = entry.asked_at + lifetime
            login.is_sending = True
            if not is_new:
                await self._journal.write(entry)
            elif not await self._journal.begin(entry):
                raise explain.named_before("key")

        login.is_sending = False
        try:
            return await self._client.start(request, before_sending=note)
        except AlreadyPending:
            raise
        except CibaError as error:
            if _is_about_all(error, sent=login.is_sending):
                if login.is_sending and not isinstance(error, JournalError):
                    await self._journal.forget(entry.key)
                raise
            return Outcome.not_begun(error)


def _is_about_all(error: CibaError, *, sent: bool) -> bool:
    """Whether nobody was asked, for a reason that concerns all requests; `sent` if the request was about to leave."""
    if isinstance(error, UsageError):
        return error.code in _ABOUT_CLIENT
    if not sent or isinstance(error, JournalError | ClientRejected | LocalProtocolError):
        # The provider's documents are unavailable, or no request can be journaled, signed or accepted.
        return True
    if isinstance(error, TransportError):
        return not error.maybe_sent
    # RFC 6585 section 4, RFC 9110 section 15.6.4: the request was not processed.
    return isinstance(error, ProviderError) and error.code == "busy"


async def until_free(error: AlreadyPending, clock: Clock) -> None:
    """Wait until the client can ask this person again."""
    transaction = error.transaction
    if isinstance(transaction, Transaction):
        await transaction.outcome()
        if (until := transaction.prompt_until) is not None:
            await asyncio.sleep(max(0.0, until - clock.wall()))
    else:
        await asyncio.sleep(LOOK)
