"""Tests of certificates as credentials: what is loaded, what is refused, and what tokens would name."""

from __future__ import annotations

import base64
import hashlib
import ssl
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from idura_ciba import ArgumentError, CertificateBound, DPoP, PrivateKeyJwt, SelfSignedTlsClientAuth, TlsClientAuth
from tests.certificates import issue
from tests.fakes import b64, public_jwk

CLIENT = "urn:my:app"
AUTHORITY = issue("authority")
PAIR, OTHER = issue("client", nth=1, by=AUTHORITY), issue("other", nth=2, by=AUTHORITY)


def test_the_form_says_who_it_is_and_nothing_secret() -> None:
    """RFC 8705 section 2: the rest is the connection's business."""
    auth = TlsClientAuth(CLIENT, PAIR.certificate, PAIR.key)
    made = auth.credentials(issuer="https://a.example", endpoint="https://a.example/t", now=1.0, jti="x")
    assert (dict(made.parameters), dict(made.headers)) == ({"client_id": CLIENT}, {})
    assert auth.signing_threads == 0
    assert repr(auth) == "TlsClientAuth(client_id='urn:my:app')"
    assert auth.subject == "CN=client"


def test_tokens_name_the_certificate_by_its_hash() -> None:
    """RFC 8705 section 3.1."""
    auth = TlsClientAuth(CLIENT, PAIR.certificate + AUTHORITY.certificate, PAIR.key)
    assert auth.confirmation == {"x5t#S256": b64(hashlib.sha256(PAIR.der).digest())}


def test_the_connection_checks_the_server_as_always() -> None:
    """A certificate of one's own is no reason to trust anybody."""
    tls = TlsClientAuth(CLIENT, PAIR.certificate, PAIR.key).tls
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    assert tls.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("together", [True, False])
def test_certificate_and_key_come_from_one_file_or_two(tmp_path: Path, together: bool) -> None:
    """In either order, as `openssl` and others write them."""
    both = PAIR.write(tmp_path / "both.pem")
    (tmp_path / "certificate.pem").write_text(PAIR.certificate)
    (tmp_path / "key.pem").write_text(PAIR.key)
    auth = (
        TlsClientAuth.from_file(CLIENT, both)
        if together
        else TlsClientAuth.from_file(CLIENT, tmp_path / "certificate.pem", tmp_path / "key.pem")
    )
    assert auth.confirmation == TlsClientAuth(CLIENT, (PAIR.certificate + PAIR.key).encode()).confirmation


def test_the_key_never_lies_in_a_file_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenSSL reads files only. What lies there for a moment has a password, and is gone afterwards."""
    seen: list[str] = []
    real = ssl.SSLContext.load_cert_chain

    def look(self: ssl.SSLContext, file: Path, *, password: str) -> None:
        seen.append(file.read_text())
        assert file.is_relative_to(tmp_path)
        real(self, file, password=password)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    TlsClientAuth(CLIENT, PAIR.certificate, PAIR.key)
    [text] = seen
    assert "BEGIN ENCRYPTED PRIVATE KEY" in text
    assert PAIR.key.splitlines()[1] not in text
    assert list(tmp_path.iterdir()) == []


def test_other_keys_are_derived_from_the_private_key() -> None:
    """So resume tokens hold for as long as the key does, a renewed certificate included; and for nobody else."""
    auth, renewed = TlsClientAuth(CLIENT, PAIR.certificate, PAIR.key), issue("client", nth=1, by=AUTHORITY)
    assert renewed.certificate != PAIR.certificate
    assert TlsClientAuth(CLIENT, renewed.certificate, renewed.key).derive_key(b"x") == auth.derive_key(b"x")
    assert PrivateKeyJwt(CLIENT, PAIR.key).derive_key(b"x") == auth.derive_key(b"x")
    assert TlsClientAuth(CLIENT, OTHER.certificate, OTHER.key).derive_key(b"x") != auth.derive_key(b"x")


def test_a_certificate_of_ones_own_is_registered_as_a_key_set() -> None:
    """RFC 8705 section 2.2.2."""
    pair = issue("me", nth=3)
    [key] = SelfSignedTlsClientAuth(CLIENT, pair.certificate, pair.key).public_jwks()["keys"]
    x5c = key.pop("x5c")
    assert key == public_jwk(pair.private, use="sig")
    assert isinstance(x5c, list)
    assert [base64.b64decode(each) for each in x5c] == [pair.der]


def test_a_certificate_beside_another_credential_leaves_that_as_it_is() -> None:
    """It may be renewed at any time: keys are derived from the credential alone."""
    inner = PrivateKeyJwt(CLIENT, OTHER.key)
    auth = CertificateBound(inner, PAIR.certificate, PAIR.key)
    assert (auth.client_id, auth.signing_threads) == (CLIENT, inner.signing_threads)
    assert auth.derive_key(b"x") == inner.derive_key(b"x")
    assert auth.confirmation == TlsClientAuth(CLIENT, PAIR.certificate, PAIR.key).confirmation
    assert repr(auth) == f"CertificateBound({inner!r})"
    request = {"issuer": "https://a.example", "endpoint": "https://a.example/t", "now": 1.0, "jti": "x"}
    assert "client_assertion" in auth.credentials(**request).parameters  # type: ignore[arg-type]  # as declared
    assert (auth.alg, auth.method) == ("ES256", getattr(inner, "method", None))
    assert set(CertificateBound(DPoP(inner), PAIR.certificate, PAIR.key).confirmation) == {"jkt", "x5t#S256"}
    with pytest.raises(ArgumentError):
        CertificateBound(inner, OTHER.certificate, PAIR.key)


LOCKED = PAIR.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()


@pytest.mark.parametrize(
    ("certificate", "key", "code"),
    [
        ("", PAIR.key, "certificate_unreadable"),
        (PAIR.key, PAIR.key, "certificate_unreadable"),
        (PAIR.certificate.replace("M", "!", 1), PAIR.key, "certificate_unreadable"),
        ("å", PAIR.key, "certificate_unreadable"),
        (PAIR.certificate, OTHER.key, "certificate_key"),
        (AUTHORITY.certificate + PAIR.certificate, PAIR.key, "certificate_key"),
        (PAIR.certificate, None, "key_unreadable"),
        (PAIR.certificate, PAIR.certificate, "key_public"),
        (PAIR.certificate, LOCKED, "key_encrypted"),
        (PAIR.certificate + LOCKED, None, "key_encrypted"),
    ],
)
def test_what_cannot_work_is_refused_without_showing_it(certificate: str, key: str | None, code: str) -> None:
    """When it is loaded, and not when somebody waits on the line."""
    with pytest.raises(ArgumentError) as caught:
        TlsClientAuth(CLIENT, certificate, key)
    assert caught.value.code == code
    shown = f"{caught.value}{caught.value.args}{vars(caught.value)}"
    assert PAIR.key.splitlines()[1] not in shown


def test_a_file_that_is_not_there_is_told_by_its_kind(tmp_path: Path) -> None:
    """The certificate's or the key's."""
    path = PAIR.write(tmp_path / "both.pem")
    for certificate, key, code in ((tmp_path / "no", None, "certificate_file"), (path, tmp_path / "no", "key_file")):
        with pytest.raises(ArgumentError) as caught:
            TlsClientAuth.from_file(CLIENT, certificate, key)
        assert caught.value.code == code
