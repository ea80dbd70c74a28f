"""Tests of waiting for the provider to come back."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from idura_ciba.batch.outage import LONGEST, Outage
from idura_ciba.errors import ProviderError, TransportError


async def test_tries_become_fewer_until_nothing_is_worth_trying() -> None:
    """Twice the pause each time, a minute at most, and an end."""
    outage, loop = Outage(300.0), asyncio.get_running_loop()
    tried = [0.0]
    while outage.met(TransportError("away")):
        await outage.over()
        tried.append(loop.time())
    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST]
    assert 300.0 <= tried[-1] <= 300.0 + LONGEST


async def test_many_that_meet_it_at_once_are_one_failure() -> None:
    """A hundred starts that fail together are not tried a hundred pauses later."""
    outage = Outage(300.0)
    assert all(outage.met(TransportError("away")) for _ in range(100))
    await outage.over()
    assert asyncio.get_running_loop().time() == 1.0


async def test_it_is_over_when_something_works() -> None:
    """The next one begins anew."""
    outage = Outage(10.0)
    for _ in range(3):
        assert outage.met(TransportError("away"))
        await outage.over()
    await asyncio.sleep(100)
    outage.ended()
    assert outage.met(TransportError("away"))
    began = asyncio.get_running_loop().time()
    await outage.over()
    assert asyncio.get_running_loop().time() == began + 1.0
    assert not Outage(0.0).met(TransportError("away"))


async def test_the_provider_says_when_to_come_back() -> None:
    """And whoever waits hears when it is put off meanwhile."""
    outage, error = Outage(300.0), ProviderError("busy")
    error.retry_after = 20.0
    outage.met(error)
    waiting = asyncio.create_task(outage.over())
    await asyncio.sleep(20)
    outage.met(error)
    await waiting
    assert asyncio.get_running_loop().time() == 40.0
