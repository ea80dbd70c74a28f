"""What happens among replicas, told to the client's observers."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from idura_ciba.aio.clock import Clock
from idura_ciba.observe import FleetEvent, Observers
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Events"]


@frozen
class Events:
    """Tells the observers.

    Attributes:
        observers: Those of the client.
        clock: Tells the time of an event.
    """

    observers: Observers
    clock: Clock

    def of_worker(self, kind: Literal["joined", "declared_dead", "buried"], worker: str, logins: int = 0) -> None:
        """Something happened to a worker, with so many logins."""
        if self.observers:
            self.observers.tell(FleetEvent(kind, worker, logins, at=self.clock.wall()))

    def of_login(
        self,
        kind: Literal["taken_over", "fenced", "ended"],
        worker: str,
        login: str,
        transaction: Transaction | None = None,
        *,
        code: str | None = None,
    ) -> None:
        """Something happened to a login that this worker has, or had."""
        if self.observers:
            name, reference = (None, None) if transaction is None else (transaction.id, transaction.reference)
            self.observers.tell(FleetEvent(kind, worker, 1, login, name, reference, code, self.clock.wall()))
