"""Tests of the keys that open encrypted tokens, in all the forms that people keep them in."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idura_ciba.credentials.decryption_key import CONTENT_ENCRYPTIONS, KEY_ALGORITHMS, DecryptionKeys
from idura_ciba.errors import UsageError
from tests.fakes import private_key

KINDS = ("RSA", "P-256", "P-384", "P-521", "X25519")
AGREEMENT = tuple(alg for alg in KEY_ALGORITHMS if alg.startswith("ECDH"))


def native(kind: str) -> Any:
    """A key of cryptography."""
    return private_key(kind, 5)


def jose(kind: str, **members: Any) -> RSAKey | ECKey | OKPKey:
    """The same as an object of joserfc, with further members."""
    key = {"RSA": RSAKey, "X25519": OKPKey}.get(kind, ECKey)
    plain = key.import_key(native(kind)).as_dict(private=True)
    return key.import_key({**plain, **members})


def pem(kind: str, password: bytes = b"") -> bytes:
    """The same as PEM."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    content: bytes = native(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return content


FORMS: dict[str, Callable[[str], Any]] = {
    "PEM bytes": pem,
    "PEM text": lambda kind: pem(kind).decode(),
    "JWK": lambda kind: jose(kind).as_dict(private=True),
    "JWK text": lambda kind: json.dumps(jose(kind).as_dict(private=True)),
    "joserfc": jose,
    "cryptography": native,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_the_same_in_every_form(kind: str, form: str) -> None:
    """RSA keys decrypt, keys of a curve agree; without a `kid` each is tried for any."""
    keys = DecryptionKeys(FORMS[form](kind))
    (key,) = keys.keys
    assert key.key.as_dict(private=False) == jose(kind).as_dict(private=False)
    assert key.algorithms == (("RSA-OAEP-256",) if kind == "RSA" else AGREEMENT)
    assert list(keys.fitting(key.algorithms[0], "any")) == [key]
    assert list(keys.fitting("ECDH-ES" if kind == "RSA" else "RSA-OAEP-256", None)) == []


def test_a_key_is_found_by_its_id() -> None:
    """Where the token names one and the key has one; else all that fit are tried."""
    first, second, nameless = jose("P-256", kid="a"), jose("P-384", kid="b"), jose("P-521")
    keys = DecryptionKeys(first, second, nameless)
    curves = {kid: [key.key.curve_name for key in keys.fitting("ECDH-ES", kid)] for kid in ("a", "b", "c", None)}
    assert curves == {
        "a": ["P-256", "P-521"],
        "b": ["P-384", "P-521"],
        "c": ["P-521"],
        None: ["P-256", "P-384", "P-521"],
    }


def test_a_key_may_name_its_only_algorithm() -> None:
    """As registered."""
    keys = DecryptionKeys(jose("P-256", alg="ECDH-ES+A256KW", use="enc", key_ops=["deriveKey"]))
    assert [list(keys.fitting(alg, None)) != [] for alg in AGREEMENT] == [False, False, True]


def test_the_registered_key_set_is_public() -> None:
    """Nothing private is in it, and it names what was accepted."""
    keys = DecryptionKeys(native("RSA"), jose("P-256", kid="2026-01"), alg=["RSA-OAEP-256", "ECDH-ES+A256KW"])
    one, other = keys.public_jwks()["keys"]
    assert set(one) == {"kty", "n", "e", "use", "alg", "kid"}
    assert set(other) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (one["use"], one["alg"], one["kid"]) == ("enc", "RSA-OAEP-256", jose("RSA").thumbprint())
    assert (other["alg"], other["kid"]) == ("ECDH-ES+A256KW", "2026-01")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: private_key("RSA-1024"), "key_too_small"),
        (ed25519.Ed25519PrivateKey.generate, "key_unsupported"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "key_unsupported"),
        (lambda: native("RSA").public_key(), "key_public"),
        (
            lambda: native("RSA").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "key_public",
        ),
        (lambda: jose("P-256").as_dict(private=False), "key_public"),
        (lambda: pem("RSA", b"password"), "key_encrypted"),
        (lambda: {"kty": "oct", "k": "c2VjcmV0"}, "key_unsupported"),
        (lambda: jose("P-256", use="sig"), "key_use"),
        (lambda: jose("P-256", key_ops=["sign"]), "key_use"),
        (lambda: jose("RSA", alg="RSA-OAEP"), "key_unsupported"),
        (lambda: "not a key", "key_unreadable"),
        (lambda: {"kty": "RSA"}, "key_public"),
        (dict, "key_unreadable"),
        (lambda: None, "key_unsupported"),
        (lambda: x25519.X25519PrivateKey.generate().public_key(), "key_public"),
    ],
)
def test_a_key_that_cannot_decrypt_is_refused(make: Callable[[], Any], code: str) -> None:
    """With a word for what is wrong."""
    key = make()
    with pytest.raises(UsageError) as caught:
        DecryptionKeys(key)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"alg": []}, "decryption_alg"),
        ({"alg": ["RSA1_5"]}, "decryption_alg"),
        ({"alg": ["RSA-OAEP-256", "dir"]}, "decryption_alg"),
        ({"alg": "RSA-OAEP-256"}, "decryption_alg"),
        ({"alg": None}, "decryption_alg"),
        ({"enc": [["A256GCM"]]}, "decryption_enc"),
        ({"enc": []}, "decryption_enc"),
        ({"enc": ["A256CBC-HS512"]}, "decryption_enc"),
        ({"alg": ["ECDH-ES"]}, "decryption_keys"),
    ],
)
def test_no_configuration_lets_a_weak_encryption_in(options: dict[str, Any], code: str) -> None:
    """The lists are never empty, hold what is accepted and nothing else, and fit the keys."""
    with pytest.raises(UsageError) as caught:
        DecryptionKeys(native("RSA"), **options)
    assert caught.value.code == code


def test_without_a_key_there_are_none() -> None:
    """Whoever passes the object means to decrypt."""
    with pytest.raises(UsageError) as caught:
        DecryptionKeys()
    assert caught.value.code == "decryption_keys"


def test_the_defaults_are_all_that_is_accepted() -> None:
    """Whoever knows what is registered says so."""
    keys = DecryptionKeys(native("RSA"))
    assert (keys.alg, keys.enc) == (set(KEY_ALGORITHMS), set(CONTENT_ENCRYPTIONS))


def test_neither_repr_nor_error_shows_a_key() -> None:
    """Nor the frames of the error."""
    jwk = jose("P-256", use="sig").as_dict(private=True)
    assert repr(DecryptionKeys(jose("P-256", kid="a"), jose("RSA"))) == "<DecryptionKeys 2: a, without a kid>"
    text = json.dumps(jwk)
    with pytest.raises(UsageError) as caught:
        DecryptionKeys(text)
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    own = [line for frame in trace.stack if "idura_ciba/" in frame.filename for line in (frame.locals or {}).values()]
    assert own
    assert not [line for line in own if str(jwk["d"]) in line]
    assert caught.value.__context__ is None
