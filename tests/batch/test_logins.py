"""Tests of the logins of one run, and of how they are left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from idura_ciba import CibaClient, State
from idura_ciba.batch.logins import PATIENCE, Login, Logins, Places, abandon_between_polls
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from tests.fakes import swede, swedish_number

MakeClient = Callable[..., CibaClient]


async def test_each_end_is_told_once() -> None:
    """With its error, if it had one."""
    told: list[BaseException | None] = []
    logins = Logins(told.append)

    async def work(error: Exception | None) -> None:
        if error is not None:
            raise error

    first, second = Login(), Login()
    logins.begin(work(None), first)
    logins.begin(work(ValueError("broken")), second)
    assert len(logins) == 2
    await asyncio.sleep(0.1)
    assert len(logins) == 0
    assert [type(error) for error in told] == [type(None), ValueError]


async def test_what_was_sent_may_come_to_its_end_and_what_was_not_is_cancelled() -> None:
    """For a few seconds."""
    logins, ends = Logins(lambda _error: None), []

    async def work(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            ends.append(f"{name} ended")
        except asyncio.CancelledError:
            ends.append(f"{name} cancelled")
            raise

    logins.begin(work("waiting", 1), Login())
    logins.begin(work("sent", 1), Login(is_sending=True))
    logins.begin(work("slow", PATIENCE + 1), Login(is_sending=True))
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await logins.leave()
    assert sorted(ends) == ["sent ended", "slow cancelled", "waiting cancelled"]
    assert asyncio.get_running_loop().time() == began + PATIENCE


async def test_a_login_is_left_between_two_polls(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """A poll that is out may bring the answer."""
    simulated_idura.script(swedish_number(0), Script.approve(1))
    simulated_idura.faults.append(lambda arrival: Fault.delay(3) if arrival.endpoint == "token" else None)
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swede(0))
        await asyncio.sleep(4)
        await abandon_between_polls(transaction)
        assert (await transaction.outcome()).state is State.APPROVED


async def test_places_are_taken_and_given_back() -> None:
    """What an earlier run has left may exceed them."""
    places = Places()
    places.count = 2
    for _ in range(3):
        places.exceed()
    waiting = asyncio.create_task(places.take())
    for is_taken in (False, True):
        places.free()
        await asyncio.sleep(0.1)
        assert waiting.done() is is_taken
