"""Tests of signed authentication requests on the wire."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from idura_ciba.credentials import request_object
from idura_ciba.credentials.client_auth import ClientAuth, ClientSecretBasic, ClientSecretPost, PrivateKeyJwt
from idura_ciba.credentials.request_object import RequestSigner, SignedRequests
from idura_ciba.errors import LocalProtocolError, RemoteProtocolError, UsageError
from idura_ciba.http.backchannel import Backchannel
from idura_ciba.http.encryption_keys import COOL_DOWN
from idura_ciba.http.provider import Endpoints, Provider
from idura_ciba.protocol.answers import Acknowledgement, ErrorAnswer, StillPending
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.testing import VIRTUAL_EPOCH, virtual_clock
from tests.fakes import Answer, FakeTransport, form, refused, unb64

ISSUER = "https://bank.example"
START, TOKEN, KEYS = f"{ISSUER}/start", f"{ISSUER}/token", f"{ISSUER}/keys"
CLIENT = "urn:my:app"
PARAMETERS = {"scope": "openid", "login_hint": "sub:ssn:209801011231", "acr_values": "urn:bank:sca"}
ACKNOWLEDGED = {"auth_req_id": "3857f8ff-21b9-48ae-a732-a3bd8128a7ae", "expires_in": 120}
EC, RSA = ECKey.generate_key("P-256"), RSAKey.generate_key(2048)


def make(
    *answers: Answer, auth: ClientAuth | None = None, requests: SignedRequests | None = None
) -> tuple[Backchannel, FakeTransport]:
    """A client that signs, and a provider that answers so."""
    transport = FakeTransport().on(START, *answers)
    endpoints = Endpoints(backchannel_authentication_endpoint=START, token_endpoint=TOKEN, jwks_uri=KEYS)
    client_auth = auth or PrivateKeyJwt(CLIENT, EC)
    return Backchannel(
        Provider(ISSUER, transport=transport, endpoints=endpoints),
        client_auth,
        transport,
        virtual_clock(),
        random.Random(1),
        signer=(requests or SignedRequests()).signer(client_auth),
    ), transport


def claims(token: str) -> dict[str, Any]:
    """What a JWT says."""
    said: dict[str, Any] = json.loads(unb64(token.split(".")[1]))
    return said


@pytest.mark.parametrize(
    ("auth", "beside"),
    [
        (PrivateKeyJwt(CLIENT, EC), {"client_id", "client_assertion", "client_assertion_type"}),
        (PrivateKeyJwt(CLIENT, EC, send_client_id=False), {"client_assertion", "client_assertion_type"}),
        (ClientSecretPost(CLIENT, "hush"), {"client_id", "client_secret"}),
        (ClientSecretBasic(CLIENT, "hush"), set()),
    ],
)
async def test_only_client_authentication_stands_outside(auth: ClientAuth, beside: set[str]) -> None:
    """Each parameter is inside, and none of them is outside."""
    backchannel, transport = make(ACKNOWLEDGED, auth=auth, requests=SignedRequests(EC))
    answered = await backchannel.authenticate(PARAMETERS)
    assert isinstance(answered.answer, Acknowledgement)
    (sent,) = transport.requests
    fields = form(sent)
    assert set(fields) == {"request", *beside}
    said = claims(fields["request"])
    assert said.items() >= PARAMETERS.items()
    assert (said["iss"], said["aud"], said["iat"]) == (CLIENT, ISSUER, int(VIRTUAL_EPOCH))


async def test_polls_are_as_they_were() -> None:
    """CIBA signs the authentication request only."""
    backchannel, transport = make(ACKNOWLEDGED)
    transport.on(TOKEN, HttpResponse(400, {}, b'{"error":"authorization_pending"}', 0.0, 0.0))
    assert isinstance((await backchannel.poll("id")).answer, StillPending)
    assert "request" not in form(transport.requests[0])


async def test_a_try_that_never_connected_is_signed_anew() -> None:
    """With another `jti` in the request and in the assertion, and none of the four is the same."""
    backchannel, transport = make(refused, ACKNOWLEDGED)
    await backchannel.authenticate(PARAMETERS)
    forms = [form(request) for request in transport.requests]
    jtis = [claims(each[name])["jti"] for each in forms for name in ("request", "client_assertion")]
    assert len(jtis) == len(set(jtis)) == 4


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
async def test_rsa_signs_on_the_threads_of_the_assertions(monkeypatch: pytest.MonkeyPatch) -> None:
    """And P-256 in the loop, beside an assertion that is made on a thread."""
    seen: list[str] = []
    sign = RequestSigner.sign

    def watched(self: RequestSigner, parameters: Mapping[str, str], **options: Any) -> str:
        seen.append(threading.current_thread().name)
        return sign(self, parameters, **options)

    monkeypatch.setattr(RequestSigner, "sign", watched)
    both, _ = make(ACKNOWLEDGED, auth=PrivateKeyJwt(CLIENT, RSA))
    assert both._request_signing is both._signing
    alone, _ = make(ACKNOWLEDGED, auth=PrivateKeyJwt(CLIENT, EC), requests=SignedRequests(RSA))
    assert alone._signing is None
    neither, _ = make(ACKNOWLEDGED, auth=PrivateKeyJwt(CLIENT, RSA), requests=SignedRequests(EC))
    for backchannel in (both, alone, neither):
        await backchannel.authenticate(PARAMETERS)
    assert [name.startswith("idura-ciba-signing") for name in seen] == [True, True, False]


async def test_a_parameter_that_cannot_be_signed_sends_nothing() -> None:
    """It is the caller's mistake, and nobody is asked."""
    backchannel, transport = make(ACKNOWLEDGED)
    with pytest.raises(UsageError, match="extra_parameter"):
        await backchannel.authenticate({**PARAMETERS, "aud": "https://thief.example"})
    assert transport.requests == []


async def test_a_signature_that_fails_is_told_without_what_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's own error may quote anything."""

    def broken(*_: object) -> str:
        raise RuntimeError("sub:ssn:209801011231")

    monkeypatch.setattr(request_object, "sign_jwt", broken)
    backchannel, transport = make(ACKNOWLEDGED)
    with pytest.raises(LocalProtocolError) as caught:
        await backchannel.authenticate(PARAMETERS)
    assert "209801011231" not in str(caught.value)
    assert transport.requests == []


# --- encrypted --------------------------------------------------------------------------------------------------------


def published(kid: str) -> dict[str, Any]:
    """A key set."""
    return {"keys": [{**RSA.as_dict(private=False), "use": "enc", "kid": kid}]}


def kid(request: HttpRequest) -> str:
    """Which key a request was encrypted for."""
    return str(json.loads(unb64(form(request)["request"].split(".")[0]))["kid"])


@pytest.mark.parametrize("error", ["invalid_request_object", "invalid_request"])
async def test_the_providers_key_is_fetched_once_and_again_when_it_cannot_read(error: str) -> None:
    """A key that was rotated costs one login and not each."""
    unread = HttpResponse(400, {}, json.dumps({"error": error}).encode(), 0.0, 0.0)
    backchannel, transport = make(
        ACKNOWLEDGED, unread, ACKNOWLEDGED, requests=SignedRequests(encryption_alg="RSA-OAEP-256")
    )
    transport.on(KEYS, published("a"), published("b"))
    await backchannel.authenticate(PARAMETERS)
    await asyncio.sleep(COOL_DOWN)
    assert isinstance((await backchannel.authenticate(PARAMETERS)).answer, ErrorAnswer)
    await asyncio.sleep(1)
    await backchannel.authenticate(PARAMETERS)
    assert [kid(sent) for sent in transport.requests if sent.url == START] == ["a", "a", "b"]
    assert len([sent for sent in transport.requests if sent.url == KEYS]) == 2
    await backchannel.aclose()


async def test_without_a_key_to_encrypt_for_nobody_is_asked() -> None:
    """Rather than sending in the clear what was to be hidden."""
    backchannel, transport = make(ACKNOWLEDGED, requests=SignedRequests(encryption_alg="RSA-OAEP-256"))
    transport.on(KEYS, {"keys": [{**RSA.as_dict(private=False), "use": "sig"}]})
    with pytest.raises(RemoteProtocolError, match="no_encryption_key"):
        await backchannel.authenticate(PARAMETERS)
    assert [sent.url for sent in transport.requests] == [KEYS]
