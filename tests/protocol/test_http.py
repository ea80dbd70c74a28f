"""Tests of HTTP messages as values."""

from __future__ import annotations

import gzip
import traceback
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from attrs.exceptions import FrozenInstanceError

from idura_ciba.errors import TransportError
from idura_ciba.protocol.http import DEFAULT_MAX_BODY, HttpRequest, HttpResponse, inflate


def answer(**headers: str) -> HttpResponse:
    """An answer with these header fields."""
    return HttpResponse(200, {name.replace("_", "-"): value for name, value in headers.items()}, b"{}", 1.0, 2.0)


def test_a_request_needs_method_and_url_only() -> None:
    """What is left out is empty and bounded."""
    request = HttpRequest("GET", "https://simulator.idura.broker/.well-known/openid-configuration")
    assert (request.headers, request.body, request.max_body) == ({}, b"", DEFAULT_MAX_BODY)
    assert request.timeout == 10.0


def test_reprs_hide_headers_and_bodies() -> None:
    """An assertion, a hint or a token in a message does not show in its repr."""
    request = HttpRequest("POST", "https://x.test/token", {"Authorization": "Basic secret"}, b"auth_req_id=secret")
    response = HttpResponse(200, {"set-cookie": "secret"}, b'{"id_token": "secret"}', 1.0, 2.0)
    assert "secret" not in repr(request) + repr(response)
    assert "https://x.test/token" in repr(request)
    assert "200" in repr(response)


def test_a_request_makes_its_own_answer() -> None:
    """Whoever carries a request needs not know the class of answers."""
    request = HttpRequest("GET", "https://x.test/")
    answered = request.answered(418, {"date": "now"}, b"{}", sent_at=1.0, received_at=2.0)
    assert answered == HttpResponse(418, {"date": "now"}, b"{}", 1.0, 2.0)


def test_messages_do_not_change() -> None:
    """A message that has been made stays what it is."""
    with pytest.raises(FrozenInstanceError):
        answer().status = 500  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("value", ["a", "0a", "a1b2-c3", "1-2", "x" * 128, "with space"])
def test_a_decent_trace_id_is_given(value: str) -> None:
    """Up to 128 printable ASCII characters pass as they came."""
    assert answer(trace_id=value).trace_id == value


@pytest.mark.parametrize("value", ["", "0", "209801011231", "x" * 129, "two\nlines", "\x1b[2J", "\x7f", "å"])
def test_any_other_trace_id_is_dropped(value: str) -> None:
    """What could spoil a terminal or a log line is not a trace id, nor is a number, which might be a person's."""
    assert answer(trace_id=value).trace_id is None


def test_an_answer_may_have_no_trace_id() -> None:
    """The header is optional."""
    assert answer(date="Thu, 01 Jan 2026 00:00:00 GMT").trace_id is None


def test_a_request_makes_its_answer() -> None:
    """For those who carry it without knowing what an answer is."""
    made = HttpRequest("GET", "https://x.test/").answered(200, {"date": "now"}, b"{}", sent_at=1.0, received_at=2.0)
    assert made == HttpResponse(200, {"date": "now"}, b"{}", 1.0, 2.0)


# --- compressed answers -----------------------------------------------------------------------------------------------

PLAIN = b'{"error": "authorization_pending"}'


def deflate(plain: bytes) -> bytes:
    """Without zlib's own wrapping, as many servers send it."""
    return zlib.compress(plain, wbits=-15)


def compressed(encoding: str, body: bytes) -> HttpResponse:
    """An answer that says how it is compressed."""
    return HttpResponse(400, {"content-encoding": encoding, "date": "now"}, body, 1.0, 2.0)


def fault(response: HttpResponse, limit: int = DEFAULT_MAX_BODY) -> str:
    """The code of the error, which may have been the answer to a request that arrived and holds nothing of it."""
    with pytest.raises(TransportError) as caught:
        inflate(response, limit)
    error = caught.value
    assert (error.maybe_sent, error.sent_at, error.ended_at, error.status) == (True, 1.0, 2.0, 400)
    assert error.__context__ is None
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert not any(isinstance(value, bytes) for values in frames for value in values.values())
    told = {"oversized": f"longer than {limit} bytes", "compressed": "a way unknown here", "damaged": "and damaged"}
    assert told[error.code] in error.what
    return error.code


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        (" GZip ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", deflate),
        ("identity, gzip", gzip.compress),
        ("gzip,identity", gzip.compress),
        ("identity", bytes),
        ("", bytes),
    ],
)
@pytest.mark.parametrize("limit", [len(PLAIN), DEFAULT_MAX_BODY])
def test_a_compressed_answer_is_inflated(encoding: str, pack: Callable[[bytes], bytes], limit: int) -> None:
    """Up to the very bound, and nothing of it says compressed any more; all else is as it was."""
    assert inflate(compressed(encoding, pack(PLAIN)), limit) == HttpResponse(400, {"date": "now"}, PLAIN, 1.0, 2.0)


def test_an_answer_that_says_nothing_of_it_is_plain() -> None:
    """And stays as it is."""
    assert inflate(answer(date="now"), 10) == answer(date="now")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_nothing_is_nothing(encoding: str) -> None:
    """An answer without a body says how it would have been compressed."""
    assert inflate(compressed(encoding, b""), 10).body == b""


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, deflate])
def test_an_inflated_answer_is_bounded_like_a_plain_one(pack: Callable[[bytes], bytes]) -> None:
    """One byte more than the bound is an error, and of a bomb not more than that is ever made."""
    encoding = "gzip" if pack is gzip.compress else "deflate"
    assert fault(compressed(encoding, pack(PLAIN)), len(PLAIN) - 1) == "oversized"
    bomb = compressed(encoding, pack(bytes(50_000_000)))
    tracemalloc.start()
    assert fault(bomb) == "oversized"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * DEFAULT_MAX_BODY


#: What is compressed in a way that would come the same again.
UNKNOWN: dict[str, tuple[str, bytes]] = {
    "brotli": ("br", PLAIN),
    "Zstandard": ("zstd", PLAIN),
    "never heard of": ("unheard-of", PLAIN),
    "with a parameter": ("gzip;q=1", gzip.compress(PLAIN)),
    "a bomb within a bomb": ("gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
}
#: What is none of the encoding that it names, by what is wrong with it.
BROKEN: dict[str, tuple[str, bytes]] = {
    "plain, said to be gzip": ("gzip", PLAIN),
    "plain, said to be deflate": ("deflate", PLAIN),
    "zlib, said to be gzip": ("gzip", zlib.compress(PLAIN)),
    "gzip, said to be deflate": ("deflate", gzip.compress(PLAIN)),
    **{f"gzip without its last {cut} bytes": ("gzip", gzip.compress(PLAIN)[:-cut]) for cut in (1, 8, 20)},
    **{f"zlib without its last {cut} bytes": ("deflate", zlib.compress(PLAIN)[:-cut]) for cut in (1, 4, 20)},
    "deflate without its last byte": ("deflate", deflate(PLAIN)[:-1]),
    "changed on the way": ("gzip", gzip.compress(PLAIN)[:-8] + bytes(8)),
    "gzip and something more": ("gzip", gzip.compress(PLAIN) + b"x"),
    "gzip twice": ("gzip", gzip.compress(PLAIN) * 2),
    "deflate and something more": ("deflate", deflate(PLAIN) + b"x"),
}


@pytest.mark.parametrize("name", [*UNKNOWN, *BROKEN])
def test_what_cannot_be_inflated_is_an_error(name: str) -> None:
    """An encoding that nobody asked for and that is not known here; or bytes that are none of it, or were cut."""
    code = "compressed" if name in UNKNOWN else "damaged"
    assert fault(compressed(*(UNKNOWN | BROKEN)[name])) == code
