"""A pool of our own, whose requests are written here onto aiohttp's connections.

aiohttp's own request objects cost two fifths of a poll, so this goes behind its front door. What it uses there, and
aiohttp does not document, is this and nothing else:

    aiohttp.client_proto.ResponseHandler        made by a connector for each connection: `data_received`, `read`,
                                                `set_response_params`, `connection_made`, `should_close`, `transport`
    aiohttp.connector.TCPConnector              `connect`, and `_factory`, which makes the above
    aiohttp.connector.Connection                what `connect` returns: `protocol`, `transport`, `release`, `close`
    aiohttp.client_reqrep.ClientRequest         made for `connect` and never sent: its `headers["Host"]`
    aiohttp.http_parser.RawResponseMessage      what `read` returns first: `code`, `headers`

Nothing imports this module but `transport.py`, when it is first needed and guarded: with an aiohttp that has one of
these no longer, or otherwise, requests take the documented way (`session.py`). `rehearse` goes through all of them
before anything is sent, and `Pool.carry` turns what surprises it all the same into `UnexpectedAiohttp`.

A connection on which something arrived while nobody waited for it is not used again. aiohttp would take it for the
answer to the next request: one person's tokens for another's poll (rule 6 of `transport.py`).
"""

from __future__ import annotations

import asyncio
import inspect
import math
import select
from collections.abc import Coroutine
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

#: URLs whose destinations are kept; a client has four.
MAX_DESTINATIONS = 64
#: Bytes of an answer in front of its body, and of what comes in one piece with their end: a thousand fields may be
#: long, and all of them must not be. The event loop reads 256 KiB at once.
MAX_HEAD = 1024 * 1024
#: RFC 9110 section 15.2: any number of these comes before the answer. 101 is the last that comes.
_INTERIM = frozenset(range(100, 200)) - {101}
#: What a name that is missing, or is another thing than it was, looks like from here. All else are errors of a network.
_SURPRISES = (AssertionError, AttributeError, ImportError, LookupError, NotImplementedError, TypeError)

T = TypeVar("T")


@frozen
class _Destination:
    """Where requests to one URL go. Kept, because to find it costs more than to poll.

    Attributes:
        wanted: Tells a connector which connection is wanted; it is never sent itself.
        start: The request's first line without its method, and the fields that do not change.
    """

    wanted: ClientRequest
    start: str


class _Line(ResponseHandler):
    """One connection, which hears also what comes while nobody waits."""

    used = False
    waiting = False
    strayed = False
    #: Bytes that may come before the head of an answer has ended.
    room: float = MAX_HEAD

    def data_received(self, data: bytes) -> None:
        """Half an answer leaves no other trace: aiohttp's parser swallows it, and the next request gets a new one."""
        self.strayed = self.strayed or not self.waiting
        self.room -= len(data)
        if self.room >= 0:
            super().data_received(data)
        elif self.transport is not None:
            self.transport.abort()

    def is_spoilt(self) -> bool:
        """Whether something has come since it was last used, or a busy loop has not got round to reading it."""
        return self.strayed or self.should_close or _has_unread(self.transport)


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


def _limits() -> dict[str, Any]:
    """Those that this aiohttp knows."""
    known = inspect.signature(ResponseHandler.set_response_params).parameters
    return {name: limit for name, limit in LIMITS.items() if name in known}


class Pool:
    """Carries requests straight to their servers; those that go through a proxy take the documented way.

    Args:
        connect_timeout: Seconds for name look-up, TCP and TLS together.
        keep_alive: Seconds an idle connection is kept.

    Raises:
        AttributeError: This aiohttp makes its connections in another way.
    """

    def __init__(self, *, connect_timeout: float, keep_alive: float) -> None:
        # No limit of its own: a request that waits for a place in the pool would wait on the answer's time. How many
        # are in flight at once is the scheduler's to say.
        self._connector = TCPConnector(limit=0, keepalive_timeout=keep_alive, resolver=OwnResolver())
        if not hasattr(self._connector, "_factory"):
            raise AttributeError("_factory")
        line = partial(_Line, loop=asyncio.get_running_loop())
        self._connector._factory = line  # type: ignore[assignment] # noqa: SLF001 - a `partial` is invariant
        self._patience = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._limits = _limits()
        self._destinations: dict[str, _Destination] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connector.close()

    async def carry(self, exchange: Exchange) -> HttpResponse:
        """Send once; see `Carrier`.

        Raises:
            UnexpectedAiohttp: This aiohttp is not as expected.
        """
        try:
            return await self._carry(exchange)
        except _SURPRISES as error:
            # Only its kind is told: its words may hold anything.
            raise UnexpectedAiohttp(type(error).__name__) from None

    async def _carry(self, exchange: Exchange) -> HttpResponse:
        request = exchange.request
        destination = self._destinations.get(request.url) or self._find(request.url)
        message = _write(request, destination)
        connection, line = await self._connect(destination)
        complete = False
        try:
            transport = connection.transport
            if transport is None or transport.is_closing():
                raise aiohttp.ClientConnectionError
            line.set_response_params(read_until_eof=True, auto_decompress=False, **self._limits)
            # Nothing is awaited from choosing the connection to writing to it: what came before is not the answer.
            sent_at = exchange.leave()
            line.room, line.used, line.waiting = MAX_HEAD, True, True
            transport.write(message)
            answer, content = await line.read()
            while answer.code in _INTERIM:
                answer, content = await line.read()
            line.room = math.inf
            body = await read_body(content, request.max_body)
            complete = True
        finally:
            line.waiting = False
            if complete:
                # aiohttp closes it where it cannot be used again, as after 101, whose end never comes.
                connection.release()
            else:
                # What was not read to its end must not become the beginning of somebody else's answer.
                connection.close()
        received_at = asyncio.get_running_loop().time()
        return HttpResponse(answer.code, read_fields(answer.headers), body, sent_at, received_at)

    def _find(self, address: str) -> _Destination:
        url = parse_url(address)
        wanted = ClientRequest("GET", url, loop=asyncio.get_running_loop())
        host = wanted.headers["Host"]
        start = f" {url.raw_path_qs} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n"
        if len(self._destinations) >= MAX_DESTINATIONS:
            self._destinations.clear()
        return self._destinations.setdefault(address, _Destination(wanted, start))

    async def _connect(self, destination: _Destination) -> tuple[Connection, _Line]:
        """An idle connection that kept silent, or a new one."""
        while True:
            connection = await self._connector.connect(destination.wanted, [], self._patience)
            line, silent = connection.protocol, False
            try:
                if line is None:
                    raise aiohttp.ClientConnectionError
                if not isinstance(line, _Line):
                    raise TypeError
                silent = not (line.used and line.is_spoilt())
            finally:
                if not silent:
                    connection.close()
            if silent:
                return connection, line


def _write(request: HttpRequest, destination: _Destination) -> bytes:
    """The request as it leaves."""
    lines = [request.method, destination.start, write_fields(request.headers)]
    if request.method == "POST":
        lines.append(f"Content-Length: {len(request.body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode() + request.body


# --- the rehearsal ----------------------------------------------------------------------------------------------------


class _Nowhere(asyncio.Transport):
    """The other end of a connection on which nothing is sent."""

    def is_closing(self) -> bool:
        return False


def rehearse() -> None:
    """Go through all that is used of aiohttp and not documented, without a network.

    Raises:
        Exception: Of any kind: something is not as expected.
    """
    wanted = ClientRequest("GET", parse_url("http://localhost/"), loop=asyncio.get_running_loop())
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
    seen = (wanted.headers["Host"], answer.code, read_fields(answer.headers), _at_once(read_body(content, 2)))
    if seen != ("localhost", 200, {"content-length": "2"}, b"{}") or line.is_spoilt():
        raise AssertionError


def _at_once(step: Coroutine[Any, Any, T]) -> T:
    """What comes of it, which has nothing to wait for."""
    try:
        step.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    step.close()
    raise AssertionError
