"""Certificates for tests: an authority, and whom it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.fakes import private_key


@frozen
class Pair:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return x509.load_pem_x509_certificate(self.certificate.encode()).public_bytes(Encoding.DER)

    @property
    def private(self) -> ec.EllipticCurvePrivateKey:
        """The key as an object."""
        key = load_pem_private_key(self.key.encode(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def write(self, path: Path) -> Path:
        """Both into one file."""
        path.write_text(self.key + self.certificate)
        return path


def issue(name: str, *, nth: int = 0, by: Pair | None = None) -> Pair:
    """Certify the `nth` key of P-256 for a name or an address; an authority by itself unless `by` another one."""
    key = private_key("P-256", 100 + nth)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = key
    if by is not None:
        issuer = x509.load_pem_x509_certificate(by.certificate.encode()).subject
        signer = by.private
    today = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        # Python 3.13 and later ask for it.
        .add_extension(_usage(is_authority=by is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if name == "127.0.0.1":
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(signer, SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(signed.public_bytes(Encoding.PEM).decode(), pem.decode())


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    """Whoever is certified signs, and an authority signs certificates too."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def server_context(pair: Pair, folder: Path, *, clients: Pair | None = None) -> ssl.SSLContext:
    """The server's side of TLS; with `clients`, it wants a certificate that this authority has issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.write(folder / "server.pem"))
    if clients is not None:
        context.load_verify_locations(cadata=clients.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
