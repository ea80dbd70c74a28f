"""Tests of the error for a person who is being asked already: it says until when, and what can be done."""

from __future__ import annotations

import asyncio
import pickle
from typing import assert_type

import pytest

from idura_ciba import AlreadyPending, Indeterminate, StateError, Transaction
from idura_ciba.simulator import Fault, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH
from tests.logins import MakeClient, on, swedish


async def refused(make_ciba_client: MakeClient, before: str) -> AlreadyPending:
    """What a second start gets, six seconds after the first."""
    ciba = make_ciba_client()
    first = asyncio.create_task(ciba.start(swedish(), timeout=300))
    await asyncio.sleep(6)
    if before == "abandoned":
        (await first).abandon()
    elif before == "lost":
        with pytest.raises(Indeterminate):
            await first
    with pytest.raises(AlreadyPending) as caught:
        await ciba.start(swedish())
    await ciba.close(patience=0)
    await asyncio.gather(first, return_exceptions=True)
    return caught.value


async def test_a_login_that_is_pending_can_be_awaited(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """And the person can be asked again once its prompt has expired."""
    del simulated_idura
    error = await refused(make_ciba_client, "pending")
    assert_type(error.transaction, Transaction | None)
    assert isinstance(error.transaction, Transaction)
    assert "await the login in `.transaction`" in error.advice
    assert error.until == error.transaction.prompt_until
    assert not isinstance(error, ValueError)


async def test_a_login_that_was_abandoned_can_be_gone_on_with(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Awaiting it would only raise `Abandoned`, so that is not the advice."""
    del simulated_idura
    error = await refused(make_ciba_client, "abandoned")
    assert error.transaction is not None
    assert "rejoin" in error.advice
    assert "await" not in error.advice
    assert error.until == error.transaction.prompt_until
    assert error.resume_token is not None


async def test_after_a_lost_answer_there_is_only_waiting(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """For as long as a prompt of this eID may live."""
    simulated_idura.faults.append(on("bc-authorize", Fault.lose_answer(reset=True)))
    error = await refused(make_ciba_client, "lost")
    assert error.transaction is None
    assert "ask again after `.until`" in error.advice
    assert error.until == pytest.approx(VIRTUAL_EPOCH + 180, abs=1)


async def test_while_the_first_request_is_on_its_way_nothing_is_known(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Neither its prompt nor its end."""
    simulated_idura.faults.append(on("bc-authorize", Fault.delay(20)))
    error = await refused(make_ciba_client, "starting")
    assert (error.transaction, error.until) == (None, None)
    assert "wait for the other start" in error.advice


async def test_it_can_be_pickled_without_its_transaction(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """That belongs to one event loop; the instant travels."""
    del simulated_idura
    error = await refused(make_ciba_client, "pending")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled in the same line
    assert isinstance(back, StateError)
    assert (str(back), back.until, back.transaction) == (str(error), error.until, None)
