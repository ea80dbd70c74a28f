"""Steps in slices: so many in a turn of the loop, in order, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.aio.slices import Slices
from idura_ciba.testing import run_virtual


class Turns:
    """Counts the turns of the running loop."""

    def __init__(self) -> None:
        self.now = 0
        self._loop = asyncio.get_running_loop()
        self._tick()

    def _tick(self) -> None:
        self.now += 1
        self.handle = self._loop.call_soon(self._tick)


@given(st.integers(1, 5), st.lists(st.sampled_from(("step", "cancelled", "turn")), max_size=40))
def test_so_many_steps_in_a_turn_and_in_order(most: int, plan: list[str]) -> None:
    """However they come, and whoever gives up meanwhile; while there are few, nobody waits."""

    async def run() -> None:
        slices, turns = Slices(most), Turns()
        taken: list[tuple[int, int]] = []
        asked: dict[int, int] = {}

        async def step(nth: int) -> None:
            asked[nth] = turns.now
            await slices.step()
            taken.append((nth, turns.now))

        tasks, kept = [], []
        for nth, what in enumerate(plan):
            if what == "turn":
                await asyncio.sleep(0)
                continue
            tasks.append(asyncio.create_task(step(nth)))
            if what == "cancelled":
                asyncio.get_running_loop().call_later(0, tasks[-1].cancel)
            else:
                kept.append(nth)
        await asyncio.gather(*tasks, return_exceptions=True)
        turns.handle.cancel()
        waited = [nth for nth, turn in taken if turn > asked[nth]]
        assert waited == sorted(waited)
        assert set(kept) <= {nth for nth, _ in taken}
        assert max(Counter(turn for _, turn in taken).values(), default=0) <= 2 * most
        if len(tasks) <= most:
            assert all(asked[nth] == turn for nth, turn in taken)

    run_virtual(run())


async def test_none_waits_once_the_burst_is_over() -> None:
    """A step is free again in the next turn."""
    slices = Slices(2)
    for _ in range(10):
        assert await asyncio.gather(*(slices.step() for _ in range(5))) == [None] * 5
        await asyncio.sleep(0)
    assert not slices._waiting


def test_another_event_loop_begins_anew() -> None:
    """Also where the one before was left in the middle of a turn."""
    slices = Slices(1)

    async def leave() -> None:
        tasks = [asyncio.create_task(slices.step()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not tasks[-1].done()

    for _ in range(3):
        run_virtual(leave())
    run_virtual(asyncio.wait_for(slices.step(), 1))


@pytest.mark.parametrize("most", [1, 3])
async def test_other_callbacks_have_their_turn_in_between(most: int) -> None:
    """That is what it is for: a hundred steps leave the loop to others after each few."""
    slices, turns = Slices(most), Turns()
    before = turns.now
    await asyncio.gather(*(slices.step() for _ in range(30)))
    turns.handle.cancel()
    assert turns.now - before >= 30 / most
