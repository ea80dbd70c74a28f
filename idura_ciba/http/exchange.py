"""What the two carriers have in common: the exchange in flight, and how an answer is read.

`session.py` uses aiohttp's documented interface, `pool.py` writes to its connections directly. `transport.py` chooses.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from attrs import define, field, frozen
from yarl import URL

from idura_ciba.aio.patience import PatientTimeout
from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.http.failures import describe_timeout
from idura_ciba.protocol.http import HttpRequest, HttpResponse

__all__ = ["MAX_FIELD", "MAX_FIELDS", "Carrier", "Connections", "Exchange", "UnexpectedAiohttp"]

#: Most bytes of one header field of an answer, name and value together, and of the status line. Gateways add long
#: cookies and policies, and tokens that are issued only once must not be lost to them. aiohttp's own limit is 8,190.
MAX_FIELD = 65 * 1024
#: Most header fields of an answer. aiohttp's own limit is 128; older releases have none.
MAX_FIELDS = 1024
#: aiohttp's names for these limits; older releases do not know `max_headers`.
LIMITS: Mapping[str, int] = {"max_line_size": MAX_FIELD, "max_field_size": MAX_FIELD, "max_headers": MAX_FIELDS}
#: The `User-Agent`, unless the session sets one.
USER_AGENT = "idura_ciba"

#: Seconds within which a connection counts as an idle one; a new one takes at least a round trip.
_AT_ONCE = 0.001
#: RFC 9110 sections 5.1 and 5.5: names are tokens, values have no control characters except tabs.
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")


class UnexpectedAiohttp(Exception):  # noqa: N818 - a finding, and it never reaches a caller
    """This release of aiohttp is not as `pool.py` expects."""


@frozen
class Connections:
    """The open connections to one server.

    Attributes:
        host: Its name.
        port: Its port.
        active: How many carry a request.
        idle: How many could.
    """

    host: str
    port: int
    active: int
    idle: int


class Carrier(Protocol):
    """One of the two ways to send a request."""

    def connections(self) -> list[Connections]:
        """The connections of the carrier's own, as far as it knows them."""
        ...

    async def carry(self, exchange: Exchange) -> HttpResponse:
        """Send the request once and read its answer; `exchange.sent_at` is right even if this raises."""
        ...

    async def aclose(self) -> None:
        """Release what the carrier owns."""
        ...


@define(eq=False)
class Exchange:
    """One request in flight. Instants are monotonic seconds.

    Attributes:
        request: What is sent.
        connect_timeout: Seconds that connecting may take.
        asked_at: When the exchange began.
        deadline: The timeout of the exchange.
        sent_at: When the request got its connection; None as long as nothing of it can have arrived.
        over: Whether nobody waits any more, so that nothing may leave.
    """

    request: HttpRequest
    connect_timeout: float
    asked_at: float
    deadline: PatientTimeout = field(init=False)
    sent_at: float | None = field(default=None, init=False)
    over: bool = field(default=False, init=False)

    def limit(self) -> PatientTimeout:
        """Set and return the deadline that holds until there is a connection."""
        self.deadline = PatientTimeout(self._at_latest(self.asked_at + max(self.request.timeout, self.connect_timeout)))
        return self.deadline

    def leave(self) -> float:
        """Note that the request leaves now, and start the timeout of its answer; return the instant.

        Raises:
            ConnectionAbortedError: Nobody waits for an answer any more.
            TransportError: Too late to leave; see `HttpRequest.not_after`.
            TransportTimeout: The deadline is over; what has not left by now must not.
        """
        if self.over:
            raise ConnectionAbortedError
        if self.deadline.over:
            raise TransportTimeout(describe_timeout(self.request.url, sent=False))
        now = asyncio.get_running_loop().time()
        self.check_time(now)
        if now - self.asked_at > _AT_ONCE or self.request.timeout < self.connect_timeout:
            self.deadline.reschedule(self._at_latest(now + self.request.timeout))
        self.sent_at = now
        return now

    def check_time(self, now: float) -> None:
        """Check that the request may still leave.

        Raises:
            TransportError: Too late to leave; see `HttpRequest.not_after`.
        """
        if self.request.not_after is not None and now >= self.request.not_after:
            raise TransportError("the time for this request had passed before it could leave", code="too_late")

    def leave_unseen(self) -> None:
        """Note that the request leaves at some unknown time from now on."""
        self.check_time(asyncio.get_running_loop().time())
        self.deadline.reschedule(self._at_latest(self.asked_at + self.connect_timeout + self.request.timeout))
        self.sent_at = self.asked_at

    def _at_latest(self, when: float) -> float:
        limit = self.request.give_up_at
        return when if limit is None or when < limit else limit


def parse_url(address: str) -> URL:
    """Parse a URL.

    Raises:
        ValueError: Not an http or https URL, or one with credentials.
    """
    url = URL(address)
    if url.scheme not in {"http", "https"} or not url.raw_host or url.user is not None:
        raise ValueError
    return url


def write_fields(headers: Mapping[str, str]) -> str:
    """Encode header fields, one per line.

    Raises:
        ValueError: A field is malformed. RFC 9112 section 2.2: a line break in it would begin another field.
    """
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if fields.count("\n") != len(headers) or not _FIELDS.fullmatch(fields):
        raise ValueError
    return fields


async def read_body(content: aiohttp.StreamReader, limit: int, status: int) -> bytes:
    """Read the body of an answer with this status to its end.

    Raises:
        TransportError: The body is longer than `limit` bytes.
    """
    body = bytearray()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > limit:
            error = TransportError(f"the answer is longer than {limit} bytes", code="oversized")
            error.status = status
            raise error
    return bytes(body)


def read_fields(headers: Mapping[str, str]) -> dict[str, str]:
    """Header fields by lower-case name; of repeated fields, the first."""
    fields: dict[str, str] = {}
    for name, value in headers.items():
        fields.setdefault(name.lower(), value)
    return fields
