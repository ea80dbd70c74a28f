"""Signed authentication requests, as the simulated tenant reads them.

Rules:

1. A client that has registered an algorithm signs each request with it, and no other client may sign at all.
2. Everything is inside: beside `request` stands nothing but client authentication.
3. All six claims are there: `iss` is the client, `aud` the issuer alone, `nbf` to `exp` an hour at most, and a `jti` is
   taken once, even if the request fails.
4. A tenant with a key for encryption opens what was encrypted for it; a client that has registered `encrypted` must.

Written from CIBA Core 1.0 section 7.1.1, FAPI-CIBA section 5.2.2 and RFC 9101 alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import field, frozen
from joserfc import jwe, jws
from joserfc.jwk import ECKey, KeySet, KeySetSerialization, OKPKey, RSAKey

from idura_ciba.simulator.clients import Seen, Signatures
from idura_ciba.simulator.messages import Refusal

__all__ = ["EncryptionKey", "RequestObjects"]

#: A key that requests are encrypted for.
EncryptionKey = RSAKey | ECKey | OKPKey

#: CIBA Core section 7.1.1: what stays outside, because it proves who sends.
_AUTHENTICATION: Final = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
#: FAPI-CIBA section 5.2.2: seconds from `nbf` to `exp`.
MAX_LIFETIME: Final = 3600.0
_ENCRYPTIONS: Final = ("RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW")
_CONTENTS: Final = ("A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512")
_CLAIMS: Final = ("iss", "aud", "exp", "iat", "nbf", "jti")


@frozen
class _Rule:
    """What a client has registered of its requests.

    Attributes:
        alg: `backchannel_authentication_request_signing_alg`.
        keys: With which they are signed.
        encrypted: Whether they must be encrypted, too.
    """

    alg: str
    keys: KeySet = field(repr=False)
    encrypted: bool = False


class RequestObjects:
    """Reads the requests of all clients.

    Args:
        tolerance: Seconds by which a client's clock may be off.
        encryption_key: What clients may encrypt for; None: nothing.
    """

    def __init__(self, *, tolerance: float, encryption_key: EncryptionKey | None) -> None:
        self._tolerance = tolerance
        self._key = encryption_key
        self._seen = Seen(keep=MAX_LIFETIME + 2 * tolerance)
        self._rules: dict[str, _Rule] = {}

    def register(
        self, client_id: str, alg: str | None, jwks: Mapping[str, object] | None, *, encrypted: bool = False
    ) -> None:
        """Take a client's registration, in place of an earlier one.

        Args:
            client_id: The client.
            alg: Its `backchannel_authentication_request_signing_alg`; None: it never signs.
            jwks: The keys that it signs with.
            encrypted: Whether it must encrypt, too.
        """
        self._rules.pop(client_id, None)
        if alg is not None:
            keys = KeySet.import_key_set(cast("KeySetSerialization", jwks))
            self._rules[client_id] = _Rule(alg, keys, encrypted)

    @property
    def algs(self) -> list[str]:
        """Those that clients have registered, each once."""
        return [*dict.fromkeys(rule.alg for rule in self._rules.values())]

    def published(self) -> list[dict[str, Any]]:
        """The members of the JWKS for encryption."""
        if self._key is None:
            return []
        return [{**self._key.as_dict(private=False), "use": "enc", "kid": self._key.thumbprint()}]

    def open(self, form: Mapping[str, str], client_id: str, *, issuer: str, now: float) -> Mapping[str, str]:
        """Return the parameters of an authentication request.

        Args:
            form: What arrived.
            client_id: Who has authenticated.
            issuer: The tenant's.
            now: The provider's wall clock.

        Raises:
            Refusal: `invalid_request`.
        """
        rule = self._rules.get(client_id)
        if rule is None:
            if "request" in form:
                raise Refusal("invalid_request", "this client has registered no signed requests")
            return form
        if "request" not in form:
            raise Refusal("invalid_request", "this client must sign its requests")
        if form.keys() - _AUTHENTICATION - {"request"}:
            raise Refusal("invalid_request", "a parameter stands outside the signed request")
        claims = self._verify(self._decrypt(form["request"], rule), rule)
        self._check(claims, client_id, issuer, now)
        return {name: _as_text(name, value) for name, value in claims.items() if name not in _CLAIMS}

    def peek(self, form: Mapping[str, str]) -> Mapping[str, str]:
        """What a request says, whoever has signed it: for faults that strike one person.

        Raises:
            Refusal: It cannot be read.
        """
        if "request" not in form:
            return form
        token = self._decrypt(form["request"], _Rule("none", KeySet([])))
        try:
            claims = json.loads(jws.extract_compact(token.encode("ascii")).payload)
            return {name: _as_text(name, value) for name, value in claims.items() if name not in _CLAIMS}
        except Refusal:
            raise
        except Exception:  # noqa: BLE001 - joserfc raises far more than its own errors for hostile tokens
            raise _refusal("the request cannot be read") from None

    def _decrypt(self, token: str, rule: _Rule) -> str:
        if token.count(".") != 4:  # noqa: PLR2004 - the parts of a JWE in its compact form
            if rule.encrypted:
                raise _refusal("this client must encrypt its requests")
            return token
        if self._key is None:
            raise _refusal("this tenant opens nothing that is encrypted")
        try:
            registry = jwe.JWERegistry(algorithms=[*_ENCRYPTIONS, *_CONTENTS])
            opened = jwe.decrypt_compact(token, self._key, registry=registry)
            return (opened.plaintext or b"").decode("ascii")
        except Exception:  # noqa: BLE001 - joserfc raises far more than its own errors for hostile tokens
            raise _refusal("the request cannot be decrypted") from None

    def _verify(self, token: str, rule: _Rule) -> dict[str, Any]:
        try:
            signed = jws.deserialize_compact(token.encode("ascii"), rule.keys, registry=Signatures([rule.alg]))
            claims = json.loads(signed.payload)
        except Exception:  # noqa: BLE001 - as above
            raise _refusal("the signature of the request is wrong, or made by another algorithm") from None
        if not isinstance(claims, dict):
            raise _refusal("the request is no object")
        return claims

    def _check(self, claims: Mapping[str, Any], client_id: str, issuer: str, now: float) -> None:
        missing = [name for name in _CLAIMS if not claims.get(name)]
        if missing:
            raise _refusal("the request lacks a claim")
        # First of all, so that a request that is refused is burnt, too.
        jti = claims["jti"]
        if not isinstance(jti, str) or not self._seen.add(f"{client_id}\0{jti}", now):
            raise _refusal("the request was used before")
        if claims["iss"] != client_id or claims["aud"] != issuer:
            raise _refusal("iss must be the client and aud the issuer")
        times = [claims[name] for name in ("exp", "nbf", "iat")]
        if not all(isinstance(time, int | float) and not isinstance(time, bool) for time in times):
            raise _refusal("a time of the request is no number")
        expires, begins, issued = times
        if now >= expires + self._tolerance or max(begins, issued) > now + self._tolerance:
            raise _refusal("the request has expired or comes from the future")
        if not 0 < expires - begins <= MAX_LIFETIME:
            raise _refusal("the request lives too long")


def _refusal(description: str) -> Refusal:
    # CIBA Core section 13 knows no code of its own for it; RFC 9101 does, and node-oidc-provider translates it.
    return Refusal("invalid_request", description)


def _as_text(name: str, value: object) -> str:
    """A parameter as a form would carry it (CIBA Core 7.1.1: texts, and `requested_expiry` may be a number)."""
    if isinstance(value, str) and value:
        return value
    if name == "requested_expiry" and type(value) is int:
        return str(value)
    if name == "authorization_details" and isinstance(value, list):
        return json.dumps(value)
    raise _refusal("a parameter is of the wrong type")
