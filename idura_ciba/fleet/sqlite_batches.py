"""Batches in the store in SQLite; see `BatchStore`."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from idura_ciba.fleet.batch_store import ABANDONED, Ended, Member, Standing, batch_differs

__all__ = ["BATCHES", "SqliteBatches"]

#: The step from tables without batches.
BATCHES: Final = """
    CREATE TABLE batch (
        name TEXT PRIMARY KEY, digest BLOB NOT NULL, slices INTEGER,
        writer TEXT REFERENCES worker ON DELETE SET NULL, is_over INTEGER NOT NULL DEFAULT 0, changed REAL NOT NULL
    );
    CREATE TABLE slice (
        batch TEXT NOT NULL REFERENCES batch ON DELETE CASCADE, number INTEGER NOT NULL,
        owner TEXT REFERENCES worker ON DELETE SET NULL, done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (batch, number)
    ) WITHOUT ROWID;
    ALTER TABLE login ADD COLUMN batch TEXT REFERENCES batch ON DELETE CASCADE;
    ALTER TABLE login ADD COLUMN about BLOB;
    CREATE INDEX batched ON login (batch, number) WHERE batch IS NOT NULL AND stage <> 'delivered'
    """


class SqliteBatches(ABC):
    """The part of the store that batches need."""

    async def open_batch(self, batch: str, digest: bytes) -> None:
        """See `BatchStore.open_batch`."""
        with self._whole() as run:
            run("INSERT OR IGNORE INTO batch (name, digest, changed) VALUES (?, ?, ?)", batch, digest, self._now())
            if run("SELECT digest FROM batch WHERE name = ?", batch).fetchone() != (digest,):
                raise batch_differs()

    async def standing(self, batch: str, worker: str) -> Standing:
        """See `BatchStore.standing`."""
        slices, done, free, is_open, is_over, workers = self._run(
            "SELECT slices, (SELECT count(*) FROM slice s WHERE s.batch = b.name AND s.done), "
            "(SELECT count(*) FROM slice s WHERE s.batch = b.name AND NOT s.done AND coalesce(s.owner, ?) = ?), "
            "EXISTS (SELECT 1 FROM login l WHERE l.batch = b.name AND l.stage <> 'delivered'), is_over, "
            "(SELECT count(*) FROM worker) FROM batch b WHERE name = ?",
            *(worker, worker, batch),
        ).fetchone()
        return Standing(slices, done, free, bool(is_open), bool(is_over), workers)

    async def claim_slice(self, batch: str, number: int, worker: str) -> bool:
        """See `BatchStore.claim_slice`."""
        claimed = self._run(
            "INSERT INTO slice (batch, number, owner) VALUES (?, ?, ?) ON CONFLICT (batch, number) "
            "DO UPDATE SET owner = excluded.owner WHERE coalesce(owner, excluded.owner) = excluded.owner AND NOT done",
            *(batch, number, worker),
        ).rowcount
        return bool(claimed == 1)

    async def finish_slice(self, batch: str, number: int, worker: str) -> None:
        """See `BatchStore.finish_slice`."""
        self._run("UPDATE slice SET done = 1 WHERE batch = ? AND number = ? AND owner = ?", batch, number, worker)

    async def count_slices(self, batch: str, slices: int) -> None:
        """See `BatchStore.count_slices`."""
        self._run("UPDATE batch SET slices = ? WHERE name = ?", slices, batch)

    async def leave_batch(self, batch: str, worker: str) -> None:
        """See `BatchStore.leave_batch`."""
        with self._whole() as run:
            run("UPDATE slice SET owner = NULL WHERE batch = ? AND owner = ?", batch, worker)
            run("UPDATE batch SET writer = NULL WHERE name = ? AND writer = ?", batch, worker)

    async def known(self, logins: Sequence[str]) -> Mapping[str, bytes]:
        """See `BatchStore.known`."""
        rows = self._run(
            "SELECT login, tag FROM login WHERE login IN (SELECT value FROM json_each(?))", json.dumps(list(logins))
        )
        return dict(rows.fetchall())

    async def conclude(self, login: str, tag: bytes, member: Member, *, state: str, outcome: bytes) -> None:
        """See `BatchStore.conclude`."""
        now = self._now()
        self._run(
            "INSERT OR IGNORE INTO login (login, tag, stage, state, epoch, until, changed, layout, outcome, batch, "
            "about) VALUES (?, ?, 'ended', ?, 1, ?, ?, 0, ?, ?, ?)",
            *(login, tag, state, now, now, outcome, member.batch, member.about),
        )

    async def may_write(self, batch: str, worker: str) -> bool | None:
        """See `BatchStore.may_write`."""
        with self._whole() as run:
            (writer,) = run("SELECT writer FROM batch WHERE name = ?", batch).fetchone()
            if writer not in {None, worker}:
                return False
            run("UPDATE batch SET writer = ?, changed = ? WHERE name = ?", worker, self._now(), batch)
        return True if writer is None else None

    async def results(self, batch: str, *, most: int) -> Sequence[Ended]:
        """See `BatchStore.results`."""
        rows = self._run(
            "SELECT login, state, about, outcome, changed FROM login WHERE batch = ? AND stage = 'ended' "
            "AND stage <> 'delivered' ORDER BY number LIMIT ?",
            *(batch, most),
        )
        return [Ended(*row) for row in rows.fetchall()]

    async def take_results(self, batch: str, worker: str, logins: Sequence[str], *, keep: bool) -> bool:
        """See `BatchStore.take_results`."""
        with self._whole() as run:
            if not run("SELECT 1 FROM batch WHERE name = ? AND writer = ?", batch, worker).fetchone():
                return False
            left = "" if keep else ", outcome = NULL, about = NULL"
            run(
                f"UPDATE login SET stage = 'delivered', progress = NULL{left} WHERE batch = ? AND stage = 'ended' "
                "AND login IN (SELECT value FROM json_each(?))",
                *(batch, json.dumps(list(logins))),
            )
        return True

    async def offer_again(self, batch: str, worker: str, *, most: int) -> int:
        """See `BatchStore.offer_again`."""
        return self._run(
            "UPDATE login SET stage = 'ended' WHERE number IN (SELECT number FROM login WHERE batch = ? "
            "AND stage = 'delivered' AND outcome IS NOT NULL LIMIT ?) "
            "AND EXISTS (SELECT 1 FROM batch b WHERE b.name = ? AND b.writer = ?)",
            *(batch, most, batch, worker),
        ).rowcount

    async def finish_batch(self, batch: str, worker: str) -> bool:
        """See `BatchStore.finish_batch`."""
        over = self._run(
            "UPDATE batch SET is_over = 1, changed = ? WHERE name = ? AND writer = ? AND slices = "
            "(SELECT count(*) FROM slice s WHERE s.batch = batch.name AND s.done) AND NOT EXISTS "
            "(SELECT 1 FROM login l WHERE l.batch = batch.name AND l.stage <> 'delivered')",
            *(self._now(), batch, worker),
        ).rowcount
        return bool(over == 1)

    async def empty_batch(self, batch: str, *, most: int) -> int:
        """See `BatchStore.empty_batch`."""
        return self._run(
            "UPDATE login SET outcome = NULL, about = NULL WHERE number IN (SELECT l.number FROM login l, batch b "
            "WHERE b.name = ? AND b.is_over AND l.batch = b.name AND l.about IS NOT NULL LIMIT ?)",
            *(batch, most),
        ).rowcount

    def _purge_batches(self, run: Any, older: float) -> None:
        """Forget batches with all of their logins, and what an interrupted end has left of others."""
        now = self._now()
        run("DELETE FROM batch WHERE changed < ? AND (is_over OR changed < ?)", now - older, now - older - ABANDONED)
        over = "SELECT name FROM batch WHERE is_over"
        run(f"UPDATE login SET outcome = NULL, about = NULL WHERE batch IN ({over}) AND about IS NOT NULL")

    @abstractmethod
    def _now(self) -> float: ...

    @abstractmethod
    def _run(self, statement: str, *values: object) -> sqlite3.Cursor: ...

    @abstractmethod
    def _whole(self) -> AbstractContextManager[Any]: ...
