"""Our client against a provider that nobody here wrote.

All logins run at once, as in a real service and because the provider's interval is five real seconds; the tests then
look at what came of each. `provider.mjs` knows the people, `witness.mjs` counts what a careful client never does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from attrs import frozen
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idura_ciba import (
    Abandoned,
    AiohttpTransport,
    AlreadyPending,
    Authentication,
    CibaClient,
    ClientAuth,
    ClientRejected,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    Denied,
    DPoP,
    EidRequest,
    Expired,
    FinalPoll,
    Fixed,
    IdTokenRejected,
    PrivateKeyJwt,
    ProviderError,
    SignedRequests,
)
from idura_ciba.http.transport import KEEP_ALIVE
from tests.interop.visits import Findings, ask, call, header_of, table_of_logins, visit

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.sockets]

#: With colons, as Idura's: they break HTTP Basic unless the id is form-encoded first.
CLIENT_ID = "urn:my:app:"
#: What form encoding changes and what Basic splits at.
AWKWARD = "a b+c/d=e:f%&\"'~"
KEYS: Mapping[str, Callable[[], RSAKey | ECKey | OKPKey]] = {
    "RS256": lambda: RSAKey.generate_key(2048),
    "PS256": lambda: RSAKey.generate_key(2048),
    "ES256": lambda: ECKey.generate_key("P-256"),
    # Two names of one algorithm, and the provider takes only the one that was registered.
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
}
SECRETS: Mapping[str, Callable[[str, str], ClientAuth]] = {
    "client_secret_basic": ClientSecretBasic,
    "client_secret_post": ClientSecretPost,
    "client_secret_jwt": ClientSecretJwt,
}
#: The same keys, and the client must sign its authentication requests too.
SIGNED = [f"signed-{alg}" for alg in KEYS]
METHODS = [*KEYS, *SECRETS, *SIGNED]
#: The user code of everybody who has one, see `provider.mjs`.
USER_CODE = "0427"
CROWD = 24
#: Breaks every rule on purpose, to show that the witness would see it.
CARELESS = "careless"


@frozen
class Service:
    """Makes the clients.

    Attributes:
        issuer: Whom they ask.
        lent: The session that carries all their requests; None: each has connections of its own.
    """

    issuer: str
    lent: aiohttp.ClientSession | None

    def client(self, auth: ClientAuth, **options: Any) -> CibaClient:
        """One more of them."""
        transport = None if self.lent is None else AiohttpTransport(session=self.lent)
        return CibaClient(self.issuer, auth, transport=transport, **options)


@pytest.fixture(scope="module")
def findings(provider_issuer: str, way: str, print_at_end: Callable[[Sequence[Sequence[object]]], None]) -> Findings:
    """Let everybody log in, once for all tests."""
    found = asyncio.run(log_in(provider_issuer, way))
    print_at_end([[f"by the {way}"]])
    print_at_end(table_of_logins(found))
    print_at_end(table_of_counters(found))
    return found


async def log_in(issuer: str, way: str) -> Findings:
    """Register the clients, and run all cases beside a careless client."""
    async with (
        aiohttp.ClientSession(issuer, connector=aiohttp.TCPConnector(force_close=True)) as http,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)) as lent,
        AsyncExitStack() as stack,
    ):
        service = Service(issuer, lent if way == "session" else None)
        auths = dict([await register(http, method) for method in METHODS])
        clients = {
            method: await stack.enter_async_context(
                # The provider signs each client's ID tokens as that client signs its assertions.
                service.client(auth, id_token_algorithms=[algorithm_of(method)], sign_requests=method in SIGNED)
            )
            for method, auth in auths.items()
        }
        _, found = await asyncio.gather(misbehave(http), visit(http, cases_of(service, http, auths, clients)))
    return found


def cases_of(
    service: Service, http: aiohttp.ClientSession, auths: Mapping[str, ClientAuth], clients: Mapping[str, CibaClient]
) -> dict[str, Coroutine[Any, Any, object]]:
    """The cases by label; a person's name ends in the label of the case, so nobody is asked in two."""
    ciba, auth = clients["RS256"], auths["RS256"]
    cases: dict[str, Coroutine[Any, Any, object]] = {
        method: client.authenticate(ask(f"approve-after-2@{method}")) for method, client in clients.items()
    }
    for number in range(CROWD):
        word = "deny" if number % 4 == 0 else "approve"
        cases[f"crowd-{number}"] = ciba.authenticate(ask(f"{word}-after-{number % 8}@crowd-{number}"))
    return cases | {
        "denied": ciba.authenticate(ask("deny-after-2@denied")),
        "failed": ciba.authenticate(ask("fail-after-2@failed")),
        "expired": ciba.authenticate(ask("never@expired", requested_expiry=4)),
        "expired-later": ciba.authenticate(ask("never@expired-later", requested_expiry=8)),
        "forgotten": ciba.authenticate(ask("forgotten@forgotten", requested_expiry=4)),
        "last-moment": last_moment(service, auth),
        "given-up": ciba.authenticate(ask("never@given-up"), timeout=6),
        "impostor": ciba.authenticate(ask("impostor-after-2@impostor")),
        "unknown": ciba.authenticate(ask("unknown@unknown")),
        "message": ciba.authenticate(ask("approve-after-2@message", binding_message="W4SCT")),
        "message-refused": ciba.authenticate(ask("approve@message-refused", binding_message="more than 20 letters")),
        "code": ciba.authenticate(ask("coded-after-2@code", user_code=USER_CODE)),
        "code-wrong": ciba.authenticate(ask("coded@code-wrong", user_code="1111")),
        "code-missing": ciba.authenticate(ask("coded@code-missing")),
        "wrong-secret": ask_as(service, ClientSecretBasic(f"{CLIENT_ID}client_secret_basic", AWKWARD), "wrong-secret"),
        "wrong-key": ask_as(service, PrivateKeyJwt(f"{CLIENT_ID}ES256", KEYS["ES256"]()), "wrong-key"),
        "unsigned": ask_as(service, auths["signed-PS256"], "unsigned"),
        "signed-wrongly": ask_as(
            service, auths["signed-PS256"], "signed-wrongly", sign_requests=SignedRequests(KEYS["PS256"](), alg="PS256")
        ),
        "signed-unasked": ask_as(service, auth, "signed-unasked", sign_requests=True),
        "signed-message": clients["signed-ES256"].authenticate(
            ask("approve-after-2@signed-message", binding_message="W4SCT", requested_expiry=60)
        ),
        "dpop": ask_as(service, DPoP(auths["RS256"]), "dpop"),
        # This provider takes no proof by RSA unless told to.
        "dpop-own-key": ask_as(service, DPoP(auths["RS256"], key=KEYS["Ed25519"]()), "dpop-own-key"),
        "dpop-signed": ask_as(
            service, DPoP(auths["signed-ES256"]), "dpop-signed", sign_requests=True, id_token_algorithms=["ES256"]
        ),
        "twice": asked_twice(ciba),
        "rotation": across_rotation(http, ciba),
        "resumed": resumed(service, auth),
        "earlier-token": by_earlier_token(ciba),
    }


async def last_moment(service: Service, auth: ClientAuth) -> Authentication:
    """Approve 2.5 s before the end, when the next regular poll would come too late."""
    # This provider counts whole seconds and rounds down.
    async with service.client(auth, strategy=FinalPoll(Fixed(), guard=1.2)) as ciba:
        return await ciba.authenticate(ask("approve-after-6.5@last-moment", requested_expiry=9))


async def ask_as(service: Service, auth: ClientAuth, label: str, **options: Any) -> Authentication:
    """Come with credentials of one's own."""
    async with service.client(auth, **options) as ciba:
        return await ciba.authenticate(ask(f"approve@{label}"))


async def asked_twice(ciba: CibaClient) -> tuple[Authentication, AlreadyPending | None]:
    """Ask a person who is being asked already."""
    refusal: AlreadyPending | None = None
    first = await ciba.start(ask("approve-after-2@twice"))
    try:
        await ciba.start(ask("approve-after-2@twice"))
    except AlreadyPending as error:
        refusal = error
    return await first, refusal


async def across_rotation(http: aiohttp.ClientSession, ciba: CibaClient) -> tuple[Authentication, Authentication]:
    """Log in, then once more while the provider changes its keys between the prompt and the answer."""
    before = await ciba.authenticate(ask("approve-after-1@before-rotation"))
    pending = await ciba.start(ask("approve-after-2@rotation"))
    await call(http, "POST", "/__rotate", {})
    return before, await pending


async def resumed(service: Service, auth: ClientAuth) -> Authentication:
    """Stop after the first poll and go on in another client."""
    first = service.client(auth)
    async for update in (await first.start(ask("approve-after-7@resumed"))).updates(polls=True):
        if update.polls > 0:
            break
    (left,) = await first.close()
    token = left.token
    async with service.client(auth) as second:
        return await (await second.resume(token))


async def by_earlier_token(ciba: CibaClient) -> tuple[Authentication, Authentication]:
    """Ask the person whom the ID token of an earlier login names."""
    first = await ciba.authenticate(ask("approve-after-1@earlier-token"))
    return first, await ciba.authenticate(EidRequest(id_token_hint=first.id_token))


# --- plumbing ---------------------------------------------------------------------------------------------------------


async def register(http: aiohttp.ClientSession, method: str) -> tuple[str, ClientAuth]:
    """Make credentials and give the provider what it may know of them: of a key the public half."""
    client_id = CLIENT_ID + method
    metadata: dict[str, object] = {"client_id": client_id}
    auth: ClientAuth
    if method not in SECRETS:
        alg = algorithm_of(method)
        auth = key = PrivateKeyJwt(client_id, KEYS[alg](), alg=alg)
        metadata |= {
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": alg,
            "id_token_signed_response_alg": alg,
            "jwks": key.public_jwks(),
        }
        if method in SIGNED:
            metadata["backchannel_authentication_request_signing_alg"] = alg
    else:
        secret = AWKWARD + secrets.token_urlsafe(32)
        auth = SECRETS[method](client_id, secret)
        metadata |= {"token_endpoint_auth_method": method, "client_secret": secret}
    await call(http, "POST", "/__clients", metadata)
    return method, auth


def algorithm_of(method: str) -> str:
    """What a client and the provider sign with for each other."""
    return "RS256" if method in SECRETS else method.removeprefix("signed-")


async def misbehave(http: aiohttp.ClientSession) -> None:
    """Do once each thing that the witness counts."""
    secret = secrets.token_urlsafe()
    metadata = {"client_id": CARELESS, "client_secret": secret, "token_endpoint_auth_method": "client_secret_post"}
    await call(http, "POST", "/__clients", metadata)
    grant = {"grant_type": "urn:openid:params:grant-type:ciba"}

    async def post(path: str, form: Mapping[str, str], *, repeat: str = "", headers: Any = None) -> Any:
        fields = [*form.items(), *((repeat, form[repeat]) for _ in repeat[:1])]
        async with http.post(path, data=aiohttp.FormData(fields), headers=headers) as answer:
            return await answer.json()

    async def post_assertion(**claims: str) -> None:
        payload = base64.urlsafe_b64encode(json.dumps({"sub": CARELESS, **claims}).encode()).decode().rstrip("=")
        await post("/token", {**grant, "auth_req_id": "unknown", "client_assertion": f"e30.{payload}."})

    own = {"client_id": CARELESS, "client_secret": secret}
    prompt = {**own, "scope": "openid", "login_hint": "deny@careless"}
    accepted = await post("/backchannel", prompt)
    await post("/backchannel", prompt, repeat="scope", headers={"Authorization": "Basic Y2FyZWxlc3M6"})
    poll = {**own, **grant, "auth_req_id": accepted["auth_req_id"]}
    await asyncio.gather(post("/token", poll), post("/token", poll))
    await post("/token", poll)
    await post_assertion(jti="1", aud="elsewhere")
    await post_assertion(jti="1", aud="elsewhere")
    await post_assertion()
    await post("/me", own)


def table_of_counters(found: Findings) -> list[list[object]]:
    """What the witness counted, ours beside the careless client's."""
    ours = [counts for client_id, counts in found.clients.items() if client_id != CARELESS]
    careless = found.clients[CARELESS]
    table: list[list[object]] = [["counted at the provider", "our clients", "a careless client"]]
    table += [[name, sum(counts[name] for counts in ours), careless[name]] for name in ("fetches", "prompts", "polls")]
    table += [
        [name, sum(counts["violations"][name] for counts in ours), number]
        for name, number in careless["violations"].items()
    ]
    return table


# --- tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_each_method_of_client_authentication_logs_in(findings: Findings, method: str) -> None:
    """Both endpoints accept the credentials, and the ID token is verified with the algorithm of this client."""
    login = findings.outcome(method)
    assert login.subject == f"approve-after-2@{method}"
    assert login.person_confirmed
    assert login.claims["aud"] == CLIENT_ID + method
    assert header_of(login)["alg"] == algorithm_of(method)


@pytest.mark.parametrize("label", ["signed-message", "signed-unasked"])
def test_a_signed_request_says_all_that_another_says(findings: Findings, label: str) -> None:
    """The message and the expiry too; and who may sign without having to is understood as well."""
    assert findings.outcome(label).person_confirmed


@pytest.mark.parametrize("label", ["unsigned", "signed-wrongly"])
def test_a_request_that_is_not_signed_as_registered_is_refused(findings: Findings, label: str) -> None:
    """Without a signature, and with another's: the provider demands what it says."""
    with pytest.raises(ProviderError) as refused:
        findings.outcome(label)
    assert (refused.value.error, refused.value.status) == ("invalid_request", 400)


def test_denial(findings: Findings) -> None:
    """A person who says no is a denial, although this provider says nothing but the code."""
    with pytest.raises(Denied):
        findings.outcome("denied")


@pytest.mark.parametrize(
    ("label", "last_word"),
    [("expired", "expired_token"), ("expired-later", "expired_token"), ("forgotten", "invalid_grant")],
)
def test_expiry(findings: Findings, label: str, last_word: str) -> None:
    """Nobody answers: expired, whether the provider still knows the request at the end or has forgotten it."""
    with pytest.raises(Expired) as expired:
        findings.outcome(label)
    assert expired.value.detected_by == "server"
    assert findings.answers(label)[-1] == last_word


def test_answer_at_the_last_moment(findings: Findings) -> None:
    """An approval for which a regular poll would have come too late is fetched."""
    assert findings.outcome("last-moment").person_confirmed


def test_own_timeout(findings: Findings) -> None:
    """The caller's timeout ends the wait although the provider would go on."""
    with pytest.raises(Abandoned):
        findings.outcome("given-up")
    assert 5 < findings.logins["given-up"].seconds < 10


def test_other_final_answer(findings: Findings) -> None:
    """A final code that is no denial reaches the caller as it is."""
    with pytest.raises(ProviderError) as failed:
        findings.outcome("failed")
    assert failed.value.error == "transaction_failed"


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("unknown", "unknown_user_id"),
        ("message-refused", "invalid_binding_message"),
        ("code-wrong", "invalid_user_code"),
        ("code-missing", "missing_user_code"),
    ],
)
def test_refused_request(findings: Findings, label: str, code: str) -> None:
    """The provider's reason not to ask anybody reaches the caller word by word, without waiting."""
    with pytest.raises(ProviderError) as refused:
        findings.outcome(label)
    assert (refused.value.error, refused.value.status) == (code, 400)
    assert findings.logins[label].seconds < 5


@pytest.mark.parametrize("label", ["wrong-secret", "wrong-key"])
def test_wrong_credentials(findings: Findings, label: str) -> None:
    """Credentials that the provider does not know are an error of their own."""
    with pytest.raises(ClientRejected) as rejected:
        findings.outcome(label)
    assert rejected.value.status == 401


@pytest.mark.parametrize("label", ["message", "code"])
def test_accepted_parameter(findings: Findings, label: str) -> None:
    """A message and a user code that the provider likes do no harm."""
    assert findings.outcome(label).person_confirmed


@pytest.mark.parametrize("label", ["dpop", "dpop-own-key", "dpop-signed"])
def test_tokens_that_are_bound_to_a_key(findings: Findings, label: str) -> None:
    """The provider demands a nonce in the first poll, gets it at once in another one, and binds the tokens."""
    assert findings.outcome(label).tokens.token_type == "DPoP"
    assert findings.answers(label) == ["acknowledged", "use_dpop_nonce", "tokens"]


def test_another_person_approves(findings: Findings) -> None:
    """A good signature under somebody else's name is no login."""
    with pytest.raises(IdTokenRejected) as rejected:
        findings.outcome("impostor")
    assert rejected.value.claim == "person"


def test_second_request_for_one_person(findings: Findings) -> None:
    """The second call is refused here, and the first one goes on; the provider has heard of one."""
    login, refusal = findings.outcome("twice")
    assert login.person_confirmed
    assert isinstance(refusal, AlreadyPending)
    assert findings.answers("twice") == ["acknowledged", "tokens"]


def test_key_rotation_during_a_login(findings: Findings) -> None:
    """An ID token signed with a key that was not there when the client fetched the keys is verified all the same."""
    before, after = findings.outcome("rotation")
    assert header_of(before)["kid"] in findings.keys
    assert header_of(after)["kid"] not in findings.keys


def test_resumed_in_another_client(findings: Findings) -> None:
    """The second client fetches the answer and knows whom the first one asked."""
    assert findings.outcome("resumed").person_confirmed
    assert findings.answers("resumed") == ["acknowledged", "authorization_pending", "tokens"]


def test_person_named_by_an_earlier_id_token(findings: Findings) -> None:
    """The provider takes our `id_token_hint` for the person whom its token named."""
    first, second = findings.outcome("earlier-token")
    assert first.subject == second.subject


@pytest.mark.parametrize("number", range(CROWD))
def test_crowd(findings: Findings, number: int) -> None:
    """Of many at once each gets the answer of their own."""
    label = f"crowd-{number}"
    if number % 4 == 0:
        with pytest.raises(Denied):
            findings.outcome(label)
    else:
        assert findings.outcome(label).subject == f"approve-after-{number % 8}@{label}"


def test_nothing_careless_was_seen(findings: Findings) -> None:
    """Every counter of every client of ours is zero at the provider, and there was something to count."""
    ours = {client_id: counts for client_id, counts in findings.clients.items() if client_id != CARELESS}
    assert findings.violations(CARELESS) == {}
    assert findings.server_errors == 0
    assert ours.keys() == {"(metadata)", *(CLIENT_ID + method for method in METHODS)}
    assert sum(counts["prompts"] for counts in ours.values()) > len(METHODS) + CROWD
    assert sum(counts["polls"] for counts in ours.values()) > len(METHODS) + CROWD


def test_the_witness_sees_a_careless_client(findings: Findings) -> None:
    """Each of these zeros could have been something else."""
    violations = findings.clients[CARELESS]["violations"]
    assert [name for name, number in violations.items() if number == 0] == []
