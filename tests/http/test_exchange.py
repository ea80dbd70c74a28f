"""Tests of what both ways share: when a request counts as sent, what may be sent at all, and how a body is read."""

from __future__ import annotations

import asyncio
from unittest.mock import MagicMock

import pytest
from aiohttp import StreamReader
from multidict import CIMultiDict

from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.http.exchange import Exchange, parse_url, read_body, read_fields, write_fields
from idura_ciba.protocol.http import HttpRequest


def begin(timeout: float, connect_timeout: float, give_up_at: float | None = None) -> Exchange:
    """An exchange that begins now."""
    request = HttpRequest("GET", "http://acme.test/", timeout=timeout, give_up_at=give_up_at)
    return Exchange(request, connect_timeout, asyncio.get_running_loop().time())


async def time_out(exchange: Exchange) -> float:
    """Wait for an answer that never comes; returns after how many seconds that was given up."""

    async def wait() -> None:
        with exchange.limit():
            await asyncio.sleep(1000)

    with pytest.raises(TimeoutError):
        await wait()
    return asyncio.get_running_loop().time() - exchange.asked_at


@pytest.mark.parametrize(
    ("timeout", "connect_timeout", "connected_after", "ends_after"),
    [
        (35, 10, None, 35),
        (5, 10, None, 10),
        (35, 10, 0, 35),
        (5, 10, 0, 5),
        (35, 10, 8, 43),
        (5, 10, 8, 13),
    ],
)
async def test_an_answer_has_its_time_from_the_connection_on(
    timeout: float, connect_timeout: float, connected_after: float | None, ends_after: float
) -> None:
    """Before that, a connection has its own, or the answer's where that is longer."""
    exchange = begin(timeout, connect_timeout)
    assert exchange.sent_at is None
    if connected_after is not None:
        asyncio.get_running_loop().call_at(exchange.asked_at + connected_after, exchange.leave)
    assert await time_out(exchange) == ends_after
    assert exchange.sent_at == (None if connected_after is None else exchange.asked_at + connected_after)


async def test_what_leaves_unseen_has_the_time_of_both() -> None:
    """A connection, and an answer."""
    exchange = begin(35, 10)
    asyncio.get_running_loop().call_later(1, exchange.leave_unseen)
    assert await time_out(exchange) == 45
    assert exchange.sent_at == exchange.asked_at


@pytest.mark.parametrize(
    ("give_up_at", "ends_after"),
    [(8, 8), (3, 3), (11, 11), (47, 45)],
    ids=["waiting for the answer", "connecting", "connecting slowly", "later than its own time"],
)
@pytest.mark.parametrize("unseen", [False, True])
async def test_it_is_given_up_at_the_latest_when_the_request_says_so(
    give_up_at: float, ends_after: float, *, unseen: bool
) -> None:
    """Whatever is waited for: a transaction ends in time."""
    exchange = begin(35, 10, give_up_at)
    if give_up_at not in {3, 11}:
        leave = exchange.leave_unseen if unseen else exchange.leave
        asyncio.get_running_loop().call_at(exchange.asked_at + (0 if unseen else 10 if give_up_at > 8 else 5), leave)
    assert await time_out(exchange) == ends_after


async def test_nothing_leaves_when_nobody_waits_any_more() -> None:
    """Also where whoever writes it comes to it only now."""
    exchange = begin(35, 10)
    with exchange.limit():
        pass
    exchange.over = True
    with pytest.raises(ConnectionAbortedError):
        exchange.leave()
    assert exchange.sent_at is None


async def test_nothing_leaves_in_the_turn_in_which_its_time_ends() -> None:
    """What could no longer be waited for has not left."""
    exchange = begin(1, 2)
    refused: list[TransportTimeout] = []

    def leave() -> None:
        try:
            exchange.leave()
        except TransportTimeout as error:
            refused.append(error)

    asyncio.get_running_loop().call_later(2, asyncio.get_running_loop().call_soon, leave)
    assert await time_out(exchange) == 2
    assert exchange.sent_at is None
    assert refused


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1/", "http://somebody:something@127.0.0.1/", "http:///x", "nothing", "http://[::1", ""]
)
def test_what_is_no_address_of_a_web_server_is_refused(address: str) -> None:
    """Another scheme, credentials in the address, no host."""
    with pytest.raises(ValueError, match=r".*"):
        parse_url(address)


def test_an_address_is_read() -> None:
    """With all its parts."""
    assert str(parse_url("https://acme.test:8443/x?y=%3D1")) == "https://acme.test:8443/x?y=%3D1"


def test_fields_are_written_a_line_each() -> None:
    """And no line where there is none."""
    assert write_fields({"A": "b", "C-d": "e\tf: å"}) == "A: b\r\nC-d: e\tf: å\r\n"
    assert write_fields({}) == ""


@pytest.mark.parametrize(
    "headers",
    [{"X": "a\r\nY: b"}, {"X": "a\nY: b"}, {"X: a\r\nY": "b"}, {"X": "\0"}, {"X y": "b"}, {"": "b"}, {"X": "\x7f"}],
)
def test_a_field_cannot_begin_another_one(headers: dict[str, str]) -> None:
    """Whatever somebody else's client authentication puts into it."""
    with pytest.raises(ValueError, match=r".*"):
        write_fields(headers)


def test_of_repeated_fields_the_first_counts() -> None:
    """By their lower-case names."""
    assert read_fields(CIMultiDict([("Trace-Id", "one"), ("TRACE-ID", "two")])) == {"trace-id": "one"}


@pytest.mark.parametrize("limit", [5, 6])
async def test_a_body_is_read_to_its_end_or_its_bound(limit: int) -> None:
    """Whatever pieces it comes in."""
    content = _content(b"abc", b"def")
    if limit == 6:
        assert await read_body(content, limit, 200) == b"abcdef"
        return
    with pytest.raises(TransportError) as caught:
        await read_body(content, limit, 502)
    assert (caught.value.code, caught.value.status) == ("oversized", 502)


def _content(*chunks: bytes) -> StreamReader:
    content = StreamReader(MagicMock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    for chunk in chunks:
        content.feed_data(chunk)
    content.feed_eof()
    return content
