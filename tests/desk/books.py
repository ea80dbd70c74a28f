"""What the tests of the desk share: people, and a desk over a simulated provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from idura_ciba.desk.book import DeskBook, Snapshot, new_id
from idura_ciba.desk.entry import Entry
from idura_ciba.testing import virtual_clock
from tests.logins import NORWEGIAN, SWEDE, MakeClient

__all__ = ["NORWEGIAN", "SWEDE", "ended", "kill", "norwegian", "opened", "swedish"]


@asynccontextmanager
async def opened(make_client: MakeClient, store: Path | None = None, **options: Any) -> AsyncIterator[DeskBook]:
    """A book over a client of its own."""
    async with DeskBook(make_client(), store, clock=virtual_clock(), **options) as book:
        yield book


async def swedish(book: DeskBook, id_: str | None = None, number: str = SWEDE, **options: Any) -> Entry:
    """Ask a Swede who has called."""
    given = {"call_initiator": "user", "message": "Your call to the municipality", **options}
    return await book.start(id_ or new_id(), "se", number, **given)


async def norwegian(book: DeskBook, id_: str | None = None, number: str = NORWEGIAN, **options: Any) -> Entry:
    """Ask a Norwegian."""
    return await book.start(id_ or new_id(), "no", number, **options)


async def ended(book: DeskBook, id_: str) -> Entry:
    """A login, once it has ended."""
    async for snapshot in book.snapshots():
        found = [entry for entry in snapshot.ended if entry.id == id_]
        if found:
            return found[0]
    raise AssertionError("the desk was stopped")


async def kill(book: DeskBook) -> None:
    """What SIGKILL leaves: nothing is said to anybody, and the files are closed."""
    for tasks in (book._tasks, book._fleet._tasks):
        await tasks.stop()
    await book._fleet._store.aclose()
    book._diary.close()


def all_of(snapshot: Snapshot) -> list[Entry]:
    """All entries, those that have not ended first."""
    return [*snapshot.open, *snapshot.ended]


async def seconds(count: float) -> None:
    """Let them pass."""
    await asyncio.sleep(count)
