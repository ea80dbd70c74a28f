"""Tests of keys and ID tokens."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, KeySet, KeySetSerialization, OKPKey, RSAKey

from idura_ciba.simulator.clients import Signatures
from idura_ciba.simulator.eid import Wish
from idura_ciba.simulator.swedish_bankid import SWEDISH_BANKID
from idura_ciba.simulator.tokens import SigningAlg, SigningKeys, encrypted

NOW = 1_716_374_501.9


def verify(token: str, jwks: dict[str, Any], alg: str) -> dict[str, Any]:
    """Check a token against a published key set, as a client does."""
    keys = KeySet.import_key_set(KeySetSerialization(keys=jwks["keys"]))
    return jwt.decode(token, keys, registry=Signatures([alg])).claims


def header_of(token: str) -> dict[str, Any]:
    """The header of a JWT."""
    part = token.partition(".")[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return header


@pytest.mark.parametrize("alg", get_args(SigningAlg))
def test_tokens_verify_with_the_published_keys(alg: SigningAlg) -> None:
    """Whatever the algorithm, without a warning."""
    keys = SigningKeys(alg)
    assert verify(keys.sign({"sub": "x"}), keys.jwks(NOW), alg) == {"sub": "x"}


@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A128GCM", "A256GCM"])
@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("RSA-OAEP-256", RSAKey.generate_key(2048)),
        *((alg, ECKey.generate_key("P-256")) for alg in ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW")),
        ("ECDH-ES", OKPKey.generate_key("X25519")),
    ],
)
def test_a_token_is_encrypted_for_its_reader(alg: Any, enc: Any, key: RSAKey | ECKey | OKPKey) -> None:
    """As a nested JWT that names the key, if the key has a name."""
    public = key.as_dict(private=False)
    for members in ({}, {"kid": "theirs", "use": "enc", "alg": alg}):
        token = encrypted("a.b.c", {**public, **members}, (alg, enc))
        assert jwe.decrypt_compact(token, key, algorithms=[alg, enc]).plaintext == b"a.b.c"
        header = header_of(token)
        assert (header["alg"], header["enc"], header["cty"]) == (alg, enc, "JWT")
        assert header.get("kid") == members.get("kid")


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


def test_a_subject_is_a_guid_in_braces(claims: Callable[..., dict[str, Any]]) -> None:
    """`nameidentifier` is the same without braces and hyphens."""
    token = claims(Wish(SWEDISH_BANKID, "209801011231"))
    assert re.fullmatch(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}", token["sub"])
    assert token["sub"].strip("{}").replace("-", "") == token["nameidentifier"]
