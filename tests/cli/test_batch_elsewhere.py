"""Tests of the batch on systems that lack what POSIX has: names are taken away, and it is killed and resumed.

All of them at once; `nox -s elsewhere` also takes them away one at a time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.fakes import swedish_number

#: What is done instead has tests of its own.
pytestmark = pytest.mark.unmeasured

#: Takes names away, and then is the command. What the standard library itself imports is imported before.
RUN = """
import asyncio, os, signal, sys, time
from pathlib import Path

def refuse(self, *arguments):
    raise NotImplementedError

def open_for_all(path, flags, mode=0o777, *, dir_fd=None, real=os.open):
    return real(path, flags, 0o666, dir_fd=dir_fd)

import aiohttp, sqlite3, ssl, subprocess, tempfile  # for what they need
for name in sys.argv[1].split(","):
    if name == "loop.add_signal_handler":
        asyncio.SelectorEventLoop.add_signal_handler = asyncio.SelectorEventLoop.remove_signal_handler = refuse
    elif name == "file modes":
        os.umask(0)
        os.open = open_for_all
    elif name == "fcntl":
        sys.modules["fcntl"] = None
    elif name == "boot_id":
        from idura_ciba.batch import marks
        marks._BOOT = Path("/nowhere/boot_id")
    elif name == "os.supports_effective_ids":
        os.supports_effective_ids = set()
    else:
        module, _, attribute = name.partition(".")
        delattr(sys.modules[module], attribute)
del sys.argv[1]
from idura_ciba.cli.app import app
app(prog_name="idura-ciba")
"""
NAMES = (
    "os.pwrite,os.pread",
    "os.link",
    "os.chmod,os.fchmod",
    "os.supports_effective_ids",
    "time.CLOCK_BOOTTIME",
    "signal.SIGHUP",
    "loop.add_signal_handler",
    "file modes",
    "fcntl",
    "boot_id",
)
PEOPLE = 3


class Elsewhere:
    """A folder, a provider, and the command on a system without some names."""

    def __init__(self, folder: Path, issuer: str, without: str) -> None:
        self.folder, self.issuer, self.without = folder, issuer, without
        rows = [f"k{nth},{swedish_number(nth)}" for nth in range(PEOPLE)]
        (folder / "people.csv").write_text("\n".join(["key,ssn", *rows, ""]), "utf-8")

    async def start(self) -> asyncio.subprocess.Process:
        """Start the batch, or resume it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("IDURA_CIBA_")}
        environment |= {
            "IDURA_CIBA_ISSUER": self.issuer,
            "IDURA_CIBA_CLIENT_ID": "urn:test:cli",
            "IDURA_CIBA_CLIENT_SECRET": "a secret of the tests",
        }
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUN, self.without, "batch", "people.csv", "--out", "r.jsonl"),
            *("--eid", "se", "--call-initiator", "RP", "--message", "Hello"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=self.folder,
        )


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.parametrize("without", [",".join(NAMES), *(NAMES if "IDURA_CIBA_ELSEWHERE" in os.environ else ())])
async def test_a_batch_is_killed_and_resumed(tmp_path: Path, without: str) -> None:
    """Nobody is asked twice, and each result is there once."""
    idura = SimulatedIdura(interval=1, expires_in=60, people=lambda _dice: Script.approve(50))
    idura.register_client("urn:test:cli", secret="a secret of the tests")
    async with SimulatorServer(idura) as server:
        there = Elsewhere(tmp_path, server.issuer, without)
        process = await there.start()
        while sum(record.polls > 0 for record in idura.ledger.orders) < PEOPLE:
            await asyncio.sleep(0.02)
            assert process.returncode is None, await process.communicate()
        process.kill()
        await process.communicate()
        for record in idura.ledger.orders:
            record.decided_at = record.last_poll_at
        process = await there.start()
        _, told = await process.communicate()
    # Without an id for the boot nobody can tell whether a poll was in flight; the answers came all the same.
    assert process.returncode == 0, told
    results = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert sorted((result["key"], result["state"]) for result in results) == [
        (f"k{nth}", "approved") for nth in range(PEOPLE)
    ]
    assert len(idura.ledger.orders) == PEOPLE


@pytest.mark.slow
@pytest.mark.sockets
async def test_sigterm_stops_at_once_without_add_signal_handler(tmp_path: Path) -> None:
    """By the handler of the interpreter, as on Windows."""
    idura = SimulatedIdura(interval=1, expires_in=60, people=lambda _dice: Script.approve(50))
    idura.register_client("urn:test:cli", secret="a secret of the tests")
    async with SimulatorServer(idura) as server:
        process = await Elsewhere(tmp_path, server.issuer, "loop.add_signal_handler").start()
        while sum(record.polls > 0 for record in idura.ledger.orders) < PEOPLE:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, told = await process.communicate()
    assert process.returncode == 130, told
    assert b"with 3 logins pending." in b" ".join(told.split())
    assert b"Traceback" not in told
