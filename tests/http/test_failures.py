"""Tests of the words for a request that failed."""

from __future__ import annotations

import errno
import socket
import ssl
from unittest.mock import MagicMock

import aiohttp
import pytest
from aiohttp.http_exceptions import BadStatusLine

from idura_ciba.http.failures import describe, describe_timeout

URL = "https://acme.idura.broker/oauth2/token?secret=209602294564"
SECRET = "Basic c2VjcmV0, 209602294564"
#: What a connector's errors say of the connection: only for their own texts.
KEY = MagicMock(host=SECRET, port=443, ssl=SECRET)


def verification(words: str, reason: str = "CERTIFICATE_VERIFY_FAILED") -> ssl.SSLCertVerificationError:
    """As the ssl module raises it."""
    error = ssl.SSLCertVerificationError(1, f"[SSL: {reason}] {SECRET}")
    error.reason, error.verify_message = reason, words
    return error


def unknown_issuer() -> ssl.SSLCertVerificationError:
    """As behind a proxy that opens TLS, or with a CA of the house."""
    error = verification("unable to get local issuer certificate")
    error.verify_code = 20
    return error


def tls(reason: str) -> ssl.SSLError:
    """A handshake that failed for another reason."""
    error = ssl.SSLError(1, SECRET)
    error.reason = reason
    return error


class Hook(Exception):  # noqa: N818 - somebody else's
    """What a middleware may raise."""


@pytest.mark.parametrize(
    ("error", "sent", "code", "what"),
    [
        (
            aiohttp.ClientConnectorCertificateError(KEY, verification("certificate has expired")),
            False,
            "tls",
            "the TLS of acme.idura.broker was not accepted (CERTIFICATE_VERIFY_FAILED: certificate has expired)",
        ),
        (
            aiohttp.ClientConnectorCertificateError(KEY, unknown_issuer()),
            False,
            "tls",
            "if a CA of your own has signed it, name its file in ca_file, --ca-file or SSL_CERT_FILE)",
        ),
        (
            aiohttp.ClientConnectorCertificateError(KEY, verification(f"<{SECRET}>\n")),
            False,
            "tls",
            "the TLS of acme.idura.broker was not accepted (CERTIFICATE_VERIFY_FAILED)",
        ),
        (
            aiohttp.ClientConnectorSSLError(KEY, tls("TLSV1_ALERT_PROTOCOL_VERSION")),
            False,
            "tls",
            "the TLS of acme.idura.broker was not accepted (TLSV1_ALERT_PROTOCOL_VERSION)",
        ),
        (tls("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), True, "tls", "(DECRYPTION_FAILED_OR_BAD_RECORD_MAC)"),
        (tls(SECRET), True, "tls", "the TLS of acme.idura.broker was not accepted"),
        (
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(socket.EAI_AGAIN, SECRET)),
            False,
            "connection",
            "the look-up of acme.idura.broker failed (EAI_AGAIN)",
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, OSError(None, SECRET)),
            False,
            "connection",
            "the look-up of acme.idura.broker failed",
        ),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, SECRET)),
            False,
            "connection",
            "no connection to acme.idura.broker (ECONNREFUSED, Connection refused)",
        ),
        (
            aiohttp.ClientProxyConnectionError(KEY, OSError(errno.EHOSTUNREACH, SECRET)),
            False,
            "connection",
            "no connection to the proxy (EHOSTUNREACH, No route to host)",
        ),
        (
            aiohttp.ClientHttpProxyError(MagicMock(), (), status=407, message=SECRET),
            False,
            "connection",
            "the proxy refused the connection to acme.idura.broker (HTTP 407)",
        ),
        (
            ConnectionResetError(errno.ECONNRESET, SECRET),
            True,
            "connection",
            "failed before the answer was complete (ECONNRESET, Connection reset by peer)",
        ),
        (aiohttp.ServerDisconnectedError(SECRET), True, "connection", "complete (the server closed it)"),
        (aiohttp.ClientPayloadError(SECRET), True, "connection", "complete (the answer breaks off)"),
        (BadStatusLine(SECRET), True, "connection", "complete (BadStatusLine)"),
        (ValueError(SECRET), False, "connection", "failed (the URL or a header is not valid)"),
        (OSError(987654, SECRET), False, "connection", "the connection to acme.idura.broker failed (OSError)"),
        (Hook(SECRET), False, "connection", "the connection to acme.idura.broker failed (Hook)"),
    ],
)  # fmt: skip
def test_why_is_said_in_words_of_our_own(error: Exception, code: str, what: str, *, sent: bool) -> None:
    """The stage, the host, and the system's or TLS's own reason; never the text of an error."""
    described = describe(error, URL, sent=sent)
    assert described.code == code
    assert described.what.endswith(what)
    assert "209602294564" not in str(described)
    assert described.__cause__ is described.__context__ is None


@pytest.mark.parametrize("url", ["https://[::1", "nothing", ""])
def test_a_url_without_a_host_is_told_as_well(url: str) -> None:
    """It is no reason to fail in another way."""
    assert "the connection to the server failed" in describe(ValueError(), url, sent=False).what
    assert "the server" in describe_timeout(url, sent=False)


def test_a_timeout_says_what_was_waited_for() -> None:
    """A connection, or the answer."""
    assert describe_timeout(URL, sent=False) == "there was no connection to acme.idura.broker in time"
    assert describe_timeout(URL, sent=True) == "no complete answer arrived in time"
