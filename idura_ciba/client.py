"""The client: it starts, resumes and closes. Composition only: each rule lives in a room of its own."""

from __future__ import annotations

import hmac
import os
import random
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self, cast

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.aio.home import Home
from idura_ciba.checks import Finding, check_provider
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.credentials.decryption_key import DecryptionKeys
from idura_ciba.credentials.environment import from_environment, options_from
from idura_ciba.credentials.request_object import SignedRequests, request_signer
from idura_ciba.eids.person import PersonTags
from idura_ciba.eids.request import EidRequest, check_request
from idura_ciba.http.backchannel import MAX_TOKEN_ANSWER, Backchannel
from idura_ciba.http.capabilities import Needs
from idura_ciba.http.provider import Endpoints, Provider
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.observe import Observer, Observers, log_events
from idura_ciba.options import limit, reference_text, several, texts, whole_number
from idura_ciba.ping.receiver import PingReceiver, attached
from idura_ciba.polling.pinged import usual
from idura_ciba.polling.strategy import Strategy, StrategyLike, as_strategy
from idura_ciba.protocol.http import Transport
from idura_ciba.redaction import Redacted
from idura_ciba.scheduling.scheduler import ClientQueue, FairScheduler, client_queue
from idura_ciba.transaction.context import Context
from idura_ciba.transaction.holds import Holds
from idura_ciba.transaction.outcome import Handover
from idura_ciba.transaction.pending import OnClose, Pending
from idura_ciba.transaction.resume import Sealer, checked_secret, derive_for_callers
from idura_ciba.transaction.starter import Note, Start, Starter
from idura_ciba.transaction.transaction import Transaction
from idura_ciba.trust.authentication import Authentication
from idura_ciba.trust.id_token import DEFAULT_LEEWAY, IdTokenVerifier
from idura_ciba.trust.jwks import JwksCache

__all__ = ["CibaClient"]


class CibaClient:
    """Asks people to prove who they are, many at once.

    Args:
        issuer: The issuer identifier, exactly as the provider spells it; for Idura `https://NAME.idura.broker`, without
            a trailing slash.
        client_auth: How this client proves itself, for example `PrivateKeyJwt`.
        strategy: Decides when to poll: a strategy object, or a function of a `PollView`. None: as often as the provider
            allows, or seldom where there are `pings`, with a last poll just before the end.
        grace_poll: Whether to poll once more right after the end, so that the provider itself says how it ended.
        scheduler: Limits the rate of requests and the number in flight, and decides who comes first. Several clients of
            one event loop can share it. None: a scheduler of its own, without a rate.
        id_token_algorithms: Accepted signature algorithms of ID tokens.
        trusted_audiences: Further audiences that an ID token may name beside this client, by their exact names.
        decryption_keys: Open ID tokens that the provider encrypts for this client.
        leeway: Seconds by which this clock and the provider's may differ.
        max_token_size: The largest token response that is read, in bytes; raise it for Freja photos.
        endpoints: Endpoints that discovery does not name, or names wrongly.
        sign_requests: Whether authentication requests are signed, as FAPI-CIBA demands: True with the client's own key,
            or `SignedRequests(...)`.
        transport: Carries the requests; the client does not close it. None: HTTP with a connection pool of its own.
        observers: Functions that are called with each event; by default, events go to the logger `idura_ciba`.
        on_close: Called with the logins that were pending when the client is closed, so that they can be stored and
            resumed; awaited if it returns an awaitable. What `close` returns, for those who leave an `async with`.
        pings: Where the provider's pings arrive, for a client that it knows as one of CIBA's ping mode; each request
            then carries a token. None: poll mode.
        resume_secret: Seals resume tokens: 32 or more random bytes. None: derived from the client's credential, so that
            a new credential makes old tokens useless.
        clock: Reads wall-clock time; replaced in tests.
        rng: Draws `jti` values and names; replaced in tests.

    Raises:
        UsageError: An argument cannot work.

    Example:
        >>> async def log_in(ssn: str) -> str:
        ...     auth = PrivateKeyJwt.from_file("urn:my:app", "key.pem")
        ...     async with CibaClient("https://acme.idura.broker", auth) as ciba:
        ...         login = await ciba.authenticate(SwedishBankID(ssn, call_initiator="user", message="Log in"))
        ...     return login.subject
    """

    def __init__(
        self,
        issuer: str,
        client_auth: ClientAuth,
        *,
        strategy: StrategyLike | None = None,
        grace_poll: bool = True,
        scheduler: FairScheduler | None = None,
        id_token_algorithms: Iterable[str] = ("RS256",),
        trusted_audiences: Iterable[str] = (),
        decryption_keys: DecryptionKeys | None = None,
        leeway: float = DEFAULT_LEEWAY,
        max_token_size: int = MAX_TOKEN_ANSWER,
        endpoints: Endpoints | None = None,
        sign_requests: SignedRequests | bool = False,
        transport: Transport | None = None,
        observers: Iterable[Observer] = (log_events,),
        on_close: OnClose | None = None,
        pings: PingReceiver | None = None,
        resume_secret: bytes | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        clock = self._clock = clock or Clock()
        self._home, source = Home(), rng or random.SystemRandom()
        self._own_transport = AiohttpTransport() if transport is None else None
        carrier = cast("Transport", transport or self._own_transport)
        told = Observers(several("observers", observers, callable), clock)
        self.observers: Observers = told  # a fleet tells them what happens among its replicas
        signer = request_signer(sign_requests, client_auth)
        algorithms = frozenset(texts("id_token_algorithms", id_token_algorithms))
        needs = Needs.of(client_auth, signer, algorithms, delivery_mode="poll" if pings is None else "ping")
        provider = self._provider = Provider(
            issuer, transport=carrier, endpoints=endpoints, observers=told, needs=needs
        )
        self._keys = JwksCache(provider, transport=carrier, clock=clock, observers=told)
        secret = self._secret = checked_secret(resume_secret) or client_auth.derive_key(b"idura_ciba resume")
        tags = PersonTags(hmac.digest(secret, b"person tags", "sha256"))
        self.has_resume_secret: bool = resume_secret is not None  # one that outlives the credential
        self._checks = partial(check_provider, issuer, carrier, clock, endpoints=endpoints, needs=needs)
        self.queue: ClientQueue = client_queue(scheduler)  # its place in the scheduler; a fleet changes the rate
        self.strategy: Strategy = usual(pinged=pings is not None) if strategy is None else as_strategy(strategy)
        holds = Holds(clock)
        self.pings: PingReceiver | None = pings  # a fleet passes on those whose login is at another replica
        desk = None if pings is None else attached(pings, hmac.digest(secret, b"notification tokens", "sha256"))
        self._pending = Pending(holds, on_close, desk)
        context = Context(
            backchannel=Backchannel(provider, client_auth, carrier, clock, source, max_token_size, self.queue, signer),
            verifier=IdTokenVerifier(
                *(issuer, client_auth.client_id, self._keys, tags, clock),
                algorithms=algorithms,
                leeway=leeway,
                max_size=whole_number("max_token_size", max_token_size),
                trusted_audiences=frozenset(texts("trusted_audiences", trusted_audiences)),
                decryption=decryption_keys,
            ),
            queue=self.queue,
            strategy=self.strategy,
            sealer=Sealer(issuer, client_auth.client_id, hmac.digest(secret, b"resume tokens", "sha256")),
            observers=told,
            clock=clock,
            rng=source,
            grace_poll=grace_poll,
            pings=desk,
            ended=self._pending.ended,
            is_at_home=self._home.is_here,
            check_open=self._check_open,
        )
        self._starter = Starter(context, provider, tags, holds, self._pending, self._check_open)
        self._closed, self._auth = False, client_auth
        told.attach(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Any) -> Self:
        """Create a client from the environment variables that the command reads too.

        IDURA_CIBA_ISSUER and IDURA_CIBA_CLIENT_ID, and IDURA_CIBA_KEY_FILE or IDURA_CIBA_CLIENT_SECRET; where needed,
        those that `idura_ciba.credentials.environment` lists besides: how the client proves itself and binds tokens,
        how requests are signed, which ID tokens are accepted, and the key that opens encrypted ones.

        Args:
            environ: The variables; None: those of this process.
            options: Any other argument of `CibaClient`.

        Raises:
            UsageError: A variable is missing or unusable, or an option cannot work.
        """
        environ = os.environ if environ is None else environ
        return cls(*from_environment(environ), **(options_from(environ) | options))

    def __repr__(self) -> str:
        """Issuer, client id and how many are pending."""
        return f"<CibaClient {self._provider.issuer} as {self._auth.client_id}, {len(self._pending)} pending>"

    async def __aenter__(self) -> Self:
        """Nothing happens yet; the first request opens the first connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close. Pending logins go to `on_close`; without it they are lost, which the log says."""
        self._pending.warn_of_dropped(await self.close())

    @property
    def pending(self) -> tuple[Transaction, ...]:
        """The transactions that have not ended, oldest first."""
        return self._pending.transactions

    def snapshot(self) -> dict[str, object]:
        """The present state as plain data that JSON can carry: for a health page, or for metrics.

        `pending` and `closed` are this client's, `connections` those of its own transport, by host; `scheduler` is a
        `Snapshot` of all clients that share it.
        """
        return {
            "pending": len(self._pending),
            "closed": self._closed,
            "scheduler": self.queue.snapshot().plain(),
            "connections": self._own_transport.connections() if self._own_transport else [],
        }

    async def check(self, *, probe: bool = False, acr_values: Iterable[str] = ()) -> tuple[Finding, ...]:
        """Look whether people could be asked now, as `idura-ciba doctor` does; for start-up and readiness probes.

        Nobody is asked. The provider's documents are fetched anew; whatever is wrong is a `Finding` and not raised.

        Args:
            probe: Also send the client's credentials once, with an `auth_req_id` that does not exist.
            acr_values: What people are to be asked with, to be compared with the provider's list.

        Raises:
            StateError: The client is closed, or belongs to another event loop.
        """
        self._check_open()
        auth, values = (lambda: self._auth) if probe else None, texts("acr_values", acr_values)
        return tuple([found async for found in self._checks(probe=auth, acr_values=values)])

    def derive_key(self, purpose: bytes) -> bytes:
        """Derive 32 secret bytes for a purpose of the caller's: always the same for this credential and issuer."""
        return derive_for_callers(self._secret, self._provider.issuer, self._auth.client_id, purpose)

    async def start(
        self,
        request: EidRequest,
        *,
        timeout: float | None = None,
        reference: str | None = None,
        even_if_pending: bool = False,
        before_sending: Note | None = None,
    ) -> Transaction:
        """Ask the provider to ask the person; returns once it has accepted.

        At most one request is sent, and it is not repeated once it may have arrived: a second request for one person
        cancels both at BankID and at Freja. Cancelling this call does not take the request back. It continues in the
        background, and the person is held until the prompt has disappeared.

        Args:
            request: Whom to ask and how, for example `NorwegianBankID(number)`.
            timeout: Seconds after which this client stops asking. It can only shorten the provider's own lifetime.
            reference: Your own name for this login, such as the number of a call: any printable text of up to 200
                characters that does not identify the person. It comes back in the transaction, its updates, events,
                log records, outcome and errors, in what `close` returns, and after resuming.
            even_if_pending: Start even if this client knows of a prompt that may still be on the phone.
            before_sending: Awaited just before the request is sent, for callers who must record that first. If it
                raises, nothing is sent.

        Raises:
            AlreadyPending: This person has, or may have, a prompt already, until `.until` at the latest;
                `.transaction` is the one, if known.
            ProviderError: The provider refused; the phone has not rung.
            Indeterminate: The request may have arrived, but no usable answer came back, or the client was closed first.
            RemoteProtocolError: The provider's answer or its discovery document breaks the specification.
            TransportError: The provider could not be reached; nothing was sent.
            Abandoned: `timeout` passed before anything was sent.
            StateError: The client is closed, of another event loop, or set to what the provider says it does not do.
            UsageError: An argument cannot work.

        Spec: CIBA Core 1.0 section 7.
        """
        self._check_open()
        check_request(request)
        reference = reference_text(reference, names_person=request.is_named_in)
        start = Start(
            request, limit(timeout, self._clock.monotonic()), before_sending, reference, self._clock.monotonic()
        )
        return await self._starter.start(start, even_if_pending=even_if_pending)

    async def authenticate(
        self,
        request: EidRequest,
        *,
        timeout: float | None = None,
        reference: str | None = None,
        even_if_pending: bool = False,
    ) -> Authentication:
        """Start, and wait for the login.

        Cancelling this call abandons the transaction, because nobody else can be waiting for it; the prompt stays on
        the phone until it expires. Before the provider has accepted, cancelling it is cancelling `start`, which
        continues in the background.

        Args:
            request: As for `start`.
            timeout: As for `start`.
            reference: As for `start`.
            even_if_pending: As for `start`.

        Raises:
            NotAuthenticated: Denied, expired, indeterminate, abandoned or handed over.
            CibaError: Everything that `start` and `await transaction` raise.
        """
        transaction = await self.start(request, timeout=timeout, reference=reference, even_if_pending=even_if_pending)
        try:
            outcome = await transaction.outcome()
        finally:
            transaction.abandon()
        return outcome.result()

    async def resume(
        self, token: str | Handover, *, timeout: float | None = None, doubt: bool | None = None
    ) -> Transaction:
        """Resume a transaction that was started here or elsewhere.

        It polls no earlier than it would have without the interruption, and verifies the same person.

        Make sure that the process that had the transaction before has stopped. If two processes poll it at once, at
        most one gets the login; the other ends `failed` or `indeterminate`. And each makes the other poll too soon, so
        that a strict provider slows both down, perhaps past the end.

        Args:
            token: The `resume_token` of a transaction or an error, or what `close` returned.
            timeout: As for `start`, counted from now; the timeout given to `start` no longer counts.
            doubt: Whether an answer may have been lost since the token was taken, for callers who know it
                (`Transaction.on_doubt`). None: as the token says.

        Raises:
            ResumeError: The token is unreadable, altered, expired, or of another version, provider, client or
                credential; or the provider has already ended this transaction.
            AlreadyPending: This client is asking this person, or the last poll of an abandoned login is in flight.
            TransportError: The provider's discovery document could not be fetched.
            RemoteProtocolError: The discovery document cannot be used.
            StateError: The client is closed, or belongs to another event loop.
            UsageError: An argument cannot work.
        """
        token = Redacted(getattr(token, "token", token))  # first of all: frames end up in crash reports
        self._check_open()
        return await self._starter.resume(token, limit=limit(timeout, self._clock.monotonic()), doubt=doubt)

    async def rejoin(self, request: EidRequest, *, timeout: float | None = None) -> Transaction:
        """Go on with a prompt that this client has put on the phone, after `abandon`, a cancellation or a timeout.

        CIBA cannot withdraw a prompt, so a person who was given up on can still answer. Nothing is sent to the phone.
        A login that is still pending is returned as it is.

        Args:
            request: The person, asked for the same as then.
            timeout: As for `resume`.

        Raises:
            StateError: Nobody has a prompt that could be gone on with (`nothing_pending`), or the client is closed.
            UsageError: The earlier request asked for something else (`other_request`): its answer may not do for this.
            CibaError: As for `resume`.
        """
        self._check_open()
        return await self._starter.rejoin(request, limit=limit(timeout, self._clock.monotonic()))

    async def close(self, *, patience: float = 5.0) -> list[Handover]:
        """Stop asking and release everything; returns what was pending, to be resumed here or elsewhere.

        Polls in flight get `patience` seconds to finish. Then they are cancelled, and their tokens say that an answer
        may have been lost. Prompts stay on the phones; whoever awaits one of these logins gets `HandedOver`. Calling it
        again returns what an earlier call that failed or was cancelled could not return, and otherwise nothing.

        Raises:
            StateError: The client belongs to another event loop, which is running. If that loop has ended, nothing can
                be released, and the tokens are returned all the same.
        """
        if not self._home.is_here():
            if self._home.is_running():
                raise explain.other_loop("client")
            # Its event loop is gone, so nothing can be ended; the tokens are still worth having.
            self._closed = True
            return await self._pending.leave_behind()
        self._closed = True
        async with AsyncExitStack() as releasing:
            # Called from the last to the first, and each of them even if the closer is cancelled meanwhile.
            releasing.push_async_callback(self._pending.hand_over)
            if self._own_transport is not None:
                releasing.push_async_callback(self._own_transport.aclose)
            releasing.push_async_callback(self._provider.aclose)
            releasing.push_async_callback(self._keys.aclose)
            releasing.callback(self._pending.end_at_once)
            releasing.push_async_callback(self._pending.end_in_turns)
            releasing.push_async_callback(self.queue.aclose, patience=0)
            releasing.push_async_callback(self._starter.stop)
            self.queue.stop_admitting()
            await self._starter.finish(patience=patience)
            await self.queue.aclose(patience=patience)
        return self._pending.take_left()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise explain.closed()
        if not self._home.is_here():
            raise explain.other_loop("client")
