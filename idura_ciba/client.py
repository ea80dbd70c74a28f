"""The client: starts, authenticates, resumes and closes. Composition only; every rule lives in a room of its own."""

from __future__ import annotations

import asyncio
import hmac
import json
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from itertools import islice
from types import TracebackType
from typing import Self

from idura_ciba import explain
from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.aio.clock import Clock
from idura_ciba.aio.slices import Slices
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.eids.person import PersonTags
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import CibaError, ResumeError, UsageError
from idura_ciba.http.backchannel import MAX_TOKEN_ANSWER, Answered, Backchannel
from idura_ciba.http.provider import Provider
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.observe import Observer, Observers, log_events
from idura_ciba.options import seconds, several, texts, whole_number
from idura_ciba.polling.basic import Fixed
from idura_ciba.polling.final_poll import FinalPoll
from idura_ciba.polling.strategy import StrategyLike, as_strategy
from idura_ciba.protocol.http import Transport
from idura_ciba.protocol.machine import State, advance, judge_acknowledgement
from idura_ciba.protocol.messages import Acknowledgement, AuthenticationAnswer, Unusable, UnusableAnswer
from idura_ciba.protocol.timing import Timing
from idura_ciba.redaction import Redacted
from idura_ciba.scheduling.engine import SLICE
from idura_ciba.scheduling.scheduler import FairScheduler, client_queue
from idura_ciba.transaction.context import Context
from idura_ciba.transaction.holds import Hold, Holds
from idura_ciba.transaction.resume import Sealer
from idura_ciba.transaction.transaction import Transaction
from idura_ciba.trust.id_token import DEFAULT_LEEWAY, Authentication, Expectation, IdTokenVerifier
from idura_ciba.trust.jwks import JwksCache

__all__ = ["CibaClient"]

#: RFC 2104 section 3: a key shorter than the hash weakens it.
MIN_RESUME_SECRET = 32
#: Seconds: a year. No login lives so long.
MAX_TIMEOUT = 31_536_000.0
#: Each takes some 50 us, most of them for its resume token.
ENDED_IN_A_TURN = 32
#: Notes that a request is about to leave.
Note = Callable[[], Awaitable[None]]


class CibaClient:
    """Asks people to prove who they are, many at once.

    Args:
        issuer: Exactly as the provider spells it; for Idura `https://NAME.idura.broker`, without a trailing slash.
        client_auth: How this client proves itself, for example `PrivateKeyJwt`.
        strategy: When to poll; a strategy object or a function of a `PollView`.
        grace_poll: Ask once more right after the end, for the provider's own word on it.
        scheduler: Limits how many requests leave and are under way, and says whose turn it is where they do not
            suffice; lent, so that several clients of one event loop can share it. None: one of our own without a rate.
        id_token_algorithms: Accepted signature algorithms of ID tokens.
        leeway: Seconds by which this clock and the provider's may disagree.
        max_token_size: Bytes of a token response at most; raise it for Freja photos.
        backchannel_authentication_endpoint: Overrides discovery and Idura's path.
        token_endpoint: The same.
        jwks_uri: The same.
        trusted_origins: Further origins that endpoints may have.
        transport: Carries the requests; lent, not closed. None: HTTP with a connection pool of our own.
        observers: Functions that hear of every state and poll; by default they go to the logger `idura_ciba`.
        resume_secret: Seals resume tokens; by default derived from the client's credential. Give one (32 or
            more random bytes) where tokens must outlive a change of credential.
        clock: Reads wall-clock time; replaced in tests.
        rng: Makes `jti` values and names; replaced in tests.

    Raises:
        UsageError: An argument that cannot work.

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
        leeway: float = DEFAULT_LEEWAY,
        max_token_size: int = MAX_TOKEN_ANSWER,
        backchannel_authentication_endpoint: str | None = None,
        token_endpoint: str | None = None,
        jwks_uri: str | None = None,
        trusted_origins: Iterable[str] = (),
        transport: Transport | None = None,
        observers: Iterable[Observer] = (log_events,),
        resume_secret: bytes | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._own_transport = AiohttpTransport() if transport is None else None
        carrier = transport or self._own_transport
        assert carrier is not None  # noqa: S101 - for type checkers
        self._provider = Provider(
            issuer,
            transport=carrier,
            backchannel_authentication_endpoint=backchannel_authentication_endpoint,
            token_endpoint=token_endpoint,
            jwks_uri=jwks_uri,
            trusted_origins=texts("trusted_origins", trusted_origins),
        )
        self._keys = JwksCache(self._provider, transport=carrier, clock=self._clock)
        if resume_secret is not None and not (
            isinstance(resume_secret, bytes) and len(resume_secret) >= MIN_RESUME_SECRET
        ):
            raise UsageError(
                f"resume_secret is not bytes, or fewer than {MIN_RESUME_SECRET}",
                code="resume_secret",
                advice="make it with secrets.token_bytes(32)",
            )
        self._secret = secret = resume_secret or client_auth.derive_key(b"idura_ciba resume")
        self._tags = PersonTags(hmac.digest(secret, b"person tags", "sha256"))
        self._client_id = client_auth.client_id
        self._queue = client_queue(scheduler)
        source = rng or random.SystemRandom()
        self._backchannel = Backchannel(
            self._provider, client_auth, carrier, self._clock, source, max_token_answer=max_token_size, load=self._queue
        )
        self._context = Context(
            backchannel=self._backchannel,
            verifier=IdTokenVerifier(
                issuer,
                self._client_id,
                self._keys,
                self._tags,
                self._clock,
                algorithms=frozenset(texts("id_token_algorithms", id_token_algorithms)),
                leeway=leeway,
                max_size=whole_number("max_token_size", max_token_size),
            ),
            queue=self._queue,
            strategy=FinalPoll(Fixed()) if strategy is None else as_strategy(strategy),
            sealer=Sealer(issuer, self._client_id, hmac.digest(secret, b"resume tokens", "sha256")),
            observers=Observers(several("observers", observers, callable)),
            clock=self._clock,
            rng=source,
            grace_poll=grace_poll,
            ended=self._release,
        )
        self._holds = Holds(self._clock)
        # By auth_req_id.
        self._pending: dict[str, Hold] = {}
        self._starting: set[asyncio.Task[Transaction]] = set()
        self._slices = Slices(SLICE)
        self._ends = self._end_each()  # begins when the client closes; one for all who close it
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        """Issuer, client id and how many are pending."""
        return f"<CibaClient {self._provider.issuer} as {self._client_id}, {len(self._pending)} pending>"

    async def __aenter__(self) -> Self:
        """Nothing happens yet; the first request opens the first connection."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    @property
    def pending(self) -> tuple[Transaction, ...]:
        """The transactions that have not ended, oldest first."""
        return tuple(hold.transaction for hold in self._pending.values() if hold.transaction)

    def derive_key(self, purpose: bytes) -> bytes:
        """32 secret bytes for a purpose of the caller's: the same wherever this credential speaks to this provider."""
        owner = json.dumps([self._provider.issuer, self._client_id]).encode()
        return hmac.digest(self._secret, b"\0".join((b"for callers", owner, purpose)), "sha256")

    async def start(
        self,
        request: EidRequest,
        *,
        timeout: float | None = None,
        even_if_pending: bool = False,
        before_sending: Note | None = None,
    ) -> Transaction:
        """Ask the provider to ask the person; returns once it has accepted.

        At most one request leaves, and it is never sent again once it may have arrived: a second request for one
        person cancels both at BankID and at Freja. Cancelling this call does not unsend it either; it goes on in the
        background, and the person stays held until the prompt is gone.

        Args:
            request: Whom to ask and how, for example `NorwegianBankID(number)`.
            timeout: Seconds after which this client stops asking. Adds to the provider's own end, never replaces it.
            even_if_pending: Start although this client knows of a prompt that this person may still have.
            before_sending: Awaited when the request has its place and leaves next, for those who must have noted
                that before it can ring. What it raises stops the request.

        Raises:
            AlreadyPending: This person has or may have a prompt already; `.transaction` is the one, where known.
            ProviderError: The provider refused; the phone has not rung.
            Indeterminate: The request may have arrived and no usable answer came back before the client was closed.
            RemoteProtocolError: The provider accepted with an answer that breaks the specification, or its discovery
                document does.
            TransportError: The provider could not be reached; nothing was sent.
            Abandoned: `timeout` passed before anything was sent.
            UsageError: The client is closed, or an argument cannot work.

        Spec: CIBA Core 1.0 section 7.
        """
        self._check_open()
        if not isinstance(request, EidRequest):
            raise UsageError(
                f"start was given a {type(request).__name__} and not a request",
                code="request",
                advice="pass for example SwedishBankID(number, ...)",
            )
        limit = self._limit(timeout)
        await self._slices.step()
        self._check_open()  # it may have been closed while others had their turns
        person = self._tags.tag(("hint",), request.person_key)
        if not even_if_pending:
            self._holds.check(person)
        hold = self._holds.take(person)
        task = asyncio.get_running_loop().create_task(self._submit(request, hold, limit, before_sending))
        self._starting.add(task)
        task.add_done_callback(self._started)
        try:
            return await asyncio.shield(task)
        except CibaError as error:
            raise error.without_frames() from None
        except asyncio.CancelledError:
            if is_cancelled():
                raise
        raise explain.acknowledgement_lost("the client was closed meanwhile") if hold.may_ring else explain.closed()

    async def authenticate(
        self, request: EidRequest, *, timeout: float | None = None, even_if_pending: bool = False
    ) -> Authentication:
        """Start, and wait for the login.

        Cancelling this call abandons the transaction, because nobody else can be waiting for it. The prompt stays on
        the phone until it expires. Cancelled before the provider has accepted, it is a cancelled `start`: that goes on
        in the background, and `AlreadyPending` leads to it.

        Args:
            request: As for `start`.
            timeout: As for `start`.
            even_if_pending: As for `start`.

        Raises:
            NotAuthenticated: Denied, expired, indeterminate or abandoned.
            CibaError: Everything that `start` and `await transaction` raise.
        """
        transaction = await self.start(request, timeout=timeout, even_if_pending=even_if_pending)
        try:
            outcome = await transaction.outcome()
        finally:
            transaction.abandon()
        return outcome.result()

    async def resume(self, token: str, *, timeout: float | None = None, doubt: bool | None = None) -> Transaction:
        """Go on with a transaction that was started here or elsewhere.

        It polls no earlier than it would have without the interruption, and recognises the same person.

        Make sure that whoever had the transaction before has stopped. Of two that go on with it at once, one at most
        gets the login; the other hears that the provider does not know the transaction, and ends `failed`, or
        `indeterminate` where it had reason to doubt. And each makes the other's polls come too soon: a strict provider
        slows both down, until they may hear of no answer at all.

        Args:
            token: From a transaction's or an error's `resume_token`, or from `close`.
            timeout: As for `start`, counted from now; what was given there is over.
            doubt: Whether an answer may have been lost since the token was taken, where somebody knows
                (`Transaction.on_doubt`). None: as the token says.

        Raises:
            ResumeError: The token is unreadable, changed, over, or of another version, provider, client or credential,
                or this client knows that the provider has refused to go on.
            AlreadyPending: This client is asking this person already; also while the last poll of a transaction that
                was abandoned is still under way.
            TransportError: The provider's discovery document could not be fetched.
            RemoteProtocolError: It is unusable.
            UsageError: The client is closed, or an argument cannot work.
        """
        self._check_open()
        limit = self._limit(timeout)
        token = Redacted(token)
        try:
            checkpoint = self._context.sealer.open(token)
            for hold in self._holds.of(checkpoint.person):
                if hold.transaction is not None:
                    checkpoint = hold.transaction.latest(checkpoint)
            timing = checkpoint.timing(monotonic=self._clock.monotonic(), wall=self._clock.wall(), limit=limit)
        except ResumeError as error:
            raise error.without_frames() from None
        try:
            await self._provider.endpoints()
        except CibaError as error:
            raise explain.about_document(error, "meanwhile").without_frames() from None
        self._check_open()
        self._holds.check(checkpoint.person, but_abandoned=True)
        transaction = Transaction(
            self._context,
            auth_req_id=checkpoint.auth_req_id,
            person=checkpoint.person,
            expected=checkpoint.expected,
            timing=timing,
            spoken_words=checkpoint.spoken_words,
            state=State.IN_DOUBT if (checkpoint.in_doubt if doubt is None else doubt) else State.PENDING,
            polls=checkpoint.polls,
        )
        self._adopt(transaction, self._holds.take(checkpoint.person))
        return transaction

    async def close(self, *, patience: float = 5.0) -> list[Redacted]:
        """Stop asking and release everything; returns the resume tokens of what was pending.

        Polls under way get `patience` seconds to bring their answers; then they are cancelled, and their tokens say
        that an answer may have been lost. Prompts stay on the phones. May be called again, and then returns nothing.
        """
        self._closed = True
        tokens: list[Redacted] = []
        if not self._is_at_home():
            # Nothing can be ended in a loop that is gone; what is known is still worth having.
            tokens += filter(None, [transaction.resume_token for transaction in self.pending])
            self._pending.clear()
            return tokens
        async with AsyncExitStack() as releasing:
            # Last comes first, and each is called also when the closer is cancelled before or during another one.
            if self._own_transport is not None:
                releasing.push_async_callback(self._own_transport.aclose)
            releasing.push_async_callback(self._provider.aclose)
            releasing.push_async_callback(self._keys.aclose)
            releasing.callback(lambda: tokens.extend(self._ends))  # where the closer is cancelled in the midst of it
            releasing.push_async_callback(self._end_in_turns, tokens)
            releasing.push_async_callback(self._queue.aclose, patience=0)
            releasing.push_async_callback(self._stop_starting)
            self._queue.stop_admitting()
            if self._starting:
                # A request under way has rung a phone or is about to; its token is worth waiting for.
                await asyncio.wait(self._starting, timeout=patience)
            await self._queue.aclose(patience=patience)
        return tokens

    # --- inside -----------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise explain.closed()
        if not self._is_at_home():
            raise UsageError(
                "the client belongs to another event loop",
                code="other_loop",
                phone="The phone has not rung for this",
                advice="make a client in each event loop, or keep to one loop",
            )

    def _is_at_home(self) -> bool:
        """Whether this is the event loop in which the client began: its connections and timers are bound to that."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        return self._loop is loop

    def _limit(self, timeout: float | None) -> float | None:
        if timeout is None:
            return None
        return self._clock.monotonic() + seconds("timeout", timeout, most=MAX_TIMEOUT)

    async def _submit(self, request: EidRequest, hold: Hold, limit: float | None, note: Note | None) -> Transaction:
        lifetime = max(request.prompt_lifetime, request.requested_expiry or 0)
        answered: Answered[AuthenticationAnswer] | None = None
        may_ring = False
        try:
            expected = Expectation.of(request, tags=self._tags, issued_from=self._clock.wall())
            await self._provider.endpoints()
            async with self._queue.admit(until=limit):
                if note is not None:
                    await note()
                may_ring = True
                answered = await self._backchannel.authenticate(request.parameters(), limit=limit)
                return self._take_up(answered, expected, hold, limit=limit, lifetime=lifetime)
        except CibaError as error:
            if answered is not None:
                raise
            # Discovery or signing failed, or the time was over before: nothing has left.
            self._holds.free(hold)
            raise explain.about_document(error, "before") from None
        except BaseException as error:
            if may_ring:
                self._holds.lost(hold, lifetime=lifetime)
            else:
                self._holds.free(hold)
            if isinstance(error, Exception):
                raise explain.internal(error, "meanwhile" if may_ring else "before") from None
            raise

    def _take_up(
        self,
        answered: Answered[AuthenticationAnswer],
        expected: Expectation,
        hold: Hold,
        *,
        limit: float | None,
        lifetime: float,
    ) -> Transaction:
        answer = answered.answer
        if isinstance(answer, Acknowledgement) and answer.auth_req_id in self._pending:
            # One id for two people: whoever polls first would get whatever comes.
            answer = UnusableAnswer(Unusable.BROKEN, 200, "its auth_req_id is that of another login")
            answered = Answered(answer, answered.sent_at, answered.received_at, answered.trace_id)
        state = advance(State.SUBMITTING, judge_acknowledgement(answer))
        if not isinstance(answer, Acknowledgement):
            if state is State.REJECTED or _never_connected(answer):
                self._holds.free(hold)
            else:
                self._holds.lost(hold, lifetime=lifetime)
            error = explain.not_begun(
                answer,
                lost=state is State.INDETERMINATE,
                wall=self._clock.wall(),
                server_date=answered.server_date,
            )
            error.trace_id = answered.trace_id
            raise error
        transaction = Transaction(
            self._context,
            auth_req_id=answer.auth_req_id,
            person=hold.person,
            expected=expected,
            timing=Timing.begin(
                requested_at=answered.sent_at,
                acknowledged_at=answered.received_at,
                expires_in=answer.expires_in,
                interval=answer.interval,
                limit=limit,
            ),
            spoken_words=answer.spoken_words,
            trace_id=answered.trace_id,
        )
        self._adopt(transaction, hold)
        return transaction

    def _started(self, task: asyncio.Task[Transaction]) -> None:
        self._starting.discard(task)
        # Whoever started it may be gone; asyncio would complain of an exception nobody retrieved.
        if not task.cancelled():
            task.exception()

    async def _stop_starting(self) -> None:
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)

    def _end_each(self) -> Iterator[Redacted]:
        yield from filter(None, (transaction.end_with_client() for transaction in self.pending))

    async def _end_in_turns(self, tokens: list[Redacted]) -> None:
        while some := tuple(islice(self._ends, ENDED_IN_A_TURN)):
            tokens += some
            await asyncio.sleep(0)

    def _adopt(self, transaction: Transaction, hold: Hold) -> None:
        hold.transaction = transaction
        self._holds.settle(hold)
        # A strategy that fails at once has ended it already.
        if not transaction.state.is_final:
            self._pending[transaction.auth_req_id] = hold

    def _release(self, auth_req_id: Redacted) -> None:
        """A transaction has ended."""
        hold = self._pending.pop(auth_req_id, None)
        if hold is not None:
            self._holds.settle(hold)


def _never_connected(answer: AuthenticationAnswer) -> bool:
    return isinstance(answer, UnusableAnswer) and answer.kind is Unusable.NOT_CONNECTED
