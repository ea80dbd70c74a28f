"""Tests of pings that reach another replica than the one that asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest

from idura_ciba import CibaClient, ClientSecretPost, State
from idura_ciba.fleet import Fleet, FleetOutcome
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Change
from idura_ciba.ping import Ping, PingCounts, PingReceiver
from idura_ciba.pytest_plugin import _CLIENT_ID, _CLIENT_SECRET
from idura_ciba.simulator import PingSender, Script, SimPing, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.pings import post_to
from idura_ciba.testing import virtual_clock
from tests.fleet.replicas import SECRET, Line, MakeFleet, kill
from tests.logins import SWEDE, swedish

ENDPOINT = "https://rp.example/ciba/ping"
#: Seconds until the person decides: between two of the polls that leave without a ping, at 30 and at 60 s.
DECIDED = 40.0


class Desk:
    """Replicas with receivers, the store's announcements, and a provider that pings one replica of its choice."""

    def __init__(self, replica: MakeFleet) -> None:
        self._replica = replica
        self.fleets: list[Fleet] = []
        self.receivers: list[PingReceiver] = []
        #: Which of them gets the pings, and those that it got.
        self.reached = 1
        self.sent: list[SimPing] = []
        self.heard: list[Change] = []

    async def open(self, line: Line | None = None, **options: Any) -> Fleet:
        """One more replica, with chance of its own."""
        pings = PingReceiver(**options)
        self.fleets.append(await self._replica(line, pings=pings, rng=Random(len(self.fleets))))
        self.receivers.append(pings)
        return self.fleets[-1]

    async def post(self, ping: SimPing) -> int:
        """Deliver a ping."""
        self.sent.append(ping)
        return await post_to(self.receivers[self.reached])(ping)

    async def listen(self, store: SqliteStore) -> None:
        """Note what is told of pings."""
        async for change in store.changes():
            if change.ping is not None:
                self.heard.append(change)

    @property
    def counts(self) -> list[PingCounts]:
        """What each of them has counted."""
        return [pings.counts for pings in self.receivers]


@pytest.fixture(name="desk")
async def _desk(simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore) -> AsyncIterator[Desk]:
    """A provider that pings; everything is noted."""
    simulated_idura.register_client(_CLIENT_ID, secret=_CLIENT_SECRET, notification_endpoint=ENDPOINT)
    simulated_idura.script(SWEDE, Script.approve(after=DECIDED))
    desk = Desk(replica)
    listening = asyncio.create_task(desk.listen(store))
    async with PingSender(simulated_idura.listen_for_pings, desk.post, wall=virtual_clock().wall):
        yield desk
    listening.cancel()


async def ended(fleet: Fleet) -> tuple[FleetOutcome, float]:
    """Log in; returns the outcome and after how many seconds it was there."""
    began = asyncio.get_running_loop().time()
    outcome = await (await fleet.start(swedish(), id="case 1")).outcome()
    return outcome, asyncio.get_running_loop().time() - began


async def test_a_ping_at_another_replica_finds_its_login(desk: Desk, simulated_idura: SimulatedIdura) -> None:
    """It polls at once; what is announced says nothing, once."""
    one, _ = await desk.open(), await desk.open()
    outcome, seconds = await ended(one)
    assert outcome.state is State.APPROVED
    assert seconds < DECIDED + 1
    assert simulated_idura.ledger.orders[0].polls == 2
    assert desk.counts == [PingCounts(accepted=1), PingCounts(unknown=1)]
    (ping,), (change,) = desk.sent, desk.heard
    for secret in (ping.auth_req_id, ping.token):
        assert secret.encode() not in bytes.fromhex(str(change.ping))
    assert "ping" not in repr(change)


async def test_whoever_has_no_token_costs_the_store_nothing(desk: Desk, store: SqliteStore) -> None:
    """Nor does a ping that comes again, or names another login: one statement for each login that is pinged."""
    line = Line(store)
    one, _ = await desk.open(), await desk.open(line)
    outcome, _ = await ended(one)
    (ping,), before = desk.sent, len(desk.heard)
    statements, body = line.statements, b'{"auth_req_id": "another"}'
    for number in range(100):
        assert desk.receivers[1].receive("POST", [f"Bearer {number}"], ping.body) == 401
        desk.receivers[1].receive("POST", [f"Bearer {ping.token}"], ping.body)
        desk.receivers[1].receive("POST", [f"Bearer {ping.token}"], body)
    await asyncio.sleep(0.1)
    assert line.statements - statements <= 3  # of a sign of life
    assert (len(desk.heard), before) == (1, 1)
    assert (outcome.state, desk.counts[0]) == (State.APPROVED, PingCounts(accepted=1))


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_a_hand_over_that_is_lost_costs_seconds(
    desk: Desk, store: SqliteStore, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """The login goes on polling, seldom; whoever was pinged says that its store is away."""
    line = Line(store)
    one, _ = await desk.open(), await desk.open(line)
    ending = asyncio.create_task(ended(one))
    await asyncio.sleep(DECIDED - 1)
    if how == "refused":
        line.is_refused = True
    else:
        line.cut()
    await asyncio.sleep(2)
    line.admit()
    outcome, seconds = await ending
    line.mend()
    assert outcome.state is State.APPROVED
    assert DECIDED + 10 < seconds < DECIDED + 30
    assert desk.counts[1] == PingCounts(unknown=1)
    assert desk.heard == []
    assert [message for message in caplog.messages if message.startswith("the store of the fleet: ")]
    assert not [message for message in caplog.messages if desk.sent[0].auth_req_id in message]


async def test_a_login_is_pinged_though_its_replica_has_died(desk: Desk) -> None:
    """Whoever takes it over has heard of the ping, even if it was sent to one that is gone by then, too."""
    one, two, three = await desk.open(), await desk.open(), await desk.open()
    await one.start(swedish(), id="case 1")
    await asyncio.sleep(DECIDED - 1)
    await kill(one)
    await asyncio.sleep(2)
    await two.close()
    outcome = await (await three.get("case 1")).outcome()
    assert outcome.state is State.APPROVED
    assert asyncio.get_running_loop().time() < DECIDED + 10  # a lease, and an interval
    assert desk.counts == [PingCounts(), PingCounts(unknown=1), PingCounts(early=1)]


async def test_a_hook_of_ones_own_is_offered_it_too(desk: Desk) -> None:
    """The fleet takes nothing away."""
    offered: list[Ping] = []
    one, _ = await desk.open(), await desk.open(on_unknown=offered.append)
    outcome, _ = await ended(one)
    assert outcome.state is State.APPROVED
    assert [str(ping.auth_req_id) for ping in offered] == [desk.sent[0].auth_req_id]


async def test_what_others_say_may_be_anything(desk: Desk, store: SqliteStore, replica: MakeFleet) -> None:
    """A replica that is not pinged hears it too, and what nobody has sealed is nothing."""
    without = await replica()
    one = await desk.open()
    desk.reached = 0
    await store.pass_on("junk")
    await store.pass_on("00" * 40)
    outcome, seconds = await ended(one)
    assert (outcome.state, desk.counts) == (State.APPROVED, [PingCounts(accepted=1)])
    assert seconds < DECIDED + 1
    assert without.is_closed is False


async def test_a_replica_that_is_closed_passes_nothing_on(desk: Desk, simulated_idura: SimulatedIdura) -> None:
    """Its address may still be called for a moment."""
    one, two = await desk.open(), await desk.open()
    await two.close()
    simulated_idura.script(SWEDE, Script.approve(after=5))
    await one.start(swedish(), id="case 1")
    await asyncio.sleep(6)
    assert (desk.heard, desk.counts[1]) == ([], PingCounts(unknown=1))


@pytest.mark.sockets
@pytest.mark.unmeasured
async def test_over_postgresql(dsn: str) -> None:
    """Two clients with connections of their own, and a provider over sockets that pings the wrong one."""
    idura = SimulatedIdura(seed=1, signing_alg="ES256", interval=1)
    idura.register_client("urn:my:app", secret="known to both", notification_endpoint=ENDPOINT)
    idura.script(SWEDE, Script.approve(after=2))
    receivers = PingReceiver(), PingReceiver()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(SimulatorServer(idura))
        fleets = [
            await stack.enter_async_context(
                Fleet(
                    CibaClient(
                        idura.issuer,
                        ClientSecretPost("urn:my:app", "known to both"),
                        id_token_algorithms=["ES256"],
                        resume_secret=SECRET,
                        pings=pings,
                    ),
                    dsn,
                )
            )
            for pings in receivers
        ]
        await stack.enter_async_context(PingSender(idura.listen_for_pings, post_to(receivers[1])))
        began = time.monotonic()
        outcome = await (await fleets[0].start(swedish())).outcome()
        assert outcome.state is State.APPROVED
        assert time.monotonic() - began < 10
    assert [pings.counts for pings in receivers] == [PingCounts(accepted=1), PingCounts(unknown=1)]
    assert idura.ledger.orders[0].polls == 1
