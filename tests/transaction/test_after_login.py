"""Tests of what comes after a login: userinfo and refreshed tokens, through the whole client."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba import (
    Authentication,
    CibaClient,
    CibaError,
    DecryptionKeys,
    Endpoints,
    IdTokenRejected,
    ProviderError,
    RemoteProtocolError,
    StateError,
    TransportError,
)
from idura_ciba.simulator import Arrival, Fault, Rules, Script, SimReply, SimulatedIdura
from idura_ciba.simulator.tokens import SigningKeys
from tests.fakes import b64, json_bytes, private_key, public_jwk, swede, swedish_number, unb64

MakeClient = Callable[..., CibaClient]


@pytest.fixture(autouse=True)
def approving(simulated_idura: SimulatedIdura) -> None:
    """Somebody who approves, at a provider that has all of it."""
    simulated_idura._rules = Rules(userinfo="plain", refresh_tokens="rotated")
    simulated_idura.script(swedish_number(1), Script.approve(after=4))
    simulated_idura.script(swedish_number(2), Script.approve(after=4))


def change(
    endpoint: str, rewrite: Callable[[dict[str, Any]], Any], *, nth: int = 0
) -> Callable[[Arrival], Fault | None]:
    """A rule: the JSON of an endpoint's answers, or of the nth one's, is other."""

    def rewritten(reply: SimReply) -> SimReply:
        return SimReply(reply.status, reply.headers, json_bytes(rewrite(json.loads(reply.body))))

    fault = Fault.change(rewritten)
    return lambda arrival: fault if arrival.endpoint == endpoint and nth in {0, arrival.nth} else None


def tokens(rewrite: Callable[[dict[str, Any]], Any]) -> Callable[[Arrival], Fault | None]:
    """A rule: answers to a refresh are other."""
    return lambda arrival: (
        change("token", rewrite)(arrival) if b"grant_type=refresh_token" in arrival.request.body else None
    )


def resigned(idura: SimulatedIdura, **claims: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Sign the ID token of an answer anew, with other claims; `...` leaves one out."""

    def rewrite(answer: dict[str, Any]) -> dict[str, Any]:
        part = answer["id_token"].split(".")[1]
        said = {**json.loads(unb64(part)), **claims}
        signed = idura._keys.sign({name: value for name, value in said.items() if value is not ...})
        return {**answer, "id_token": signed}

    return rewrite


# --- userinfo ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [False, True], ids=["as it is", "encrypted"])
@pytest.mark.parametrize("kind", ["plain", "signed"])
async def test_userinfo_is_what_the_provider_knows_of_this_person(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, kind: Any, *, encrypted: bool
) -> None:
    """As JSON, as a signed token and as an encrypted one."""
    simulated_idura._rules = Rules(userinfo=kind)
    keys = DecryptionKeys(private_key("P-256", 5)) if encrypted else None  # type: ignore[arg-type]  # not Ed448
    if encrypted:
        (client_id,) = simulated_idura._clients._clients
        simulated_idura.encrypt_for(client_id, public_jwk(private_key("P-256", 5)), ("ECDH-ES", "A256GCM"))
    async with make_ciba_client(decryption_keys=keys) as ciba:
        login = await ciba.authenticate(swede(1))
        told = await login.userinfo()
        assert told["sub"] == login.subject
        assert told["name"] == login.claims["name"]
        if kind == "signed":
            assert await login.userinfo(require_signature=True) == told
        else:
            with pytest.raises(RemoteProtocolError, match="it is not signed") as caught:
                await login.userinfo(require_signature=True)
            assert caught.value.code == "userinfo_refused"


FORGED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "another person": ("plain", {"sub": "somebody"}, "sub, it is another person's than this login's"),
    "nobody": ("plain", {"sub": None}, "sub, it is another person's than this login's"),
    "another person, signed": ("signed", {"sub": "somebody"}, "sub, it is another person's than this login's"),
    "another issuer": ("signed", {"iss": "https://evil.example"}, "iss, it is another issuer's"),
    "no issuer": ("signed", {"iss": ...}, "iss, it is another issuer's"),
    "another client": ("signed", {"aud": ["urn:other"]}, "aud, it is not for this client"),
    "no audience": ("signed", {"aud": ...}, "aud, it is not for this client"),
    "over": ("signed", {"exp": 1}, "exp, it is over, or not yet valid"),
    "not yet valid": ("signed", {"nbf": 10**10}, "nbf, it is over, or not yet valid"),
    "no instant": ("signed", {"iat": "now"}, "iat, it is no instant"),
}


@pytest.mark.parametrize(("kind", "claims", "reason"), FORGED.values(), ids=FORGED)
async def test_userinfo_of_somebody_else_is_refused(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, kind: Any, claims: dict[str, Any], reason: str
) -> None:
    """By its reason, and nothing of it is shown."""
    simulated_idura._rules = Rules(userinfo=kind)
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        said = {**login.claims, **claims}
        said = {name: value for name, value in said.items() if value is not ...}
        body = simulated_idura._keys.sign(said).encode() if kind == "signed" else json_bytes(said)
        answer = Fault.change(lambda reply: SimReply(200, reply.headers, body))
        simulated_idura.faults.append(lambda arrival: answer if arrival.endpoint == "userinfo" else None)
        with pytest.raises(RemoteProtocolError) as caught:
            await login.userinfo()
    assert caught.value.code == "userinfo_refused"
    assert caught.value.what == f"the userinfo was refused: {reason}"
    assert shown_of(caught.value, login) == []


def shown_of(error: BaseException, login: Authentication) -> list[str]:
    """What the frames of this package show of a login, and what the error says of it."""
    stack = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    frames = [str(frame.locals) for frame in stack if "idura_ciba/" in frame.filename]
    assert frames
    canaries = [
        swedish_number(1),
        login.claims["name"],
        *map(str, filter(None, (login.tokens.access_token, login.id_token))),
    ]
    canaries += [str(login.tokens.members.get("refresh_token", canaries[0]))]
    return [canary for canary in canaries if canary in f"{error} {error!r} {vars(error)} {frames}"]


async def test_signed_userinfo_is_signed_by_the_issuer(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Another key, none, and what is no token at all."""
    simulated_idura._rules = Rules(userinfo="signed")
    other = SigningKeys("RS256")
    other._add(other._current().key.__class__.generate_key(2048))
    bodies = [b"{}", b"a.b.c", b"\xff.\xfe.", b""]
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        header, payload = (b64(json_bytes(part)) for part in ({"alg": "none"}, dict(login.claims)))
        bodies += [other.sign(dict(login.claims)).encode(), f"{header}.{payload}.".encode()]
        for body in bodies:
            answer = Fault.change(lambda reply, body=body: SimReply(200, reply.headers, body))  # type: ignore[misc]
            simulated_idura.faults = [lambda arrival, answer=answer: answer if arrival.endpoint == "userinfo" else None]  # type: ignore[misc]
            with pytest.raises(RemoteProtocolError) as caught:
                await login.userinfo()
            assert caught.value.code == "userinfo_refused"


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (
            Fault.answer(401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
            ProviderError,
            "access_token_refused",
        ),
        (Fault.answer(403), ProviderError, "access_token_refused"),
        (Fault.answer(404), RemoteProtocolError, "bad_userinfo"),
        (Fault.answer(302, {"Location": "https://evil.example"}), RemoteProtocolError, "bad_userinfo"),
        (Fault.answer(500), RemoteProtocolError, "bad_userinfo"),
        (Fault.answer(200, {"Content-Type": "application/json"}, b"<html>"), RemoteProtocolError, "userinfo_refused"),
        (Fault.answer(200, {}, b'{"sub":"a","sub":"b"}'), RemoteProtocolError, "userinfo_refused"),
        (Fault.refuse_connection(), TransportError, "connection"),
    ],
    ids=["401", "403", "404", "302", "500", "html", "twice", "refused"],
)
async def test_an_answer_that_is_none_costs_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, fault: Fault, kind: type[CibaError], code: str
) -> None:
    """The error says so, and the next try may succeed."""
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        simulated_idura.faults.append(lambda arrival: fault if arrival.endpoint == "userinfo" else None)
        with pytest.raises(kind) as caught:
            await login.userinfo()
        assert caught.value.code == code
        assert caught.value.phone == "The phone has not rung, and the login stays as it is"
        simulated_idura.faults.clear()
        assert (await login.userinfo())["sub"] == login.subject


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("https://evil.example/userinfo", "foreign_endpoint"),
        ("http://acme.example", "foreign_endpoint"),
        (None, "no_userinfo"),
    ],
)
async def test_an_access_token_goes_to_the_provider_and_nowhere_else(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, endpoint: str | None, code: str
) -> None:
    """A document that names another host costs no login, and gets no token."""
    simulated_idura.faults.append(change("discovery", lambda found: {**found, "userinfo_endpoint": endpoint}))
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        requests = simulated_idura.ledger.totals.requests
        with pytest.raises(RemoteProtocolError) as caught:
            await login.userinfo()
        assert caught.value.code == code
        assert simulated_idura.ledger.totals.requests == requests
    named = Endpoints(userinfo_endpoint=f"{simulated_idura.issuer}/oauth2/userinfo")
    async with make_ciba_client(endpoints=named) as ciba:
        login = await ciba.authenticate(swede(2))
        assert (await login.userinfo())["sub"] == login.subject


@pytest.mark.parametrize(
    ("members", "kind", "code"),
    [
        ({"token_type": "DPoP"}, StateError, "no_access_token"),
        ({"access_token": None}, StateError, "no_access_token"),
        ({"access_token": "a\r\nX-Evil: 1"}, RemoteProtocolError, "bad_answer"),
        ({"access_token": "a b"}, RemoteProtocolError, "bad_answer"),
    ],
)
async def test_what_is_no_bearer_token_is_not_sent(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    members: dict[str, Any],
    kind: type[CibaError],
    code: str,
) -> None:
    """A bound token without its proof, none at all, and one that would make a header of its own."""
    simulated_idura.faults.append(
        change("token", lambda answer: {**answer, **members} if "id_token" in answer else answer)
    )
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        requests = simulated_idura.ledger.totals.requests
        with pytest.raises(kind) as caught:
            await login.userinfo()
        assert caught.value.code == code
        assert simulated_idura.ledger.totals.requests == requests


async def test_without_keys_signed_userinfo_says_so_and_shows_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """It is asked for anew once they can be had."""
    simulated_idura._rules = Rules(userinfo="signed")
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        simulated_idura.rotate_keys(1_767_225_700.0, overlap=0)
        simulated_idura.faults.append(keys_are_down)
        with pytest.raises(CibaError) as caught:
            await login.userinfo()
        assert caught.value.phone == "The phone has not rung, and the login stays as it is"
        assert shown_of(caught.value, login) == []
        simulated_idura.faults.clear()
        await asyncio.sleep(10)
        assert (await login.userinfo())["sub"] == login.subject


def keys_are_down(arrival: Arrival) -> Fault | None:
    """A rule: the key set cannot be had."""
    return Fault.answer(500) if arrival.endpoint == "jwks" else None


# --- refreshing -------------------------------------------------------------------------------------------------------


async def test_a_login_is_refreshed_and_its_refresh_token_rotates(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nobody is asked again; the old one is spent, and its access token is over when the provider says so."""
    async with make_ciba_client() as ciba:
        login = first = await ciba.authenticate(swede(1))
        for _ in range(3):
            await asyncio.sleep(130)
            with pytest.raises(ProviderError) as caught:
                await login.userinfo()
            assert (caught.value.code, caught.value.error) == ("access_token_refused", "invalid_token")
            fresh = await login.refresh()
            assert (fresh.subject, fresh.issuer, fresh.acr) == (login.subject, login.issuer, login.acr)
            assert fresh.person_confirmed
            assert fresh.tokens.access_token != login.tokens.access_token
            assert fresh.tokens.members["refresh_token"] != login.tokens.members["refresh_token"]
            assert fresh.claims["iat"] > login.claims["iat"]
            assert fresh.id_token == fresh.tokens.id_token
            assert (await fresh.userinfo())["sub"] == login.subject
            login = fresh
        with pytest.raises(StateError) as spent:
            await first.refresh()
        assert spent.value.code == "refreshed"
        assert await login.refresh()
    assert len(simulated_idura.ledger.orders) == 1


async def test_a_refresh_token_that_stays_refreshes_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The new login has it too, although the answer does not."""
    simulated_idura._rules = Rules(refresh_tokens="kept")
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        first, second = await login.refresh(), await login.refresh()
        assert first.tokens.members["refresh_token"] == login.tokens.members["refresh_token"]
        assert first.tokens.access_token != second.tokens.access_token
        assert await first.refresh()


async def test_callers_at_the_same_time_share_one_refresh(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Two would be taken for theft, and end the login for both."""
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        requests = simulated_idura.ledger.totals.requests
        one, two = await asyncio.gather(login.refresh(), login.refresh())
        assert one is two
        assert simulated_idura.ledger.totals.requests == requests + 1


async def test_whoever_is_cancelled_does_not_lose_the_new_tokens(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """They are there for the next call, once."""
    slow = Fault.delay(5)
    simulated_idura.faults.append(lambda arrival: slow if b"refresh_token" in arrival.request.body else None)
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await login.refresh()
        requests = simulated_idura.ledger.totals.requests
        fresh = await login.refresh()
        assert simulated_idura.ledger.totals.requests == requests
        with pytest.raises(StateError) as spent:
            await login.refresh()
        assert spent.value.code == "refreshed"
        assert await fresh.refresh()
        assert not ciba._starter.context.tasks


async def test_closing_waits_for_a_refresh_and_leaves_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Up to its patience; afterwards there is no client to call."""
    slow = Fault.delay(3)
    simulated_idura.faults.append(lambda arrival: slow if b"refresh_token" in arrival.request.body else None)
    ciba = make_ciba_client()
    login, other = await ciba.authenticate(swede(1)), await ciba.authenticate(swede(2))
    under_way = asyncio.create_task(login.refresh())
    await asyncio.sleep(1)
    await ciba.close()
    assert (await under_way).subject == login.subject
    for call in (other.refresh(), other.userinfo()):
        with pytest.raises(StateError) as caught:
            await call
        assert caught.value.code == "closed"
    again = make_ciba_client()
    login = await again.authenticate(swede(1))
    under_way = asyncio.create_task(login.refresh())
    await asyncio.sleep(1)
    await again.close(patience=0.5)
    with pytest.raises(StateError) as cut:
        await under_way
    assert cut.value.code == "closed"
    assert not again._starter.context.tasks


CHANGED: dict[str, tuple[dict[str, Any], str, str]] = {
    "another person": ({"sub": "somebody"}, "sub", "id_token_other_login"),
    "another issuer": ({"iss": "https://evil.example"}, "iss", "id_token_issuer"),
    "another audience": ({"aud": "urn:other"}, "aud", "id_token_audience"),
    "another number": ({"ssn": swedish_number(2)}, "ssn", "id_token_person"),
    "another eID": ({"authenticationtype": "urn:grn:authn:no:bankid"}, "authenticationtype", "id_token_level"),
    "an earlier one": ({"iat": 1_700_000_000, "nbf": ...}, "iat", "id_token_clock"),
    "one that is over": ({"exp": 1_767_225_601, "iat": 1_767_225_600, "nbf": ...}, "exp", "id_token_clock"),
    "a nonce": ({"nonce": "x"}, "nonce", "id_token_other_login"),
}


@pytest.mark.parametrize(("claims", "claim", "code"), CHANGED.values(), ids=CHANGED)
async def test_a_refreshed_id_token_is_held_to_the_first_one(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, claims: dict[str, Any], claim: str, code: str
) -> None:
    """Issuer, person, audience, level and times; the error names the claim."""
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        await asyncio.sleep(100)
        simulated_idura.faults.append(tokens(resigned(simulated_idura, **claims)))
        with pytest.raises(IdTokenRejected) as caught:
            await login.refresh()
    assert (caught.value.claim, caught.value.code) == (claim, code)
    assert shown_of(caught.value, login) == []


@pytest.mark.parametrize(
    ("claims", "level"),
    [({"ssn": ..., "authenticationtype": ...}, "urn:grn:authn:se:bankid"), ({"aud": None}, "urn:grn:authn:se:bankid")],
    ids=["less", "as a list"],
)
async def test_what_a_refreshed_id_token_leaves_out_stays_as_it_was(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, claims: dict[str, Any], level: str
) -> None:
    """The person is known by their `sub`, and the level is that of the login."""
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        said = {**claims, **({"aud": [login.claims["aud"]]} if "aud" in claims else {})}
        simulated_idura.faults.append(tokens(resigned(simulated_idura, **said)))
        fresh = await login.refresh()
    assert (fresh.person_confirmed, fresh.acr) == (True, level)


async def test_without_a_new_id_token_the_proof_stays(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """OpenID Connect lets a provider leave it out."""
    simulated_idura.faults.append(
        tokens(lambda answer: {name: value for name, value in answer.items() if name != "id_token"})
    )
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        fresh = await login.refresh()
    assert (fresh.id_token, fresh.claims) == (login.id_token, login.claims)
    assert fresh.tokens.access_token != login.tokens.access_token


async def test_new_tokens_are_kept_while_the_keys_cannot_be_had(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The refresh token is spent by then; nothing is sent a second time."""
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        simulated_idura.rotate_keys(1_767_225_700.0, overlap=0)
        simulated_idura.faults.append(keys_are_down)
        with pytest.raises(CibaError) as caught:
            await login.refresh()
        assert caught.value.phone == "The phone has not rung, and the login stays as it is"
        simulated_idura.faults.clear()
        polls = simulated_idura._service._grants._refresh.copy()
        await asyncio.sleep(60)
        fresh = await login.refresh()
        assert simulated_idura._service._grants._refresh == polls
        assert await fresh.refresh()


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Fault.answer(400, {}, b'{"error":"invalid_grant"}'), ProviderError, "provider_error"),
        (Fault.answer(503), ProviderError, "busy"),
        (Fault.answer(200, {}, b'{"token_type":"Bearer"}'), RemoteProtocolError, "bad_answer"),
        (Fault.answer(200, {}, b"<html>"), RemoteProtocolError, "bad_answer"),
        (Fault.answer(302), RemoteProtocolError, "redirect"),
        (Fault.lose_request(), TransportError, "connection"),
    ],
    ids=["invalid_grant", "503", "no token", "html", "302", "lost"],
)
async def test_a_refresh_that_fails_says_why_and_can_be_tried_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, fault: Fault, kind: type[CibaError], code: str
) -> None:
    """It was sent once; what the provider has not done can be asked for again."""
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        sent = broken_refreshes(simulated_idura, fault)
        with pytest.raises(kind) as caught:
            await login.refresh()
        assert caught.value.code == code
        assert caught.value.phone == "The phone has not rung, and the login stays as it is"
        assert len(sent) == 1
        assert str(login.tokens.members["refresh_token"]) not in str(caught.value)
        simulated_idura.faults.clear()
        assert (await login.refresh()).subject == login.subject


def broken_refreshes(idura: SimulatedIdura, fault: Fault) -> list[Arrival]:
    """Let a refresh go wrong, and note each."""
    seen: list[Arrival] = []

    def rule(arrival: Arrival) -> Fault | None:
        if b"grant_type=refresh_token" not in arrival.request.body:
            return None
        seen.append(arrival)
        return fault

    idura.faults.append(rule)
    return seen


async def test_without_a_refresh_token_nothing_is_sent(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The error says what to ask for."""
    simulated_idura._rules = Rules()
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        with pytest.raises(StateError) as caught:
            await login.refresh()
    assert caught.value.code == "no_refresh_token"
    assert "offline_access" in caught.value.advice


async def test_a_pickle_holds_the_login_and_no_client(make_ciba_client: MakeClient) -> None:
    """Nor does a copy; the original is equal, and its repr shows nothing of either."""
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swede(1))
        for other in (pickle.loads(pickle.dumps(login)), copy.copy(login), copy.deepcopy(login)):  # noqa: S301 - our own
            assert isinstance(other, Authentication)
            assert other == login
            for call in (other.refresh(), other.userinfo()):
                with pytest.raises(StateError) as caught:
                    await call
                assert caught.value.code == "no_client"
        assert "after" not in repr(login)
        assert "context" not in repr(login._after)
        assert await login.refresh()
