"""What changes in PostgreSQL: heard with LISTEN, or looked for where a pooler stands between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg

from idura_ciba.fleet.silence import SILENCE, hanging_up
from idura_ciba.fleet.store import Change, Wish

__all__ = ["AGAIN", "CHANNEL", "OPTIONS", "PASS_ON", "PATIENCE", "changes"]

CHANNEL: Final = "ciba_fleet"
#: That of pings; with each of them only what is told.
PINGS: Final = "ciba_fleet_ping"
#: Tells of one.
PASS_ON: Final = f"SELECT pg_notify('{PINGS}', %(ping)s)"
#: Seconds until a new connection is tried after one was lost, and between two looks where nothing can be heard.
AGAIN: Final = 1.0
#: Seconds to wait for a connection, and for a server that is connected to; psycopg's own are 130.
PATIENCE: Final = 5
#: Of every connection. Statements are not prepared: poolers in transaction mode know nothing of them.
OPTIONS: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": None, "connect_timeout": PATIENCE}


async def changes(
    dsn: str,
    listen_dsn: str | None,
    *,
    closed: asyncio.Event,
    watched: Callable[[], Awaitable[Sequence[str]]],
) -> AsyncIterator[Change]:
    """What changes, until the store is closed.

    A lost connection is made again; what changed meanwhile is one change of anything.

    Args:
        dsn: How to connect.
        listen_dsn: How to connect past a pooler. None: by `dsn`; where a pooler stands there, changes are looked for.
        closed: Set once the store is closed.
        watched: Looks up the logins that somebody watches.
    """
    now = asyncio.get_running_loop().time
    while not closed.is_set():
        with suppress(psycopg.Error):
            async with await psycopg.AsyncConnection.connect(listen_dsn or dsn, **OPTIONS) as connection:
                if listen_dsn is None and await _is_pooled(connection):
                    break
                with hanging_up(connection):
                    await connection.execute(f"LISTEN {CHANNEL}; LISTEN {PINGS}".encode())
                yield Change(None)
                heard_at = now()
                while not closed.is_set():
                    async for notice in connection.notifies(timeout=AGAIN):
                        heard_at = now()
                        if notice.channel == PINGS:
                            yield Change(None, ping=notice.payload)
                            continue
                        login, wish = json.loads(notice.payload)
                        yield Change(login, wish and Wish(wish))
                    if now() > heard_at + SILENCE:
                        # Where nothing comes there may be no line any more, and nobody says so.
                        with hanging_up(connection):
                            await connection.execute("SELECT 1")
                        heard_at = now()
        await _pause(closed)
    while not closed.is_set():
        yield Change(None)
        for login in await watched():
            yield Change(login, Wish.WATCH)
        await _pause(closed)


async def _is_pooled(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether a pooler is in between: it gives its clients process numbers of its own, so that they can cancel."""
    found = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    return found is not None and found[0] != connection.info.backend_pid


async def _pause(closed: asyncio.Event) -> None:
    """Until the store is closed, or for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(AGAIN):
            await closed.wait()
