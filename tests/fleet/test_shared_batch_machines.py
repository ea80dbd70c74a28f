"""Tests of machines that work on one file together: real processes that are killed, over PostgreSQL."""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.fakes import swedish_number
from tests.fleet.conftest import Postgres

pytestmark = [pytest.mark.sockets, pytest.mark.slow, pytest.mark.unmeasured]

psycopg = pytest.importorskip("psycopg")

PEOPLE = 250
KEYS = sorted(f"k{nth}" for nth in range(PEOPLE))


@pytest.fixture(name="idura")
async def _idura() -> AsyncIterator[SimulatedIdura]:
    """A provider on a real port, where people answer after some seconds."""
    idura = SimulatedIdura(seed=1, interval=1)
    idura.register_client("urn:test", secret="a secret of the tests")
    for nth in range(PEOPLE):
        idura.script(swedish_number(nth), Script.approve(after=2 + nth % 4))
    async with SimulatorServer(idura) as server:
        idura.issuer = server.issuer
        yield idura


@pytest.fixture(name="dsn")
async def _dsn(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    """A database of its own."""
    name = f"machines_{abs(hash(request.node.name))}"
    async with await psycopg.AsyncConnection.connect(postgres.dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql://ciba@127.0.0.1:{postgres.port}/{name}"


class Machines:
    """Processes that run the command, each in a folder of its own."""

    def __init__(self, folder: Path, issuer: str, dsn: str) -> None:
        self.folder = folder
        self._dsn = dsn
        self._environment = {
            **os.environ,
            "IDURA_CIBA_ISSUER": issuer,
            "IDURA_CIBA_CLIENT_ID": "urn:test",
            "IDURA_CIBA_CLIENT_SECRET": "a secret of the tests",
            "IDURA_CIBA_RESUME_SECRET": "r" * 40,
        }
        lines = ["key,ssn", *(f"k{nth},{swedish_number(nth)}" for nth in range(PEOPLE))]
        self._file = "\n".join(lines) + "\n"

    async def start(self, name: str, *, file: str | None = None) -> Process:
        """One of them."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        (home / "people.csv").write_text(file or self._file, encoding="utf-8")
        arguments = ("batch", "people.csv", "--store", self._dsn, "--out", "out.csv", "--max-in-flight", "90")
        eid = ("--eid", "se", "--call-initiator", "RP", "--message", "Hello")
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "idura_ciba.cli", *arguments, *eid),
            cwd=home,
            env=self._environment,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )

    def results(self) -> list[list[str]]:
        """The keys in each file that is whole."""
        files = sorted(self.folder.glob("*/out.csv"))
        return [[row["key"] for row in csv.DictReader(file.read_text("utf-8").splitlines())] for file in files]

    async def until_somebody_writes(self) -> str:
        """Which machine has begun to write results."""
        while (writer := self._writer()) is None:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.05)
        return writer

    def _writer(self) -> str | None:
        parts = self.folder.glob("*/out.csv.part")
        return next((part.parent.name for part in parts if part.stat().st_size > 4000), None)


async def told(process: Process) -> str:
    """What it said, once it has ended."""
    _, said = await process.communicate()
    return said.decode()


async def test_the_machine_that_writes_is_killed(tmp_path: Path, idura: SimulatedIdura, dsn: str) -> None:
    """Another one writes everything from the first result; nobody is asked twice, and one file is whole."""
    machines = Machines(tmp_path, idura.issuer, dsn)
    running = {name: await machines.start(name) for name in ("one", "two")}
    writer = await machines.until_somebody_writes()
    running[writer].kill()
    await running[writer].wait()
    again = await machines.start(writer)
    (other,) = set(running) - {writer}
    said = await told(running[other]) + await told(again)
    assert {running[other].returncode, again.returncode} <= {0, 7}
    (keys,) = machines.results()
    assert sorted(keys) == KEYS
    assert set(Counter(order.person for order in idura.ledger.orders).values()) == {1}
    assert "Traceback" not in said


async def test_a_machine_that_is_stopped_leaves_the_rest_to_the_other(
    tmp_path: Path, idura: SimulatedIdura, dsn: str
) -> None:
    """SIGTERM, as a system that shuts down sends it; those who are being asked are handed over."""
    machines = Machines(tmp_path, idura.issuer, dsn)
    running = {name: await machines.start(name) for name in ("one", "two")}
    writer = await machines.until_somebody_writes()
    running[writer].send_signal(signal.SIGTERM)
    (other,) = set(running) - {writer}
    assert "Others go on" in await told(running[writer])
    assert running[writer].returncode == 130
    assert "Total: 250 approved." in (await told(running[other])).replace("; median", ". median")
    assert running[other].returncode == 0
    (keys,) = machines.results()
    assert sorted(keys) == KEYS
    assert set(Counter(order.person for order in idura.ledger.orders).values()) == {1}


async def test_a_differing_copy_is_refused(tmp_path: Path, idura: SimulatedIdura, dsn: str) -> None:
    """Nobody in it is asked."""
    machines = Machines(tmp_path, idura.issuer, dsn)
    one = await machines.start("one")
    await machines.until_somebody_writes()
    other = await machines.start("other", file=f"key,ssn\nk0,{swedish_number(PEOPLE + 1)}\n")
    assert "[batch_differs]" in await told(other)
    assert other.returncode == 1
    await told(one)
    assert swedish_number(PEOPLE + 1) not in {order.person for order in idura.ledger.orders}
