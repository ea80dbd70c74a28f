"""HTTP: the only room on the client's side that knows aiohttp, and the only one that retries.

Rules:
1. One request, one answer. No redirect is followed: a 307 would carry the form, and with it credentials and a national
   id, to another host. No cookie is kept, no proxy or netrc is read from the environment unless asked for.
2. An answer is complete, uncompressed and bounded, or it is an error. aiohttp inflates a bomb before anyone can count.
3. What an error says was put together here. aiohttp's own errors hold headers, and with them `Authorization`.
4. `maybe_sent` is False only where no connection was ever made.
5. Retried is only what is safe to repeat: reading documents, and any request that never had a connection. A poll is
   never retried, its next slot comes from the floor; an authentication request that may have left is never sent again.
6. A connection of our own pool on which something arrived while nobody waited for it is not used again. aiohttp would
   take it for the answer to the next request: one person's tokens for another's poll.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Self, TypeVar

import aiohttp
import tenacity
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from attrs import define

from idura_ciba.cancellation import is_cancelled
from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.wire import HttpRequest, HttpResponse, Transport

__all__ = ["AiohttpTransport", "deliver", "fetch", "until_connected"]

#: Seconds for name look-up, TCP and TLS together.
CONNECT_TIMEOUT = 10.0
#: Seconds an idle connection is kept. Below 5, the shortest default among common servers (Node.js): a connection that
#: the server closes just as a poll leaves would cost the answer of that poll.
KEEP_ALIVE = 4.0
#: Seconds after which no new try of making a connection begins: people are waiting on the line.
CONNECT_PATIENCE = 2.0
#: The same for reading a document: a token that is issued only once may be waiting for keys. A little more than the
#: time that one request has, so that a second one follows a request that hung.
FETCH_PATIENCE = 10.5
#: What does not become better by asking again.
_HOPELESS = frozenset({"tls", "session_closed", "transport_failed"})

#: `select` itself knows no file above number 1023; Windows has nothing else and does not mind.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)

T = TypeVar("T")


@define
class _Exchange:
    """One request on its way; aiohttp's tracing and our pool tell what becomes of it."""

    timeout: float
    deadline: asyncio.Timeout
    connect_until: float
    has_body: bool
    sent_at: float | None = None
    line: _Line | None = None
    #: Of our own pool, and not opened for this request.
    reused: bool = False
    #: The line had something to say just when the request was to leave.
    spoilt: bool = False

    def connected(self) -> None:
        """The request has a connection: from now on it may have been sent, and the wait for the answer begins."""
        self.sent_at = asyncio.get_running_loop().time()
        self.deadline.reschedule(self.sent_at + self.timeout)

    def disconnected(self) -> None:
        """The connection was not good enough: nothing was sent on it, and the time for making one goes on."""
        self.sent_at = self.line = None
        self.spoilt = False
        self.deadline.reschedule(self.connect_until)

    def leave(self) -> None:
        """The request is being written. What comes before it cannot be its answer; looked at once more, and last.

        Between choosing a connection and writing to it the loop may have been busy for a while.
        """
        if self.line is None:
            return
        if self.reused and (self.line.strayed or _has_unread(self.line.transport)):
            self.spoilt = True
            raise aiohttp.ClientConnectionError
        self.line.waiting = True


#: That of the present task: a pool is not told for whom it makes a connection.
_EXCHANGE: ContextVar[_Exchange] = ContextVar("_EXCHANGE")


async def _on_connection(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    exchange: _Exchange = context.trace_request_ctx
    exchange.connected()


async def _on_headers(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    exchange: _Exchange = context.trace_request_ctx
    if not exchange.has_body:
        exchange.leave()


async def _on_body(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestChunkSentParams
) -> None:
    # Called before the body is written, and the headers leave with it.
    exchange: _Exchange = context.trace_request_ctx
    exchange.leave()


class _Line(ResponseHandler):
    """One connection of our own pool, which hears also what comes while nobody waits."""

    used = False
    waiting = False
    strayed = False

    def data_received(self, data: bytes) -> None:
        """Half an answer leaves no other trace: aiohttp's parser swallows it, and the next request gets a new one."""
        self.strayed = self.strayed or not self.waiting
        super().data_received(data)


class _Pool(aiohttp.TCPConnector):
    """Rule 6."""

    def __init__(self, *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._factory = partial(_Line, loop=self._loop)  # type: ignore[assignment] # a `partial` is invariant

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """An idle connection that kept silent, or a new one."""
        exchange = _EXCHANGE.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            line = connection.protocol
            assert isinstance(line, _Line)  # noqa: S101 - aiohttp's `_factory` is its own business; without it no rule 6
            if not line.used or not (line.should_close or line.strayed or _has_unread(connection.transport)):
                exchange.line, exchange.reused = line, line.used
                line.used = True
                return connection
            connection.close()
            exchange.disconnected()


def _has_unread(transport: asyncio.BaseTransport | None) -> bool:
    """Whether something has arrived, if only the connection's end, that a busy loop has not got round to reading."""
    idle = None if transport is None else transport.get_extra_info("socket")
    if idle is None:
        return False
    with _Selector() as selector:
        selector.register(idle, selectors.EVENT_READ)
        return bool(selector.select(0))


class AiohttpTransport:
    """Sends over aiohttp.

    Args:
        session: Lends its connection pool, with whatever TLS and address settings it has; nothing else of it is used
            (no cookies, headers, credentials or proxies) and it is never closed. None: a pool of our own. Rule 6 is
            then the lender's: `TCPConnector(force_close=True)` gives each request a connection of its own.
        trust_env: Read proxies and netrc from the environment.
        connect_timeout: Seconds for name look-up, TCP and TLS together.
        keep_alive: Seconds an idle connection of our own pool is kept; keep it below the server's own.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        trust_env: bool = False,
        connect_timeout: float = CONNECT_TIMEOUT,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self._lent = session
        self._trust_env = trust_env
        self._connect_timeout = connect_timeout
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Nothing to prepare; the pool is made with the first request."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool if it is our own. A later request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send once; see `idura_ciba.wire.Transport`.

        Raises:
            TransportTimeout: No connection, or no complete answer in time.
            TransportError: Everything else, with a `code` that says what.
        """
        failure: TransportError
        exchange: _Exchange | None = None
        try:
            async with asyncio.timeout(self._connect_timeout) as deadline:
                connect_until = asyncio.get_running_loop().time() + self._connect_timeout
                exchange = _Exchange(request.timeout, deadline, connect_until, bool(request.body))
                _EXCHANGE.set(exchange)
                return await self._on_a_silent_line(request, exchange)
        except TimeoutError:
            failure = TransportTimeout("no complete answer arrived in time")
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            # aiohttp stops a look-up that others share, when the owner of a session that was lent closes it.
            failure = TransportError("the connection was given up by its owner", code="connection")
        except TransportError as error:
            # Without the frames below: they hold the body.
            failure = error.with_traceback(None)
        except aiohttp.ClientSSLError:
            failure = TransportError("the server's certificate or TLS was not acceptable", code="tls")
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            # ValueError: aiohttp's own for an address or header it cannot take; RuntimeError: for a lent session that
            # was closed or belongs to another loop. Only the kind is told, see rule 3.
            failure = TransportError(f"the connection failed ({type(error).__name__})", code="connection")
        failure.sent_at = exchange.sent_at if exchange else None
        failure.maybe_sent = failure.sent_at is not None
        failure.ended_at = asyncio.get_running_loop().time()
        if not failure.maybe_sent:
            failure.what += ", nothing was sent"
        raise failure

    async def _on_a_silent_line(self, request: HttpRequest, exchange: _Exchange) -> HttpResponse:
        while True:
            try:
                return await self._exchange(request, exchange)
            except aiohttp.ClientError:
                if not exchange.spoilt:
                    raise
                # Nothing has left, and that connection is gone: another one, or in the end a new one.
                exchange.disconnected()

    async def _exchange(self, request: HttpRequest, exchange: _Exchange) -> HttpResponse:
        response = await self._open().request(
            request.method,
            request.url,
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            trace_request_ctx=exchange,
        )
        complete = False
        try:
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
                raise TransportError("the answer is compressed, which was not asked for", code="compressed")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > request.max_body:
                    raise TransportError(f"the answer is longer than {request.max_body} bytes", code="oversized")
            complete = True
        finally:
            if not complete or response.connection is not None:
                # What was not read to its end must not become the beginning of somebody else's answer. The end of 101
                # never comes.
                response.close()
            if exchange.line is not None:
                exchange.line.waiting = False
        received_at = asyncio.get_running_loop().time()
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            headers.setdefault(name.lower(), value)
        sent_at = received_at if exchange.sent_at is None else exchange.sent_at
        return HttpResponse(response.status, headers, bytes(body), sent_at, received_at)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(_on_connection)
            trace.on_connection_reuseconn.append(_on_connection)
            trace.on_request_headers_sent.append(_on_headers)
            trace.on_request_chunk_sent.append(_on_body)
            connector = self._lent.connector if self._lent else None
            if self._lent is not None and connector is None:
                raise TransportError("the session that was lent is closed", code="session_closed")
            self._session = aiohttp.ClientSession(
                # No limit of its own: a request that waits for a place in the pool would wait on the answer's time.
                # How many are in flight at once is the scheduler's to say.
                connector=connector or _Pool(limit=0, keepalive_timeout=self._keep_alive),
                connector_owner=connector is None,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=self._trust_env,
                timeout=aiohttp.ClientTimeout(total=None),
                trace_configs=[trace],
            )
        return self._session


async def deliver(transport: Transport, request: HttpRequest) -> HttpResponse:
    """Send once, through a transport that may be somebody else's.

    Raises:
        TransportError: As `Transport.send` says. Whatever else it does means that the request may have been sent.
    """
    try:
        response = await transport.send(request)
        if isinstance(response, HttpResponse):
            return response
        what = f"returned a {type(response).__name__}"
    except TransportError:
        raise
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        what = "cancelled itself"
    except Exception as error:  # noqa: BLE001 - foreign code; what its error says may hold anything
        what = f"failed with {type(error).__name__}"
    raise TransportError(f"the transport {what}", code="transport_failed")


def _is_answer(response: HttpResponse) -> bool:
    # The rest is a gateway without its server behind it: as good as no answer.
    return response.status != 429 and response.status < 500  # noqa: PLR2004 - RFC 6585 4; the class of status codes


async def fetch(
    transport: Transport, request: HttpRequest, *, is_answer: Callable[[HttpResponse], bool] = _is_answer
) -> HttpResponse:
    """Read a document, again if need be: a `GET` changes nothing.

    Args:
        transport: Carries the requests.
        request: The same each time.
        is_answer: Whether this is worth having. What is not is asked for again while the patience lasts.

    Returns:
        The last response, also where it was none of those worth having.

    Raises:
        TransportError: No answer after several tries.
    """
    unanswered = tenacity.retry_if_exception(_unanswered) | tenacity.retry_if_not_result(is_answer)
    return await _retrying(unanswered, FETCH_PATIENCE)(deliver, transport, request)


async def until_connected(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat `attempt` while it fails without ever having had a connection; it makes its request anew each time.

    Raises:
        TransportError: The last failure.
    """

    async def once() -> T:
        return await attempt()

    return await _retrying(tenacity.retry_if_exception(_never_connected), CONNECT_PATIENCE)(once)


def _unanswered(error: BaseException) -> bool:
    return isinstance(error, TransportError) and error.code not in _HOPELESS


def _never_connected(error: BaseException) -> bool:
    return _unanswered(error) and not getattr(error, "maybe_sent", True)


def _retrying(worth_it: tenacity.retry_base, patience: float) -> tenacity.AsyncRetrying:
    # A new controller for each call: one that is shared loses calls. The loop's clock, because tenacity's own is
    # another one.
    now = asyncio.get_running_loop().time
    give_up_at = now() + patience

    def is_over(state: tenacity.RetryCallState) -> bool:
        return now() + state.upcoming_sleep > give_up_at

    def last(state: tenacity.RetryCallState) -> object:
        # Also the last answer, where it is one that was worth another try.
        assert state.outcome is not None  # noqa: S101 - for type checkers: called after a try
        return state.outcome.result()

    return tenacity.AsyncRetrying(
        retry=worth_it,
        stop=is_over,
        wait=tenacity.wait_exponential(multiplier=0.25, max=4.0),
        retry_error_callback=last,
    )
