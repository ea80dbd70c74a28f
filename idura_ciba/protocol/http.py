"""HTTP messages as plain values, and the port through which they travel.

No HTTP library is known here, so the pure core and any transport can speak of the same two values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from attrs import field, frozen

__all__ = ["DEFAULT_MAX_BODY", "HttpRequest", "HttpResponse", "Transport"]

#: A bound for answers that carry errors or acknowledgements; token answers ask for more.
DEFAULT_MAX_BODY = 64 * 1024
#: Idura's have 32 characters; a longer text is no name that anybody would quote.
MAX_TRACE_ID = 128


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
    """

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    max_body: int = DEFAULT_MAX_BODY
    timeout: float = 10.0

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
        body: Undecoded, complete, at most `HttpRequest.max_body` bytes.
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
            TransportError: Anything else that kept a complete, bounded, uncompressed answer from arriving.
        """
        ...

    async def aclose(self) -> None:
        """Release what the transport owns. May be called twice."""
        ...
