"""Tests of the two clocks."""

from __future__ import annotations

import asyncio
import time

import pytest

from idura_ciba.aio.clock import Clock, SharedFloat, seconds_suspended


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


def test_the_time_that_the_machine_slept_is_what_the_loops_clock_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the system tells; where it does not, nothing is left out."""
    assert Clock().suspended is seconds_suspended
    assert seconds_suspended() > -1
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {7: 1000.0, time.CLOCK_MONOTONIC: 400.0}.__getitem__)
    assert seconds_suspended() == 600
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert seconds_suspended() == 0


def test_a_steady_number_is_one_object_until_it_moves() -> None:
    """And never further from the truth than it may be, however slowly it drifts."""
    shared = SharedFloat(0.5)
    first = shared.of(10.0)
    assert first == 10.0
    assert shared.of(10.25) is first
    assert shared.of(9.5) is first
    assert shared.of(10.75) == 10.75
    assert shared.of(10.5) == 10.75
    drifting = [nth / 100 for nth in range(1000)]
    assert max(abs(shared.of(value) - value) for value in drifting) <= 0.5
