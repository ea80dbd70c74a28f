"""Tests of how a login begins, by what it leaves behind; what callers are told is tested in `test_client*.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from idura_ciba import Abandoned, AlreadyPending, CibaClient, FairScheduler, Indeterminate, TransportError, UsageError
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from idura_ciba.transaction.starter import Start
from tests.fakes import swede, swedish_number

MakeClient = Callable[..., CibaClient]


@pytest.mark.parametrize(("expiry", "lifetime"), [(None, 180.0), (60, 180.0), (600, 600.0)])
def test_a_prompt_of_which_nothing_is_known_lives_as_long_as_it_may(expiry: int | None, lifetime: float) -> None:
    """The eID's own lifetime, or what was asked for where that is longer: the provider may have granted it."""
    request = swede(1)
    object.__setattr__(request, "requested_expiry", expiry)
    assert Start(request, None, None, None, called_at=0.0).lifetime == lifetime


async def test_a_note_that_raises_frees_the_person_and_asks_nobody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A batch whose journal cannot be written must not ring a phone, and may try the person again."""

    async def note() -> None:
        raise UsageError("the disk is full", code="full")

    simulated_idura.script(swedish_number(1), Script.approve(after=1))
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError, match="full"):
            await ciba.start(swede(1), before_sending=note)
        assert simulated_idura.ledger.orders == []
        assert await ciba.authenticate(swede(1))


async def test_a_request_that_may_have_arrived_holds_the_person(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A request that cannot have arrived does not."""
    lost = True
    simulated_idura.faults.append(
        lambda arrival: (
            (Fault.lose_answer() if lost else Fault.refuse_connection()) if arrival.endpoint == "bc-authorize" else None
        )
    )
    async with make_ciba_client() as ciba:
        with pytest.raises(Indeterminate):
            await ciba.start(swede(1))
        with pytest.raises(AlreadyPending):
            await ciba.start(swede(1))
        lost = False
        for _ in range(2):
            with pytest.raises(TransportError, match="nothing was sent"):
                await ciba.start(swede(2))


async def test_stopping_cancels_what_is_under_way_and_leaves_no_task(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Each caller hears of it; the person whose request had left stays held."""
    simulated_idura.faults.append(lambda arrival: Fault.delay(30) if arrival.endpoint == "bc-authorize" else None)
    async with make_ciba_client() as ciba:
        starting = asyncio.create_task(ciba.start(swede(1)))
        await asyncio.sleep(1)
        await ciba._starter.finish(patience=2)
        assert not starting.done()
        await ciba._starter.stop()
        assert not ciba._starter.context.tasks
        with pytest.raises(Indeterminate):
            await starting
        with pytest.raises(AlreadyPending):
            await ciba.start(swede(1))


async def test_a_limit_that_passes_while_waiting_for_a_place_asks_nobody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """And frees the person."""
    simulated_idura.script(swedish_number(1), Script.approve(after=1))
    simulated_idura.script(swedish_number(2), Script.approve(after=20))
    scheduler = FairScheduler(max_pending=1)
    async with make_ciba_client(scheduler=scheduler) as ciba:
        first = await ciba.start(swede(2))
        with pytest.raises(Abandoned):
            await ciba.start(swede(1), timeout=5)
        assert len(simulated_idura.ledger.orders) == 1
        await first
        assert await ciba.authenticate(swede(1))
