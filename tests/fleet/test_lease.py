"""Tests of when a worker may act: by its own clock, and no longer than the others wait for it."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba import StateError
from idura_ciba.fleet.lease import Lease


def now() -> float:
    """The monotonic instant."""
    return asyncio.get_running_loop().time()


async def test_a_lease_holds_for_its_time_after_the_question_and_not_after_the_answer() -> None:
    """The store may have heard it just when it was asked."""
    lease = Lease(5)
    assert not lease.holds
    asked_at = now()
    await asyncio.sleep(2)
    lease.confirmed(asked_at)
    assert lease.holds
    lease.check()
    await asyncio.sleep(2.9)
    assert lease.holds
    await asyncio.sleep(0.1)
    assert not lease.holds
    with pytest.raises(StateError) as caught:
        lease.check()
    assert caught.value.code == "fenced"


async def test_whoever_was_declared_dead_may_do_nothing() -> None:
    """At once."""
    lease = Lease(5)
    lease.confirmed(now())
    lease.lost()
    assert not lease.holds
    assert not lease.may_judge


async def test_only_whoever_was_connected_for_a_whole_lease_judges_others() -> None:
    """A cut of more than a lease begins it anew; a shorter one does not."""
    lease = Lease(5)
    for second in range(12):
        lease.confirmed(now())
        assert lease.may_judge is (second >= 5)
        await asyncio.sleep(1)
    await asyncio.sleep(3)
    lease.confirmed(now())
    assert lease.may_judge
    await asyncio.sleep(6)
    lease.confirmed(now())
    assert lease.holds
    assert not lease.may_judge
    await asyncio.sleep(4.9)
    lease.confirmed(now())
    await asyncio.sleep(0.2)
    assert lease.may_judge
