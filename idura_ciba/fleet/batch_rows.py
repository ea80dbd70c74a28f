"""The people of a batch as every replica goes through them: in slices, with the names of their logins."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from idura_ciba.batch.keys import each
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import ArgumentError
from idura_ciba.fleet.batch_store import Member
from idura_ciba.fleet.sealing import Sealing

__all__ = ["SLICE", "Everybody", "Person", "Row", "Rows"]

#: A key, a request, and perhaps what is written beside the result; None stands for a row that means nobody.
Person = tuple[str, EidRequest] | tuple[str, EidRequest, Mapping[str, Any]] | None
#: People who can be gone through more than once.
Everybody = Collection[tuple[str, EidRequest]] | Callable[[], Iterable[Person] | AsyncIterable[Person]]

#: Rows in a slice: so few that each machine, which has an equal share of the rate, gets some even of a small file; so
#: many that claiming, two or three statements for a slice, costs little beside the four of each login.
SLICE: Final = 25


@frozen
class Row:
    """One person.

    Attributes:
        key: The caller's key.
        tag: The person's.
        login: The id of the login.
        request: What to ask.
        more: What is written beside the result.
        again: Whether the person came before and is asked once.
    """

    key: str
    tag: bytes
    login: str
    request: EidRequest
    more: Mapping[str, Any]
    again: bool


class Rows:
    """All rows of a batch.

    Args:
        batch: Its name.
        people: The people.
        sealing: Hides them.
        once: Ask each person once.

    Raises:
        UsageError: The people are there only once.
    """

    def __init__(self, batch: str, people: Everybody, sealing: Sealing, *, once: bool) -> None:
        if not callable(people) and not isinstance(people, Collection):
            raise ArgumentError(
                "the people of a shared batch must be there more than once",
                code="people",
                advice="pass a list, or a function that begins them anew",
            )
        self._batch = batch
        self._people = people
        self._sealing = sealing
        self._once = once

    async def sliced(self) -> AsyncIterator[tuple[int, list[Row]]]:
        """All of them, in numbered slices.

        Raises:
            UsageError: These are not people.
        """
        seen = set[bytes]()
        number, count, rows = 0, 0, list[Row]()
        people: Any = self._people
        async for person in each(people() if callable(people) else people):
            count += 1
            if person is not None:
                key, request, *more = _checked(person)
                tag = self._sealing.tag(request)
                rows.append(Row(key, tag, self.login(key), request, more[0] if more else {}, tag in seen))
                if self._once:
                    seen.add(tag)
            if count == SLICE:
                yield number, rows
                number, count, rows = number + 1, 0, []
                await asyncio.sleep(0)  # a list of a million must not block the loop
        if count:
            yield number, rows

    async def digest(self, given: bytes | None) -> bytes:
        """What all replicas must agree on; keyed, so that nobody can try out who is in it.

        Args:
            given: Equal only for the same people. None: all of them are read.
        """
        if given is None:
            everything = hashlib.sha256()
            async for _, rows in self.sliced():
                for row in rows:
                    everything.update(row.login.encode() + row.tag)
            given = everything.digest()
        # A release that slices otherwise would leave people out.
        return self._sealing.mark(b"people", b"%d " % SLICE + given)

    def login(self, key: str) -> str:
        """The id of a login; the key is not in it, because it is the caller's."""
        return f"{self._batch}/{self._sealing.mark(self._batch.encode(), key.encode()).hex()}"

    def member(self, row: Row, *, asked_at: float | None, waited: bool) -> Member:
        """What is written beside a result."""
        about = {"key": row.key, "asked_at": asked_at, "waited": waited, "more": dict(row.more)}
        return Member(self._batch, self._sealing.hide(_about(row.login), about))

    def about(self, login: str, blob: bytes | None) -> dict[str, Any]:
        """What was written there."""
        return self._sealing.show(_about(login), blob)


def _checked(person: Any) -> Any:
    if not (isinstance(person[0], str) and person[0] and isinstance(person[1], EidRequest)):
        raise ArgumentError("people must be pairs of a key and a request", code="people")
    return person


def _about(login: str) -> str:
    """Encrypted for another purpose than the result, so that neither can stand for the other."""
    return f"about {login}"
