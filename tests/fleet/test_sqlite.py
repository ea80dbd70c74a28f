"""Tests of what is particular to the store in SQLite; `test_store.py` has what holds for every store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from idura_ciba.errors import StoreError
from idura_ciba.fleet.sqlite import APPLICATION, MIGRATIONS, SqliteStore
from idura_ciba.fleet.store import Held, Others, Owned


async def test_a_file_survives_its_process(tmp_path: Path) -> None:
    """With holds and logins; the worker that had them is gone, which is found out as for any other."""
    store = SqliteStore(tmp_path / "store")
    await store.open()
    await store.join("one")
    owned = await store.hold("a", b"tag", "one", seconds=60)
    assert isinstance(owned, Owned)
    await store.accept(owned, token="t", progress=b"", seconds=60, layout=1)
    await store.aclose()
    again = SqliteStore(str(tmp_path / "store"))
    await again.open()
    await again.join("two")
    assert isinstance(await again.hold("b", b"tag", "two", seconds=60), Held)
    assert (await again.bury(lease=-1)) == ["one", "two"]
    await again.join("three")
    (taken,) = await again.take("three", most=9, layouts=[1])
    assert (taken.login, taken.epoch, taken.token) == ("a", 2, "t")
    await again.aclose()


async def test_the_tables_of_an_earlier_release_are_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From each version on, and nothing in them is lost."""
    for version in range(1, len(MIGRATIONS)):
        path = tmp_path / f"store {version}"
        with monkeypatch.context() as earlier:
            earlier.setattr("idura_ciba.fleet.sqlite.MIGRATIONS", MIGRATIONS[:version])
            store = SqliteStore(path)
            await store.open()
            await store.join("one")
            # As that release did it.
            store._run(
                "INSERT INTO login (login, tag, stage, state, epoch, owner, until, changed, layout) "
                "VALUES ('a', x'00', 'asking', 'submitting', 1, 'one', 0, 0, 0)"
            )
            await store.aclose()
        store = SqliteStore(path)
        await store.open()
        assert await store.beat("one", lease=60) == Others(1)
        found = await store.census()
        assert ([worker.name for worker in found.workers], found.asking) == (["one"], 1)
        await store.aclose()


def of_another_program(path: Path) -> None:
    """A database, but not ours."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE cats (name)")


def of_a_newer_release(path: Path) -> None:
    """Ours, but later."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA application_id={APPLICATION}")
        database.execute("PRAGMA user_version=99")


def no_database(path: Path) -> None:
    """A text."""
    path.write_text("not a database, but long enough to be looked at as one" * 100, encoding="utf-8")


def a_folder(path: Path) -> None:
    """Nothing that can be written to."""
    path.mkdir()


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (of_another_program, "store_file"),
        (of_a_newer_release, "store_version"),
        (no_database, "store_file"),
        (a_folder, "store_file"),
    ],
)
async def test_what_is_no_store_of_ours_is_refused_and_left_as_it_is(
    tmp_path: Path, prepare: Callable[[Path], None], code: str
) -> None:
    """With a sentence."""
    path = tmp_path / "store"
    prepare(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError) as caught:
        await SqliteStore(path).open()
    assert caught.value.code == code
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_one_process_has_a_file_at_a_time(tmp_path: Path) -> None:
    """Two would each think that they were alone."""
    store = SqliteStore(tmp_path / "store")
    await store.open()
    with pytest.raises(StoreError) as caught:
        await SqliteStore(tmp_path / "store").open()
    assert caught.value.code == "store_file"
    await store.aclose()
    other = SqliteStore(tmp_path / "store")
    await other.open()
    await other.aclose()


async def test_a_damaged_file_is_told_as_one(tmp_path: Path) -> None:
    """Also if the damage is found long after it was opened."""
    path = tmp_path / "store"
    store = SqliteStore(path)
    await store.open()
    await store.aclose()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"?" * (len(whole) - 4096))  # all pages but the first
    store = SqliteStore(path)
    await store.open()
    with pytest.raises(StoreError, match="malformed") as caught:
        await store.join("one")
    assert caught.value.code == "store_file"
    await store.aclose()


async def test_a_full_disk_is_trouble_that_passes(tmp_path: Path) -> None:
    """Nothing of a transaction that failed is left, and the next one can begin."""
    store = SqliteStore(tmp_path / "store")
    await store.open()
    await store.join("one")
    owned = await store.hold("a", b"tag", "one", seconds=60)
    assert isinstance(owned, Owned)
    store._run("PRAGMA max_page_count=1")  # as many as there are
    for _ in range(2):
        with pytest.raises(StoreError, match="full") as caught:
            await store.end(owned, state="approved", outcome=b"x" * 100_000, gone=True)
        assert caught.value.code == "store_file"
    assert isinstance(await store.hold("b", b"tag", "one", seconds=60), Held)
    store._run("PRAGMA max_page_count=1000")
    assert await store.end(owned, state="approved", outcome=b"x" * 100_000, gone=True)
    assert isinstance(await store.hold("b", b"tag", "one", seconds=60), Owned)
    await store.aclose()
