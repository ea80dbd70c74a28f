"""The logins of one run: their tasks, and how they are left when the run stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from attrs import define, field

from idura_ciba.transaction.transaction import Transaction

__all__ = ["Login", "Logins", "Places", "abandon_between_polls"]

#: Seconds for which stopping waits for requests and polls in flight; a long poll may take longer.
PATIENCE = 5.0


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


class Logins:
    """The logins that a run handles now.

    Args:
        ended: Called when one has ended, with the exception of its task or None.
    """

    def __init__(self, ended: Callable[[BaseException | None], None]) -> None:
        self._logins: set[Login] = set()
        self._ended = ended

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._logins)

    def begin(self, work: Coroutine[Any, Any, None], login: Login) -> None:
        """Start the task of a login."""
        self._logins.add(login)
        login.task = asyncio.get_running_loop().create_task(work)
        login.task.add_done_callback(partial(self._end, login))

    def _end(self, login: Login, task: asyncio.Task[None]) -> None:
        self._logins.discard(login)
        self._ended(None if task.cancelled() else task.exception())

    async def leave(self, *others: asyncio.Task[None]) -> None:
        """Leave all logins, and cancel other tasks. Requests in flight may complete, and so may polls."""
        logins = tuple(self._logins)
        tasks = [login.task for login in logins if login.task is not None]
        for task in others:
            task.cancel()
        tasks += others
        for login in logins:
            if login.transaction is None and login.task is not None and not login.is_sending:
                login.task.cancel()
        leaving = [
            asyncio.create_task(abandon_between_polls(login.transaction)) for login in logins if login.transaction
        ]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=PATIENCE)
        finally:
            # Also if stopping is itself cancelled.
            for login in logins:
                if login.transaction is not None:
                    login.transaction.abandon()
                elif login.task is not None:
                    login.task.cancel()
        await asyncio.gather(*tasks, *leaving, return_exceptions=True)


class Places:
    """Limits how many people are asked, wait for their turn, or have a result that was not taken yet.

    Attributes:
        count: How many places there are.
    """

    def __init__(self) -> None:
        self.count: int = 1
        self._taken = 0
        self._is_free = asyncio.Event()

    async def take(self) -> None:
        """Wait for a place."""
        while self._taken >= self.count:
            self._is_free.clear()
            await self._is_free.wait()
        self._taken += 1

    def exceed(self) -> None:
        """Take a place even if none is free."""
        self._taken += 1

    def free(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._is_free.set()


async def abandon_between_polls(transaction: Transaction) -> None:
    """Abandon a transaction once no poll is in flight, because the answer of that poll would be lost."""
    async for update in transaction.updates(polls=True):
        if update.state.is_final or update.next_poll_at is not None:
            break
    transaction.abandon()
