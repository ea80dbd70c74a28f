"""Client certificates: one that says who the client is, or that tokens are bound to.

1. The certificate is presented to the endpoints that want it and to nobody else: `tls` travels with a request.
2. A certificate and a key that cannot work together are refused when they are loaded. Neither an error nor a repr shows
   the key, and it never stands on a disk unencrypted.

Spec: RFC 8705.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from attrs import field, frozen
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates
from joserfc.util import urlsafe_b64encode

from idura_ciba.credentials.around import Around
from idura_ciba.credentials.client_auth import ClientAuth, Credential, Credentials
from idura_ciba.credentials.signing_key import JoseKey, KeyInput, read_file, read_signing_key
from idura_ciba.errors import ArgumentError, UsageError
from idura_ciba.redaction import Redacted

__all__ = ["CertificateBound", "SelfSignedTlsClientAuth", "TlsClientAuth"]

#: RFC 7468 sections 10 and 11, and the names that OpenSSL gave before.
_PRIVATE = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


@frozen(eq=False)
class ClientCertificate:
    """A certificate with its key.

    Attributes:
        certificate: The client's own.
        tls: How to connect where it is presented.
        material: The private numbers of the key, as text.
        public: The public key as a JWK.
    """

    certificate: Certificate
    tls: ssl.SSLContext
    material: Redacted
    public: Mapping[str, object] = field(repr=False)

    @property
    def confirmation(self) -> Mapping[str, str]:
        """The member of `cnf` by which tokens name it (RFC 8705 section 3.1)."""
        digest = hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).digest()
        return {"x5t#S256": urlsafe_b64encode(digest).decode()}


@frozen(init=False, eq=False, repr=False)
class TlsClientAuth(Credential):
    """`tls_client_auth`: a certificate that an authority has issued; the provider knows the subject.

    Tokens that say to which certificate they are bound must be bound to this one. A session that you lend to
    `AiohttpTransport` has a TLS of its own: there, pass `auth.tls` to its connector.

    Args:
        client_id: As registered.
        certificate: PEM: the client's own certificate, then those between it and the authority.
        key: Its private key, as for `PrivateKeyJwt`. None: it stands beside the certificate.

    Raises:
        UsageError: One of them cannot be used, or they do not belong together. The error does not contain the key.

    Spec: RFC 8705 section 2.1.
    """

    method: ClassVar[str] = "tls_client_auth"
    _pair: ClientCertificate

    def __init__(self, client_id: str, certificate: str | bytes, key: KeyInput | None = None) -> None:
        pair = _load(certificate, key)
        del certificate, key  # crash reports show the variables of a frame
        if isinstance(pair, UsageError):
            raise pair
        super().__init__(client_id=client_id, material=pair.material)
        object.__setattr__(self, "_pair", pair)  # frozen, and its own __init__ sets it

    @classmethod
    def from_file(
        cls, client_id: str, path: str | os.PathLike[str], key_path: str | os.PathLike[str] | None = None
    ) -> Self:
        """Load the certificate from a file of PEM, and the key from another file or the same.

        Raises:
            UsageError: A file cannot be read, or what it holds cannot be used.
        """
        key = None if key_path is None else read_file(key_path)
        return cls(client_id, read_file(path, "certificate"), key)

    @property
    def tls(self) -> ssl.SSLContext:
        """How the client connects to the endpoints to which it presents the certificate."""
        return self._pair.tls

    @property
    def confirmation(self) -> Mapping[str, str]:
        """The member of `cnf` by which tokens name the certificate (RFC 8705 section 3.1)."""
        return self._pair.confirmation

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 writes it; registered as `tls_client_auth_subject_dn`."""
        return self._pair.certificate.subject.rfc4514_string()

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:  # noqa: ARG002
        """Say who the client is; its connection proves it. See `ClientAuth.credentials`."""
        return Credentials({"client_id": self.client_id})


class SelfSignedTlsClientAuth(TlsClientAuth):
    """`self_signed_tls_client_auth`: a certificate that the client has made itself, and that is registered as it is.

    Args:
        client_id: As for `TlsClientAuth`.
        certificate: As for `TlsClientAuth`.
        key: As for `TlsClientAuth`.

    Raises:
        UsageError: As for `TlsClientAuth`.

    Spec: RFC 8705 section 2.2.
    """

    __slots__ = ()
    method: ClassVar[str] = "self_signed_tls_client_auth"

    def public_jwks(self) -> dict[str, list[dict[str, object]]]:
        """Return the certificate as the key set to register at the provider."""
        der = self._pair.certificate.public_bytes(Encoding.DER)
        return {"keys": [{**self._pair.public, "use": "sig", "x5c": [base64.b64encode(der).decode()]}]}


class CertificateBound(Around):
    """Presents a certificate beside another client authentication: tokens are bound to it, as FAPI profiles want.

    `CertificateBound(PrivateKeyJwt(...), certificate, key)`. Other keys are derived from the inner credential, so that
    the certificate may be renewed at any time.

    Args:
        auth: How the client proves itself.
        certificate: As for `TlsClientAuth`.
        key: As for `TlsClientAuth`.

    Raises:
        UsageError: As for `TlsClientAuth`.

    Attributes:
        auth: As passed.

    Spec: RFC 8705 section 3.
    """

    __slots__ = ("_pair",)

    def __init__(self, auth: ClientAuth, certificate: str | bytes, key: KeyInput | None = None) -> None:
        pair = _load(certificate, key)
        del certificate, key  # crash reports show the variables of a frame
        if isinstance(pair, UsageError):
            raise pair
        super().__init__(auth)
        self._pair = pair

    @property
    def tls(self) -> ssl.SSLContext:
        """How the client connects to the endpoints that want it."""
        return self._pair.tls

    @property
    def confirmation(self) -> Mapping[str, str]:
        """The certificate, and what else the tokens are bound to."""
        return {**super().confirmation, **self._pair.confirmation}


def _load(certificate: str | bytes, key: KeyInput | None) -> ClientCertificate | UsageError:
    """The pair, or the error for the caller to raise once its own variables no longer hold the key."""
    pem = certificate.decode(errors="replace") if isinstance(certificate, bytes) else certificate
    loaded = read_signing_key(_key_in(pem) if key is None else key)
    if isinstance(loaded, UsageError):
        return loaded
    chain = _read_chain(pem)
    if not chain:
        return ArgumentError(
            "There is no certificate that can be read",
            code="certificate_unreadable",
            advice="Pass PEM with -----BEGIN CERTIFICATE-----",
        )
    if _encoded(chain[0]) != _encoded(loaded.key.raw_value):
        return ArgumentError(
            "The certificate is not that of the private key",
            code="certificate_key",
            advice="Pass a pair, and the client's own certificate before those of its authority",
        )
    public: Mapping[str, object] = {**loaded.key.as_dict(private=False)}
    return ClientCertificate(chain[0], _context(chain, loaded.key), loaded.material, public)


def _key_in(pem: str) -> Redacted:
    found = _PRIVATE.search(pem)
    return Redacted(found[0]) if found else Redacted()


def _read_chain(pem: str) -> Sequence[Certificate]:
    try:
        return load_pem_x509_certificates(pem.encode())
    except ValueError:
        return ()


def _encoded(holder: object) -> bytes:
    """The public key of a certificate or a private key."""
    public = holder.public_key()  # type: ignore[attr-defined]  # both have it
    encoded: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _context(chain: Sequence[Certificate], key: JoseKey) -> ssl.SSLContext:
    """As the client connects otherwise, with a certificate of its own."""
    context = ssl.create_default_context()
    # HTTP/2 is not spoken here.
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL takes files only, through Python: the key lies in one for a moment, under a password that nobody knows.
    password = secrets.token_urlsafe(32)
    private = key.as_pem(private=True, password=password)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_bytes(private + b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        context.load_cert_chain(file, password=password)
    return context
