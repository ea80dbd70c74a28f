"""What the tests of the command share: a runner, and a tenant that lives in memory and on virtual time."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from attrs import frozen
from rich.console import Console
from typer.testing import CliRunner

from idura_ciba import CibaClient, ClientSecretBasic
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.app import app
from idura_ciba.cli.config import Settings
from idura_ciba.simulator import MemoryTransport, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock

CLIENT_ID, SECRET = "urn:test:cli", "a secret of the tests"
PEOPLE = ("209801011231", "01023990128", "209602294564", "209712310011", "31123990199")


@frozen
class Ran:
    """What a run of the command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that was printed."""
        return self.stdout + self.stderr


@pytest.fixture(name="invoke")
def _invoke() -> Callable[..., Ran]:
    """Run the command in this process, with nothing of the developer's own configuration."""

    def invoke(*args: str, input: str | None = None, **env: str) -> Ran:  # noqa: A002 - the runner's name
        emptied: dict[str, str | None] = {name: None for name in os.environ if name.startswith("IDURA_CIBA_")}
        result = CliRunner().invoke(app, args, input=input, env={**emptied, **env})
        ran = Ran(result.exit_code, result.stdout, result.stderr)
        assert "Traceback" not in ran.output
        for number in PEOPLE:
            assert number not in ran.output
        return ran

    return invoke


@pytest.fixture(name="idura")
def _idura() -> SimulatedIdura:
    """A provider that knows the client of these tests."""
    idura = SimulatedIdura(interval=1)
    idura.register_client(CLIENT_ID, secret=SECRET)
    return idura


@pytest.fixture(name="connect")
def _connect(idura: SimulatedIdura) -> Callable[[], CibaClient]:
    """Make clients of the provider, without sockets."""

    def connect() -> CibaClient:
        clock = virtual_clock()
        auth = ClientSecretBasic(CLIENT_ID, SECRET)
        return CibaClient(idura.issuer, auth, transport=MemoryTransport(idura, clock=clock), clock=clock)

    return connect


@pytest.fixture(name="virtually")
def _virtually(connect: Callable[[], CibaClient], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `verify` and `demo` run in no time, `verify` at the provider of these tests."""

    @asynccontextmanager
    async def in_memory(idura: SimulatedIdura) -> AsyncIterator[CibaClient]:
        clock, auth = virtual_clock(), ClientSecretBasic(CLIENT_ID, SECRET)
        idura.register_client(CLIENT_ID, secret=SECRET)
        transport = MemoryTransport(idura, clock=clock)
        async with CibaClient(idura.issuer, auth, transport=transport, clock=clock) as client:
            yield client

    monkeypatch.setattr(asyncio, "run", run_virtual)
    monkeypatch.setattr(Settings, "client", lambda _settings: connect())
    for module in ("verify", "demo"):
        monkeypatch.setattr(f"idura_ciba.cli.{module}.simulated_client", in_memory)
        monkeypatch.setattr(f"idura_ciba.cli.{module}.Clock", virtual_clock)


@pytest.fixture(name="clock")
def _clock() -> Clock:
    """Virtual wall time."""
    return virtual_clock()


class _File(io.StringIO):
    """A file that says when it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written: asyncio.Event = asyncio.Event()

    def write(self, text: str) -> int:
        """Write, and wake who waits."""
        self.written.set()
        return super().write(text)


class Paper:
    """What a console printed.

    Args:
        terminal: Whether it takes itself for a terminal.
        width: Its columns.
    """

    def __init__(self, *, terminal: bool = False, width: int = 100) -> None:
        self._file = _File()
        self.console: Console = Console(
            file=self._file,
            force_terminal=terminal,
            width=width,
            color_system=None,
            markup=False,
            highlight=False,
            emoji=False,
            _environ={},
        )

    @property
    def text(self) -> str:
        """Everything so far, escapes included."""
        return self._file.getvalue()

    @property
    def lines(self) -> list[str]:
        """Everything so far, in lines without spaces at their ends."""
        return [line.rstrip() for line in self.text.splitlines()]

    async def until(self, words: str) -> None:
        """Wait for words to be printed."""
        while words not in self.text:
            self._file.written.clear()
            await self._file.written.wait()


@pytest.fixture(name="paper")
def _paper() -> Callable[..., Paper]:
    """Make consoles whose output can be read."""
    return Paper
