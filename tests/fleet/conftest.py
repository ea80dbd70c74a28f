"""A PostgreSQL of the tests' own and a PgBouncer, as an unprivileged user; and replicas in one process."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from idura_ciba.fleet import Fleet
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Store
from idura_ciba.testing import virtual_clock
from tests.fleet.replicas import LEASE, SECRET, Line, MakeFleet
from tests.logins import MakeClient
from tests.servers import free_port

#: Where Debian and others put the programs of a server.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
#: Set by `nox -s fleet`.
REQUIRED = "IDURA_CIBA_FLEET"
DATABASES = itertools.count(1)
#: Two connections to the server for each database, so that the statements of one client go over both; nothing is reset
#: between two of them, as is usual in this mode.
POOLER = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
server_idle_timeout = 5
max_client_conn = 500
"""


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
        """How to connect to the database in which the tests make theirs."""
        return f"host=127.0.0.1 port={self.port} user=ciba dbname=postgres"

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
        settings = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories="
        # Nobody writes but the tests.
        settings = f"{settings} -c fsync=off -c autovacuum=off"
        self.run("pg_ctl", "-D", str(self.folder), "-l", str(self.folder.parent / "log"), "-o", settings, "-w", "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it."""
        self.run("pg_ctl", "-D", str(self.folder), "-m", how, "-w", "stop")


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


@pytest.fixture(params=["memory", "file", "postgres", "pgbouncer"])
async def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Store]]:
    """Makes stores of one kind; those of PostgreSQL see the same tables, which are empty at first."""
    if request.param in {"postgres", "pgbouncer"}:
        pytest.importorskip("psycopg")
        from idura_ciba.fleet.postgres import PostgresStore  # noqa: PLC0415 - needs the extra `fleet`

        dsn: str = request.getfixturevalue("dsn")
        pooled_dsn: str | None = request.getfixturevalue("pooled_dsn") if request.param == "pgbouncer" else None
        yield lambda: PostgresStore(pooled_dsn or dsn, listen_dsn=pooled_dsn and dsn)
    else:
        yield lambda: SqliteStore(tmp_path / "store" if request.param == "file" else None)


@pytest.fixture(name="dsn")
def _dsn(postgres: Postgres) -> str:
    """A database of its own."""
    psycopg = pytest.importorskip("psycopg")
    name = f"test_{next(DATABASES)}"
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql://ciba@127.0.0.1:{postgres.port}/{name}"


@pytest.fixture(scope="session")
def pooler_port(postgres: Postgres) -> Iterator[int]:
    """Where a PgBouncer in transaction mode stands before that server."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None, "PgBouncer is missing: apt-get install pgbouncer"
    home, port = Path(tempfile.mkdtemp(prefix="ciba-pgbouncer-")), free_port()
    users, settings = home / "users", home / "pgbouncer.ini"
    users.write_text('"ciba" ""\n', encoding="utf-8")
    settings.write_text(POOLER.format(server=postgres.port, port=port, users=users), encoding="utf-8")
    if postgres.user:
        shutil.chown(home, postgres.user)
    account = ["-u", postgres.user] if postgres.user else []
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, *account, settings], stdin=subprocess.DEVNULL, stderr=log)
    try:
        _listens(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home)


def _listens(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens."""
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"PgBouncer has ended with {process.wait(timeout=0.05)}")


@pytest.fixture(name="pooled_dsn")
def _pooled_dsn(dsn: str, postgres: Postgres, pooler_port: int) -> str:
    """The same database through the pooler."""
    return dsn.replace(f":{postgres.port}/", f":{pooler_port}/")


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
