"""Some logins at the simulator, on a virtual clock, and whatever OpenTelemetry's SDK records of them.

They are chosen so that each metric and each span gets all attributes that it can have.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import frozen
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from idura_ciba import CibaClient, CibaError, ClientSecretBasic, FairScheduler, SwedishBankID
from idura_ciba.observe import FleetEvent
from idura_ciba.otel import Telemetry
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock

__all__ = ["FLEET_KINDS", "Metric", "live_through", "metrics", "spans"]

#: Test numbers: they belong to nobody.
PEOPLE: Final = ("209804249135", "209803029702", "209803251611", "209803284380")
#: What the docstring of `FleetEvent` names.
FLEET_KINDS: Final = tuple(re.findall(r"`(\w+)`, (?:a|the|this)", " ".join(str(FleetEvent.__doc__).split())))


@frozen
class Metric:
    """One metric, as it is recorded."""

    name: str
    kind: str
    unit: str
    description: str
    attributes: tuple[str, ...]


class Busy:
    """A client with connections; one in memory has none."""

    def snapshot(self) -> dict[str, Any]:
        """See `CibaClient.snapshot`."""
        connections = [{"host": "acme.idura.broker", "port": 443, "active": 1, "idle": 2}]
        scheduler = FairScheduler(rate=50).snapshot().plain()
        return {"pending": 0, "closed": False, "scheduler": scheduler, "connections": connections}


def live_through(telemetry: Telemetry) -> None:
    """An approval, a refusal, a token of somebody else, a start that fails, errors, and the events of a fleet."""
    idura = SimulatedIdura()
    idura.register_client("urn:my:application", secret="hush")  # noqa: S106 - made up
    ends = (Script.approve(after=9), Script.deny(after=5), Script.approve(after=5, answered_by=PEOPLE[3]))
    for person, end in zip(PEOPLE, ends, strict=False):
        idura.script(person, end)
    counts = {"token": 0, "bc-authorize": 0}

    def trouble(arrival: Arrival) -> Fault | None:
        if arrival.endpoint in counts:
            counts[arrival.endpoint] += 1
        return {("token", 2): Fault.answer(503), ("bc-authorize", 4): Fault.answer(401)}.get(
            (arrival.endpoint, counts.get(arrival.endpoint, 0))
        )

    idura.faults.append(trouble)

    async def log_in() -> None:
        clock = virtual_clock()
        auth, transport = ClientSecretBasic("urn:my:application", "hush"), MemoryTransport(idura, clock=clock)
        async with CibaClient(idura.issuer, auth, transport=transport, clock=clock, observers=[telemetry]) as ciba:
            logins = [await ciba.start(_swede(nth), reference=f"call {nth}") for nth in range(len(ends))]
            with suppress(CibaError):
                await ciba.start(_swede(3))
            await asyncio.gather(*(login.outcome() for login in logins))

    run_virtual(log_in())
    for kind in FLEET_KINDS:
        telemetry(FleetEvent(kind, "0f1e2d3c"))


def _swede(nth: int) -> SwedishBankID:
    return SwedishBankID(PEOPLE[nth], call_initiator="RP", message="Hello")


def metrics() -> list[Metric]:
    """Every metric, in the order of its name."""
    reader, busy = InMemoryMetricReader(), Busy()
    telemetry = Telemetry(meter_provider=MeterProvider([reader], shutdown_on_exit=False))
    telemetry.attach(busy)
    live_through(telemetry)
    data = reader.get_metrics_data()
    assert data is not None
    found = [
        Metric(
            metric.name,
            _kind(metric.data),
            metric.unit,
            metric.description,
            tuple(sorted({name for point in metric.data.data_points for name in point.attributes or {}})),
        )
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    return sorted(found, key=lambda metric: metric.name)


def _kind(data: Any) -> str:
    kind = type(data).__name__.lower()
    return "counter" if kind == "sum" and data.is_monotonic else "up-down counter" if kind == "sum" else kind


def spans() -> Mapping[str, tuple[str, ...]]:
    """Every span with the attributes that it may have."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    live_through(Telemetry(polls="spans", tracer_provider=provider))
    found: dict[str, set[str]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, set()).update(span.attributes or {})
    return {name: tuple(sorted(found[name])) for name in sorted(found)}
