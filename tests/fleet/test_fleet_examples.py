"""Tests of the desks of docs/examples that have replicas: two processes each, over a PostgreSQL of their own."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.desks import CLIENT_ID, CLIENT_SECRET, Desk, needs_of, next_event
from tests.fakes import swedish_number
from tests.fleet.conftest import Postgres
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.sockets, pytest.mark.unmeasured]

DESKS = ["aiohttp_fleet", "fastapi_fleet"]


@pytest.fixture(name="served", params=DESKS)
async def _served(
    request: pytest.FixtureRequest, dsn: str, tmp_path: Path
) -> AsyncIterator[tuple[SimulatedIdura, Desk, Desk]]:
    """A provider, and two replicas of each desk that are ready."""
    needs_of(request.param)
    idura = SimulatedIdura(interval=1, expires_in=60, people=lambda _dice: Script.approve(50))
    idura.register_client(CLIENT_ID, secret=CLIENT_SECRET)
    told = {"FLEET_STORE": dsn, "FLEET_SECRET": "5e" * 32}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(SimulatorServer(idura))
        desks = [Desk(server.issuer, tmp_path, free_port(), told) for _ in range(2)]
        for desk in desks:
            await stack.enter_async_context(desk)
        await asyncio.gather(*(desk.start(request.param) for desk in desks))
        yield idura, desks[0], desks[1]


def asked(login: str, nth: int = 0) -> dict[str, str]:
    """What is posted to ask somebody."""
    return {"id": login, "eid": "se", "number": swedish_number(nth)}


async def test_a_replica_that_is_deployed_in_the_middle_of_a_login_loses_nothing(
    served: tuple[SimulatedIdura, Desk, Desk],
) -> None:
    """Begun on one, refused and followed on the other; SIGTERM to the one that asks, and it ends on the other."""
    idura, one, two = served
    async with aiohttp.ClientSession(one.url) as here, aiohttp.ClientSession(two.url) as there:
        async with here.post("/logins", json=asked("4711")) as answer:
            assert (answer.status, await answer.json()) == (201, {"id": "4711", "words": None})
        async with there.post("/logins", json=asked("4712")) as answer:
            refused = await answer.json()
            assert (answer.status, refused["failed"], refused["id"]) == (409, "already_pending", "4711")
        async with here.get("/logins/4711/events") as near, there.get("/logins/4711/events?language=sv") as far:
            phase, _ = await next_event(far)
            while phase == "unknown":
                phase, said = await next_event(far)
            assert (phase, said["text"]) == ("waiting", "Förfrågan är på väg till appen. Öppna appen i telefonen.")
            async with there.get("/logins/4711") as answer:
                assert (answer.status, await answer.json()) == (202, {"state": "pending"})
            (process,) = one.started
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            await near.content.read()
            assert time.monotonic() - began < 1
            told, _ = await process.communicate()
            assert process.returncode in {0, -signal.SIGTERM}, told  # uvicorn raises the signal again when all is done
            assert time.monotonic() - began < 3
            for record in idura.ledger.orders:
                record.decided_at = record.last_poll_at
            phases = [line.split()[1] async for line in far.content if line.startswith(b"event")]
        assert phases[-1] == b"approved"
        async with there.get("/logins/4711") as answer:
            outcome = await answer.json()
            assert (answer.status, outcome["state"], outcome["delivered"]) == (200, "approved", False)
            assert outcome["name"]
        async with there.get("/logins/4711") as answer:
            assert await answer.json() == {"state": "approved", "name": None, "delivered": True}
    assert len(idura.ledger.orders) == 1
    assert idura.ledger.summary()["slow_downs"] == 0


async def test_any_replica_stops_a_login_and_knows_of_none_that_there_is_not(
    served: tuple[SimulatedIdura, Desk, Desk],
) -> None:
    """The one that asks does so at once; what is asked of no login is answered with 404."""
    idura, one, two = served
    async with aiohttp.ClientSession(one.url) as here, aiohttp.ClientSession(two.url) as there:
        async with here.post("/logins", json=asked("4711", 1)) as answer:
            assert answer.status == 201
        async with there.delete("/logins/4711") as answer:
            assert await answer.json() == {"stopped": True}
        async with here.get("/logins/4711/events") as stream, asyncio.timeout(1):
            phases = [line.split()[1] async for line in stream.content if line.startswith(b"event")]
        assert phases[-1] == b"abandoned"
        async with here.get("/logins/4711") as answer:
            assert (await answer.json())["state"] == "abandoned"
        for method, path in [("GET", "/logins/nobody"), ("GET", "/logins/nobody/events"), ("DELETE", "/logins/nobody")]:
            async with there.request(method, path) as answer:
                assert (answer.status, (await answer.json())["failed"]) == (404, "login_unknown")
        async with there.get("/alive") as answer:
            assert answer.status == 200
    assert len(idura.ledger.orders) == 1


async def test_a_store_that_is_away_makes_a_replica_unready_and_not_dead(
    served: tuple[SimulatedIdura, Desk, Desk], postgres: Postgres
) -> None:
    """Nobody can be asked meanwhile, and a restart would not help; afterwards it is ready again by itself."""
    _, one, _ = served
    async with aiohttp.ClientSession(one.url) as session:
        await asyncio.to_thread(postgres.stop, "immediate")
        try:
            async with session.get("/alive") as answer:
                assert answer.status == 200
            async with session.get("/ready") as answer:
                assert (answer.status, (await answer.json())["failed"]) == (503, "store_away")
        finally:
            await asyncio.to_thread(postgres.start)
        async with asyncio.timeout(10):
            while True:
                async with session.get("/ready") as answer:
                    if answer.status == 200:
                        break
