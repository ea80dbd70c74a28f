"""Tests of finding the provider's key for requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from joserfc.jwk import ECKey

from idura_ciba.credentials.client_auth import PrivateKeyJwt
from idura_ciba.credentials.request_object import SignedRequests
from idura_ciba.errors import RemoteProtocolError, StateError, TransportError
from idura_ciba.http.encryption_keys import COOL_DOWN, MAX_AGE, EncryptionKeys
from idura_ciba.http.provider import Endpoints, Provider
from idura_ciba.observe import Observers, RequestEvent
from tests.fakes import Answer, FakeTransport, outage

ISSUER = "https://bank.example"
KEYS = f"{ISSUER}/keys"
ENDPOINTS = Endpoints(
    backchannel_authentication_endpoint=f"{ISSUER}/start", token_endpoint=f"{ISSUER}/token", jwks_uri=KEYS
)
SIGNER = SignedRequests(encryption_alg="ECDH-ES").signer(PrivateKeyJwt("urn:my:app", ECKey.generate_key("P-256")))


def published(kid: str, use: str = "enc") -> dict[str, Any]:
    """A set of one key."""
    return {"keys": [{**ECKey.generate_key("P-256").as_dict(private=False), "use": use, "kid": kid}]}


def make(*answers: Answer, told: list[object] | None = None) -> tuple[EncryptionKeys, FakeTransport]:
    """A finder, and a key set that is answered so."""
    transport = FakeTransport().on(KEYS, *answers)
    observers = Observers(() if told is None else (told.append,))
    provider = Provider(ISSUER, transport=transport, endpoints=ENDPOINTS, observers=observers)
    return EncryptionKeys(provider, SIGNER, transport), transport


async def test_one_look_up_serves_many_logins_for_an_hour() -> None:
    """Also those that come while it is under way."""
    told: list[object] = []
    keys, transport = make(published("a"), published("b"), told=told)
    found = await asyncio.gather(*(keys.find() for _ in range(5)))
    assert {key.kid for key in found} == {"a"}
    await asyncio.sleep(MAX_AGE - 1)
    assert (await keys.find()).kid == "a"
    assert len(transport.requests) == 1
    await asyncio.sleep(2)
    assert (await keys.find()).kid == "b"
    assert [type(event) for event in told] == [RequestEvent, RequestEvent]


async def test_a_provider_without_such_a_key_is_an_error_before_anybody_is_asked() -> None:
    """Its key for ID tokens is none."""
    keys, _ = make(published("a", use="sig"))
    with pytest.raises(RemoteProtocolError) as caught:
        await keys.find()
    assert caught.value.code == "no_encryption_key"
    assert "ECDH-ES" in str(caught.value)


async def test_a_set_that_cannot_be_had_is_an_error_until_a_key_is_known() -> None:
    """Then the known one serves on."""
    keys, transport = make(outage)
    with pytest.raises(TransportError):
        await keys.find()
    transport.on(KEYS, published("a"))
    assert (await keys.find()).kid == "a"
    transport.on(KEYS, outage)
    await asyncio.sleep(MAX_AGE + 1)
    assert (await keys.find()).kid == "a"


async def test_a_request_that_could_not_be_read_has_the_key_looked_up_again() -> None:
    """Not more often than every half minute, however many are refused."""
    keys, transport = make(published("a"), published("b"))
    assert (await keys.find()).kid == "a"
    keys.doubt()
    await asyncio.sleep(COOL_DOWN)
    assert (await keys.find()).kid == "a"
    keys.doubt()
    keys.doubt()
    await asyncio.sleep(1)
    assert (await keys.find()).kid == "b"
    assert len(transport.requests) == 2


async def test_closing_ends_a_look_up() -> None:
    """Whoever waits is told that the client is closed."""
    keys, transport = make(published("a"))
    transport.latency = 5.0
    waiting = asyncio.create_task(keys.find())
    await asyncio.sleep(1)
    await keys.aclose()
    with pytest.raises(StateError):
        await waiting
