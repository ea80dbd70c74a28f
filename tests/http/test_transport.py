"""Tests of HTTP over real sockets, against a server that says exactly what it is told to, lies included."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import gzip
import ipaddress
import logging
import os
import socket
import ssl
import struct
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.http.transport import (
    CONNECT_PATIENCE,
    FETCH_PATIENCE,
    KEEP_ALIVE,
    MAX_DESTINATIONS,
    AiohttpTransport,
    _Pool,
    deliver,
    fetch,
    until_connected,
)
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from tests.fakes import Answer, FakeTransport, outage, private_key, refused

#: What must never be seen in an error.
SECRET_HEADER, SECRET_BODY, SECRET_ANSWER = "c2VjcmV0LWhlYWRlcg", "sub:ssn:209801011231", "eyJhbGciOiJub25lIn0"

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


# --- the server -------------------------------------------------------------------------------------------------------


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


@define(eq=False)
class Server:
    """Answers the nth request with the nth answer; the last one stays.

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
                else:
                    writer.write(answer)
                    await writer.drain()
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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has vouched for, with its key."""
    key = private_key("P-256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    )
    return path


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


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left() -> Iterator[None]:
    """What was not closed warns when it is collected, and a warning is a failure."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> object:
    """No test makes anybody log what must not be seen."""
    caplog.set_level(logging.DEBUG)
    yield
    for secret in (SECRET_HEADER, SECRET_BODY, SECRET_ANSWER):
        assert secret not in caplog.text


class Transport(AiohttpTransport):
    """Ours, and nothing of it is left when the block ends."""

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(None, None, None)
        assert self._pool is None


# --- one request, one answer ------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_a_request_leaves_as_it_is_and_its_answer_comes_back() -> None:
    """Method, path, headers and body are those of the request; of the answer's headers the first counts."""
    answer = http(b'{"a":1}', "Trace-Id: one", "TRACE-ID: two", "Date: now", "X-Empty:", status="418 Teapot")
    async with serving(answer) as server, Transport() as transport:
        before = asyncio.get_running_loop().time()
        response = await transport.send(server.request("/ciba/x?y=%3D1"))
        after = asyncio.get_running_loop().time()
    assert (response.status, response.body, response.trace_id) == (418, b'{"a":1}', "one")
    assert response.headers == {"trace-id": "one", "date": "now", "x-empty": "", "content-length": "7"}
    assert before <= response.sent_at <= response.received_at <= after
    ((head, body),) = server.requests
    assert body == SECRET_BODY.encode()
    first, *headers = head.strip().split("\r\n")
    assert first == "POST /ciba/x?y=%3D1 HTTP/1.1"
    sent = dict(header.split(": ", 1) for header in headers)
    assert len(sent) == len(headers)
    assert sent["Authorization"] == f"Basic {SECRET_HEADER}"
    assert sent["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Transfer-Encoding", "Expect"} & set(sent)


@pytest.mark.sockets
async def test_a_document_is_asked_for_without_a_body() -> None:
    """GET has no form and no type of one."""
    async with serving(http()) as server, Transport() as transport:
        response = await transport.send(HttpRequest("GET", f"{server.url}/x", {"Accept-Encoding": "identity"}))
    assert response.body == b"{}"
    ((head, _),) = server.requests
    assert head.startswith("GET /x HTTP/1.1\r\n")
    assert "content" not in head.lower()


@pytest.mark.sockets
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    """The other host is never contacted: a 307 would hand it credentials and a national id."""
    async with serving(http()) as other, Transport() as transport:
        redirect = http(b"", f"Location: {other.url}/stolen", status=f"{status} Moved")
        async with serving(redirect) as server:
            response = await transport.send(server.request())
        assert response.status == status
        assert len(server.requests) == 1
        assert other.connections == 0


@pytest.mark.sockets
async def test_no_cookie_is_kept() -> None:
    """What the server wants remembered is forgotten, also under a name for which jars do remember."""
    async with (
        serving(http(b"{}", "Set-Cookie: session=1; Path=/"), host="localhost") as server,
        Transport() as transport,
    ):
        for _ in range(2):
            await transport.send(server.request())
    assert len(server.requests) == 2
    assert not any("cookie" in head.lower() for head, _ in server.requests)


#: Fifty kilobytes that would become fifty megabytes.
BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.sockets
@pytest.mark.parametrize(
    "encoding", ["gzip", "GZIP ", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "unheard-of"]
)
async def test_a_compressed_answer_is_refused_unseen(encoding: str) -> None:
    """A bomb is not inflated: its fifty megabytes never exist."""
    async with serving(http(BOMB, f"Content-Encoding: {encoding}")) as server, Transport() as transport:
        tracemalloc.start()
        error = await failure(transport, server.request())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert error.code == "compressed"
    assert error.maybe_sent
    assert peak < 5_000_000


@pytest.mark.sockets
@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_an_answer_that_says_it_is_plain_is_plain(encoding: str) -> None:
    """Some servers name even that."""
    async with serving(http(b"{}", f"Content-Encoding: {encoding}")) as server, Transport() as transport:
        assert (await transport.send(server.request())).body == b"{}"


@pytest.mark.sockets
@pytest.mark.parametrize(
    "answer",
    [
        http,
        lambda body: chunked(body[:50], body[50:]),
        lambda body: then_close(http(body, length=False)),
    ],
    ids=["length", "chunks", "until the end"],
)
async def test_an_answer_is_bounded(answer: Callable[[bytes], bytes | Write]) -> None:
    """An answer of exactly the bound is read, and one byte more is an error, however the length is told."""
    body = SECRET_ANSWER.encode() * 10
    async with serving(answer(body)) as server, Transport() as transport:
        assert (await transport.send(server.request(max_body=len(body)))).body == body
        error = await failure(transport, server.request(max_body=len(body) - 1))
        assert error.code == "oversized"
        assert error.maybe_sent
        # What is left of it does not become the next answer.
        assert (await transport.send(server.request())).body == body


@pytest.mark.sockets
async def test_an_endless_answer_is_left_early() -> None:
    """Memory holds no more than the bound, and the connection is closed."""

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(http(length=False))
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with serving(endless) as server, Transport() as transport:
        tracemalloc.start()
        error = await failure(transport, server.request())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert error.code == "oversized"
    assert peak < 8_000_000


# --- faults -----------------------------------------------------------------------------------------------------------

BROKEN: dict[str, bytes | Write] = {
    "closed without an answer": then_close(b""),
    "reset without an answer": then_reset(),
    "reset in the head": then_reset(b"HTTP/1.1 200 OK\r\nContent-"),
    "reset after the head": then_reset(http(SECRET_ANSWER.encode())[: -len(SECRET_ANSWER)]),
    "reset in the body": then_reset(http(SECRET_ANSWER.encode())[:-1]),
    "closed in the head": then_close(b"HTTP/1.1 200 OK\r\nContent-"),
    "closed in the body": then_close(http(SECRET_ANSWER.encode())[:-1]),
    "closed in a chunk": then_close(chunked(SECRET_ANSWER.encode())[:-20]),
    "closed between chunks": then_close(chunked(SECRET_ANSWER.encode(), end=False)),
    "closed before the last line break": then_close(chunked(SECRET_ANSWER.encode())[:-2]),
    "a chunk without a size": then_close(http(b"zz\r\n{}\r\n", "Transfer-Encoding: chunked", length=False)),
    "length and chunks": then_close(http(b"0\r\n\r\n", "Transfer-Encoding: chunked")),
    "two lengths": then_close(http(b"{}", "Content-Length: 1")),
    "a negative length": then_close(http(b"{}", "Content-Length: -1", length=False)),
    "a length in words": then_close(http(b"{}", "Content-Length: two", length=False)),
    "no HTTP": then_close(SECRET_ANSWER.encode() + b"\r\n\r\n"),
    "HTTP/0.9": then_close(b"<html>" + SECRET_ANSWER.encode()),
    "a status in words": then_close(http(status=SECRET_ANSWER)),
    "a head without end": then_close(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000),
    "a line without end": then_close(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000),
    "TLS": then_close(b"\x15\x03\x01\x00\x02\x02\x46"),
}


@pytest.mark.sockets
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_an_error_of_our_own(name: str) -> None:
    """Whatever happens after the connection was made, the request may have arrived, and the next one works."""
    async with serving(BROKEN[name], http()) as server, Transport() as transport:
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("connection", True)
        assert (await transport.send(server.request())).body == b"{}"
        # Sent once: nobody below us tries again.
        assert len(server.requests) == 2


@pytest.mark.sockets
async def test_an_answer_without_length_ends_with_the_connection() -> None:
    """A cut there cannot be seen here; the JSON in it will tell."""
    async with serving(then_close(http(b'{"a":', length=False))) as server, Transport() as transport:
        assert (await transport.send(server.request())).body == b'{"a":'


@pytest.mark.sockets
async def test_without_a_connection_certainly_nothing_was_sent() -> None:
    """A port where nobody listens."""
    async with serving(http()) as server:
        request = server.request()
    async with Transport() as transport:
        error = await failure(transport, request)
    assert (error.code, error.maybe_sent, error.sent_at) == ("connection", False, None)


@pytest.mark.sockets
@pytest.mark.parametrize(
    "change", [{"url": "nowhere"}, {"url": "http://"}, {"url": "ftp://127.0.0.1/"}, {"headers": {"X": "a\r\nY: b"}}]
)
async def test_what_cannot_be_sent_is_not_sent(change: dict[str, str]) -> None:
    """An address or header that the HTTP library refuses is an error of our own too."""
    async with serving(http()) as server, Transport() as transport:
        options = {"url": f"{server.url}/x", **change}
        error = await failure(transport, HttpRequest("GET", **options))  # type: ignore[arg-type]
    assert error.code == "connection"
    assert server.requests == []


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.sockets
@pytest.mark.parametrize(
    "answer",
    [
        silence,
        drip(http(b"{}" * 1000), 0.005),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0.0001),
    ],
    ids=["silence", "one byte after the other", "please continue"],
)
async def test_an_answer_has_its_time_and_no_more(answer: Write) -> None:
    """The whole answer counts, not the wait for its next byte; afterwards the connection is not used again."""
    async with serving(answer, http()) as server, Transport() as transport:
        error = await failure(transport, server.request(timeout=0.03))
        assert isinstance(error, TransportTimeout)
        assert error.code == "timeout"
        assert error.maybe_sent
        assert error.sent_at is not None
        assert error.ended_at is not None
        assert 0.03 <= error.ended_at - error.sent_at < 1
        assert (await transport.send(server.request())).body == b"{}"
        assert server.connections == 2


@pytest.mark.sockets
async def test_time_counts_from_the_moment_there_is_a_connection() -> None:
    """Waiting for a place in a lent pool does not cost the answer its time, nor does it count as sent."""

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.045)
        writer.write(http())

    connector = aiohttp.TCPConnector(limit=1)
    async with (
        serving(slow, http()) as server,
        aiohttp.ClientSession(connector=connector) as session,
        Transport(session=session) as patient,
        Transport(session=session, connect_timeout=0.01) as hasty,
    ):
        first = asyncio.create_task(patient.send(server.request()))
        await asyncio.sleep(0)
        second = asyncio.create_task(patient.send(server.request(timeout=0.04)))
        error = await failure(hasty, server.request())
        assert isinstance(error, TransportTimeout)
        assert not error.maybe_sent
        responses = await asyncio.gather(first, second)
    assert responses[1].sent_at >= responses[0].received_at
    assert len(server.requests) == 2


@pytest.mark.sockets
async def test_a_connection_that_does_not_come_about_is_given_up() -> None:
    """A server that accepts and never says its part of TLS; nothing was sent."""
    async with serving(http()) as server, Transport(connect_timeout=0.03) as transport:
        server.url = server.url.replace("http", "https")
        error = await failure(transport, server.request(timeout=0.001))
    assert isinstance(error, TransportTimeout)
    assert not error.maybe_sent
    assert server.requests == []


@pytest.mark.sockets
async def test_who_cancels_is_cancelled_and_leaves_nothing() -> None:
    """Cancelling is never turned into an error, the connection is closed and the pool works on."""
    async with serving(silence, http()) as server, Transport() as transport:
        task = asyncio.create_task(transport.send(server.request()))
        await asyncio.sleep(0.02)
        assert len(server.requests) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await transport.send(server.request())).body == b"{}"
        assert server.connections == 2


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_a_certificate_that_nobody_vouches_for_is_refused_once(certificate: Path) -> None:
    """Nothing is sent, and asking again would not make it better."""
    async with serving(http(), tls=server_tls(certificate)) as server, Transport() as transport:
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("tls", False)
        for again in (fetch(transport, server.request()), until_connected(lambda: transport.send(server.request()))):
            with pytest.raises(TransportError) as caught:
                await again
            assert caught.value.code == "tls"
        assert server.connections in {0, 3}
        assert server.requests == []


@pytest.mark.sockets
async def test_a_server_that_speaks_no_tls_is_refused() -> None:
    """Plain text where TLS was expected is no connection at all."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(http())
        writer.close()

    async with listening(plain) as port, Transport() as transport:
        error = await failure(transport, HttpRequest("GET", f"https://127.0.0.1:{port}"))
    assert (error.code, error.maybe_sent) == ("tls", False)


@pytest.mark.sockets
async def test_a_lent_session_brings_its_own_trust(certificate: Path) -> None:
    """An authority of one's own is set up on the connector that is lent."""
    trust = ssl.create_default_context(cafile=str(certificate))
    connector = aiohttp.TCPConnector(ssl=trust)
    async with (
        serving(http(), tls=server_tls(certificate)) as server,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        async with Transport(session=session) as transport:
            assert (await transport.send(server.request())).status == 200
        assert (await transport.send(server.request())).status == 200
        await transport.aclose()


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_a_connection_is_used_again_while_it_is_fresh() -> None:
    """One after the other over one connection; after the pause, which is shorter than any server's, a new one."""
    async with serving(http()) as server, Transport(keep_alive=0.02) as transport:
        for _ in range(5):
            await transport.send(server.request())
        assert server.connections == 1
        await asyncio.sleep(0.04)
        await transport.send(server.request())
        assert server.connections == 2
    assert KEEP_ALIVE < 5


@pytest.mark.sockets
async def test_no_request_waits_for_another() -> None:
    """Our own pool has no bound: how many polls are under way at once is the scheduler's business."""
    together = 110  # more than the HTTP library lets out by itself
    arrived = asyncio.Event()

    async def when_all_are_there(writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == together:
            arrived.set()
        await arrived.wait()
        writer.write(http())

    async with serving(when_all_are_there) as server, Transport() as transport:
        responses = await asyncio.gather(*(transport.send(server.request()) for _ in range(together)))
    assert [response.status for response in responses] == [200] * together


LATE = {
    "a whole answer": http(b'{"of":"somebody else"}'),
    "half an answer": http(b'{"of":"somebody else"}')[:-5],
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "junk": b"\r\n\r\njunk",
}


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("name", "pause"), [*((name, 0.005) for name in LATE), ("a whole answer", 0.0), ("half an answer", 0.0)]
)
async def test_an_answer_that_nobody_waited_for_is_nobody_s_answer(name: str, pause: float) -> None:
    """A second answer on an idle connection, at once or later, is never handed to the next request."""

    async def twice(writer: asyncio.StreamWriter) -> None:
        writer.write(http(b'{"of":"this one"}'))
        await asyncio.sleep(pause)
        writer.write(LATE[name])

    async with serving(twice) as server, Transport() as transport:
        # The second time also with two spoiled connections at once.
        for together in (1, 2, 3):
            responses = await asyncio.gather(*(transport.send(server.request()) for _ in range(together)))
            assert {response.body for response in responses} == {b'{"of":"this one"}'}
            await asyncio.sleep(0.02)
        assert server.connections == 6


@pytest.mark.sockets
async def test_an_answer_that_a_busy_loop_has_not_read_yet_is_nobody_s_either() -> None:
    """What waits in the operating system counts as having arrived, and nothing in between lets the loop read it."""
    async with serving(http(b'{"of":"this one"}')) as server, Transport() as transport:
        for connections in (1, 2):
            response = await transport.send(server.request())
            assert response.body == b'{"of":"this one"}'
            assert server.connections == connections
            for writer in server.open:
                os.write(writer.get_extra_info("socket").fileno(), LATE["a whole answer"])


@pytest.mark.sockets
async def test_a_server_that_speaks_before_it_is_asked_cannot_keep_us_busy() -> None:
    """What a new connection brings is not somebody else's answer: it is taken as it is, so each request opens one."""
    connections = 0

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(2 * http())
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    async with listening, Transport() as transport:
        for _ in range(3):
            with suppress(TransportError):
                await transport.send(HttpRequest("GET", url, timeout=5))
    assert connections == 3


@pytest.mark.sockets
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_arrives_just_before_a_request_leaves_is_not_its_answer(
    monkeypatch: pytest.MonkeyPatch, method: Literal["GET", "POST"]
) -> None:
    """Chosen, looked at, and written to without a pause: what comes until the last look costs the connection."""
    async with serving(http(b'{"of":"this one"}')) as server, Transport() as transport:
        await transport.send(server.request())
        real, idle = _Pool.connect, list(server.open)

        async def connect(self: _Pool, *args: Any, **kwargs: Any) -> Any:
            connection = await real(self, *args, **kwargs)
            while idle:
                os.write(idle.pop().get_extra_info("socket").fileno(), LATE["a whole answer"])
            return connection

        monkeypatch.setattr(_Pool, "connect", connect)
        body = b"" if method == "GET" else SECRET_BODY.encode()
        response = await transport.send(server.request(method=method, body=body))
        monkeypatch.undo()
        assert response.body == b'{"of":"this one"}'
        assert server.connections == 2
        assert len(server.requests) == 2


@pytest.mark.sockets
async def test_a_connection_that_was_not_good_enough_sent_nothing() -> None:
    """One that spoke while idle is dropped; when no other can be made, certainly nothing was sent."""
    async with serving(http()) as server, Transport() as transport:
        await transport.send(server.request())
        for writer in server.open:
            writer.write(b"junk")
        await asyncio.sleep(0.02)
        server.stop_listening()
        with pytest.raises(TransportError) as caught:
            await transport.send(server.request())
    assert caught.value.sent_at is None
    assert not caught.value.maybe_sent


@pytest.mark.sockets
async def test_an_answer_that_changes_the_protocol_leaks_nothing() -> None:
    """101 has no end: the connection is closed, and nobody warns of it later."""
    async with serving(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n") as server:
        async with Transport() as transport:
            for _ in range(2):
                with suppress(TransportError):
                    assert (await transport.send(server.request())).status == 101
            gc.collect()
        assert server.connections == 2


@pytest.mark.parametrize(
    ("does", "what"),
    [
        (KeyError("secret"), "failed with KeyError"),
        (ConnectionResetError("secret"), "failed with ConnectionResetError"),
        (asyncio.CancelledError(), "cancelled itself"),
        (None, "returned a NoneType"),
        (b"secret", "returned a bytes"),
    ],
)
async def test_a_foreign_transport_that_breaks_may_have_sent(does: object, what: str) -> None:
    """Whatever it does but to raise as it should: nobody knows, it is not asked again, and nothing of it is told."""
    calls = 0

    class Foreign:
        async def send(self, _: HttpRequest) -> Any:
            nonlocal calls
            calls += 1
            if isinstance(does, BaseException):
                raise does
            return does

        async def aclose(self) -> None: ...

    for again in (deliver(Foreign(), GET), fetch(Foreign(), GET), until_connected(lambda: deliver(Foreign(), GET))):
        calls = 0
        with pytest.raises(TransportError, match=what) as caught:
            await again
        assert caught.value.code == "transport_failed"
        assert caught.value.maybe_sent
        assert calls == 1
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_cancelling_reaches_through_a_foreign_transport() -> None:
    """A cancellation of whoever sends is one, and stays one."""
    transport = FakeTransport(latency=9).on(URL, 200)
    sending = asyncio.create_task(deliver(transport, GET))
    await asyncio.sleep(1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


@pytest.mark.sockets
async def test_a_look_up_that_its_owner_stops_is_an_error_and_no_cancellation() -> None:
    """A look-up that is under way is cancelled by aiohttp when the session that was lent is closed."""

    class Slow(aiohttp.abc.AbstractResolver):
        async def resolve(self, *_: Any, **__: Any) -> Any:
            await asyncio.sleep(60)

        async def close(self) -> None: ...

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Slow())) as session:
        transport = Transport(session=session)
        sending = asyncio.create_task(transport.send(HttpRequest("GET", "http://slow.test/x")))
        await asyncio.sleep(0.02)
        await session.close()
        with pytest.raises(TransportError) as caught:
            await sending
    assert not caught.value.maybe_sent


@pytest.mark.sockets
async def test_closing_frees_everything_and_is_not_the_end() -> None:
    """The server sees the connection go; closing twice does no harm, and a later request opens a new pool."""
    async with serving(http()) as server:
        transport = Transport()
        await transport.aclose()
        await transport.send(server.request())
        assert len(server.open) == 1
        await transport.aclose()
        await transport.aclose()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not server.open
        async with transport as same:
            assert same is transport
            await transport.send(server.request())
        assert server.connections == 2


# --- lent sessions ----------------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_of_a_lent_session_only_the_connections_are_used() -> None:
    """No header, cookie or credential of it leaves, and it is open when we are gone."""
    connector = aiohttp.TCPConnector()
    async with (
        serving(http(b"{}", "Set-Cookie: from=server"), host="localhost") as server,
        aiohttp.ClientSession(
            connector=connector,
            headers={"X-Session": "1", "Authorization": "Bearer theirs"},
            cookies={"theirs": "1"},
            cookie_jar=aiohttp.CookieJar(unsafe=True),
        ) as session,
    ):
        async with session.get(server.url) as answer:
            await answer.read()
        async with Transport(session=session) as transport:
            await transport.send(server.request())
        assert not session.closed
        assert not connector.closed
        async with session.get(server.url) as answer:
            assert answer.status == 200
            await answer.read()
    theirs, ours, again = (head for head, _ in server.requests)
    assert "X-Session" in theirs
    assert not any(word in ours for word in ("X-Session", "theirs", "Cookie"))
    assert "from=server" in again
    assert server.connections == 1


@pytest.mark.sockets
@pytest.mark.parametrize("used_before", [True, False])
async def test_a_lent_session_that_was_closed_is_said_so(*, used_before: bool) -> None:
    """Nothing is sent and nothing of the HTTP library's own errors is seen."""
    async with serving(http()) as server:
        session = aiohttp.ClientSession()
        async with Transport(session=session) as transport:
            if used_before:
                await transport.send(server.request())
            await session.close()
            error = await failure(transport, server.request())
            assert error.code == "session_closed"
            assert not error.maybe_sent
    assert len(server.requests) == used_before


@pytest.mark.sockets
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_environment_is_read_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, trusted: bool
) -> None:
    """A proxy in the environment sees nothing unless `trust_env` says so, and netrc gives no server credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(http()) as proxy, serving(http()) as server, Transport(trust_env=trusted) as transport:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await transport.send(server.request(headers={}))
    assert (len(proxy.requests), len(server.requests)) == ((1, 0) if trusted else (0, 1))
    for head, _ in (*server.requests, *proxy.requests):
        assert "\r\nauthorization:" not in head.lower()
    for head, _ in proxy.requests:
        assert head.startswith("POST http://127.0.0.1:")


@pytest.mark.sockets
async def test_a_proxy_of_the_environment_is_told_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody else is."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(http()) as proxy, Transport(trust_env=True) as transport:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://somebody:something@"))
        for _ in range(2):
            await transport.send(HttpRequest("GET", "http://127.0.0.1:9/x"))
    for head, _ in proxy.requests:
        assert head.startswith("GET http://127.0.0.1:9/x HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic " in head


@pytest.mark.sockets
@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nY: b"}, {"X": "a\nY: b"}, {"X: a\r\nY": "b"}, {"X": "\0"}, {"X y": "b"}, {"": "b"}]
)
async def test_a_field_cannot_begin_another_one(headers: dict[str, str]) -> None:
    """Whatever somebody else's client authentication puts into it: nothing is sent."""
    async with serving(http()) as server, Transport() as transport:
        error = await failure(transport, server.request(headers=headers))
        assert not error.maybe_sent
        assert server.connections == 0


async def test_what_is_no_address_of_a_web_server_is_refused() -> None:
    """Another scheme, credentials in the address, no host: nothing is sent."""
    async with Transport() as transport:
        for url in ("ftp://127.0.0.1/", "http://somebody:something@127.0.0.1/", "http:///x", "nothing", "http://[::1"):
            error = await failure(transport, HttpRequest("GET", url))
            assert not error.maybe_sent
            assert "something" not in str(error)


@pytest.mark.sockets
async def test_destinations_are_not_kept_without_end() -> None:
    """Whatever somebody fetches through it."""
    async with serving(http()) as server, Transport() as transport:
        for nth in range(2 * MAX_DESTINATIONS):
            await transport.send(server.request(f"/{nth}"))
            assert len(transport._destinations) <= MAX_DESTINATIONS


@pytest.mark.sockets
async def test_what_comes_before_the_answer_is_not_the_answer() -> None:
    """RFC 9110 section 15.2: as many interim ones as the server likes."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with serving(early + http(b'{"a":1}')) as server, Transport() as transport:
        for _ in range(2):
            response = await transport.send(server.request())
            assert (response.status, response.body) == (200, b'{"a":1}')
        assert server.connections == 1


# --- trying again -----------------------------------------------------------------------------------------------------

URL = "https://acme.idura.broker/keys"
GET = HttpRequest("GET", URL)


def unusable(code: str) -> TransportError:
    """An error with a code, of a request that had no connection."""
    error = refused()
    error.code = code
    return error


@pytest.mark.parametrize("answer", [outage, refused, 429, 500, 502, 503, 504])
async def test_a_document_is_asked_for_again(answer: Answer) -> None:
    """Six tries in eight seconds, with growing pauses."""
    transport = FakeTransport().on(URL, *[answer] * 5, 200)
    assert (await fetch(transport, GET)).status == 200
    assert transport.sent_at == [0, 0.25, 0.75, 1.75, 3.75, 7.75]
    assert transport.requests == [GET] * 6


@pytest.mark.parametrize("answer", [200, 204, 301, 400, 401, 403, 404, 408, 418])
async def test_an_answer_is_an_answer(answer: int) -> None:
    """What the server says of the request does not change by repeating it."""
    transport = FakeTransport().on(URL, answer)
    assert (await fetch(transport, GET)).status == answer
    assert len(transport.requests) == 1


async def test_in_the_end_the_last_word_counts() -> None:
    """After the last try its error is raised, or its answer returned."""
    transport = FakeTransport().on(URL, outage)
    with pytest.raises(TransportError) as caught:
        await fetch(transport, GET)
    assert caught.value.__context__ is None
    assert len(transport.requests) == 6
    assert (await fetch(FakeTransport().on(URL, 503), GET)).status == 503


@pytest.mark.parametrize("latency", [3.0, 10.0])
async def test_patience_is_counted_in_time_not_in_tries(latency: float) -> None:
    """Tries that each take long do not add up: none begins after ten seconds and a half, nor a connection after two."""
    transport = FakeTransport(latency=latency).on(URL, refused)
    with pytest.raises(TransportError):
        await fetch(transport, GET)
    assert max(transport.sent_at) <= FETCH_PATIENCE == 10.5
    transport = FakeTransport(latency=latency).on(URL, refused)
    with pytest.raises(TransportError):
        await until_connected(lambda: transport.send(GET))
    assert len(transport.requests) == 1


async def test_a_request_that_never_left_is_made_anew_each_time() -> None:
    """Four tries in two seconds; each one is made from scratch, because an assertion is good for one."""
    transport = FakeTransport().on(URL, refused)
    made: list[HttpRequest] = []

    async def attempt() -> HttpResponse:
        made.append(HttpRequest("POST", URL, body=b"%d" % len(made)))
        return await transport.send(made[-1])

    began_at = asyncio.get_running_loop().time()
    with pytest.raises(TransportError):
        await until_connected(attempt)
    assert [at - began_at for at in transport.sent_at] == [0, 0.25, 0.75, 1.75]
    assert max(transport.sent_at) <= CONNECT_PATIENCE == 2
    assert [request.body for request in transport.requests] == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("answer", [200, 429, 500, 503])
async def test_a_connection_ends_the_tries(answer: int) -> None:
    """Once there was a connection, whatever came of it is final."""
    transport = FakeTransport().on(URL, refused, refused, answer, 200)
    assert (await until_connected(lambda: transport.send(GET))).status == answer
    assert len(transport.requests) == 3


@pytest.mark.parametrize(
    "answer", [outage, unusable("tls"), unusable("session_closed"), ValueError("a bug"), KeyError("x")]
)
async def test_nothing_else_is_ever_sent_again(answer: Answer) -> None:
    """A request that may have left, a certificate, a bug: one try, and the error as it is."""
    transport = FakeTransport().on(URL, answer)
    with pytest.raises(Exception, match=r".") as caught:
        await until_connected(lambda: transport.send(GET))
    assert len(transport.requests) == 1
    assert type(caught.value) in {TransportError, ValueError, KeyError}


@pytest.mark.parametrize("answer", [unusable("tls"), unusable("session_closed"), ValueError("a bug")])
async def test_a_document_is_not_asked_for_again_in_vain(answer: Answer) -> None:
    """What another try cannot change is final for documents too."""
    transport = FakeTransport().on(URL, answer)
    with pytest.raises(Exception, match=r"."):
        await fetch(transport, GET)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("at", [0.1, 0.3, 1.0])
async def test_cancelling_ends_the_tries(at: float) -> None:
    """During a try or between two, cancelling is obeyed at once and never retried."""
    for again in (
        lambda transport: fetch(transport, GET),
        lambda transport: until_connected(lambda: transport.send(GET)),
    ):
        transport = FakeTransport(latency=0.2).on(URL, refused)
        task = asyncio.ensure_future(again(transport))
        await asyncio.sleep(at)
        sent = len(transport.requests)
        before = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == before
        await asyncio.sleep(60)
        assert len(transport.requests) == sent
