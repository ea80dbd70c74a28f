"""What the tests of HTTP share: the two ways of carrying a request, a certificate, and watches over what is left."""

from __future__ import annotations

import datetime as dt
import gc
import ipaddress
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes import private_key
from tests.servers import SECRET_ANSWER, SECRET_BODY, SECRET_HEADER, WAYS, Connect, connecting


@pytest.fixture(name="connect", params=WAYS)
def _connect(request: pytest.FixtureRequest) -> Connect:
    """Both ways, one after the other."""
    return partial(connecting, request.param)


@pytest.fixture(name="certificate", scope="session")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has vouched for, with its key."""
    key = private_key("P-256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    )
    return path


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left() -> Iterator[None]:
    """What was not closed warns when it is collected, and a warning is a failure."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> object:
    """No test makes anybody log what must not be seen."""
    caplog.set_level(logging.DEBUG)
    yield
    for secret in (SECRET_HEADER, SECRET_BODY, SECRET_ANSWER):
        assert secret not in caplog.text
