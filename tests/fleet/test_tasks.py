"""Tests of the tasks of a fleet."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from idura_ciba.errors import StoreError
from idura_ciba.fleet.tasks import Tasks

WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def test_they_run_until_they_end_or_are_stopped() -> None:
    """And are kept no longer."""
    tasks, ended = Tasks(), list[str]()

    async def work(name: str, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(name)
        return name

    short, long = tasks.spawn(work("short", 1)), tasks.spawn(work("long", 3600))
    assert await short == "short"
    assert list(tasks) == [long]
    await tasks.stop()
    assert ended == ["short", "long"]
    assert long.cancelled()
    assert list(tasks) == []


async def test_what_is_done_for_all_is_in_nobodys_context() -> None:
    """Everything else is in the caller's."""
    tasks = Tasks()

    async def who() -> str:
        return WHO.get()

    WHO.set("caller")
    assert await tasks.spawn(who()) == "caller"
    assert await tasks.spawn(who(), for_all=True) == "nobody"


@pytest.mark.parametrize(("error", "told"), [(KeyError("secret"), 1), (StoreError("away"), 0)])
async def test_a_bug_is_told_without_its_words(caplog: pytest.LogCaptureFixture, error: Exception, told: int) -> None:
    """What this package raises is no bug."""
    tasks = Tasks()

    async def fail() -> None:
        raise error

    await asyncio.wait({tasks.spawn(fail())})
    assert [record.getMessage() for record in caplog.records] == [
        "a bug in the fleet, please report it: KeyError"
    ] * told
