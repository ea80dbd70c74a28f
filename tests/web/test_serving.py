"""Tests of the server for pages."""

from __future__ import annotations

import asyncio
import logging
import socket
import webbrowser

import pytest
from aiohttp import web

from idura_ciba import ArgumentError
from idura_ciba.web.guard import Guard
from idura_ciba.web.serving import serving
from tests.browsers import Browser

pytestmark = pytest.mark.sockets

EVERYWHERE = "0.0.0.0"  # noqa: S104 - that is what is refused


async def test_it_listens_on_loopback_and_tells_the_address_to_open() -> None:
    """Until it is left."""
    guard = Guard("test")
    async with serving(guard.application(), guard, path="/desk/") as address:
        origin, _, key = address.partition("/desk/?key=")
        assert origin.startswith("http://127.0.0.1:")
        assert len(key) > 40
        assert (await Browser(origin).open(address)).status == 303
    with pytest.raises(OSError, match="Connect"):
        await Browser(origin).open(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
async def test_loopback_has_several_addresses(host: str) -> None:
    """Each may be listened at."""
    guard = Guard("test")
    async with serving(guard.application(), guard, host=host) as address:
        assert address.startswith(f"http://{host}:")


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "desk.example", ""])
async def test_other_machines_are_kept_out_unless_they_are_meant(host: str) -> None:
    """A slip of the keyboard must not open a desk to the office."""
    guard = Guard("test")
    with pytest.raises(ArgumentError, match="other machines") as caught:
        async with serving(guard.application(), guard, host=host):
            pytest.fail("it listens")
    assert caught.value.code == "web_host"


@pytest.mark.parametrize(("host", "name"), [(EVERYWHERE, "127.0.0.1"), ("::", "[::1]")])
async def test_the_address_of_a_server_that_listens_everywhere_can_be_opened(host: str, name: str) -> None:
    """On this machine; no browser is anywhere at "any address", and the guard knows none."""
    guard = Guard("test", unsafe_hosts=["desk.example"])
    async with serving(guard.application(), guard, host=host) as address:
        assert address.startswith(f"http://{name}:")
        assert (await Browser(address.partition("/?")[0]).open(address)).status == 303


async def test_other_machines_may_come_where_they_are_meant() -> None:
    """Under the addresses that are named."""
    guard = Guard("test", unsafe_hosts=["desk.example:1"])
    async with serving(guard.application(), guard, host=EVERYWHERE) as address:
        browser = Browser(f"http://127.0.0.1:{address.partition('/?')[0].rpartition(':')[2]}")
        assert (await browser.get("/", Host="desk.example:1")).text.count("has not been let in") == 2
        assert (await browser.get("/", Host="desk.example:2")).text.count("another address") == 2


async def test_a_bug_of_a_page_is_logged_without_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Its kind is told; the error and its frames hold the request."""

    async def break_(_: web.Request) -> web.Response:
        raise RuntimeError("209801011231")

    guard = Guard("test")
    app = guard.application()
    app.router.add_get("/", break_)
    async with serving(app, guard) as address:
        browser = Browser(address.partition("/?")[0])
        await browser.open(address)
        assert (await browser.get("/")).status == 500
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().startswith("the page: Error handling request")
    assert "RuntimeError" in record.getMessage()
    assert record.exc_info is None
    assert "209801011231" not in caplog.text


async def test_a_port_that_is_taken_is_told() -> None:
    """In a sentence, and nothing is left open."""
    guard = Guard("test")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ArgumentError, match=f"Cannot listen on port {port}") as caught:
            async with serving(guard.application(), guard, port=port):
                pytest.fail("it listens")
    assert caught.value.code == "port"


async def test_a_browser_is_opened_with_an_address_that_works_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody on the machine can read with what a program was started."""
    guard, loop = Guard("test"), asyncio.get_running_loop()
    opened: asyncio.Queue[str] = asyncio.Queue()

    def open_(address: str) -> bool:
        loop.call_soon_threadsafe(opened.put_nowait, address)
        raise webbrowser.Error

    monkeypatch.setattr(webbrowser, "open", open_)
    async with serving(guard.application(), guard, path="/desk/", open_browser=True) as address:
        once = await opened.get()
        assert once != address
        origin = address.partition("/desk/")[0]
        assert once.startswith(f"{origin}/desk/?key=")
        assert (await Browser(origin).open(once)).status == 303
        assert (await Browser(origin).open(once)).status == 403
        assert (await Browser(origin).open(address)).status == 303
