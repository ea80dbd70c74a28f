"""Tests of delivering through any transport: once, again where that is safe, and inflated."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba.errors import TransportError
from idura_ciba.http.delivery import CONNECT_PATIENCE, FETCH_PATIENCE, deliver, fetch, until_connected
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from tests.fakes import Answer, FakeTransport, outage, refused
from tests.servers import Connect, http, serving


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


# --- compressed answers -----------------------------------------------------------------------------------------------


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda plain: zlib.compress(plain, wbits=-15))],
)
async def test_a_compressed_answer_is_inflated_whatever_carried_it(
    connect: Connect, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """It was not asked for, and it may be the only one."""
    plain = b'{"id_token": "..."}'
    async with serving(http(pack(plain), f"Content-Encoding: {encoding}")) as server, connect() as transport:
        for response in (
            await deliver(transport, server.request(max_body=len(pack(plain)))),
            await fetch(transport, server.request(method="GET", body=b"")),
            await until_connected(lambda: deliver(transport, server.request())),
        ):
            assert response.body == plain
            assert "content-encoding" not in response.headers


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("encoding", "body", "code"),
    [
        ("gzip", gzip.compress(bytes(50_000_000)), "oversized"),
        ("br", b"{}", "compressed"),
        ("gzip", b"{}", "damaged"),
    ],
)
async def test_what_cannot_be_inflated_is_an_answer_lost(
    connect: Connect, encoding: str, body: bytes, code: str
) -> None:
    """A bomb, or what is not known here: the request had arrived."""
    async with serving(http(body, f"Content-Encoding: {encoding}")) as server, connect() as transport:
        with pytest.raises(TransportError) as caught:
            await deliver(transport, server.request())
    error = caught.value
    assert (error.code, error.maybe_sent) == (code, True)
    assert error.sent_at is not None
    assert error.ended_at is not None
    assert error.sent_at <= error.ended_at


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
