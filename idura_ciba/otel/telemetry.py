"""The observer that makes spans and metrics."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from idura_ciba.errors import ArgumentError
from idura_ciba.observe import AnyEvent, Snapshots
from idura_ciba.otel.metrics import Metrics
from idura_ciba.otel.spans import Spans

__all__ = ["Telemetry"]

#: The name of the instrumentation scope.
SCOPE = "idura_ciba"


class Telemetry:
    """An observer for `CibaClient(observers=[log_events, Telemetry()])`.

    Make one for each process and give it to every client: what it counts is counted over all of them.

    Args:
        polls: Whether each poll becomes an event of the login's span or a span of its own.
        tracer_provider: Makes the spans. None: the global one.
        meter_provider: Makes the metrics. None: the global one.

    Raises:
        UsageError: `polls` is something else.
    """

    def __init__(
        self,
        *,
        polls: Literal["events", "spans"] = "events",
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if polls not in {"events", "spans"}:
            raise ArgumentError("polls is neither `events` nor `spans`", code="telemetry_polls")
        release = version("idura_ciba")
        self._spans = Spans(get_tracer(SCOPE, release, tracer_provider), polls_are_spans=polls == "spans")
        self._metrics = Metrics(get_meter(SCOPE, release, meter_provider))

    def __call__(self, event: AnyEvent) -> None:
        """Record an event."""
        self._spans.record(event)
        self._metrics.record(event)

    def attach(self, client: Snapshots) -> None:
        """Measure what is pending, due and in flight in this client, as long as it lives."""
        self._metrics.attach(client)

    def trace_context(self, transaction: str) -> str | None:
        """The W3C `traceparent` of a pending login's span."""
        return self._spans.trace_context(transaction)
