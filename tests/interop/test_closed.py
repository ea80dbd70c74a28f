"""Our client against a provider that nobody here wrote, which rounds what it says, encrypts it, and pings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field, frozen
from joserfc.jwk import ECKey, RSAKey

from idura_ciba import (
    Authentication,
    CibaClient,
    DecryptionKeys,
    Denied,
    Expired,
    FinalPoll,
    Fixed,
    IdTokenRejected,
    PrivateKeyJwt,
    StateError,
    WhenPinged,
)
from idura_ciba.ping import PingCounts, PingReceiver, aiohttp_handler
from tests.certificates import issue, server_context
from tests.interop.visits import Findings, ask, call, running, table_of_logins, timed, trusting, visit
from tests.servers import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.sockets]

AUTHORITY = issue("authority")
SERVER = issue("127.0.0.1", nth=1, by=AUTHORITY)
SIGNING, DECRYPTING, OTHER = (RSAKey.generate_key(2048) for _ in range(3))
P256 = ECKey.generate_key("P-256")

#: It ends up to five seconds before it says.
EARLIER = FinalPoll(WhenPinged(), guard=5)


@frozen
class Kind:
    """What the provider does for a client.

    Attributes:
        alg: Encrypts the key of an ID token.
        enc: Encrypts the content.
        key: The client's, by which it is opened.
        userinfo: How it answers there: encrypted, signed or plain.
    """

    alg: str
    enc: str
    key: RSAKey | ECKey = field(repr=False)
    userinfo: str

    def metadata(self) -> dict[str, object]:
        """What is registered."""
        told: dict[str, object] = {
            "id_token_encrypted_response_alg": self.alg,
            "id_token_encrypted_response_enc": self.enc,
        }
        if self.userinfo != "plain":
            told["userinfo_signed_response_alg"] = "RS256"
        if self.userinfo == "encrypted":
            told |= {"userinfo_encrypted_response_alg": self.alg, "userinfo_encrypted_response_enc": self.enc}
        return told

    def keys(self) -> DecryptionKeys:
        """What the client is given: the key, and nothing accepted that it was not registered for."""
        return DecryptionKeys(self.key, alg=[self.alg], enc=[self.enc])


KINDS: Mapping[str, Kind] = {
    "rsa": Kind("RSA-OAEP-256", "A256GCM", DECRYPTING, "encrypted"),
    "ec": Kind("ECDH-ES", "A128CBC-HS256", P256, "signed"),
    "ec-wrapped": Kind("ECDH-ES+A256KW", "A128GCM", P256, "plain"),
}


@define
class Service:
    """Ours: its clients, and where their pings arrive.

    Attributes:
        issuer: Whom they ask.
        http: Reaches the provider, and the receivers, without the client under test.
        origin: Where the receivers are.
        receivers: One for each client, by its id.
        arrived: The pings that came, as they came.
    """

    issuer: str
    http: aiohttp.ClientSession
    origin: str = ""
    receivers: dict[str, PingReceiver] = field(factory=dict)
    arrived: dict[str, list[tuple[str, bytes]]] = field(factory=dict)
    _stack: AsyncExitStack = field(factory=AsyncExitStack)

    async def client(
        self, name: str, kind: str = "rsa", *, endpoint: str | None = None, **options: Any
    ) -> tuple[CibaClient, PingReceiver]:
        """Register a client and open it; pings reach its receiver unless another endpoint is registered."""
        auth, pings = PrivateKeyJwt(name, SIGNING), PingReceiver()
        metadata = {
            "client_id": name,
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [*auth.public_jwks()["keys"], *KINDS[kind].keys().public_jwks()["keys"]]},
            "backchannel_client_notification_endpoint": endpoint or self.endpoint(name),
            **KINDS[kind].metadata(),
        }
        await call(self.http, "POST", "/__clients", metadata)
        self.receivers[name] = pings
        settings = {"decryption_keys": KINDS[kind].keys(), "pings": pings, **options}
        return await self._stack.enter_async_context(CibaClient(self.issuer, auth, **settings)), pings

    def endpoint(self, name: str) -> str:
        """Where the pings of a client arrive."""
        return f"{self.origin}/ciba/{name}"

    async def ping(self, name: str, authorization: str, body: bytes) -> int:
        """Ping as the provider does, or worse; returns the status."""
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        async with self.http.post(self.endpoint(name), headers=headers, data=body) as answer:
            return answer.status

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["client"]
        self.arrived.setdefault(name, []).append((request.headers["Authorization"], await request.read()))
        answer = await aiohttp_handler(self.receivers[name])(request)
        answer.force_close()  # or TLS would be open still when this loop ends
        return answer

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[None]:
        """Take pings over HTTPS."""
        app = web.Application()
        app.router.add_post("/ciba/{client}", self._receive)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(SERVER, folder)).start()
            self.origin = "https://{}:{}".format(*runner.addresses[0])
            async with self._stack:
                yield
        finally:
            await runner.cleanup()


@pytest.fixture(scope="module")
def findings(
    tmp_path_factory: pytest.TempPathFactory, print_at_end: Callable[[Sequence[Sequence[object]]], None]
) -> Iterator[Findings]:
    """Let everybody log in, once for all tests."""
    folder = tmp_path_factory.mktemp("closed")
    authority = folder / "authority.pem"
    authority.write_text(AUTHORITY.certificate)
    environ = {"NODE_EXTRA_CA_CERTS": str(authority)}
    with trusting(authority), running("closed", folder, environ=environ) as provider:
        found = asyncio.run(log_in(provider.issuer, folder))
        print_at_end([["a provider that rounds, encrypts and pings"]])
        print_at_end(table_of_logins(found))
        yield found


async def log_in(issuer: str, folder: Path) -> Findings:
    """Run all cases."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(issuer, connector=connector) as http:
        service = Service(issuer, http)
        async with service.serving(folder):
            return await visit(http, cases_of(service))


def cases_of(service: Service) -> dict[str, Coroutine[Any, Any, object]]:
    """The cases by label."""
    cases: dict[str, Coroutine[Any, Any, object]] = {}
    for kind in KINDS:
        cases |= {
            f"{kind}-approved": approved(service, kind),
            f"{kind}-denied": one(service, f"{kind}-denied", kind, person="deny-after-3"),
            f"{kind}-expired": one(
                service, f"{kind}-expired", kind, person="never", requested_expiry=8, strategy=EARLIER
            ),
        }
    return cases | {
        "without-key": without_key(service),
        "another-key": one(service, "another-key", decryption_keys=DecryptionKeys(OTHER)),
        "not-asked-for": one(
            service, "not-asked-for", decryption_keys=DecryptionKeys(DECRYPTING, enc=["A128GCM", "A128CBC-HS256"])
        ),
        "forged": forged(service),
        "lost": one(
            service,
            "lost",
            endpoint=f"https://127.0.0.1:{free_port()}/",
            strategy=WhenPinged(fallback=Fixed(6)),
        ),
    }


async def one(
    service: Service,
    label: str,
    kind: str = "rsa",
    *,
    person: str = "approve-after-3",
    requested_expiry: int | None = None,
    **options: Any,
) -> Authentication:
    """Ask one person."""
    ciba, _ = await service.client(label, kind, **options)
    return await ciba.authenticate(ask(f"{person}@{label}", requested_expiry=requested_expiry))


async def approved(
    service: Service, kind: str
) -> tuple[Authentication, Mapping[str, Any], Authentication, object, PingCounts]:
    """Log in, ask for more, refresh, and ask again with the new token."""
    ciba, pings = await service.client(f"{kind}-approved", kind)
    login = await ciba.authenticate(ask(f"approve-after-3@{kind}-approved"))
    is_signed = KINDS[kind].userinfo != "plain"
    told = await login.userinfo(require_signature=is_signed)
    later = await login.refresh()
    assert (await later.userinfo(require_signature=is_signed))["sub"] == told["sub"]
    headers = {"Authorization": f"Bearer {later.tokens.access_token}", "Accept": "application/json"}
    async with service.http.get("/me", headers=headers) as answer:
        # A JWE has five parts, a JWS three, and JSON none.
        assert (await answer.text()).count(".") == {"encrypted": 4, "signed": 2, "plain": 0}[KINDS[kind].userinfo]
    spent = (await timed(login.refresh())).result
    return login, told, later, spent, pings.counts


async def without_key(service: Service) -> tuple[IdTokenRejected, Authentication]:
    """Have no key, and go on with one: the person is not asked again."""
    ciba, _ = await service.client("without-key", decryption_keys=None)
    refused = (await timed(ciba.authenticate(ask("approve-after-3@without-key")))).result
    assert isinstance(refused, IdTokenRejected)
    assert refused.resume_token is not None
    auth = PrivateKeyJwt("without-key", SIGNING)
    async with CibaClient(service.issuer, auth, decryption_keys=KINDS["rsa"].keys()) as later:
        return refused, await (await later.resume(refused.resume_token))


async def forged(service: Service) -> tuple[list[int], PingCounts, Authentication]:
    """Ping wrongly in all ways that somebody can who has seen the pings of an earlier login."""
    ciba, pings = await service.client("forged")
    await ciba.authenticate(ask("approve-after-3@forged-before"))
    pending = await ciba.start(ask("approve-after-6@forged"))
    ((earlier, body),) = service.arrived["forged"]
    statuses = [
        await service.ping("forged", "Bearer made-up", body),
        await service.ping("forged", f"{earlier[:-1]}{'A' if earlier[-1] != 'A' else 'B'}", body),
        await service.ping("forged", earlier, json.dumps({"auth_req_id": "another"}).encode()),
        await service.ping("forged", earlier, body),
    ]
    return statuses, pings.counts, await pending


# --- tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_ping_ends_a_login_with_one_poll(findings: Findings, kind: str) -> None:
    """At once, where polling alone would have taken half a minute; what was encrypted is read."""
    login, told, _, _, counts = findings.outcome(f"{kind}-approved")
    assert login.person_confirmed
    assert told["sub"] == f"approve-after-3@{kind}-approved"
    assert findings.answers(f"{kind}-approved") == ["acknowledged", "tokens"]
    assert findings.logins[f"{kind}-approved"].seconds < 15
    assert counts == PingCounts(accepted=1)


@pytest.mark.parametrize("kind", KINDS)
def test_refreshed_tokens_are_new_and_of_the_same_person(findings: Findings, kind: str) -> None:
    """The provider rotates the refresh token, so the old login is spent."""
    login, _, later, spent, _ = findings.outcome(f"{kind}-approved")
    assert later.subject == login.subject
    assert later.tokens.access_token != login.tokens.access_token
    assert isinstance(spent, StateError)
    assert spent.code == "refreshed"
    assert findings.clients[f"{kind}-approved"]["refreshes"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_no_is_pinged_too_and_a_silence_is_not(findings: Findings, kind: str) -> None:
    """The provider ends two seconds earlier than it has said; a client that knows it polls before."""
    with pytest.raises(Denied):
        findings.outcome(f"{kind}-denied")
    assert findings.answers(f"{kind}-denied") == ["acknowledged", "access_denied"]
    with pytest.raises(Expired) as expired:
        findings.outcome(f"{kind}-expired")
    assert expired.value.detected_by == "server"
    first, *polls = findings.answers(f"{kind}-expired")
    assert (first, polls[0], polls[-1]) == ("acknowledged", "authorization_pending", "expired_token")


def test_without_a_key_the_approval_is_not_lost(findings: Findings) -> None:
    """The error says what is missing, and its token goes on once it is there; the provider was asked once."""
    error, login = findings.outcome("without-key")
    assert error.code == "id_token_encrypted"
    assert login.person_confirmed
    assert findings.answers("without-key") == ["acknowledged", "tokens"]


@pytest.mark.parametrize(
    ("label", "code"), [("another-key", "id_token_decryption"), ("not-asked-for", "id_token_encryption")]
)
def test_what_was_not_encrypted_as_agreed_is_refused(findings: Findings, label: str, code: str) -> None:
    """For another key, and by an algorithm that this client has not named."""
    with pytest.raises(IdTokenRejected) as refused:
        findings.outcome(label)
    assert refused.value.code == code


def test_a_forged_ping_changes_nothing(findings: Findings) -> None:
    """Without a token, with one that is almost right, with that of another login, and with a whole ping once more."""
    statuses, counts, login = findings.outcome("forged")
    assert statuses == [401, 401, 401, 204]
    assert counts == PingCounts(accepted=1, forged=3, late=1)
    assert login.person_confirmed
    assert findings.answers("forged") == ["acknowledged", "tokens"]


def test_a_lost_ping_costs_seconds_and_not_the_login(findings: Findings) -> None:
    """The client polls seldom all the same."""
    assert findings.outcome("lost").person_confirmed
    assert 6 < findings.logins["lost"].seconds < 15


def test_nothing_careless_was_seen(findings: Findings) -> None:
    """The provider names an interval of two seconds, and no poll came earlier."""
    assert findings.violations() == {}
    assert findings.server_errors == 0
