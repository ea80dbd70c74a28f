"""Keys that stand for other people than in earlier runs: rows have moved, or the journal is of another batch."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Final

from idura_ciba.batch.journal import Journal
from idura_ciba.batch.store import Entry, Store
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import ArgumentError

__all__ = ["People", "each", "refuse_reused_keys", "require_same_person"]

#: The people to ask: a unique key of the caller's that does not identify the person, and the request.
People = Iterable[tuple[str, EidRequest]] | AsyncIterable[tuple[str, EidRequest]]

#: Keys that are looked up together.
_TOGETHER: Final = 1000


async def each(people: People) -> AsyncIterator[tuple[str, EidRequest]]:
    """Yield people one by one, wherever they come from."""
    if isinstance(people, AsyncIterable):
        async for pair in people:
            yield pair
        return
    for pair in people:
        yield pair


async def refuse_reused_keys(journal: Journal, people: People) -> None:
    """Look up all keys before anybody is asked.

    Args:
        journal: The journal of the batch.
        people: Everybody in it. It must be possible to go through them again.

    Raises:
        UsageError: A key belongs to another person.
    """
    if journal.run == 1:
        return
    some: dict[str, bytes] = {}
    async for key, request in each(people):
        if isinstance(key, str) and isinstance(request, EidRequest):
            some[key] = journal.sealing.tag(request)
        if len(some) == _TOGETHER:
            await _compare(journal, some)
            some = {}
    await _compare(journal, some)


async def _compare(journal: Journal, people: dict[str, bytes]) -> None:
    def look(store: Store) -> None:
        for key, person in people.items():
            require_same_person(store.find(key), person)

    await journal.read(look)


def require_same_person(known: Entry | None, person: bytes) -> None:
    """Make sure that a key stands for nobody else.

    Args:
        known: The entry with this key, if there is one.
        person: The tag of the person for whom the key stands now.

    Raises:
        UsageError: It belongs to another person.
    """
    if known is not None and known.person != person:
        raise ArgumentError(
            "a key belongs to another person in this journal: the journal is of another batch, or keys changed",
            code="key_reused",
            phone="The phone has not rung for this row",
            advice="pass the journal of this batch, or a new one, and keys that always mean the same person",
        )
