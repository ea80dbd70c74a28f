"""The clients of the simulated tenant, and client authentication.

Rules:

1. One method per request; two are `invalid_request` (RFC 6749 section 2.3).
2. A client with keys signs assertions, a client with a secret uses the secret, and one with a certificate, or the
   subject of one, presents it in TLS and names itself (RFC 8705 section 2); every client must authenticate.
3. An assertion is for this issuer only, lives at most five minutes and is accepted once, even if the request fails.
4. Every failure is the same 401 `invalid_client`; only the description differs.
"""

from __future__ import annotations

import binascii
import hmac
import json
from base64 import b64decode
from collections.abc import Collection, Mapping
from typing import Any, cast
from urllib.parse import unquote_plus

from attrs import field, frozen
from cryptography.x509 import load_der_x509_certificate
from joserfc import jws
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jwk import KeySet, KeySetSerialization, OctKey

from idura_ciba.simulator.ledger import Totals
from idura_ciba.simulator.messages import Refusal

__all__ = ["ClientRegistry", "Seen", "Signatures"]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Idura's guide "Private Key JWT" recommends five minutes at most.
MAX_LIFETIME = 300.0
KEY_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")


class Signatures(jws.JWSRegistry):
    """A joserfc registry of allowed algorithms, without the warning that `EdDSA` is now called `Ed25519`."""

    def __init__(self, algorithms: Collection[str]) -> None:
        super().__init__(algorithms=frozenset(algorithms))

    def get_alg(self, name: str) -> Any:
        """Look up one algorithm."""
        if name not in cast("frozenset[str]", self.allowed):
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


#: One list for keys and secrets: joserfc refuses an algorithm that does not fit the client's kind of key.
_SIGNATURES = Signatures((*KEY_ALGORITHMS, *SECRET_ALGORITHMS))


@frozen
class _Client:
    client_id: str
    keys: KeySet | None = field(default=None, repr=False)
    secret: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    subject: str | None = None
    name: str | None = None


class ClientRegistry:
    """The registered clients, and their authentication.

    Args:
        totals: Counts refused clients and replayed assertions.
        tolerance: Seconds by which a client's clock may be off.
    """

    def __init__(self, totals: Totals, *, tolerance: float) -> None:
        self._totals = totals
        self._tolerance = tolerance
        self._clients: dict[str, _Client] = {}
        self._seen = Seen(keep=MAX_LIFETIME + 2 * tolerance)

    def register(
        self,
        client_id: str,
        *,
        jwks: Mapping[str, object] | None,
        secret: str | None,
        certificate: bytes | None = None,
        subject: str | None = None,
        name: str | None = None,
    ) -> None:
        """Add a client, or replace its credentials.

        Raises:
            ValueError: Not exactly one of them.
        """
        if sum(credential is not None for credential in (jwks, secret, certificate, subject)) != 1:
            raise ValueError("a client has either keys or a secret, or a certificate, or the subject of one")
        keys = None if jwks is None else KeySet.import_key_set(cast("KeySetSerialization", jwks))
        known = None if secret is None else secret.encode()
        self._clients[client_id] = _Client(client_id, keys, known, certificate, subject, name)

    def name_of(self, client_id: str) -> str:
        """What people are told of who asks: the client's name, or its id."""
        return self._clients[client_id].name or client_id

    def authenticate(
        self,
        headers: Mapping[str, str],
        form: Mapping[str, str],
        *,
        audiences: Collection[str],
        now: float,
        certificate: bytes | None = None,
    ) -> str:
        """Return which client sent this request.

        Args:
            headers: Header fields by lower-case name.
            form: The form's parameters.
            audiences: Accepted values of an assertion's `aud`.
            now: The provider's wall clock.
            certificate: That of the client's TLS, verified.

        Returns:
            The `client_id`.

        Raises:
            Refusal: `invalid_client`, or `invalid_request` for more than one method.
        """
        basic = headers.get("authorization")
        asserted = "client_assertion" in form or "client_assertion_type" in form
        posted = "client_secret" in form
        if (basic is not None) + asserted + posted > 1:
            raise Refusal("invalid_request", "more than one way of client authentication")
        try:
            if asserted:
                return self._check_assertion(form, audiences, now)
            if basic is not None:
                return self._check_secret(*_read_basic(basic))
            if certificate is not None and not posted:
                return self._check_certificate(form.get("client_id", ""), certificate)
            return self._check_secret(form.get("client_id", ""), form.get("client_secret", ""))
        except _Unconvinced as reason:
            self._totals.rejected_clients += 1
            # RFC 6749 section 5.2: a client that used the header is told the scheme to use.
            challenge = {"WWW-Authenticate": 'Basic realm="simulator"'} if basic is not None else {}
            raise Refusal("invalid_client", str(reason), status=401, headers=challenge) from None

    def _check_secret(self, client_id: str, secret: str) -> str:
        client = self._clients.get(client_id)
        if client is None or client.secret is None:
            raise _Unconvinced("no such client with a secret")
        if not hmac.compare_digest(client.secret, secret.encode()):
            raise _Unconvinced("wrong secret")
        return client_id

    def _check_certificate(self, client_id: str, certificate: bytes) -> str:
        client = self._clients.get(client_id)
        if client is None or (client.certificate is None and client.subject is None):
            raise _Unconvinced("no such client with a certificate")
        subject = load_der_x509_certificate(certificate).subject.rfc4514_string()
        if client.certificate != certificate and client.subject != subject:
            raise _Unconvinced("wrong certificate")
        return client_id

    def _check_assertion(self, form: Mapping[str, str], audiences: Collection[str], now: float) -> str:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise _Unconvinced("unknown client_assertion_type")
        signed, claims = _open_assertion(form.get("client_assertion", ""))
        client = self._clients.get(_text(claims, "sub"))
        if client is None or claims.get("iss") != client.client_id:
            raise _Unconvinced("iss and sub must be the client_id")
        if form.get("client_id", client.client_id) != client.client_id:
            raise _Unconvinced("client_id is not that of the assertion")
        if not _is_signed_by(signed, client):
            raise _Unconvinced("the signature of the assertion is wrong")
        if _text(claims, "aud") not in audiences:
            raise _Unconvinced("aud must be the issuer, as one string")
        self._check_times(claims, now)
        if not self._seen.add(f"{client.client_id}\0{_text(claims, 'jti')}", now):
            self._totals.replayed_jti += 1
            raise _Unconvinced("the assertion was used before")
        return client.client_id

    def _check_times(self, claims: Mapping[str, object], now: float) -> None:
        expires, issued = _instant(claims, "exp"), _instant(claims, "iat")
        not_before = _instant(claims, "nbf")
        if expires is None or now >= expires + self._tolerance:
            raise _Unconvinced("the assertion has no exp or has expired")
        if any(instant is not None and instant > now + self._tolerance for instant in (issued, not_before)):
            raise _Unconvinced("the assertion comes from the future")
        if expires - (now if issued is None else issued) > MAX_LIFETIME + self._tolerance:
            raise _Unconvinced("the assertion lives too long")


class _Unconvinced(Exception):  # noqa: N818 - a verdict, not an error
    """Why a client is refused; a constant text."""


class Seen:
    """Remembers keys for at least `keep` seconds, in two generations, so that expiry needs no search."""

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._turned_at = 0.0

    def add(self, key: str, now: float) -> bool:
        """Add a key; return whether it is new."""
        if now - self._turned_at >= self._keep:
            self._young, self._old, self._turned_at = set(), self._young, now
        if key in self._young or key in self._old:
            return False
        self._young.add(key)
        return True


def _read_basic(header: str) -> tuple[str, str]:
    """Parse `Authorization: Basic`; each part is form-encoded before the base64 (RFC 6749 section 2.3.1)."""
    scheme, _, value = header.partition(" ")
    try:
        name, colon, secret = b64decode(value.strip(), validate=True).decode("ascii").partition(":")
        if scheme.lower() != "basic" or not colon:
            raise _Unconvinced("the Authorization header is not Basic")
        return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, ValueError):
        raise _Unconvinced("the Authorization header cannot be read") from None


def _open_assertion(token: str) -> tuple[jws.CompactSignature, dict[str, Any]]:
    """Parse an assertion without verifying it: its claims say whose keys to verify it with."""
    try:
        signed = jws.extract_compact(token.encode("ascii"))
        claims = json.loads(signed.payload)
    except Exception:  # noqa: BLE001 - joserfc raises far more than its own errors for hostile tokens
        raise _Unconvinced("the assertion cannot be read") from None
    if not isinstance(claims, dict):
        raise _Unconvinced("the assertion cannot be read")
    return signed, claims


def _is_signed_by(signed: jws.CompactSignature, client: _Client) -> bool:
    # Not OctKey.import_key, which warns of short secrets; those are the client's choice.
    key = client.keys or OctKey(client.secret or b"", client.secret)
    try:
        return jws.validate_compact(signed, key, registry=_SIGNATURES)
    except Exception:  # noqa: BLE001 - as above
        return False


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise _Unconvinced(f"the assertion needs {name}")
    return value


def _instant(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Unconvinced(f"{name} of the assertion is not a number")
    return float(value)
