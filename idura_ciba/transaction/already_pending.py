"""The error for a person who is being asked already."""

from __future__ import annotations

from idura_ciba.errors import StateError
from idura_ciba.transaction.transaction import Transaction

__all__ = ["AlreadyPending"]


class AlreadyPending(StateError):  # noqa: N818 - it says what happened, as the others do
    """This client is already asking this person, or an earlier prompt may still be on their phone.

    A second request for one person cancels both at BankID and at Freja, so nothing was sent.

    Attributes:
        transaction: The one that is pending, or was abandoned or handed over while its prompt stays on the phone; None
            while another `start` is under way, and where its answer was lost. Pickling drops it.
        login_id: The login of the fleet that has this person, where the client is one of a `Fleet`.
        until: Seconds since the epoch from which the person can be asked again at the latest; None while another
            `start` is under way.
    """

    code = "already_pending"
    transaction: Transaction | None = None
    login_id: str | None = None
    until: float | None = None

    def __getstate__(self) -> dict[str, object]:
        """Everything but the transaction, which belongs to one event loop."""
        return {name: value for name, value in super().__getstate__().items() if name != "transaction"}
