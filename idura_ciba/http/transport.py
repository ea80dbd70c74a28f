"""HTTP: the only room on the client's side that knows aiohttp, and the only one that retries.

Rules:
1. One request, one answer. No redirect is followed: a 307 would carry the form, and with it credentials and a national
   id, to another host. No cookie is kept, and nothing is read from the environment unless asked for.
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
import math
import re
import select
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import tenacity
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import get_env_proxy_for_url
from aiohttp.http import HttpProcessingError
from attrs import define, frozen
from yarl import URL

from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport

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

#: URLs whose destinations are kept; a client has four.
MAX_DESTINATIONS = 64
#: Seconds in which an idle connection is found; a new one takes a round trip at least.
_AT_ONCE = 0.001
#: RFC 9110 section 15.2: any number of these comes before the answer. 101 is the last that comes.
_INTERIM = frozenset(range(100, 200)) - {101}
#: RFC 9110 sections 5.1 and 5.5: names are tokens, values hold no control characters but tabs.
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")

T = TypeVar("T")


@define
class _Exchange:
    """One request on its way: `sent_at` is when it had its connection, None before that."""

    sent_at: float | None = None


@frozen
class _Destination:
    """Where requests to one URL go. Kept, because to find it costs more than to poll.

    Attributes:
        wanted: Tells a pool which connection is wanted; it is never sent itself.
        start: The request's first line without its method, and the fields that do not change.
    """

    wanted: aiohttp.ClientRequest
    start: str


class _Line(ResponseHandler):
    """One connection of our own pool, which hears also what comes while nobody waits."""

    used = False
    waiting = False
    strayed = False

    def data_received(self, data: bytes) -> None:
        """Half an answer leaves no other trace: aiohttp's parser swallows it, and the next request gets a new one."""
        self.strayed = self.strayed or not self.waiting
        super().data_received(data)

    def is_spoilt(self) -> bool:
        """Whether something has come since it was last used, or a busy loop has not got round to reading it."""
        return self.strayed or self.should_close or _has_unread(self.transport)


class _Pool(aiohttp.TCPConnector):
    """Rule 6 for our own connections."""

    def __init__(self, *, keepalive_timeout: float) -> None:
        # No limit of its own: a request that waits for a place in the pool would wait on the answer's time. How many
        # are in flight at once is the scheduler's to say.
        super().__init__(limit=0, keepalive_timeout=keepalive_timeout)
        self._factory = partial(_Line, loop=self._loop)  # type: ignore[assignment] # a `partial` is invariant


def _has_unread(transport: asyncio.BaseTransport | None) -> bool:
    """Whether something has arrived, if only the connection's end."""
    idle = None if transport is None else transport.get_extra_info("socket")
    if idle is None:
        return False
    if not hasattr(select, "poll"):
        # `select` itself knows no file above number 1023; Windows has nothing else and does not mind.
        return bool(select.select([idle], [], [], 0)[0])
    poller = select.poll()
    poller.register(idle, select.POLLIN)
    return bool(poller.poll(0))


class AiohttpTransport:
    """Sends over aiohttp's connections.

    What is sent and when is written here: aiohttp's own requests cost more than all else of a poll, and do not say
    whether one has left.

    Args:
        session: Lends its connection pool, with whatever TLS and address settings it has; nothing else of it is used
            (no cookies, headers, credentials or proxies) and it is never closed. None: a pool of our own. Rule 6 is
            then the lender's: `TCPConnector(force_close=True)` gives each request a connection of its own.
        trust_env: Read proxies from the environment, and their credentials also from netrc.
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
        # aiohttp would round up to whole seconds.
        self._patience = aiohttp.ClientTimeout(total=None, connect=connect_timeout, ceil_threshold=math.inf)
        self._keep_alive = keep_alive
        self._pool: _Pool | None = None
        self._destinations: dict[str, _Destination] = {}

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
        pool, self._pool = self._pool, None
        self._destinations.clear()
        if pool is not None:
            await pool.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send once; see `idura_ciba.protocol.http.Transport`.

        Raises:
            TransportTimeout: No connection, or no complete answer in time.
            TransportError: Everything else, with a `code` that says what.
        """
        failure: TransportError
        exchange = _Exchange()
        try:
            async with asyncio.timeout(max(request.timeout, self._connect_timeout)) as deadline:
                return await self._exchange(request, exchange, deadline)
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
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError) as error:
            # ValueError: for an address or header that cannot be sent; RuntimeError: aiohttp's own for a lent pool that
            # belongs to another loop. Only the kind is told, see rule 3.
            failure = TransportError(f"the connection failed ({type(error).__name__})", code="connection")
        failure.sent_at = exchange.sent_at
        failure.maybe_sent = failure.sent_at is not None
        failure.ended_at = asyncio.get_running_loop().time()
        if not failure.maybe_sent:
            failure.what += ", nothing was sent"
        raise failure

    async def _exchange(self, request: HttpRequest, exchange: _Exchange, deadline: asyncio.Timeout) -> HttpResponse:
        loop, connector = asyncio.get_running_loop(), self._open()
        destination = self._destinations.get(request.url) or await self._find(request.url)
        message = _write(request, destination, closing=connector.force_close)
        asked_at = loop.time()
        connection, line = await _connect(connector, destination, self._patience)
        # Nothing is awaited from choosing the connection to writing to it: what came before is not the answer.
        exchange.sent_at = sent_at = loop.time()
        if sent_at - asked_at > _AT_ONCE or request.timeout < self._connect_timeout:
            # The wait for the answer begins now.
            deadline.reschedule(sent_at + request.timeout)
        complete = False
        try:
            transport = connection.transport
            if transport is None or transport.is_closing():
                raise aiohttp.ClientConnectionError
            line.set_response_params(read_until_eof=True, auto_decompress=False)
            if isinstance(line, _Line):
                line.used = line.waiting = True
            transport.write(message)
            answer, content = await line.read()
            while answer.code in _INTERIM:
                answer, content = await line.read()
            body = await _read(content, answer.headers, request.max_body)
            complete = True
        finally:
            if isinstance(line, _Line):
                line.waiting = False
            if complete:
                # aiohttp closes it where it cannot be used again, as after 101, whose end never comes.
                connection.release()
            else:
                # What was not read to its end must not become the beginning of somebody else's answer.
                connection.close()
        headers: dict[str, str] = {}
        for name, value in answer.headers.items():
            headers.setdefault(name.lower(), value)
        return HttpResponse(answer.code, headers, body, sent_at, loop.time())

    def _open(self) -> aiohttp.BaseConnector:
        if self._lent is not None:
            connector = self._lent.connector
            if connector is None:
                raise TransportError("the session that was lent is closed", code="session_closed")
            return connector
        if self._pool is None:
            self._pool = _Pool(keepalive_timeout=self._keep_alive)
        return self._pool

    async def _find(self, address: str) -> _Destination:
        """Where a URL leads, by the proxies of the environment where those are trusted."""
        url, proxy, proxy_auth = URL(address), None, None
        if url.scheme not in {"http", "https"} or url.user is not None:
            raise ValueError
        if self._trust_env:
            with suppress(LookupError):
                # In a thread: some systems look the host up.
                proxy, proxy_auth = await asyncio.to_thread(get_env_proxy_for_url, url)
        loop = asyncio.get_running_loop()
        wanted = aiohttp.ClientRequest("GET", url, loop=loop, proxy=proxy, proxy_auth=proxy_auth)
        start = f" {url.raw_path_qs} HTTP/1.1\r\n"
        if proxy is not None and not wanted.is_ssl():
            # RFC 9112 section 3.2.2. Through TLS there is a tunnel, which aiohttp makes.
            start = f" {url.with_fragment(None)} HTTP/1.1\r\n"
            start += f"Proxy-Authorization: {proxy_auth.encode()}\r\n" if proxy_auth is not None else ""
        start += f"Host: {wanted.headers['Host']}\r\nUser-Agent: idura_ciba\r\n"
        if len(self._destinations) >= MAX_DESTINATIONS:
            self._destinations.clear()
        return self._destinations.setdefault(address, _Destination(wanted, start))


async def _connect(
    connector: aiohttp.BaseConnector, destination: _Destination, patience: aiohttp.ClientTimeout
) -> tuple[Connection, ResponseHandler]:
    """An idle connection that kept silent, or a new one."""
    while True:
        connection = await connector.connect(destination.wanted, [], patience)
        line = connection.protocol
        if line is None:
            raise aiohttp.ClientConnectionError
        if not (isinstance(line, _Line) and line.used and line.is_spoilt()):
            return connection, line
        connection.close()


def _write(request: HttpRequest, destination: _Destination, *, closing: bool) -> bytes:
    """The request as it leaves."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    if fields.count("\n") != len(request.headers) or not _FIELDS.fullmatch(fields):
        # RFC 9112 section 2.2: a line break in a value would begin a field of its own.
        raise ValueError
    lines = [request.method, destination.start, fields]
    if closing:
        lines.append("Connection: close\r\n")
    if request.method == "POST":
        lines.append(f"Content-Length: {len(request.body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode() + request.body


async def _read(content: aiohttp.StreamReader, headers: Mapping[str, str], limit: int) -> bytes:
    """Rule 2."""
    if headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise TransportError("the answer is compressed, which was not asked for", code="compressed")
    body = bytearray()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > limit:
            raise TransportError(f"the answer is longer than {limit} bytes", code="oversized")
    return bytes(body)


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
    give_up_at = asyncio.get_running_loop().time() + FETCH_PATIENCE
    return await _retrying(unanswered, give_up_at)(deliver, transport, request)


async def until_connected(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat `attempt` while it fails without ever having had a connection; it makes its request anew each time.

    Raises:
        TransportError: The last failure.
    """
    give_up_at = asyncio.get_running_loop().time() + CONNECT_PATIENCE
    failed: list[TransportError] = []
    try:
        # Without tenacity, which costs a third of an authentication request: nearly all need no second try.
        return await attempt()
    except TransportError as error:
        failed.append(error)

    async def once() -> T:
        if failed:
            raise failed.pop()
        return await attempt()

    return await _retrying(tenacity.retry_if_exception(_never_connected), give_up_at)(once)


def _unanswered(error: BaseException) -> bool:
    return isinstance(error, TransportError) and error.code not in _HOPELESS


def _never_connected(error: BaseException) -> bool:
    return _unanswered(error) and not getattr(error, "maybe_sent", True)


def _retrying(worth_it: tenacity.retry_base, give_up_at: float) -> tenacity.AsyncRetrying:
    # A new controller for each call: one that is shared loses calls. The loop's clock, because tenacity's own is
    # another one.
    now = asyncio.get_running_loop().time

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
