"""Who is held, and for how long. `tests/test_client.py` holds the same rules from a caller's side."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba.clock import Clock
from idura_ciba.errors import AlreadyPending
from idura_ciba.holds import UNKNOWN_LIFETIME, Holds


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


async def test_freeing_an_older_hold_leaves_the_newer_one() -> None:
    """`even_if_pending` puts a second hold in the place of the first."""
    holds = Holds(Clock())
    older = holds.take("a")
    holds.take("a")
    holds.free(older)
    with pytest.raises(AlreadyPending):
        holds.check("a")


@pytest.mark.parametrize(("lifetime", "held_for"), [(None, UNKNOWN_LIFETIME), (30, 30.0)])
async def test_a_lost_acknowledgement_holds_as_long_as_a_prompt_may_live(
    lifetime: float | None, held_for: float
) -> None:
    """By what was asked for, else by the longest that is usual."""
    holds = Holds(Clock())
    holds.lost(holds.take("a"), lifetime=lifetime)
    await asyncio.sleep(held_for - 0.001)
    with pytest.raises(AlreadyPending):
        holds.check("a")
    await asyncio.sleep(0.001)
    holds.check("a")
