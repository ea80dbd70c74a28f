"""Tests of refreshed ID tokens and userinfo: what must be as it was. The rest is tried through the whole client."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from idura_ciba.errors import IdTokenRejected
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.trust.authentication import Authentication
from idura_ciba.trust.id_token import AUTH_REQ_ID_CLAIM
from idura_ciba.trust.later import refreshed, told
from tests.fakes import json_bytes
from tests.id_tokens import (
    ABSENT,
    AUTH_REQ_ID,
    CLIENT,
    EXPIRES,
    ISSUED,
    ISSUER,
    NORWEGIAN,
    SSN,
    SUBJECT,
    SWEDISH,
    Case,
    encrypted_case,
)

TRUSTING = Case(trusted_audiences=frozenset({"urn:api"}))
NOBODY: Any = None


async def refresh(first: Case, second: Case) -> Authentication:
    """What becomes of a login whose refresh brings another token."""
    verifier, login = first.verifier, await first.verify()
    return await refreshed(
        verifier, second.tokens, before=login, expected=first.expectation, trace_id="trace-2", after=NOBODY
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({}, {"iat": ISSUED + 1, "exp": EXPIRES + 300, "nbf": ABSENT}),
        ({}, {"aud": [CLIENT]}),
        ({"aud": [CLIENT, "urn:api"], "azp": CLIENT}, {"aud": ["urn:api", CLIENT], "azp": CLIENT}),
        ({"auth_time": ISSUED}, {"auth_time": ISSUED}),
        ({"auth_time": ISSUED}, {}),
        ({AUTH_REQ_ID_CLAIM: AUTH_REQ_ID}, {AUTH_REQ_ID_CLAIM: AUTH_REQ_ID}),
        ({}, {"ssn": ABSENT, "authenticationtype": ABSENT, "name": ABSENT}),
        ({"authenticationtype": f"{SWEDISH}:high"}, {"authenticationtype": SWEDISH}),
    ],
    ids=str,
)
async def test_a_token_that_says_the_same_is_that_login(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Later, in another form, or with less in it."""
    fresh = await refresh(evolve(TRUSTING, claims=first), evolve(TRUSTING, claims={**second, "jti": "2"}))
    assert (fresh.subject, fresh.issuer, fresh.person_confirmed) == (SUBJECT, ISSUER, True)
    assert fresh.claims["jti"] == "2"
    assert fresh.trace_id == "trace-2"
    assert str(fresh.acr).startswith(SWEDISH)


@pytest.mark.parametrize(
    ("first", "second", "claim", "code"),
    [
        ({}, {"sub": "somebody"}, "sub", "id_token_other_login"),
        ({}, {"sub": ABSENT}, "sub", "id_token_other_login"),
        ({}, {"iss": f"{ISSUER}/"}, "iss", "id_token_issuer"),
        ({}, {"aud": [CLIENT, "urn:api"], "azp": CLIENT}, "aud", "id_token_audience"),
        ({"aud": [CLIENT, "urn:api"], "azp": CLIENT}, {}, "aud", "id_token_audience"),
        ({}, {"azp": CLIENT}, "azp", "id_token_audience"),
        ({"azp": CLIENT}, {}, "azp", "id_token_audience"),
        ({"auth_time": ISSUED}, {"auth_time": ISSUED - 9}, "auth_time", "id_token_other_login"),
        ({AUTH_REQ_ID_CLAIM: AUTH_REQ_ID}, {AUTH_REQ_ID_CLAIM: "x"}, AUTH_REQ_ID_CLAIM, "id_token_other_login"),
        ({}, {"iat": ISSUED - 61, "nbf": ABSENT}, "iat", "id_token_clock"),
        ({}, {"authenticationtype": NORWEGIAN}, "authenticationtype", "id_token_level"),
        ({}, {"ssn": SSN[::-1]}, "ssn", "id_token_person"),
        ({}, {"at_hash": "x"}, "at_hash", "id_token_other_login"),
    ],
    ids=str,
)
async def test_a_token_that_says_something_else_is_refused(
    first: dict[str, Any], second: dict[str, Any], claim: str, code: str
) -> None:
    """By the claim."""
    case = evolve(TRUSTING, claims={**second, "jti": "2"})
    with pytest.raises(IdTokenRejected) as caught:
        await refresh(evolve(TRUSTING, claims=first), case)
    assert (caught.value.claim, caught.value.code) == (claim, code)


async def test_the_pinned_level_stays_pinned() -> None:
    """Where a refreshed token names one at all."""
    pinned = Case(claims={"authenticationtype": f"{SWEDISH}:high"}, expected={"pin_acr": f"{SWEDISH}:high"})
    assert await refresh(pinned, evolve(pinned, claims={"authenticationtype": ABSENT, "jti": "2"}))
    with pytest.raises(IdTokenRejected) as caught:
        await refresh(pinned, evolve(pinned, claims={"jti": "2"}))
    assert caught.value.code == "id_token_level"


async def test_a_refreshed_token_may_be_encrypted_and_must_be_signed() -> None:
    """By the same rules."""
    first = encrypted_case()
    fresh = await refresh(first, encrypted_case(inner=Case(claims={"jti": "2"})))
    assert fresh.id_token == Case(claims={"jti": "2"}).token
    with pytest.raises(IdTokenRejected) as caught:
        await refresh(first, Case(header={"alg": "none"}))
    assert caught.value.code == "id_token_signature"


async def test_the_same_id_token_is_not_verified_again() -> None:
    """An answer without one has the earlier one, which may be over by now."""
    first = Case()
    login = await first.verify()
    late = evolve(first, now=EXPIRES + 1000.0)
    tokens = Tokens(login.tokens.id_token, Redacted("new"), "Bearer", 60.0, {})
    fresh = await refreshed(
        late.verifier, tokens, before=login, expected=first.expectation, trace_id=None, after=NOBODY
    )
    assert (fresh.id_token, fresh.tokens.access_token) == (login.id_token, "new")


async def test_userinfo_in_all_its_forms_is_of_this_person() -> None:
    """A JSON object, a signed token, an encrypted one; what belongs to ID tokens alone is not demanded."""
    case = encrypted_case(inner=Case(claims={"exp": ABSENT, "iat": ABSENT, "nbf": ABSENT, "aud": [CLIENT, "urn:api"]}))
    login, verifier = await Case().verify(), case.verifier
    for body, signed in (
        (json_bytes({"sub": SUBJECT}), False),
        (str(case.token).encode() + b"\n", True),
        (str(evolve(case, twist=str).token).encode(), True),
    ):
        assert (await told(verifier, body, signed=signed, before=login))["sub"] == SUBJECT


@pytest.mark.parametrize(
    ("claims", "claim"),
    [
        ({"exp": ISSUED - 60}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"iat": ISSUED + 62}, "iat"),
        ({"nbf": ISSUED + 62}, "nbf"),
        ({"aud": None}, "aud"),
        ({"aud": [[CLIENT]]}, "aud"),
        ({"iss": [ISSUER]}, "iss"),
        ({"sub": [SUBJECT]}, "sub"),
    ],
    ids=str,
)
async def test_signed_userinfo_of_another_time_or_place_is_refused(claims: dict[str, Any], claim: str) -> None:
    """Junk included."""
    case = Case(claims=claims)
    login, verifier, body = await Case().verify(), case.verifier, str(case.token).encode()
    with pytest.raises(IdTokenRejected) as caught:
        await told(verifier, body, signed=True, before=login)
    assert caught.value.claim == claim


async def test_a_plain_userinfo_is_read_strictly() -> None:
    """Two readings of one answer would be two people."""
    login, verifier = await Case().verify(), Case().verifier
    for body in (b"", b"[]", b'{"sub":"x","sub":"%s"}' % SUBJECT.encode(), b'{"sub":NaN}', b"\xff"):
        with pytest.raises(IdTokenRejected) as caught:
            await told(verifier, body, signed=False, before=login)
        assert caught.value.claim == "payload"
