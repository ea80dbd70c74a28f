"""Server-sent events: what is new, for every page that is open.

A page that connects, or connects again, is first told the whole state; so no event has to be kept for those who are
away, and `Last-Event-ID` is not needed. A page that falls behind is told the whole state as well, instead of everything
that it has missed. One that does not read is let go; so a page costs bounded memory, whatever it does.

Spec: HTML Living Standard section 9.2.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web
from aiohttp_sse import EventSourceResponse
from attrs import define, field, frozen

__all__ = ["Feed", "SentEvent"]

#: Seconds between two comments on an idle connection; proxies end those that are idle for 30 or 60.
KEEP_ALIVE: Final = 15.0
#: Seconds after which a page that does not read is let go.
PATIENCE: Final = 20.0
#: Events that wait for one page before it is told the whole state instead.
MOST_WAITING: Final = 64
#: Pages that are connected at once; a browser opens at most six connections to a server.
MOST_LISTENERS: Final = 32
#: Milliseconds after which a page connects again.
RETRY: Final = 1_000


@frozen
class SentEvent:
    """One event.

    Attributes:
        name: What a page listens for.
        data: Its text; may have several lines.
    """

    name: str
    data: str

    @classmethod
    def show(cls, target: str, html: str) -> SentEvent:
        """Replace what is in the element with the id `target`, as `live.js` does."""
        return cls("show", json.dumps({"id": target, "html": html}))


@define(eq=False)
class _Listener:
    """A page that is connected: what it is still to be told."""

    waiting: deque[SentEvent] = field(factory=deque)
    news: asyncio.Event = field(factory=asyncio.Event)

    def tell(self, events: Iterable[SentEvent]) -> None:
        self.waiting.extend(events)
        self.news.set()


class Feed:
    """Events for every page that listens.

    Args:
        state: Returns the whole state as events; called for each page that connects or falls behind.
        keep_alive: Seconds between two comments on an idle connection.
        patience: Seconds after which a page that does not read is let go.

    Example:
        >>> feed = Feed(lambda: [SentEvent.show("people", pages.render("people.html"))])
        >>> app.router.add_get("/events", feed.serve)
        >>> app.on_shutdown.append(feed.close)
        >>> feed.publish(SentEvent.show("people", "<p>nobody</p>"))
    """

    def __init__(
        self, state: Callable[[], Iterable[SentEvent]], *, keep_alive: float = KEEP_ALIVE, patience: float = PATIENCE
    ) -> None:
        self._state = state
        self._keep_alive, self._patience = keep_alive, patience
        self._listeners: set[_Listener] = set()
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many pages are connected."""
        return len(self._listeners)

    def publish(self, *events: SentEvent) -> None:
        """Tell all pages that are connected."""
        for listener in self._listeners:
            if len(listener.waiting) + len(events) > MOST_WAITING:
                listener.waiting.clear()
                listener.tell(self._state())
            else:
                listener.tell(events)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a page that connects, until it goes, does not read, or the feed is closed."""
        if self._closed or len(self._listeners) >= MOST_LISTENERS:
            raise web.HTTPServiceUnavailable
        listener = _Listener()
        listener.tell(self._state())
        self._listeners.add(listener)
        response = EventSourceResponse(send_timeout=self._patience, ping_interval=self._keep_alive)
        try:
            await response.prepare(request)
            async with response:
                await self._send(listener, response)
        except (ConnectionError, TimeoutError):
            pass  # it has gone, or does not read
        finally:
            self._listeners.discard(listener)
        return response

    async def _send(self, listener: _Listener, response: EventSourceResponse) -> None:
        # Only a write shows that a page has gone, and the comments are what is written while there is no news.
        gone = asyncio.ensure_future(response.wait())
        gone.add_done_callback(lambda _: listener.news.set())
        try:
            while not self._closed and not gone.done():
                listener.news.clear()
                while listener.waiting:
                    event = listener.waiting.popleft()
                    await response.send(event.data, event=event.name, retry=RETRY)
                await listener.news.wait()
        finally:
            gone.cancel()

    async def close(self, _: object = None) -> None:
        """End all connections, and take no more; fits `Application.on_shutdown`."""
        self._closed = True
        for listener in self._listeners:
            listener.news.set()
