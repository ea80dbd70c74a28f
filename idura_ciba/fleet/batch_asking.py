"""Asks the people of a batch as logins of the fleet: its store is the journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.batch.asking import Asking
from idura_ciba.batch.journal import Journal
from idura_ciba.batch.logins import Login
from idura_ciba.batch.store import Entry
from idura_ciba.batch.verdicts import is_about_all
from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import CibaError
from idura_ciba.fleet.batch_rows import Row, Rows
from idura_ciba.fleet.batch_store import Member
from idura_ciba.protocol.machine import State
from idura_ciba.transaction.already_pending import AlreadyPending
from idura_ciba.transaction.outcome import Outcome
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Ask", "FleetAsking"]


class Ask(Protocol):
    """Asks a person, as `Fleet.start` does."""

    def __call__(
        self, request: EidRequest, login: str, *, member: Member, note: Callable[[], None]
    ) -> Awaitable[Transaction]:
        """Ask as a login of a batch; `note` is called once the person is held, before the request leaves."""
        ...


class FleetAsking(Asking):
    """Starts the logins that one replica asks for.

    Args:
        ciba: Asks.
        journal: In memory; the run wants one.
        clock: The clock.
        ask: Asks as the fleet does.
        rows: Says what is written beside a result.
        find: Finds the row of a key.

    Attributes:
        in_store: The keys of those of whom the store knows.
    """

    leaves_pending = True

    def __init__(
        self,
        ciba: CibaClient,
        journal: Journal,
        clock: Clock,
        *,
        ask: Ask,
        rows: Rows,
        find: Callable[[str], Row],
    ) -> None:
        super().__init__(ciba, journal, clock)
        self._ask = ask
        self._rows = rows
        self._find = find
        self.in_store: set[str] = set()

    async def ask(
        self,
        entry: Entry,
        request: EidRequest,
        login: Login,
        *,
        former: Entry | None,  # noqa: ARG002 - of a journal
    ) -> Transaction | Outcome:
        """See `Asking.ask`."""

        def note() -> None:
            if self.stopping:
                raise explain.abandoned("stopped")
            login.is_sending = True

        login.is_sending = False
        entry.asked_at, row = self.clock.wall(), self._find(entry.key)
        member = self._rows.member(row, asked_at=entry.asked_at, waited=entry.waited)
        try:
            transaction = await self._ask(request, row.login, member=member, note=note)
        except AlreadyPending as error:
            if error.login_id != row.login:
                raise
            return self._known(entry.key)
        except CibaError as error:
            if error.code == "login_id":
                return self._known(entry.key)
            if is_about_all(error, sent=login.is_sending):
                raise
            outcome = Outcome.not_begun(error)
            if outcome.state is State.INDETERMINATE:
                self.in_store.add(entry.key)
            return outcome
        self.in_store.add(entry.key)
        return transaction

    async def withdraw(self, entry: Entry, former: Entry | None) -> None:
        """The fleet has done so."""

    def _known(self, key: str) -> Outcome:
        """Another replica has asked them, or is doing so: what becomes of it is in the store."""
        self.in_store.add(key)
        return Outcome(State.ABANDONED, error=explain.named_before("key"))
