"""Tests of an approval in hand: tokens are issued only once, so they are not lost for want of a key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from idura_ciba import (
    CibaClient,
    CibaError,
    DecryptionKeys,
    IdTokenRejected,
    RemoteProtocolError,
    State,
    TransportError,
)
from idura_ciba.simulator import Arrival, Fault, Script, SimReply, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH
from tests.fakes import private_key, public_jwk, swede, swedish_number

MakeClient = Callable[..., CibaClient]


@pytest.fixture(autouse=True)
def approving(simulated_idura: SimulatedIdura) -> None:
    """Somebody who approves after four seconds."""
    simulated_idura.script(swedish_number(1), Script.approve(after=4))


def keys(fault: Fault, *nth: int) -> Callable[[Arrival], Fault | None]:
    """A rule: this fault for these fetches of the keys, or for all."""
    return lambda arrival: fault if arrival.endpoint == "jwks" and (not nth or arrival.nth in nth) else None


def old_copy() -> Fault:
    """A set without the key that signs now."""
    old = {"keys": [public_jwk(private_key("P-256"), kid="the one before")]}
    return Fault.change(lambda reply: SimReply(200, reply.headers, json.dumps(old).encode()))


async def test_keys_are_fetched_while_the_person_is_asked(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """However slow that is, the approval does not wait for it."""
    simulated_idura.faults.append(keys(Fault.delay(5)))
    async with make_ciba_client() as ciba:
        await ciba.authenticate(swede(1))
    assert asyncio.get_running_loop().time() == 6


@pytest.mark.parametrize("nth", [(1,), (1, 2), (1, 2, 3)])
async def test_an_old_copy_of_the_key_set_costs_no_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, nth: tuple[int, ...]
) -> None:
    """A cache in front of it may not know the new key for some seconds."""
    simulated_idura.faults.append(keys(old_copy(), *nth))
    async with make_ciba_client() as ciba:
        assert await ciba.authenticate(swede(1))


async def test_a_token_that_no_published_key_has_signed_is_refused_in_the_end(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """It can be taken up again, in case the key is published later."""
    simulated_idura.faults.append(keys(old_copy()))
    async with make_ciba_client() as ciba:
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swede(1))
        assert caught.value.claim == "kid"
        simulated_idura.faults.clear()
        await asyncio.sleep(10)
        assert await (await ciba.resume(str(caught.value.resume_token)))


async def test_a_token_whose_signature_is_wrong_is_not_kept(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nothing that comes later makes it right."""
    other = {
        "keys": [
            public_jwk(private_key("RSA", 7), kid=key["kid"])
            for key in simulated_idura._keys.jwks(VIRTUAL_EPOCH)["keys"]
        ]
    }
    simulated_idura.faults.append(keys(Fault.change(lambda r: SimReply(200, r.headers, json.dumps(other).encode()))))
    async with make_ciba_client() as ciba:
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swede(1))
    assert caught.value.claim == "signature"
    assert caught.value.resume_token is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.refuse_connection(), TransportError),
        (Fault.delay(60), TransportError),
        (Fault.answer(500), RemoteProtocolError),
        (Fault.answer(200, body=b'{"keys": []}'), IdTokenRejected),
        (Fault.answer(200, body=b"<html>"), RemoteProtocolError),
    ],
    ids=["refused", "hung", "500", "empty", "html"],
)
@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "here"])
async def test_without_keys_the_answer_is_kept_and_verified_later(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    fault: Fault,
    kind: type[CibaError],
    *,
    elsewhere: bool,
) -> None:
    """In the error's resume token, by this client or another; nobody is asked again, and nothing is polled."""
    simulated_idura.faults.append(keys(fault))
    async with make_ciba_client() as ciba:
        with pytest.raises(kind) as caught:
            await ciba.authenticate(swede(1))
        token = caught.value.resume_token
        assert token is not None
        assert swedish_number(1) not in token
        polls = simulated_idura.ledger.summary()["polls"]
        simulated_idura.faults.clear()
        await asyncio.sleep(40)
        async with make_ciba_client() as other:
            login = await (await (other if elsewhere else ciba).resume(token))
    assert login.claims["ssn"] == swedish_number(1)
    assert login.person_confirmed
    assert simulated_idura.ledger.summary()["polls"] == polls
    assert len(simulated_idura.ledger.orders) == 1


async def test_an_answer_that_was_kept_too_long_is_refused(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Its ID token says how long it counts, and no resume token makes that longer."""
    simulated_idura.faults.append(keys(Fault.answer(500)))
    async with make_ciba_client() as ciba:
        with pytest.raises(RemoteProtocolError) as caught:
            await ciba.authenticate(swede(1))
        simulated_idura.faults.clear()
        await asyncio.sleep(100_000)
        with pytest.raises(IdTokenRejected) as refused:
            await (await ciba.resume(str(caught.value.resume_token)))
    assert refused.value.claim == "exp"


async def test_an_answer_that_was_verified_is_kept_no_longer(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whoever resumes once more, after a crash for example, gets the same login and not another one."""
    simulated_idura.faults.append(keys(Fault.answer(500)))
    async with make_ciba_client() as ciba:
        with pytest.raises(RemoteProtocolError) as caught:
            await ciba.authenticate(swede(1))
        token = str(caught.value.resume_token)
        simulated_idura.faults.clear()
        await asyncio.sleep(10)
        transaction = await ciba.resume(token)
        login = await transaction
        assert transaction.resume_token is None
        assert transaction._driver._tokens is None
        assert (await (await ciba.resume(token))).id_token == login.id_token


@pytest.mark.parametrize(
    ("keys", "code"),
    [(lambda: None, "id_token_encrypted"), (lambda: DecryptionKeys(private_key("RSA", 6)), "id_token_decryption")],
    ids=["none", "another"],
)
async def test_without_the_key_that_opens_it_an_encrypted_answer_is_kept(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    keys: Callable[[], DecryptionKeys | None],
    code: str,
) -> None:
    """A client that has the key takes it up; nobody is asked again, and nothing is polled."""
    (client_id,) = simulated_idura._clients._clients
    simulated_idura.encrypt_for(client_id, public_jwk(private_key("RSA", 5), kid="ours"))
    async with make_ciba_client(decryption_keys=keys()) as ciba:
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swede(1))
        assert caught.value.code == code
        assert "do not trust" not in str(caught.value)
        token = str(caught.value.resume_token)
        assert swedish_number(1) not in token
        polls = simulated_idura.ledger.summary()["polls"]
        with pytest.raises(IdTokenRejected) as again:
            await (await ciba.resume(token))
        assert again.value.code == code
    keyed = DecryptionKeys(private_key("RSA", 5), alg=["RSA-OAEP-256"], enc=["A128CBC-HS256"])
    async with make_ciba_client(decryption_keys=keyed) as other:
        login = await (await other.resume(str(again.value.resume_token)))
    assert login.person_confirmed
    assert simulated_idura.ledger.summary()["polls"] == polls
    assert len(simulated_idura.ledger.orders) == 1


async def test_an_encryption_that_is_not_accepted_is_not_kept(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """It would come the same again, and waiting for a weaker client would be a downgrade."""
    (client_id,) = simulated_idura._clients._clients
    simulated_idura.encrypt_for(client_id, public_jwk(private_key("RSA", 5)), ("RSA-OAEP-256", "A128GCM"))
    keyed = DecryptionKeys(private_key("RSA", 5), enc=["A256GCM"])
    async with make_ciba_client(decryption_keys=keyed) as ciba:
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swede(1))
        assert (caught.value.code, caught.value.resume_token) == ("id_token_encryption", None)
        simulated_idura.encrypt_for(client_id, None)
        await asyncio.sleep(1)
        assert await ciba.authenticate(swede(1))


@pytest.mark.parametrize("how", ["abandon", "close"])
async def test_given_up_while_keys_are_fetched_the_answer_is_in_the_resume_token(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, how: str
) -> None:
    """Nothing is in doubt then: the answer is here."""
    simulated_idura.faults.append(keys(Fault.delay(9.5)))
    ciba = make_ciba_client()
    transaction = await ciba.start(swede(1))
    await asyncio.sleep(8)
    assert transaction._driver._tokens is not None
    if how == "abandon":
        transaction.abandon()
        await ciba.close()
    else:
        await ciba.close(patience=0.5)
    outcome = await transaction.outcome()
    assert outcome.state is (State.ABANDONED if how == "abandon" else State.HANDED_OVER)
    assert outcome.error is not None
    async with make_ciba_client() as other:
        assert await (await other.resume(str(outcome.error.resume_token)))
