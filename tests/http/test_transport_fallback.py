"""Tests of an aiohttp that is not as the pool of our own expects it: all works, with one warning."""

from __future__ import annotations

import ast
import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection, TCPConnector

import idura_ciba.http
from idura_ciba.http import pool
from idura_ciba.http.session import Session
from idura_ciba.http.transport import AiohttpTransport
from tests.servers import Server, failure, http, serving

MODULES = {"client_proto": "ResponseHandler", "client_reqrep": "ClientRequest", "connector": "TCPConnector"}


@pytest.fixture(autouse=True)
def _first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(AiohttpTransport, "_as_expected", None)


class Changed:
    """An attribute that is gone, or another thing, for this package alone: aiohttp itself still needs it.

    Args:
        real: What it was.
        instead: What it is now; None: gone.
    """

    def __init__(self, real: Any, instead: Any = None) -> None:
        self._real = real
        self._instead = instead

    def __get__(self, instance: object, owner: type) -> Any:
        if not str(sys._getframe(1).f_globals.get("__name__")).startswith("idura_ciba."):
            return self._real.__get__(instance, owner)
        if self._instead is None:
            raise AttributeError
        return self._instead.__get__(instance, owner)

    def __set__(self, instance: object, value: object) -> None:
        self._real.__set__(instance, value)


class Stored:
    """What an instance keeps in its own dictionary, as a descriptor."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, _: type) -> Any:
        return vars(instance)[self._name]

    def __set__(self, instance: object, value: object) -> None:
        vars(instance)[self._name] = value


#: Each attribute that `pool.py` names at its top, with what is behind it.
ATTRIBUTES: dict[str, tuple[type, Any]] = {
    **{
        f"ResponseHandler.{name}": (ResponseHandler, getattr(ResponseHandler, name))
        for name in ("data_received", "read", "set_response_params", "connection_made")
    },
    "ResponseHandler.should_close": (ResponseHandler, ResponseHandler.should_close),
    "ResponseHandler.transport": (ResponseHandler, vars(BaseProtocol)["transport"]),
    "TCPConnector.connect": (TCPConnector, TCPConnector.connect),
    "TCPConnector._factory": (TCPConnector, Stored("_factory")),
    **{
        f"Connection.{name}": (Connection, getattr(Connection, name))
        for name in ("protocol", "transport", "release", "close")
    },
    "ClientRequest.headers": (ClientRequest, Stored("headers")),
}


def other(self: object, *, that_nobody_knew: int) -> None:
    """What a function has become."""


async def other_too(self: object, *, that_nobody_knew: int) -> None:
    """What a coroutine function has become."""


@pytest.fixture(name="warnings")
def _warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was said aloud so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def is_noticed_before_anything_is_sent() -> None:
    """By the rehearsal, or when the pool is made."""
    with pytest.raises((AttributeError, TypeError)):
        await use_nothing()


async def use_nothing() -> None:
    """Look at this aiohttp, as the first request does."""
    pool.rehearse()
    await pool.Pool(connect_timeout=1, keep_alive=1).aclose()


async def takes_the_documented_way(transport: AiohttpTransport, server: Server) -> None:
    """Two requests at once and a third one, each of which arrives once and is answered."""
    arrived = len(server.requests)
    for together in (2, 1):
        responses = await asyncio.gather(*(transport.send(server.request()) for _ in range(together)))
        assert {response.body for response in responses} == {b"{}"}
    assert isinstance(transport._carrier, Session)
    assert len(server.requests) - arrived == 3


@pytest.mark.sockets
@pytest.mark.parametrize("name", ATTRIBUTES)
async def test_an_attribute_that_is_gone_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]], name: str
) -> None:
    """Requests take the documented way from the first one on, also those of further clients, with one warning."""
    owner, real = ATTRIBUTES[name]
    monkeypatch.setattr(owner, name.partition(".")[2], Changed(real), raising=False)
    await is_noticed_before_anything_is_sent()
    async with serving(http()) as server:
        for _ in range(2):
            async with AiohttpTransport() as transport:
                await takes_the_documented_way(transport, server)
    (warning,) = warnings()
    assert aiohttp.__version__ in warning
    assert "documented interface" in warning


@pytest.mark.sockets
@pytest.mark.parametrize(
    "name", [name for name, (_, real) in ATTRIBUTES.items() if callable(real)] + ["ClientRequest.__init__"]
)
async def test_an_attribute_that_has_changed_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]], name: str
) -> None:
    """Whatever arguments it wants now."""
    owner, real = ATTRIBUTES.get(name, (ClientRequest, ClientRequest.__init__))
    if name == "ClientRequest.__init__":
        # Whoever calls a class does not read its `__init__`: this one itself asks who it was.
        monkeypatch.setattr(pool, "ClientRequest", other)
    else:
        instead = other_too if asyncio.iscoroutinefunction(real) else other
        monkeypatch.setattr(owner, name.partition(".")[2], Changed(real, instead))
    await is_noticed_before_anything_is_sent()
    async with serving(http()) as server, AiohttpTransport() as transport:
        await takes_the_documented_way(transport, server)
    assert len(warnings()) == 1


@pytest.fixture(name="unloaded")
def _unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool has not been imported yet."""
    monkeypatch.delitem(sys.modules, "idura_ciba.http.pool")
    monkeypatch.delattr(idura_ciba.http, "pool")


@pytest.mark.sockets
@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("module", MODULES)
async def test_a_class_that_is_gone_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]], module: str
) -> None:
    """It is missed when the pool is first needed."""
    monkeypatch.delattr(sys.modules[f"aiohttp.{module}"], MODULES[module])
    async with serving(http()) as server, AiohttpTransport() as transport:
        await takes_the_documented_way(transport, server)
    assert len(warnings()) == 1


@pytest.mark.sockets
@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("module", MODULES)
async def test_a_module_that_is_gone_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]], module: str
) -> None:
    """The same."""
    monkeypatch.setitem(sys.modules, f"aiohttp.{module}", None)
    async with serving(http()) as server, AiohttpTransport() as transport:
        await takes_the_documented_way(transport, server)
    assert len(warnings()) == 1


def test_nothing_is_missed_by_an_import() -> None:
    """The package, the client and a transport are there before anything of the pool's is looked for."""
    program = (
        "import aiohttp, sys\n"
        f"for module, name in {MODULES!r}.items(): delattr(sys.modules['aiohttp.' + module], name)\n"
        "import idura_ciba, idura_ciba.client\n"
        "idura_ciba.AiohttpTransport()\n"
        "print('idura_ciba.http.pool' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.sockets
async def test_no_request_waits_for_another_there_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session that stands in for the pool has no bound of its own, as the pool has none."""
    monkeypatch.setattr(AiohttpTransport, "_as_expected", False)
    together, arrived = 110, asyncio.Event()

    async def when_all_are_there(writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == together:
            arrived.set()
        await arrived.wait()
        writer.write(http())

    async with serving(when_all_are_there) as server, AiohttpTransport() as transport:
        responses = await asyncio.gather(*(transport.send(server.request()) for _ in range(together)))
    assert [response.status for response in responses] == [200] * together


# --- what no rehearsal finds ------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_a_surprise_before_a_request_has_left_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    """Connections are made by something else than before: requests that have begun take the other way, too."""
    async with serving(http()) as server, AiohttpTransport() as transport:
        await transport.send(server.request())
        assert isinstance(transport._carrier, pool.Pool)
        transport._carrier._connector._factory = lambda: ResponseHandler(asyncio.get_running_loop())  # type: ignore[assignment]
        monkeypatch.setattr(pool._Line, "is_spoilt", lambda _: True)
        await takes_the_documented_way(transport, server)
    assert len(warnings()) == 1


@pytest.mark.sockets
async def test_a_surprise_after_a_request_has_left_may_cost_its_answer(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    """It is not sent again, the error says so, and no other request is lost."""

    async def read(_: object) -> tuple[object, object]:
        await asyncio.sleep(0)
        return object(), object()

    async with serving(http()) as server, AiohttpTransport() as transport:
        await transport.send(server.request())
        monkeypatch.setattr(pool._Line, "read", read)
        error = await failure(transport, server.request())
        assert (error.code, error.maybe_sent) == ("connection", True)
        await asyncio.sleep(0.01)
        await takes_the_documented_way(transport, server)
        assert len(server.requests) == 5
        assert transport._replaced
    assert not transport._replaced
    assert len(warnings()) == 1


# --- the list ---------------------------------------------------------------------------------------------------------


def undocumented(path: Path) -> Iterator[str]:
    """What a module imports from within aiohttp."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("aiohttp."):  # not aiohttp_sse
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("aiohttp."))


def test_the_pool_names_at_its_top_what_it_uses() -> None:
    """Each class that it imports, each attribute that is tried here, and nothing is imported elsewhere."""
    package = Path(idura_ciba.__file__).parent
    found = {path.name: set(undocumented(path)) for path in package.rglob("*.py")}
    used = found.pop("pool.py")
    documented = {"aiohttp.web", "aiohttp.abc.AbstractResolver", "aiohttp.abc.ResolveResult"}
    assert {module: names - documented for module, names in found.items() if names - documented} == {}
    listed = pool.__doc__ or ""
    for name in used:
        assert f"    {name} " in listed
    for name in ATTRIBUTES:
        assert f"`{name.partition('.')[2]}" in listed
