"""Tests of the documented way: whatever is on a session works, and the rules hold all the same."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock

import aiohttp
import pytest
from attrs import define, field

from idura_ciba.errors import TransportError, TransportTimeout, UsageError
from idura_ciba.http.delivery import fetch, until_connected
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from tests.servers import LATE, SECRET_BODY, connecting, failure, http, server_tls, serving, silence, then_close

PARAMETERS = inspect.signature(aiohttp.ClientSession).parameters
needs_middlewares = pytest.mark.skipif("middlewares" not in PARAMETERS, reason="aiohttp 3.12 is the first with them")
needs_proxy = pytest.mark.skipif("proxy" not in PARAMETERS, reason="aiohttp 3.11 is the first whose sessions have one")


@asynccontextmanager
async def lending(
    *, persistent: bool = False, **options: Any
) -> AsyncIterator[tuple[aiohttp.ClientSession, AiohttpTransport]]:
    """A session with these options, and a transport that it is lent to."""
    async with aiohttp.ClientSession(**options) as session:
        async with AiohttpTransport(session=session, persistent=persistent) as transport:
            yield session, transport
        assert not session.closed


def fields(head: str) -> dict[str, str]:
    """Those of a request."""
    return dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])


# --- what is on it works ----------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_its_headers_go_along_and_ours_win() -> None:
    """What somebody wants with every request is there; what a request says itself is said as it is meant."""
    headers = {"X-Gateway": "key", "User-Agent": "acme/1", "Authorization": "Bearer theirs", "Accept": "text/html"}
    async with serving(http()) as server, lending(headers=headers) as (_, transport):
        await transport.send(server.request(headers={"Accept": "application/json", "Authorization": "Basic ours"}))
        await transport.send(server.request(headers={}))
    ours, theirs = (fields(head) for head, _ in server.requests)
    assert (ours["X-Gateway"], ours["User-Agent"]) == ("key", "acme/1")
    assert (ours["Accept"], ours["Authorization"]) == ("application/json", "Basic ours")
    assert theirs["Authorization"] == "Bearer theirs"


@pytest.mark.sockets
async def test_nothing_else_is_added() -> None:
    """Of what aiohttp adds by itself only the host and the length remain; closing the connection is our wish."""
    async with serving(http()) as server, lending() as (_, transport):
        for method, body in (("POST", b"a=b"), ("GET", b"")):
            await transport.send(server.request(method=method, headers={}, body=body))
    (post, _), (get, _) = server.requests
    assert set(fields(post)) == {"Host", "User-Agent", "Content-Length", "Connection"}
    assert set(fields(get)) == {"Host", "User-Agent", "Connection"}


@pytest.mark.sockets
async def test_its_cookies_are_its_own_business() -> None:
    """A jar that somebody put on it is used; `DummyCookieJar` is there for those who want none."""
    answer = http(b"{}", "Set-Cookie: route=7")
    async with serving(answer) as server, lending(cookie_jar=aiohttp.CookieJar(unsafe=True)) as (_, transport):
        for _ in range(2):
            await transport.send(server.request())
    assert ["Cookie" in fields(head) for head, _ in server.requests] == [False, True]
    async with serving(answer) as server, lending(cookie_jar=aiohttp.DummyCookieJar()) as (_, transport):
        for _ in range(2):
            await transport.send(server.request())
    assert ["Cookie" in fields(head) for head, _ in server.requests] == [False, False]


@pytest.mark.sockets
async def test_it_may_be_strict_and_hasty_with_its_own_requests() -> None:
    """A refusal is an answer here, and time is ours to count."""

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.03)
        writer.write(http(status="400 Bad Request"))

    options = {"raise_for_status": True, "timeout": aiohttp.ClientTimeout(total=0.01, sock_read=0.01)}
    async with serving(slow) as server, lending(**options) as (_, transport):
        assert (await transport.send(server.request())).status == 400


@pytest.mark.sockets
@pytest.mark.skipif("auth" not in PARAMETERS, reason="aiohttp 4 has no such credentials any more")
async def test_credentials_of_its_own_are_not_mixed_with_the_clients() -> None:
    """`auth` goes along where the client's are in the form; where both want the same header, nobody guesses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer releases want a header instead
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("them", "secret"))
    async with serving(http()) as server, session, AiohttpTransport(session=session) as transport:
        await transport.send(server.request(headers={}))
        assert fields(server.requests[0][0])["Authorization"].startswith("Basic ")
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("session_auth", False)
        assert "auth=" in error.advice
        with pytest.raises(TransportError):
            await until_connected(lambda: transport.send(server.request()))
    assert len(server.requests) == 1


@pytest.mark.sockets
@needs_middlewares
async def test_its_base_url_does_no_harm() -> None:
    """A provider's addresses are absolute."""
    async with serving(http()) as server, lending(base_url="https://acme.test/") as (_, transport):
        assert (await transport.send(server.request())).status == 200


@pytest.mark.sockets
@needs_proxy
async def test_its_proxy_is_used() -> None:
    """And no other server is spoken to."""
    async with serving(http()) as proxy, lending(proxy=proxy.url) as (_, transport):
        await transport.send(HttpRequest("POST", "http://127.0.0.1:9/x", body=b"a=b"))
    ((head, body),) = proxy.requests
    assert head.startswith("POST http://127.0.0.1:9/x HTTP/1.1\r\n")
    assert body == b"a=b"


@pytest.mark.sockets
async def test_it_may_trust_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own `trust_env` says so; ours is refused beside a session, instead of being forgotten."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(http()) as proxy, lending(trust_env=True) as (session, transport):
        monkeypatch.setenv("http_proxy", proxy.url)
        await transport.send(HttpRequest("POST", "http://127.0.0.1:9/x", body=b"a=b"))
        with pytest.raises(UsageError, match="does not apply to a session"):
            AiohttpTransport(session=session, trust_env=True)
    assert len(proxy.requests) == 1


@pytest.mark.sockets
async def test_its_resolver_finds_the_server() -> None:
    """Names that only it knows."""

    class Known(aiohttp.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
            assert host == "acme.test"
            return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]

        async def close(self) -> None: ...

    connector = aiohttp.TCPConnector(resolver=Known(), family=socket.AF_INET)
    async with serving(http(), host="acme.test") as server, lending(connector=connector) as (_, transport):
        await transport.send(server.request())
    assert fields(server.requests[0][0])["Host"].startswith("acme.test:")


@pytest.mark.sockets
async def test_its_own_authority_vouches_for_the_server(certificate: Path) -> None:
    """An authority of one's own is set up on the connector."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(certificate)))
    async with serving(http(), tls=server_tls(certificate)) as server, lending(connector=connector) as (_, transport):
        assert (await transport.send(server.request())).status == 200


@pytest.mark.sockets
async def test_its_traces_see_each_request() -> None:
    """From the beginning to the end, with the connection in between; also one that fails."""
    seen: list[str] = []
    trace = aiohttp.TraceConfig()
    for name in ("request_start", "connection_create_end", "connection_reuseconn", "request_end", "request_exception"):

        async def note(*_: object, name: str = name) -> None:
            seen.append(name)

        getattr(trace, f"on_{name}").append(note)
    async with (
        serving(http(), http(), then_close(b"")) as server,
        lending(trace_configs=[trace], persistent=True) as (_, transport),
    ):
        for _ in range(2):
            await transport.send(server.request())
        await failure(transport, server.request())
    assert seen == [
        *("request_start", "connection_create_end", "request_end"),
        *("request_start", "connection_reuseconn", "request_end"),
        *("request_start", "connection_reuseconn", "request_exception"),
    ]


@pytest.mark.sockets
@needs_middlewares
async def test_its_middlewares_run() -> None:
    """They may add to a request, read its form, and look at the answer."""
    seen: list[object] = []

    async def sign(request: Any, handler: Callable[[Any], Any]) -> Any:
        form = await request.body.as_bytes() if request.method == "POST" else b""
        request.headers["X-Signed"] = str(len(form))
        response = await handler(request)
        seen.append((form, response.status))
        return response

    async with serving(http(status="400 X")) as server, lending(middlewares=(sign,)) as (_, transport):
        before = asyncio.get_running_loop().time()
        response = await transport.send(server.request())
        await transport.send(server.request(method="GET", body=b""))
    assert seen == [(SECRET_BODY.encode(), 400), (b"", 400)]
    assert [fields(head)["X-Signed"] for head, _ in server.requests] == [str(len(SECRET_BODY)), "0"]
    assert server.requests[0][1] == SECRET_BODY.encode()
    # Who reads it beforehand hides from us when it left: no later than this.
    assert before <= response.sent_at <= response.received_at


@pytest.mark.sockets
@pytest.mark.parametrize("where", ["trace", pytest.param("middleware", marks=needs_middlewares)])
async def test_what_breaks_in_it_is_an_error_of_ours(where: str) -> None:
    """Of somebody else's error only the kind is told, and nothing was sent."""

    async def break_down(*_: object) -> None:
        raise KeyError(SECRET_BODY)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(break_down)
    options = {"trace": {"trace_configs": [trace]}, "middleware": {"middlewares": (break_down,)}}[where]
    async with serving(http()) as server, lending(**options) as (_, transport):
        error = await failure(transport, server.request())
    assert (error.code, error.maybe_sent) == ("connection", False)
    assert "KeyError" in error.what
    assert server.requests == []


@pytest.mark.sockets
@needs_middlewares
async def test_a_middleware_that_tries_again_has_no_form_to_send() -> None:
    """A second authentication request would cancel the first, or ring twice."""

    async def insist(request: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return await handler(request)
        except aiohttp.ClientError:
            return await handler(request)

    async with serving(then_close(b""), silence) as server, lending(middlewares=(insist,)) as (_, transport):
        error = await failure(transport, server.request(timeout=0.05))
    assert error.maybe_sent
    assert [body for _, body in server.requests] == [SECRET_BODY.encode()]


@pytest.mark.sockets
async def test_closed_it_is_said_so() -> None:
    """Nothing is sent and nothing of aiohttp's own errors is seen; asking again would not help."""
    async with serving(http()) as server, lending() as (session, transport):
        await transport.send(server.request())
        closed = AiohttpTransport(session=SimpleNamespace(closed=True))  # type: ignore[arg-type]
        error = await failure(closed, server.request())
        assert (error.code, error.maybe_sent) == ("session_closed", False)
        assert not session.closed
    session = aiohttp.ClientSession()
    await session.close()
    transport = AiohttpTransport(session=session)
    for again in (fetch(transport, server.request()), until_connected(lambda: transport.send(server.request()))):
        with pytest.raises(TransportError) as caught:
            await again
        assert caught.value.code == "session_closed"
    assert len(server.requests) == 1


# --- mocks and recorders ----------------------------------------------------------------------------------------------


class Mock:
    """A session that answers without a network.

    Args:
        reads: Whether it looks at the form.
        fails: What it raises.
    """

    closed = False
    auth = None
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, *, reads: bool, fails: Exception | None = None) -> None:
        self.reads = reads
        self.fails = fails
        self.form = b""

    @asynccontextmanager
    async def request(self, _method: str, _url: object, *, data: Any = None, **_: object) -> AsyncIterator[Any]:
        """Answer, or fail."""
        if self.reads:
            self.form = b"".join([chunk async for chunk in data])
        if self.fails:
            raise self.fails
        protocol = MagicMock(_reading_paused=False)
        content = aiohttp.StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())
        content.feed_data(b"{}")
        content.feed_eof()
        yield SimpleNamespace(status=200, headers={}, content=content, close=lambda: None)


@pytest.mark.parametrize("reads", [True, False])
async def test_a_mock_is_answered_to(*, reads: bool) -> None:
    """It reads the form before there is a connection, or never: then the request counts as sent from the beginning."""
    mock = Mock(reads=reads)
    transport = AiohttpTransport(session=mock)  # type: ignore[arg-type]
    response = await transport.send(HttpRequest("POST", "http://acme.test/x", body=b"a=b"))
    assert response == HttpResponse(200, {}, b"{}", response.sent_at, response.received_at)
    assert mock.form == (b"a=b" if reads else b"")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("fails", "maybe_sent"),
    [
        (aiohttp.ConnectionTimeoutError(), False),
        (aiohttp.ClientConnectorError(SimpleNamespace(ssl=True, host="x", port=1), OSError()), False),  # type: ignore[arg-type]
        (aiohttp.ServerDisconnectedError(), True),
        (TimeoutError(), True),
    ],
)
async def test_where_the_form_tells_nothing_the_kind_of_error_does(
    method: Any, fails: Exception, *, maybe_sent: bool
) -> None:
    """A mock says that there was no connection in aiohttp's own words."""
    transport = AiohttpTransport(session=Mock(reads=method == "POST", fails=fails))  # type: ignore[arg-type]
    body = b"a=b" if method == "POST" else b""
    error = await failure(transport, HttpRequest(method, "http://acme.test/x", body=body))
    assert error.maybe_sent is maybe_sent


async def test_a_form_does_not_leave_when_nobody_waits_any_more() -> None:
    """Whoever still has it cannot send it later."""
    kept: list[Any] = []

    class Keeper(Mock):
        @asynccontextmanager
        async def request(self, _method: str, _url: object, *, data: Any = None, **_: object) -> AsyncIterator[Any]:
            kept.append(data)
            yield await asyncio.sleep(1000)

    transport = AiohttpTransport(session=Keeper(reads=False))  # type: ignore[arg-type]
    error = await failure(transport, HttpRequest("POST", "http://acme.test/x", body=b"a=b"))
    assert isinstance(error, TransportTimeout)
    assert not error.maybe_sent
    with pytest.raises(ConnectionAbortedError):
        await asyncio.create_task(anext(aiter(kept[0])))


# --- the rules --------------------------------------------------------------------------------------------------------


@define
class TalksTwice:
    """A server's part: it answers, and says something more while nobody waits."""

    late: bytes
    done: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Answer."""
        writer.write(http(b'{"of":"this one"}'))
        await asyncio.sleep(0.005)
        writer.write(self.late)
        self.done.set()

    async def heard(self) -> None:
        """Wait until it has said that, and the other side has read it."""
        await self.done.wait()
        self.done.clear()
        await asyncio.sleep(0.01)


@pytest.mark.sockets
@pytest.mark.parametrize("name", ["a whole answer", "half an answer"])
async def test_an_answer_that_came_before_the_form_left_is_not_the_answer_to_it(name: str) -> None:
    """Nothing was sent, the connection is gone, and the next request has its own answer."""
    twice = TalksTwice(LATE[name])
    async with serving(twice) as server, connecting("session", persistent=True) as transport:
        for nth in (1, 2, 3):
            assert (await transport.send(server.request())).body == b'{"of":"this one"}'
            assert server.connections == nth
            await twice.heard()
            error = await failure(transport, server.request())
            assert (error.code, error.maybe_sent) == ("connection", False)
            assert len(server.requests) == nth


@pytest.mark.sockets
async def test_a_server_that_spoke_out_of_turn_is_asked_to_close_each_connection() -> None:
    """Also where connections persist: another answer might come too late to be seen."""
    twice = TalksTwice(LATE["a whole answer"])
    async with serving(twice, http(), http()) as server, connecting("session", persistent=True) as transport:
        await transport.send(server.request())
        await twice.heard()
        await failure(transport, server.request())
        for method, body in (("POST", b"a=b"), ("GET", b"")):
            await transport.send(server.request(method=method, body=body))
    assert [fields(head).get("Connection") for head, _ in server.requests] == [None, "close", "close"]


@pytest.mark.sockets
@pytest.mark.parametrize("name", ["half a head", "junk"])
async def test_what_is_no_answer_yet_does_no_harm(name: str) -> None:
    """Aiohttp reads it before the next request and forgets it: that one has its own answer."""
    twice = TalksTwice(LATE[name])
    async with (
        serving(twice, http(b'{"of":"the next"}')) as server,
        connecting("session", persistent=True) as transport,
    ):
        await transport.send(server.request())
        await twice.heard()
        assert (await transport.send(server.request())).body == b'{"of":"the next"}'


@pytest.mark.sockets
async def test_what_a_busy_loop_has_not_read_yet_is_read_before_the_form_leaves() -> None:
    """That is what it is held back for."""
    async with serving(http(b'{"of":"this one"}')) as server, connecting("session", persistent=True) as transport:
        await transport.send(server.request())
        for writer in server.open:
            os.write(writer.get_extra_info("socket").fileno(), LATE["a whole answer"])
        error = await failure(transport, server.request())
        assert not error.maybe_sent
        assert "before the request was sent" in error.what
        assert (await transport.send(server.request())).body == b'{"of":"this one"}'


@pytest.mark.sockets
@pytest.mark.parametrize("over", ["TCP", "TLS"])
async def test_a_connection_that_the_server_has_closed_costs_nothing(certificate: Path, over: str) -> None:
    """Its end is read before the form leaves: nothing was sent, so a start is tried again at once."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(certificate)))
    tls = server_tls(certificate) if over == "TLS" else None
    async with serving(http(), tls=tls) as server, lending(connector=connector, persistent=True) as (_, transport):
        await transport.send(server.request())
        for writer in server.open:
            # At once, so that nothing lets our side hear of it before the next request has its connection.
            socket.socket.shutdown(writer.get_extra_info("socket")._sock, socket.SHUT_WR)
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("connection", False)
        assert (await until_connected(lambda: transport.send(server.request()))).body == b"{}"
        assert len(server.requests) == 2


@pytest.mark.sockets
@pytest.mark.parametrize("over", ["TCP", "TLS"])
async def test_an_answer_that_strays_is_seen_in_time(certificate: Path, over: str) -> None:
    """Whatever lies between the socket and aiohttp."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(certificate)))
    tls = server_tls(certificate) if over == "TLS" else None
    async with (
        serving(http(b'{"of":"this one"}'), tls=tls) as server,
        lending(connector=connector, persistent=True) as (_, transport),
    ):
        await transport.send(server.request())
        for writer in server.open:
            writer.write(LATE["a whole answer"])
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("connection", False)
        assert len(server.requests) == 1


@pytest.mark.sockets
async def test_no_connection_lies_idle_unless_the_caller_wants_it(certificate: Path) -> None:
    """So no answer can stray, over TLS either: each request has a connection of its own."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(certificate)))
    async with serving(http(), tls=server_tls(certificate)) as server:
        async with lending(connector=connector) as (session, transport):
            for method, body in (("POST", b"a=b"), ("GET", b""), ("POST", b"a=b")):
                await transport.send(server.request(method=method, body=body))
            assert server.connections == 3
            persistent = AiohttpTransport(session=session, persistent=True)
            for _ in range(3):
                await persistent.send(server.request())
            assert server.connections == 4
        assert "Connection: close" not in server.requests[-1][0]


@pytest.mark.sockets
async def test_time_counts_from_the_moment_there_is_a_connection() -> None:
    """Waiting for a place in the pool does not cost the answer its time, nor does it count as sent."""

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.045)
        writer.write(http())

    connector = aiohttp.TCPConnector(limit=1)
    async with (
        serving(slow, http()) as server,
        lending(connector=connector) as (session, patient),
        AiohttpTransport(session=session, connect_timeout=0.01) as hasty,
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
async def test_a_document_has_its_time_too() -> None:
    """A server that says nothing is left after that time, and not only when a connection might have taken its own."""
    async with serving(silence, http()) as server, connecting("session") as transport:
        began_at = asyncio.get_running_loop().time()
        error = await failure(transport, server.request(method="GET", body=b"", timeout=0.03))
        assert isinstance(error, TransportTimeout)
        assert error.maybe_sent
        assert asyncio.get_running_loop().time() - began_at < 5
        assert (await transport.send(server.request(method="GET", body=b""))).body == b"{}"


@pytest.mark.sockets
@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_at_any_turn_it_leaves_nothing_behind(turns: int) -> None:
    """Before the form leaves or after it: what came before and what comes next have their own answers."""
    answers = [http(b"%d" % nth) for nth in range(4)]
    async with serving(*answers) as server, connecting("session") as transport:
        assert (await transport.send(server.request())).body == b"0"
        sending = asyncio.create_task(transport.send(server.request()))
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0.01)
        arrived = len(server.requests)
        assert (await transport.send(server.request())).body == b"%d" % arrived
        assert {body for _, body in server.requests} == {SECRET_BODY.encode()}


@pytest.mark.sockets
async def test_a_look_up_that_its_owner_stops_is_an_error_and_no_cancellation() -> None:
    """A look-up that is under way is cancelled by aiohttp when the session is closed."""

    class Slow(aiohttp.abc.AbstractResolver):
        async def resolve(self, *_: Any, **__: Any) -> Any:
            await asyncio.sleep(60)

        async def close(self) -> None: ...

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Slow())) as session:
        transport = AiohttpTransport(session=session)
        request = HttpRequest("POST", "http://slow.test/x", body=b"a=b")
        sending = asyncio.create_task(transport.send(request))
        await asyncio.sleep(0.02)
        await session.close()
        error = await failure(SimpleNamespace(send=lambda _: sending), request)  # type: ignore[arg-type]
    assert not error.maybe_sent
