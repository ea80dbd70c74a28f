"""What can be wrong with a configuration, looked at piece by piece and told in words."""

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

#: Seconds by which two clocks may disagree before it is told as a problem. Providers forgive little: a client
#: assertion "from the future" is refused by some at once.
MAX_SKEW = 5.0


@frozen
class Finding:
    """One thing that was looked at. A warning is no problem yet."""

    level: Literal["ok", "warning", "problem"]
    text: str


def _ok(text: str) -> Finding:
    return Finding("ok", text)


def _problem(error: CibaError) -> Finding:
    return Finding("problem", explained(error))


# --- on this machine --------------------------------------------------------------------------------------------------


def check_client(settings: Settings) -> Iterator[Finding]:
    """Look at the credential, without sending it anywhere."""
    try:
        auth = settings.client_auth()
    except UsageError as error:
        yield _problem(error)
    else:
        yield _ok(f"client: {clean(auth.client_id)} proves itself with {_describe(auth)}")
    if settings.key_file is not None and settings.key_file.exists() and os.name == "posix":
        yield _check_mode(settings.key_file)


def _describe(auth: ClientAuth) -> str:
    if not isinstance(auth, PrivateKeyJwt):
        return "a client secret; Idura recommends a private key"
    (public,) = auth.public_jwks()["keys"]
    return f"a private key: {_kind(public)}, signs with {auth.alg}, kid {clean(auth.kid or '')}"


def _kind(jwk: Mapping[str, object]) -> str:
    if jwk["kty"] != "RSA":
        return str(jwk["crv"])
    modulus = str(jwk["n"])
    return f"RSA of {int.from_bytes(base64.urlsafe_b64decode(modulus + '==')).bit_length()} bits"


def _check_mode(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        text = f"key file: {path} is open to others on this machine (mode {mode:04o}); make it private: chmod 600"
        return Finding("warning", text)
    return _ok(f"key file: {path} is private")


# --- at the provider --------------------------------------------------------------------------------------------------


class _Listening:
    """A transport that remembers the last answer and when it came."""

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
    """Look at the provider. Without `probe` only its public documents are read.

    Args:
        settings: Which provider, and for `probe` as which client.
        transport: Carries the requests.
        clock: The clock to compare.
        probe: Send the credentials once, with an `auth_req_id` that does not exist.
    """
    wire = _Listening(transport, clock)
    try:
        provider = Provider(settings.require_issuer(), transport=wire)
        yield _ok(f"issuer: {clean(provider.issuer)} is an acceptable address")
        endpoints = await provider.endpoints()
    except CibaError as error:
        # Whoever is not reached for the first document is not reached for the others.
        yield _problem(error)
        return
    assert wire.last is not None  # noqa: S101 - it brought the endpoints
    metadata = parse_discovery(wire.last, issuer=provider.issuer)
    yield _ok("discovery: the document can be read and names this issuer")
    yield _check_tls(provider.issuer)
    yield _check_clock(wire.last.headers.get("date"), wire.received_at)
    for name in IDURA_PATHS:
        source = "" if getattr(metadata, name) else "; the document does not say, so this is where Idura has it"
        yield _ok(f"{name}: {clean(getattr(endpoints, name))}{source}")
    yield await _check_keys(provider, wire, clock)
    if probe:
        yield await _probe(settings, provider, wire, clock)


def _check_tls(issuer: str) -> Finding:
    if issuer.startswith("https:"):
        return _ok("TLS: the certificate is valid for this host and of an authority that this machine trusts")
    return _ok("TLS: none, which is accepted for this machine only")


def _check_clock(date: str | None, wall: float) -> Finding:
    try:
        # The header counts whole seconds and cuts off the rest: half a second on average.
        ahead = wall - email.utils.parsedate_to_datetime(date or "").timestamp() - 0.5
    except (ValueError, TypeError, IndexError, OverflowError):
        return Finding("warning", "clock: the provider does not say what time it is")
    if abs(ahead) <= MAX_SKEW:
        return _ok("clock: agrees with the provider's to within 5 seconds")
    direction = "ahead of" if ahead > 0 else "behind"
    return Finding(
        "problem",
        f"clock: this machine is {abs(ahead):.0f} s {direction} the provider, which will refuse what is signed here; "
        "set the clock, best by NTP",
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
        return Finding("problem", "keys: the provider publishes none that can verify a signature")
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
    """What the answer to a poll for an unknown id says of whoever asks."""
    match answer:
        case ErrorAnswer(error="invalid_grant"):
            return _ok("probe: the provider accepts the credentials")
        case ErrorAnswer(error="invalid_client", error_description=said):
            return Finding("problem", "probe: the provider does not accept the credentials" + _quote(said))
        case ErrorAnswer(error="unauthorized_client" | "unsupported_grant_type", error_description=said):
            return Finding("problem", "probe: CIBA is not enabled for this client" + _quote(said))
        case ErrorAnswer(error=error, error_description=said):
            text = f"probe: an unexpected answer, which does not complain of the credentials: {clean(error)}"
            return Finding("warning", text + _quote(said))
        case UnusableAnswer(reason=reason):
            return Finding("problem", f"probe: no usable answer ({clean(reason)})")
        case _:
            return Finding("warning", "probe: the provider knows a request that was never made")


def _quote(description: str | None) -> str:
    return f'; it says: "{clean(description)}"' if description else ""
