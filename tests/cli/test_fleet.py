"""Tests of `idura-ciba fleet status`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Owned, Report
from idura_ciba.scheduling.budget import Throttle


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


def test_it_shows_what_refusals_have_left_of_the_rate(invoke: Callable[..., Any], path: str) -> None:
    """And how late polls are, what was taken over, and for how long nothing leaves."""

    async def refuse() -> None:
        store = SqliteStore(path)
        await store.open()
        report = Report(Throttle(2, 0.5, 6.25, closed=30.0), late=3.25, taken_over=4)
        await store.beat("0f1e2d3c", lease=60, report=report)
        await store.join("4b5a6978")
        await store.beat("4b5a6978", lease=60, report=Report(Throttle(2, None, 5.0)))
        await store.aclose()

    asyncio.run(refuse())
    _, closed, *workers = invoke("fleet", "status", "--store", path).stdout.splitlines()
    assert re.fullmatch(r"the provider refuses requests: none leaves for (29|30) s", closed)
    allowed = "2 logins, 6.25 of 12.5 requests/s allowed, polls late by 3.2 s, 4 taken over, heard "
    assert workers[0].startswith(f"  0f1e2d3c: {allowed}")
    assert workers[1].startswith("  4b5a6978: 0 logins, 5 requests/s allowed, heard ")


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
