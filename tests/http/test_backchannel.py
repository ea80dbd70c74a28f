"""Tests of the two requests: what leaves, how often, and what comes back as a value."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, evolve, field
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba.aio.clock import Clock
from idura_ciba.credentials.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    Credentials,
    PrivateKeyJwt,
)
from idura_ciba.errors import RemoteProtocolError, TransportError, TransportTimeout, UsageError
from idura_ciba.http.backchannel import ANSWER_TIMEOUT, MAX_TOKEN_ANSWER, Answered, Backchannel
from idura_ciba.http.provider import Endpoints, Provider
from idura_ciba.protocol.answers import (
    Acknowledgement,
    ErrorAnswer,
    SlowedDown,
    StillPending,
    Tokens,
    Unusable,
    UnusableAnswer,
)
from idura_ciba.protocol.http import DEFAULT_MAX_BODY, HttpResponse
from idura_ciba.redaction import Redacted
from idura_ciba.testing import VIRTUAL_EPOCH, VirtualLoop, virtual_clock
from tests.fakes import Answer, FakeTransport, form, outage, private_key, refused, unb64

ISSUER = "https://acme.idura.broker"
START, TOKEN = f"{ISSUER}/ciba/bc-authorize", f"{ISSUER}/oauth2/token"
CLIENT, SECRET = "urn:my:app", "a b+c/d=e:f%"
AUTH_REQ_ID = Redacted("3857f8ff-21b9-48ae-a732-a3bd8128a7ae")
PARAMETERS = {
    "scope": "openid",
    "login_hint": Redacted("sub:ssn:209801011231"),
    "acr_values": "urn:grn:authn:se:bankid",
}
ACKNOWLEDGED = {"auth_req_id": AUTH_REQ_ID, "expires_in": 120, "interval": 3}
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/x-www-form-urlencoded",
    "Prefer": "return-trace-id",
}


def key_auth(kind: str = "P-256") -> PrivateKeyJwt:
    """A client that signs."""
    pem = private_key(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateKeyJwt(CLIENT, pem.decode())


def make(
    *answers: Answer, auth: ClientAuth | None = None, latency: float = 0.0, clock: Clock | None = None, **options: Any
) -> tuple[Backchannel, FakeTransport]:
    """A client whose provider answers so at both endpoints, one answer after the other."""
    transport = FakeTransport(latency=latency).on(START, *answers).on(TOKEN, *answers)
    provider = Provider(
        ISSUER,
        transport=transport,
        endpoints=Endpoints(backchannel_authentication_endpoint=START, token_endpoint=TOKEN, jwks_uri=f"{ISSUER}/keys"),
    )
    rng = random.Random(1)
    return Backchannel(provider, auth or key_auth(), transport, clock or virtual_clock(), rng, **options), transport


def answer(status: int, body: object, **headers: str) -> HttpResponse:
    """An answer with headers and times of its own."""
    return HttpResponse(status, headers, json.dumps(body).encode(), 7.0, 9.0)


def claims(assertion: str) -> dict[str, Any]:
    """What a client assertion says."""
    found = json.loads(unb64(assertion.split(".")[1]))
    assert isinstance(found, dict)
    return found


# --- what leaves ------------------------------------------------------------------------------------------------------


class Load:
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, float | None]] = []

    def answered(self, *, sent_at: float) -> None:
        """Good news."""
        assert sent_at == asyncio.get_running_loop().time()
        self.heard.append(("answered", None))

    def refused(self, *, sent_at: float, retry_after: float | None = None) -> None:
        """Bad news."""
        assert sent_at == asyncio.get_running_loop().time()
        self.heard.append(("refused", retry_after))


@pytest.mark.parametrize(
    ("status", "body", "heard"),
    [
        (400, {"error": "authorization_pending"}, "answered"),
        (429, {"error": "slow_down"}, "answered"),
        (400, {"error": "invalid_grant"}, "answered"),
        (500, b"", "answered"),
        (403, b"", "answered"),
        (429, b"", "refused"),
        (503, b"<html>", "refused"),
        (429, {"error": "too_many_requests"}, "refused"),
    ],
)
async def test_refusals_for_their_number_are_told_to_whoever_paces_the_requests(
    status: int, body: object, heard: str
) -> None:
    """With what the provider named; a `slow_down` is about one login and none."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    load = Load()
    backchannel, _ = make(lambda _: HttpResponse(status, {"retry-after": "7"}, data, 0.0, 0.0), load=load)
    await backchannel.poll("some id")
    assert load.heard == [(heard, 7.0 if heard == "refused" else None)]


async def test_an_authentication_request_is_one_signed_form() -> None:
    """Exactly these headers and parameters, to Idura's path."""
    backchannel, transport = make(ACKNOWLEDGED)
    await backchannel.authenticate(PARAMETERS)
    (request,) = transport.requests
    assert (request.method, request.url, request.headers) == ("POST", START, HEADERS)
    assert (request.timeout, request.max_body) == (ANSWER_TIMEOUT, DEFAULT_MAX_BODY)
    sent = dict(form(request))
    said = claims(sent.pop("client_assertion"))
    assert sent == {
        **PARAMETERS,
        "client_id": CLIENT,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert {name: said[name] for name in ("iss", "sub", "aud")} == {"iss": CLIENT, "sub": CLIENT, "aud": ISSUER}
    assert said["iat"] == VIRTUAL_EPOCH


async def test_a_poll_is_one_signed_form() -> None:
    """The handle, the grant and the proof; tokens may be longer than other answers."""
    backchannel, transport = make({"id_token": "a.b.c"})
    await backchannel.poll(AUTH_REQ_ID)
    (request,) = transport.requests
    assert (request.method, request.url, request.headers) == ("POST", TOKEN, HEADERS)
    assert (request.timeout, request.max_body) == (35, MAX_TOKEN_ANSWER)
    sent = form(request)
    assert (sent["auth_req_id"], sent["grant_type"]) == (AUTH_REQ_ID, "urn:openid:params:grant-type:ciba")
    assert claims(sent["client_assertion"])["aud"] == ISSUER


async def test_its_bounds_can_be_set() -> None:
    """A photo from Freja needs room, a slow provider time."""
    backchannel, transport = make({"id_token": "a.b.c"}, answer_timeout=60.0, max_token_answer=9)
    await backchannel.poll(AUTH_REQ_ID)
    assert (transport.requests[0].timeout, transport.requests[0].max_body) == (60, 9)


@pytest.mark.parametrize(
    ("auth", "header", "parameters"),
    [
        (
            ClientSecretBasic(CLIENT, SECRET),
            {"Authorization": "Basic dXJuJTNBbXklM0FhcHA6YStiJTJCYyUyRmQlM0RlJTNBZiUyNQ=="},
            {},
        ),
        (ClientSecretPost(CLIENT, SECRET), {}, {"client_id": CLIENT, "client_secret": SECRET}),
    ],
)
async def test_other_proofs_stand_where_they_belong(
    auth: ClientAuth, header: Mapping[str, str], parameters: Mapping[str, str]
) -> None:
    """A shared secret goes into the header or into the form, and not into both."""
    backchannel, transport = make(ACKNOWLEDGED, auth=auth)
    await backchannel.authenticate(PARAMETERS)
    (request,) = transport.requests
    assert request.headers == {**HEADERS, **header}
    assert form(request) == {**PARAMETERS, **parameters}


async def test_no_assertion_is_ever_used_twice() -> None:
    """Each request has a `jti` of its own: starts, polls, and each try of a connection that was not made."""
    backchannel, transport = make(refused, refused, ACKNOWLEDGED)
    await backchannel.authenticate(PARAMETERS)
    for _ in range(50):
        await backchannel.poll(AUTH_REQ_ID)
    said = [claims(form(request)["client_assertion"]) for request in transport.requests]
    assert len(said) == 53
    assert len({claim["jti"] for claim in said}) == 53
    assert all(len(claim["jti"]) == 32 for claim in said)
    # Each one was signed when it left, not when the first one did.
    assert [claim["iat"] - VIRTUAL_EPOCH for claim in said[:3]] == [0, 0, 0]
    assert transport.sent_at[:3] == [0, 0.25, 0.75]


async def test_an_assertion_is_as_old_as_its_request() -> None:
    """After a minute of waiting the proof of a poll says so."""
    backchannel, transport = make({"error": "authorization_pending"})
    await asyncio.sleep(60)
    await backchannel.poll(AUTH_REQ_ID)
    assert claims(form(transport.requests[0])["client_assertion"])["iat"] == VIRTUAL_EPOCH + 60


async def test_text_that_cannot_be_sent_is_the_caller_s_fault() -> None:
    """Half a surrogate pair has no encoding; nothing is sent, and the error does not quote it."""
    backchannel, transport = make(ACKNOWLEDGED)
    unspeakable = {**PARAMETERS, "binding_message": Redacted("\ud800" + AUTH_REQ_ID)}
    with pytest.raises(UsageError) as caught:
        await backchannel.authenticate(unspeakable)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert caught.value.code == "parameter_encoding"
    assert transport.requests == []
    for secret in (AUTH_REQ_ID, "209801011231"):
        assert secret not in shown


# --- how often --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [outage, 500, 503, 429, {"error": "invalid_request"}, b"<html>"])
async def test_an_order_that_may_have_left_is_never_repeated(first: Answer) -> None:
    """One request, whatever comes back: a second one would cancel both at BankID."""
    backchannel, transport = make(first, ACKNOWLEDGED)
    await backchannel.authenticate(PARAMETERS)
    await asyncio.sleep(600)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("first", [outage, refused, 500, 503, 429])
async def test_a_poll_is_never_repeated(first: Answer) -> None:
    """Not even without a connection: its next slot comes from the floor."""
    backchannel, transport = make(first, {"id_token": "a.b.c"})
    answered = await backchannel.poll(AUTH_REQ_ID)
    assert isinstance(answered.answer, UnusableAnswer)
    await asyncio.sleep(600)
    assert len(transport.requests) == 1


async def test_an_order_without_a_connection_is_given_up_after_two_seconds() -> None:
    """Four tries, then the value that says that the phone has not rung."""
    backchannel, transport = make(refused)
    answered = await backchannel.authenticate(PARAMETERS)
    assert isinstance(answered.answer, UnusableAnswer)
    assert answered.answer.kind is Unusable.NOT_CONNECTED
    assert len(transport.requests) == 4
    assert asyncio.get_running_loop().time() == 1.75


@pytest.mark.parametrize("cancel_at", [0.1, 0.3])
async def test_a_cancelled_order_is_not_sent_again(cancel_at: float) -> None:
    """Cancelling is obeyed during a try and between two."""
    backchannel, transport = make(refused, latency=0.2)
    task = asyncio.create_task(backchannel.authenticate(PARAMETERS))
    await asyncio.sleep(cancel_at)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(60)
    assert len(transport.requests) == 1


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_an_acknowledgement_is_read() -> None:
    """With its instants, its trace id and the provider's clock."""
    backchannel, _ = make(answer(200, ACKNOWLEDGED, **{"trace-id": "t-1", "date": "Thu, 01 Jan 2026 00:00:05 GMT"}))
    answered = await backchannel.authenticate(PARAMETERS)
    assert isinstance(answered.answer, Acknowledgement)
    assert (answered.answer.auth_req_id, answered.answer.expires_in, answered.answer.interval) == (AUTH_REQ_ID, 120, 3)
    assert answered == Answered(answered.answer, 7.0, 9.0, "t-1", "Thu, 01 Jan 2026 00:00:05 GMT")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(200, {"id_token": "a.b.c"}), Tokens),
        (answer(400, {"error": "authorization_pending"}), StillPending),
        (answer(400, {"error": "slow_down"}), SlowedDown),
        (answer(400, {"error": "access_denied"}), ErrorAnswer),
        (answer(500, []), UnusableAnswer),
    ],
)
async def test_the_answer_to_a_poll_is_read(reply: HttpResponse, kind: type) -> None:
    """Each kind of answer comes back as its value, with the instants of the transport."""
    backchannel, _ = make(reply)
    answered = await backchannel.poll(AUTH_REQ_ID)
    assert isinstance(answered.answer, kind)
    assert (answered.sent_at, answered.received_at, answered.trace_id, answered.server_date) == (7.0, 9.0, None, None)


@pytest.mark.parametrize(("blocked_at", "arrived_at"), [(None, 30.0), (4.5, 5.0), (0.2, 1.0)])
async def test_an_answer_that_was_read_late_is_as_old_as_it_may_be(blocked_at: float | None, arrived_at: float) -> None:
    """It is not told from a poll that the provider held, but for the event loop that did not run."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    if blocked_at is not None:
        loop.call_at(blocked_at, lambda: setattr(loop._virtual, "now", 30.0))
    reply = answer(400, {"error": "authorization_pending"})
    backchannel, transport = make(lambda _: evolve(reply, sent_at=0.0, received_at=loop.time()))
    transport.latency = 30.0 if blocked_at is None else blocked_at + 1
    answered = await backchannel.poll(AUTH_REQ_ID)
    assert (answered.sent_at, answered.received_at) == (0.0, arrived_at)


async def test_a_date_to_wait_for_is_read_against_the_wall_clock() -> None:
    """`Retry-After` as a date, in an answer that does not say what time it is there."""
    late = answer(503, [], **{"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"})
    backchannel, _ = make(late)
    for ask in (backchannel.authenticate(PARAMETERS), backchannel.poll(AUTH_REQ_ID)):
        answered: Answered[Any] = await ask
        assert answered.answer.retry_after == 30


def broken(*, maybe_sent: bool, sent_at: float | None, ended_at: float | None) -> TransportError:
    """An error as a transport raises it."""
    error = TransportTimeout("no complete answer arrived in time")
    error.maybe_sent, error.sent_at, error.ended_at = maybe_sent, sent_at, ended_at
    return error


@pytest.mark.parametrize(
    ("error", "kind", "sent_at", "received_at"),
    [
        (broken(maybe_sent=True, sent_at=1.0, ended_at=36.0), Unusable.LOST, 1.0, 36.0),
        (broken(maybe_sent=False, sent_at=None, ended_at=10.0), Unusable.NOT_CONNECTED, 10.0, 10.0),
        # Transports of others, which know less.
        (broken(maybe_sent=True, sent_at=None, ended_at=None), Unusable.LOST, 42.0, 42.0),
        (broken(maybe_sent=True, sent_at=3.0, ended_at=None), Unusable.LOST, 3.0, 42.0),
    ],
)
async def test_silence_is_a_value_too(
    error: TransportError, kind: Unusable, sent_at: float, received_at: float
) -> None:
    """Whether anything may have left decides what it means; instants that nobody knows are those of giving up."""
    backchannel, _ = make(error)
    await asyncio.sleep(42)
    answered = await backchannel.poll(AUTH_REQ_ID)
    answer = UnusableAnswer(kind, 0, "no complete answer arrived in time", code="timeout")
    assert answered == Answered(answer, sent_at, received_at)


@pytest.mark.parametrize(("discovery", "error"), [(outage, TransportError), (404, RemoteProtocolError)])
async def test_without_endpoints_nothing_is_asked(discovery: Answer, error: type[Exception]) -> None:
    """A failed discovery is an error and not an answer: no order and no poll has left."""
    transport = FakeTransport().on(f"{ISSUER}/.well-known/openid-configuration", discovery)
    provider = Provider(ISSUER, transport=transport)
    backchannel = Backchannel(provider, key_auth(), transport, virtual_clock(), random.Random(1))
    with pytest.raises(error):
        await backchannel.authenticate(PARAMETERS)
    with pytest.raises(error):
        await backchannel.poll(AUTH_REQ_ID)
    assert {request.method for request in transport.requests} == {"GET"}


# --- signing ----------------------------------------------------------------------------------------------------------


@define
class Witness:
    """A credential that tells in which thread it was used, and by which clock."""

    signing_threads: int
    client_id: str = CLIENT
    threads: list[int] = field(factory=list)
    calls: list[dict[str, Any]] = field(factory=list)

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:
        """Note."""
        self.threads.append(threading.get_ident())
        self.calls.append({"issuer": issuer, "endpoint": endpoint, "now": now, "jti": jti})
        return Credentials({"client_id": CLIENT})

    def derive_key(self, label: bytes) -> bytes:
        """Not asked for here."""
        raise NotImplementedError(label)


@pytest.mark.sockets  # a real loop, because the virtual one has no threads
@pytest.mark.parametrize("slow", [True, False])
async def test_slow_signatures_are_made_off_the_loop(*, slow: bool) -> None:
    """RSA in a thread, everything else at once; clock and chance are read on the loop in either case."""
    here = threading.get_ident()
    read: list[int] = []

    def wall() -> float:
        read.append(threading.get_ident())
        return 5.0

    witness = Witness(2 * slow)
    backchannel, _ = make({"error": "authorization_pending"}, auth=witness, clock=Clock(wall))
    await backchannel.poll(AUTH_REQ_ID)
    assert (witness.threads == [here]) != slow
    assert (backchannel._signing.threads if backchannel._signing else 0) == witness.signing_threads
    assert set(read) == {here}
    assert witness.calls == [
        {"issuer": ISSUER, "endpoint": TOKEN, "now": 5.0, "jti": f"{random.Random(1).getrandbits(128):032x}"}
    ]


async def test_rsa_keys_are_the_slow_ones() -> None:
    """Both kinds of key make requests of the same form."""
    for kind, slow in (("RSA", True), ("P-256", False)):
        auth = key_auth(kind)
        assert (auth.signing_threads > 0) is slow
        backchannel, transport = make(ACKNOWLEDGED, auth=auth)
        await backchannel.authenticate(PARAMETERS)
        assert claims(form(transport.requests[0])["client_assertion"])["iss"] == CLIENT


async def test_nothing_of_a_request_is_shown() -> None:
    """Neither the client's room nor its requests and answers tell secrets when they are printed."""
    backchannel, transport = make({"id_token": "eyJhbGciOiJSUzI1NiJ9.e30.AA", "access_token": "opaque-token"})
    answered = await backchannel.poll(AUTH_REQ_ID)
    shown = f"{backchannel!r}{transport.requests!r}{answered!r}"
    for secret in ("eyJhbGci", "opaque-token", AUTH_REQ_ID, "assertion"):
        assert secret not in shown


# --- after a login ----------------------------------------------------------------------------------------------------


async def test_a_refresh_is_sent_once_with_new_credentials() -> None:
    """Whatever comes back, or does not."""
    backchannel, transport = make({"access_token": "a"})
    assert (await backchannel.refresh("secret")).body == b'{"access_token": "a"}'
    (request,) = transport.requests
    sent = form(request)
    assert (request.url, request.method, request.max_body) == (TOKEN, "POST", MAX_TOKEN_ANSWER)
    assert (sent["grant_type"], sent["refresh_token"]) == ("refresh_token", "secret")
    assert claims(sent["client_assertion"])["sub"] == CLIENT
    backchannel, transport = make(outage)
    with pytest.raises(TransportError):
        await backchannel.refresh("secret")
    assert len(transport.requests) == 1


async def test_userinfo_is_asked_for_with_the_access_token_alone() -> None:
    """No credentials of the client, at the endpoint for it; repeated where no answer comes."""
    backchannel, transport = make({})
    named = Endpoints(
        backchannel_authentication_endpoint=START,
        token_endpoint=TOKEN,
        jwks_uri=f"{ISSUER}/keys",
        userinfo_endpoint=f"{ISSUER}/userinfo",
    )
    backchannel = evolve(backchannel, provider=Provider(ISSUER, transport=transport, endpoints=named))
    transport.on(f"{ISSUER}/userinfo", outage, {"sub": "x"})
    assert (await backchannel.userinfo("secret")).body == b'{"sub": "x"}'
    assert len(transport.requests) == 2
    request = transport.requests[-1]
    assert (request.method, request.url, request.body) == ("GET", f"{ISSUER}/userinfo", b"")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Accept"] == "application/jwt, application/json"
    assert "secret" not in repr(request)


@pytest.mark.parametrize("status", [302, 404, 410])
async def test_an_endpoint_that_has_moved_is_looked_for_after_a_login_too(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a poll: the next call goes to the new one."""
    doubts: list[Provider] = []

    def doubt(self: Provider) -> None:
        doubts.append(self)

    monkeypatch.setattr(Provider, "doubt", doubt)
    backchannel, _ = make(status, {"access_token": "a"})
    for found in (1, 1):
        await backchannel.refresh("secret")
        assert len(doubts) == found
