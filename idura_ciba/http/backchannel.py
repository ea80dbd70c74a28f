"""The two requests of CIBA: each signed anew and sent exactly once; and those of a login that has been proved.

Every result is a value, be it an answer, an error or a broken connection: `protocol.machine` decides what it means.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from random import Random
from typing import Generic, Protocol, TypeVar

from attrs import evolve, field, frozen

from idura_ciba import explain
from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.aio.clock import Clock
from idura_ciba.aio.patience import PatientTimeout
from idura_ciba.aio.pulse import BEAT, Pulse
from idura_ciba.credentials.client_auth import ClientAuth, Credentials
from idura_ciba.credentials.signing_pool import SigningPool
from idura_ciba.errors import CibaError, TransportError, TransportTimeout
from idura_ciba.http.delivery import deliver, fetch, until_connected
from idura_ciba.http.provider import Provider
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.protocol.answers import (
    LONGEST_PROMPT,
    AuthenticationAnswer,
    TokenAnswer,
    UnusableAnswer,
    parse_authentication_response,
    parse_token_response,
    unanswered,
)
from idura_ciba.protocol.http import DEFAULT_MAX_BODY, HttpRequest, HttpResponse, Transport
from idura_ciba.protocol.requests import build_refresh_request, build_token_request, encode_form

__all__ = ["Answered", "Backchannel", "Load"]

#: Seconds. CIBA Core section 10.1: a client must be ready to wait at least 30 s for a long poll.
ANSWER_TIMEOUT = 35.0
#: Seconds that a poll may take before its answer's time begins: signing, look-up, handshake.
LONGEST_CONNECT = 10.0
#: Bytes, with room for a Freja photo; see `CibaClient(max_token_size=...)`.
MAX_TOKEN_ANSWER = 1024 * 1024

_HEADERS = {
    # Some providers answer errors in HTML unless told otherwise.
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/x-www-form-urlencoded",
    # Idura "Telemetry".
    "Prefer": "return-trace-id",
}

#: RFC 6585 section 4, RFC 9110 section 15.6.4: the provider gets more requests than it will serve.
_TOO_MANY = frozenset({429, 503})

#: RFC 9110 section 15: redirects, Not Found and Gone. An endpoint that works has none of them for a POST.
_MOVED = frozenset({*range(300, 400), 404, 410})

_UNLIMITED = nullcontext()

A = TypeVar("A", AuthenticationAnswer, TokenAnswer)


class Load(Protocol):
    """Told which requests the provider answers and which it refuses."""

    def answered(self, *, sent_at: float) -> None:
        """Called when a request that left at this monotonic instant was answered."""
        ...

    def refused(self, *, sent_at: float, retry_after: float | None = None) -> None:
        """Called when a request was refused because of too many requests."""
        ...


@frozen
class Answered(Generic[A]):
    """A finished exchange. Instants are monotonic seconds.

    Attributes:
        answer: The parsed answer.
        sent_at: When the request got its connection, or was given up without one.
        received_at: When the answer had arrived, or was given up.
        trace_id: The provider's trace id.
        server_date: The answer's `Date` header, for diagnosing clocks that disagree.
    """

    answer: A
    sent_at: float
    received_at: float
    trace_id: str | None = None
    server_date: str | None = None


@frozen
class Backchannel:
    """Sends one client's requests to the provider's endpoints."""

    provider: Provider
    client_auth: ClientAuth
    transport: Transport
    clock: Clock
    rng: Random = field(repr=False)
    answer_timeout: float = ANSWER_TIMEOUT
    max_token_answer: int = MAX_TOKEN_ANSWER
    load: Load | None = field(default=None, repr=False)
    _signing: SigningPool[Credentials] | None = field(init=False, repr=False, eq=False)
    _pulse: Pulse = field(init=False, repr=False, eq=False, factory=Pulse)

    # Whether the transport is our own, which heeds `give_up_at`, and nothing else is waited for. A timer saved.
    _keeps_time: bool = field(init=False, repr=False, eq=False)

    @_signing.default
    def _open_signing(self) -> SigningPool[Credentials] | None:
        threads = self.client_auth.signing_threads
        return SigningPool(threads) if threads else None

    @_keeps_time.default
    def _find_out(self) -> bool:
        return self._signing is None and type(self.transport) is AiohttpTransport

    async def authenticate(
        self, parameters: Mapping[str, str], *, limit: float | None = None, lifetime: float = LONGEST_PROMPT
    ) -> Answered[AuthenticationAnswer]:
        """Send the authentication request. Retried only as long as there was no connection at all.

        Args:
            parameters: The form, without client authentication.
            limit: Monotonic instant from which no phone may ring, because nobody waits any more. Checked for the last
                time just before the request leaves.
            lifetime: Seconds that the prompt lives if the answer does not say so.

        Raises:
            Abandoned: The limit passed before anything was sent.
            TransportError: Discovery failed.
            RemoteProtocolError: The discovery document is unusable.
            LocalProtocolError: The credentials could not be made; nothing was sent.
        """
        await self.provider.endpoints()  # a failed discovery is an error and not an answer
        give_up_at = None if limit is None else limit + self.answer_timeout

        async def attempt() -> HttpResponse:
            if limit is not None and self.clock.monotonic() >= limit:
                raise explain.limit_passed(begun=False)
            # Asked for each time: the endpoint may have moved since the last try.
            endpoint = (await self.provider.endpoints()).backchannel_authentication_endpoint
            return await self._post(
                endpoint, parameters, DEFAULT_MAX_BODY, "before", give_up_at=give_up_at, not_after=limit
            )

        try:
            response = await until_connected(attempt)
        except TransportError as error:
            if limit is not None and not error.maybe_sent and self.clock.monotonic() >= limit:
                raise explain.limit_passed(begun=False) from None
            return self._unanswered(error)
        answer = parse_authentication_response(response, wall=self.clock.wall(), lifetime=lifetime)
        return self._answered(answer, response)

    async def poll(self, auth_req_id: str, *, end: float = math.inf) -> Answered[TokenAnswer]:
        """Poll once; never retried.

        Args:
            auth_req_id: The transaction's id at the provider.
            end: Monotonic instant at which the transaction ends. Whatever the poll waits for, an HSM included, it
                counts as lost one answer's time after it: it must cost neither the other polls nor a timely end.

        Raises:
            TransportError: Discovery failed.
            RemoteProtocolError: The discovery document is unusable.
            LocalProtocolError: The credentials could not be made; nothing was sent.
        """
        endpoint = (await self.provider.endpoints()).token_endpoint
        give_up_at = min(self.clock.monotonic() + LONGEST_CONNECT, end) + self.answer_timeout
        with self._pulse:
            try:
                response = await self._post(
                    endpoint,
                    build_token_request(auth_req_id),
                    self.max_token_answer,
                    "meanwhile",
                    give_up_at=give_up_at,
                )
            except TransportError as error:
                return self._unanswered(error)
            if response.received_at - response.sent_at > BEAT:
                # As old as it may be: the person can have answered while the event loop was blocked.
                arrived_at = self._pulse.arrived(response.sent_at, response.received_at)
                response = evolve(response, received_at=arrived_at)
        answer = parse_token_response(response, wall=self.clock.wall())
        return self._answered(answer, response)

    async def refresh(self, refresh_token: str) -> HttpResponse:
        """Ask for new tokens, once: an answer that is lost may have been the only one.

        Raises:
            TransportError: Discovery failed, or no answer came.
            RemoteProtocolError: The discovery document is unusable.
            LocalProtocolError: The credentials could not be made; nothing was sent.
        """
        endpoint = (await self.provider.endpoints()).token_endpoint
        give_up_at = self.clock.monotonic() + LONGEST_CONNECT + self.answer_timeout
        parameters = build_refresh_request(refresh_token)
        return self._settled(
            await self._post(endpoint, parameters, self.max_token_answer, "after", give_up_at=give_up_at)
        )

    async def userinfo(self, access_token: str) -> HttpResponse:
        """Ask who the holder of an access token is; repeated where no answer comes, because that changes nothing.

        Raises:
            TransportError: Discovery failed, or no answer came.
            RemoteProtocolError: The discovery document is unusable, or names no endpoint that may be asked.
        """
        endpoint = await self.provider.userinfo_endpoint()
        headers = {
            "Accept": "application/jwt, application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {access_token}",
            "Prefer": _HEADERS["Prefer"],
        }
        request = HttpRequest("GET", endpoint, headers, max_body=self.max_token_answer)
        return self._settled(await fetch(self.transport, request))

    def _settled(self, response: HttpResponse) -> HttpResponse:
        if response.status in _MOVED:
            self.provider.doubt()
        return response

    async def _post(
        self,
        endpoint: str,
        parameters: Mapping[str, str],
        max_body: int,
        stage: explain.Stage,
        *,
        give_up_at: float | None,
        not_after: float | None = None,
    ) -> HttpResponse:
        """Send one POST with new credentials: an assertion is valid for one request only."""
        request: HttpRequest | None = None
        try:
            with _UNLIMITED if self._keeps_time else PatientTimeout(give_up_at):
                proof = await self._prove(endpoint, stage)
                request = HttpRequest(
                    "POST",
                    endpoint,
                    {**_HEADERS, **proof.headers} if proof.headers else _HEADERS,
                    encode_form({**parameters, **proof.parameters}),
                    max_body=max_body,
                    timeout=self.answer_timeout,
                    not_after=not_after,
                    give_up_at=give_up_at,
                )
                return await deliver(self.transport, request)
        except TimeoutError:
            waited_for = "no complete answer arrived" if request else "the client's credentials were not made"
            error = TransportTimeout(f"{waited_for} in time")
            error.maybe_sent = request is not None
        raise error

    async def _prove(self, endpoint: str, stage: explain.Stage) -> Credentials:
        """Make the credentials of one request."""
        # Clock and rng are read here, because those passed in need not be thread-safe.
        prove = partial(
            self.client_auth.credentials,
            issuer=self.provider.issuer,
            endpoint=endpoint,
            now=self.clock.wall(),
            jti=f"{self.rng.getrandbits(128):032x}",
        )
        try:
            # An RSA signature takes as long as serving several polls, and releases the GIL.
            return prove() if self._signing is None else await self._signing.call(prove)
        except CibaError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled():
                raise
            raise explain.internal(error, stage) from None

    def _answered(self, answer: A, response: HttpResponse) -> Answered[A]:
        if isinstance(answer, UnusableAnswer) and answer.status in _MOVED:
            self.provider.doubt()
        if self.load is None:
            pass
        elif isinstance(answer, UnusableAnswer) and answer.status in _TOO_MANY:
            # Not a `slow_down` with status 429: that concerns one login.
            self.load.refused(sent_at=response.sent_at, retry_after=answer.retry_after)
        else:
            self.load.answered(sent_at=response.sent_at)
        return Answered(answer, response.sent_at, response.received_at, response.trace_id, response.headers.get("date"))

    def _unanswered(self, error: TransportError) -> Answered[A]:
        if not error.maybe_sent:
            self.provider.doubt()
        ended_at = self.clock.monotonic() if error.ended_at is None else error.ended_at
        sent_at = ended_at if error.sent_at is None else error.sent_at
        return Answered(unanswered(error), sent_at, ended_at)
