"""The store in SQLite: for a service of one process, in a file or in memory.

Statements run on the event loop: each takes a fraction of a millisecond, because nobody else writes to the file. A file
survives the process, so logins that were pending are taken up again after a crash.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from idura_ciba.aio.clock import Clock
from idura_ciba.errors import StoreError
from idura_ciba.fleet.batch_store import Member
from idura_ciba.fleet.sqlite_batches import BATCHES, SqliteBatches
from idura_ciba.fleet.sqlite_signs import EXPERIENCE, THROTTLE, beat, closed, consult, forget
from idura_ciba.fleet.store import (
    WINDOW,
    Census,
    Change,
    Held,
    Others,
    Owned,
    Report,
    Seen,
    Stage,
    Stored,
    Wish,
    login_exists,
    newer_tables,
    worker_is_dead,
)
from idura_ciba.protocol.machine import State

__all__ = ["SqliteStore"]

#: Marks the file: "cibf" in ASCII.
APPLICATION: Final = 0x63696266
#: The steps from each version of the tables to the next.
MIGRATIONS: Final = (
    """
    CREATE TABLE worker (name TEXT PRIMARY KEY, heard REAL NOT NULL);
    CREATE TABLE share (worker TEXT PRIMARY KEY, share REAL NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE hold (tag BLOB PRIMARY KEY, login TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE login (
        number INTEGER PRIMARY KEY, login TEXT UNIQUE NOT NULL, tag BLOB NOT NULL, stage TEXT NOT NULL,
        state TEXT NOT NULL, epoch INTEGER NOT NULL, owner TEXT REFERENCES worker ON DELETE SET NULL,
        token TEXT, progress BLOB, outcome BLOB,
        cancelled INTEGER NOT NULL DEFAULT 0, until REAL NOT NULL, changed REAL NOT NULL, layout INTEGER NOT NULL,
        let_go INTEGER
    );
    CREATE INDEX owned ON login (owner);
    CREATE INDEX unowned ON login (number) WHERE owner IS NULL AND stage IN ('asking', 'pending');
    """,
    BATCHES,
    THROTTLE,
    EXPERIENCE,
)
_LIVE: Final = "stage IN ('asking', 'pending')"
#: The last is the doubt: whether the former owner has not let go, or not without leaving one.
_COLUMNS: Final = (
    "login, stage, state, epoch, owner, token, progress, cancelled, until, layout, let_go IS NOT epoch - 1"
)


class SqliteStore(SqliteBatches):
    """A store for one process.

    Args:
        path: The file; None: in memory.
        clock: Tells the time; replaced in tests.
    """

    def __init__(self, path: str | Path | None = None, *, clock: Clock | None = None) -> None:
        self._path = ":memory:" if path is None else str(path)
        self._clock = clock or Clock()
        self._database: sqlite3.Connection | None = None
        self._listeners: set[asyncio.Queue[Change | None]] = set()

    async def open(self) -> None:
        """Open the file, which no other process may have open.

        Raises:
            StoreError: It cannot be used: it is another program's, of a newer release, or open elsewhere.
        """
        try:
            database = sqlite3.connect(self._path, isolation_level=None, timeout=0)
        except sqlite3.Error as error:
            raise _unusable(error) from None
        try:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            version = self._version(database)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA secure_delete=ON")  # what was delivered is gone
            database.execute("PRAGMA foreign_keys=ON")  # the logins of a worker that is gone have no owner
            database.execute("BEGIN IMMEDIATE")
            for step in MIGRATIONS[version:]:
                for statement in step.split(";"):
                    database.execute(statement)
            database.execute(f"PRAGMA application_id={APPLICATION}")
            database.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
            database.execute("COMMIT")
        except BaseException as error:
            database.close()
            if isinstance(error, sqlite3.Error):
                raise _unusable(error) from None
            raise
        self._database = database

    @staticmethod
    def _version(database: sqlite3.Connection) -> int:
        """That of the tables; nothing is changed before it is known whose they are."""
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION and tables:
            raise StoreError("the file is of another program", code="store_file", advice="name another file")
        if version > len(MIGRATIONS):
            raise newer_tables()
        return int(version)

    async def aclose(self) -> None:
        """Close the file; may be called again."""
        for listener in self._listeners:
            listener.put_nowait(None)
        if self._database is not None:
            self._database.close()
            self._database = None

    # --- workers ----------------------------------------------------------------------------------------------------

    async def join(self, worker: str) -> None:
        """See `Store.join`."""
        self._run("INSERT INTO worker (name, heard) VALUES (?, ?)", worker, self._now())

    async def beat(self, worker: str, *, lease: float, report: Report | None = None) -> Others | None:
        """See `Store.beat`."""
        with self._whole() as run:
            return beat(run, worker, now=self._now(), lease=lease, report=report or Report())

    async def share(self, worker: str, *, wanted: float, rate: float, lease: float) -> float:
        """See `Store.share`."""
        now = self._now()
        with self._whole() as run:
            others = "SELECT coalesce(sum(share), 0) FROM share WHERE worker <> ? AND until > ?"
            (taken,) = run(others, worker, now).fetchone()
            share = max(0.0, min(wanted, rate - float(taken)))
            run("INSERT OR REPLACE INTO share VALUES (?, ?, ?)", worker, share, now + lease + WINDOW)
        return share

    async def bury(self, *, lease: float) -> Sequence[str]:
        """See `Store.bury`."""
        return [name for (name,) in self._run("DELETE FROM worker WHERE heard < ? RETURNING name", self._now() - lease)]

    async def leave(self, worker: str) -> None:
        """See `Store.leave`."""
        with self._whole() as run:
            run("DELETE FROM worker WHERE name = ?", worker)
            run("UPDATE share SET until = min(until, ?) WHERE worker = ?", self._now() + WINDOW, worker)

    # --- logins -----------------------------------------------------------------------------------------------------

    async def hold(
        self, login: str, tag: bytes, worker: str, *, seconds: float, member: Member | None = None
    ) -> Owned | Held:
        """See `Store.hold`."""
        now = self._now()
        with self._whole() as run:
            if run("SELECT 1 FROM login WHERE login = ?", login).fetchone():
                raise login_exists()
            held = run("SELECT login, until FROM hold WHERE tag = ? AND until > ?", tag, now).fetchone()
            if held is not None:
                return Held(held[0], held[1] - now)
            run("INSERT OR REPLACE INTO hold VALUES (?, ?, ?)", tag, login, now + seconds)
            run(
                "INSERT INTO login (login, tag, stage, state, epoch, owner, until, changed, layout, batch, about) "
                "VALUES (?, ?, ?, ?, 1, ?, ?, ?, 0, ?, ?)",
                *(login, tag, Stage.ASKING.value, State.SUBMITTING.value, worker, now + seconds, now),
                *((None, None) if member is None else (member.batch, member.about)),
            )
        return Owned(login, 1)

    async def withdraw(self, owned: Owned) -> bool:
        """See `Store.withdraw`."""
        with self._whole() as run:
            self._free(run, owned)
            done = run("DELETE FROM login WHERE login = ? AND epoch = ?", owned.login, owned.epoch).rowcount == 1
        return self._told(done, Change(owned.login))

    async def accept(self, owned: Owned, *, token: str, progress: bytes, seconds: float, layout: int) -> bool:
        """See `Store.accept`."""
        now = self._now()
        with self._whole() as run:
            done = self._write(
                run,
                owned,
                stage=Stage.PENDING.value,
                state=State.PENDING.value,
                token=token,
                progress=progress,
                until=now + seconds,
                layout=layout,
            )
            if done:
                of = "tag = (SELECT tag FROM login WHERE login = ?) AND login = ?"
                run(f"UPDATE hold SET until = ? WHERE {of}", now + seconds, owned.login, owned.login)
        return self._told(done, Change(owned.login))

    async def note(self, owned: Owned, *, progress: bytes) -> bool:
        """See `Store.note`."""
        with self._whole() as run:
            done = self._write(run, owned, progress=progress)
        return self._told(done, Change(owned.login))

    async def end(self, owned: Owned, *, state: str, outcome: bytes, gone: bool) -> bool:
        """See `Store.end`."""
        with self._whole() as run:
            if gone:
                self._free(run, owned)
            members = {"stage": Stage.ENDED.value, "state": state, "outcome": outcome, "owner": None, "token": None}
            done = self._write(run, owned, **members)
        return self._told(done, Change(owned.login))

    async def let_go(self, owned: Owned, *, token: str, tell: bool = True, doubt: bool = False) -> bool:
        """See `Store.let_go`."""
        with self._whole() as run:
            done = self._write(run, owned, owner=None, token=token, let_go=None if doubt else owned.epoch)
        return self._told(done, Change(None)) if tell else done

    async def take(self, worker: str, *, most: int, layouts: Sequence[int]) -> Sequence[Stored]:
        """See `Store.take`."""
        readable = ", ".join(map(str, map(int, (0, *layouts))))
        with self._whole() as run:
            found = run(
                "UPDATE login SET owner = ?, epoch = epoch + 1, changed = ? WHERE number IN ("
                "SELECT number FROM login WHERE owner IS NULL AND stage IN ('asking', 'pending') "
                f"AND layout IN ({readable}) ORDER BY number LIMIT ?) RETURNING {_COLUMNS}",
                *(worker, self._now(), most),
            ).fetchall()
        return [self._read(row) for row in found]

    async def release(self, worker: str, *, keep: Sequence[str]) -> int:
        """See `Store.release`."""
        return self._run(
            "UPDATE login SET owner = NULL WHERE owner = ? AND login NOT IN (SELECT value FROM json_each(?))",
            *(worker, json.dumps(list(keep))),
        ).rowcount

    async def cancel(self, login: str) -> bool:
        """See `Store.cancel`."""
        done = self._run(
            "UPDATE login SET cancelled = 1 WHERE login = ? AND stage IN ('asking', 'pending')", login
        ).rowcount
        return self._told(done == 1, Change(login, Wish.STOP))

    async def cancelled(self, worker: str) -> Sequence[str]:
        """See `Store.cancelled`."""
        rows = self._run(f"SELECT login FROM login WHERE owner = ? AND cancelled AND {_LIVE}", worker)
        return [login for (login,) in rows]

    async def watch(self, login: str) -> None:
        """See `Store.watch`."""
        self._tell(Change(login, Wish.WATCH))

    async def pass_on(self, ping: str) -> None:
        """See `Store.pass_on`."""
        self._tell(Change(None, ping=ping))

    async def get(self, login: str) -> Stored | None:
        """See `Store.get`."""
        row = self._run(f"SELECT {_COLUMNS} FROM login WHERE login = ?", login).fetchone()
        return None if row is None else self._read(row)

    async def deliver(self, login: str) -> bytes | None:
        """See `Store.deliver`."""
        with self._whole() as run:
            row = run(
                "SELECT outcome FROM login WHERE login = ? AND stage = 'ended' AND batch IS NULL", login
            ).fetchone()
            if row is not None:
                run("UPDATE login SET stage = 'delivered', outcome = NULL, progress = NULL WHERE login = ?", login)
        return None if row is None else row[0]

    # --- what strategies learn --------------------------------------------------------------------------------------

    async def publish(self, source: str, kind: str, *, experience: bytes) -> None:
        """See `Store.publish`."""
        self._run("INSERT OR REPLACE INTO experience VALUES (?, ?, ?, ?)", source, kind, experience, self._now())

    async def consult(self, source: str, kind: str) -> Sequence[bytes]:
        """See `Store.consult`."""
        return consult(self._run, source, kind, now=self._now())

    # --- all of it --------------------------------------------------------------------------------------------------

    async def census(self) -> Census:
        """See `Store.census`."""
        now = self._now()
        workers = self._run(
            "SELECT w.name, ? - w.heard, (SELECT count(*) FROM login l WHERE l.owner = w.name), s.share, t.allowed, "
            "w.late, w.taken_over FROM worker w LEFT JOIN share s ON s.worker = w.name "
            "LEFT JOIN throttle t ON t.worker = w.name ORDER BY w.rowid",
            now,
        ).fetchall()
        asking, pending, unowned, ended = self._run(
            "SELECT count(*) FILTER (WHERE stage = 'asking'), count(*) FILTER (WHERE stage = 'pending'), "
            f"count(*) FILTER (WHERE owner IS NULL AND {_LIVE}), count(*) FILTER (WHERE stage = 'ended') FROM login"
        ).fetchone()
        seen = [Seen(*each) for each in workers]
        return Census(seen, asking, pending, unowned, ended, closed(self._run, now=now))

    async def purge(self, *, older: float) -> int:
        """See `Store.purge`."""
        now = self._now()
        with self._whole() as run:
            run("DELETE FROM hold WHERE until <= ?", now)
            run("DELETE FROM share WHERE until <= ?", now)
            self._purge_batches(run, older)
            forget(run, now=now)
            gone: sqlite3.Cursor = run(
                "DELETE FROM login WHERE batch IS NULL AND stage <> 'pending' AND changed < ? AND until < ?",
                now - older,
                now,
            )
        return gone.rowcount

    async def changes(self) -> AsyncIterator[Change]:
        """See `Store.changes`."""
        queue = asyncio.Queue[Change | None]()
        self._listeners.add(queue)
        try:
            while (change := await queue.get()) is not None:
                yield change
        finally:
            self._listeners.discard(queue)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._clock.wall()

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        if self._database is None:
            raise StoreError("the store is closed", code="store_closed", advice="open it first")
        try:
            return self._database.execute(statement, values)
        except sqlite3.IntegrityError as error:
            # Of the constraints, only this one can be broken by what callers do: ids are looked up before.
            if "FOREIGN KEY" in str(error):
                raise worker_is_dead() from None
            raise
        except sqlite3.DatabaseError as error:
            # A full disk, after which whoever has something to write tries again; or a damaged file, which has no class
            # of its own. The other classes are bugs.
            if type(error) in {sqlite3.OperationalError, sqlite3.DatabaseError}:
                raise _unusable(error) from None
            raise

    @contextmanager
    def _whole(self) -> Iterator[Any]:
        """Several statements, of which all or none count."""
        self._run("BEGIN IMMEDIATE")
        try:
            yield self._run
            self._run("COMMIT")
        except BaseException:
            if self._database is not None and self._database.in_transaction:  # of some errors, SQLite rolls back itself
                self._run("ROLLBACK")
            raise

    def _write(self, run: Any, owned: Owned, **members: object) -> bool:
        """Change a login, if the epoch is the present one (rule 2)."""
        names = ", ".join(f"{name} = ?" for name in members)
        values = (*members.values(), self._now(), owned.login, owned.epoch)
        statement = (
            f"UPDATE login SET {names}, changed = ? WHERE login = ? AND epoch = ? AND stage IN ('asking', 'pending')"
        )
        return bool(run(statement, *values).rowcount == 1)

    @staticmethod
    def _free(run: Any, owned: Owned) -> None:
        """Free the person, if the epoch is the present one."""
        run(
            "DELETE FROM hold WHERE login = ? AND tag = (SELECT tag FROM login WHERE login = ? AND epoch = ? "
            "AND stage IN ('asking', 'pending'))",
            *(owned.login, owned.login, owned.epoch),
        )

    def _told(self, done: bool, change: Change) -> bool:
        if done:
            self._tell(change)
        return done

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener.put_nowait(change)

    def _read(self, row: Sequence[Any]) -> Stored:
        login, stage, state, epoch, owner, token, progress, cancelled, until, form, doubt = row
        seconds = until - self._now()
        seen = (token, progress, bool(cancelled), seconds, form, bool(doubt))
        return Stored(login, Stage(stage), state, epoch, owner, *seen)


def _unusable(error: sqlite3.Error) -> StoreError:
    return StoreError(
        f"the store cannot be used ({error})",
        code="store_file",
        advice="close whatever has it open, free some space, or name another file",
    )
