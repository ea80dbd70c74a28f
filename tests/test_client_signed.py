"""Tests of whole logins with signed requests, at a tenant that demands them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idura_ciba import (
    CibaClient,
    ClientSecretPost,
    DPoP,
    NorwegianBankID,
    PrivateKeyJwt,
    ProviderError,
    RemoteProtocolError,
    SignedRequests,
    StateError,
    SwedishBankID,
)
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.simulator import Fault, MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.logins import on

ANNA, CLIENT, SECRET = "209801011231", "urn:my:app", "known to both"
RSA, EC, ED, OTHER = (
    RSAKey.generate_key(2048),
    ECKey.generate_key("P-256"),
    OKPKey.generate_key("Ed25519"),
    RSAKey.generate_key(2048),
)
REQUEST = SwedishBankID(ANNA, call_initiator="user", message="You called Acme", requested_expiry=90)


def public(*keys: Any) -> dict[str, Any]:
    """A key set to register."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


def connect(idura: SimulatedIdura, auth: ClientAuth, sign_requests: SignedRequests | bool) -> CibaClient:
    """A client of a provider in memory."""
    clock = virtual_clock()
    transport = MemoryTransport(idura, clock=clock)
    return CibaClient(
        idura.issuer, auth, sign_requests=sign_requests, transport=transport, clock=clock, rng=random.Random(1)
    )


@pytest.mark.parametrize(
    ("key", "alg", "requests"),
    [
        (RSA, "PS256", True),
        (RSA, "PS256", SignedRequests(lifetime=3600, encryption_alg="RSA-OAEP-256")),
        (EC, "ES256", True),
        (EC, "ES256", SignedRequests(encryption_alg="RSA-OAEP", encryption_enc="A128CBC-HS256")),
        (ED, "EdDSA", True),
    ],
)
async def test_a_tenant_that_demands_signed_requests_logs_people_in(
    key: Any, alg: str, requests: SignedRequests | bool
) -> None:
    """With the key of the assertions, signed or encrypted too, and with every parameter that there is."""
    idura = SimulatedIdura(seed=1, encryption_key=OTHER)
    encrypts = isinstance(requests, SignedRequests)
    idura.register_client(CLIENT, jwks=public(key), request_alg=alg, request_encrypted=encrypts)
    idura.script(ANNA, Script.approve(after=8))
    async with connect(idura, PrivateKeyJwt(CLIENT, key, alg=alg), requests) as ciba:
        login = await ciba.authenticate(REQUEST)
    assert login.claims["ssn"] == ANNA
    (order,) = idura.ledger.orders
    assert order.expires_at - order.started_at == 90
    assert idura.ledger.totals.refused == 0


@pytest.mark.parametrize(("key", "alg"), [(EC, "ES256"), (RSA, "PS256")])
async def test_signed_requests_go_with_bound_tokens_and_with_nonces(key: Any, alg: str) -> None:
    """With the key of the assertions, which stands inside of `DPoP`; nothing is refused but for the nonce."""
    idura = SimulatedIdura(seed=1, rules=Rules(dpop=True, dpop_nonces=10.0))
    idura.register_client(CLIENT, jwks=public(key), request_alg=alg)
    idura.script(ANNA, Script.approve(after=25))
    auth = DPoP(PrivateKeyJwt(CLIENT, key, alg=alg))
    async with connect(idura, auth, sign_requests=True) as ciba:
        login = await ciba.authenticate(REQUEST)
    assert (login.claims["ssn"], login.tokens.token_type) == (ANNA, "DPoP")
    (order,) = idura.ledger.orders
    assert idura.ledger.proofs == {"nonce demanded": 1, "accepted": 1 + order.polls}
    assert idura.ledger.totals.refused == 1


async def test_another_key_signs_where_the_client_has_a_secret() -> None:
    """The two have nothing to do with each other."""
    idura = SimulatedIdura(seed=1)
    idura.register_client(CLIENT, secret=SECRET, request_alg="ES256", request_jwks=public(EC))
    async with connect(idura, ClientSecretPost(CLIENT, SECRET), SignedRequests(EC)) as ciba:
        transaction = await ciba.start(NorwegianBankID("01023990128"))
        assert transaction.spoken_words
        transaction.abandon()


@pytest.mark.parametrize("requests", [False, SignedRequests(OTHER, alg="PS256"), SignedRequests(alg="RS256")])
async def test_a_request_that_is_not_signed_as_registered_is_refused_and_nobody_is_held(
    requests: SignedRequests | bool,
) -> None:
    """Unsigned, with a key that is not registered, and by another algorithm, where the document does not say so."""
    idura = SimulatedIdura(seed=1, metadata={"backchannel_authentication_request_signing_alg_values_supported": None})
    idura.register_client(CLIENT, jwks=public(RSA), request_alg="PS256")
    async with connect(idura, PrivateKeyJwt(CLIENT, RSA), requests) as ciba:
        for _ in range(2):  # the second time, too: the person is free
            with pytest.raises(ProviderError) as caught:
                await ciba.start(REQUEST)
            assert caught.value.error == "invalid_request"
    assert idura.ledger.orders == []


async def test_a_provider_without_a_key_to_encrypt_for_is_found_out_before_anything_is_recorded() -> None:
    """A batch would otherwise think that somebody may have been asked."""
    idura, noted = SimulatedIdura(seed=1), []

    async def note() -> None:
        noted.append(1)

    idura.register_client(CLIENT, jwks=public(EC), request_alg="ES256")
    async with connect(idura, PrivateKeyJwt(CLIENT, EC), SignedRequests(encryption_alg="ECDH-ES")) as ciba:
        for _ in range(2):
            with pytest.raises(RemoteProtocolError) as caught:
                await ciba.start(REQUEST, before_sending=note)
            assert caught.value.code == "no_encryption_key"
            assert "The phone has not rung" in str(caught.value)
    assert (noted, idura.ledger.orders) == ([], [])


async def test_closing_a_client_that_looks_for_a_key_leaves_nothing() -> None:
    """Whoever waits is told, and the look-up is over."""
    idura = SimulatedIdura(seed=1, encryption_key=OTHER)
    idura.register_client(CLIENT, jwks=public(EC), request_alg="ES256")
    idura.faults.append(on("jwks", Fault.delay(30)))
    ciba = connect(idura, PrivateKeyJwt(CLIENT, EC), SignedRequests(encryption_alg="RSA-OAEP-256"))
    before = asyncio.all_tasks()
    starting = asyncio.create_task(ciba.start(REQUEST))
    await asyncio.sleep(1)
    await ciba.close(patience=0.5)
    with pytest.raises(StateError, match="closed"):
        await starting
    assert asyncio.all_tasks() == before
    assert idura.ledger.orders == []
