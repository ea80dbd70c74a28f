"""The two requests of CIBA: each signed anew and sent exactly once; and those of a login that has been proved.

Every result is a value, be it an answer, an error or a broken connection: `protocol.machine` decides what it means.

A server that demands a nonce of DPoP has not processed the request (RFC 9449 section 8): no phone has rung, and nothing
was handed out. Such a request leaves once more, at once, signed anew and under the limits of the first.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping
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
from idura_ciba.credentials.around import layers
from idura_ciba.credentials.client_auth import ClientAuth, Credentials
from idura_ciba.credentials.dpop import DPoP, brings_nonce
from idura_ciba.credentials.request_object import EncryptionKey, RequestSigner
from idura_ciba.credentials.signing_pool import SigningPool
from idura_ciba.errors import CibaError, TransportError, TransportTimeout
from idura_ciba.http.delivery import deliver, fetch, until_connected
from idura_ciba.http.encryption_keys import EncryptionKeys
from idura_ciba.http.provider import Provider
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.protocol.answers import (
    LONGEST_PROMPT,
    AuthenticationAnswer,
    ErrorAnswer,
    TokenAnswer,
    UnusableAnswer,
    parse_authentication_response,
    parse_token_response,
    unanswered,
)
from idura_ciba.protocol.http import DEFAULT_MAX_BODY, HttpRequest, HttpResponse, Transport
from idura_ciba.protocol.requests import build_refresh_request, build_token_request, encode_form
from idura_ciba.protocol.tolerant_json import load_answer

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

_USERINFO_HEADERS = {
    "Accept": "application/jwt, application/json",
    "Accept-Encoding": "identity",
    "Prefer": _HEADERS["Prefer"],
}

#: RFC 6585 section 4, RFC 9110 section 15.6.4: the provider gets more requests than it will serve.
_TOO_MANY = frozenset({429, 503})

#: RFC 9110 section 15: redirects, Not Found and Gone. An endpoint that works has none of them for a POST.
_MOVED = frozenset({*range(300, 400), 404, 410})

#: RFC 9449 sections 8 and 9: how servers demand a nonce; authorization servers use the first.
_UNAUTHORIZED = 401
_UNPROCESSED = frozenset({400, _UNAUTHORIZED})
#: A request that the provider could not open, perhaps because its key is another one by now: RFC 9101 section 7, and
#: CIBA Core section 13, which knows no code of its own for it.
_UNREAD = frozenset({"invalid_request_object", "invalid_request"})

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

    def left_again(self) -> None:
        """Called when a request leaves once more at once, for want of a nonce."""
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
    """Sends one client's requests to the provider's endpoints.

    Attributes:
        confirmation: What tokens must name in `cnf` that are bound to this client; empty where nothing binds them.
    """

    provider: Provider
    client_auth: ClientAuth
    transport: Transport
    clock: Clock
    rng: Random = field(repr=False)
    max_token_answer: int = MAX_TOKEN_ANSWER
    load: Load | None = field(default=None, repr=False)
    #: Signs authentication requests; None: they go out as they are.
    signer: RequestSigner | None = None
    answer_timeout: float = ANSWER_TIMEOUT
    _signing: SigningPool[Credentials] | None = field(init=False, repr=False, eq=False)
    _request_signing: SigningPool[Credentials] | None = field(init=False, repr=False, eq=False)
    _encryption_keys: EncryptionKeys | None = field(init=False, repr=False, eq=False)
    _pulse: Pulse = field(init=False, repr=False, eq=False, factory=Pulse)

    # Whether the transport is our own, which heeds `give_up_at`, and nothing else is waited for. A timer saved.
    _keeps_time: bool = field(init=False, repr=False, eq=False)

    confirmation: Mapping[str, str] = field(init=False, repr=False, eq=False)
    # Set where a certificate is presented, which only these two requests do.
    _tls: ssl.SSLContext | None = field(init=False, repr=False, eq=False)
    # Set where a key is proved with each request.
    _dpop: DPoP | None = field(init=False, repr=False, eq=False)

    @confirmation.default
    def _find_confirmation(self) -> Mapping[str, str]:
        # An attribute of the client authentications that bind tokens; others, also around these, need not know of it.
        return next(filter(None, (getattr(layer, "confirmation", None) for layer in layers(self.client_auth))), {})

    @_tls.default
    def _find_tls(self) -> ssl.SSLContext | None:
        return next(filter(None, (getattr(layer, "tls", None) for layer in layers(self.client_auth))), None)

    @_dpop.default
    def _find_dpop(self) -> DPoP | None:
        return next((layer for layer in layers(self.client_auth) if isinstance(layer, DPoP)), None)

    @_signing.default
    def _open_signing(self) -> SigningPool[Credentials] | None:
        threads = self.client_auth.signing_threads
        return SigningPool(threads) if threads else None

    @_request_signing.default
    def _open_request_signing(self) -> SigningPool[Credentials] | None:
        # The same threads where both sign with RSA: more than one for each core would slow all of them.
        threads = self.signer.signing_threads if self.signer else 0
        return (self._signing or SigningPool(threads)) if threads else None

    @_encryption_keys.default
    def _open_encryption_keys(self) -> EncryptionKeys | None:
        if self.signer is None or self.signer.encryption is None:
            return None
        return EncryptionKeys(self.provider, self.signer, self.transport)

    @_keeps_time.default
    def _find_out(self) -> bool:
        return self._signing is None and type(self.transport) is AiohttpTransport

    async def prepare(self) -> None:
        """Have at hand what an authentication request needs, and find out what cannot work, while no phone rings.

        Raises:
            TransportError: Discovery failed, or the key to encrypt for could not be fetched.
            RemoteProtocolError: The discovery document is unusable, or the provider has no key to encrypt for.
            StateError: The document rules out what this client is set to.
        """
        await self.provider.endpoints(mtls=self._tls is not None)
        self.provider.check()
        if self._encryption_keys is not None:
            await self._encryption_keys.find()

    async def authenticate(
        self, parameters: Mapping[str, str], *, limit: float | None = None, lifetime: float = LONGEST_PROMPT
    ) -> Answered[AuthenticationAnswer]:
        """Send the authentication request. Retried only as long as there was no connection, or for want of a nonce.

        Args:
            parameters: The form, without client authentication.
            limit: Monotonic instant from which no phone may ring, because nobody waits any more. Checked for the last
                time just before the request leaves.
            lifetime: Seconds that the prompt lives if the answer does not say so.

        Raises:
            Abandoned: The limit passed before anything was sent.
            TransportError: Discovery failed, or the key to encrypt for could not be fetched.
            RemoteProtocolError: The discovery document is unusable, or the provider has no key to encrypt for.
            UsageError: A parameter cannot be signed.
            LocalProtocolError: The credentials could not be made; nothing was sent.
        """
        mtls = self._tls is not None
        await self.provider.endpoints(mtls=mtls)  # a failed discovery is an error and not an answer
        recipient = await self._encryption_keys.find() if self._encryption_keys else None
        give_up_at = None if limit is None else limit + self.answer_timeout

        async def attempt() -> HttpResponse:
            if limit is not None and self.clock.monotonic() >= limit:
                raise explain.limit_passed(begun=False)
            # Asked for each time: the endpoint may have moved since the last try.
            endpoint = (await self.provider.endpoints(mtls=mtls)).backchannel_authentication_endpoint
            form = parameters if self.signer is None else await self._sign(self.signer, parameters, recipient)
            return await self._post(endpoint, form, DEFAULT_MAX_BODY, "before", give_up_at=give_up_at, not_after=limit)

        try:
            response = await self._with_nonce(partial(until_connected, attempt))
        except TransportError as error:
            if limit is not None and not error.maybe_sent and self.clock.monotonic() >= limit:
                raise explain.limit_passed(begun=False) from None
            return self._unanswered(error)
        answer = parse_authentication_response(response, wall=self.clock.wall(), lifetime=lifetime)
        if self._encryption_keys and isinstance(answer, ErrorAnswer) and answer.error in _UNREAD:
            self._encryption_keys.doubt()
        return self._answered(answer, response)

    async def poll(self, auth_req_id: str, *, end: float = math.inf) -> Answered[TokenAnswer]:
        """Poll once; never retried, unless for want of a nonce.

        Args:
            auth_req_id: The transaction's id at the provider.
            end: Monotonic instant at which the transaction ends. Whatever the poll waits for, an HSM included, it
                counts as lost one answer's time after it: it must cost neither the other polls nor a timely end.

        Raises:
            TransportError: Discovery failed.
            RemoteProtocolError: The discovery document is unusable.
            LocalProtocolError: The credentials could not be made; nothing was sent.
        """
        endpoint = (await self.provider.endpoints(mtls=self._tls is not None)).token_endpoint
        give_up_at = min(self.clock.monotonic() + LONGEST_CONNECT, end) + self.answer_timeout
        form, most = build_token_request(auth_req_id), self.max_token_answer
        post = partial(self._post, endpoint, form, most, "meanwhile", give_up_at=give_up_at)
        with self._pulse:
            try:
                response = await post()
                # Not by `_with_nonce`: of what a client sends, nearly all is polls.
                if self._dpop is not None and self._leaves_again(response):
                    response = await post()
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
        endpoint = (await self.provider.endpoints(mtls=self._tls is not None)).token_endpoint
        give_up_at = self.clock.monotonic() + LONGEST_CONNECT + self.answer_timeout
        form, most = build_refresh_request(refresh_token), self.max_token_answer
        post = partial(self._post, endpoint, form, most, "after", give_up_at=give_up_at)
        return self._settled(await self._with_nonce(post))

    async def userinfo(self, access_token: str) -> HttpResponse:
        """Ask who the holder of an access token is; repeated where no answer comes, because that changes nothing.

        Raises:
            TransportError: Discovery failed, or no answer came.
            RemoteProtocolError: The discovery document is unusable, or names no endpoint that may be asked.
            LocalProtocolError: The proof of the key could not be made; nothing was sent.
        """
        endpoint = await self.provider.userinfo_endpoint(mtls=self._tls is not None)
        ask = partial(fetch, self.transport, partial(self._userinfo_request, endpoint, access_token))
        response = await ask()
        if self._dpop is not None:
            self._dpop.learn(endpoint, response.headers)
            challenge = response.headers.get("www-authenticate", "")
            # RFC 9449 section 9: here it is in the header that the error stands.
            if response.status == _UNAUTHORIZED and "use_dpop_nonce" in challenge and brings_nonce(response.headers):
                response = await ask()
                self._dpop.learn(endpoint, response.headers)
        return self._settled(response)

    async def _userinfo_request(self, endpoint: str, access_token: str) -> HttpRequest:
        """Make a new one for each try, because a proof is valid for one only."""
        proof = Credentials(headers={"Authorization": f"Bearer {access_token}"})
        if self._dpop is not None:
            now, jti = self.clock.wall(), f"{self.rng.getrandbits(128):032x}"
            access = partial(self._dpop.access, "GET", endpoint, now=now, jti=jti, access_token=access_token)
            proof = await self._prove(access, self._signing, "after")
        headers = {**_USERINFO_HEADERS, **proof.headers}
        return HttpRequest("GET", endpoint, headers, max_body=self.max_token_answer, tls=self._tls)

    def _settled(self, response: HttpResponse) -> HttpResponse:
        if response.status in _MOVED:
            self.provider.doubt()
        return response

    async def aclose(self) -> None:
        """Stop looking for a key."""
        if self._encryption_keys is not None:
            await self._encryption_keys.aclose()

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
                # Clock and rng are read here, because those passed in need not be thread-safe.
                prove = partial(
                    self.client_auth.credentials,
                    issuer=self.provider.issuer,
                    endpoint=endpoint,
                    now=self.clock.wall(),
                    jti=f"{self.rng.getrandbits(128):032x}",
                )
                proof = await self._prove(prove, self._signing, stage)
                request = HttpRequest(
                    "POST",
                    endpoint,
                    {**_HEADERS, **proof.headers} if proof.headers else _HEADERS,
                    encode_form({**parameters, **proof.parameters}),
                    max_body=max_body,
                    timeout=self.answer_timeout,
                    not_after=not_after,
                    give_up_at=give_up_at,
                    tls=self._tls,
                )
                response = await deliver(self.transport, request)
        except TimeoutError:
            waited_for = "no complete answer arrived" if request else "the client's credentials were not made"
            error = TransportTimeout(f"{waited_for} in time")
            error.maybe_sent = request is not None
        else:
            if self._dpop is not None:
                self._dpop.learn(endpoint, response.headers)
            return response
        raise error

    async def _with_nonce(self, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
        """Send a request, and once more, made anew, if it was not processed for want of a nonce."""
        response = await send()
        if self._dpop is not None and self._leaves_again(response):
            response = await send()
        return response

    def _leaves_again(self, response: HttpResponse) -> bool:
        """Whether the server wants the same again with its nonce, and says nothing of a login (RFC 9449 section 8).

        The rate counts what leaves then, and cannot delay it.
        """
        if response.status not in _UNPROCESSED or not brings_nonce(response.headers):
            return False
        try:
            members = load_answer(response.body, response.headers.get("content-type"))
        except ValueError:
            return False
        if members.get("error") != "use_dpop_nonce" or members.get("auth_req_id"):
            return False
        if self.load is not None:
            self.load.left_again()
        return True

    async def _sign(
        self, signer: RequestSigner, parameters: Mapping[str, str], recipient: EncryptionKey | None
    ) -> Mapping[str, str]:
        """Put all parameters into a signed one."""
        sign = partial(
            signer.sign,
            dict(parameters),
            issuer=self.provider.issuer,
            now=self.clock.wall(),
            jti=f"{self.rng.getrandbits(128):032x}",
            recipient=recipient,
        )
        signed = await self._prove(lambda: Credentials({"request": sign()}), self._request_signing, "before")
        return signed.parameters

    async def _prove(
        self, prove: Callable[[], Credentials], pool: SigningPool[Credentials] | None, stage: explain.Stage
    ) -> Credentials:
        """Call what signs, where it is to sign."""
        try:
            # An RSA signature takes as long as serving several polls, and releases the GIL.
            return prove() if pool is None else await pool.call(prove)
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
