"""Tests of name look-ups beside the application's executor."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from idura_ciba.aio.threads import OwnThreads
from idura_ciba.http import resolver
from idura_ciba.http.resolver import OwnResolver

pytestmark = pytest.mark.sockets  # a real loop, because the virtual one has no threads


async def test_it_finds_what_the_system_finds() -> None:
    """In the form that aiohttp wants."""
    (found, *_) = await OwnResolver().resolve("127.0.0.1", 8443)
    assert found == {
        "hostname": "127.0.0.1",
        "host": "127.0.0.1",
        "port": 8443,
        "family": socket.AF_INET,
        "proto": socket.IPPROTO_TCP,
        "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    }
    hosts = {each["host"] for each in await OwnResolver().resolve("localhost", 1, socket.AF_UNSPEC)}
    assert hosts <= {"127.0.0.1", "::1"}
    assert hosts
    await OwnResolver().close()


async def test_a_zone_stays_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link-local address is none without it; other kinds of address are left out."""
    index, name = socket.if_nameindex()[0]

    def answer(*_: object, **__: object) -> list[object]:
        link_local = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 443, 0, index))
        return [link_local, (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/nowhere")]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    (found,) = await OwnResolver().resolve("somewhere.example", 443, socket.AF_INET6)
    assert found["host"] == f"fe80::1%{name}"


async def test_what_is_not_found_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aiohttp turns it into one of its own."""

    def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(OSError, match="not known"):
        await OwnResolver().resolve("nowhere.example", 1)


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A system that never answers, until the event is set."""
    release, real = threading.Event(), socket.getaddrinfo

    def hang(host: str, *rest: object, **options: object) -> object:
        if host == "hung.example":
            release.wait(20)
            raise OSError
        return real(host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(resolver, "LOOK_UPS", OwnThreads("look-ups of a test", 2))
    yield release
    release.set()


async def test_a_look_up_that_hangs_keeps_no_other_from_its_answer(hung: threading.Event) -> None:
    """Nor does it take a thread of the application's."""
    looking = asyncio.create_task(OwnResolver().resolve("hung.example", 1))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(OwnResolver().resolve("127.0.0.1", 1), 20)
    assert await asyncio.wait_for(asyncio.to_thread(int), 20) == 0
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    hung.set()
