"""Tests of the simulator behind a port of this machine."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from idura_ciba.simulator import Arrival, Fault, Script, SimReply, SimulatorServer

if TYPE_CHECKING:
    from conftest import Wire

pytestmark = pytest.mark.sockets

ANNA = "209801011231"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_it_serves_a_login(wire: Wire) -> None:
    """Start and poll over a real connection, to an issuer that is the server's own address."""
    wire.idura.script(ANNA, Script.approve())
    wire.idura._rules = type(wire.idura._rules)(throttle="off")
    async with SimulatorServer(wire.idura) as server, aiohttp.ClientSession(server.issuer) as session:
        assert server.issuer == wire.idura.issuer
        assert server.issuer.startswith("http://127.0.0.1:")
        async with session.get("/.well-known/openid-configuration?client_id=x") as response:
            assert (await response.json())["issuer"] == server.issuer
        async with session.post("/ciba/bc-authorize", data=wire.body().encode(), headers=FORM) as response:
            assert response.headers["Cache-Control"] == "no-store"
            auth_req_id = (await response.json())["auth_req_id"]
        async with session.post("/oauth2/token", data=wire.poll_body(auth_req_id).encode(), headers=FORM) as response:
            assert response.status == 200
            assert "id_token" in await response.json()
    record = wire.idura.ledger.orders[0]
    assert (record.outcome, record.delivered, record.overlapping) == ("approved", 1, 0)


async def test_the_front_page_says_what_this_is(wire: Wire) -> None:
    """Plain text, so that nobody takes it for the real thing."""
    async with SimulatorServer(wire.idura) as server, aiohttp.request("GET", f"{server.issuer}/") as response:
        text = await response.text()
        assert response.content_type == "text/plain"
    assert "simulated" in text
    assert server.issuer in text


async def test_the_provider_answers_errors_itself(wire: Wire) -> None:
    """With its own status, headers and clock, not the web server's."""
    server = SimulatorServer(wire.idura, wall=lambda: 1_000_000_000.0)
    async with server, aiohttp.request("GET", f"{server.issuer}/nowhere") as response:
        assert (response.status, (await response.json())["error"]) == (404, "not_found")
        assert response.headers.getall("Date") == ["Sun, 09 Sep 2001 01:46:40 GMT"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.lose_answer(),
        Fault.lose_answer(reset=True),
        Fault.lose_request(),
        Fault.lose_request(reset=True),
        Fault.refuse_connection(),
    ],
)
async def test_a_dropped_connection_is_dropped(fault: Fault, wire: Wire) -> None:
    """The client sees no answer at all, and the next request is fine."""
    wire.idura.faults.append(lambda arrival: fault if arrival.nth == 1 else None)
    async with SimulatorServer(wire.idura) as server, aiohttp.ClientSession(server.issuer) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post("/ciba/bc-authorize", data=wire.body().encode(), headers=FORM)
        async with session.get("/.well-known/jwks") as response:
            assert response.status == 200
    assert len(wire.idura.ledger.orders) == fault.reaches_provider


@pytest.mark.parametrize(
    ("fault", "expected", "end"),
    [
        (Fault.lose_answer(), b"", None),
        (Fault.lose_answer(reset=True), b"", ConnectionResetError),
        (Fault.cut_answer(0), b"", None),
        (Fault.cut_answer(9), b'{"keys":[', None),
        (Fault.cut_answer(9, reset=True), b'{"keys":[', ConnectionResetError),
    ],
)
async def test_a_connection_breaks_where_and_how_it_should(
    fault: Fault, expected: bytes, end: type[OSError] | None, wire: Wire
) -> None:
    """Byte by byte what a client gets before the end, and whether the end is orderly."""
    wire.idura.faults.append(lambda _: fault)
    async with SimulatorServer(wire.idura) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.issuer.rpartition(":")[2]))
        writer.write(b"GET /.well-known/jwks HTTP/1.1\r\nHost: x\r\n\r\n")
        got = bytearray()
        error: type[OSError] | None = None
        try:
            while chunk := await reader.read(1):
                got += chunk
        except OSError as failure:
            error = type(failure)
        writer.close()
    head, _, body = bytes(got).partition(b"\r\n\r\n")
    assert error is end
    # What had arrived before a reset may be lost with it.
    assert body == expected or (end is not None and expected.startswith(body))
    assert (b"HTTP/1.1 200" in head) == (fault.cut is not None) or end is not None


async def test_an_answer_can_come_byte_by_byte(wire: Wire) -> None:
    """Whole in the end, and then it counts as delivered."""
    wire.idura.script(ANNA, Script.deny())
    wire.idura._rules = type(wire.idura._rules)(throttle="off")
    wire.idura.faults.append(lambda _: Fault.trickle(0.0001))
    async with SimulatorServer(wire.idura) as server, aiohttp.ClientSession(server.issuer) as session:
        async with session.post("/ciba/bc-authorize", data=wire.body().encode(), headers=FORM) as response:
            auth_req_id = (await response.json())["auth_req_id"]
        async with session.post("/oauth2/token", data=wire.poll_body(auth_req_id).encode(), headers=FORM) as response:
            assert (await response.json())["error"] == "access_denied"
    assert wire.idura.ledger.orders[0].delivered == 1


async def test_an_altered_answer_is_sent_as_it_is(wire: Wire) -> None:
    """Garbage arrives as garbage."""
    reply = SimReply(502, {"Content-Type": "text/html"}, b"<html>")
    wire.idura.faults.append(lambda _: Fault.change(lambda _: reply))
    async with SimulatorServer(wire.idura) as server, aiohttp.request("GET", f"{server.issuer}/x") as response:
        assert (response.status, await response.read()) == (502, b"<html>")


async def test_a_held_poll_ends_with_its_client(wire: Wire) -> None:
    """Who hangs up while the answer is held back is no longer polling; closing does not wait for the rest."""
    arrived: asyncio.Queue[Arrival] = asyncio.Queue()

    def hold_polls(arrival: Arrival) -> Fault | None:
        if arrival.endpoint != "token":
            return None
        arrived.put_nowait(arrival)
        return Fault.delay(600)

    wire.idura.faults.append(hold_polls)
    async with SimulatorServer(wire.idura) as server, aiohttp.ClientSession(server.issuer) as session:
        async with session.post("/ciba/bc-authorize", data=wire.body().encode(), headers=FORM) as response:
            auth_req_id = json.loads(await response.read())["auth_req_id"]

        async def poll() -> None:
            await session.post("/oauth2/token", data=wire.poll_body(auth_req_id).encode(), headers=FORM)

        first = asyncio.create_task(poll())
        await arrived.get()
        first.cancel()
        second = asyncio.create_task(poll())
        await arrived.get()
        await server.aclose()
        with pytest.raises(aiohttp.ClientError):
            await second
    assert first.cancelled()
    record = wire.idura.ledger.orders[0]
    assert (record.polls, record.overlapping, record.delivered) == (2, 0, 0)
    assert wire.idura._orders[auth_req_id].in_flight == 0


async def test_a_late_answer_arrives(wire: Wire) -> None:
    """A short hold only delays."""
    wire.idura.faults.append(lambda _: Fault.delay(0.01))
    jwks = "/.well-known/jwks"
    async with SimulatorServer(wire.idura) as server, aiohttp.request("GET", f"{server.issuer}{jwks}") as response:
        assert response.status == 200


async def test_a_server_can_be_started_and_closed_by_hand(wire: Wire) -> None:
    """Closing twice, or without having started, is fine; a port can be chosen."""
    server = SimulatorServer(wire.idura)
    await server.aclose()
    await server.start()
    port = int(server.issuer.rpartition(":")[2])
    await server.aclose()
    await server.aclose()
    again = SimulatorServer(wire.idura, port=port)
    await again.start()
    assert again.issuer == f"http://127.0.0.1:{port}"
    await again.aclose()
