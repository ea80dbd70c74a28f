"""Tests of the metrics of logins, as OpenTelemetry's SDK records them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from idura_ciba import AiohttpTransport, AlreadyPending, CibaClient, ClientSecretPost, FairScheduler, NotAuthenticated
from idura_ciba.simulator import Fault, Script, SimulatedIdura, SimulatorServer
from tests.fakes import swede, swedish_number
from tests.logins import SWEDE, MakeClient, on, polls, swedish
from tests.otel.recorded import Recorded

EID = {"ciba.acr_values": swedish().acr_values}


def totals(points: list[tuple[Any, Any]]) -> list[tuple[Any, float]]:
    """Attributes, and the sum of each histogram."""
    assert all(isinstance(point, HistogramDataPoint) for _, point in points)
    return [(which, point.sum) for which, point in points]


async def test_ends_are_counted_by_eid_outcome_and_code(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Failed starts included; durations and polls are those of the logins."""
    simulated_idura.script(swedish_number(0), Script.approve(after=5))
    simulated_idura.script(swedish_number(1), Script.deny(after=3))
    recorded = Recorded()
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        logins = [await ciba.start(swede(nth)) for nth in range(2)]
        with pytest.raises(AlreadyPending):
            await ciba.start(swede(0))
        outcomes = [await login.outcome() for login in logins]
    metrics = recorded.metrics()
    approved, denied = {**EID, "ciba.state": "approved"}, {**EID, "ciba.state": "denied"}
    refused = {**EID, "ciba.state": "failed"}
    assert sorted(metrics["ciba.client.logins"], key=str) == sorted(
        [
            (approved, 1),
            ({**denied, "error.type": "denied"}, 1),
            ({**refused, "error.type": "already_pending"}, 1),
        ],
        key=str,
    )
    durations = {which["ciba.state"]: total for which, total in totals(metrics["ciba.client.login.duration"])}
    assert durations == {"approved": pytest.approx(6.0), "denied": pytest.approx(3.0), "failed": 0.0}
    assert totals(metrics["ciba.client.login.polls"]) == [(denied, outcomes[1].polls), (approved, outcomes[0].polls)]
    assert [which for which, _ in metrics["ciba.client.login.detection_delay"]] == [denied, approved]
    for _, total in totals(metrics["ciba.client.login.detection_delay"]):
        assert 0 < total <= 3.1


async def test_requests_are_measured_by_endpoint_and_result(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Polls, authentication requests and documents alike."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    simulated_idura.faults += [polls(Fault.answer(503), 1), on("bc-authorize", Fault.refuse_connection(), nth=1)]
    recorded = Recorded()
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        await ciba.authenticate(swedish())
    found = {
        (which["ciba.endpoint"], which["ciba.result"], which.get("http.response.status_code")): point.count
        for which, point in recorded.metrics()["ciba.client.request.duration"]
    }
    pending = found.pop(("token_endpoint", "still pending", None))
    assert pending >= 1
    assert found == {
        ("openid-configuration", "answered", 200): 1,
        ("backchannel_authentication_endpoint", "acknowledged", None): 1,
        ("jwks_uri", "answered", 200): 1,
        ("token_endpoint", "put off", 503): 1,
        ("token_endpoint", "approved", None): 1,
    }


async def test_what_goes_on_is_looked_at_when_somebody_asks(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Over all clients; a scheduler that they share counts once, and a closed client not at all."""
    del simulated_idura
    recorded, scheduler = Recorded(), FairScheduler(rate=1000)
    clients = [make_ciba_client(observers=[recorded.telemetry], scheduler=scheduler) for _ in range(2)]
    alone = make_ciba_client(observers=[recorded.telemetry])
    for nth in range(3):
        await clients[nth % 2].start(swede(nth))
    await alone.start(swede(3))
    await asyncio.sleep(20)
    metrics = recorded.metrics()
    assert metrics["ciba.client.pending"] == [({}, 4)]
    numbers = {"ciba.scheduler.number": scheduler.snapshot().number}
    assert metrics["ciba.scheduler.allowed"] == [(numbers, 1000.0)]  # no point for the one without a limit
    served = {which["ciba.scheduler.number"]: value for which, value in metrics["ciba.scheduler.served"]}
    assert served[scheduler.snapshot().number] == scheduler.snapshot().served > 0
    assert len(served) == 2
    for name in ("due", "in_flight", "starting", "late", "refused", "slow_downs"):
        assert [value for _, value in metrics[f"ciba.scheduler.{name}"]] == [0, 0]
    for client in (*clients, alone):
        await client.close()
    metrics = recorded.metrics()
    assert metrics["ciba.client.pending"] == [({}, 0)]
    assert metrics.get("ciba.scheduler.served", []) == []


async def test_a_client_is_not_kept_alive(make_ciba_client: MakeClient) -> None:
    """Whoever makes many, as tests do, keeps none of them."""
    recorded = Recorded()
    for _ in range(3):
        await make_ciba_client(observers=[recorded.telemetry]).close()
    gc.collect()
    kept = make_ciba_client(observers=[recorded.telemetry])
    assert [known() for known in recorded.telemetry._metrics._clients] == [kept]
    await kept.close()


@pytest.mark.sockets
async def test_connections_of_the_pool_are_counted_by_server() -> None:
    """As the semantic conventions say."""
    idura = SimulatedIdura(interval=1, people=lambda _: Script.approve())
    idura.register_client("urn:my:app", secret="known to both")
    recorded = Recorded()
    auth = ClientSecretPost("urn:my:app", "known to both")
    async with (
        SimulatorServer(idura) as server,
        CibaClient(server.issuer, auth, observers=[recorded.telemetry]) as ciba,
    ):
        with contextlib.suppress(NotAuthenticated):
            await ciba.authenticate(swedish())
        found = recorded.metrics()["http.client.open_connections"]
    where = {"server.address": "127.0.0.1", "server.port": int(server.issuer.rpartition(":")[2])}
    assert [which for which, _ in found] == [
        {**where, "http.connection.state": "active"},
        {**where, "http.connection.state": "idle"},
    ]
    active, idle = (value for _, value in found)
    assert active == 0
    assert idle >= 1
    assert AiohttpTransport().connections() == []
