"""HTTP messages as plain values, and the port through which they travel.

No HTTP library is known here, so the pure core and any transport can speak of the same two values.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal, Protocol

from attrs import evolve, field, frozen

from idura_ciba.errors import TransportError

__all__ = ["DEFAULT_MAX_BODY", "HttpRequest", "HttpResponse", "Transport", "inflate"]

#: A bound for answers that carry errors or acknowledgements; token answers ask for more.
DEFAULT_MAX_BODY = 64 * 1024
#: Idura's have 32 characters; a longer text is no name that anybody would quote.
MAX_TRACE_ID = 128
#: RFC 9110 section 8.4.1, by the form that zlib calls them: gzip, and zlib's own around deflate. Many servers send
#: deflate with nothing around it.
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_FORMS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _RAW)}


@frozen
class HttpRequest:
    """One request, ready to leave.

    Attributes:
        method: `GET` or `POST`.
        url: Absolute.
        headers: Header fields to send; may hold `Authorization`.
        body: The encoded form, empty for `GET`.
        max_body: Bytes of answer to read before giving up on it.
        timeout: Seconds to wait for the whole answer, counted from the moment the request has a connection.
        not_after: Monotonic instant from which on nothing may leave, looked at just before the first byte does; None:
            whenever it is ready. An answer that comes later is taken.
        give_up_at: Monotonic instant at which the request is given up, whatever it waits for; None: `timeout` decides.
        tls: The `ssl.SSLContext` with the client's certificate, where it presents one; None: as the transport connects.
    """

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    max_body: int = DEFAULT_MAX_BODY
    timeout: float = 10.0
    not_after: float | None = None
    give_up_at: float | None = None
    tls: object = field(default=None, repr=False)

    def answered(
        self, status: int, headers: Mapping[str, str], body: bytes, *, sent_at: float, received_at: float
    ) -> HttpResponse:
        """The answer to this request, for those who carry it; the arguments are the attributes of `HttpResponse`."""
        return HttpResponse(status, headers, body, sent_at, received_at)


@frozen
class HttpResponse:
    """One complete answer.

    Attributes:
        status: The HTTP status code.
        headers: Header fields by lower-case name; of repeated ones the first.
        body: As it came, complete, at most `HttpRequest.max_body` bytes; compressed where `content-encoding` says so.
        sent_at: Monotonic seconds at which the request had its connection.
        received_at: Monotonic seconds at which the last byte had arrived.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sent_at: float
    received_at: float

    @property
    def trace_id(self) -> str | None:
        """The `Trace-Id` that Idura returns when asked with `Prefer: return-trace-id`; None where it is none.

        It is shown and logged, so it is printable ASCII, and no mere number: that might be a person's.
        """
        value = self.headers.get("trace-id", "")
        good = 0 < len(value) <= MAX_TRACE_ID and value.isascii() and value.isprintable()
        return value if good and not value.isdigit() else None


class Transport(Protocol):
    """Carries one request to the provider and brings the answer back."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send once. No retry, no redirect, no cookie.

        Raises:
            TransportTimeout: No complete answer within `request.timeout`.
            TransportError: Anything else that kept a complete, bounded answer from arriving. It may be compressed.
        """
        ...

    async def aclose(self) -> None:
        """Release what the transport owns. May be called twice."""
        ...


def inflate(response: HttpResponse, limit: int) -> HttpResponse:
    """Undo the compression of an answer, which was not asked for and is had only once.

    Args:
        response: As it came.
        limit: Bytes that the body may have. No more than these are ever made of it.

    Returns:
        The plain answer, which has no `content-encoding`.

    Raises:
        TransportError: `oversized`; `compressed` in a way that is not known here, or more than once; `damaged` where it
            is broken off, or not what it says.
    """
    named = response.headers.get("content-encoding", "").lower().split(",")
    encodings = [encoding for name in named if (encoding := name.strip()) not in {"", "identity"}]
    body: bytes | TransportError = response.body
    if encodings and response.body:
        # Each further one could be a bomb within the bomb, and nobody does that to JSON.
        forms = _FORMS.get(encodings[0], ()) if len(encodings) == 1 else ()
        body = _inflate(response.body, forms, limit)
    if isinstance(body, TransportError):
        body.sent_at, body.ended_at, body.status = response.sent_at, response.received_at, response.status
        raise body
    headers = {name: value for name, value in response.headers.items() if name != "content-encoding"}
    return evolve(response, headers=headers, body=body)


def _inflate(body: bytes, forms: tuple[int, ...], limit: int) -> bytes | TransportError:
    """What comes out in the first of these forms that fits. The error is not raised here: this frame holds the body."""
    for form in forms:
        stream = zlib.decompressobj(form)
        try:
            # 0 would mean without a bound.
            plain = stream.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(plain) > limit:
            return TransportError(f"the answer is longer than {limit} bytes once inflated", code="oversized")
        if stream.eof and not stream.unused_data:
            return plain
    if forms:
        return TransportError("the answer is compressed, which was not asked for, and damaged", code="damaged")
    return TransportError("the answer is compressed, which was not asked for, in a way unknown here", code="compressed")
