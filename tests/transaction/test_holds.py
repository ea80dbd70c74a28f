"""Who is held, and for how long. `tests/test_client.py` holds the same rules from a caller's side."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba.aio.clock import Clock
from idura_ciba.transaction.already_pending import AlreadyPending
from idura_ciba.transaction.holds import SMALL, Holds


async def test_a_person_is_held_until_freed() -> None:
    """Also while nothing is known of the request."""
    holds = Holds(Clock())
    hold = holds.take("a")
    with pytest.raises(AlreadyPending) as caught:
        holds.check("a")
    assert caught.value.transaction is None
    assert caught.value.resume_token is None
    holds.check("b")
    holds.free(hold)
    holds.check("a")


@pytest.mark.parametrize("first", ["older", "newer"])
async def test_a_person_asked_twice_is_free_when_both_are_over(first: str) -> None:
    """`even_if_pending` takes a second hold, and neither lifts the other."""
    holds = Holds(Clock())
    held = {"older": holds.take("a"), "newer": holds.take("a")}
    holds.free(held.pop(first))
    with pytest.raises(AlreadyPending):
        holds.check("a")
    holds.free(held.popitem()[1])
    holds.check("a")


async def test_a_lost_acknowledgement_holds_as_long_as_a_prompt_may_live() -> None:
    """To the second."""
    holds = Holds(Clock())
    hold = holds.take("a")
    holds.lost(hold, lifetime=30)
    await asyncio.sleep(29.999)
    assert hold.may_ring
    with pytest.raises(AlreadyPending):
        holds.check("a")
    await asyncio.sleep(0.001)
    holds.check("a")


async def test_who_is_free_again_is_forgotten() -> None:
    """Also people who are never asked for again: a service that runs for years meets many."""
    holds = Holds(Clock())
    for nth in range(5 * SMALL):
        holds.lost(holds.take(str(nth)), lifetime=100 if nth else 1e6)
        await asyncio.sleep(1)
        assert len(holds._held) <= SMALL + 1
    with pytest.raises(AlreadyPending):
        holds.check("0")
