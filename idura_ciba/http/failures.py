"""Why a request failed, in words of our own: at which stage, with which host, and the system's or TLS's own reason.

aiohttp's errors contain headers, and those of a session's hooks may contain anything. So nothing of an error's text is
used, except what OpenSSL says of a certificate. The rest is looked up by number.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp

from idura_ciba.errors import TransportError

__all__ = ["describe", "describe_timeout"]

#: What `getaddrinfo` says, by number: RFC 3493 section 6.1.
_LOOK_UP = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}
#: OpenSSL's reasons, such as CERTIFICATE_VERIFY_FAILED, and what it says of a certificate, such as "certificate has
#: expired" or "Hostname mismatch, certificate is not valid for 'acme.idura.broker'.".
_TLS_REASON = re.compile(r"[A-Z0-9_]{1,60}")
_TLS_WORDS = re.compile(r"[A-Za-z0-9 ,.:'_()/-]{1,200}")
#: X509_V_ERR_ of OpenSSL, where nobody known to this machine has signed: self-signed alone or in the chain, no issuer,
#: no chain. A private CA, or a proxy that opens TLS, looks like this.
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
#: What some errors mean, by type; of others the type's name is told.
_KINDS = {
    "ClientPayloadError": "the answer breaks off",
    "ClientResponseError": "not HTTP",
    "HttpProcessingError": "not HTTP",
    "ServerDisconnectedError": "the server closed it",
    "ValueError": "the URL or a header is not valid",
}


def describe(error: Exception, url: str, *, sent: bool) -> TransportError:
    """Say what has failed.

    Args:
        error: From aiohttp, the network, or a hook of the session.
        url: Where the request went, or was to go.
        sent: Whether it may have left.
    """
    host = _host(url)
    cause = _cause(error)
    if isinstance(cause, ssl.SSLError) or isinstance(error, aiohttp.ClientSSLError):
        return TransportError(f"the TLS of {host} was not accepted{_in_brackets(_of_tls(cause))}", code="tls")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        what = f"the proxy refused the connection to {host} (HTTP {error.status})"
    elif isinstance(error, aiohttp.ClientProxyConnectionError):
        what = f"no connection to the proxy{_in_brackets(_of_system(cause))}"
    elif isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(cause, socket.gaierror):
        what = f"the look-up of {host} failed{_in_brackets(_of_system(cause))}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        what = f"no connection to {host}{_in_brackets(_of_system(cause))}"
    else:
        why = _of_system(cause) or _KINDS.get(type(error).__name__, type(error).__name__)
        what = f"the connection to {host} failed{' before the answer was complete' if sent else ''} ({why})"
    return TransportError(what, code="connection")


def describe_timeout(url: str, *, sent: bool) -> str:
    """Say what took too long."""
    return "no complete answer arrived in time" if sent else f"there was no connection to {_host(url)} in time"


def _host(url: str) -> str:
    """The host, which is configuration; the rest of a URL may be more."""
    with suppress(ValueError):
        return urlsplit(url).hostname or "the server"
    return "the server"


def _cause(error: Exception) -> BaseException:
    """The error of the system that aiohttp's own was made of; it has several names for that."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error


def _of_tls(cause: BaseException) -> str:
    reason, words = getattr(cause, "reason", None), getattr(cause, "verify_message", None)
    known = [
        text
        for text, pattern in ((reason, _TLS_REASON), (words, _TLS_WORDS))
        if isinstance(text, str) and pattern.fullmatch(text)
    ]
    if getattr(cause, "verify_code", None) in _UNKNOWN_ISSUER:
        known.append("if a CA of your own has signed it, name its file in ca_file, --ca-file or SSL_CERT_FILE")
    return ": ".join(known)


def _of_system(cause: BaseException) -> str:
    number = cause.errno if isinstance(cause, OSError) else None
    if isinstance(cause, socket.gaierror):
        return _LOOK_UP.get(number, "") if number is not None else ""
    if number is None or number not in errno.errorcode:
        return ""
    return f"{errno.errorcode[number]}, {os.strerror(number)}"


def _in_brackets(reason: str) -> str:
    return f" ({reason})" if reason else ""
