"""Tests of the pool of our own: no answer of another request, and what it expects of aiohttp."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import TCPConnector

from idura_ciba.errors import TransportError
from idura_ciba.http.pool import MAX_DESTINATIONS, MAX_HEAD, Pool, rehearse
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.protocol.http import HttpRequest
from tests.servers import LATE, SECRET_BODY, connecting, failure, http, serving, then_close


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

    async with serving(twice) as server, connecting("pool") as transport:
        # The second time also with two spoiled connections at once.
        for together in (1, 2, 3):
            responses = await asyncio.gather(*(transport.send(server.request()) for _ in range(together)))
            assert {response.body for response in responses} == {b'{"of":"this one"}'}
            await asyncio.sleep(0.02)
        assert server.connections == 6


@pytest.mark.sockets
async def test_an_answer_that_a_busy_loop_has_not_read_yet_is_nobody_s_either() -> None:
    """What waits in the operating system counts as having arrived, and nothing in between lets the loop read it."""
    async with serving(http(b'{"of":"this one"}')) as server, connecting("pool") as transport:
        for connections in (1, 2):
            response = await transport.send(server.request())
            assert response.body == b'{"of":"this one"}'
            assert server.connections == connections
            for writer in server.open:
                os.write(writer.get_extra_info("socket").fileno(), LATE["a whole answer"])


@pytest.mark.sockets
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_arrives_just_before_a_request_leaves_is_not_its_answer(
    monkeypatch: pytest.MonkeyPatch, method: Literal["GET", "POST"]
) -> None:
    """Chosen, looked at, and written to without a pause: what comes until the last look costs the connection."""
    async with serving(http(b'{"of":"this one"}')) as server, connecting("pool") as transport:
        await transport.send(server.request())
        real, idle = TCPConnector.connect, list(server.open)

        async def connect(self: TCPConnector, *args: Any, **kwargs: Any) -> Any:
            connection = await real(self, *args, **kwargs)
            while idle:
                os.write(idle.pop().get_extra_info("socket").fileno(), LATE["a whole answer"])
            return connection

        monkeypatch.setattr(TCPConnector, "connect", connect)
        body = b"" if method == "GET" else SECRET_BODY.encode()
        response = await transport.send(server.request(method=method, body=body))
        monkeypatch.undo()
        assert response.body == b'{"of":"this one"}'
        assert server.connections == 2
        assert len(server.requests) == 2


@pytest.mark.sockets
async def test_a_connection_that_was_not_good_enough_sent_nothing() -> None:
    """One that spoke while idle is dropped; when no other can be made, certainly nothing was sent."""
    async with serving(http()) as server, connecting("pool") as transport:
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
async def test_a_connection_that_is_closing_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be written to it goes nowhere."""
    real = TCPConnector.connect

    async def connect(self: TCPConnector, *args: Any, **kwargs: Any) -> Any:
        connection = await real(self, *args, **kwargs)
        connection.transport.close()
        return connection

    async with serving(http()) as server, connecting("pool") as transport:
        monkeypatch.setattr(TCPConnector, "connect", connect)
        error = await failure(transport, server.request())
        monkeypatch.undo()
        assert (error.code, error.maybe_sent) == ("connection", False)
        assert (await transport.send(server.request())).body == b"{}"
        assert len(server.requests) == 1


@pytest.mark.sockets
async def test_closing_frees_everything_and_is_not_the_end() -> None:
    """The server sees the connection go; closing twice does no harm, and a later request opens a new pool."""
    async with serving(http()) as server:
        transport = AiohttpTransport()
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


@pytest.mark.sockets
async def test_destinations_are_not_kept_without_end() -> None:
    """Whatever somebody fetches through it."""
    async with serving(http()) as server, connecting("pool") as transport:
        for nth in range(2 * MAX_DESTINATIONS):
            await transport.send(server.request(f"/{nth}"))
            assert isinstance(transport._carrier, Pool)
            assert len(transport._carrier._destinations) <= MAX_DESTINATIONS


@pytest.mark.sockets
async def test_a_head_without_end_is_left_early() -> None:
    """Many long fields are still bounded together; what follows them in one piece does not count."""

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"y" * 60_000 + b"\r\n")
            await writer.drain()

    body = b"x" * 4 * MAX_HEAD
    async with serving(endless, http(body)) as server, connecting("pool") as transport:
        tracemalloc.start()
        error = await failure(transport, server.request())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (error.code, error.maybe_sent) == ("connection", True)
        assert peak < 6 * MAX_HEAD
        assert (await transport.send(server.request(max_body=len(body)))).body == body


async def test_the_rehearsal_finds_nothing_wrong_here() -> None:
    """On the aiohttp of these tests, and it leaves nothing."""
    rehearse()


async def test_the_rehearsal_finds_what_only_a_rehearsal_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """All names are there, and what they do is something else."""

    async def read(_: ResponseHandler) -> object:
        return RawResponse(), None

    class RawResponse:
        code = 200
        headers: Mapping[str, str] = {}

    monkeypatch.setattr(ResponseHandler, "read", read)
    with pytest.raises(AttributeError):
        rehearse()


async def test_the_rehearsal_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What should be there at once and is not is a finding, not a reason to hang."""

    async def read(_: ResponseHandler) -> object:
        return await asyncio.Event().wait()

    monkeypatch.setattr(ResponseHandler, "read", read)
    with pytest.raises(AssertionError):
        rehearse()


@pytest.mark.sockets
async def test_header_fields_are_those_of_each_request() -> None:
    """How they were written is remembered; also a mapping that its owner changes, or bad fields, spoil nothing."""
    headers: dict[str, str] = {}
    async with serving(http()) as server, connecting("pool") as transport:
        for wanted in ({"A": "1"}, {"A": "1"}, {"A": "2"}, {}, {"B": "2"}, {"B": "2\r\nC: 3"}, {"B": "2"}):
            headers.clear()
            headers.update(wanted)
            if "\n" in "".join(wanted.values()):
                await failure(transport, server.request(headers=headers))
            else:
                await transport.send(server.request(headers=headers))
    sent = [[line for line in head.split("\r\n") if line[1:2] == ":"] for head, _ in server.requests]
    assert sent == [["A: 1"], ["A: 1"], ["A: 2"], [], ["B: 2"], ["B: 2"]]


@pytest.mark.sockets
async def test_open_connections_are_counted_by_server() -> None:
    """Those in use, those that wait for the next request, and no longer those that are closed."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(http())

    async with serving(hold) as slow, serving(then_close(http())) as closing, connecting("pool") as transport:
        assert transport.connections() == []
        sending = asyncio.create_task(transport.send(slow.request()))
        await asyncio.wait_for(asked.wait(), 5)
        port = urlsplit(slow.url).port
        assert transport.connections() == [{"host": "127.0.0.1", "port": port, "active": 1, "idle": 0}]
        go_on.set()
        await sending
        assert transport.connections() == [{"host": "127.0.0.1", "port": port, "active": 0, "idle": 1}]
        await transport.send(closing.request())
        await asyncio.sleep(0.05)
        assert [(each["active"], each["idle"]) for each in transport.connections()] == [(0, 1), (0, 0)]
        await transport.aclose()
        assert transport.connections() == []


async def test_a_session_keeps_its_connections_to_itself() -> None:
    """They are the business of whoever lent it."""
    async with aiohttp.ClientSession() as session:
        transport = AiohttpTransport(session=session)
        with pytest.raises(TransportError):
            await transport.send(HttpRequest("GET", "http://127.0.0.1:1/", {}))
        assert transport.connections() == []
