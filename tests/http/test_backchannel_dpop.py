"""Tests of the two requests with DPoP: which nonce a proof carries, and what leaves once more for want of one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba import Abandoned, ClientSecretPost, DPoP, PrivateKeyJwt
from idura_ciba.credentials.around import Around
from idura_ciba.credentials.client_auth import ClientAuth, Credentials
from idura_ciba.credentials.request_object import request_signer
from idura_ciba.http.backchannel import Backchannel
from idura_ciba.http.provider import Endpoints, Provider
from idura_ciba.protocol.answers import Acknowledgement, ErrorAnswer, StillPending, Unusable, UnusableAnswer
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.redaction import Redacted
from idura_ciba.testing import virtual_clock
from tests.fakes import Answer, FakeTransport, form, outage, private_key, refused, unb64

ISSUER = "https://acme.idura.broker"
START, TOKEN = f"{ISSUER}/ciba/bc-authorize", f"{ISSUER}/oauth2/token"
PARAMETERS = {"scope": "openid", "login_hint": Redacted("sub:ssn:209801011231")}
ACKNOWLEDGED = {"auth_req_id": "order-1", "expires_in": 120, "interval": 3}
PENDING = {"error": "authorization_pending"}
DEMAND = {"error": "use_dpop_nonce", "error_description": "with the nonce"}
ID = Redacted("order-1")


class Load:
    """Counts what left once more."""

    again = 0

    def answered(self, *, sent_at: float) -> None:
        """Not looked at."""

    def refused(self, *, sent_at: float, retry_after: float | None = None) -> None:
        """Not looked at."""

    def left_again(self) -> None:
        """Count."""
        self.again += 1


def answer(status: int, body: object, nonce: str | None = None) -> Answer:
    """An answer, with a nonce or without; made when it is asked for, so that its times are right."""

    def make(_: HttpRequest) -> HttpResponse:
        now = asyncio.get_running_loop().time()
        headers = {} if nonce is None else {"dpop-nonce": nonce}
        return HttpResponse(status, headers, json.dumps(body).encode(), now, now)

    return make


def make(
    *answers: Answer, auth: ClientAuth | None = None, latency: float = 0.0, signs: bool = False
) -> tuple[Backchannel, FakeTransport, Load]:
    """A client whose provider answers so, at both endpoints."""
    transport, load = FakeTransport(latency=latency).on(START, *answers).on(TOKEN, *answers), Load()
    endpoints = Endpoints(backchannel_authentication_endpoint=START, token_endpoint=TOKEN, jwks_uri=f"{ISSUER}/keys")
    provider = Provider(ISSUER, transport=transport, endpoints=endpoints)
    auth = auth or DPoP(PrivateKeyJwt("urn:my:app", private_key("P-256")))  # type: ignore[arg-type]  # not Ed448
    signer = request_signer(signs, auth)
    channel = Backchannel(provider, auth, transport, virtual_clock(), random.Random(1), load=load, signer=signer)
    return channel, transport, load


def claims(token: str) -> dict[str, Any]:
    """What a JWT says."""
    found = json.loads(unb64(token.split(".")[1]))
    assert isinstance(found, dict)
    return found


def proofs(transport: FakeTransport) -> list[dict[str, Any]]:
    """What the proofs of all requests say."""
    return [claims(request.headers["DPoP"]) for request in transport.requests]


@pytest.mark.parametrize("status", [400, 401])
async def test_a_request_without_the_nonce_that_is_demanded_leaves_once_more_at_once(status: int) -> None:
    """RFC 9449 section 8: with the nonce, a new proof and a new assertion. Nobody's phone has rung by then."""
    channel, transport, load = make(answer(status, DEMAND, "n1"), answer(200, ACKNOWLEDGED, "n2"))
    answered = await channel.authenticate(PARAMETERS)
    assert isinstance(answered.answer, Acknowledgement)
    first, second = proofs(transport)
    assert "nonce" not in first
    assert second["nonce"] == "n1"
    assert (second["htu"], second["htm"]) == (START, "POST")
    assert first["jti"] != second["jti"]
    assertions = [claims(form(request)["client_assertion"])["jti"] for request in transport.requests]
    assert len({*assertions, first["jti"], second["jti"]}) == 4
    assert transport.sent_at == [0.0, 0.0]
    assert load.again == 1


async def test_a_signed_request_that_leaves_once_more_is_signed_anew() -> None:
    """Providers count a `jti` as used even when they refuse the request: six JWTs, and no two have the same."""
    channel, transport, _ = make(answer(400, DEMAND, "n1"), answer(200, ACKNOWLEDGED), signs=True)
    assert isinstance((await channel.authenticate(PARAMETERS)).answer, Acknowledgement)
    forms = [form(request) for request in transport.requests]
    signed = [claims(each[name])["jti"] for each in forms for name in ("request", "client_assertion")]
    assert len({*signed, *(proof["jti"] for proof in proofs(transport))}) == 6
    assert [claims(each["request"])["login_hint"] for each in forms] == [PARAMETERS["login_hint"]] * 2
    assert [each.keys() & PARAMETERS.keys() for each in forms] == [set(), set()]


async def test_a_poll_takes_the_nonce_that_any_earlier_answer_brought() -> None:
    """Section 8.2: so that a nonce that rotates costs nothing."""
    bring = [answer(400, PENDING, f"n{nth}") for nth in range(3)]
    channel, transport, load = make(*bring, answer(400, PENDING))
    for _ in range(5):
        assert isinstance((await channel.poll(ID)).answer, StillPending)
    assert [proof.get("nonce") for proof in proofs(transport)] == [None, "n0", "n1", "n2", "n2"]
    assert len({proof["jti"] for proof in proofs(transport)}) == 5
    assert load.again == 0


class Measured:
    """A caller's own layer, which knows the protocol of client authentications and no more."""

    signing_threads = 0
    client_id = "urn:my:app"

    def __init__(self, auth: ClientAuth) -> None:
        self.auth = auth

    def credentials(self, **options: Any) -> Credentials:
        """Those of the inner one."""
        return self.auth.credentials(**options)

    def derive_key(self, label: bytes) -> bytes:
        """That of the inner one."""
        return self.auth.derive_key(label)


@pytest.mark.parametrize("around", [Around, Measured])
async def test_dpop_may_stand_inside_of_something_else(around: Callable[[ClientAuth], ClientAuth]) -> None:
    """Whatever is around it, the nonce is learned and what binds the tokens is known."""
    dpop = DPoP(ClientSecretPost("urn:my:app", "secret"))
    channel, transport, _ = make(answer(400, DEMAND, "n1"), answer(400, PENDING), auth=around(dpop))
    assert isinstance((await channel.poll(ID)).answer, StillPending)
    assert proofs(transport)[1]["nonce"] == "n1"
    assert channel.confirmation == {"jkt": dpop.thumbprint}


async def test_a_poll_is_sent_once_more_and_its_times_are_those_of_the_second() -> None:
    """The interval counts from the answer that says something of the login."""
    channel, transport, _ = make(answer(400, DEMAND, "n1"), answer(400, PENDING), latency=2.0)
    answered = await channel.poll(ID)
    assert isinstance(answered.answer, StillPending)
    assert transport.sent_at == [0.0, 2.0]
    assert (answered.sent_at, answered.received_at) == (4.0, 4.0)


async def test_a_server_that_is_never_content_is_asked_twice_and_no_more() -> None:
    """The answer then is its own word."""
    channel, transport, load = make(*(answer(400, DEMAND, f"n{nth}") for nth in range(5)))
    for ask in (channel.authenticate(PARAMETERS), channel.poll(ID)):
        answered = (await ask).answer
        assert isinstance(answered, ErrorAnswer)
        assert answered.error == "use_dpop_nonce"
    assert len(transport.requests) == 4
    assert load.again == 2


@pytest.mark.parametrize(
    "first",
    [
        answer(400, DEMAND),
        answer(400, DEMAND, "not a nonce"),
        answer(500, DEMAND, "n1"),
        answer(200, DEMAND, "n1"),
        answer(400, {"error": "invalid_request"}, "n1"),
        answer(400, {**DEMAND, "auth_req_id": "order-1"}, "n1"),
        answer(400, [], "n1"),
    ],
)
async def test_whatever_is_no_demand_for_a_nonce_is_not_sent_again(first: Answer) -> None:
    """Above all nothing that may have been processed."""
    channel, transport, _ = make(first)
    await channel.authenticate(PARAMETERS)
    assert len(transport.requests) == 1


async def test_a_client_without_dpop_sends_no_proof_and_nothing_again() -> None:
    """Whatever the server demands."""
    channel, transport, load = make(answer(400, DEMAND, "n1"), auth=ClientSecretPost("urn:my:app", "secret"))
    await channel.authenticate(PARAMETERS)
    assert len(transport.requests) == 1
    assert "DPoP" not in transport.requests[0].headers
    assert load.again == 0


async def test_the_second_may_be_lost_and_then_nobody_knows() -> None:
    """An authentication request that may have left is never sent a third time."""
    channel, transport, _ = make(answer(400, DEMAND, "n1"), outage, answer(200, ACKNOWLEDGED))
    answered = (await channel.authenticate(PARAMETERS)).answer
    assert isinstance(answered, UnusableAnswer)
    assert answered.kind is Unusable.LOST
    assert len(transport.requests) == 2


async def test_the_second_is_tried_again_only_as_long_as_it_has_no_connection() -> None:
    """As the first; each with a new proof."""
    channel, transport, _ = make(answer(400, DEMAND, "n1"), refused, answer(200, ACKNOWLEDGED))
    assert isinstance((await channel.authenticate(PARAMETERS)).answer, Acknowledgement)
    assert len({proof["jti"] for proof in proofs(transport)}) == 3


async def test_the_second_leaves_under_the_limit_of_the_first() -> None:
    """No phone rings after the caller's timeout, not even for want of a nonce."""
    channel, transport, _ = make(answer(400, DEMAND, "n1"), answer(200, ACKNOWLEDGED), latency=3.0)
    await channel.authenticate(PARAMETERS, limit=5.0)
    first, second = transport.requests
    assert first.not_after == second.not_after == 5.0
    assert first.give_up_at == second.give_up_at


async def test_the_second_does_not_leave_once_the_limit_has_passed() -> None:
    """Not even if it found no connection first."""
    channel, transport, _ = make(answer(400, DEMAND, "n1"), refused, answer(200, ACKNOWLEDGED), latency=3.0)
    with pytest.raises(Abandoned):
        await channel.authenticate(PARAMETERS, limit=5.0)
    assert len(transport.requests) == 2
