"""Tests of what others want of the logins of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from idura_ciba.fleet.listening import Listening
from idura_ciba.fleet.login import Watch
from idura_ciba.fleet.own import Own
from idura_ciba.fleet.store import Change, Owned, Wish


class Beside:
    """A store that tells changes, a worker, and logins."""

    name = "me"

    def __init__(self, *told: Change, cancelled: tuple[str, ...] = ()) -> None:
        self.told = told
        self.wanted = cancelled
        self.stopped: list[str] = []
        self.noted: list[str] = []
        self.looked = 0
        self.pinged: list[str] = []
        self.watch = Watch()
        self.own = {login: Own(Owned(login, 1), self._transaction(login)) for login in "ab"}

    def _transaction(self, login: str) -> Any:
        return SimpleNamespace(abandon=lambda: self.stopped.append(login))

    async def changes(self) -> AsyncIterator[Change]:
        """All at once."""
        for change in self.told:
            yield change

    async def cancelled(self, worker: str) -> tuple[str, ...]:
        """Those that somebody wanted to stop."""
        assert worker == "me"
        return self.wanted

    async def once(self, work: Any) -> None:
        """The store is there."""
        await work

    async def take_soon(self) -> None:
        """Count."""
        self.looked += 1

    async def note(self, own: Own) -> None:
        """Remember."""
        self.noted.append(own.owned.login)

    async def hear(self) -> None:
        """Everything that is told."""
        me: Any = self
        tasks: list[asyncio.Task[None]] = []

        def spawn(work: Any) -> Any:
            tasks.append(asyncio.get_running_loop().create_task(work))
            return tasks[-1]

        hear = self.pinged.append
        await Listening(me, me, self.own, watch=self.watch, note=self.note, hear=hear, spawn=spawn).listen()
        await asyncio.gather(*tasks)


async def test_wishes_are_fulfilled_by_the_owner() -> None:
    """To stop, and to write down progress, once however often it is wanted; those of others are others'."""
    wishes = [Change("a", Wish.STOP), Change("b", Wish.WATCH), Change("b", Wish.WATCH), Change("c", Wish.STOP)]
    beside = Beside(*wishes)
    await beside.hear()
    assert (beside.stopped, beside.noted, beside.looked) == (["a"], ["b"], 0)


async def test_changes_wake_who_waits_and_wishes_do_not() -> None:
    """Whoever asks for the login hears of its changes first."""
    beside = Beside(Change("a"), Change("b", Wish.WATCH))
    changed, wanted = beside.watch.next("a"), beside.watch.next("b")
    await beside.hear()
    assert (changed.is_set(), wanted.is_set()) == (True, False)


async def test_after_something_was_missed_everything_is_looked_at() -> None:
    """Wishes that were not heard, logins that nobody has, and whoever waits."""
    beside = Beside(Change(None), cancelled=("b", "c"))
    waiting = beside.watch.next("a")
    await beside.hear()
    assert (beside.stopped, beside.looked, waiting.is_set()) == (["b"], 1, True)


async def test_what_is_said_of_pings_is_no_change() -> None:
    """Nobody looks around for it."""
    beside = Beside(Change(None, ping="sealed"))
    waiting = beside.watch.next("a")
    await beside.hear()
    assert (beside.pinged, beside.looked, waiting.is_set()) == (["sealed"], 0, False)
