"""Signing keys, the JWKS, and the claims that the ID tokens of all eIDs have."""

from __future__ import annotations

import functools
import hashlib
import math
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from attrs import define, field, frozen
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from idura_ciba.simulator.clients import Signatures
from idura_ciba.simulator.eid import Wish
from idura_ciba.simulator.people import Person

__all__ = ["EncryptionAlg", "PrivateKey", "SigningAlg", "SigningKeys", "claims_of", "encrypted", "thumbprint"]

PrivateKey = RSAKey | ECKey | OKPKey
SigningAlg = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
#: How an ID token's key and its content are encrypted.
EncryptionAlg = tuple[
    Literal["RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"],
    Literal["A128CBC-HS256", "A128GCM", "A256GCM"],
]

#: Seconds: the lifetime of Idura's sample token.
ID_TOKEN_LIFETIME = 1200


_Kind = Literal["RSA", "P-256", "P-384", "P-521", "Ed25519"]
_KINDS: Mapping[str, _Kind] = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


@functools.cache
def _generated(kind: _Kind, serial: int) -> PrivateKey:
    """Key number `serial` of a kind, shared by all providers of the process: generating RSA keys is slow."""
    del serial  # only part of the cache key
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    return OKPKey.generate_key("Ed25519") if kind == "Ed25519" else ECKey.generate_key(kind)


@frozen
class _SigningKey:
    key: PrivateKey = field(repr=False)
    kid: str
    published_until: float = math.inf


@define(eq=False)
class SigningKeys:
    """The provider's keys: one signs, earlier ones may still be published.

    Args:
        alg: The signature algorithm.
        first: The first key; None: one that is generated on first use and shared within the process.
    """

    alg: SigningAlg
    first: PrivateKey | None = field(default=None, repr=False)
    _keys: list[_SigningKey] = field(factory=list, init=False, repr=False)
    _rotations: int = field(default=0, init=False)

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a signed JWT."""
        current = self._current()
        header = {"alg": self.alg, "kid": current.kid}
        return jwt.encode(header, dict(claims), current.key, registry=Signatures([self.alg]))

    def jwks(self, now: float) -> dict[str, object]:
        """Return the JWK set published at this instant."""
        self._current()
        members = {"use": "sig", "alg": self.alg}
        return {
            "keys": [
                {**member.key.as_dict(private=False), **members, "kid": member.kid}
                for member in self._keys
                if now < member.published_until
            ]
        }

    def rotate(self, now: float, overlap: float) -> None:
        """Sign with a new key from now on; the old one stays published for `overlap` seconds."""
        self._current()
        old = self._keys.pop()
        self._keys.append(_SigningKey(old.key, old.kid, now + overlap))
        self._rotations += 1
        self._add(_generated(self._kind(), self._rotations))

    def _current(self) -> _SigningKey:
        if not self._keys:
            self._add(self.first or _generated(self._kind(), 0))
        return self._keys[-1]

    def _add(self, key: PrivateKey) -> None:
        # Idura's `kid` is 40 upper-case hexadecimal digits, presumably a certificate thumbprint.
        self._keys.append(_SigningKey(key, hashlib.sha256(key.thumbprint().encode()).hexdigest()[:40].upper()))

    def _kind(self) -> _Kind:
        return _KINDS.get(self.alg, "RSA")


def encrypted(token: str, key: Mapping[str, object], algorithms: EncryptionAlg) -> str:
    """Return a signed token as a nested JWT (RFC 7519 section 5.2) that the holder of a public JWK can open."""
    alg, enc = algorithms
    header = {"alg": alg, "enc": enc, "cty": "JWT", **({"kid": key["kid"]} if "kid" in key else {})}
    return jwe.encrypt_compact(header, token, import_key(dict(key)), algorithms=[alg, enc])  # type: ignore[arg-type]


def claims_of(
    wish: Wish,
    person: Person,
    *,
    issuer: str,
    client_id: str,
    session: str,
    shares_number: bool,
    decided_at: float,
    now: float,
) -> dict[str, object]:
    """Return the claims of one login, named and shaped as in Idura's samples.

    Args:
        wish: The authentication request.
        person: Who answered.
        issuer: For `iss`.
        client_id: For `aud`.
        session: For `sessionindex`.
        shares_number: Whether the token carries the identity number.
        decided_at: When the person identified.
        now: When the token is issued.
    """
    eid = wish.eid
    issued_at = math.floor(now)
    return {
        "iss": issuer,
        "aud": client_id,
        "identityscheme": eid.scheme,
        "authenticationtype": eid.reached,
        "authenticationmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:SoftwarePKI",
        "authenticationinstant": _iso(decided_at),
        "nameidentifier": person.guid.hex,
        "sub": f"{{{person.guid}}}",
        "sessionindex": session,
        **eid.claims(wish, person, shares_number),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + ID_TOKEN_LIFETIME,
    }


def thumbprint(certificate: bytes) -> str:
    """How a token names a certificate, given in DER (RFC 8705 section 3.1)."""
    return urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()


def _iso(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
