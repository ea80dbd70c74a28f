"""Those who await a transaction or watch its progress; made only for transactions that have any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from attrs import define, evolve, field

from idura_ciba.transaction.outcome import Outcome, Update

__all__ = ["Watchers"]


@define(eq=False)
class Watchers:
    """The awaiters and watchers of one transaction."""

    _awaiting: set[asyncio.Future[Outcome]] = field(init=False, factory=set)
    _watching: asyncio.Future[None] | None = field(init=False, default=None)

    async def outcome(self) -> Outcome:
        """Wait for the end."""
        # A future for each awaiter, so that cancelling one affects no other; a shield would cost twice as much.
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._awaiting.add(ended)
        try:
            return await ended
        finally:
            self._awaiting.discard(ended)
            del ended  # it keeps the cancellation, whose frames keep it

    async def updates(
        self, present: Callable[[], Update], *, polls: bool, until: asyncio.Event | None
    ) -> AsyncIterator[Update]:
        """What `present` returns now, and again after each change, until its state is final; the same never twice.

        Args:
            present: Makes an update of the present.
            polls: Whether polls count as changes.
            until: Ends it when it is set.
        """
        last: object = None
        over = None if until is None else asyncio.ensure_future(until.wait())
        try:
            while True:
                changed = self.next_change()
                update = present()
                shown = update if polls else evolve(update, polls=0, next_poll_at=None)
                if shown != last:
                    last = shown
                    yield update
                elif over is None:
                    await asyncio.shield(changed)
                else:
                    await asyncio.wait((changed, over), return_when=asyncio.FIRST_COMPLETED)
                if update.state.is_final or (until is not None and until.is_set()):
                    return
        finally:
            if over is not None:
                over.cancel()

    def next_change(self) -> asyncio.Future[None]:
        """Done at the next change; shared by all who watch, so it must be shielded."""
        self._watching = self._watching or asyncio.get_running_loop().create_future()
        return self._watching

    def changed(self) -> None:
        """Wake those who watch."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.set_result(None)

    def ended(self, outcome: Outcome) -> None:
        """Give the outcome to those who await it, and wake those who watch."""
        for ended in self._awaiting:
            if not ended.done():
                ended.set_result(outcome)
        self.changed()
