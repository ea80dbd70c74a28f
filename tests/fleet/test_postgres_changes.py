"""Tests of how changes in PostgreSQL are heard; what they mean for replicas is in `test_postgres.py`."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba.fleet.store import Change, Wish

pytestmark = [pytest.mark.sockets, pytest.mark.unmeasured]

psycopg = pytest.importorskip("psycopg")


async def test_what_is_told_is_heard_until_the_end(dsn: str) -> None:
    """First that anything may have been missed."""
    from idura_ciba.fleet.postgres_changes import CHANNEL, PASS_ON, changes  # noqa: PLC0415 - needs the extra

    closed, told = asyncio.Event(), [("a", None), ("b", "stop"), (None, None)]
    heard: list[Change] = []

    async def nobody() -> list[str]:
        raise AssertionError

    async for change in changes(dsn, None, closed=closed, watched=nobody):
        heard.append(change)
        if len(heard) == 1:
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
                for login, wish in told:
                    statement = f"SELECT pg_notify('{CHANNEL}', json_build_array(%s::text, %s::text)::text)"
                    await connection.execute(statement.encode(), (login, wish))
                await connection.execute(PASS_ON.encode(), {"ping": "sealed"})
        if len(heard) == 5:
            closed.set()
    assert heard == [Change(None), Change("a"), Change("b", Wish.STOP), Change(None), Change(None, ping="sealed")]


async def test_behind_a_pooler_changes_are_looked_for(dsn: str, pooled_dsn: str) -> None:
    """Where there is no way past it; with one, they are heard."""
    from idura_ciba.fleet.postgres_changes import changes  # noqa: PLC0415 - needs the extra

    closed, looked = asyncio.Event(), 0

    async def watched() -> list[str]:
        nonlocal looked
        looked += 1
        return ["a"]

    heard = []
    async for change in changes(pooled_dsn, None, closed=closed, watched=watched):
        heard.append(change)
        if len(heard) == 4:
            closed.set()
    assert heard == [Change(None), Change("a", Wish.WATCH)] * 2
    async for change in changes(pooled_dsn, dsn, closed=asyncio.Event(), watched=watched):
        assert change == Change(None)
        break
    assert looked == 2
