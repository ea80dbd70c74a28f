"""Tests of the two clocks."""

from __future__ import annotations

import asyncio
import time

from idura_ciba.clock import Clock


async def test_monotonic_is_the_running_loops_clock() -> None:
    """Waiting of the core and waiting of the loop are one and the same."""
    clock = Clock()
    before = clock.monotonic()
    await asyncio.sleep(7.25)
    assert clock.monotonic() - before == 7.25
    assert clock.monotonic() == asyncio.get_running_loop().time()


def test_wall_time_is_the_systems_unless_replaced() -> None:
    """A clock reads the system's wall time by default and any other function when told to."""
    assert Clock().wall is time.time
    assert Clock(wall=lambda: 12.5).wall() == 12.5
