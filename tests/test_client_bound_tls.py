"""Logins over TLS in which the client presents a certificate; the simulator sees which one, and where."""

from __future__ import annotations

import json
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from idura_ciba import (
    AiohttpTransport,
    CertificateBound,
    CibaClient,
    ClientAuth,
    DPoP,
    Endpoints,
    IdTokenRejected,
    PrivateKeyJwt,
    RemoteProtocolError,
    SelfSignedTlsClientAuth,
    TlsClientAuth,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.http.backchannel import Backchannel
from idura_ciba.http.provider import Provider
from idura_ciba.protocol.answers import Acknowledgement, ErrorAnswer, Tokens, UnusableAnswer
from idura_ciba.simulator import Rules, Script, SimRequest, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.exchange import Exchange
from tests.certificates import Pair, issue, server_context
from tests.fakes import private_key, public_jwk, unb64
from tests.logins import SWEDE, swedish

pytestmark = pytest.mark.sockets

CLIENT = "urn:my:app"
AUTHORITY, STRANGER = issue("authority"), issue("another authority", nth=9)
SERVER = issue("127.0.0.1", nth=1, by=AUTHORITY)
MINE, THEIRS = issue("client", nth=2, by=AUTHORITY), issue("somebody else", nth=3, by=AUTHORITY)
SELF_SIGNED = issue("self-signed", nth=4)
PARAMETERS = {
    "scope": "openid",
    "login_hint": f"sub:ssn:{SWEDE}",
    "acr_values": "urn:grn:authn:se:bankid",
    "binding_message": "Hello",
    "authorization_details": '[{"type":"phoneAuth","callInitiator":"RP"}]',
}


class Watched(SimulatedIdura):
    """A provider that notes which certificate came with which request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(seed=1, interval=1, **options)
        self.seen: list[tuple[str, bytes | None]] = []
        self.script(SWEDE, Script.approve())

    def exchange(self, request: SimRequest) -> Exchange:
        """Note it."""
        self.seen.append((request.path, request.certificate))
        return super().exchange(request)


@pytest.fixture(name="trusted", autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine trusts the authority of these tests, as its administrator would arrange it."""
    (tmp_path / "authority.pem").write_text(AUTHORITY.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


@asynccontextmanager
async def serving(idura: SimulatedIdura, folder: Path, *, clients: Pair = AUTHORITY) -> AsyncIterator[Endpoints]:
    """Serve it: documents on one port, and on another one those whose certificate `clients` has issued."""
    async with SimulatorServer(idura, mtls=server_context(SERVER, folder, clients=clients)):
        assert idura.mtls_address is not None
        yield Endpoints(trusted_origins=(idura.mtls_address,))


@asynccontextmanager
async def channel(
    idura: SimulatedIdura, auth: ClientAuth, endpoints: Endpoints, transport: AiohttpTransport | None = None
) -> AsyncIterator[Backchannel]:
    """The two requests of one client."""
    async with transport or AiohttpTransport() as carrier:
        provider = Provider(idura.issuer, transport=carrier, endpoints=endpoints)
        yield Backchannel(provider, auth, carrier, Clock(), random.Random(1))
        await provider.aclose()


def auth_of(pair: Pair) -> TlsClientAuth:
    """A client with this certificate."""
    return TlsClientAuth(CLIENT, pair.certificate, pair.key)


async def test_a_login_is_bound_to_the_certificate_which_goes_nowhere_else(tmp_path: Path) -> None:
    """Discovery and keys are fetched without it, from the other address."""
    idura = Watched()
    idura.register_client(CLIENT, subject="CN=client")
    async with (
        serving(idura, tmp_path) as endpoints,
        CibaClient(idura.issuer, auth_of(MINE), endpoints=endpoints) as ciba,
    ):
        login = await ciba.authenticate(swedish())
    assert login.claims["ssn"] == SWEDE
    cnf = json.loads(unb64(str(login.tokens.access_token).split(".")[1]))["cnf"]
    assert cnf == auth_of(MINE).confirmation
    assert {certificate for path, certificate in idura.seen if path.startswith("/.well-known")} == {None}
    assert {certificate for path, certificate in idura.seen if not path.startswith("/.well-known")} == {MINE.der}


async def test_dpop_goes_with_it(tmp_path: Path) -> None:
    """Tokens are bound to both, and a proof names the address that was called."""
    idura = Watched(rules=Rules(throttle="off", dpop=True, dpop_nonces=60))
    idura.register_client(CLIENT, subject="CN=client")
    auth = DPoP(auth_of(MINE))
    async with serving(idura, tmp_path) as endpoints, channel(idura, auth, endpoints) as requests:
        started = (await requests.authenticate(PARAMETERS)).answer
        assert isinstance(started, Acknowledgement)
        tokens = (await requests.poll(started.auth_req_id)).answer
    assert isinstance(tokens, Tokens)
    cnf = json.loads(unb64(str(tokens.access_token).split(".")[1]))["cnf"]
    assert cnf == {"jkt": auth.thumbprint, **auth_of(MINE).confirmation} == auth.confirmation


async def test_a_client_that_signs_presents_one_too(tmp_path: Path) -> None:
    """As FAPI profiles want it: its assertion says who it is, and its tokens are bound to the certificate."""
    idura = Watched(rules=Rules(throttle="off"))
    signing = private_key("P-256")
    idura.register_client(CLIENT, jwks={"keys": [public_jwk(signing)]})
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    auth = CertificateBound(PrivateKeyJwt(CLIENT, signing), MINE.certificate, MINE.key)
    async with serving(idura, tmp_path) as endpoints, channel(idura, auth, endpoints) as requests:
        started = (await requests.authenticate(PARAMETERS)).answer
        assert isinstance(started, Acknowledgement)
        tokens = (await requests.poll(started.auth_req_id)).answer
    assert isinstance(tokens, Tokens)
    cnf = json.loads(unb64(str(tokens.access_token).split(".")[1]))["cnf"]
    assert cnf == auth_of(MINE).confirmation == auth.confirmation == requests.confirmation


@pytest.mark.parametrize("binds", [False, True])
async def test_requests_are_signed_by_a_client_that_presents_one(tmp_path: Path, binds: bool) -> None:
    """As FAPI-CIBA wants it, also with DPoP: signed with the key of the assertions, for the other address."""
    idura = Watched(rules=Rules(dpop=binds, dpop_nonces=60))
    signing = private_key("P-256")
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    idura.register_client(CLIENT, jwks={"keys": [public_jwk(signing)]}, request_alg="ES256")
    auth: ClientAuth = CertificateBound(PrivateKeyJwt(CLIENT, signing), MINE.certificate, MINE.key)
    auth = DPoP(auth) if binds else auth
    async with (
        serving(idura, tmp_path) as endpoints,
        CibaClient(idura.issuer, auth, endpoints=endpoints, sign_requests=True) as ciba,
    ):
        login = await ciba.authenticate(swedish())
    cnf = json.loads(unb64(str(login.tokens.access_token).split(".")[1]))["cnf"]
    assert cnf.keys() == ({"jkt", "x5t#S256"} if binds else {"x5t#S256"})
    asked = [certificate for path, certificate in idura.seen if path == "/ciba/bc-authorize"]
    assert asked == [MINE.der] * (2 if binds else 1)


@pytest.mark.parametrize("binds", [False, True])
async def test_what_comes_after_a_login_goes_where_certificates_are_asked_for(tmp_path: Path, binds: bool) -> None:
    """RFC 8705 section 3: a token that is bound to a certificate is of no use without it, at userinfo either."""
    idura = Watched(rules=Rules(dpop=binds, userinfo="plain", refresh_tokens="rotated"))
    idura.register_client(CLIENT, subject="CN=client")
    auth = DPoP(auth_of(MINE)) if binds else auth_of(MINE)
    async with serving(idura, tmp_path) as endpoints, CibaClient(idura.issuer, auth, endpoints=endpoints) as ciba:
        login = await (await ciba.authenticate(swedish())).refresh()
        assert (await login.userinfo())["sub"] == login.subject
    cnf = json.loads(unb64(str(login.tokens.access_token).split(".")[1]))["cnf"]
    assert cnf == auth.confirmation
    assert [certificate for path, certificate in idura.seen if path == "/oauth2/userinfo"] == [MINE.der]


async def test_a_self_signed_certificate_is_known_by_itself(tmp_path: Path) -> None:
    """RFC 8705 section 2.2."""
    idura = Watched(rules=Rules(throttle="off"))
    idura.register_client(CLIENT, certificate=SELF_SIGNED.der)
    auth = SelfSignedTlsClientAuth(CLIENT, SELF_SIGNED.certificate, SELF_SIGNED.key)
    async with (
        serving(idura, tmp_path, clients=SELF_SIGNED) as endpoints,
        channel(idura, auth, endpoints) as requests,
    ):
        assert isinstance((await requests.authenticate(PARAMETERS)).answer, Acknowledgement)


async def test_the_certificate_of_another_client_is_refused(tmp_path: Path) -> None:
    """By the provider, as any wrong credential."""
    idura = Watched()
    idura.register_client(CLIENT, subject="CN=client")
    async with serving(idura, tmp_path) as endpoints, channel(idura, auth_of(THEIRS), endpoints) as requests:
        answer = (await requests.authenticate(PARAMETERS)).answer
    assert isinstance(answer, ErrorAnswer)
    assert (answer.error, answer.status) == ("invalid_client", 401)


async def test_a_certificate_that_the_server_does_not_take_is_a_lost_answer(tmp_path: Path) -> None:
    """TLS 1.3 closes the connection when the request has left. Nobody has read it, but that cannot be known here."""
    idura = Watched()
    idura.register_client(CLIENT, subject="CN=client")
    async with (
        serving(idura, tmp_path, clients=STRANGER) as endpoints,
        channel(idura, auth_of(MINE), endpoints) as requests,
    ):
        answer = (await requests.authenticate(PARAMETERS)).answer
    assert isinstance(answer, UnusableAnswer)
    assert answer.code in {"connection", "tls"}
    assert idura.seen == [("/.well-known/openid-configuration", None)]


async def test_two_clients_of_one_transport_present_their_own(tmp_path: Path) -> None:
    """A connection of the one never carries a request of the other, and one without a certificate presents none."""
    idura = Watched()
    idura.register_client(CLIENT, subject="CN=client")
    context = server_context(SERVER, tmp_path, clients=AUTHORITY)
    async with SimulatorServer(idura, mtls=context), AiohttpTransport() as transport:
        assert idura.mtls_address is not None
        endpoints = Endpoints(trusted_origins=(idura.mtls_address,))
        for pair in (MINE, THEIRS, MINE):
            provider = Provider(idura.issuer, transport=transport, endpoints=endpoints)
            await Backchannel(provider, auth_of(pair), transport, Clock(), random.Random(1)).poll("x")
    polls = [certificate for path, certificate in idura.seen if path == "/oauth2/token"]
    assert polls == [MINE.der, THEIRS.der, MINE.der]


async def test_a_session_that_is_lent_keeps_its_own_tls(tmp_path: Path) -> None:
    """With the certificate on its connector it works; without, the provider sees none."""
    idura = Watched(rules=Rules(throttle="off"))
    idura.register_client(CLIENT, subject="CN=client")
    auth = auth_of(MINE)
    context = server_context(SERVER, tmp_path, clients=AUTHORITY)
    context.verify_mode = ssl.CERT_OPTIONAL
    plain = ssl.create_default_context()
    async with SimulatorServer(idura, tls=context, mtls=context):
        assert idura.mtls_address is not None
        endpoints = Endpoints(trusted_origins=(idura.mtls_address,))
        for tls, seen in ((auth.tls, MINE.der), (plain, None)):
            idura.seen.clear()
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
                lent = AiohttpTransport(session=session)
                async with channel(idura, auth, endpoints, lent) as requests:
                    await requests.poll("x")
            assert [certificate for path, certificate in idura.seen if path == "/oauth2/token"] == [seen]


async def test_without_the_pool_a_certificate_is_presented_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a release of aiohttp is not as expected, through a session of the transport's own."""
    monkeypatch.setattr(AiohttpTransport, "_as_expected", False)
    idura = Watched()
    idura.register_client(CLIENT, subject="CN=client")
    async with serving(idura, tmp_path) as endpoints, channel(idura, auth_of(MINE), endpoints) as requests:
        await requests.poll("x")
    assert idura.seen[-1] == ("/oauth2/token", MINE.der)
    assert idura.seen[0] == ("/.well-known/openid-configuration", None)


async def test_another_address_for_certificates_must_be_trusted_by_name(tmp_path: Path) -> None:
    """A document must not be able to send credentials elsewhere; nothing is sent."""
    idura = Watched()
    async with (
        serving(idura, tmp_path),
        channel(idura, auth_of(MINE), Endpoints()) as requests,
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            await requests.authenticate(PARAMETERS)
    assert caught.value.code == "foreign_endpoint"
    assert "for client certificates" in caught.value.what
    assert [path for path, _ in idura.seen] == ["/.well-known/openid-configuration"]


async def test_tokens_of_another_certificate_are_refused(tmp_path: Path) -> None:
    """As those of another key."""
    idura = Watched()
    idura.register_client(CLIENT, subject="CN=client")
    idura.script(SWEDE, Script.approve(claims={"cnf": auth_of(THEIRS).confirmation}))
    async with (
        serving(idura, tmp_path) as endpoints,
        CibaClient(idura.issuer, auth_of(MINE), endpoints=endpoints) as ciba,
    ):
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swedish())
    assert caught.value.code == "token_other_key"
