"""Signed authentication requests: all parameters in one JWT, which only this client can have made.

1. Every parameter stands in the JWT and none beside it, so that nothing can be added, changed or left out on the way.
2. Each request gets a new `jti`, retries included: providers count one as used even when they refuse the request.
3. The caller chooses the algorithms; nothing that a provider says changes them.
4. There is no `sub`: a JWT with one could pass for a client assertion (RFC 9101 section 10.8).

Spec: CIBA Core 1.0 section 7.1.1; FAPI-CIBA sections 5.2.2 and 7.10; RFC 9101 section 6.1; RFC 9396 section 3.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen
from joserfc.jwe import JWERegistry, encrypt_compact
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import json_b64encode

from idura_ciba.credentials.around import innermost
from idura_ciba.credentials.client_auth import ClientAuth, PrivateKeyJwt
from idura_ciba.credentials.signing_key import JoseKey, KeyInput, read_signing_key, sign_jwt, threads_for
from idura_ciba.errors import ArgumentError, UsageError

__all__ = ["EncryptionKey", "RequestSigner", "SignedRequests", "request_signer"]

#: RFC 9101 section 10.8: the explicit type, by which a request object is told from every other JWT.
REQUEST_TYPE: Final = "oauth-authz-req+jwt"
#: Seconds from `nbf` to `exp` at most: FAPI-CIBA section 5.2.2, item 9.
MAX_LIFETIME: Final = 3600.0
#: The claims that are not the caller's to set: CIBA Core section 7.1.1, and rule 4.
REGISTERED: Final = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "sub"})
#: How a key for the content is agreed on, and with which kinds of public key (RFC 7518 section 4). Without RSA1_5,
#: which leaks (RFC 8725 section 3.2), and without what needs a shared secret.
KEY_MANAGEMENT: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA-OAEP-256": ("RSA",),
    "RSA-OAEP": ("RSA",),
    "ECDH-ES": ("EC", "OKP"),
    "ECDH-ES+A128KW": ("EC", "OKP"),
    "ECDH-ES+A256KW": ("EC", "OKP"),
}
#: How the content is encrypted (RFC 7518 section 5).
CONTENT_ENCRYPTION: Final = ("A256GCM", "A128GCM", "A128CBC-HS256", "A256CBC-HS512")
#: RFC 7518 section 4.3.
MIN_RSA_BITS: Final = 2048
#: What a public key of a kind consists of, and the curves for key agreement. Ed25519 is for signatures.
_PUBLIC: Final[Mapping[str, tuple[type[RSAKey | ECKey | OKPKey], tuple[str, ...], frozenset[str]]]] = {
    "RSA": (RSAKey, ("kty", "n", "e"), frozenset()),
    "EC": (ECKey, ("kty", "crv", "x", "y"), frozenset({"P-256", "P-384", "P-521"})),
    "OKP": (OKPKey, ("kty", "crv", "x"), frozenset({"X25519"})),
}
#: RFC 7517 section 4.3: what a key for encryption is for, where it has no `use`.
_ENCRYPTING: Final = frozenset({"encrypt", "wrapKey", "deriveKey", "deriveBits"})


@frozen
class EncryptionKey:
    """A public key of the provider, for what only it may read."""

    kid: str | None
    key: RSAKey | ECKey | OKPKey = field(repr=False)


class SignedRequests:
    """How authentication requests are signed; for `CibaClient(sign_requests=...)`.

    Args:
        key: The private key, in any form that `PrivateKeyJwt` takes. None: the one that the client authenticates with.
        alg: Any that `PrivateKeyJwt` takes; the one that is registered at the provider as
            `backchannel_authentication_request_signing_alg`. None: the JWK's own, or else that of the client's
            authentication if its key is used, or else the default of the key type. FAPI-CIBA wants PS256 or ES256.
        kid: The key id. None: the JWK's own, or else its RFC 7638 thumbprint.
        typ: The header's `typ`, None to leave it out.
        lifetime: Whole seconds from `nbf` to `exp`, at most 3600.
        encryption_alg: RSA-OAEP-256, RSA-OAEP, ECDH-ES, ECDH-ES+A128KW or ECDH-ES+A256KW: encrypts what was signed for
            a key that the provider publishes for this. None: not encrypted. CIBA Core knows signed requests only, so
            ask the provider first.
        encryption_enc: A256GCM, A128GCM, A128CBC-HS256 or A256CBC-HS512.

    Raises:
        UsageError: The key or an option cannot be used. The error does not contain the key.
    """

    __slots__ = ("_alg", "_encryption", "_kid", "_lifetime", "_loaded", "_typ")

    def __init__(
        self,
        key: KeyInput | None = None,
        *,
        alg: str | None = None,
        kid: str | None = None,
        typ: str | None = REQUEST_TYPE,
        lifetime: float = 60.0,
        encryption_alg: str | None = None,
        encryption_enc: str = "A256GCM",
    ) -> None:
        loaded = None if key is None else read_signing_key(key)
        del key  # before anything can fail: crash reports show the variables of a frame
        if isinstance(loaded, UsageError):
            raise loaded
        if loaded is not None:
            loaded.choose_alg(alg)
        if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 1 <= lifetime <= MAX_LIFETIME:
            raise ArgumentError(
                "The lifetime of signed requests is not a number of seconds from 1 to 3600", code="lifetime"
            )
        if not isinstance(typ, str | None) or not isinstance(kid, str | None):
            raise ArgumentError("The kid or the typ is not text", code="header", advice="Pass text, or None")
        _check_encryption(encryption_alg, encryption_enc)
        self._loaded, self._alg, self._kid, self._typ, self._lifetime = loaded, alg, kid, typ, lifetime
        self._encryption = None if encryption_alg is None else (encryption_alg, encryption_enc)

    def __repr__(self) -> str:
        """Show what is public."""
        return f"SignedRequests(alg={self._alg!r}, kid={self._kid!r}, encryption={self._encryption!r})"

    def signer(self, client_auth: ClientAuth) -> RequestSigner:
        """Return what signs the requests of this client.

        Raises:
            UsageError: There is no key: neither here, nor in how the client authenticates.
        """
        loaded, alg, kid = self._loaded, self._alg, self._kid
        if loaded is None:
            own = innermost(client_auth)
            if not isinstance(own, PrivateKeyJwt):
                raise ArgumentError(
                    "Requests are to be signed, and the client authenticates without a private key",
                    code="sign_requests",
                    advice="Pass a key in SignedRequests(key), or authenticate with PrivateKeyJwt",
                )
            loaded, alg, kid = own.request_key(), alg or own.alg, kid or own.kid
        return RequestSigner(
            client_id=client_auth.client_id,
            alg=loaded.choose_alg(alg),
            kid=kid or loaded.kid or loaded.key.thumbprint(),
            typ=self._typ,
            lifetime=int(self._lifetime),
            encryption=self._encryption,
            key=loaded.key,
        )


@frozen(kw_only=True, eq=False)
class RequestSigner:
    """Signs the authentication requests of one client.

    Attributes:
        client_id: The client's, which is the `iss` of its requests.
        alg: The signature algorithm.
        kid: The key id.
        typ: The header's type, or None.
        lifetime: Seconds from `nbf` to `exp`.
        encryption: Key management and content encryption, or None.
    """

    client_id: str
    alg: str
    kid: str
    typ: str | None
    lifetime: int
    encryption: tuple[str, str] | None
    _key: JoseKey = field(alias="key", repr=False)
    _header: bytes = field(init=False, repr=False)

    @_header.default
    def _encode_header(self) -> bytes:
        return json_b64encode({"alg": self.alg, "kid": self.kid} | ({"typ": self.typ} if self.typ else {}))

    @property
    def signing_threads(self) -> int:
        """See `ClientAuth.signing_threads`."""
        return threads_for(self._key.key_type)

    def sign(
        self, parameters: Mapping[str, str], *, issuer: str, now: float, jti: str, recipient: EncryptionKey | None
    ) -> str:
        """Return the value of `request`.

        Args:
            parameters: The authentication request, without client authentication.
            issuer: The provider's issuer identifier.
            now: Wall-clock seconds since the epoch.
            jti: Unique for each call.
            recipient: Whom to encrypt for, if `encryption` is set.

        Raises:
            UsageError: A parameter has the name of a claim that is not the caller's.
        """
        if not REGISTERED.isdisjoint(parameters):
            raise ArgumentError(
                "an extra parameter has the name of a claim that a signed request has of its own",
                code="extra_parameter",
                advice="leave it to the client",
            )
        claims: dict[str, Any] = {**parameters}
        if "authorization_details" in claims:
            # RFC 9396 section 3: in a request object it is JSON. All other values are texts (CIBA Core 7.1.1).
            claims["authorization_details"] = json.loads(claims["authorization_details"])
        begins = int(now)
        claims |= {"iss": self.client_id, "aud": issuer, "jti": jti}
        claims |= {"iat": begins, "nbf": begins, "exp": begins + self.lifetime}
        signed = sign_jwt(self._header, claims, self.alg, self._key)
        return signed if self.encryption is None or recipient is None else _encrypt(signed, self.encryption, recipient)

    def choose(self, keys: Iterable[Mapping[str, Any]]) -> EncryptionKey | None:
        """Return the first key of a provider's set that requests can be encrypted for; None where there is none.

        A key must say that it is for encryption, by its `use`, `key_ops` or `alg`.
        """
        alg = self.encryption[0] if self.encryption else ""
        return next((found for member in keys if (found := _import(member, alg)) is not None), None)


def request_signer(sign_requests: SignedRequests | bool, client_auth: ClientAuth) -> RequestSigner | None:
    """Return what signs a client's requests; None where they are not signed.

    Raises:
        UsageError: It is something else, or there is no key.
    """
    if sign_requests is False:
        return None
    chosen = SignedRequests() if sign_requests is True else sign_requests
    if not isinstance(chosen, SignedRequests):
        raise ArgumentError(
            "sign_requests is neither a bool nor a SignedRequests",
            code="sign_requests",
            advice="pass True to sign with the client's own key, or SignedRequests(...)",
        )
    return chosen.signer(client_auth)


def _check_encryption(alg: str | None, enc: str) -> None:
    if alg is not None and (alg not in KEY_MANAGEMENT or enc not in CONTENT_ENCRYPTION):
        raise ArgumentError(
            "Requests cannot be encrypted by these algorithms",
            code="alg_unsupported",
            advice=f"Pass one of {', '.join(KEY_MANAGEMENT)}, with one of {', '.join(CONTENT_ENCRYPTION)}",
        )


def _encrypt(signed: str, encryption: tuple[str, str], recipient: EncryptionKey) -> str:
    alg, enc = encryption
    # RFC 7519 section 5.2: `cty` says that what comes out is a JWT again.
    header = {"alg": alg, "enc": enc, "cty": "JWT"} | ({"kid": recipient.kid} if recipient.kid else {})
    return encrypt_compact(header, signed, recipient.key, registry=JWERegistry(algorithms=[alg, enc]))


def _import(member: Mapping[str, Any], alg: str) -> EncryptionKey | None:
    kty, kid, operations = member.get("kty"), member.get("kid"), member.get("key_ops")
    if kty not in KEY_MANAGEMENT[alg] or member.get("alg", alg) != alg:
        return None
    kind, names, curves = _PUBLIC[kty]
    if curves and str(member.get("crv")) not in curves:
        return None
    says = {*map(str, operations)} if isinstance(operations, list) else set()
    # One that says nothing may be the key of the provider's signatures, which must do nothing else.
    if member.get("use", "enc" if "alg" in member or says & _ENCRYPTING else None) != "enc":
        return None
    try:
        key = kind.import_key({name: member[name] for name in names})
        if isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS:
            return None
    except Exception:  # noqa: BLE001 - joserfc and cryptography raise a dozen kinds; all mean that this key is bad
        return None
    return EncryptionKey(kid if isinstance(kid, str) else None, key)
