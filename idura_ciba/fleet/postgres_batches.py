"""Batches in the store in PostgreSQL; see `BatchStore`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

from idura_ciba.fleet.batch_store import ABANDONED, Ended, Member, Standing, batch_differs

__all__ = ["BATCHES", "PostgresBatches"]

#: The step from tables without batches.
BATCHES: Final = """
    CREATE TABLE ciba_batch (
        name text PRIMARY KEY, digest bytea NOT NULL, slices int,
        writer text REFERENCES ciba_worker ON DELETE SET NULL, is_over boolean NOT NULL DEFAULT false,
        changed timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE ciba_slice (
        batch text NOT NULL REFERENCES ciba_batch ON DELETE CASCADE, number int NOT NULL,
        owner text REFERENCES ciba_worker ON DELETE SET NULL, done boolean NOT NULL DEFAULT false,
        PRIMARY KEY (batch, number)
    );
    CREATE INDEX ciba_slice_owner ON ciba_slice (owner) WHERE owner IS NOT NULL;
    ALTER TABLE ciba_login ADD COLUMN batch text REFERENCES ciba_batch ON DELETE CASCADE, ADD COLUMN about bytea;
    CREATE INDEX ciba_login_batch ON ciba_login (batch) WHERE batch IS NOT NULL;
    CREATE INDEX ciba_login_results ON ciba_login (batch, number) WHERE batch IS NOT NULL AND stage <> 'delivered';
    """
#: Logins that one purge forgets, or empties, of batches: no statement may take long.
PURGED: Final = 5000
_WRITER: Final = "EXISTS (SELECT 1 FROM ciba_batch WHERE name = %(batch)s AND writer = %(worker)s)"


class PostgresBatches(ABC):
    """The part of the store that batches need."""

    async def open_batch(self, batch: str, digest: bytes) -> None:
        """See `BatchStore.open_batch`."""
        values: Mapping[str, Any] = {"batch": batch, "digest": digest}
        await self._run(
            "INSERT INTO ciba_batch (name, digest) VALUES (%(batch)s, %(digest)s) ON CONFLICT DO NOTHING", **values
        )
        same = "SELECT 1 FROM ciba_batch WHERE name = %(batch)s AND digest = %(digest)s"
        if not await self._run(same, **values):
            raise batch_differs()

    async def standing(self, batch: str, worker: str) -> Standing:
        """See `BatchStore.standing`."""
        rows = await self._run(
            "SELECT slices, (SELECT count(*) FROM ciba_slice s WHERE s.batch = b.name AND s.done), "
            "(SELECT count(*) FROM ciba_slice s WHERE s.batch = b.name AND NOT s.done "
            "AND coalesce(s.owner, %(worker)s) = %(worker)s), "
            "EXISTS (SELECT 1 FROM ciba_login l WHERE l.batch = b.name AND l.stage <> 'delivered'), is_over, "
            "(SELECT count(*) FROM ciba_worker) FROM ciba_batch b WHERE name = %(batch)s",
            batch=batch,
            worker=worker,
        )
        return Standing(*rows[0])

    async def claim_slice(self, batch: str, number: int, worker: str) -> bool:
        """See `BatchStore.claim_slice`."""
        rows = await self._run(
            "INSERT INTO ciba_slice AS s (batch, number, owner) VALUES (%(batch)s, %(number)s, %(worker)s) "
            "ON CONFLICT (batch, number) DO UPDATE SET owner = excluded.owner "
            "WHERE coalesce(s.owner, excluded.owner) = excluded.owner AND NOT s.done RETURNING 1",
            batch=batch,
            number=number,
            worker=worker,
        )
        return bool(rows)

    async def finish_slice(self, batch: str, number: int, worker: str) -> None:
        """See `BatchStore.finish_slice`."""
        await self._run(
            "UPDATE ciba_slice SET done = true WHERE batch = %(batch)s AND number = %(number)s AND owner = %(worker)s",
            batch=batch,
            number=number,
            worker=worker,
        )

    async def count_slices(self, batch: str, slices: int) -> None:
        """See `BatchStore.count_slices`."""
        await self._run("UPDATE ciba_batch SET slices = %(slices)s WHERE name = %(batch)s", batch=batch, slices=slices)

    async def leave_batch(self, batch: str, worker: str) -> None:
        """See `BatchStore.leave_batch`."""
        await self._run(
            "WITH freed AS (UPDATE ciba_slice SET owner = NULL WHERE batch = %(batch)s AND owner = %(worker)s) "
            "UPDATE ciba_batch SET writer = NULL WHERE name = %(batch)s AND writer = %(worker)s",
            batch=batch,
            worker=worker,
        )

    async def known(self, logins: Sequence[str]) -> Mapping[str, bytes]:
        """See `BatchStore.known`."""
        rows = await self._run(
            "SELECT login, tag FROM ciba_login WHERE login = ANY(%(logins)s::text[])", logins=list(logins)
        )
        return {login: bytes(tag) for login, tag in rows}

    async def conclude(self, login: str, tag: bytes, member: Member, *, state: str, outcome: bytes) -> None:
        """See `BatchStore.conclude`."""
        await self._run(
            "INSERT INTO ciba_login (login, tag, stage, state, until, outcome, batch, about) VALUES "
            "(%(login)s, %(tag)s, 'ended', %(state)s, now(), %(outcome)s, %(batch)s, %(about)s) ON CONFLICT DO NOTHING",
            login=login,
            tag=tag,
            state=state,
            outcome=outcome,
            batch=member.batch,
            about=member.about,
        )

    async def may_write(self, batch: str, worker: str) -> bool | None:
        """See `BatchStore.may_write`."""
        rows = await self._run(
            "UPDATE ciba_batch b SET writer = %(worker)s, changed = now() "
            "FROM (SELECT name, writer FROM ciba_batch WHERE name = %(batch)s FOR UPDATE) f "
            "WHERE b.name = f.name AND (f.writer IS NULL OR f.writer = %(worker)s) RETURNING f.writer",
            batch=batch,
            worker=worker,
        )
        return False if not rows else True if rows[0][0] is None else None

    async def results(self, batch: str, *, most: int) -> Sequence[Ended]:
        """See `BatchStore.results`."""
        rows = await self._run(
            "SELECT login, state, about, outcome, extract(epoch FROM changed)::float8 FROM ciba_login "
            "WHERE batch = %(batch)s AND stage = 'ended' AND stage <> 'delivered' ORDER BY number LIMIT %(most)s",
            batch=batch,
            most=most,
        )
        return [Ended(login, state, _bytes(about), _bytes(outcome), at) for login, state, about, outcome, at in rows]

    async def take_results(self, batch: str, worker: str, logins: Sequence[str], *, keep: bool) -> bool:
        """See `BatchStore.take_results`."""
        rows = await self._run(
            "WITH taken AS (UPDATE ciba_login SET stage = 'delivered', progress = NULL, "
            "outcome = CASE WHEN %(keep)s THEN outcome END, about = CASE WHEN %(keep)s THEN about END "
            f"WHERE batch = %(batch)s AND stage = 'ended' AND login = ANY(%(logins)s::text[]) AND {_WRITER}) "
            f"SELECT 1 WHERE {_WRITER}",
            batch=batch,
            worker=worker,
            logins=list(logins),
            keep=keep,
        )
        return bool(rows)

    async def offer_again(self, batch: str, worker: str, *, most: int) -> int:
        """See `BatchStore.offer_again`."""
        rows = await self._run(
            "UPDATE ciba_login SET stage = 'ended' WHERE number IN (SELECT number FROM ciba_login "
            "WHERE batch = %(batch)s AND stage = 'delivered' AND outcome IS NOT NULL LIMIT %(most)s) "
            f"AND {_WRITER} RETURNING 1",
            batch=batch,
            worker=worker,
            most=most,
        )
        return len(rows)

    async def finish_batch(self, batch: str, worker: str) -> bool:
        """See `BatchStore.finish_batch`."""
        rows = await self._run(
            "UPDATE ciba_batch b SET is_over = true, changed = now() WHERE name = %(batch)s AND writer = %(worker)s "
            "AND slices = (SELECT count(*) FROM ciba_slice s WHERE s.batch = b.name AND s.done) "
            "AND NOT EXISTS (SELECT 1 FROM ciba_login l WHERE l.batch = b.name AND l.stage <> 'delivered') RETURNING 1",
            batch=batch,
            worker=worker,
        )
        return bool(rows)

    async def empty_batch(self, batch: str, *, most: int) -> int:
        """See `BatchStore.empty_batch`."""
        rows = await self._run(
            "UPDATE ciba_login SET outcome = NULL, about = NULL WHERE number IN (SELECT l.number FROM ciba_login l "
            "JOIN ciba_batch b ON b.name = l.batch WHERE b.name = %(batch)s AND b.is_over AND l.about IS NOT NULL "
            "LIMIT %(most)s) RETURNING 1",
            batch=batch,
            most=most,
        )
        return len(rows)

    async def _purge_batches(self, older: float) -> None:
        """Forget batches, once their logins are forgotten; and what an interrupted end has left of others."""
        forgotten = (
            "b.changed < now() - make_interval(secs => %(older)s) "
            "AND (b.is_over OR b.changed < now() - make_interval(secs => %(older)s + %(abandoned)s))"
        )
        some = "SELECT l.number FROM ciba_login l JOIN ciba_batch b ON b.name = l.batch WHERE"
        members = f"DELETE FROM ciba_login WHERE number IN ({some} {forgotten} LIMIT %(most)s)"
        none_left = "NOT EXISTS (SELECT 1 FROM ciba_login l WHERE l.batch = b.name)"
        batches = f"DELETE FROM ciba_batch b WHERE {forgotten} AND {none_left}"
        left = f"{some} b.is_over AND l.about IS NOT NULL LIMIT %(most)s"
        emptied = f"UPDATE ciba_login SET outcome = NULL, about = NULL WHERE number IN ({left})"
        for statement in (members, batches, emptied):
            await self._run(statement, older=older, abandoned=ABANDONED, most=PURGED)

    @abstractmethod
    async def _run(self, statement: str, **values: object) -> list[tuple[Any, ...]]: ...


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
