"""Tests of the people of a batch as every replica goes through them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba.errors import ArgumentError
from idura_ciba.fleet.batch_rows import SLICE, Everybody, Row, Rows
from idura_ciba.fleet.sealing import Sealing
from tests.fakes import swede, swedes, swedish_number

SEALING = Sealing(b"people", AESGCM(b"k" * 32))
OTHER = Sealing(b"others", AESGCM(b"o" * 32))


def rows_of(people: Everybody, *, once: bool = False, sealing: Sealing = SEALING, batch: str = "november") -> Rows:
    """The rows of a batch."""
    return Rows(batch, people, sealing, once=once)


async def all_slices(rows: Rows) -> list[tuple[int, list[Row]]]:
    """All of them."""
    return [found async for found in rows.sliced()]


async def test_slices_are_the_same_however_the_people_come() -> None:
    """From a list, from a function, from an asynchronous one; a row that means nobody takes a place."""
    people = swedes(SLICE + 3)

    async def coming() -> AsyncIterator[Any]:
        for pair in people:
            yield pair

    expected = [[key for key, _ in people[:SLICE]], [key for key, _ in people[SLICE:]]]
    for source in (people, lambda: iter(people), coming):
        found = await all_slices(rows_of(source))
        assert [number for number, _ in found] == [0, 1]
        assert [[row.key for row in rows] for _, rows in found] == expected
    (_, first), (_, second) = await all_slices(rows_of(lambda: [None, *people]))
    assert (len(first), len(second)) == (SLICE - 1, 4)
    assert await all_slices(rows_of([])) == []


async def test_the_digest_is_that_of_these_people_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of nobody who has another secret, so that nobody can try out who is in it; nor of a release with other slices."""
    people, seen = swedes(3), set[bytes]()
    variants: list[Any] = [people, people[::-1], people[:2], [("other", swede(0)), *people[1:]], [*people, people[0]]]
    for variant in variants:
        seen.add(await rows_of(variant).digest(None))
    seen |= {await rows_of(people, sealing=OTHER).digest(None), await rows_of([]).digest(None)}
    assert len(seen) == len(variants) + 2
    assert await rows_of(list(people)).digest(None) in seen
    given = {await rows_of(people, sealing=each).digest(b"of a file") for each in (SEALING, OTHER)}
    assert len(given) == 2
    assert b"of a file" not in given
    monkeypatch.setattr("idura_ciba.fleet.batch_rows.SLICE", SLICE + 1)
    assert await rows_of(people).digest(b"of a file") not in given


async def test_an_id_says_nothing_of_the_key() -> None:
    """Which is the caller's; but it is the same on every replica, and another one in another batch."""
    name = rows_of([]).login("key of Anna")
    assert "Anna" not in name
    assert name.startswith("november/")
    assert name == rows_of(swedes(2)).login("key of Anna")
    assert len({name, rows_of([]).login("key"), rows_of([], batch="december").login("key of Anna")}) == 3


async def test_what_stands_beside_a_result_cannot_be_read_elsewhere() -> None:
    """Not in the store, not as another login's, and not as a result."""
    rows = rows_of(lambda: [("key of Anna", swede(0), {"column": "of Anna"})])  # type: ignore[list-item]
    ((_, (row,)),) = await all_slices(rows)
    member = rows.member(row, asked_at=7.5, waited=True)
    assert member.batch == "november"
    assert b"Anna" not in member.about
    assert rows.about(row.login, member.about) == {
        "key": "key of Anna",
        "asked_at": 7.5,
        "waited": True,
        "more": {"column": "of Anna"},
    }
    assert rows.about(rows.login("other"), member.about) == {}
    assert SEALING.show(row.login, member.about) == {}
    assert swedish_number(0) not in repr(member)


async def test_who_comes_again_is_told_where_each_is_asked_once() -> None:
    """By the person and not by the key; and in each slice, because others may have the one before."""
    people = [*swedes(SLICE), ("again", swede(1)), ("third", swede(1)), ("new", swede(SLICE))]
    for once, expected in ((True, ["again", "third"]), (False, [])):
        found = await all_slices(rows_of(people, once=once))
        assert [row.key for _, rows in found for row in rows if row.again] == expected


@pytest.mark.parametrize("people", [[("", swede(0))], [(7, swede(0))], [("key", "nobody")]])
async def test_what_is_nobody_is_refused(people: Any) -> None:
    """As for a batch of one machine."""
    with pytest.raises(ArgumentError) as caught:
        await all_slices(rows_of(people))
    assert caught.value.code == "people"


def test_people_who_are_there_once_are_refused() -> None:
    """Whoever takes over what another replica has left must find them again."""
    with pytest.raises(ArgumentError) as caught:
        rows_of(iter(swedes(2)))  # type: ignore[arg-type]
    assert caught.value.code == "people"
