"""Tests of the simulated provider's pings: to whom, when, and what can become of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from idura_ciba.simulator import PingSender, Script, SimPing
from idura_ciba.simulator.pings import PingRule, doubled, early, forged, late, lost, post_to
from idura_ciba.testing import VIRTUAL_EPOCH, virtual_clock

if TYPE_CHECKING:
    from conftest import Wire

SWEDE, CLIENT, SECRET = "209801011231", "urn:my:application:identifier:0001", "a b+c/d=e:f%"
ENDPOINT = "https://rp.example/ping"
TOKEN = "8d67dc78-7faa-4d41-aabd-67707b374255"


@pytest.fixture(name="planned")
def _planned(wire: Wire) -> list[SimPing]:
    """The pings of a client that wants them, as soon as they are planned."""
    planned: list[SimPing] = []
    wire.idura.register_client(CLIENT, secret=SECRET, notification_endpoint=ENDPOINT)
    wire.idura.listen_for_pings(planned.append)
    return planned


@pytest.mark.parametrize("script", [Script.approve(after=40), Script.deny(after=40)])
def test_a_decision_is_pinged_either_way(wire: Wire, planned: list[SimPing], script: Script) -> None:
    """At its instant, with the token of the request and the id of its answer."""
    wire.idura.script(SWEDE, script)
    auth_req_id = wire.begin(client_notification_token=TOKEN)
    assert planned == [SimPing(ENDPOINT, TOKEN, auth_req_id, wire.now + 40)]
    assert planned[0].headers == {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    assert json.loads(planned[0].body) == {"auth_req_id": auth_req_id}
    assert TOKEN not in repr(planned)
    assert auth_req_id not in repr(planned)


def test_an_expiry_is_not_pinged(wire: Wire, planned: list[SimPing]) -> None:
    """The client knows it (CIBA Core section 10.2)."""
    wire.idura.script(SWEDE, Script.never())
    wire.begin(client_notification_token=TOKEN)
    assert planned == []


def test_a_client_without_an_endpoint_polls(wire: Wire, planned: list[SimPing]) -> None:
    """Whatever token it sends."""
    wire.idura.register_client(CLIENT, secret=SECRET)
    wire.idura.script(SWEDE, Script.approve(after=40))
    wire.begin(client_notification_token=TOKEN)
    assert planned == []


@pytest.mark.parametrize("token", [None, "", "two words", "a" * 1025, "ends=early", TOKEN + "\n"])
def test_a_token_is_needed(wire: Wire, planned: list[SimPing], token: str | None) -> None:
    """In the syntax of bearer tokens, and no longer than CIBA says."""
    reply = wire.start(client_notification_token=token)
    assert (reply.status, json.loads(reply.body)["error"]) == (400, "invalid_request")
    assert (planned, wire.idura.ledger.orders) == ([], [])


@pytest.mark.parametrize(
    ("rule", "leaving"),
    [
        (None, [(TOKEN, 40)]),
        (lost, []),
        (doubled, [(TOKEN, 40), (TOKEN, 40)]),
        (forged, [("x" * len(TOKEN), 40)]),
        (early(30), [(TOKEN, 10)]),
        (late(30), [(TOKEN, 70)]),
    ],
)
def test_a_rule_says_what_leaves(
    wire: Wire, planned: list[SimPing], rule: PingRule | None, leaving: list[tuple[str, float]]
) -> None:
    """And when."""
    wire.idura.script(SWEDE, Script.approve(after=40))
    wire.idura.ping_rule = rule
    wire.begin(client_notification_token=TOKEN)
    assert [(ping.token, ping.at - wire.now) for ping in planned] == leaving


class Listeners:
    """Remembers who listens."""

    listener: Callable[[SimPing], None]

    def listen(self, listener: Callable[[SimPing], None]) -> None:
        """As `SimulatedIdura.listen_for_pings`."""
        self.listener = listener


async def test_a_sender_sends_at_the_instant() -> None:
    """It keeps the answers' statuses; an endpoint that is away costs only its own ping."""
    arrived: list[float] = []

    async def post(ping: SimPing) -> int:
        arrived.append(asyncio.get_running_loop().time())
        if ping.auth_req_id == "away":
            raise ConnectionRefusedError
        return 204

    provider = Listeners()
    async with PingSender(provider.listen, post, wall=virtual_clock().wall) as sender:
        for name, at in (("a", 20), ("away", 5), ("b", -5), ("never", 1000)):
            provider.listener(SimPing(ENDPOINT, TOKEN, name, VIRTUAL_EPOCH + at))
        await asyncio.sleep(30)
    assert (arrived, sender.statuses) == ([0.0, 5.0, 20.0], [204, 0, 204])
    await asyncio.sleep(2000)
    assert len(arrived) == 3


async def test_an_asgi_program_gets_them_as_requests() -> None:
    """With the header fields and the body of the ping."""
    seen: list[tuple[Any, ...]] = []

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        message = await receive()
        seen.append((scope["method"], dict(scope["headers"])[b"authorization"], message["body"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    ping = SimPing(ENDPOINT, TOKEN, "an id", 0.0)
    assert await post_to(app)(ping) == 204
    assert seen == [("POST", f"Bearer {TOKEN}".encode(), ping.body)]
