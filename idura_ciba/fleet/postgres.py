"""The store in PostgreSQL: for any number of processes.

Each method is one statement, so it counts as a whole or not at all, and PostgreSQL decides who comes first. Row locks
with SKIP LOCKED give each login to one worker; NOTIFY tells the others what changes. Needs the extra `fleet`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from idura_ciba.errors import StoreError
from idura_ciba.fleet.batch_store import Member
from idura_ciba.fleet.postgres_batches import BATCHES, PostgresBatches
from idura_ciba.fleet.postgres_changes import AGAIN, CHANNEL, OPTIONS, PASS_ON, PATIENCE, changes
from idura_ciba.fleet.postgres_signs import (
    CLOSED,
    EXPERIENCE,
    FORGOTTEN,
    KEPT,
    THROTTLE,
    beat,
    consult,
    publish,
)
from idura_ciba.fleet.silence import hanging_up
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

__all__ = ["PostgresStore"]

#: Guards changes of the tables: "cibf" in ASCII.
LOCK: Final = 0x63696266
#: Guards the shares of the rate.
SHARES: Final = LOCK + 1
#: The steps from each version of the tables to the next.
MIGRATIONS: Final = (
    """
    CREATE TABLE ciba_worker (
        name text PRIMARY KEY, joined timestamptz NOT NULL DEFAULT now(), heard timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE ciba_share (worker text PRIMARY KEY, share float8 NOT NULL, until timestamptz NOT NULL);
    CREATE TABLE ciba_hold (tag bytea PRIMARY KEY, login text NOT NULL, until timestamptz NOT NULL);
    CREATE TABLE ciba_login (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, login text UNIQUE NOT NULL, tag bytea NOT NULL,
        stage text NOT NULL, state text NOT NULL, epoch bigint NOT NULL DEFAULT 1,
        owner text REFERENCES ciba_worker ON DELETE SET NULL, token text, progress bytea, outcome bytea,
        cancelled boolean NOT NULL DEFAULT false, until timestamptz NOT NULL,
        changed timestamptz NOT NULL DEFAULT now(), layout int NOT NULL DEFAULT 0,
        watched boolean NOT NULL DEFAULT false, let_go bigint
    );
    CREATE INDEX ciba_login_owner ON ciba_login (owner) WHERE owner IS NOT NULL;
    CREATE INDEX ciba_login_unowned ON ciba_login (number) WHERE owner IS NULL AND stage IN ('asking', 'pending');
    """,
    BATCHES,
    THROTTLE,
    EXPERIENCE,
)

_LIVE: Final = "stage IN ('asking', 'pending')"
_COLUMNS: Final = (
    "login, stage, state, epoch, owner, token, progress, cancelled, extract(epoch FROM until - now())::float8, layout, "
    # The doubt: whether the former owner has not let go, or not without leaving one.
    "let_go IS DISTINCT FROM epoch - 1"
)
_TELL: Final = f"SELECT pg_notify('{CHANNEL}', json_build_array(login, %(wish)s::text)::text) FROM done"
_WRITE: Final = f"WHERE login = %(login)s AND epoch = %(epoch)s AND {_LIVE}"
_FREE: Final = "DELETE FROM ciba_hold h USING done d WHERE h.tag = d.tag AND h.login = d.login"


class PostgresStore(PostgresBatches):
    """A store for any number of processes.

    Args:
        dsn: How to connect, as PostgreSQL writes it.
        listen_dsn: How to connect for LISTEN, past a pooler in transaction mode to which `dsn` leads. None: by `dsn`;
            behind a pooler it looks for changes each second instead, because it would not hear of them.
        connections: Most connections at once, besides the one that listens.
    """

    def __init__(self, dsn: str, *, listen_dsn: str | None = None, connections: int = 4) -> None:
        self._dsn, self._listen_dsn = dsn, listen_dsn
        self._pool = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=connections,
            open=False,
            kwargs=OPTIONS,
            timeout=PATIENCE,
            num_workers=1,
            # Its pauses between attempts double; a sign of life begins a new attempt at once.
            reconnect_timeout=AGAIN,
        )
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Connect, and create or extend the tables.

        Raises:
            StoreError: It cannot be reached, or its tables are of a newer release.
        """
        await self._pool.open()
        try:
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                await connection.execute("CREATE TABLE IF NOT EXISTS ciba_version (version int NOT NULL)")
                found = await (await connection.execute("SELECT version FROM ciba_version")).fetchone()
                version = found[0] if found else 0
                if version > len(MIGRATIONS):
                    raise newer_tables()
                for step in MIGRATIONS[version:]:
                    await connection.execute(step.encode())
                await connection.execute("DELETE FROM ciba_version")
                await connection.execute("INSERT INTO ciba_version VALUES (%s)", (len(MIGRATIONS),))
        except (psycopg.Error, PoolTimeout) as error:
            await self._pool.close()
            raise _away(error) from None
        except StoreError:
            await self._pool.close()
            raise

    async def aclose(self) -> None:
        """Disconnect; may be called again."""
        self._closed.set()
        await self._pool.close()

    # --- workers ----------------------------------------------------------------------------------------------------

    async def join(self, worker: str) -> None:
        """See `Store.join`."""
        await self._run("INSERT INTO ciba_worker (name) VALUES (%(worker)s)", worker=worker)

    async def beat(self, worker: str, *, lease: float, report: Report | None = None) -> Others | None:
        """See `Store.beat`."""
        return await beat(self._run, worker, lease=lease, report=report or Report())

    async def share(self, worker: str, *, wanted: float, rate: float, lease: float) -> float:
        """See `Store.share`. Two statements: the first waits for whoever is at it, the second sees what they did.

        They are one message, and so one transaction: whoever is cut off in between would keep the others waiting.
        """
        values = {"worker": worker, "wanted": wanted, "rate": rate, "seconds": lease + WINDOW, "lock": SHARES}
        try:
            async with self._pool.connection() as connection:
                cursor = psycopg.AsyncClientCursor(connection)
                with hanging_up(connection):
                    await cursor.execute(
                        "SELECT pg_advisory_xact_lock(%(lock)s); "
                        "INSERT INTO ciba_share (worker, share, until) SELECT %(worker)s, "
                        "greatest(0, least(%(wanted)s, %(rate)s - coalesce(sum(share), 0)))::float8, "
                        "clock_timestamp() + make_interval(secs => %(seconds)s) "
                        "FROM ciba_share WHERE worker <> %(worker)s AND until > clock_timestamp() "
                        "ON CONFLICT (worker) DO UPDATE SET share = excluded.share, until = excluded.until "
                        "RETURNING share",
                        values,
                    )
                cursor.nextset()
                found = await cursor.fetchone()
        except (psycopg.Error, PoolTimeout) as error:
            raise _away(error) from None
        return float(found[0]) if found else 0.0

    async def bury(self, *, lease: float) -> Sequence[str]:
        """See `Store.bury`."""
        dead = await self._run(
            "DELETE FROM ciba_worker WHERE heard < now() - make_interval(secs => %(lease)s) RETURNING name", lease=lease
        )
        return [name for (name,) in dead]

    async def leave(self, worker: str) -> None:
        """See `Store.leave`."""
        await self._run(
            "WITH gone AS (DELETE FROM ciba_worker WHERE name = %(worker)s RETURNING name) "
            "UPDATE ciba_share s SET until = least(until, now() + make_interval(secs => %(seconds)s)) "
            "FROM gone g WHERE s.worker = g.name",
            worker=worker,
            seconds=WINDOW,
        )

    # --- logins -----------------------------------------------------------------------------------------------------

    async def hold(
        self, login: str, tag: bytes, worker: str, *, seconds: float, member: Member | None = None
    ) -> Owned | Held:
        """See `Store.hold`."""
        while True:
            taken = await self._run(
                "WITH held AS (INSERT INTO ciba_hold (tag, login, until) "
                "VALUES (%(tag)s, %(login)s, now() + make_interval(secs => %(seconds)s)) "
                "ON CONFLICT (tag) DO UPDATE SET login = excluded.login, until = excluded.until "
                "WHERE ciba_hold.until <= now() RETURNING until) "
                "INSERT INTO ciba_login (login, tag, stage, state, owner, until, batch, about) "
                "SELECT %(login)s, %(tag)s, %(stage)s, %(state)s, %(worker)s, until, %(batch)s, %(about)s "
                "FROM held RETURNING 1",
                login=login,
                tag=tag,
                worker=worker,
                seconds=seconds,
                stage=Stage.ASKING.value,
                state=State.SUBMITTING.value,
                batch=None if member is None else member.batch,
                about=None if member is None else member.about,
            )
            if taken:
                return Owned(login, 1)
            others = await self._run(
                "SELECT login, extract(epoch FROM until - now())::float8 FROM ciba_hold "
                "WHERE tag = %(tag)s AND until > now()",
                tag=tag,
            )
            if others:
                return Held(*others[0])
            # Freed between the two statements.

    async def withdraw(self, owned: Owned) -> bool:
        """See `Store.withdraw`."""
        return await self._write(
            f"WITH done AS (DELETE FROM ciba_login {_WRITE} RETURNING login, tag), freed AS ({_FREE}) {_TELL}", owned
        )

    async def accept(self, owned: Owned, *, token: str, progress: bytes, seconds: float, layout: int) -> bool:
        """See `Store.accept`."""
        return await self._write(
            "WITH done AS (UPDATE ciba_login SET stage = 'pending', state = %(state)s, token = %(token)s, "
            "progress = %(progress)s, until = now() + make_interval(secs => %(seconds)s), layout = %(layout)s, "
            f"changed = now() {_WRITE} RETURNING login, tag, until), "
            "prolonged AS (UPDATE ciba_hold h SET until = d.until FROM done d "
            f"WHERE h.tag = d.tag AND h.login = d.login) {_TELL}",
            owned,
            state=State.PENDING.value,
            token=token,
            progress=progress,
            seconds=seconds,
            layout=layout,
        )

    async def note(self, owned: Owned, *, progress: bytes) -> bool:
        """See `Store.note`."""
        return await self._write(
            "WITH done AS (UPDATE ciba_login SET progress = %(progress)s, changed = now() "
            f"{_WRITE} RETURNING login) {_TELL}",
            owned,
            progress=progress,
        )

    async def end(self, owned: Owned, *, state: str, outcome: bytes, gone: bool) -> bool:
        """See `Store.end`."""
        return await self._write(
            "WITH done AS (UPDATE ciba_login SET stage = 'ended', state = %(state)s, outcome = %(outcome)s, "
            f"owner = NULL, token = NULL, changed = now() {_WRITE} RETURNING login, tag), "
            f"freed AS ({_FREE} AND %(gone)s) {_TELL}",
            owned,
            state=state,
            outcome=outcome,
            gone=gone,
        )

    async def let_go(self, owned: Owned, *, token: str, tell: bool = True, doubt: bool = False) -> bool:
        """See `Store.let_go`."""
        return await self._write(
            "WITH done AS (UPDATE ciba_login SET owner = NULL, token = %(token)s, changed = now(), "
            "let_go = CASE WHEN NOT %(doubt)s THEN epoch END "
            f"{_WRITE} RETURNING login) "
            f"SELECT CASE WHEN %(tell)s THEN pg_notify('{CHANNEL}', '[null, null]') END FROM done",
            owned,
            token=token,
            tell=tell,
            doubt=doubt,
        )

    async def take(self, worker: str, *, most: int, layouts: Sequence[int]) -> Sequence[Stored]:
        """See `Store.take`."""
        rows = await self._run(
            "UPDATE ciba_login SET owner = %(worker)s, epoch = epoch + 1, changed = now() WHERE number IN ("
            f"SELECT number FROM ciba_login WHERE owner IS NULL AND {_LIVE} AND layout = ANY(%(layouts)s) "
            f"ORDER BY number LIMIT %(most)s FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}",
            worker=worker,
            most=most,
            layouts=[0, *layouts],
        )
        return [_read(row) for row in rows]

    async def release(self, worker: str, *, keep: Sequence[str]) -> int:
        """See `Store.release`."""
        rows = await self._run(
            "UPDATE ciba_login SET owner = NULL WHERE owner = %(worker)s AND login <> ALL(%(keep)s::text[]) "
            "RETURNING 1",
            worker=worker,
            keep=list(keep),
        )
        return len(rows)

    async def cancel(self, login: str) -> bool:
        """See `Store.cancel`."""
        return await self._write(
            f"WITH done AS (UPDATE ciba_login SET cancelled = true WHERE login = %(login)s AND {_LIVE} "
            f"RETURNING login) {_TELL}",
            Owned(login, 0),
            wish=Wish.STOP.value,
        )

    async def cancelled(self, worker: str) -> Sequence[str]:
        """See `Store.cancelled`."""
        rows = await self._run(
            f"SELECT login FROM ciba_login WHERE owner = %(worker)s AND cancelled AND {_LIVE}", worker=worker
        )
        return [login for (login,) in rows]

    async def watch(self, login: str) -> None:
        """See `Store.watch`. It is written down for owners that hear nothing."""
        await self._run(
            f"WITH done AS (UPDATE ciba_login SET watched = true WHERE login = %(login)s AND NOT watched AND {_LIVE}) "
            f"SELECT pg_notify('{CHANNEL}', json_build_array(%(login)s::text, %(wish)s::text)::text)",
            login=login,
            wish=Wish.WATCH.value,
        )

    async def pass_on(self, ping: str) -> None:
        """See `Store.pass_on`."""
        await self._run(PASS_ON, ping=ping)

    async def get(self, login: str) -> Stored | None:
        """See `Store.get`."""
        rows = await self._run(f"SELECT {_COLUMNS} FROM ciba_login WHERE login = %(login)s", login=login)
        return _read(rows[0]) if rows else None

    async def deliver(self, login: str) -> bytes | None:
        """See `Store.deliver`."""
        rows = await self._run(
            "WITH found AS (SELECT number, outcome FROM ciba_login WHERE login = %(login)s AND stage = 'ended' "
            "AND batch IS NULL FOR UPDATE) "
            "UPDATE ciba_login l SET stage = 'delivered', outcome = NULL, progress = NULL FROM found f "
            "WHERE l.number = f.number RETURNING f.outcome",
            login=login,
        )
        return bytes(rows[0][0]) if rows else None

    # --- what strategies learn --------------------------------------------------------------------------------------

    async def publish(self, source: str, kind: str, *, experience: bytes) -> None:
        """See `Store.publish`."""
        await publish(self._run, source, kind, experience)

    async def consult(self, source: str, kind: str) -> Sequence[bytes]:
        """See `Store.consult`."""
        return await consult(self._run, source, kind)

    # --- all of it --------------------------------------------------------------------------------------------------

    async def census(self) -> Census:
        """See `Store.census`."""
        workers = await self._run(
            "SELECT w.name, extract(epoch FROM now() - w.heard)::float8, count(l.login), s.share, t.allowed, w.late, "
            "w.taken_over FROM ciba_worker w LEFT JOIN ciba_login l ON l.owner = w.name "
            "LEFT JOIN ciba_share s ON s.worker = w.name LEFT JOIN ciba_throttle t ON t.worker = w.name "
            "GROUP BY w.name, s.share, t.allowed ORDER BY w.joined, w.name"
        )
        (counts,) = await self._run(
            "SELECT count(*) FILTER (WHERE stage = 'asking'), count(*) FILTER (WHERE stage = 'pending'), "
            f"count(*) FILTER (WHERE owner IS NULL AND {_LIVE}), count(*) FILTER (WHERE stage = 'ended'), "
            f"({CLOSED}) FROM ciba_login"
        )
        return Census([Seen(*each) for each in workers], *counts)

    async def purge(self, *, older: float) -> int:
        """See `Store.purge`."""
        await self._purge_batches(older)
        rows = await self._run(
            "WITH holds AS (DELETE FROM ciba_hold WHERE until <= now()), "
            "shares AS (DELETE FROM ciba_share WHERE until <= now()), "
            f"{FORGOTTEN} "
            "DELETE FROM ciba_login WHERE batch IS NULL AND stage <> 'pending' AND until < now() "
            "AND changed < now() - make_interval(secs => %(older)s) RETURNING 1",
            older=older,
            **KEPT,
        )
        return len(rows)

    async def changes(self) -> AsyncIterator[Change]:
        """See `Store.changes`."""
        async for change in changes(self._dsn, self._listen_dsn, closed=self._closed, watched=self._watched):
            yield change

    async def _watched(self) -> Sequence[str]:
        """The logins that somebody watches, whoever asks for them; none while the store is away."""
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                rows = await self._run(f"SELECT login FROM ciba_login WHERE owner IS NOT NULL AND watched AND {_LIVE}")
                return [login for (login,) in rows]
        return []

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _run(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """One statement, and the rows that it returns."""
        if self._closed.is_set():
            raise StoreError("the store is closed", code="store_closed", advice="open it first")
        try:
            async with self._pool.connection() as connection:
                with hanging_up(connection):
                    cursor = await connection.execute(statement.encode(), values)
                return await cursor.fetchall() if cursor.description else []
        except psycopg.errors.UniqueViolation:
            raise login_exists() from None
        except psycopg.errors.ForeignKeyViolation:
            raise worker_is_dead() from None
        except (psycopg.Error, PoolTimeout) as error:
            raise _away(error) from None

    async def _write(self, statement: str, owned: Owned, **values: object) -> bool:
        """A statement that returns a row for each login that it has changed."""
        named = {"login": owned.login, "epoch": owned.epoch, "wish": None, **values}
        return bool(await self._run(statement, **named))


def _read(row: Sequence[Any]) -> Stored:
    login, stage, state, epoch, owner, token, progress, cancelled, seconds, form, doubt = row
    seen = None if progress is None else bytes(progress)
    return Stored(login, Stage(stage), state, epoch, owner, token, seen, cancelled, seconds, form, doubt)


def _away(error: Exception) -> StoreError:
    # Not its message: it may repeat what was to be stored.
    return StoreError(
        f"the store cannot be reached ({type(error).__name__})",
        code="store_away",
        advice="see that PostgreSQL runs and that the address and the password are right; it is tried again",
    )
