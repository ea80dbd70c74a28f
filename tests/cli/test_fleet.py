"""Tests of `idura-ciba fleet status`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Owned


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> str:
    """A store with a worker that asks one person, is about to ask another, and has a share of the rate."""

    async def fill() -> None:
        store = SqliteStore(tmp_path / "store")
        await store.open()
        await store.join("0f1e2d3c")
        owned = await store.hold("case 1", b"tag", "0f1e2d3c", seconds=60)
        assert isinstance(owned, Owned)
        await store.accept(owned, token="t", progress=b"", seconds=60, layout=1)
        await store.hold("case 2", b"other", "0f1e2d3c", seconds=60)
        await store.share("0f1e2d3c", wanted=12.5, rate=50, lease=60)
        await store.aclose()

    asyncio.run(fill())
    return str(tmp_path / "store")


def test_it_shows_who_asks_for_what(invoke: Callable[..., Any], path: str) -> None:
    """In lines for people."""
    ran = invoke("fleet", "status", "--store", path)
    assert ran.exit_code == 0
    first, second = ran.stdout.splitlines()
    assert first == "1 worker: 1 pending, 1 about to be asked, 0 without a worker, 0 ended and not fetched"
    assert second.startswith("  0f1e2d3c: 2 logins, 12.5 requests/s, heard ")


def test_programs_get_json(invoke: Callable[..., Any], path: str) -> None:
    """The address may stand in the environment."""
    found = json.loads(invoke("fleet", "status", "--json", IDURA_CIBA_STORE=path).stdout)
    assert (found["pending"], found["asking"], found["workers"][0]["share"]) == (1, 1, 12.5)


def test_what_is_no_store_is_refused(invoke: Callable[..., Any], tmp_path: Path) -> None:
    """And not made."""
    ran = invoke("fleet", "status", "--store", str(tmp_path / "none"))
    assert ran.exit_code == 2
    assert "There is no such store" in ran.stderr
    assert list(tmp_path.iterdir()) == []
    assert invoke("fleet", "status").exit_code == 2
    assert "status" in invoke("fleet", "--help").stdout
