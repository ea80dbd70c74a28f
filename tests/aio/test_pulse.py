"""Tests of what is known of when something arrived."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba.aio.pulse import BEAT, Pulse
from idura_ciba.testing import VirtualLoop
from tests.fakes import block


@pytest.mark.parametrize("seconds", [0.0, 0.4, 1.0, 7.3, 30.0])
async def test_what_is_read_in_time_has_just_arrived(seconds: float) -> None:
    """However long it was waited for."""
    loop = asyncio.get_running_loop()
    with Pulse() as pulse:
        await asyncio.sleep(seconds)
        assert pulse.arrived(0.0, loop.time()) == seconds


@pytest.mark.parametrize(("began", "length"), [(0.5, 30.0), (6.2, 3.0), (6.2, 1.9), (4.999, 30.002)])
async def test_what_is_read_after_a_block_may_be_as_old(began: float, length: float) -> None:
    """Within a beat, also if the block ends just when a beat is due."""
    loop = asyncio.get_running_loop()
    loop.call_at(began, block, length)
    with Pulse() as pulse:
        await asyncio.sleep(began + length / 2)  # over as soon as the loop goes on
        assert loop.time() == pytest.approx(began + length)
        assert began <= pulse.arrived(0.0, loop.time()) <= began + BEAT
        assert pulse.arrived(began + 1.5, loop.time()) == began + 1.5
        await asyncio.sleep(3 * BEAT)
        assert pulse.arrived(0.0, loop.time()) == loop.time()


async def test_a_loop_that_is_blocked_again_and_again_has_not_run() -> None:
    """Also if it goes on just when the next beat is due: there were no turns in which anything could be read."""
    loop = asyncio.get_running_loop()

    def again() -> None:
        block(BEAT + 0.005)
        loop.call_soon(loop.call_soon, arrived.set_result, None)

    arrived = loop.create_future()
    loop.call_at(0.5, block, 30.0)
    loop.call_at(20, lambda: loop.call_soon(loop.call_soon, again))
    with Pulse() as pulse:
        await arrived
        assert loop.time() == pytest.approx(30.5 + BEAT + 0.005)
        assert pulse.arrived(0.0, loop.time()) <= 0.5 + BEAT


async def test_many_share_one() -> None:
    """It beats until the last of them has left, and again for whoever comes later."""
    loop = asyncio.get_running_loop()
    pulse = Pulse()

    async def wait(seconds: float) -> None:
        with pulse:
            await asyncio.sleep(seconds)
            assert pulse.arrived(0.0, loop.time()) == loop.time()

    await asyncio.gather(*map(wait, (0.1, 2.5, 7.0)))
    await asyncio.sleep(100)
    await wait(3)


async def test_it_leaves_no_timer() -> None:
    """The run ends at once, and not at the next beat."""
    loop = asyncio.get_running_loop()
    with Pulse():
        await asyncio.sleep(3.5)
    assert isinstance(loop, VirtualLoop)
    assert all(handle.cancelled() for handle in loop._virtual.timers)
