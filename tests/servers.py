"""Servers over real sockets that say exactly what they are told to, lies included, and transports to reach them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import define, field

from idura_ciba.errors import TransportError
from idura_ciba.http.pool import Pool
from idura_ciba.http.session import Session
from idura_ciba.http.transport import KEEP_ALIVE, AiohttpTransport
from idura_ciba.protocol.http import HttpRequest

#: What must never be seen in an error.
SECRET_HEADER, SECRET_BODY, SECRET_ANSWER = "c2VjcmV0LWhlYWRlcg", "sub:ssn:209801011231", "eyJhbGciOiJub25lIn0"

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


def free_port() -> int:
    """A port that nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def http(body: bytes = b"{}", *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """An answer, by default with its length."""
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {len(body)}"] if length else []), "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """An answer in chunks, by default with their end."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return http(body + (b"0\r\n\r\n" if end else b""), "Transfer-Encoding: chunked", length=False)


def then_close(data: bytes) -> Write:
    """Write and close the connection."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return write


def then_reset(data: bytes = b"") -> Write:
    """Write and break the connection off."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        # So that what was written arrives before the reset does.
        await asyncio.sleep(0.005)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return write


def drip(data: bytes, pause: float) -> Write:
    """Write one byte at a time, for ever."""

    async def write(writer: asyncio.StreamWriter) -> None:
        while True:
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(pause)

    return write


async def silence(_: asyncio.StreamWriter) -> None:
    """Answer nothing."""
    await asyncio.Event().wait()


#: What a server may say when it was not asked.
LATE = {
    "a whole answer": http(b'{"of":"somebody else"}'),
    "half an answer": http(b'{"of":"somebody else"}')[:-5],
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "junk": b"\r\n\r\njunk",
}


@define(eq=False)
class Server:
    """Answers the nth request with the nth answer; the last one stays.

    After bytes it closes the connection if it is asked to; after a function never.

    Attributes:
        answers: Bytes to write, or a function that writes.
        requests: Each request as it came over the wire: the head, and the body.
        connections: How many there have been.
        open: Those that are open.
        stop_listening: Refuses further ones.
    """

    answers: list[bytes | Write]
    scheme: str = "http"
    requests: list[tuple[str, bytes]] = field(factory=list, init=False)
    connections: int = field(default=0, init=False)
    open: set[asyncio.StreamWriter] = field(factory=set, init=False)
    url: str = field(default="", init=False)
    stop_listening: Callable[[], None] = field(default=lambda: None, init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)

    def request(self, path: str = "/x", **options: object) -> HttpRequest:
        """A request to this server, with secrets in it."""
        headers = {"Authorization": f"Basic {SECRET_HEADER}", "Accept-Encoding": "identity"}
        defaults = {"headers": headers, "body": SECRET_BODY.encode(), "timeout": 5.0}
        return HttpRequest(options.pop("method", "POST"), self.url + path, **{**defaults, **options})  # type: ignore[arg-type]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((line for line in head.splitlines() if line.lower().startswith("content-length:")), ":0")
                self.requests.append((head, await reader.readexactly(int(length.partition(":")[2]))))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(answer):
                    await answer(writer)
                    continue
                closing = "\r\nConnection: close\r\n" in head
                writer.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) if closing else answer)
                await writer.drain()
                if closing:
                    break
        writer.close()
        self.open.discard(writer)
        self._tasks.discard(task)

    async def stop(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(
    *answers: bytes | Write, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """A server on a free port of this machine."""
    server = Server(list(answers))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls, backlog=512)
    server.stop_listening = listener.close
    server.url = f"http{'s' if tls else ''}://{host}:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await listener.wait_closed()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server that is no HTTP server, on a free port."""
    over: list[asyncio.Task[None]] = []

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        over.append(task)
        with suppress(OSError):
            await serve(reader, writer)

    listener = await asyncio.start_server(run, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]
    await asyncio.gather(*over)


def server_tls(certificate: Path) -> ssl.SSLContext:
    """The server's side of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def failure(transport: AiohttpTransport, request: HttpRequest) -> TransportError:
    """The error of one request, which shows nothing of what was sent or answered, however it is printed."""
    with pytest.raises(TransportError) as caught:
        await transport.send(request)
    error = caught.value
    printed = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    shown = f"{error}{error!r}{error.args}{vars(error)}{printed}"
    for secret in (SECRET_HEADER, SECRET_BODY, SECRET_ANSWER, "Authorization"):
        assert secret not in shown
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.ended_at is not None
    assert error.maybe_sent == (error.sent_at is not None) == ("nothing was sent" not in str(error))
    return error


# --- the client -------------------------------------------------------------------------------------------------------

#: Opens a transport that goes one way or the other; its options are those of `AiohttpTransport`.
Connect = Callable[..., AbstractAsyncContextManager[AiohttpTransport]]
WAYS = {"pool": Pool, "session": Session}


@asynccontextmanager
async def connecting(way: str, *, keep_alive: float = KEEP_ALIVE, **options: Any) -> AsyncIterator[AiohttpTransport]:
    """A transport that goes one way and no other, and leaves nothing.

    Args:
        way: One of `WAYS`.
        keep_alive: Seconds that an idle connection is kept.
        **options: Those of `AiohttpTransport`.
    """
    connector = aiohttp.TCPConnector(keepalive_timeout=keep_alive, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        if way == "session":
            options["session"] = session
        async with AiohttpTransport(keep_alive=keep_alive, **options) as transport:
            yield transport
            assert isinstance(transport._carrier, WAYS[way] | None)
        assert transport._carrier is None
        assert not session.closed
