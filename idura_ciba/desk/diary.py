"""The logins of the day, in an SQLite file of their own, where only this client can read them.

Rules:
1. Readable without the key: random ids, and when an entry may be forgotten. Everything else is sealed.
2. What is forgotten is overwritten (`secure_delete`), not only unlinked.
3. An entry that was sealed with another credential is as good as none, and goes with its day.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from idura_ciba.desk.entry import Entry
from idura_ciba.errors import StoreError
from idura_ciba.fleet.sealing import Sealing

__all__ = ["Diary"]

#: Marks the file: "cibd" in ASCII.
_APPLICATION: Final = 0x63696264
_TABLE: Final = "CREATE TABLE entry (id TEXT PRIMARY KEY, at REAL NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID"


class Diary:
    """Remembers entries.

    Args:
        path: The file; None: in memory.
        sealing: Hides what they say.
    """

    def __init__(self, path: Path | None, sealing: Sealing) -> None:
        self._path = ":memory:" if path is None else str(path)
        self._sealing = sealing
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, which no other process may have open.

        Raises:
            StoreError: It cannot be used, or is another program's.
        """
        with _as_store_error():
            database = sqlite3.connect(self._path, isolation_level=None, timeout=0)
            try:
                _prepare(database)
            except BaseException:
                database.close()
                raise
        self._database = database

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def write(self, entry: Entry) -> None:
        """Remember an entry, in place of what was said of it before.

        Raises:
            StoreError: It cannot be written.
        """
        sealed = self._sealing.hide(_about(entry.id), entry.kept())
        self._run("INSERT OR REPLACE INTO entry (id, at, sealed) VALUES (?, ?, ?)", entry.id, entry.asked_at, sealed)

    def forget(self, *ids: str) -> None:
        """Forget entries.

        Raises:
            StoreError: It cannot be written.
        """
        for id_ in ids:
            self._run("DELETE FROM entry WHERE id = ?", id_)

    def read(self, *, since: float) -> list[Entry]:
        """The entries that can be read here, the eldest first; of the others, those from before `since` are forgotten.

        Raises:
            StoreError: It cannot be read.
        """
        found = []
        for id_, at, sealed in self._run("SELECT id, at, sealed FROM entry ORDER BY at"):
            members = self._sealing.show(_about(id_), sealed)
            if members:
                found.append(Entry.read(id_, members))
            elif at < since:
                self.forget(id_)
        return found

    def _run(self, statement: str, *values: object) -> list[tuple[str, float, bytes]]:
        assert self._database is not None, "it is open"  # noqa: S101 - the book opens it first
        with _as_store_error():
            return self._database.execute(statement, values).fetchall()


def _about(id_: str) -> str:
    """Encrypted for another purpose than the login's outcome, so that neither can stand for the other."""
    return f"desk {id_}"


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA locking_mode=EXCLUSIVE")
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != _APPLICATION:
        raise StoreError("the file is of another program", code="store_file", advice="name another file")
    database.execute("PRAGMA secure_delete=ON")
    database.execute("BEGIN EXCLUSIVE")
    if not tables:
        database.execute(_TABLE)
        database.execute(f"PRAGMA application_id={_APPLICATION}")
    database.execute("COMMIT")


@contextmanager
def _as_store_error() -> Iterator[None]:
    reason = ""
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
    if reason:
        raise StoreError(
            f"the list of the day cannot be used ({reason})",
            code="store_file",
            advice="close whatever has it open, free some space, or name another file",
        )
