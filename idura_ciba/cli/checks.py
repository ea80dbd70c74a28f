"""The checks of `idura-ciba doctor`: each reports one finding in a sentence."""

from __future__ import annotations

import base64
import email.utils
import os
import stat
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from random import SystemRandom
from typing import Literal

from attrs import frozen

from idura_ciba import CibaError, ClientAuth, PrivateKeyJwt, UsageError
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.config import Settings
from idura_ciba.cli.text import clean, explained
from idura_ciba.http.backchannel import Backchannel
from idura_ciba.http.provider import IDURA_PATHS, Provider
from idura_ciba.protocol.answers import ErrorAnswer, TokenAnswer, UnusableAnswer
from idura_ciba.protocol.documents import parse_discovery
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport
from idura_ciba.trust.jwks import JwksCache

__all__ = ["Finding", "check_client", "check_provider"]

#: Seconds by which two clocks may differ before it is a problem. Some providers refuse a client assertion that is
#: issued even slightly in the future.
MAX_SKEW = 5.0


@frozen
class Finding:
    """The result of one check. A warning does not count as a problem."""

    level: Literal["ok", "warning", "problem"]
    text: str


def _ok(text: str) -> Finding:
    return Finding("ok", text)


def _problem(error: CibaError) -> Finding:
    return Finding("problem", explained(error))


# --- on this machine --------------------------------------------------------------------------------------------------


def check_client(settings: Settings) -> Iterator[Finding]:
    """Check the credential, without sending it anywhere."""
    try:
        auth = settings.client_auth()
    except UsageError as error:
        yield _problem(error)
    else:
        yield _ok(f"client: {clean(auth.client_id)} authenticates with {_describe(auth)}")
    if settings.key_file is not None and settings.key_file.exists() and os.name == "posix":
        yield _check_mode(settings.key_file)


def _describe(auth: ClientAuth) -> str:
    if not isinstance(auth, PrivateKeyJwt):
        return "a client secret; Idura recommends a private key"
    (public,) = auth.public_jwks()["keys"]
    return f"a private key: {_kind(public)}, {auth.alg}, kid {clean(auth.kid or '')}"


def _kind(jwk: Mapping[str, object]) -> str:
    if jwk["kty"] != "RSA":
        return str(jwk["crv"])
    modulus = str(jwk["n"])
    return f"{int.from_bytes(base64.urlsafe_b64decode(modulus + '==')).bit_length()}-bit RSA"


def _check_mode(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        text = f"key file: other users can access {path} (mode {mode:04o}); protect it with chmod 600"
        return Finding("warning", text)
    return _ok(f"key file: only its owner can access {path}")


# --- at the provider --------------------------------------------------------------------------------------------------


class _RecordingTransport:
    """A transport that records the last answer and when it came."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self.last: HttpResponse | None = None
        self.received_at = 0.0

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.last = await self._transport.send(request)
        self.received_at = self._clock.wall()
        return self.last

    async def aclose(self) -> None:
        await self._transport.aclose()


async def check_provider(
    settings: Settings, transport: Transport, clock: Clock, *, probe: bool
) -> AsyncIterator[Finding]:
    """Check the provider. Without `probe`, only its public documents are read.

    Args:
        settings: The provider, and the client for `probe`.
        transport: Sends the requests.
        clock: The clock to compare with the provider's.
        probe: Send the credentials once, with an `auth_req_id` that does not exist.
    """
    recorder = _RecordingTransport(transport, clock)
    try:
        provider = Provider(settings.require_issuer(), transport=recorder)
        yield _ok(f"issuer: {clean(provider.issuer)} is a valid issuer URL")
        endpoints = await provider.endpoints()
    except CibaError as error:
        # A provider that does not serve the first document will not serve the others.
        yield _problem(error)
        return
    assert recorder.last is not None  # noqa: S101 - the endpoints came with it
    metadata = parse_discovery(recorder.last, issuer=provider.issuer)
    yield _ok("discovery: the document is valid and names this issuer")
    yield _check_tls(provider.issuer)
    yield _check_clock(recorder.last.headers.get("date"), recorder.received_at)
    for name in IDURA_PATHS:
        source = "" if getattr(metadata, name) else "; Idura's usual URL, because the document names none"
        yield _ok(f"{name}: {clean(getattr(endpoints, name))}{source}")
    yield await _check_keys(provider, recorder, clock)
    if probe:
        yield await _probe(settings, provider, recorder, clock)


def _check_tls(issuer: str) -> Finding:
    if issuer.startswith("https:"):
        return _ok("TLS: the certificate is valid for this host, and this machine trusts its issuer")
    return _ok("TLS: none; plain HTTP is allowed only on this machine")


def _check_clock(date: str | None, wall: float) -> Finding:
    try:
        # The header has whole seconds, rounded down: half a second too early on average.
        ahead = wall - email.utils.parsedate_to_datetime(date or "").timestamp() - 0.5
    except (ValueError, TypeError, IndexError, OverflowError):
        return Finding("warning", "clock: not compared, because the provider's answer has no valid Date header")
    if abs(ahead) <= MAX_SKEW:
        return _ok("clock: within 5 s of the provider's clock")
    direction = "ahead of" if ahead > 0 else "behind"
    return Finding(
        "problem",
        f"clock: this machine is {abs(ahead):,.0f} s {direction} the provider, which will refuse its assertions; "
        "synchronize the clock, for example with NTP",
    )


async def _check_keys(provider: Provider, transport: Transport, clock: Clock) -> Finding:
    cache = JwksCache(provider, transport=transport, clock=clock)
    try:
        keys = await cache.find(None)
    except CibaError as error:
        return _problem(error)
    finally:
        await cache.aclose()
    if not keys:
        return Finding("problem", "keys: the provider publishes no key that can verify a signature")
    kinds = ", ".join(sorted({clean(key.alg or key.kty) for key in keys}))
    return _ok(f"keys: {len(keys)} usable, for {kinds}")


async def _probe(settings: Settings, provider: Provider, transport: Transport, clock: Clock) -> Finding:
    try:
        backchannel = Backchannel(provider, settings.client_auth(), transport, clock, SystemRandom())
        answered = await backchannel.poll(str(uuid.uuid4()))
    except CibaError as error:
        return _problem(error)
    return _judge(answered.answer)


def _judge(answer: TokenAnswer) -> Finding:
    """Tell from the answer to a poll for an unknown `auth_req_id` whether the credentials are accepted."""
    match answer:
        case ErrorAnswer(error="invalid_grant"):
            return _ok("probe: the provider accepts the credentials")
        case ErrorAnswer(error="invalid_client", error_description=description):
            return Finding("problem", "probe: the provider rejects the credentials" + _quote(description))
        case ErrorAnswer(error="unauthorized_client" | "unsupported_grant_type", error_description=description):
            return Finding("problem", "probe: CIBA is not enabled for this client" + _quote(description))
        case ErrorAnswer(error=error, error_description=description):
            text = f"probe: an unexpected answer that is not about the credentials: {clean(error)}"
            return Finding("warning", text + _quote(description))
        case UnusableAnswer(reason=reason):
            return Finding("problem", f"probe: no usable answer ({clean(reason)})")
        case _:
            return Finding("warning", "probe: the provider knows an auth_req_id that it never issued")


def _quote(description: str | None) -> str:
    return f'; the provider says: "{clean(description)}"' if description else ""
