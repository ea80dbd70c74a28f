"""Tests of reading SQLite's log; SQLite itself writes it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from idura_ciba.batch.wal import loses_commits

FRAME = 24 + 4096


@pytest.fixture(name="database")
def _database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with a log of three commits."""
    database = sqlite3.connect(tmp_path / "d", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (x)")
    for nth in range(2):
        database.execute("INSERT INTO t VALUES (?)", (nth,))
    yield database
    database.close()


def copied(database: sqlite3.Connection, tmp_path: Path) -> Path:
    """The log as a kill would leave it."""
    assert database.in_transaction is False
    return Path(shutil.copy(tmp_path / "d-wal", tmp_path / "copy-wal"))


def flip(path: Path, place: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_a_good_log_is_read_whole(database: sqlite3.Connection, tmp_path: Path) -> None:
    """Nothing is passed over."""
    assert not loses_commits(copied(database, tmp_path))


def test_no_log_loses_nothing(tmp_path: Path) -> None:
    """Nor does an empty one."""
    assert not loses_commits(tmp_path / "none")
    (tmp_path / "empty").touch()
    assert not loses_commits(tmp_path / "empty")


@pytest.mark.parametrize("place", [0, 3, 9, 17, 27, 32 + 30, 32 + 24 + 2000, 32 + FRAME + 18, 32 + FRAME + 700])
def test_a_flipped_bit_before_the_last_commit_is_noticed(
    database: sqlite3.Connection, tmp_path: Path, place: int
) -> None:
    """In the header, in a frame's own header, in a page."""
    path = copied(database, tmp_path)
    flip(path, place)
    assert loses_commits(path)


def test_what_was_never_committed_is_no_loss(database: sqlite3.Connection, tmp_path: Path) -> None:
    """Half a transaction at the end, and half a frame, are what kills leave."""
    path = copied(database, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[-FRAME:][:4] + bytes(4) + whole[-FRAME:][8:])
    assert not loses_commits(path)
    path.write_bytes(whole + whole[-FRAME:][:100])
    assert not loses_commits(path)


def test_frames_of_an_older_log_are_none(database: sqlite3.Connection, tmp_path: Path) -> None:
    """After a checkpoint SQLite writes over the log from its beginning."""
    before = copied(database, tmp_path).stat().st_size
    database.execute("PRAGMA wal_checkpoint(RESTART)")
    database.execute("INSERT INTO t VALUES (9)")
    path = copied(database, tmp_path)
    assert path.stat().st_size == before
    assert not loses_commits(path)
    flip(path, 32 + 700)
    assert loses_commits(path)


def test_a_header_that_was_cut_off_is_broken(database: sqlite3.Connection, tmp_path: Path) -> None:
    """Nothing behind it can be read."""
    path = copied(database, tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    assert loses_commits(path)
