"""Tests of what is particular to batches in PostgreSQL; `test_batch_store.py` has what holds for every store."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba import CibaClient, ClientSecretPost
from idura_ciba.fleet import Fleet
from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.fakes import swedes, swedish_number
from tests.fleet.conftest import Postgres

pytestmark = [pytest.mark.sockets, pytest.mark.unmeasured]

psycopg = pytest.importorskip("psycopg")


async def database(postgres: Postgres, name: str) -> str:
    """One of its own; how to connect."""
    async with await psycopg.AsyncConnection.connect(postgres.dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql://ciba@127.0.0.1:{postgres.port}/{name}"


async def test_a_batch_of_two_replicas_leaves_nothing_of_people(postgres: Postgres) -> None:
    """Neither while it runs nor afterwards: no number, no key, no name, no message."""
    dsn, people = await database(postgres, "together"), swedes(60)
    idura = SimulatedIdura(seed=1, signing_alg="ES256", interval=1)
    idura.register_client("urn:my:app", secret="known to both")
    for nth in range(len(people)):
        idura.script(swedish_number(nth), Script.approve(after=1 + nth % 3))

    async def part(issuer: str) -> tuple[list[str], set[str]]:
        auth = ClientSecretPost("urn:my:app", "known to both")
        ciba = CibaClient(issuer, auth, resume_secret=b"r" * 32, observers=(), id_token_algorithms=("ES256",))
        names: set[str] = set()
        async with Fleet(ciba, dsn, lease=1.0) as fleet:
            found = []
            async for result in fleet.verify_many("november", people, claims=["name"]):
                names.add(result.claims["name"])
                found.append(result.key)
            return found, names

    async def dump() -> bytes:
        everything = b""
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            tables = await (
                await connection.execute("SELECT tablename FROM pg_tables WHERE tablename ~ 'ciba'")
            ).fetchall()
            for (table,) in tables:
                async with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
                    async for chunk in copy:
                        everything += bytes(chunk)
        return everything

    async with SimulatorServer(idura) as server:
        parts = [asyncio.create_task(part(server.issuer)) for _ in range(2)]
        await asyncio.sleep(2)
        during = await dump()
        (one, names), (two, others) = await asyncio.gather(*parts)
    assert sorted(one + two) == sorted(key for key, _ in people)
    assert len(idura.ledger.orders) == len(people)
    assert b"november" in during
    after = await dump()
    # In hexadecimal digits, as bytes are dumped, too.
    secret = (
        {key for key, _ in people} | {swedish_number(nth) for nth in range(len(people))} | names | others | {"Hello"}
    )
    for word in secret:
        for written in (word.encode(), word.encode().hex().encode()):
            assert written not in during
            assert written not in after
