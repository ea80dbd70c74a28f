"""Tests of taking turns."""

from __future__ import annotations

import asyncio

from idura_ciba.aio.clock import Clock
from idura_ciba.batch.turns import Turns
from idura_ciba.testing import virtual_clock

ONE, OTHER = b"one", b"other"


async def test_one_at_a_time_for_each_person() -> None:
    """In the order in which they came, and nobody waits for anybody else; nothing is kept of who has gone."""
    turns, told = Turns(virtual_clock(), {}), []

    async def go(person: bytes, name: str) -> None:
        async with turns.take(person) as waited:
            told.append((name, waited, asyncio.get_running_loop().time()))
            await asyncio.sleep(10)

    await asyncio.gather(go(ONE, "a"), go(ONE, "b"), go(OTHER, "c"), go(ONE, "d"))
    assert told == [("a", False, 0.0), ("c", False, 0.0), ("b", True, 10.0), ("d", True, 20.0)]
    assert turns._locks == {}


async def test_a_prompt_of_an_earlier_run_is_waited_for() -> None:
    """Once; and by its own person only."""
    clock = virtual_clock()
    turns = Turns(clock, {ONE: clock.wall() + 30, OTHER: clock.wall() - 1})
    for person, expected in ((OTHER, (False, 0.0)), (ONE, (True, 30.0)), (ONE, (False, 30.0))):
        async with turns.take(person) as waited:
            assert (waited, asyncio.get_running_loop().time()) == expected


async def test_a_clock_that_is_put_back_makes_it_wait_on() -> None:
    """What is on the phone goes by the time of the provider."""
    loop = asyncio.get_running_loop()
    shift = 0.0
    clock = Clock(wall=lambda: loop.time() + shift)
    turns = Turns(clock, {ONE: 30.0})

    async def put_back() -> None:
        nonlocal shift
        await asyncio.sleep(20)
        shift = -5.0

    setting = asyncio.create_task(put_back())
    async with turns.take(ONE):
        assert loop.time() == 35.0
    await setting


async def test_who_is_cancelled_while_waiting_blocks_nobody() -> None:
    """Neither those before nor those after."""
    turns = Turns(virtual_clock(), {})

    async def go() -> None:
        async with turns.take(ONE):
            await asyncio.sleep(10)

    first, second, third = (asyncio.create_task(go()) for _ in range(3))
    await asyncio.sleep(1)
    second.cancel()
    await asyncio.wait({first, second, third})
    assert second.cancelled()
    assert asyncio.get_running_loop().time() == 20.0
    assert turns._locks == {}
