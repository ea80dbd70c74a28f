"""Tests of the client: closing leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
from itertools import pairwise

import pytest

from idura_ciba import CibaError, FrejaID, Indeterminate, State, StateError
from idura_ciba.observe import TransactionEvent
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from idura_ciba.transaction.pending import ENDED_IN_A_TURN
from tests.logins import OTHER_SWEDE, SWEDE, MakeClient, on, swedish


async def test_an_observer_that_ends_others_does_not_disturb_closing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Each pending transaction's token is handed back, whoever ended it first."""
    del simulated_idura

    def end_all(event: object) -> None:
        if isinstance(event, TransactionEvent) and event.state is State.HANDED_OVER:
            for transaction in transactions:
                transaction.abandon()

    async with make_ciba_client(observers=[end_all]) as ciba:
        transactions = [await ciba.start(swedish(number)) for number in (SWEDE, OTHER_SWEDE, "209712310011")]
        assert len(await ciba.close()) == 3


async def test_closing_waits_for_polls_under_way(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """An answer that is on its way is taken, not thrown away."""
    simulated_idura.script(SWEDE, Script.approve(after=2))
    simulated_idura.faults.append(on("token", Fault.delay(3), nth=1))
    ciba = make_ciba_client()
    transaction = await ciba.start(swedish())
    await asyncio.sleep(4)
    assert await ciba.close() == []
    assert (await transaction).person_confirmed


async def test_closing_waits_for_a_start_under_way(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Its acknowledgement is the only key to a phone that rings."""
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.5)
    ciba = make_ciba_client(transport=transport)
    task = asyncio.create_task(ciba.start(swedish()))
    await asyncio.sleep(1.2)
    (left,) = await ciba.close()
    token = left.token
    assert (await task).resume_token == token
    with pytest.raises(StateError):
        await ciba.start(swedish())
    with pytest.raises(StateError):
        await ciba.resume(token)


@pytest.mark.parametrize("patience", [5.0, 0.1])
async def test_nothing_is_left_after_close(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, patience: float
) -> None:
    """No task and no timer, also when a poll and a start are cancelled in the middle."""
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.5)
    ciba = make_ciba_client(transport=transport)
    transaction = await ciba.start(swedish())
    await asyncio.sleep(3.2)
    task = asyncio.create_task(ciba.start(swedish(OTHER_SWEDE)))
    await asyncio.sleep(0.1)
    await ciba.close(patience=patience)
    await asyncio.wait([task])
    assert transaction.state.is_final
    assert asyncio.all_tasks() == {asyncio.current_task()}
    loop = asyncio.get_running_loop()
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    gc.collect()  # an exception that nobody retrieved would complain now, and warnings are errors


@pytest.mark.parametrize(
    ("endpoint", "error", "code"),
    [("discovery", StateError, "closed"), ("bc-authorize", Indeterminate, "start_unknown")],
)
async def test_who_starts_while_the_client_is_closed_gets_an_error(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, endpoint: str, error: type[CibaError], code: str
) -> None:
    """It says whether the phone may ring. Nobody cancelled the caller, and no task group may come to think so."""
    simulated_idura.faults.append(on(endpoint, Fault.delay(8)))
    ciba = make_ciba_client()
    async with asyncio.TaskGroup() as group:

        async def start() -> None:
            with pytest.raises(error) as caught:
                await ciba.start(swedish())
            assert caught.value.code == code

        starting = group.create_task(start())
        sibling = group.create_task(asyncio.sleep(20, "undisturbed"))
        await asyncio.sleep(1)
        await ciba.close(patience=1)
        await starting
    assert sibling.result() == "undisturbed"


async def test_who_resumes_while_the_client_is_closed_gets_an_error(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The token is still good for the next client."""
    first, second = make_ciba_client(), make_ciba_client()
    await first.start(swedish())
    (left,) = await first.close()
    token = left.token
    simulated_idura.faults.append(on("discovery", Fault.delay(8), nth=2))
    resuming = asyncio.create_task(second.resume(token))
    await asyncio.sleep(1)
    await second.close()
    with pytest.raises(StateError) as caught:
        await resuming
    assert caught.value.code == "closed"
    async with make_ciba_client() as third:
        assert (await third.resume(token)).state is State.PENDING


async def test_a_cancelled_start_stays_cancelled_when_the_client_is_closed_too(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whatever happens to the request, a cancellation is never turned into anything else."""
    simulated_idura.faults.append(on("bc-authorize", Fault.delay(8)))
    ciba = make_ciba_client()
    starting = asyncio.create_task(ciba.start(swedish()))
    await asyncio.sleep(1)
    starting.cancel()
    await ciba.close(patience=0)
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_a_close_that_is_cancelled_still_leaves_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """It stops waiting, cancels what is under way, and everything else ends as it should."""
    simulated_idura.faults.append(on("token", Fault.delay(30)))
    ciba = make_ciba_client()
    transaction = await ciba.start(swedish())
    await asyncio.sleep(4)
    closing = asyncio.create_task(ciba.close(patience=60))
    await asyncio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert asyncio.get_running_loop().time() == 5
    assert transaction.state is State.HANDED_OVER
    assert json.loads(str(transaction.resume_token))["in_doubt"] is True
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_many_that_end_with_the_client_take_turns(make_ciba_client: MakeClient) -> None:
    """The event loop has others to serve meanwhile; who else closes the client gets no token a second time."""
    ciba = make_ciba_client()
    started = [await ciba.start(FrejaID(email=f"{nth}@example.com")) for nth in range(150)]
    closers = [asyncio.create_task(ciba.close()) for _ in range(2)]
    left = [150]
    while left[-1]:
        await asyncio.sleep(0)
        left.append(len(ciba.pending))
    assert max(earlier - later for earlier, later in pairwise(left)) <= 2 * ENDED_IN_A_TURN
    tokens = [left.token for each in await asyncio.gather(*closers) for left in each]
    assert len(tokens) == 150
    assert set(tokens) == {transaction.resume_token for transaction in started}


async def test_a_close_that_is_cancelled_while_many_end_ends_them_all(make_ciba_client: MakeClient) -> None:
    """At once, because nobody would end them later."""
    ciba = make_ciba_client()
    started = [await ciba.start(FrejaID(email=f"{nth}@example.com")) for nth in range(150)]
    closing = asyncio.create_task(ciba.close())
    left = 150
    while left == 150:
        await asyncio.sleep(0)
        left = len(ciba.pending)
    assert left  # in the midst of it
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert {transaction.state for transaction in started} == {State.HANDED_OVER}


@pytest.mark.parametrize("turns", range(6))
async def test_a_close_that_is_cancelled_at_the_end_of_its_patience_leaves_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, turns: int
) -> None:
    """Also while it waits for a start that it has cancelled itself: nobody waits for a transaction for ever."""
    simulated_idura.faults.append(on("bc-authorize", Fault.delay(5), nth=2))
    ciba = make_ciba_client()
    transaction = await ciba.start(swedish())
    starting = asyncio.create_task(ciba.start(swedish(OTHER_SWEDE)))
    await asyncio.sleep(2)
    closing = asyncio.create_task(ciba.close(patience=1))
    await asyncio.sleep(1)
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing, starting])
    assert (await transaction.outcome()).state is State.HANDED_OVER
    assert ciba.pending == ()
