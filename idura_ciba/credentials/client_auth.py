"""Client authentication.

1. Each request gets new credentials: providers count an assertion's `jti` as used even when they refuse the request.
2. A key or secret that cannot work is refused when it is loaded, and neither the error nor a repr shows any of it.
3. The caller chooses the algorithm; nothing that a provider says changes it.

Spec: OpenID Connect Core 1.0 section 9; RFC 6749 section 2.3.1; RFC 7523; CIBA Core 1.0 section 7.1.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping
from typing import ClassVar, Final, Literal, Protocol, Self, TypedDict, Unpack
from urllib.parse import quote_plus

from attrs import field, frozen
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import OctKey
from joserfc.util import json_b64encode

from idura_ciba.credentials.signing_key import (
    JoseKey,
    KeyInput,
    SigningKey,
    read_file,
    read_signing_key,
    sign_jwt,
    threads_for,
)
from idura_ciba.errors import ArgumentError, UsageError
from idura_ciba.redaction import Redacted

__all__ = [
    "AssertionOptions",
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretJwt",
    "ClientSecretPost",
    "Credentials",
    "KeyInput",
    "PrivateKeyJwt",
    "PrivateKeyJwtOptions",
]

#: RFC 7523 section 2.2.
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: RFC 7518 section 3.2: a key of at least as many bytes as the hash has.
MIN_SECRET_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}


@frozen
class Credentials:
    """The client authentication of one request; never used for a second one.

    Attributes:
        parameters: Added to the form.
        headers: Added to the header fields.
    """

    parameters: Mapping[str, str] = field(factory=dict, repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)


class ClientAuth(Protocol):
    """One method of client authentication. Write your own for others, such as a key that stays in an HSM.

    One that has a `method`, such as `tls_client_auth`, is compared with what the provider says it supports.
    """

    @property
    def client_id(self) -> str:
        """As registered at the provider."""
        ...

    @property
    def signing_threads(self) -> int:
        """How many threads call `credentials` at once; read once for each client.

        0 calls it in the event loop, which is right for methods that take microseconds. RSA uses one for each core; for
        an HSM, return how many signatures it makes at once. The threads are shared with nothing else.
        """
        ...

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:
        """Make the credentials of one request; called anew for each one, retries included.

        Args:
            issuer: The provider's issuer identifier.
            endpoint: The URL that the request goes to.
            now: Wall-clock seconds since the epoch.
            jti: Unique for each call.
        """
        ...

    def derive_key(self, label: bytes) -> bytes:
        """Derive 32 bytes that only a holder of this credential can derive; the same in each process."""
        ...


class AssertionOptions(TypedDict, total=False):
    """The options of an assertion.

    Attributes:
        audience: `issuer`, `endpoint` for the URL called, or a fixed text. Idura and CIBA want the issuer.
        typ: The header's `typ`, None to leave it out; newer providers want `client-authentication+jwt`.
        lifetime: Whole seconds from `iat` to `exp`; Idura recommends at most 300. The default is 60.
        send_client_id: Whether to send `client_id` beside the assertion; some servers need it, none refuses it.
    """

    audience: str
    typ: str | None
    lifetime: float
    send_client_id: bool


class PrivateKeyJwtOptions(AssertionOptions, total=False):
    """The keyword arguments of `PrivateKeyJwt`."""

    alg: str | None
    kid: str | None
    send_kid: bool


@frozen(kw_only=True, eq=False, repr=False)
class Credential:
    """What all methods have: a client id, and a secret that other keys are derived from."""

    client_id: str
    _material: Redacted = field(alias="material")  # named for type checkers, which do not strip the underscore

    def __attrs_post_init__(self) -> None:
        if not self.client_id or not self.client_id.isprintable():
            raise ArgumentError(
                "The client_id is empty or not printable text",
                code="client_id",
                advice="Copy it from the application's page at the provider",
            )

    def __repr__(self) -> str:
        """Show what is public: id, algorithm and key id."""
        # By getattr: a crash report may show one that was refused before its fields were set.
        shown = ((name, getattr(self, name, None)) for name in ("client_id", "alg", "kid"))
        said = (f"{name}={value!r}" for name, value in shown if value is not None)
        return f"{type(self).__qualname__}({', '.join(said)})"

    @property
    def signing_threads(self) -> int:
        """None: an HMAC takes microseconds, a plain secret no time at all."""
        return 0

    def derive_key(self, label: bytes) -> bytes:
        """Derive 32 bytes from the secret or the private numbers, whatever format the key came in."""
        # The salt separates these keys from any others that are derived from the same credential.
        return HKDF(SHA256(), length=32, salt=b"idura_ciba", info=label).derive(self._material.encode())


@frozen(kw_only=True, eq=False, repr=False)
class _JwtAssertion(Credential):
    """Signs an assertion for each request; the two subclasses supply the key."""

    alg: str
    kid: str | None
    _key: JoseKey | OctKey = field(alias="key")
    audience: str = "issuer"
    typ: str | None = "JWT"
    lifetime: float = 60.0
    send_client_id: bool = True
    # What all assertions begin with.
    _header: bytes = field(init=False)

    @_header.default
    def _encode_header(self) -> bytes:
        named = {"alg": self.alg, "kid": self.kid, "typ": self.typ}
        header = {name: value for name, value in named.items() if value is not None}
        if not all(isinstance(value, str) for value in header.values()):
            raise ArgumentError(
                "The kid or the typ is not text", code="header", advice="Pass text, or None to leave it out"
            )
        return json_b64encode(header)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not self.audience:
            raise ArgumentError(
                "The audience is empty", code="audience", advice="Pass issuer, endpoint or a fixed text"
            )
        if not 1 <= self.lifetime < math.inf:
            raise ArgumentError(
                "The lifetime of the assertion is below one second, or infinite",
                code="lifetime",
                advice="Pass seconds, at most 300 for Idura",
            )

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:
        """Sign one assertion; see `ClientAuth.credentials`."""
        # Header and claims stand in the order of Idura's examples, so that a captured assertion compares byte by byte.
        issued_at = int(now)
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": {"issuer": issuer, "endpoint": endpoint}.get(self.audience, self.audience),
            "jti": jti,
            "iat": issued_at,
            "exp": issued_at + int(self.lifetime),
        }
        assertion = sign_jwt(self._header, claims, self.alg, self._key)
        parameters = {"client_id": self.client_id} if self.send_client_id else {}
        parameters |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return Credentials(parameters)


class PrivateKeyJwt(_JwtAssertion):
    """`private_key_jwt`: signs with a private key whose public key is registered. Idura recommends it.

    Args:
        client_id: As registered, for example `urn:my:application:identifier:0001`.
        key: The private key as PEM, as a JWK (a mapping or JSON text), or as a key object of joserfc or cryptography:
            RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519.
        alg: RS256, RS384, RS512, PS256, PS384 or PS512; ES256, ES384 or ES512, by the curve; EdDSA or Ed25519. None:
            the JWK's own, or else the first for its type of key.
        kid: The key id. None: the JWK's own, or else its RFC 7638 thumbprint.
        send_kid: Whether to send the key id. A provider that has several keys of yours needs it.
        options: See `AssertionOptions`.

    Raises:
        UsageError: The key or an option cannot be used. The error does not contain the key.

    Spec: OpenID Connect Core 1.0 sections 9 and 10.1; Idura "Private key JWT".
    """

    __slots__ = ()
    method: ClassVar[str] = "private_key_jwt"

    def __init__(
        self,
        client_id: str,
        key: KeyInput,
        *,
        alg: str | None = None,
        kid: str | None = None,
        send_kid: bool = True,
        **options: Unpack[AssertionOptions],
    ) -> None:
        loaded = read_signing_key(key)
        del key  # before anything can fail: crash reports show the variables of a frame
        if isinstance(loaded, UsageError):
            raise loaded
        super().__init__(
            client_id=client_id,
            alg=loaded.choose_alg(alg),
            kid=(kid or loaded.kid or loaded.key.thumbprint()) if send_kid else None,
            key=loaded.key,
            material=loaded.material,
            **options,
        )

    @classmethod
    def from_file(cls, client_id: str, path: str | os.PathLike[str], **options: Unpack[PrivateKeyJwtOptions]) -> Self:
        """Load the key from a file that contains PEM or one JWK.

        Raises:
            UsageError: The file cannot be read, or the key cannot be used.
        """
        return cls(client_id, read_file(path), **options)

    @classmethod
    def from_env(cls, client_id: str, variable: str, **options: Unpack[PrivateKeyJwtOptions]) -> Self:
        r"""Load the key from an environment variable of PEM or a JWK; in PEM, `\n` may stand for a line break.

        Raises:
            UsageError: The variable is unset or empty, or the key cannot be used.
        """
        content = Redacted(os.environ.get(variable, ""))
        if not content:
            raise ArgumentError(
                f"The environment variable {variable} is unset or empty",
                code="key_variable",
                advice="Put the private key into it",
            )
        if content.startswith("-----BEGIN"):
            content = Redacted(content.replace("\\n", "\n"))
        return cls(client_id, content, **options)

    @property
    def signing_threads(self) -> int:
        """One for each core for RSA, whose signatures take hundreds of microseconds and let other threads run."""
        return threads_for(self._key.key_type)

    def request_key(self) -> SigningKey:
        """The key, for requests that are signed with the same one; see `SignedRequests`."""
        read = read_signing_key(self._key)
        assert isinstance(read, SigningKey)  # noqa: S101 - for type checkers: it has been read before
        return read

    def public_jwks(self) -> dict[str, list[dict[str, object]]]:
        """Return the public key as the key set to register at the provider."""
        public: dict[str, object] = {**self._key.as_dict(private=False)}
        return {"keys": [public | {"use": "sig", "alg": self.alg, "kid": self.kid or self._key.thumbprint()}]}


class ClientSecretJwt(_JwtAssertion):
    """`client_secret_jwt`: an assertion under the shared secret, which itself is never sent.

    Args:
        client_id: As registered.
        secret: As issued; at least 32, 48 or 64 bytes for HS256, HS384 or HS512.
        alg: HS256, HS384 or HS512.
        options: See `AssertionOptions`.

    Raises:
        UsageError: The secret is empty or too short, or an option cannot be used.

    Spec: OpenID Connect Core 1.0 sections 9 and 10.1.
    """

    __slots__ = ()
    method: ClassVar[str] = "client_secret_jwt"

    def __init__(
        self,
        client_id: str,
        secret: str,
        *,
        alg: Literal["HS256", "HS384", "HS512"] = "HS256",
        **options: Unpack[AssertionOptions],
    ) -> None:
        secret = _hidden(secret)
        _check_secret(secret)
        needed = MIN_SECRET_BYTES.get(alg)
        if needed is None:
            raise ArgumentError(
                "The algorithm is not one of client_secret_jwt",
                code="alg_unsupported",
                advice=f"Pass one of {', '.join(MIN_SECRET_BYTES)}",
            )
        if len(secret.encode()) < needed:
            raise ArgumentError(
                f"The client secret is too short for {alg}, which needs {needed} bytes",
                code="secret_too_short",
                advice="Request a longer secret from the provider, or use ClientSecretBasic",
            )
        # Not `OctKey.import_key`: it looks for PEM in the text, and a secret may be any text.
        key = OctKey(secret.encode(), secret)
        super().__init__(client_id=client_id, alg=alg, kid=None, key=key, material=secret, **options)


@frozen(init=False, eq=False, repr=False)
class ClientSecretBasic(Credential):
    """`client_secret_basic`: id and secret in the `Authorization` header.

    Args:
        client_id: As registered.
        secret: As issued.
        form_encode: Whether to form-encode both first, as RFC 6749 requires and Idura's `urn:` ids need. False for
            servers that do not decode.

    Raises:
        UsageError: The id or the secret is empty, or `form_encode` is off and the id contains a colon.

    Spec: RFC 6749 section 2.3.1 and appendix B.
    """

    method: ClassVar[str] = "client_secret_basic"
    form_encode: bool

    def __init__(self, client_id: str, secret: str, *, form_encode: bool = True) -> None:
        secret = _hidden(secret)
        _check_secret(secret)
        super().__init__(client_id=client_id, material=secret)
        object.__setattr__(self, "form_encode", form_encode)  # frozen, and its own __init__ sets it
        if not form_encode and ":" in client_id:
            raise ArgumentError(
                "A client_id with a colon cannot be sent in a Basic header unencoded",
                code="client_id_colon",
                advice="Leave form_encode on, or use ClientSecretPost",
            )

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:  # noqa: ARG002
        """Write the header; see `ClientAuth.credentials`."""
        pair = [self.client_id, self._material]
        if self.form_encode:
            pair = [quote_plus(part) for part in pair]
        encoded = base64.b64encode(":".join(pair).encode())
        return Credentials(headers={"Authorization": f"Basic {encoded.decode()}"})


class ClientSecretPost(Credential):
    """`client_secret_post`: id and secret in the form. RFC 6749 discourages it; use it where nothing else is supported.

    Args:
        client_id: As registered.
        secret: As issued.

    Raises:
        UsageError: The id or the secret is empty.

    Spec: RFC 6749 section 2.3.1.
    """

    __slots__ = ()
    method: ClassVar[str] = "client_secret_post"

    def __init__(self, client_id: str, secret: str) -> None:
        secret = _hidden(secret)
        _check_secret(secret)
        super().__init__(client_id=client_id, material=secret)

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:  # noqa: ARG002
        """Fill in the two parameters; see `ClientAuth.credentials`."""
        return Credentials({"client_id": self.client_id, "client_secret": self._material})


def _hidden(value: object) -> Redacted:
    """Hide a secret. None, the value of an unset variable, becomes empty text and not the text "None"."""
    return Redacted(value) if isinstance(value, str) else Redacted()


def _check_secret(secret: Redacted) -> None:
    # RFC 6749 appendix A.2 has no control characters; a line break is what reading it from a file leaves behind.
    if not secret or not secret.isprintable():
        raise ArgumentError(
            "The client secret is empty, or contains a line break or another unprintable character",
            code="client_secret",
            advice="Copy it again, without a line break at its end",
        )
