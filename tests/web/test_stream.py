"""Tests of server-sent events: what a page is told, and what becomes of one that does not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from attrs import define, field

from idura_ciba.web import stream
from idura_ciba.web.guard import Guard
from idura_ciba.web.serving import serving
from idura_ciba.web.stream import Feed, SentEvent
from tests.browsers import FORM, Browser, request

pytestmark = pytest.mark.sockets


@define
class Told:
    """A server whose state is one text."""

    state: str = "first"
    size: int = 1
    feed: Feed = field(init=False)
    browser: Browser = field(init=False)

    def everything(self) -> list[SentEvent]:
        """The whole state."""
        return [SentEvent("state", self.state * self.size)]


@asynccontextmanager
async def told(*, keep_alive: float = 60.0, patience: float = 60.0) -> AsyncIterator[Told]:
    """Serve a feed."""
    found = Told()
    found.feed = Feed(found.everything, keep_alive=keep_alive, patience=patience)
    guard = Guard("test")
    app = guard.application()
    app.router.add_get("/events", found.feed.serve)
    app.on_shutdown.append(found.feed.close)
    async with serving(app, guard) as address:
        found.browser = Browser(address.partition("/?")[0], csrf=guard.csrf)
        await found.browser.open(address)
        yield found


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened at the server."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server has nobody to tell
            await asyncio.sleep(0.01)


async def test_a_page_is_told_the_state_and_then_what_is_new() -> None:
    """In order; texts may have several lines."""
    async with told() as here, here.browser.listening("/events") as events:
        assert events.status == 200
        assert events.headers["content-type"] == "text/event-stream"
        assert events.headers["cache-control"] == "no-store"
        assert await events.next() == ("state", "first")
        here.feed.publish(SentEvent("news", "one\ntwo"), SentEvent.show("place", "<p>three\n</p>"))
        assert await events.next() == ("news", "one\ntwo")
        assert await events.shown() == {"id": "place", "html": "<p>three\n</p>"}


async def test_a_page_that_connects_again_is_told_the_state_as_it_is_now() -> None:
    """What it has missed is in there, so no event needs to be kept."""
    async with told() as here:
        async with here.browser.listening("/events") as events:
            await events.next()
        here.state = "second"
        here.feed.publish(SentEvent("news", "missed"))
        async with here.browser.listening("/events") as events:
            assert await events.next() == ("state", "second")


async def test_two_pages_are_told_the_same() -> None:
    """A second tab takes nothing from the first one."""
    async with told() as here, here.browser.listening("/events") as one, here.browser.listening("/events") as two:
        assert await one.next() == await two.next() == ("state", "first")
        here.feed.publish(SentEvent("news", "both"))
        assert await one.next() == await two.next() == ("news", "both")


async def test_an_idle_page_gets_comments_and_one_that_has_gone_is_noticed() -> None:
    """Only a write shows that nobody is there."""
    async with told(keep_alive=0.02) as here:
        async with here.browser.listening("/events") as events:
            await events.next()
            assert await events.block() == [": ping"]
            assert here.feed.listeners == 1
        await until(lambda: here.feed.listeners == 0)


async def test_a_page_that_falls_behind_is_told_the_state_instead() -> None:
    """However much happens meanwhile, no more than a few events wait for it."""
    async with told() as here, here.browser.listening("/events") as events:
        await events.next()
        here.state = "much later"
        for number in range(10 * stream.MOST_WAITING):
            here.feed.publish(SentEvent("news", str(number)))
            (listener,) = here.feed._listeners
            assert len(listener.waiting) <= stream.MOST_WAITING
        got = [await events.next()]
        while got[-1] != ("news", str(10 * stream.MOST_WAITING - 1)):
            got.append(await events.next())
        assert got[0] == ("state", "much later")
        assert len(got) <= stream.MOST_WAITING


async def test_a_page_that_never_reads_is_let_go() -> None:
    """Its connection is broken, and what was waiting for it is forgotten."""
    async with told(patience=0.2) as here:
        here.size = 1_000_000
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)  # noqa: FBT003 - it takes no keyword
            loop = asyncio.get_running_loop()
            host, _, port = here.browser.host.partition(":")
            await loop.sock_connect(deaf, (host, int(port)))
            head = {"Host": here.browser.host, "Cookie": here.browser.cookie, "Connection": "keep-alive"}
            await loop.sock_sendall(deaf, request("GET", f"{here.browser.root}/events", head))
            await until(lambda: here.feed.listeners == 1)
            await until(lambda: here.feed.listeners == 0)
        # Others are not harmed.
        here.size = 1
        async with here.browser.listening("/events") as events:
            assert await events.next() == ("state", "first")


async def test_there_is_an_end_to_pages() -> None:
    """More than that are refused, and can come when others have gone."""
    async with told() as here:
        here.feed._listeners.update(stream._Listener() for _ in range(stream.MOST_LISTENERS))
        async with here.browser.listening("/events") as events:
            assert events.status == 503
        here.feed._listeners.clear()
        async with here.browser.listening("/events") as events:
            assert events.status == 200


async def test_pages_end_when_the_server_does() -> None:
    """At once and in order, and no new one is taken."""
    async with told() as here:
        async with here.browser.listening("/events") as events:
            await events.next()
            await here.feed.close()
            assert await events.block() is None
        async with here.browser.listening("/events") as events:
            assert events.status == 503


async def test_only_ones_own_pages_listen() -> None:
    """The guard is in front of the stream, too; and it takes no forms."""
    async with told() as here:
        for site in ("cross-site", "same-site"):
            assert (await here.browser.get("/events", Sec_Fetch_Site=site)).status == 403
        assert (await here.browser.get("/events", Origin="http://localhost:1")).status == 403
        assert (await here.browser.get("/events", Cookie=None)).status == 403
        assert (await here.browser.post("/events", Content_Type=FORM)).status == 405
        assert here.feed.listeners == 0
