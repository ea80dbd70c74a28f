"""What browsers, other programs and other people's pages send to a server on loopback, byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from attrs import define, field, frozen

#: What a browser says of a click on a link in a terminal, and of what a page sends itself.
TYPED = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
OWN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
FORM = "application/x-www-form-urlencoded"


@frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


async def exchange(origin: str, request: bytes) -> Answer:
    """Send bytes, and read one answer until the server ends it."""
    reader, writer = await connect(origin)
    try:
        writer.write(request)
        return await read_answer(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def connect(origin: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a server."""
    address = urlsplit(origin)
    return await asyncio.open_connection(address.hostname, address.port)


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read the status and the header fields, by names in lower case."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = (line.partition(": ") for line in head[1:] if line)
    return int(head[0].split()[1]), {name.lower(): value for name, _, value in fields}


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer with its body."""
    status, headers = await read_head(reader)
    return Answer(status, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def request(method: str, target: str, headers: Mapping[str, str | None], body: bytes = b"") -> bytes:
    """Write a request; a header field that is None is left out."""
    fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode() + body


@define
class Browser:
    """One that has been let in: it has the cookie, and knows the CSRF token of the page.

    Attributes:
        origin: The server's.
        root: The path below which the pages are; found when it is let in.
        cookie: What it sends as `Cookie`.
        csrf: What it sends in forms.
    """

    origin: str
    root: str = ""
    cookie: str = ""
    csrf: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """The `Host` of its requests."""
        return urlsplit(self.origin).netloc

    async def open(self, address: str) -> Answer:
        """Open an address as a person does who has clicked on it in a terminal, and keep the cookie and its path."""
        # The cookie is not for this path, so it is not sent.
        outside = Browser(self.origin)
        answer = await outside.get(address.removeprefix(self.origin), **TYPED)
        if "set-cookie" in answer.headers:
            morsel = next(iter(SimpleCookie(answer.headers["set-cookie"]).values()))
            self.cookie, self.root = f"{morsel.key}={morsel.value}", morsel["path"].removesuffix("/")
        return answer

    async def get(self, target: str, **headers: str | None) -> Answer:
        """Fetch something as a page does; other header fields replace a browser's own."""
        return await exchange(self.origin, request("GET", self.root + target, self._fields(headers)))

    async def post(self, target: str, fields: Mapping[str, Any] | None = None, **headers: str | None) -> Answer:
        """Send a form as a page does."""
        body = urlencode({"csrf": self.csrf, **(fields or {})}).encode()
        own = {"Origin": self.origin, "Content-Type": FORM, **headers}
        return await exchange(self.origin, request("POST", self.root + target, self._fields(own), body))

    def _fields(self, headers: Mapping[str, str | None]) -> dict[str, str | None]:
        own = {"Host": self.host, "Cookie": self.cookie or None, **OWN}
        return {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}

    @asynccontextmanager
    async def listening(self, target: str) -> AsyncIterator[Events]:
        """Connect to server-sent events."""
        reader, writer = await connect(self.origin)
        writer.write(
            request(
                "GET", self.root + target, self._fields({"Accept": "text/event-stream", "Connection": "keep-alive"})
            )
        )
        status, headers = await read_head(reader)
        try:
            yield Events(reader, status, headers)
        finally:
            writer.close()


@frozen
class Events:
    """What comes over an open stream of events."""

    reader: asyncio.StreamReader
    status: int
    headers: Mapping[str, str]

    async def block(self) -> list[str] | None:
        """The lines of one event or comment; None: the stream has ended."""
        # Each is written at once, so it is a chunk of its own.
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        chunk = (await self.reader.readexactly(size + 2))[:-2].decode()
        return chunk.strip().splitlines() if size else None

    async def next(self) -> tuple[str, str]:
        """Name and data of the next event; comments are passed over."""
        while True:
            lines = await self.block()
            assert lines is not None, "the stream has ended"
            parts = [line.partition(": ")[::2] for line in lines]
            data = [value for name, value in parts if name == "data"]
            if data:
                return next(value for name, value in parts if name == "event"), "\n".join(data)

    async def shown(self) -> dict[str, str]:
        """The next event `show`: `id` and `html`."""
        name, data = await self.next()
        assert name == "show"
        found: dict[str, str] = json.loads(data)
        return found
