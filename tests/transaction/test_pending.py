"""Tests of what a client knows of its pending transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from idura_ciba import CibaClient, State
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.transaction.pending import ENDED_IN_A_TURN
from tests.fakes import swede, swedish_number

MakeClient = Callable[..., CibaClient]


async def test_it_lists_the_oldest_first_and_forgets_those_that_have_ended(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """By the handles that their callers hold."""
    for nth, after in enumerate((9, 1, 9)):
        simulated_idura.script(swedish_number(nth), Script.approve(after=after))
    async with make_ciba_client() as ciba:
        first, second, third = [await ciba.start(swede(nth)) for nth in range(3)]
        assert ciba.pending == (first, second, third)
        assert all(transaction._driver.auth_req_id in ciba._pending for transaction in ciba.pending)
        await second
        assert ciba.pending == (first, third)
        assert second._driver.auth_req_id not in ciba._pending


async def test_two_closers_share_the_tokens_and_a_cancelled_one_ends_the_rest(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Each token is handed out once, whoever asks; what is left when a closer is cancelled is ended at once."""
    for nth in range(3 * ENDED_IN_A_TURN):
        simulated_idura.script(swedish_number(nth), Script.never())
    async with make_ciba_client() as ciba:
        transactions = [await ciba.start(swede(nth)) for nth in range(3 * ENDED_IN_A_TURN)]
        closers = [asyncio.create_task(ciba._pending.end_in_turns()) for _ in range(2)]
        await asyncio.sleep(0)
        for closer in closers:
            closer.cancel()
        await asyncio.gather(*closers, return_exceptions=True)
        assert sum(transaction.state.is_final for transaction in transactions) == 2 * ENDED_IN_A_TURN
        ciba._pending.end_at_once()
        await ciba._pending.hand_over()
        left = ciba._pending.take_left()
        assert len({each.token for each in left}) == len(left) == len(transactions)
        assert ciba._pending.take_left() == []
        assert all(transaction.state is State.HANDED_OVER for transaction in transactions)
        assert len(ciba._pending) == 0
