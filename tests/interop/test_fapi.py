"""Our client against a FAPI-CIBA provider that nobody here wrote: over TLS, with all that it demands."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from attrs import field, frozen
from joserfc.jwk import ECKey, RSAKey

from idura_ciba import (
    Authentication,
    CertificateBound,
    CibaClient,
    ClientAuth,
    ClientRejected,
    Denied,
    DPoP,
    Endpoints,
    Expired,
    PrivateKeyJwt,
    ProviderError,
    SelfSignedTlsClientAuth,
    SignedRequests,
    StateError,
    TlsClientAuth,
)
from tests.certificates import issue
from tests.fakes import unb64
from tests.interop.visits import Findings, RealProvider, ask, call, header_of, running, table_of_logins, trusting, visit

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.sockets]

AUTHORITY, STRANGER = issue("authority"), issue("authority", nth=9)
SERVER = issue("127.0.0.1", nth=1, by=AUTHORITY)
MINE, THEIRS = issue("client", nth=2, by=AUTHORITY), issue("somebody else", nth=3, by=AUTHORITY)
#: The right name from the wrong authority.
FALSE = issue("client", nth=4, by=STRANGER)
SELF_SIGNED, OTHER_SELF_SIGNED = issue("client", nth=5), issue("client", nth=6)
#: An access token for it is a JWT, see `provider.mjs`.
ACCOUNTS = "https://accounts.bank.example"
RSA, OTHER_RSA, P256 = (RSAKey.generate_key(2048), RSAKey.generate_key(2048), ECKey.generate_key("P-256"))


@frozen
class Client:
    """How a client is set, and what the provider knows of it.

    Attributes:
        auth: How it proves itself.
        metadata: What is registered.
        requests: What its requests are signed with; True: the key that it proves itself with.
        alg: What it and the provider sign with for each other.
    """

    auth: ClientAuth
    metadata: Mapping[str, object] = field(repr=False)
    requests: SignedRequests | bool = True
    alg: str = "PS256"


def clients() -> dict[str, Client]:
    """One for each way to prove oneself and to bind tokens."""
    bound = {"tls_client_certificate_bound_access_tokens": True}
    signed = SignedRequests(RSA, alg="PS256")
    rsa, ec = (
        PrivateKeyJwt("private-key", RSA, alg="PS256"),
        PrivateKeyJwt("private-key-es256", P256, alg="ES256"),
    )
    by_dpop = PrivateKeyJwt("dpop", RSA, alg="PS256")
    tls = TlsClientAuth("tls", MINE.certificate, MINE.key)
    own = SelfSignedTlsClientAuth("self-signed-tls", SELF_SIGNED.certificate, SELF_SIGNED.key)
    by_key = {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "PS256"}
    es256 = {
        "token_endpoint_auth_signing_alg": "ES256",
        "id_token_signed_response_alg": "ES256",
        "backchannel_authentication_request_signing_alg": "ES256",
    }
    return {
        "private-key": Client(
            CertificateBound(rsa, MINE.certificate, MINE.key), {**by_key, **bound, "jwks": rsa.public_jwks()}
        ),
        "private-key-es256": Client(
            CertificateBound(ec, MINE.certificate, MINE.key),
            {**by_key, **es256, **bound, "jwks": ec.public_jwks()},
            alg="ES256",
        ),
        "dpop": Client(DPoP(by_dpop), {**by_key, "dpop_bound_access_tokens": True, "jwks": by_dpop.public_jwks()}),
        "tls": Client(
            tls,
            {
                "token_endpoint_auth_method": "tls_client_auth",
                "tls_client_auth_subject_dn": tls.subject,
                "jwks": rsa.public_jwks(),
                **bound,
            },
            signed,
        ),
        "self-signed-tls": Client(
            own,
            {
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "jwks": {"keys": [*own.public_jwks()["keys"], *rsa.public_jwks()["keys"]]},
                **bound,
            },
            signed,
        ),
    }


LABELS = ["private-key", "private-key-es256", "dpop", "tls", "self-signed-tls"]


@pytest.fixture(scope="module")
def findings(
    tmp_path_factory: pytest.TempPathFactory, print_at_end: Callable[[Sequence[Sequence[object]]], None]
) -> Iterator[Findings]:
    """Let everybody log in, once for all tests, on a machine that trusts the authority of these tests."""
    folder = tmp_path_factory.mktemp("fapi")
    server, authority = SERVER.write(folder / "server.pem"), folder / "authority.pem"
    authority.write_text(AUTHORITY.certificate)
    with trusting(authority), running("fapi", folder, server, authority) as provider:
        found = asyncio.run(log_in(provider))
        print_at_end([["a FAPI-CIBA provider"]])
        print_at_end(table_of_logins(found))
        yield found


async def log_in(provider: RealProvider) -> Findings:
    """Register the clients, and run all cases."""
    async with (
        aiohttp.ClientSession(
            provider.issuer, connector=aiohttp.TCPConnector(force_close=True, ssl=ssl.create_default_context())
        ) as http,
        AsyncExitStack() as stack,
    ):
        bank = Bank(provider, clients(), http, stack)
        await bank.register()
        return await visit(http, cases_of(bank))


@frozen
class Bank:
    """The provider, and whoever is registered there."""

    provider: RealProvider
    clients: Mapping[str, Client]
    http: aiohttp.ClientSession
    _stack: AsyncExitStack

    async def register(self) -> None:
        """Tell the provider of the clients."""
        for name, client in self.clients.items():
            await call(self.http, "POST", "/__clients", {"client_id": name, **client.metadata})

    async def client(self, name: str, auth: ClientAuth | None = None, **options: Any) -> CibaClient:
        """One of the clients, or somebody who is set a little differently."""
        client = self.clients[name]
        assert self.provider.mtls is not None
        settings = {
            "id_token_algorithms": [client.alg],
            "sign_requests": client.requests,
            "endpoints": Endpoints(trusted_origins=(self.provider.mtls,)),
            **options,
        }
        ciba = CibaClient(self.provider.issuer, auth or client.auth, **settings)
        return await self._stack.enter_async_context(ciba)

    async def ask(self, name: str, label: str, auth: ClientAuth | None = None, **options: Any) -> Authentication:
        """Ask somebody who says yes."""
        ciba = await self.client(name, auth, **options)
        return await ciba.authenticate(ask(f"approve-after-1@{label}"))


def cases_of(bank: Bank) -> dict[str, Coroutine[Any, Any, object]]:
    """The cases by label; each client is answered in each way that people have."""
    cases: dict[str, Coroutine[Any, Any, object]] = {}
    for name in LABELS:
        cases |= {
            f"{name}-approved": approved(bank, name),
            f"{name}-denied": denied_or_expired(bank, name, f"deny-after-1@{name}-denied"),
            f"{name}-expired": denied_or_expired(bank, name, f"never@{name}-expired", requested_expiry=6),
        }
    rsa = PrivateKeyJwt("private-key", RSA, alg="PS256")
    return cases | {
        "bound": bound_token(bank, "private-key"),
        "bound-by-dpop": bound_token(bank, "dpop"),
        "stolen": stolen(bank),
        "unsigned": bank.ask("private-key", "unsigned", sign_requests=False),
        "signed-wrongly": bank.ask(
            "private-key", "signed-wrongly", sign_requests=SignedRequests(OTHER_RSA, alg="PS256")
        ),
        "signed-by-rs256": bank.ask("private-key", "signed-by-rs256", sign_requests=SignedRequests(RSA, alg="RS256")),
        "wrong-subject": bank.ask("tls", "wrong-subject", TlsClientAuth("tls", THEIRS.certificate, THEIRS.key)),
        "wrong-authority": bank.ask("tls", "wrong-authority", TlsClientAuth("tls", FALSE.certificate, FALSE.key)),
        "wrong-self-signed": bank.ask(
            "self-signed-tls",
            "wrong-self-signed",
            SelfSignedTlsClientAuth("self-signed-tls", OTHER_SELF_SIGNED.certificate, OTHER_SELF_SIGNED.key),
        ),
        "no-certificate": bank.ask("private-key", "no-certificate", rsa),
        "no-proof": bank.ask("dpop", "no-proof", PrivateKeyJwt("dpop", RSA, alg="PS256")),
    }


async def approved(bank: Bank, name: str) -> tuple[Authentication, Mapping[str, object]]:
    """Log in, and fetch what else the provider says."""
    ciba = await bank.client(name)
    login = await ciba.authenticate(ask(f"approve-after-1@{name}-approved", binding_message=f"{LABELS.index(name)}"))
    return login, await login.userinfo()


async def denied_or_expired(bank: Bank, name: str, person: str, **options: Any) -> Authentication:
    """Ask somebody who does not say yes."""
    return await (await bank.client(name)).authenticate(ask(person, **options))


async def bound_token(bank: Bank, name: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What a token says that it is bound to, and what the client has."""
    ciba = await bank.client(name)
    person = f"approve-after-1@bound{'-by-dpop' if name == 'dpop' else ''}"
    login = await ciba.authenticate(ask(person, extra={"resource": ACCOUNTS}))
    claims = json.loads(unb64(str(login.tokens.access_token).split(".")[1]))
    assert claims["aud"] == ACCOUNTS
    return claims["cnf"], bank.clients[name].auth.confirmation


async def stolen(bank: Bank) -> list[int]:
    """Use an access token with the right certificate, with another one, and without any."""
    login = await bank.ask("tls", "stolen")
    headers = {"Authorization": f"Bearer {login.tokens.access_token}", "Accept": "application/json"}
    statuses = []
    for pair in (MINE, THEIRS, None):
        tls = True if pair is None else TlsClientAuth("thief", pair.certificate, pair.key).tls
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as thief,
            thief.get(f"{bank.provider.mtls}/me", headers=headers) as answer,
        ):
            statuses.append(answer.status)
    return statuses


# --- tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABELS)
def test_each_client_logs_people_in(findings: Findings, name: str) -> None:
    """By a signed request, with bound tokens, and an ID token by what banks sign with; userinfo takes the token."""
    login, told = findings.outcome(f"{name}-approved")
    assert login.person_confirmed
    assert header_of(login)["alg"] == ("ES256" if name.endswith("es256") else "PS256")
    assert login.tokens.token_type == ("DPoP" if name == "dpop" else "Bearer")
    assert told["sub"] == f"approve-after-1@{name}-approved"


@pytest.mark.parametrize("name", LABELS)
def test_a_no_and_a_silence_are_what_they_are_elsewhere(findings: Findings, name: str) -> None:
    """The profile changes how one asks, and not what people answer."""
    with pytest.raises(Denied):
        findings.outcome(f"{name}-denied")
    with pytest.raises(Expired) as expired:
        findings.outcome(f"{name}-expired")
    assert expired.value.detected_by == "server"


@pytest.mark.parametrize(("label", "member"), [("bound", "x5t#S256"), ("bound-by-dpop", "jkt")])
def test_a_token_names_the_key_of_this_client(findings: Findings, label: str, member: str) -> None:
    """The provider's `cnf` was compared with the certificate, or with the key, that the client has."""
    said, mine = findings.outcome(label)
    assert said == mine
    assert set(said) == {member}


def test_a_demanded_nonce_costs_one_request(findings: Findings) -> None:
    """And the login goes on."""
    answers = findings.answers("bound-by-dpop")
    assert (answers[1], answers.count("use_dpop_nonce"), answers[-1]) == ("use_dpop_nonce", 1, "tokens")


def test_a_stolen_token_is_of_no_use(findings: Findings) -> None:
    """The provider has really bound it: it takes it from this client only."""
    assert findings.outcome("stolen") == [200, 401, 401]


@pytest.mark.parametrize("label", ["unsigned", "signed-wrongly"])
def test_a_request_that_is_not_signed_by_this_client_is_refused(findings: Findings, label: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(ProviderError) as refused:
        findings.outcome(label)
    assert (refused.value.error, refused.value.status) == ("invalid_request", 400)


def test_an_algorithm_that_banks_do_not_take_never_leaves(findings: Findings) -> None:
    """The provider's document says so; it has not heard of this login."""
    with pytest.raises(StateError) as refused:
        findings.outcome("signed-by-rs256")
    assert refused.value.code == "request_alg_unsupported"
    assert findings.answers("signed-by-rs256") == []


@pytest.mark.parametrize("label", ["wrong-subject", "wrong-authority", "wrong-self-signed"])
def test_another_certificate_is_refused(findings: Findings, label: str) -> None:
    """One of another subject, of another authority, and another of one's own making."""
    with pytest.raises(ClientRejected) as rejected:
        findings.outcome(label)
    assert (rejected.value.error, rejected.value.status) == ("invalid_client", 401)


@pytest.mark.parametrize("label", ["no-certificate", "no-proof"])
def test_whoever_proves_no_key_gets_no_tokens(findings: Findings, label: str) -> None:
    """The provider refuses the poll of a client whose tokens are to be bound."""
    with pytest.raises(ProviderError) as refused:
        findings.outcome(label)
    assert refused.value.error == "invalid_grant"


def test_nothing_careless_was_seen(findings: Findings) -> None:
    """Neither by the provider nor by the witness before it."""
    assert findings.violations() == {}
    assert findings.server_errors == 0
