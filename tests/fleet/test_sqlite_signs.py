"""Tests of how long it is remembered what workers say and learn; `test_store.py` has what holds for every store."""

from __future__ import annotations

import asyncio

from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import EXPERIENCE_KEPT, REMEMBERED, Others, Report
from idura_ciba.scheduling.budget import Throttle


async def test_what_one_has_learned_that_has_gone_is_remembered_for_a_while(store: SqliteStore) -> None:
    """What those say who live does not grow old: they say it again."""
    await store.join("one")
    await store.join("two")
    await store.beat("one", lease=60, report=Report(Throttle(1, 0.5, 10.0, closed=20.0)))
    await asyncio.sleep(REMEMBERED - 1)
    assert await store.beat("two", lease=60) == Others(2, Throttle(1, 0.5, 10.0))
    await asyncio.sleep(2)
    assert await store.beat("two", lease=60) == Others(2)
    (one, _) = (await store.census()).workers
    assert one.allowed == 10.0
    await store.purge(older=60)
    (one, _) = (await store.census()).workers
    assert one.allowed is None


async def test_experience_is_kept_for_a_week(store: SqliteStore) -> None:
    """Whoever lives publishes again."""
    await store.publish("old", "kind", experience=b"old")
    await asyncio.sleep(EXPERIENCE_KEPT - 10)
    await store.publish("new", "kind", experience=b"new")
    assert await store.consult("me", "kind") == [b"new", b"old"]
    await asyncio.sleep(20)
    await store.purge(older=60)
    rows = store._run("SELECT source FROM experience").fetchall()
    assert rows == [("new",)]
