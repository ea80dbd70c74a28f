"""Tests of keys and ID tokens."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, KeySetSerialization

from idura_ciba.simulator.clients import Signatures
from idura_ciba.simulator.eids import FREJA_ID, NORWEGIAN_BANKID, SWEDISH_BANKID, Wish
from idura_ciba.simulator.people import invent_person
from idura_ciba.simulator.tokens import SigningAlg, SigningKeys, claims_of

NOW = 1_716_374_501.9
ISSUER = "https://simulator.idura.broker"


def verify(token: str, jwks: dict[str, Any], alg: str) -> dict[str, Any]:
    """Check a token against a published key set, as a client does."""
    keys = KeySet.import_key_set(KeySetSerialization(keys=jwks["keys"]))
    return jwt.decode(token, keys, registry=Signatures([alg])).claims


def header_of(token: str) -> dict[str, Any]:
    """The header of a JWT."""
    part = token.partition(".")[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return header


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_tokens_verify_with_the_published_keys(alg: SigningAlg) -> None:
    """Whatever the algorithm, without a warning."""
    keys = SigningKeys(alg)
    assert verify(keys.sign({"sub": "x"}), keys.jwks(NOW), alg) == {"sub": "x"}


def test_the_header_is_that_of_idura() -> None:
    """Type, algorithm, and a key id of 40 upper-case hexadecimal digits."""
    keys = SigningKeys("RS256")
    header = header_of(keys.sign({}))
    assert list(header) == ["typ", "alg", "kid"]
    assert (header["typ"], header["alg"]) == ("JWT", "RS256")
    assert re.fullmatch("[0-9A-F]{40}", header["kid"])


def test_the_jwks_holds_public_keys_only() -> None:
    """Modulus and exponent of 2048 bits, its use, its id and nothing private."""
    (key,) = SigningKeys("RS256").jwks(NOW)["keys"]  # type: ignore[misc, index]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
    assert len(key["n"]) == 342


def test_keys_are_made_once_in_a_process() -> None:
    """Two providers share them, unless one brings its own."""
    assert SigningKeys("RS256").jwks(NOW) == SigningKeys("RS256").jwks(NOW)
    own = SigningKeys("ES256", ECKey.generate_key("P-256"))
    assert own.jwks(NOW) != SigningKeys("ES256").jwks(NOW)


def test_rotation_with_overlap_publishes_both_keys_for_a_while() -> None:
    """Old tokens can be verified until the overlap is over; the new key signs at once."""
    keys = SigningKeys("ES256")
    old = keys.sign({"sub": "old"})
    keys.rotate(NOW, overlap=60)
    new = keys.sign({"sub": "new"})
    assert header_of(old)["kid"] != header_of(new)["kid"]
    during: Any = keys.jwks(NOW + 59)
    assert verify(old, during, "ES256") == {"sub": "old"}
    assert verify(new, during, "ES256") == {"sub": "new"}
    after: Any = keys.jwks(NOW + 60)
    assert [key["kid"] for key in after["keys"]] == [header_of(new)["kid"]]


def test_rotation_without_overlap_is_abrupt() -> None:
    """The old key is gone at once; each rotation brings a key of its own."""
    keys = SigningKeys("ES256")
    kids = set()
    for _ in range(3):
        (key,) = keys.jwks(NOW)["keys"]  # type: ignore[misc, index]
        kids.add(key["kid"])
        keys.rotate(NOW, overlap=0)
    assert len(kids) == 3


def test_keys_hide_themselves() -> None:
    """No key in a repr."""
    keys = SigningKeys("ES256", ECKey.generate_key("P-256"))
    keys.sign({})
    assert "Key" not in repr(keys).removeprefix("SigningKeys")


def claims(wish: Wish, *, shares_number: bool = True) -> dict[str, Any]:
    """The claims of a login that was decided half a second before the token."""
    person = invent_person(1, wish.eid.name, wish.person)
    return claims_of(
        wish,
        person,
        issuer=ISSUER,
        client_id="urn:ciba",
        session="b65f11b6-eba7-4882-900a-5f2d93a38dba",
        shares_number=shares_number,
        decided_at=NOW - 0.539,
        now=NOW,
    )


SE = Wish(SWEDISH_BANKID, "209801011231", is_number=True, country="SE", requested_expiry=None)
NO = Wish(NORWEGIAN_BANKID, "01023990128", is_number=True, country="NO", requested_expiry=None)
FREJA = Wish(FREJA_ID, "209712310011", is_number=True, country="SE", requested_expiry=None)


def test_a_swedish_token_has_the_shape_of_iduras_sample() -> None:
    """The same members in the same order; no jti, nonce, acr, amr, auth_time, azp or at_hash."""
    token = claims(SE)
    assert " ".join(token) == (
        "iss aud identityscheme authenticationtype authenticationmethod authenticationinstant nameidentifier sub "
        "sessionindex ssn name givenname given_name surname family_name ipaddress country iat nbf exp"
    )
    assert token["iss"] == ISSUER
    assert token["aud"] == "urn:ciba"
    assert token["identityscheme"] == "sebankid"
    assert token["authenticationtype"] == "urn:grn:authn:se:bankid"
    assert token["authenticationmethod"] == "urn:oasis:names:tc:SAML:2.0:ac:classes:SoftwarePKI"
    assert token["authenticationinstant"] == "2024-05-22T10:41:41.361Z"
    assert token["ssn"] == "209801011231"
    assert token["country"] == "SE"
    assert token["name"] == f"{token['given_name']} {token['family_name']}"
    assert (token["iat"], token["nbf"], token["exp"]) == (1716374501, 1716374501, 1716375701)


def test_a_subject_is_a_guid_in_braces() -> None:
    """`nameidentifier` is the same without braces and hyphens."""
    token = claims(SE)
    assert re.fullmatch(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}", token["sub"])
    assert token["sub"].strip("{}").replace("-", "") == token["nameidentifier"]


def test_a_norwegian_token_is_one_of_biometrics() -> None:
    """The substantial level, no certsubject, and the number only with consent."""
    token = claims(NO)
    assert token["identityscheme"] == "nobankid-oidc"
    assert token["authenticationtype"] == "urn:grn:authn:no:bankid:substantial"
    assert token["birthdate"] == "2039-02-01"
    assert token["socialno"] == "01023990128"
    assert token["country"] == "NO"
    assert "uniqueuserid" in token
    assert "certsubject" not in token
    assert "socialno" not in claims(NO, shares_number=False)


@pytest.mark.parametrize(
    ("number", "birthdate"),
    [
        ("01023990128", "2039-02-01"),
        ("27034698436", "1946-03-27"),
        ("55063990360", "2039-06-15"),
        ("10915549050", "1955-11-10"),
        ("43849048075", "1990-04-03"),
        ("10456048078", "1960-05-10"),
        ("01763990128", "2039-11-01"),
    ],
    ids=["plain", "last century", "D-number", "month+80", "D-number, month+80", "month+40", "month+65"],
)
def test_a_norwegian_birthdate_is_in_the_number(number: str, birthdate: str) -> None:
    """Also in that of a D-number or a synthetic person."""
    assert (
        claims(Wish(NORWEGIAN_BANKID, number, is_number=True, country="NO", requested_expiry=None))["birthdate"]
        == birthdate
    )


def test_a_freja_token_nests_the_number() -> None:
    """Number and country stand in `details.requestedAttributes.ssn`."""
    token = claims(FREJA)
    assert token["identityscheme"] == "sefrejaid"
    assert token["status"] == "APPROVED"
    assert token["userInfoType"] == "SSN"
    assert token["registrationLevel"] == "PLUS"
    assert token["details"]["requestedAttributes"]["ssn"] == {"ssn": "209712310011", "country": "SE"}
    assert "ssn" not in claims(FREJA, shares_number=False)["details"]["requestedAttributes"]


@pytest.mark.parametrize(("person", "kind"), [("somebody@simulator.invalid", "EMAIL"), ("+4600000000", "PHONE")])
def test_a_freja_token_says_how_the_person_was_found(person: str, kind: str) -> None:
    """By e-mail or by phone."""
    token = claims(Wish(FREJA_ID, person, is_number=False, country="SE", requested_expiry=None))
    assert token["userInfoType"] == kind
    assert (token["details"]["requestedAttributes"]["emailAddress"] == person) == (kind == "EMAIL")


def test_a_swedish_token_can_lack_the_number() -> None:
    """For tests of clients that must notice."""
    assert "ssn" not in claims(SE, shares_number=False)
