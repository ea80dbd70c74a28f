"""A login that this worker asks for."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define, field

from idura_ciba.fleet.store import Owned
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Own"]


@define(eq=False)
class Own:
    """One of them.

    Attributes:
        owned: Its id, and the right to write about it.
        transaction: Asks.
        accepted: Set once the store knows that the provider has accepted.
        following: Stores what becomes of it.
        shown: Its progress, as people may see it.
        watched: Whether somebody watches it on another replica.
        taken: Whether it is another worker's by now.
    """

    owned: Owned
    transaction: Transaction
    accepted: asyncio.Event = field(factory=asyncio.Event)
    following: asyncio.Task[None] | None = None
    shown: dict[str, Any] = field(factory=dict)
    watched: bool = False
    taken: bool = False

    def show(self, hint: str | None = None, phase: str = "unknown") -> None:
        """Note what people may see of it now."""
        transaction = self.transaction
        shown = {
            "words": transaction.spoken_words,
            "reference": transaction.reference,
            "hint": hint,
            "phase": phase,
        }
        self.shown = {name: value for name, value in shown.items() if value is not None}
