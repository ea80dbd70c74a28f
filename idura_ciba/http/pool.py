"""A connection pool of our own, which writes requests to aiohttp's connections directly.

aiohttp's own request objects cost two fifths of a poll's CPU, so this module bypasses them. It uses these undocumented
names of aiohttp, and no others:

    aiohttp.client_proto.ResponseHandler        made by a connector for each connection: `data_received`, `read`,
                                                `set_response_params`, `connection_made`, `should_close`, `transport`
    aiohttp.connector.TCPConnector              `connect`, and `_factory`, which makes the above
    aiohttp.connector.Connection                what `connect` returns: `protocol`, `transport`, `release`, `close`
    aiohttp.client_reqrep.ClientRequest         made for `connect` and never sent: `ssl=`, its `headers["Host"]`
    aiohttp.http_parser.RawResponseMessage      what `read` returns first: `code`, `headers`

Only `transport.py` imports this module, on first use and guarded: if a release of aiohttp has removed or changed one of
these names, requests use the documented interface instead (`session.py`). `rehearse` tries all of them before anything
is sent, and `Pool.carry` turns any later surprise into `UnexpectedAiohttp`.

A connection on which data arrived while no request was in flight is not used again. aiohttp would take that data for
the answer to the next request: one person's tokens for another's poll (rule 6 of `transport.py`).
"""

from __future__ import annotations

import asyncio
import inspect
import math
import select
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection, TCPConnector
from attrs import frozen

from idura_ciba.http.exchange import (
    LIMITS,
    USER_AGENT,
    Connections,
    Exchange,
    UnexpectedAiohttp,
    parse_url,
    read_body,
    read_fields,
    write_fields,
)
from idura_ciba.http.resolver import OwnResolver
from idura_ciba.protocol.http import HttpRequest, HttpResponse

__all__ = ["MAX_DESTINATIONS", "MAX_HEAD", "Pool", "rehearse"]

#: URLs whose destinations are cached; a client has four.
MAX_DESTINATIONS = 64
#: Most bytes of an answer's head, including what arrives in one piece with its end: any of a thousand fields may be
#: long, but not all of them. The event loop reads 256 KiB at once.
MAX_HEAD = 1024 * 1024
#: RFC 9110 section 15.2: any number of interim responses precedes the answer. 101 is final.
_INTERIM = frozenset(range(100, 200)) - {101}
_HAS_POLL = hasattr(select, "poll")
#: What a missing or changed name of aiohttp raises. All other errors come from the network.
_SURPRISES = (AssertionError, AttributeError, ImportError, LookupError, NotImplementedError, TypeError)

T = TypeVar("T")


@frozen
class _Destination:
    """Where requests to one URL go. Cached, because finding it costs more than a poll.

    Attributes:
        wanted: Tells the connector which connection is needed; never sent itself.
        start: The request line without its method, and the constant header fields.
        server: Host and port.
    """

    wanted: ClientRequest
    start: str
    server: tuple[str, int]


class _Line(ResponseHandler):
    """One connection that also notices data that nobody waits for."""

    used = False
    waiting = False
    strayed = False
    #: Bytes that may still arrive before the head of an answer ends.
    room: float = MAX_HEAD
    #: Those to the same server.
    siblings: set[_Line] | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no longer."""
        if self.siblings is not None:
            self.siblings.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note stray data. Half an answer leaves no other trace: each request gets a new parser from aiohttp."""
        self.strayed = self.strayed or not self.waiting
        self.room -= len(data)
        if self.room >= 0:
            super().data_received(data)
        elif self.transport is not None:
            self.transport.abort()

    def is_spoilt(self) -> bool:
        """Whether data has come since the last use, read or not yet read by a busy event loop."""
        return self.strayed or self.should_close or _has_unread(self.transport)


def _has_unread(transport: asyncio.BaseTransport | None) -> bool:
    """Whether the socket has unread data, or the end of the connection."""
    idle = None if transport is None else transport.get_extra_info("socket")
    if idle is None:
        return False
    if not _HAS_POLL:
        # Elsewhere `select` fails above file descriptor 1023; Windows has no `poll`, and no such limit.
        return bool(select.select([idle], [], [], 0)[0])
    poller = select.poll()
    poller.register(idle, select.POLLIN)
    return bool(poller.poll(0))


def _limits() -> dict[str, Any]:
    """The limits that this release of aiohttp knows."""
    known = inspect.signature(ResponseHandler.set_response_params).parameters
    return {name: limit for name, limit in LIMITS.items() if name in known}


class Pool:
    """The carrier that sends directly to servers; with a proxy, `Session` is used instead.

    Args:
        connect_timeout: Seconds for name lookup, TCP and TLS together.
        keep_alive: Seconds an idle connection is kept.

    Raises:
        AttributeError: This release of aiohttp makes its connections in another way.
    """

    def __init__(self, *, connect_timeout: float, keep_alive: float) -> None:
        # No limit in the pool: waiting for a connection there would use up the answer's timeout. The scheduler limits
        # the requests in flight.
        self._connector = TCPConnector(limit=0, keepalive_timeout=keep_alive, resolver=OwnResolver())
        if not hasattr(self._connector, "_factory"):
            raise AttributeError("_factory")
        line = partial(_Line, loop=asyncio.get_running_loop())
        self._connector._factory = line  # type: ignore[assignment] # noqa: SLF001 - a `partial` is invariant
        self._patience = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._limits = _limits()
        # By URL and, where the client presents a certificate, its TLS.
        self._destinations: dict[object, _Destination] = {}
        self._lines: dict[tuple[str, int], set[_Line]] = {}
        # The header fields of the last request, and how they are written: nearly all polls of a client have the same.
        self._headers: Mapping[str, str] = {}
        self._fields = ""

    async def aclose(self) -> None:
        """Close all connections."""
        transports = [line.transport for lines in self._lines.values() for line in lines]
        await self._connector.close()
        # Older releases of aiohttp do not wait until TLS has ended, and the program may end its event loop next.
        for transport in filter(None, transports):
            transport.abort()
        await asyncio.sleep(0)  # `abort` ends them in the next step of the loop

    def connections(self) -> list[Connections]:
        """How many there are, by server; a thread that gathers metrics may ask."""
        found: list[Connections] = []
        for (host, port), siblings in list(self._lines.items()):
            active = [line.waiting for line in list(siblings)]
            found.append(Connections(host, port, sum(active), len(active) - sum(active)))
        return found

    async def carry(self, exchange: Exchange) -> HttpResponse:
        """Send once; see `Carrier`.

        Raises:
            UnexpectedAiohttp: This release of aiohttp is not as expected.
        """
        try:
            return await self._carry(exchange)
        except _SURPRISES as error:
            # Only the type: the message may contain anything.
            raise UnexpectedAiohttp(type(error).__name__) from None

    async def _carry(self, exchange: Exchange) -> HttpResponse:
        request = exchange.request
        name = request.url if request.tls is None else (request.url, request.tls)
        destination = self._destinations.get(name) or self._find(name, request)
        if request.headers != self._headers:
            self._headers, self._fields = dict(request.headers), write_fields(request.headers)
        message = _write(request, destination, self._fields)
        connection, line = await self._connect(destination)
        complete = False
        try:
            transport = connection.transport
            if transport is None or transport.is_closing():
                raise aiohttp.ClientConnectionError
            line.set_response_params(read_until_eof=True, auto_decompress=False, **self._limits)
            # Nothing is awaited between choosing the connection and writing to it, so no stray data can come between.
            sent_at = exchange.leave()
            line.room, line.used, line.waiting = MAX_HEAD, True, True
            transport.write(message)
            answer, content = await line.read()
            while answer.code in _INTERIM:
                answer, content = await line.read()
            line.room = math.inf
            body = await read_body(content, request.max_body, answer.code)
            complete = True
        finally:
            line.waiting = False
            if complete:
                # aiohttp closes it if it cannot be reused, as after a 101, whose body never ends.
                connection.release()
            else:
                # The unread rest must not become the beginning of another request's answer.
                connection.close()
        received_at = asyncio.get_running_loop().time()
        return HttpResponse(answer.code, read_fields(answer.headers), body, sent_at, received_at)

    def _find(self, name: object, request: HttpRequest) -> _Destination:
        url = parse_url(request.url)
        tls: dict[str, Any] = {} if request.tls is None else {"ssl": request.tls}
        wanted = ClientRequest("GET", url, loop=asyncio.get_running_loop(), **tls)
        host = wanted.headers["Host"]
        start = f" {url.raw_path_qs} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n"
        if len(self._destinations) >= MAX_DESTINATIONS:
            self._destinations.clear()
        return self._destinations.setdefault(name, _Destination(wanted, start, (url.host or "", url.port or 0)))

    async def _connect(self, destination: _Destination) -> tuple[Connection, _Line]:
        """Return an idle connection without stray data, or a new one."""
        while True:
            connection = await self._connector.connect(destination.wanted, [], self._patience)
            line, silent = connection.protocol, False
            try:
                if line is None:
                    raise aiohttp.ClientConnectionError
                if not isinstance(line, _Line):
                    raise TypeError
                if line.siblings is None:
                    line.siblings = self._lines.setdefault(destination.server, set())
                    line.siblings.add(line)
                silent = not (line.used and line.is_spoilt())
            finally:
                if not silent:
                    connection.close()
            if silent:
                return connection, line


def _write(request: HttpRequest, destination: _Destination, fields: str) -> bytes:
    """Encode the request."""
    length = f"Content-Length: {len(request.body)}\r\n" if request.method == "POST" else ""
    return f"{request.method}{destination.start}{fields}{length}\r\n".encode() + request.body


# --- the rehearsal ----------------------------------------------------------------------------------------------------


class _Nowhere(asyncio.Transport):
    """A transport that sends nothing."""

    def is_closing(self) -> bool:
        return False


def rehearse() -> None:
    """Try everything undocumented that is used of aiohttp, without a network.

    Raises:
        Exception: Any: aiohttp is not as expected.
    """
    wanted = ClientRequest("GET", parse_url("http://localhost/"), loop=asyncio.get_running_loop(), ssl=True)
    inspect.signature(TCPConnector.connect).bind(None, wanted, [], aiohttp.ClientTimeout())
    for how_to in (Connection.release, Connection.close):
        inspect.signature(how_to).bind(None)
    if not isinstance(Connection.protocol, property) or not isinstance(Connection.transport, property):
        raise TypeError
    line = _Line(loop=asyncio.get_running_loop())
    line.waiting = True
    line.connection_made(_Nowhere())
    line.set_response_params(read_until_eof=True, auto_decompress=False, **_limits())
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    answer, content = _at_once(line.read())
    seen = (
        wanted.headers["Host"],
        answer.code,
        read_fields(answer.headers),
        _at_once(read_body(content, 2, answer.code)),
    )
    if seen != ("localhost", 200, {"content-length": "2"}, b"{}") or line.is_spoilt():
        raise AssertionError


def _at_once(step: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that must finish without waiting, and return its result."""
    try:
        step.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    step.close()
    raise AssertionError
