"""What the two ways of carrying a request have in common: the exchange under way, and how an answer is read.

`session.py` goes through aiohttp's front door, `pool.py` writes onto its connections itself. `transport.py` chooses.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from attrs import define, field
from yarl import URL

from idura_ciba.aio.patience import PatientTimeout
from idura_ciba.errors import TransportError
from idura_ciba.protocol.http import HttpRequest, HttpResponse

__all__ = ["MAX_FIELD", "MAX_FIELDS", "Carrier", "Exchange", "UnexpectedAiohttp"]

#: Bytes of one header field of an answer, name and value together, and of its first line: gateways add long cookies and
#: policies, and an answer that can be had only once must not be lost to them. aiohttp's own limit is 8,190.
MAX_FIELD = 65 * 1024
#: Header fields of an answer. aiohttp's own limit is 128, and none in older releases.
MAX_FIELDS = 1024
#: How aiohttp names the two limits; `max_headers` only where it knows that one.
LIMITS: Mapping[str, int] = {"max_line_size": MAX_FIELD, "max_field_size": MAX_FIELD, "max_headers": MAX_FIELDS}
#: What servers are told where nobody else has a say in it.
USER_AGENT = "idura_ciba"

#: Seconds in which an idle connection is found; a new one takes a round trip at least.
_AT_ONCE = 0.001
#: RFC 9110 sections 5.1 and 5.5: names are tokens, values hold no control characters but tabs.
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")


class UnexpectedAiohttp(Exception):  # noqa: N818 - a finding, and it never reaches a caller
    """This aiohttp is not as the pool of our own expects it to be."""


class Carrier(Protocol):
    """One of the two ways."""

    async def carry(self, exchange: Exchange) -> HttpResponse:
        """Send the request once and read its answer; whatever is raised, `exchange.sent_at` is true."""
        ...

    async def aclose(self) -> None:
        """Release what is its own."""
        ...


@define(eq=False)
class Exchange:
    """One request on its way. Instants are monotonic seconds.

    Attributes:
        request: What is sent.
        connect_timeout: Seconds that a connection may take.
        asked_at: When it began.
        deadline: Ends it.
        sent_at: When the request had its connection; None as long as nothing of it can have arrived.
        over: Whether nobody waits any more, so that nothing may leave.
    """

    request: HttpRequest
    connect_timeout: float
    asked_at: float
    deadline: PatientTimeout = field(init=False)
    sent_at: float | None = field(default=None, init=False)
    over: bool = field(default=False, init=False)

    def limit(self) -> PatientTimeout:
        """The deadline while there is no connection yet."""
        self.deadline = PatientTimeout(self.asked_at + max(self.request.timeout, self.connect_timeout))
        return self.deadline

    def leave(self) -> float:
        """There is a connection, and the request leaves now: its answer has its time from here on.

        Raises:
            ConnectionAbortedError: Nobody waits for an answer any more.
            TransportError: It is too late to leave; see `HttpRequest.not_after`.
        """
        if self.over:
            raise ConnectionAbortedError
        now = asyncio.get_running_loop().time()
        self.check_time(now)
        if now - self.asked_at > _AT_ONCE or self.request.timeout < self.connect_timeout:
            self.deadline.reschedule(now + self.request.timeout)
        self.sent_at = now
        return now

    def check_time(self, now: float) -> None:
        """Make sure that the request may still leave.

        Raises:
            TransportError: It may not.
        """
        if self.request.not_after is not None and now >= self.request.not_after:
            raise TransportError("the time for this request had passed before it could leave", code="too_late")

    def leave_unseen(self) -> None:
        """It leaves at some time from now on, and nobody will say when."""
        self.check_time(asyncio.get_running_loop().time())
        self.deadline.reschedule(self.asked_at + self.connect_timeout + self.request.timeout)
        self.sent_at = self.asked_at


def parse_url(address: str) -> URL:
    """Read an address.

    Raises:
        ValueError: It is none of a web server, or has credentials in it.
    """
    url = URL(address)
    if url.scheme not in {"http", "https"} or not url.raw_host or url.user is not None:
        raise ValueError
    return url


def write_fields(headers: Mapping[str, str]) -> str:
    """Write header fields, a line each.

    Raises:
        ValueError: RFC 9112 section 2.2: a line break in one of them would begin a field of its own.
    """
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if fields.count("\n") != len(headers) or not _FIELDS.fullmatch(fields):
        raise ValueError
    return fields


async def read_body(content: aiohttp.StreamReader, limit: int) -> bytes:
    """Read a body to its end.

    Raises:
        TransportError: It is longer than the limit.
    """
    body = bytearray()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > limit:
            raise TransportError(f"the answer is longer than {limit} bytes", code="oversized")
    return bytes(body)


def read_fields(headers: Mapping[str, str]) -> dict[str, str]:
    """Header fields by their lower-case names; of repeated ones the first."""
    fields: dict[str, str] = {}
    for name, value in headers.items():
        fields.setdefault(name.lower(), value)
    return fields
