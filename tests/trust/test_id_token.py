"""Tests of the verification of ID tokens: what is let through, when, by which keys, and for which settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from idura_ciba.errors import CibaError, IdTokenRejected, RemoteProtocolError, TransportError, UsageError
from idura_ciba.redaction import Redacted
from idura_ciba.trust.id_token import AUTH_REQ_ID_CLAIM, MAX_SIGNATURE, _Registry
from idura_ciba.trust.replay import ReplayCache
from tests.fakes import FakeTransport, at_hash, b64, outage, private_key, public_jwk
from tests.id_tokens import (
    ABSENT,
    ACCESS_TOKEN,
    AUTH_REQ_ID,
    CLAIMS,
    CLIENT,
    EXPIRES,
    FREJA_CLAIMS,
    FREJA_IDENTITY,
    HASHED,
    ISSUED,
    ISSUER,
    KID,
    NORWEGIAN,
    OTHER_SSN,
    SSN,
    SUBJECT,
    SWEDISH,
    Case,
    header_of,
    issuer_key,
    leaks,
    make_verifier,
    refusal,
)


@pytest.mark.parametrize("now", [ISSUED, ISSUED + 600, EXPIRES - 1])
async def test_the_sample_token_passes_while_it_lives(now: int) -> None:
    """Idura's published sample says what a login says, from its first second to its last."""
    login = await Case(now=now, leeway=0).verify()
    assert login.subject == SUBJECT
    assert login.claims == CLAIMS
    assert login.acr == SWEDISH
    assert login.issuer == ISSUER
    assert login.person_confirmed
    assert login.trace_id == "trace-1"
    assert login.tokens.access_token == ACCESS_TOKEN
    assert login.id_token == Case().token


@pytest.mark.parametrize(
    ("case", "claim"),
    [
        (Case(now=EXPIRES, leeway=0), "exp"),
        (Case(now=ISSUED - 1, leeway=0), "iat"),
        (Case(now=ISSUED - 1, leeway=0, claims={"iat": ISSUED - 1}), "nbf"),
        (Case(claims={"aud": "urn:other"}), "aud"),
        (Case(claims={"iss": f"{ISSUER}/"}), "iss"),
    ],
)
async def test_the_sample_token_is_refused_where_the_facts_say_so(case: Case, claim: str) -> None:
    """The expected results that stand beside the sample."""
    error = await refusal(case)
    assert isinstance(error, IdTokenRejected)
    assert error.claim == claim


ACCEPTED: Mapping[str, Case] = {
    "no kid and one key": Case(header={"kid": ABSENT}, keys=lambda: [public_jwk(issuer_key("RS256"))]),
    "no kid and several keys": Case(
        header={"kid": ABSENT},
        keys=lambda: [
            public_jwk(private_key("P-256")),
            public_jwk(issuer_key("RS256", 1)),
            public_jwk(issuer_key("RS256")),
        ],
    ),
    "two keys with one kid": Case(
        keys=lambda: [public_jwk(issuer_key("RS256", 1), kid=KID), public_jwk(issuer_key("RS256"), kid=KID)]
    ),
    "two keys with one kid, of which one is for encryption": Case(
        keys=lambda: [
            public_jwk(issuer_key("RS256", 1), kid=KID, use="enc"),
            public_jwk(issuer_key("RS256"), kid=KID, use="sig"),
        ]
    ),
    "one kid for two kinds of key": Case(
        alg="ES256",
        keys=lambda: [public_jwk(issuer_key("RS256"), kid=KID), public_jwk(issuer_key("ES256"), kid=KID)],
    ),
    "a kid, and a key without one": Case(keys=lambda: [public_jwk(issuer_key("RS256"))]),
    "a key that names its algorithm": Case(keys=lambda: [public_jwk(issuer_key("RS256"), kid=KID, alg="RS256")]),
    "a broken key beside it": Case(
        keys=lambda: [{"kty": "RSA", "kid": KID, "n": "!", "e": []}, public_jwk(issuer_key("RS256"), kid=KID)]
    ),
    "no typ": Case(header={"typ": ABSENT}),
    **{f"typ {kind}": Case(header={"typ": kind}) for kind in ("jwt", "Jwt", "application/jwt", "Application/JWT")},
    "members of the header that nobody knows": Case(
        header={"foo": "bar", "": None, "iat": ISSUED, "trace": [{"x": 1}]}
    ),
    "a member of the header that only begins like one with rules": Case(header={"critical": ["exp"], "x5": "c"}),
    "a header as long as allowed": Case(header=header_of(2048)),
    "thumbprints in the header": Case(header={"x5t": "abc", "x5t#S256": "def"}),
    "aud as a list of one": Case(claims={"aud": [CLIENT]}),
    "azp": Case(claims={"azp": CLIENT}),
    "a further audience that is trusted": Case(
        claims={"aud": [CLIENT, "urn:api"], "azp": CLIENT}, trusted_audiences=frozenset({"urn:api"})
    ),
    "several, in any order": Case(
        claims={"aud": ["urn:api", CLIENT, "urn:app"], "azp": CLIENT},
        trusted_audiences=frozenset({"urn:api", "urn:app", "urn:more"}),
    ),
    "itself alone where others are trusted": Case(trusted_audiences=frozenset({"urn:api"})),
    "its own auth_req_id": Case(claims={AUTH_REQ_ID_CLAIM: AUTH_REQ_ID}),
    "no nbf": Case(claims={"nbf": ABSENT}),
    "times with fractions": Case(claims={"iat": ISSUED + 0.5, "exp": EXPIRES + 0.25, "nbf": ISSUED - 0.5}),
    "the last second of leeway after exp": Case(now=EXPIRES + 59.999),
    "the last second of leeway before iat and nbf": Case(now=ISSUED - 60.0),
    "issued at the end of the leeway before the request": Case(expected={"issued_from": ISSUED + 60.9}),
    "sub of 255 characters": Case(claims={"sub": "s" * 255}),
    "no access token and no at_hash": Case(access_token=None),
    "claims that nobody knows": Case(claims={"amr": ["mfa"], "auth_time": ISSUED, "x": {"y": [None]}, "": 0}),
    "a level below what was asked for": Case(claims={"authenticationtype": f"{SWEDISH}:substantial"}),
    "acr alone": Case(claims={"authenticationtype": ABSENT, "acr": SWEDISH}),
    "acr and authenticationtype": Case(claims={"acr": f"{SWEDISH}:high"}),
    "any of several levels": Case(expected={"acr_values": (NORWEGIAN, SWEDISH)}),
    "the pinned level": Case(expected={"pin_acr": SWEDISH, "acr_values": ()}),
    "no level where none is required": Case(claims={"authenticationtype": ABSENT}, expected={"require_acr": False}),
    "any level where none was asked for": Case(expected={"acr_values": ()}),
    "no level where none was asked for": Case(claims={"authenticationtype": ABSENT}, expected={"acr_values": ()}),
    "the guaranteed and required person": Case(expected={"identity_guaranteed": True, "require_person": True}),
    "Freja's person": Case(
        claims=FREJA_CLAIMS,
        identity=FREJA_IDENTITY,
        expected={"acr_values": ("urn:grn:authn:se:frejaid",), "require_person": True},
    ),
    "a token as long as allowed": Case(max_size=len(Case().token)),
    "a photo of three quarters of a megabyte": Case(claims={"photo": "A" * 750_000}),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_good_token_passes(name: str) -> None:
    """What the specifications leave to the provider makes no difference."""
    assert (await ACCEPTED[name].verify()).person_confirmed


@pytest.mark.parametrize("alg", HASHED)
async def test_each_algorithm_verifies_with_its_hash(alg: str) -> None:
    """A token of each algorithm that can be configured passes, `at_hash` is checked by that algorithm's hash."""
    good = Case(alg=alg, claims={"at_hash": at_hash(ACCESS_TOKEN, HASHED[alg])})
    assert (await good.verify()).subject == SUBJECT
    other = next(name for name in ("sha256", "sha384") if name != HASHED[alg])
    for wrong in (at_hash("another", HASHED[alg]), at_hash(ACCESS_TOKEN, other), good.claims["at_hash"] + "="):
        error = await refusal(evolve(good, claims={"at_hash": wrong}))
        assert isinstance(error, IdTokenRejected)
        assert error.claim == "at_hash"


@pytest.mark.parametrize(("named", "used"), [("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")])
async def test_both_names_of_ed25519_mean_one_algorithm(named: str, used: str) -> None:
    """A key that is published under the old name signs under the new one and the other way round."""
    case = Case(alg=used, keys=lambda: [public_jwk(private_key("Ed25519"), kid=KID, alg=named)])
    assert (await case.verify()).subject == SUBJECT


@pytest.mark.parametrize(("first", "second"), [("", ":high"), (":high", ""), (":high", ":high"), (":a", ":a:b")])
async def test_of_two_levels_that_agree_the_exacter_one_was_reached(first: str, second: str) -> None:
    """`acr` and `authenticationtype` may both be there, and one may say more than the other."""
    login = await Case(claims={"authenticationtype": SWEDISH + first, "acr": SWEDISH + second}).verify()
    assert login.acr == SWEDISH + max(first, second, key=len)


async def test_claims_that_confirm_the_person_elsewhere_are_welcome_and_not_needed() -> None:
    """What may be missing is missed by nobody."""
    elsewhere = {("country",): "SE", ("socialno",): SSN}
    for claims in ({}, {"socialno": SSN}, {"socialno": None, "country": ABSENT}):
        case = Case(claims=claims, expected={"identity_elsewhere": elsewhere, "require_person": True})
        assert (await case.verify()).person_confirmed


@pytest.mark.parametrize(
    ("access_token", "expected"),
    [("G5kXH2wHvUra0sHlDy1iTkDJgsgUO1bN", "Wt0kVFXMacqvnHeyU0001w"), (ACCESS_TOKEN, "45R57qeVSXoptMFsX7qfyA")],
)
async def test_published_hashes_are_accepted(access_token: str, expected: str) -> None:
    """The `at_hash` of CIBA Core section 10.3.1 and that of the sample's own access token."""
    assert (await Case(access_token=access_token, claims={"at_hash": expected}).verify()).subject == SUBJECT


@pytest.mark.parametrize(
    ("claims", "identity"),
    [
        ({"authenticationtype": f"{NORWEGIAN}:substantial", "ssn": ABSENT}, {("socialno",): "01023990128"}),
        ({"authenticationtype": NORWEGIAN, "ssn": ABSENT, "socialno": None}, {("socialno",): "01023990128"}),
        ({"authenticationtype": NORWEGIAN}, {}),
        ({**FREJA_CLAIMS, "authenticationtype": NORWEGIAN, "details": {}}, FREJA_IDENTITY),
        ({**FREJA_CLAIMS, "authenticationtype": NORWEGIAN, "details": None}, FREJA_IDENTITY),
        (
            {
                **FREJA_CLAIMS,
                "authenticationtype": NORWEGIAN,
                "details": {"requestedAttributes": {"ssn": {"ssn": SSN}}},
            },
            FREJA_IDENTITY,
        ),
    ],
    ids=["no number", "null", "nobody named", "Freja without attributes", "Freja with null", "half of the identity"],
)
async def test_an_eid_that_names_nobody_confirms_nobody(
    claims: Mapping[str, Any], identity: Mapping[tuple[str, ...], str]
) -> None:
    """Where the number may be withheld the login says that the person was not confirmed."""
    login = await Case(claims=claims, identity=identity, expected={"acr_values": (NORWEGIAN,)}).verify()
    assert login.person_confirmed is False
    assert login.subject == SUBJECT


# --- one token, one login ---------------------------------------------------------------------------------------------


async def test_a_token_proves_one_login_only() -> None:
    """The answer to one login is none to another, also where it names nobody; to the same one it may come twice."""
    case = Case(claims={"ssn": ABSENT})
    verifier, tokens = case.verifier, case.tokens
    for _ in range(2):
        login = await verifier.verify(tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
        assert not login.person_confirmed
    with pytest.raises(IdTokenRejected) as caught:
        await verifier.verify(tokens, expected=case.expectation, auth_req_id=Redacted("another"))
    assert (caught.value.claim, caught.value.reason) == ("replay", "it has proved another login already")
    assert list(leaks(caught.value, tokens.id_token)) == []
    other = evolve(case, claims={**case.claims, "sessionindex": "another"})
    await verifier.verify(other.tokens, expected=case.expectation, auth_req_id=Redacted("another"))


@pytest.mark.parametrize(
    ("claims", "until"),
    [({}, EXPIRES + 60.0), ({"exp": 10**10}, ISSUED + 2 * 86_400.0)],
    ids=["by its end", "by the longest login"],
)
async def test_a_token_is_remembered_while_it_could_be_accepted(claims: dict[str, Any], until: float) -> None:
    """Up to its end and the leeway, or as long as any login lives that began before it was issued."""
    told: dict[str, Any] = {}

    class Spy(ReplayCache):
        def use(self, token: str, **rest: Any) -> bool:
            told.update(rest, token=token)
            return True

    case = Case(claims=claims)
    await evolve(case.verifier, replay_cache=Spy()).verify(
        case.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID)
    )
    assert told == {"token": case.token, "auth_req_id": AUTH_REQ_ID, "now": case.now, "until": until}


@pytest.mark.parametrize(("now", "leeway"), [(EXPIRES, 0.0), (EXPIRES + 60.0, 60.0), (EXPIRES + 1e6, 60.0)])
async def test_a_token_that_has_expired_says_so(now: float, leeway: float) -> None:
    """From the very second of its end on; what is refused is refused here and not by a library."""
    error = await refusal(Case(now=now, leeway=leeway))
    assert isinstance(error, IdTokenRejected)
    assert (error.claim, error.reason) == ("exp", "it has expired")


async def test_a_token_that_was_refused_has_proved_nothing() -> None:
    """Who was refused another's token does not take it from the one whom it belongs to."""
    case = Case()
    verifier, tokens = case.verifier, case.tokens
    nobodys = evolve(case, identity={("ssn",): OTHER_SSN}).expectation
    with pytest.raises(IdTokenRejected):
        await verifier.verify(tokens, expected=nobodys, auth_req_id=Redacted("another"))
    assert await verifier.verify(tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"), [(outage, TransportError), (b"<html>", RemoteProtocolError), (404, RemoteProtocolError)]
)
async def test_without_keys_the_token_is_neither_good_nor_forged(answer: object, error: type[CibaError]) -> None:
    """Where the issuer's keys cannot be had the error says so, and shows no more of the token than a refusal."""
    verifier, tokens = make_verifier(FakeTransport().on(f"{ISSUER}/jwks", answer)), Case().tokens
    with pytest.raises(error) as caught:
        await verifier.verify(tokens, expected=Case().expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    assert list(leaks(caught.value, tokens.id_token)) == []


@pytest.mark.parametrize("kid", [KID, None])
async def test_a_key_that_changed_under_its_name_costs_no_login(kid: str | None) -> None:
    """An issuer that rotates and keeps the `kid`, or uses none, is asked for its keys once more."""
    old, new = (public_jwk(issuer_key("RS256", nth), kid=kid) for nth in (1, 0))
    transport = FakeTransport().on(f"{ISSUER}/jwks", {"keys": [old]}, {"keys": [new]})
    verifier, case = make_verifier(transport), Case(header={} if kid else {"kid": ABSENT})
    earlier = evolve(case, key=issuer_key("RS256", 1), claims={"sub": "somebody"})
    for each in (earlier, case):
        login = await verifier.verify(each.tokens, expected=each.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
        assert login.id_token == each.token
        await asyncio.sleep(1)
    assert len(transport.requests) == 2


async def test_a_forgery_stays_one_while_newer_keys_cannot_be_had() -> None:
    """The issuer's known key says no; an outage does not make that an error of the network."""
    keys = {"keys": [public_jwk(issuer_key("RS256"), kid=KID)]}
    transport = FakeTransport().on(f"{ISSUER}/jwks", keys, outage)
    verifier, case = make_verifier(transport), Case()
    await verifier.verify(case.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    await asyncio.sleep(1)
    forged = Case(key=issuer_key("RS256", 1))
    with pytest.raises(IdTokenRejected) as caught:
        await verifier.verify(forged.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    assert caught.value.claim == "signature"
    assert len(transport.requests) > 2
    unknown = Case(header={"kid": "new"})
    with pytest.raises(TransportError):
        await verifier.verify(unknown.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))


async def test_a_bad_header_costs_no_request() -> None:
    """A token that names no acceptable algorithm is refused before the issuer is asked for keys."""
    transport = FakeTransport()
    with pytest.raises(IdTokenRejected):
        await make_verifier(transport).verify(
            Case(header={"alg": "none"}).tokens, expected=Case().expectation, auth_req_id=AUTH_REQ_ID
        )
    assert transport.requests == []


def test_signatures_of_the_longest_rsa_key_fit() -> None:
    """A signature is counted in characters by joserfc, and those of 8192 bits are more than its own limit."""
    _Registry("RS256", 100).validate_signature_size(b64(bytes(MAX_SIGNATURE)).encode())


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithms", [[], ["HS256"], ["none"], ["RS256", "HS256"], ["rs256"], ["ES256K"]])
def test_no_configuration_lets_a_symmetric_algorithm_in(algorithms: list[str]) -> None:
    """The list of algorithms is never empty and holds signatures by key pairs only."""
    with pytest.raises(UsageError) as caught:
        make_verifier(FakeTransport(), algorithms=frozenset(algorithms))
    assert str(caught.value) == (
        "Id_token_algorithms is empty or names an algorithm that is not asymmetric. "
        f"Choose from {', '.join(HASHED)}. [id_token_algorithms]"
    )


@pytest.mark.parametrize("leeway", [-1.0, 601.0, float("inf"), float("nan"), True, "60", None])
def test_no_leeway_turns_the_times_off(leeway: float) -> None:
    """A leeway is a few minutes at most."""
    with pytest.raises(UsageError) as caught:
        make_verifier(FakeTransport(), leeway=leeway)
    assert str(caught.value) == (
        "The leeway is not between 0 and 600 seconds. Leave it at a minute, and set the clock. [leeway]"
    )


@pytest.mark.parametrize("leeway", [0.0, 600.0])
def test_the_bounds_themselves_may_be_configured(leeway: float) -> None:
    """No leeway at all, the longest that there is, and every algorithm at once."""
    verifier = make_verifier(FakeTransport(), algorithms=frozenset(HASHED), leeway=leeway)
    assert (verifier.algorithms, verifier.leeway) == (set(HASHED), leeway)


def test_the_sample_algorithm_is_the_default() -> None:
    """Who says nothing gets RS256 alone, and a minute of leeway."""
    verifier = make_verifier(FakeTransport())
    assert verifier.algorithms == {"RS256"}
    assert verifier.leeway == 60.0
