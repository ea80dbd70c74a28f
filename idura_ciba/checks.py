"""Whether people could be asked now: what `idura-ciba doctor` and `CibaClient.check` look at, each in a sentence."""

from __future__ import annotations

import email.utils
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from random import SystemRandom
from typing import Literal

from attrs import frozen

from idura_ciba.aio.clock import Clock
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.errors import CibaError, help_url
from idura_ciba.http.backchannel import Backchannel
from idura_ciba.http.capabilities import Needs, mentions, mismatches
from idura_ciba.http.provider import IDURA_PATHS, Endpoints, Provider, is_idura
from idura_ciba.protocol.answers import ErrorAnswer, TokenAnswer, UnusableAnswer
from idura_ciba.protocol.documents import ProviderMetadata, parse_discovery
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport
from idura_ciba.redaction import clean
from idura_ciba.trust.jwks import JwksCache

__all__ = ["Finding", "check_provider", "explained", "problem"]

#: Seconds by which two clocks may differ before it is a problem. Some providers refuse a client assertion that is
#: issued even slightly in the future.
MAX_SKEW = 5.0


@frozen
class Finding:
    """The result of one check.

    Attributes:
        level: `ok`; `warning`, with which people can be asked; or `problem`, with which they cannot.
        text: A sentence.
    """

    level: Literal["ok", "warning", "problem"]
    text: str


def _ok(text: str) -> Finding:
    return Finding("ok", text)


def explained(error: CibaError) -> str:
    """An error's sentences, the provider's own words if it gave any, and where the documentation explains the code."""
    description = getattr(error, "error_description", None)
    words = f' The provider says: "{clean(description)}"' if description else ""
    return f"{error}{words} See {error.help_url}"


def problem(error: CibaError) -> Finding:
    """An error as a finding."""
    return Finding("problem", explained(error))


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
    issuer: str,
    transport: Transport,
    clock: Clock,
    *,
    endpoints: Endpoints | None = None,
    needs: Needs | None = None,
    acr_values: Iterable[str] = (),
    probe: Callable[[], ClientAuth] | None = None,
) -> AsyncIterator[Finding]:
    """Check the provider; nobody is asked. Without `probe`, only its public documents are read.

    Args:
        issuer: As for `CibaClient`.
        transport: Sends the requests.
        clock: The clock to compare with the provider's.
        endpoints: As for `CibaClient`.
        needs: What the client needs of the provider; None: its settings are not compared.
        acr_values: What people are to be asked with; compared with the provider's list.
        probe: Gives the credentials, which are sent once, with an `auth_req_id` that does not exist.
    """
    recorder = _RecordingTransport(transport, clock)
    try:
        provider = Provider(issuer, transport=recorder, endpoints=endpoints)
        yield _ok(f"issuer: {clean(provider.issuer)} is a valid issuer URL")
        found = await provider.endpoints()
    except CibaError as error:
        # A provider that does not serve the first document will not serve the others.
        yield problem(error)
        return
    metadata: ProviderMetadata | None = None
    if recorder.last is None:
        yield _ok("discovery: not needed, because all endpoints were given")
    else:
        metadata = parse_discovery(recorder.last, issuer=provider.issuer)
        yield _ok("discovery: the document is valid and names this issuer")
        yield _check_tls(provider.issuer)
        yield _check_clock(recorder.last.headers.get("date"), recorder.received_at)
    for name in IDURA_PATHS:
        source = "; Idura's usual URL, because the document names none"
        if getattr(endpoints, name, None):
            source = "; as given"
        elif getattr(metadata, name, None):
            source = ""
        yield _ok(f"{name}: {clean(getattr(found, name))}{source}")
    if metadata is not None and needs is not None:
        for finding in _compare(metadata, needs, acr_values):
            yield finding
    yield await _check_keys(provider, recorder, clock)
    if probe is not None:
        yield await _probe(probe, provider, recorder, clock)


def _compare(metadata: ProviderMetadata, needs: Needs, acr_values: Iterable[str]) -> Iterator[Finding]:
    found = [*mismatches(metadata, needs, is_idura=is_idura(metadata.issuer), acr_values=acr_values)]
    for each in found:
        yield Finding(
            "problem" if each.is_certain else "warning",
            f"settings: {each.text}; {each.advice} [{each.code}] See {help_url(each.code)}",
        )
    if not found:
        yield _ok("settings: the discovery document contradicts none of this client's")
    listed, unmentioned = mentions(metadata, needs)
    if listed:
        yield _ok(f"supported: the document lists {'; '.join(listed)}")
    if unmentioned:
        yield _ok(f"not mentioned: the document says nothing of {'; '.join(unmentioned)}")


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
        return problem(error)
    finally:
        await cache.aclose()
    if not keys:
        return Finding("problem", "keys: the provider publishes no key that can verify a signature")
    kinds = ", ".join(sorted({clean(key.alg or key.kty) for key in keys}))
    return _ok(f"keys: {len(keys)} usable, for {kinds}")


async def _probe(
    credentials: Callable[[], ClientAuth], provider: Provider, transport: Transport, clock: Clock
) -> Finding:
    try:
        backchannel = Backchannel(provider, credentials(), transport, clock, SystemRandom())
        answered = await backchannel.poll(str(uuid.uuid4()))
    except CibaError as error:
        return problem(error)
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
