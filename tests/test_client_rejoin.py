"""Tests of the client: going on with a prompt that is still on the phone after it was given up on."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba import CibaClient, EidRequest, NorwegianBankID, StateError, SwedishBankID, Transaction, UsageError
from idura_ciba.protocol.machine import State
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from tests.logins import NORWEGIAN, OTHER_SWEDE, SWEDE, MakeClient, on, swedish


async def give_up(ciba: CibaClient, request: EidRequest, how: str) -> Transaction | None:
    """Ask, and then stop, after six seconds."""
    if how == "cancelled":
        login = asyncio.create_task(ciba.authenticate(request, reference="call-4711"))
        await asyncio.sleep(6)
        login.cancel()
        await asyncio.wait([login])
        return None
    transaction = await ciba.start(request, timeout=6 if how == "timeout" else None, reference="call-4711")
    await asyncio.sleep(6)
    if how == "abandoned":
        transaction.abandon()
    return transaction


@pytest.mark.parametrize("how", ["abandoned", "cancelled", "timeout"])
async def test_a_person_who_was_given_up_on_can_still_answer(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, how: str
) -> None:
    """One prompt, and the answer to it; by the same reference, no poll too early."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    async with make_ciba_client() as ciba:
        await give_up(ciba, swedish(), how)
        await asyncio.sleep(4)
        login = await ciba.rejoin(swedish())
        assert login.reference == "call-4711"
        assert (await login).person_confirmed
    (record,) = simulated_idura.ledger.orders
    assert record.slow_downs == 0


async def test_a_login_that_is_pending_is_returned_as_it_is(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """So a desk that was reloaded need not know whether it had been given up on."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=9, shares_number=True))
    async with make_ciba_client() as ciba:
        login = await ciba.start(NorwegianBankID(NORWEGIAN))
        again = await ciba.rejoin(NorwegianBankID(NORWEGIAN))
        assert again is login
        assert again.spoken_words
        await again


async def test_without_a_prompt_nothing_can_be_gone_on_with(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Never asked, answered, expired, or started without an answer that names it."""
    simulated_idura.script(SWEDE, Script.deny(after=2))
    async with make_ciba_client() as ciba:
        for number in (SWEDE, OTHER_SWEDE):
            with pytest.raises(StateError) as caught:
                await ciba.rejoin(swedish(number))
            assert caught.value.code == "nothing_pending"
        await (await ciba.start(swedish())).outcome()
        with pytest.raises(StateError, match="no prompt"):
            await ciba.rejoin(swedish())
        given_up = await ciba.start(swedish(OTHER_SWEDE))
        given_up.abandon()
        await asyncio.sleep(1000)
        with pytest.raises(StateError, match="no prompt"):
            await ciba.rejoin(swedish(OTHER_SWEDE))
        simulated_idura.faults.append(on("bc-authorize", Fault.lose_answer()))
        with pytest.raises(Exception, match="may have reached"):
            await ciba.start(swedish())
        with pytest.raises(StateError, match="no prompt"):
            await ciba.rejoin(swedish())


@pytest.mark.parametrize(
    "other",
    [
        SwedishBankID(SWEDE, call_initiator="RP", message="Hello", require_acr=False),
        SwedishBankID(SWEDE, call_initiator="RP", message="Hello", pin_acr="urn:grn:authn:se:bankid:another-device:qr"),
        SwedishBankID(SWEDE, call_initiator="RP", message="Hello", identity_elsewhere={("name",): "Somebody"}),
    ],
)
async def test_a_request_for_something_else_is_refused(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, other: EidRequest
) -> None:
    """The answer to the prompt on the phone would be checked by the rules of then, and taken for proof of more."""
    del simulated_idura
    async with make_ciba_client() as ciba:
        login = await give_up(ciba, swedish(), "abandoned")
        with pytest.raises(UsageError) as caught:
            await ciba.rejoin(other)
        assert caught.value.code == "other_request"
        assert login is not None
        assert login.state is State.ABANDONED
        assert (await ciba.rejoin(swedish())).state is State.PENDING
        await ciba.close()


async def test_a_closed_client_has_nothing_to_go_on_with(make_ciba_client: MakeClient) -> None:
    """The token that closing returned is the way then."""
    ciba = make_ciba_client()
    await ciba.close()
    with pytest.raises(StateError) as caught:
        await ciba.rejoin(swedish())
    assert caught.value.code == "closed"
