"""The journal's file: one SQLite database, used by one process and from one thread at a time.

Rules:
1. A commit is on disk when it returns (`synchronous=FULL`), and covers several entries.
2. The process that has it open holds an exclusive lock until it closes it or ends.
3. Every entry has a seal over all its values. One wrong seal makes the whole journal unusable, because nobody can know
   what else is wrong with it.
4. It holds no national number: a person is a keyed hash, and the answer of a login is encrypted until it is delivered,
   then overwritten (`secure_delete`).
"""

from __future__ import annotations

import math
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NoReturn

from attrs import define, field, fields_dict, frozen

from idura_ciba.batch.marks import boot
from idura_ciba.batch.sealing import Sealing
from idura_ciba.batch.system import BINARY, put_new
from idura_ciba.batch.wal import loses_commits
from idura_ciba.errors import JournalError
from idura_ciba.redaction import Redacted

__all__ = ["Change", "Entry", "Phase", "Store"]

#: The SQLite application id that marks a journal: "ciba" in ASCII.
APPLICATION: Final = 0x63696261
#: The steps from each schema version to the next; a new file takes all of them.
MIGRATIONS: Final[list[str]] = [
    """
    CREATE TABLE fact (name TEXT PRIMARY KEY, value NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE entry (
        key TEXT PRIMARY KEY, person BLOB NOT NULL, phase INTEGER NOT NULL, run INTEGER NOT NULL,
        asked_at REAL NOT NULL, until REAL NOT NULL, token TEXT, state TEXT, code TEXT, ended_at REAL,
        polls INTEGER NOT NULL, slow_downs INTEGER NOT NULL, waited INTEGER NOT NULL, answer BLOB, mark INTEGER,
        seal BLOB NOT NULL
    );
    """,
]


class Phase(IntEnum):
    """The progress of an entry. Journals hold these numbers, so they never change."""

    INTENDED = 1
    ACCEPTED = 2
    ENDED = 3
    DELIVERED = 4


@define(eq=False)
class Entry:
    """One person of a batch, without personal data. Instants are seconds since the epoch.

    Attributes:
        key: The caller's key.
        person: The person's tag, a keyed hash.
        phase: The progress of the login.
        run: The last run that handled it.
        asked_at: When the request was about to leave.
        until: When its prompt is gone from the phone at the latest.
        token: Its resume token, between acceptance and end.
        state: The final state.
        code: The error's stable code.
        ended_at: When it ended.
        polls: Number of polls.
        slow_downs: Number of polls that came too early.
        waited: Whether it had to wait for another login of the same person.
        answer: The encrypted answer, until it is delivered.
        mark: Tells whether a poll may be in flight; see `Marks`.
    """

    key: str
    person: bytes
    phase: Phase
    run: int
    asked_at: float
    until: float
    token: Redacted | None = field(default=None, repr=False)
    state: str | None = None
    code: str | None = None
    ended_at: float | None = None
    polls: int = 0
    slow_downs: int = 0
    waited: bool = False
    answer: bytes | None = field(default=None, repr=False)
    mark: int | None = None

    def values(self) -> tuple[object, ...]:
        """Return the values as SQLite returns them."""
        return (
            self.key, self.person, int(self.phase), self.run, self.asked_at, self.until, self.token, self.state,
            self.code, self.ended_at, self.polls, self.slow_downs, int(self.waited), self.answer, self.mark,
        )  # fmt: skip


_COLUMNS: Final = tuple(fields_dict(Entry))
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)}, seal FROM entry"  # noqa: S608 - contains no input
_INTO: Final = f"INTO entry VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
_INSERT: Final = f"INSERT OR IGNORE {_INTO}"
#: An upsert keeps the row in its place; `OR REPLACE` would move it, at twice the cost.
_WRITE: Final = f"INSERT {_INTO} ON CONFLICT (key) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in (*_COLUMNS[1:], "seal")
)


@frozen
class Change:
    """One change to the journal.

    Attributes:
        entry: The values of an entry to write, or None.
        forget: The key of an entry to forget, or None.
        is_new: The entry must not be there yet.
        position: The output position that is covered with this change, in bytes, or None.
    """

    entry: tuple[object, ...] | None = None
    forget: str | None = None
    is_new: bool = False
    position: int | None = None


class Store:
    """An open journal. Every method may block on the disk.

    Args:
        path: The file, created if missing; None for a journal in memory.
        sealing: The keys of its owner.
        max_pages: The maximum number of pages, to test a full disk.

    Raises:
        JournalError: It cannot be used; the error says why, and its `code` is `journal_` and then `locked`,
            `linked`, `readonly`, `full`, `damaged`, `foreign`, `version`, `owner` or `unusable`.
    """

    def __init__(self, path: Path | None, sealing: Sealing, *, max_pages: int | None = None) -> None:
        # SQLite puts its log beside the target of a link, and so must whoever looks for the log.
        path = None if path is None else path.resolve()
        self._sealing = sealing
        self._in_memory = path is None
        self._name = "in memory" if path is None else str(path)
        try:
            if path is not None and not path.exists():
                self._create(path)
            self._see_permissions(path)
            wal = Path(f"{path}-wal")
            wal_was_there = wal.exists()
            if loses_commits(wal):
                raise self._damaged(f"not all of {wal} can be read")
            self._database = _connect(path or ":memory:")
        except (OSError, sqlite3.Error) as error:
            self._refuse(error)
        try:
            self._open(wal_was_there=wal_was_there or path is None)
            if max_pages is not None:
                self._database.execute(f"PRAGMA max_page_count = {int(max_pages)}")
        except sqlite3.Error as error:
            self._database.close()
            self._refuse(error)
        except UnicodeDecodeError:
            self._database.close()
            raise self._damaged("an entry is not text") from None
        except BaseException:
            self._database.close()
            raise

    def _create(self, path: Path) -> None:
        """Create the file complete, so that an empty file is never a new journal but a damaged one."""
        beside = path.with_name(f"{path.name}-new-{secrets.token_hex(4)}")
        os.close(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, 0o600))
        try:
            self._database = _connect(beside)
            try:
                self._migrate(0)
            finally:
                self._database.close()
            put_new(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def _see_permissions(self, path: Path | None) -> None:
        # Not by opening it: closing a second descriptor would release SQLite's lock.
        own = os.access in os.supports_effective_ids
        if path is not None and not os.access(path, os.R_OK | os.W_OK, effective_ids=own):
            raise _refused(f"the journal {self._name} cannot be written", "readonly", "check its permissions")

    def _open(self, *, wal_was_there: bool) -> None:
        execute = self._database.execute
        # Before the log is first read: then it needs no shared-memory file, and the lock is kept.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        (application,), (version,) = execute("PRAGMA application_id").fetchone(), self._version()
        if not self._in_memory and application != APPLICATION:
            if not execute("SELECT 1 FROM sqlite_master").fetchone():
                raise self._damaged("it is empty")
            raise _refused(f"{self._name} is a database, but no journal of idura-ciba", "foreign", "pass another file")
        if version > len(MIGRATIONS):
            what = (
                f"the journal {self._name} has version {version}, but this program reads only up to {len(MIGRATIONS)}"
            )
            raise _refused(what, "version", "install the newer idura_ciba that wrote it")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA secure_delete = ON")
        execute("BEGIN EXCLUSIVE")
        execute("COMMIT")
        (verdict,) = execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged("its pages are inconsistent")
        self._migrate(version)
        self._check(wal_was_there=wal_was_there)
        self.run: int = (self.fact("run") or 0) + 1
        #: Whether it was last open since this machine booted.
        self.is_of_this_boot: bool = bool(boot()) and self.fact("boot") == boot()
        self._begin()
        for name, value in (("run", self.run), ("open", 1), ("boot", boot())):
            self._note(name, value)
        self._commit()
        # If the log gets lost, the file itself shows that there was one.
        execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _version(self) -> tuple[int]:
        version: tuple[int] = self._database.execute("PRAGMA user_version").fetchone()
        return version

    def _migrate(self, version: int) -> None:
        """Bring the schema up to date in one transaction."""
        if version == len(MIGRATIONS):
            return
        self._begin()
        for step in MIGRATIONS[version:]:
            for statement in step.split(";"):
                self._database.execute(statement)
        if version == 0:
            self._database.execute(f"PRAGMA application_id = {APPLICATION}")
            self._note("owner", "")
        self._database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        self._commit()

    def _check(self, *, wal_was_there: bool) -> None:
        """Check that this credential wrote all of it and that nothing is missing or changed."""
        rows = self._database.execute("SELECT name, value, seal FROM fact").fetchall()
        sealed = {name: self._sealing.fits("fact", (name, value), seal) for name, value, seal in rows}
        if not any(sealed.values()):
            what = f"the journal {self._name} belongs to another provider, client or credential"
            raise _refused(what, "owner", "use the settings of its first run, or pass another file")
        entries = self._database.execute(_SELECT)
        if not all(sealed.values()) or not all(self._sealing.fits("entry", row[:-1], row[-1]) for row in entries):
            raise self._damaged("an entry was changed")
        if self.fact("open") and not wal_was_there:
            if not self._in_memory and Path(self._name).stat().st_nlink > 1:
                what = f"{self._name} is one of several names of a journal, and its newest entries stand beside another"
                raise _refused(what, "linked", "pass the name under which it was used last")
            raise self._damaged(f"its newest entries were in {self._name}-wal, and that file is missing")

    # --- reading ----------------------------------------------------------------------------------------------------

    def fact(self, name: str) -> Any:
        """Return the value stored under a name; None if there is none."""
        row = self._database.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def find(self, key: str) -> Entry | None:
        """Return the entry with a key; None if there is none."""
        return next(self._entries(f"{_SELECT} WHERE key = ?", key), None)

    def unfinished(self) -> list[Entry]:
        """Return the entries of earlier runs that were not delivered, in the order of their requests."""
        return list(self._entries(f"{_SELECT} WHERE phase < ? ORDER BY asked_at", Phase.DELIVERED))

    def held(self, now: float) -> dict[bytes, float]:
        """Return until when people may still have a prompt of an earlier run that cannot be resumed, by their tags."""
        query = "SELECT person, max(until) FROM entry WHERE until > ? AND phase != ? GROUP BY person"
        return dict(self._database.execute(query, (now, Phase.ACCEPTED)))

    def was_asked(self, person: bytes, key: str) -> bool:
        """Return whether a person was asked under another key."""
        # Created on first use: without `--skip-duplicates` it would only slow down each write.
        self._database.execute("CREATE INDEX IF NOT EXISTS entry_person ON entry (person)")
        found = self._database.execute("SELECT 1 FROM entry WHERE person = ? AND key != ?", (person, key))
        return found.fetchone() is not None

    def __iter__(self) -> Iterator[Entry]:
        """All entries, one at a time."""
        return self._entries(_SELECT)

    def _entries(self, query: str, *arguments: object) -> Iterator[Entry]:
        try:
            rows = self._database.execute(query, arguments)
            for *values, _ in rows:
                entry = Entry(*values)
                entry.phase, entry.waited = Phase(entry.phase), bool(entry.waited)
                entry.token = None if entry.token is None else Redacted(entry.token)
                yield entry
        except sqlite3.Error as error:
            self._refuse(error)

    # --- writing ----------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change], before: Callable[[], None] | None = None) -> list[bool]:
        """Apply changes in one commit; they are on disk when this returns.

        Args:
            changes: The changes, in order.
            before: Called first if a change covers output: brings that output to disk.

        Returns:
            For each change, whether it was made; a new entry is not made if its key exists.

        Raises:
            JournalError: No change was made.
        """
        position = max((change.position for change in changes if change.position is not None), default=None)
        if before is not None and any(change.position is not None for change in changes):
            before()
        try:
            self._begin()
            made = [self._change(change) for change in changes]
            if position is not None:
                self._note("position", position)
            self._commit()
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            self._refuse(error)
        return made

    def _change(self, change: Change) -> bool:
        if change.entry is not None:
            sealed = (*change.entry, self._sealing.seal("entry", change.entry))
            return self._database.execute(_INSERT if change.is_new else _WRITE, sealed).rowcount > 0
        if change.forget is not None:
            self._database.execute("DELETE FROM entry WHERE key = ?", (change.forget,))
        return True

    def note(self, name: str, value: str | float) -> None:
        """Store a value under a name."""
        try:
            self._begin()
            self._note(name, value)
            self._commit()
        except sqlite3.Error as error:
            self._refuse(error)

    def _note(self, name: str, value: str | float) -> None:
        seal = self._sealing.seal("fact", (name, value))
        self._database.execute("INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", (name, value, seal))

    def purge(self, before: float = math.inf) -> int:
        """Delete delivered entries that ended before an instant; return how many.

        Raises:
            JournalError: The journal cannot be written.
        """
        try:
            found = self._database.execute(
                "DELETE FROM entry WHERE phase = ? AND ended_at < ?", (Phase.DELIVERED, before)
            )
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self._refuse(error)
        return found.rowcount

    def close(self) -> None:
        """Close the journal. May be called again.

        Raises:
            JournalError: The last changes could not be written.
        """
        try:
            self.note("open", 0)
        except (JournalError, sqlite3.ProgrammingError):
            pass  # disk full, or closed already: the log that stays beside the file tells the same
        finally:
            self._database.close()

    def _begin(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        self._database.execute("COMMIT")

    # --- errors -----------------------------------------------------------------------------------------------------

    def _damaged(self, why: str) -> JournalError:
        return _refused(
            f"the journal {self._name} is damaged: {why}",
            "damaged",
            "restore a copy, or start a new journal with a file of only the people whose answer is unknown",
        )

    def _refuse(self, error: OSError | sqlite3.Error) -> NoReturn:
        # Extended codes have the primary one in their lowest byte: https://sqlite.org/rescode.html
        code = getattr(error, "sqlite_errorcode", None)
        match None if code is None else code & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                what, advice = "is in use by another run", "wait for that run to end, or stop it"
                failure = _refused(f"the journal {self._name} {what}", "locked", advice)
            case sqlite3.SQLITE_READONLY:
                failure = _refused(f"the journal {self._name} cannot be written", "readonly", "check its permissions")
            case sqlite3.SQLITE_FULL:
                failure = _refused(f"the disk of the journal {self._name} is full", "full", "free space on it")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_FORMAT:
                failure = self._damaged("SQLite cannot read it")
            case _:
                reason = getattr(error, "sqlite_errorname", None) or getattr(error, "strerror", None) or "unknown"
                failure = _refused(f"the journal {self._name} cannot be used: {reason}", "unusable", "check the path")
        raise failure from None


def _connect(path: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def _refused(what: str, code: str, advice: str) -> JournalError:
    return JournalError(
        what,
        code=f"journal_{code}",
        phone="Nobody is asked without the journal; prompts already sent stay on the phones until they expire",
        advice=f"{advice}, then run again",
    )
