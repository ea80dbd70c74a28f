"""Tests of those who await and watch."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba import Outcome, State
from idura_ciba.transaction.watchers import Watchers

ENDED = Outcome(State.DENIED)


async def test_each_awaiter_gets_the_outcome_and_a_cancelled_one_affects_no_other() -> None:
    """Also one that is cancelled in the turn in which it ends."""
    watchers = Watchers()
    tasks = [asyncio.create_task(watchers.outcome()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    tasks[1].cancel()
    watchers.ended(ENDED)
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert await tasks[2] is ENDED
    assert not watchers._awaiting


async def test_a_change_wakes_all_watchers_once() -> None:
    """The next change is another one; a change that nobody watches is none."""
    watchers = Watchers()
    watchers.changed()
    first = watchers.next_change()
    assert watchers.next_change() is first
    watchers.changed()
    assert first.done()
    assert watchers.next_change() is not first
