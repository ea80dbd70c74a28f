"""Tests of the page on pings: its examples are run as they stand there, and its figures are what comes out."""

from __future__ import annotations

import asyncio
import time
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from idura_ciba import ClientSecretPost
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.ping import Ping, PingCounts, PingReceiver
from idura_ciba.ping.receiver import attached
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import PingSender, Script, SimPing, SimulatedIdura, SimulatorServer
from tests.desks import needs
from tests.fleet.replicas import Line
from tests.logins import SWEDE, swedish
from tests.pages import DOCS, example
from tests.test_client_pings import WAYS


@pytest.mark.sockets
async def test_the_service_hears_pings(capsys: pytest.CaptureFixture[str]) -> None:
    """Over real HTTP, between a provider and the service as it stands there."""
    names = example("ping")
    idura = SimulatedIdura(seed=1, interval=1)
    idura.script(SWEDE, Script.approve(after=0.5))
    async with SimulatorServer(idura), aiohttp.ClientSession() as session:
        ciba, pings = names["connect"](idura.issuer, ClientSecretPost("urn:my:app", "hush"))
        runner = web.AppRunner(names["service"](ciba, pings))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            endpoint = "http://{}:{}/ciba/ping".format(*runner.addresses[0])
            idura.register_client("urn:my:app", secret="hush", notification_endpoint=endpoint)

            async def post(ping: SimPing) -> int:
                async with session.post(ping.url, headers=ping.headers, data=ping.body) as answer:
                    return answer.status

            async with PingSender(idura.listen_for_pings, post, wall=time.time) as sender:
                began = time.monotonic()
                assert (await ciba.authenticate(swedish())).person_confirmed
                # Without the ping it would be half a minute.
                assert time.monotonic() - began < 10
            assert (sender.statuses, idura.ledger.orders[0].polls) == ([204], 1)
        finally:
            await runner.cleanup()
    assert capsys.readouterr().out == f"{PingCounts(accepted=1)}\n"


async def test_fastapi_serves_it_as_the_page_says() -> None:
    """A provider follows no redirect, so the path must be the one that it knows."""
    needs("fastapi")
    from fastapi import FastAPI  # noqa: PLC0415 - only here is it known to be installed

    async def status(app: Any) -> int:
        found: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b'{"auth_req_id": "an id"}', "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])

        headers = [(b"host", b"rp.example"), (b"authorization", f"Bearer {token}".encode())]
        path = {"path": "/ciba/ping", "raw_path": b"/ciba/ping", "root_path": "", "query_string": b""}
        scope = {"type": "http", "method": "POST", "scheme": "https", "headers": headers, **path}
        await app(scope, receive, send)
        return found[0]

    pings = PingReceiver()
    _, token = attached(pings, b"k" * 32).issue(SimpleNamespace(randbytes=bytes))  # type: ignore[arg-type]
    app, mounted = FastAPI(), FastAPI()
    app.add_route("/ciba/ping", pings)
    mounted.mount("/ciba/ping", pings)
    assert await status(app) == 204
    assert await status(mounted) == 307
    assert pings.counts == PingCounts(unknown=1)


async def test_in_a_fleet_there_is_nothing_to_do() -> None:
    """Each replica has a receiver, and both know the login's ping; `tests/fleet/test_pings.py` has it all."""
    join, receivers = example("ping_fleet")["join"], [PingReceiver(), PingReceiver()]
    store = SqliteStore()
    await store.open()
    auth = ClientSecretPost("urn:my:app", "hush")
    fleets = [join("https://bank.example", auth, b"s" * 32, cast("str", Line(store)), pings) for pings in receivers]
    async with fleets[0], fleets[1]:
        woken: list[None] = []
        nonce, token = receivers[0].desk.issue(Random(1))
        receivers[0].desk.expect(nonce, "an id", lambda: woken.append(None))
        assert receivers[1].receive("POST", [f"Bearer {token}"], b'{"auth_req_id": "an id"}') == 204
        await asyncio.sleep(1)
    await store.aclose()
    assert (len(woken), receivers[0].counts, receivers[1].counts) == (1, PingCounts(accepted=1), PingCounts(unknown=1))


async def test_a_ping_goes_to_the_replica_that_has_its_login() -> None:
    """As the example passes it on."""
    names = example("ping_replicas")
    woken: list[None] = []
    home = PingReceiver()
    nonce, token = attached(home, b"k" * 32).issue(SimpleNamespace(randbytes=bytes))  # type: ignore[arg-type]
    home.desk.expect(nonce, "an id", lambda: woken.append(None))
    heard: list[bool] = []

    async def publish(message: str) -> None:
        await asyncio.sleep(1)
        heard.append(names["heard"](home, message))

    elsewhere = names["receiver"](publish)
    attached(elsewhere, b"k" * 32)
    assert elsewhere.receive("POST", [f"Bearer {token}"], b'{"auth_req_id": "an id"}') == 204
    await asyncio.sleep(2)
    assert (heard, woken, home.counts) == ([True], [None], PingCounts(accepted=1))
    assert not names["heard"](home, '{"auth_req_id": "an id", "token": "made up"}')
    assert Ping(Redacted("an id"), token) == Ping(Redacted("an id"), Redacted(str(token)))


def test_each_fate_of_a_ping_is_in_the_table() -> None:
    """With the polls that it takes at most."""
    page = (DOCS / "ping.md").read_text(encoding="utf-8")
    table = {row.split(" | ")[0]: row.split(" | ")[1:] for row in page.splitlines() if row.startswith("| it ")}
    shown = {"lost": "is lost", "doubled": "comes twice", "forged": "is forged", "20 s early": "comes 20 s early"}
    shown |= {"before its acknowledgement": "overtakes the answer that it is about"}
    for way, text in shown.items():
        _, polls, _, counts = WAYS[way]
        row = table[f"| it {text}"]
        assert int(row[0]) == polls
        kinds = {kind for kind in ("accepted", "repeated", "unknown", "early", "forged") if getattr(counts, kind)}
        assert {word.strip("` |,") for word in row[-1].split()} - {""} == kinds
