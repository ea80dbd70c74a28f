"""A PostgreSQL of the tests' own, as an unprivileged user; and replicas in one process over one store."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from idura_ciba.fleet import Fleet
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.testing import virtual_clock
from tests.fleet.replicas import LEASE, SECRET, Line, MakeFleet
from tests.logins import MakeClient

#: Where Debian and others put the programs of a server.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
#: Set by `nox -s fleet`.
REQUIRED = "IDURA_CIBA_FLEET"


def programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, those of the newest release."""
    found = [folder for place in PLACES for folder in Path("/").glob(place.lstrip("/")) if (folder / "initdb").exists()]
    if found:
        return max(found)
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@frozen
class Postgres:
    """A server that runs.

    Attributes:
        programs: Its programs.
        folder: Its data.
        port: Where it listens.
        user: Who it runs as; None: whoever runs the tests.
    """

    programs: Path
    folder: Path
    port: int
    user: str | None

    @property
    def dsn(self) -> str:
        """How to connect to the database of all tests."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """How to connect to a database."""
        return f"host=127.0.0.1 port={self.port} user=ciba dbname={database}"

    def run(self, name: str, *arguments: str) -> None:
        """Run one of its programs as its user."""
        account = pwd.getpwnam(self.user) if self.user else None
        subprocess.run(
            [self.programs / name, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder.parent,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories= -c fsync=off"
        self.run("pg_ctl", "-D", str(self.folder), "-l", str(self.folder.parent / "log"), "-o", settings, "-w", "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it."""
        self.run("pg_ctl", "-D", str(self.folder), "-m", how, "-w", "stop")


def free_port() -> int:
    """A port that nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of this process. Only `nox -s fleet` runs them: a server takes seconds to begin."""
    if REQUIRED not in os.environ:
        pytest.skip("needs PostgreSQL, which `nox -s fleet` starts")
    found = programs()
    assert found is not None, "PostgreSQL is missing: apt-get install postgresql"
    # Not in pytest's folder, which is closed to others: PostgreSQL refuses to run as root.
    home, user = Path(tempfile.mkdtemp(prefix="ciba-postgres-")), "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(home, user)
    server = Postgres(found, home / "data", free_port(), user)
    server.run("initdb", "-D", str(server.folder), "-U", "ciba", "-A", "trust", "-E", "UTF8", "--no-sync")
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(home)


@pytest.fixture(name="store")
async def _store() -> AsyncIterator[SqliteStore]:
    """The store of all replicas."""
    store = SqliteStore(clock=virtual_clock())
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture(name="replica")
async def _replica(make_ciba_client: MakeClient, store: SqliteStore) -> AsyncIterator[MakeFleet]:
    """Opens replicas, each with a client of its own, and closes them."""
    opened: list[Fleet] = []

    async def replica(line: Line | None = None, *, rate: float | None = None, **options: Any) -> Fleet:
        ciba = make_ciba_client(resume_secret=SECRET, **{"observers": (), **options})
        fleet = Fleet(ciba, line or Line(store), lease=LEASE, rate=rate, clock=virtual_clock())
        opened.append(await fleet.__aenter__())
        return fleet

    yield replica
    for fleet in opened:
        await fleet.close()
