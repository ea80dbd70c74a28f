"""Tests of both ways of carrying a request, over real sockets, against a server that says what it is told to."""

from __future__ import annotations

import asyncio
import gc
import gzip
import ssl
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import evolve

from idura_ciba.errors import TransportError, TransportTimeout, UsageError
from idura_ciba.http.delivery import fetch, until_connected
from idura_ciba.http.transport import KEEP_ALIVE, AiohttpTransport
from idura_ciba.protocol.http import HttpRequest
from tests.servers import (
    SECRET_ANSWER,
    SECRET_BODY,
    SECRET_HEADER,
    Connect,
    Write,
    chunked,
    drip,
    failure,
    http,
    listening,
    server_tls,
    serving,
    silence,
    then_close,
    then_reset,
)

# --- one request, one answer ------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_a_request_leaves_as_it_is_and_its_answer_comes_back(connect: Connect) -> None:
    """Method, path, headers and body are those of the request; of the answer's headers the first counts."""
    answer = http(b'{"a":1}', "Trace-Id: one", "TRACE-ID: two", "Date: now", "X-Empty:", status="418 Teapot")
    async with serving(answer) as server, connect() as transport:
        before = asyncio.get_running_loop().time()
        response = await transport.send(server.request("/ciba/x?y=%3D1"))
        after = asyncio.get_running_loop().time()
    assert (response.status, response.body, response.trace_id) == (418, b'{"a":1}', "one")
    headers = {name: value for name, value in response.headers.items() if name != "connection"}
    assert headers == {"trace-id": "one", "date": "now", "x-empty": "", "content-length": "7"}
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
@pytest.mark.parametrize("seconds", [0.0, 0.02], ids=["from the beginning", "while it connects"])
async def test_nothing_leaves_once_it_is_too_late(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A phone that rings after the caller's timeout would have nobody on the line."""
    real = aiohttp.TCPConnector.connect

    async def slowly(*arguments: Any, **options: Any) -> Any:
        connection = await real(*arguments, **options)
        await asyncio.sleep(2 * seconds)
        return connection

    async with serving(http(), http()) as server, connect() as transport:
        await transport.send(server.request())
        monkeypatch.setattr(aiohttp.TCPConnector, "connect", slowly)
        not_after = asyncio.get_running_loop().time() + seconds
        error = await failure(transport, evolve(server.request(), not_after=not_after))
    assert error.code == "too_late"
    assert error.sent_at is None
    assert not error.maybe_sent
    assert len(server.requests) == 1


@pytest.mark.sockets
@pytest.mark.parametrize("seconds", [0.0, 0.03], ids=["from the beginning", "while it is answered"])
async def test_a_request_is_given_up_when_it_says_so(connect: Connect, seconds: float) -> None:
    """Its own time would be much longer, but the transaction ends."""
    async with serving(silence) as server, connect() as transport:
        began_at = asyncio.get_running_loop().time()
        error = await failure(transport, evolve(server.request(), timeout=60, give_up_at=began_at + seconds))
        assert asyncio.get_running_loop().time() - began_at < 5
    assert isinstance(error, TransportTimeout)
    assert error.maybe_sent == bool(seconds)


@pytest.mark.sockets
async def test_a_document_is_asked_for_without_a_body(connect: Connect) -> None:
    """GET has no form and no type of one."""
    async with serving(http()) as server, connect() as transport:
        response = await transport.send(HttpRequest("GET", f"{server.url}/x", {"Accept-Encoding": "identity"}))
    assert response.body == b"{}"
    ((head, _),) = server.requests
    assert head.startswith("GET /x HTTP/1.1\r\n")
    assert "content" not in head.lower()


@pytest.mark.sockets
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(connect: Connect, status: int) -> None:
    """The other host is never contacted: a 307 would hand it credentials and a national id."""
    async with serving(http()) as other, connect() as transport:
        redirect = http(b"", f"Location: {other.url}/stolen", status=f"{status} Moved")
        async with serving(redirect) as server:
            response = await transport.send(server.request())
        assert response.status == status
        assert len(server.requests) == 1
        assert other.connections == 0


@pytest.mark.sockets
@pytest.mark.parametrize("as_expected", [True, False])
async def test_no_cookie_is_kept(monkeypatch: pytest.MonkeyPatch, *, as_expected: bool) -> None:
    """What the server wants remembered is forgotten, also under a name for which jars do remember."""
    monkeypatch.setattr(AiohttpTransport, "_as_expected", as_expected)
    answer = http(b"{}", "Set-Cookie: session=1; Path=/")
    async with serving(answer, host="localhost") as server, AiohttpTransport() as transport:
        for _ in range(2):
            await transport.send(server.request())
    assert len(server.requests) == 2
    assert not any("cookie" in head.lower() for head, _ in server.requests)


@pytest.mark.sockets
@pytest.mark.parametrize("encoding", ["gzip", "GZip", "deflate", "br", "identity, gzip", "unheard-of"])
async def test_a_compressed_answer_stays_compressed(connect: Connect, encoding: str) -> None:
    """A bomb is not inflated here: fifty kilobytes arrive, and their fifty megabytes never exist."""
    bomb = gzip.compress(bytes(50_000_000))
    async with serving(http(bomb, f"Content-Encoding: {encoding}")) as server, connect() as transport:
        tracemalloc.start()
        response = await transport.send(server.request())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert response.body == bomb
    assert response.headers["content-encoding"] == encoding
    assert peak < 5_000_000


@pytest.mark.sockets
async def test_a_long_field_and_a_thousand_fields_are_read(connect: Connect) -> None:
    """Gateways add cookies and policies; an answer that is had only once must not be lost to them."""
    long = f"X-Policy: {'x' * 64_000}"
    many = [f"X-{nth}: {nth}" for nth in range(1000)]
    async with serving(http(b"{}", long), http(b"{}", *many)) as server, connect() as transport:
        assert len((await transport.send(server.request())).headers["x-policy"]) == 64_000
        response = await transport.send(server.request())
    assert [response.headers[f"x-{nth}"] for nth in range(1000)] == [str(nth) for nth in range(1000)]


@pytest.mark.sockets
@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_an_answer_that_says_it_is_plain_is_plain(connect: Connect, encoding: str) -> None:
    """Some servers name even that."""
    async with serving(http(b"{}", f"Content-Encoding: {encoding}")) as server, connect() as transport:
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
async def test_an_answer_is_bounded(connect: Connect, answer: Callable[[bytes], bytes | Write]) -> None:
    """An answer of exactly the bound is read, and one byte more is an error, however the length is told."""
    body = SECRET_ANSWER.encode() * 10
    async with serving(answer(body)) as server, connect() as transport:
        assert (await transport.send(server.request(max_body=len(body)))).body == body
        error = await failure(transport, server.request(max_body=len(body) - 1))
        # With the status, which tells tokens from an error page.
        assert (error.code, error.status) == ("oversized", 200)
        assert error.maybe_sent
        # What is left of it does not become the next answer.
        assert (await transport.send(server.request())).body == body


@pytest.mark.sockets
async def test_an_endless_answer_is_left_early(connect: Connect) -> None:
    """Memory holds no more than the bound, and the connection is closed."""

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(http(length=False))
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with serving(endless) as server, connect() as transport:
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
async def test_a_broken_answer_is_an_error_of_our_own(connect: Connect, name: str) -> None:
    """Whatever happens after the connection was made, the request may have arrived, and the next one works."""
    async with serving(BROKEN[name], http()) as server, connect() as transport:
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("connection", True)
        assert (await transport.send(server.request())).body == b"{}"
        # Sent once: nobody below us tries again.
        assert len(server.requests) == 2


@pytest.mark.sockets
async def test_an_answer_without_length_ends_with_the_connection(connect: Connect) -> None:
    """A cut there cannot be seen here; the JSON in it will tell."""
    async with serving(then_close(http(b'{"a":', length=False))) as server, connect() as transport:
        assert (await transport.send(server.request())).body == b'{"a":'


@pytest.mark.sockets
async def test_without_a_connection_certainly_nothing_was_sent(connect: Connect) -> None:
    """A port where nobody listens."""
    async with serving(http()) as server:
        request = server.request()
    async with connect() as transport:
        error = await failure(transport, request)
    assert (error.code, error.maybe_sent, error.sent_at) == ("connection", False, None)


@pytest.mark.sockets
@pytest.mark.parametrize(
    "change", [{"url": "nowhere"}, {"url": "http://"}, {"url": "ftp://127.0.0.1/"}, {"headers": {"X": "a\r\nY: b"}}]
)
async def test_what_cannot_be_sent_is_not_sent(connect: Connect, change: dict[str, str]) -> None:
    """An address or header that the HTTP library refuses is an error of our own too."""
    async with serving(http()) as server, connect() as transport:
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
async def test_an_answer_has_its_time_and_no_more(connect: Connect, answer: Write) -> None:
    """The whole answer counts, not the wait for its next byte; afterwards the connection is not used again."""
    async with serving(answer, http()) as server, connect() as transport:
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
async def test_a_connection_that_does_not_come_about_is_given_up(connect: Connect) -> None:
    """A server that accepts and never says its part of TLS; nothing was sent."""
    async with serving(http()) as server, connect(connect_timeout=0.03) as transport:
        server.url = server.url.replace("http", "https")
        error = await failure(transport, server.request(timeout=0.001))
    assert isinstance(error, TransportTimeout)
    assert not error.maybe_sent
    assert server.requests == []


@pytest.mark.sockets
async def test_who_cancels_is_cancelled_and_leaves_nothing(connect: Connect) -> None:
    """Cancelling is never turned into an error, the connection is closed and the pool works on."""
    async with serving(silence, http()) as server, connect() as transport:
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
async def test_a_certificate_that_nobody_vouches_for_is_refused_once(connect: Connect, certificate: Path) -> None:
    """Nothing is sent, and asking again would not make it better."""
    async with serving(http(), tls=server_tls(certificate)) as server, connect() as transport:
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("tls", False)
        assert "127.0.0.1 was not accepted (CERTIFICATE_VERIFY_FAILED: self-signed certificate" in str(error)
        assert "name its file in ca_file, --ca-file or SSL_CERT_FILE" in str(error)
        for again in (fetch(transport, server.request()), until_connected(lambda: transport.send(server.request()))):
            with pytest.raises(TransportError) as caught:
                await again
            assert caught.value.code == "tls"
        assert server.connections in {0, 3}
        assert server.requests == []


@pytest.mark.sockets
async def test_a_server_that_speaks_no_tls_is_refused(connect: Connect) -> None:
    """Plain text where TLS was expected is no connection at all."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(http())
        writer.close()

    async with listening(plain) as port, connect() as transport:
        error = await failure(transport, HttpRequest("GET", f"https://127.0.0.1:{port}"))
    assert (error.code, error.maybe_sent) == ("tls", False)


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_a_connection_is_used_again_while_it_is_fresh(connect: Connect) -> None:
    """One after the other over one connection; after the pause, which is shorter than any server's, a new one."""
    async with serving(http()) as server, connect(keep_alive=0.02, persistent=True) as transport:
        for _ in range(5):
            await transport.send(server.request())
        assert server.connections == 1
        await asyncio.sleep(0.04)
        await transport.send(server.request())
        assert server.connections == 2
    assert KEEP_ALIVE < 5


@pytest.mark.sockets
async def test_no_request_waits_for_another(connect: Connect) -> None:
    """Our own pool has no bound: how many polls are under way at once is the scheduler's business."""
    together = 110  # more than the HTTP library lets out by itself
    arrived = asyncio.Event()

    async def when_all_are_there(writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == together:
            arrived.set()
        await arrived.wait()
        writer.write(http())

    async with serving(when_all_are_there) as server, connect() as transport:
        responses = await asyncio.gather(*(transport.send(server.request()) for _ in range(together)))
    assert [response.status for response in responses] == [200] * together


@pytest.mark.sockets
async def test_a_server_that_speaks_before_it_is_asked_cannot_keep_us_busy(connect: Connect) -> None:
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
    async with listening, connect() as transport:
        for _ in range(3):
            with suppress(TransportError):
                await transport.send(HttpRequest("GET", url, timeout=5))
    assert connections == 3


@pytest.mark.sockets
async def test_an_answer_that_changes_the_protocol_leaks_nothing(connect: Connect) -> None:
    """101 has no end: the connection is closed, and nobody warns of it later."""
    async with serving(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n") as server:
        async with connect() as transport:
            for _ in range(2):
                with suppress(TransportError):
                    assert (await transport.send(server.request())).status == 101
            gc.collect()
        assert server.connections == 2


# --- lent sessions ----------------------------------------------------------------------------------------------------


@pytest.mark.sockets
@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nY: b"}, {"X": "a\nY: b"}, {"X: a\r\nY": "b"}, {"X": "\0"}, {"X y": "b"}, {"": "b"}]
)
async def test_a_field_cannot_begin_another_one(connect: Connect, headers: dict[str, str]) -> None:
    """Whatever somebody else's client authentication puts into it: nothing is sent."""
    async with serving(http()) as server, connect() as transport:
        error = await failure(transport, server.request(headers=headers))
        assert not error.maybe_sent
        assert server.connections == 0


async def test_what_is_no_address_of_a_web_server_is_refused(connect: Connect) -> None:
    """Another scheme, credentials in the address, no host: nothing is sent."""
    async with connect() as transport:
        for url in ("ftp://127.0.0.1/", "http://somebody:something@127.0.0.1/", "http:///x", "nothing", "http://[::1"):
            error = await failure(transport, HttpRequest("GET", url))
            assert not error.maybe_sent
            assert "something" not in str(error)


@pytest.mark.sockets
async def test_what_comes_before_the_answer_is_not_the_answer(connect: Connect) -> None:
    """RFC 9110 section 15.2: as many interim ones as the server likes."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with serving(early + http(b'{"a":1}')) as server, connect(persistent=True) as transport:
        for _ in range(2):
            response = await transport.send(server.request())
            assert (response.status, response.body) == (200, b'{"a":1}')
        assert server.connections == 1


@pytest.mark.sockets
@pytest.mark.parametrize("trust_env", [False, True], ids=["pool", "session"])
async def test_an_authority_of_ones_own_is_trusted_beside_those_of_the_system(
    certificate: Path, *, trust_env: bool
) -> None:
    """For every connection but those with a client certificate, which have a TLS of their own."""
    async with (
        serving(http(), tls=server_tls(certificate)) as server,
        AiohttpTransport(ca_file=certificate, trust_env=trust_env) as transport,
    ):
        assert (await transport.send(server.request())).body == b"{}"
        error = await failure(transport, evolve(server.request(), tls=ssl.create_default_context()))
        assert error.code == "tls"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_is_no_authority_is_refused_before_anything_is_sent(content: str | None, tmp_path: Path) -> None:
    """It would be found out when the first phone is to ring."""
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError) as caught:
        AiohttpTransport(ca_file=path)
    assert caught.value.code == "ca_file"


@pytest.mark.sockets
async def test_a_session_brings_its_own_authorities() -> None:
    """Two places for one thing would leave open which holds."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(UsageError, match="does not apply to a session"):
            AiohttpTransport(session=session, ca_file="authority.pem")
