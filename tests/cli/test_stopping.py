"""Tests of what stops a command from outside: real signals, pipes and terminals, against processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define, field

from idura_ciba.cli import text
from idura_ciba.cli.stopping import stoppable
from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.fakes import swedish_number

#: What a process of its own shows again of the same lines.
UNMEASURED = pytest.mark.unmeasured

CLIENT_ID, SECRET = "urn:test:cli", "a secret of the tests"
SE = ("--eid", "se", "--call-initiator", "RP", "--message", "Hello")
#: Sets signals back to their defaults, as a shell's `&` may have them ignored, and then is the command.
RUN = """
import os, signal, sys
for number in (1, 2, 15):
    signal.signal(number, signal.{})
os.execv(sys.argv[1], sys.argv[1:])
"""


@define
class Tenant:
    """A provider on a real port, and a folder where the command is started."""

    idura: SimulatedIdura
    issuer: str
    folder: Path
    started: list[asyncio.subprocess.Process] = field(factory=list)

    async def start(
        self, *arguments: str, ignoring: bool = False, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """Start the command."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("IDURA_CIBA_")}
        environment |= {
            "IDURA_CIBA_ISSUER": self.issuer,
            "IDURA_CIBA_CLIENT_ID": CLIENT_ID,
            "IDURA_CIBA_CLIENT_SECRET": SECRET,
            "IDURA_CIBA_SSN": swedish_number(0),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-c", RUN.format("SIG_IGN" if ignoring else "SIG_DFL")),
            *(sys.executable, "-m", "idura_ciba.cli", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd=self.folder,
        )
        self.started.append(process)
        return process

    async def verify(self, *arguments: str, **options: int) -> asyncio.subprocess.Process:
        """Ask one person."""
        return await self.start("verify", *SE, "--resume-file", "saved.json", *arguments, **options)  # type: ignore[arg-type]

    async def batch(self, count: int, *arguments: str, **options: int) -> asyncio.subprocess.Process:
        """Ask several."""
        rows = [f"k{nth},{swedish_number(nth)}" for nth in range(count)]
        (self.folder / "people.csv").write_text("\n".join(["key,ssn", *rows, ""]), "utf-8")
        return await self.start("batch", "people.csv", *SE, *arguments, **options)  # type: ignore[arg-type]

    async def until_polled(self, count: int) -> None:
        """Wait until so many have been asked, and polled for."""
        while sum(record.polls > 0 for record in self.idura.ledger.orders) < count:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)

    def everybody_approves(self) -> None:
        """At once, and not only when a slow machine is sure to be ready for it."""
        for record in self.idura.ledger.orders:
            if record.outcome == "open":
                record.decided_at = record.last_poll_at


@pytest.fixture(name="tenant")
async def _tenant(tmp_path: Path) -> AsyncIterator[Tenant]:
    """Nobody answers soon, unless they are told to."""
    idura = SimulatedIdura(interval=1, expires_in=60, people=lambda _dice: Script.approve(50))
    idura.register_client(CLIENT_ID, secret=SECRET)
    async with SimulatorServer(idura) as server:
        tenant = Tenant(idura, server.issuer, tmp_path)
        yield tenant
        for process in tenant.started:
            if process.returncode is None:
                process.kill()
            await process.wait()


def without_traces(told: bytes) -> None:
    """It is said quietly."""
    for word in (b"Traceback", b"Exception", b"a bug in", b"Errno"):
        assert word not in told


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.parametrize("name", ["SIGTERM", *(pytest.param(name, marks=UNMEASURED) for name in ("SIGINT", "SIGHUP"))])
async def test_a_login_that_is_stopped_can_be_resumed(tenant: Tenant, name: str) -> None:
    """By whatever signal, also where more than one comes."""
    process = await tenant.verify()
    await tenant.until_polled(1)
    for _ in range(1 if name == "SIGINT" else 2):
        process.send_signal(getattr(signal, name))
    _, told = await process.communicate()
    assert process.returncode == 130
    without_traces(told)
    assert (tenant.folder / "saved.json").stat().st_mode & 0o777 == 0o600
    tenant.everybody_approves()
    process = await tenant.start("verify", "--resume", "saved.json", "--json")
    told, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(told)["person_confirmed"]
    assert len(tenant.idura.ledger.orders) == 1


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGHUP", marks=UNMEASURED)])
async def test_a_batch_stops_at_once_and_goes_on_later(tenant: Tenant, name: str) -> None:
    """SIGKILL follows soon, so nobody is waited for; nothing is in doubt, and nobody is asked twice."""
    process = await tenant.batch(4, "--out", "r.jsonl")
    await tenant.until_polled(4)
    process.send_signal(getattr(signal, name))
    process.send_signal(getattr(signal, name))
    began = time.monotonic()
    _, told = await process.communicate()
    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert b"with 4 logins pending. Run the same command to resume." in b" ".join(told.split())
    without_traces(told)
    tenant.everybody_approves()
    process = await tenant.batch(4, "--out", "r.jsonl")
    _, told = await process.communicate()
    assert process.returncode == 0, told
    states = [json.loads(line)["state"] for line in (tenant.folder / "r.jsonl").read_text("utf-8").splitlines()]
    assert states == ["approved"] * 4
    assert len(tenant.idura.ledger.orders) == 4


@pytest.mark.slow
@pytest.mark.sockets
async def test_what_nohup_ignores_stays_ignored(tenant: Tenant) -> None:
    """Whoever started it so means it."""
    process = await tenant.batch(1, "--out", "r.jsonl", ignoring=True)
    await tenant.until_polled(1)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    tenant.everybody_approves()
    assert (await process.communicate())[1]
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.sockets
async def test_a_terminal_that_is_closed_saves_the_login(tenant: Tenant) -> None:
    """The signal comes, and nothing can be printed any more."""
    master, terminal = pty.openpty()
    process = await tenant.verify(stdout=terminal, stderr=terminal)
    os.close(terminal)
    await tenant.until_polled(1)
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert await process.wait() in {130, 141}
    assert (tenant.folder / "saved.json").exists()


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_login_whose_reader_has_gone_is_saved(tenant: Tenant, stream: str) -> None:
    """Progress that nobody reads stops it; a result that nobody reads is no error."""
    if stream == "stderr":
        tenant.idura.script(swedish_number(0), Script.approve(20, opened_after=2))
    read, write = os.pipe()
    process = await tenant.verify(**{stream: write})
    os.close(write)
    await tenant.until_polled(1)
    os.close(read)
    if stream == "stdout":
        tenant.everybody_approves()
    told = b"".join(filter(None, await process.communicate()))
    without_traces(told)
    assert process.returncode == (141 if stream == "stdout" else 130)
    assert (tenant.folder / "saved.json").exists() == (stream == "stderr")


@pytest.mark.slow
@pytest.mark.sockets
async def test_results_that_nobody_reads_stop_the_batch_and_stay(tenant: Tenant) -> None:
    """Each result is given once, over both runs, and the one that could not be written is not lost."""
    # The others answer when the reader has gone.
    tenant.idura.script(swedish_number(0), Script.approve(1))
    read, write = os.pipe()
    process = await tenant.batch(6, "--out", "-", "--journal", "j", stdout=write)
    os.close(write)
    # All that is there at once: a slow machine may have written more than one line.
    seen = await asyncio.to_thread(os.read, read, 65536)
    os.close(read)
    await tenant.until_polled(6)
    tenant.everybody_approves()
    assert process.stderr
    told = await process.stderr.read()
    without_traces(told)
    assert await process.wait() == 141
    process = await tenant.batch(6, "--out", "-", "--journal", "j")
    out, told = await process.communicate()
    assert process.returncode == 0, told
    keys = sorted(json.loads(line)["key"] for line in (seen + out).splitlines())
    assert keys == [f"k{nth}" for nth in range(6)]
    assert len(tenant.idura.ledger.orders) == 6


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.parametrize(
    "arguments",
    [("--version",), *(pytest.param(each, marks=UNMEASURED) for each in (("doctor",), ("verify", "--eid", "nothing")))],
)
async def test_every_command_ends_quietly_where_nobody_reads(tenant: Tenant, arguments: tuple[str, ...]) -> None:
    """Neither its words nor its errors."""
    read, write = os.pipe()
    os.close(read)
    process = await tenant.start(*arguments, stdout=write)
    os.close(write)
    _, told = await process.communicate()
    without_traces(told)
    read, write = os.pipe()
    os.close(read)
    process = await tenant.start(*arguments, stderr=write)
    os.close(write)
    told, _ = await process.communicate()
    without_traces(told)
    assert process.returncode is not None
    assert process.returncode >= 0


async def test_the_first_signal_counts_once_and_a_late_one_kills_nobody() -> None:
    """Also for whoever closes the pipe meanwhile; and what was stopped still has its own exit code to give."""
    stopped: list[str] = []
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        with stoppable(lambda: stopped.append("stop")):
            for number in (*numbers, signal.SIGTERM):
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.01)
            for listener in text.listeners:
                listener()
        for number in numbers:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert stopped == ["stop"]
    assert text.listeners == []


async def test_what_nobody_stopped_leaves_all_as_before() -> None:
    """Whoever calls the command from a program has handlers of their own."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    with stoppable(lambda: None, lambda: None):
        await asyncio.sleep(0)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == before
