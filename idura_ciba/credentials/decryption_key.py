"""The private keys under which a provider may encrypt for this client.

1. The caller's lists of algorithms are all that is accepted; nothing that a token says makes them longer.
2. A key that cannot work is refused when it is loaded, and neither the error nor a repr shows any of it.

Spec: RFC 7518 sections 4 and 5; OpenID Connect Registration section 2 (`id_token_encrypted_response_alg` and `_enc`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idura_ciba.credentials.signing_key import (
    FLAWS,
    MIN_RSA_BITS,
    Flaw,
    JoseKey,
    KeyInput,
    read_file,
    read_native_key,
)
from idura_ciba.errors import ArgumentError, UsageError

__all__ = ["CONTENT_ENCRYPTIONS", "KEY_ALGORITHMS", "DecryptionKey", "DecryptionKeys"]

#: Key agreement for each curve. Not accepted at all: RSA1_5, whose padding tells an attacker too much (RFC 7516 section
#: 11.5); RSA-OAEP, for its SHA-1; `dir` and PBES2, for their shared secrets, and PBES2 for what one token may cost.
_AGREEMENT: Final = ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW")
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RSA-OAEP-256",),
    **dict.fromkeys(("P-256", "P-384", "P-521", "X25519"), _AGREEMENT),
}
KEY_ALGORITHMS: Final = ("RSA-OAEP-256", *_AGREEMENT)
CONTENT_ENCRYPTIONS: Final = ("A128CBC-HS256", "A128GCM", "A256GCM")

#: What is wrong with a key that may sign and not decrypt; the rest is told as for signing keys.
_OTHER_FLAWS: Final[Mapping[Flaw, tuple[str, str]]] = {
    "key_unsupported": (
        "This is not a private key that can decrypt",
        "Pass RSA of 2048 bits or more, P-256, P-384, P-521 or X25519",
    ),
    "key_use": (
        "The JWK says that it is not for decryption",
        "Pass a key whose use is enc and whose key_ops, if any, include decrypt, unwrapKey, deriveKey or deriveBits",
    ),
}
_OPERATIONS: Final = {"decrypt", "unwrapKey", "deriveKey", "deriveBits"}


@frozen
class DecryptionKey:
    """A private key that may decrypt.

    Attributes:
        key: For joserfc, with nothing but its numbers.
        algorithms: What it may be used with.
        kid: Its id, where the JWK has one.
    """

    key: JoseKey = field(repr=False)
    algorithms: tuple[str, ...]
    kid: str | None


@frozen(init=False, repr=False)
class DecryptionKeys:
    """The private keys whose public halves the provider encrypts under, and what it may encrypt with.

    Args:
        keys: Each as PEM, as a JWK (a mapping or JSON text), or as a key object of joserfc or cryptography: RSA of 2048
            bits or more, P-256, P-384, P-521 or X25519. A JWK's `kid` must be the one that is registered; a key without
            one is tried for every token. Keep an old key beside the new one until no token comes under it.
        alg: Accepted encryptions of the key (`id_token_encrypted_response_alg`). Name the one that you registered.
        enc: Accepted encryptions of the content (`id_token_encrypted_response_enc`), likewise.

    Raises:
        UsageError: A key or an algorithm cannot be used. The error does not contain the key.
    """

    keys: tuple[DecryptionKey, ...]
    alg: frozenset[str]
    enc: frozenset[str]

    def __init__(
        self, *keys: KeyInput, alg: Iterable[str] = KEY_ALGORITHMS, enc: Iterable[str] = CONTENT_ENCRYPTIONS
    ) -> None:
        read = [_read(key) for key in keys]
        del keys  # before anything can fail: crash reports show the variables of a frame
        for each in read:
            if isinstance(each, UsageError):
                raise each
        found = tuple(each for each in read if isinstance(each, DecryptionKey))
        accepted = _accepted("alg", alg, KEY_ALGORITHMS), _accepted("enc", enc, CONTENT_ENCRYPTIONS)
        if not found or not all(accepted[0].intersection(each.algorithms) for each in found):
            raise ArgumentError(
                "There is no decryption key, or one that fits no accepted algorithm",
                code="decryption_keys",
                advice="Pass RSA keys for RSA-OAEP-256, and keys of a curve for ECDH-ES",
            )
        self.__attrs_init__(found, *accepted)

    @classmethod
    def from_files(
        cls,
        *paths: str | os.PathLike[str],
        alg: Iterable[str] = KEY_ALGORITHMS,
        enc: Iterable[str] = CONTENT_ENCRYPTIONS,
    ) -> Self:
        """Load each key from a file that contains PEM or one JWK.

        Raises:
            UsageError: A file cannot be read, or its key cannot be used.
        """
        return cls(*(read_file(path) for path in paths), alg=alg, enc=enc)

    def __repr__(self) -> str:
        """Show what is public: how many keys, and their ids."""
        # By getattr: a crash report may show one that was refused before its fields were set.
        keys: tuple[DecryptionKey, ...] = getattr(self, "keys", ())
        return f"<DecryptionKeys {len(keys)}: {', '.join(key.kid or 'without a kid' for key in keys)}>"

    def fitting(self, alg: str, kid: str | None) -> Iterator[DecryptionKey]:
        """The keys that a token of this algorithm may come under; of those with an id, the one that it names."""
        for each in self.keys:
            if alg in each.algorithms and (kid is None or each.kid in {kid, None}):
                yield each

    def public_jwks(self) -> dict[str, list[dict[str, object]]]:
        """Return the public keys as the key set to register at the provider."""
        return {
            "keys": [
                {
                    **each.key.as_dict(private=False),
                    "use": "enc",
                    "alg": next(name for name in each.algorithms if name in self.alg),
                    "kid": each.kid or each.key.thumbprint(),
                }
                for each in self.keys
            ]
        }


def _accepted(name: str, wanted: Iterable[str], known: tuple[str, ...]) -> frozenset[str]:
    # A single text would be read letter by letter.
    found = () if isinstance(wanted, str) or not isinstance(wanted, Iterable) else tuple(wanted)
    if not found or not all(each in known for each in found):
        raise ArgumentError(
            f"{name} is no list, is empty, or names an encryption that is not accepted",
            code=f"decryption_{name}",
            advice=f"choose from {', '.join(known)}",
        )
    return frozenset(found)


def _read(key: object) -> DecryptionKey | UsageError:
    """The key, or the error for the caller to raise once its own variables no longer hold the key."""
    judged: DecryptionKey | Flaw
    try:
        read = read_native_key(key)
        judged = _judge(*read) if isinstance(read, tuple) else read
    except Exception:  # noqa: BLE001 - as for signing keys: all of the many kinds mean the same
        judged = "key_unreadable"
    if isinstance(judged, DecryptionKey):
        return judged
    what, advice = _OTHER_FLAWS.get(judged) or FLAWS[judged]
    return ArgumentError(what, code=judged, advice=advice)


def _judge(native: object, jwk: Mapping[str, Any] | JoseKey) -> DecryptionKey | Flaw:
    """Check whether a key of cryptography may decrypt; `jwk` supplies `use`, `key_ops`, `kid` and `alg`."""
    key: JoseKey
    if isinstance(native, RSAPrivateKey):
        if native.key_size < MIN_RSA_BITS:
            return "key_too_small"
        kind, key = "RSA", RSAKey.import_key(native)
    elif isinstance(native, EllipticCurvePrivateKey):
        key = ECKey.import_key(native)
        kind = key.curve_name
    elif isinstance(native, X25519PrivateKey):
        kind, key = "X25519", OKPKey.import_key(native)
    else:
        return "key_public" if hasattr(native, "public_bytes") else "key_unsupported"
    kid, alg = jwk.get("kid"), jwk.get("alg")
    fitting = tuple(name for name in _KINDS.get(kind, ()) if alg in {name, None})
    if not fitting:
        return "key_unsupported"
    if jwk.get("use") not in {None, "enc"} or _OPERATIONS.isdisjoint(jwk.get("key_ops") or _OPERATIONS):
        return "key_use"
    return DecryptionKey(key, fitting, kid if isinstance(kid, str) else None)
