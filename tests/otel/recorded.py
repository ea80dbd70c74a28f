"""What OpenTelemetry's own SDK records of logins, in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from idura_ciba.otel import Telemetry


@define
class Recorded:
    """Spans and metrics of one `Telemetry`.

    Attributes:
        polls: As for `Telemetry`.
        sampler: Decides which traces are recorded.
        reader: Also reads the metrics.
    """

    polls: Any = "events"
    sampler: Sampler = ALWAYS_ON
    reader: MetricReader | None = None
    tracer_provider: TracerProvider = field(init=False)
    telemetry: Telemetry = field(init=False)
    _exporter: InMemorySpanExporter = field(init=False, factory=InMemorySpanExporter)
    _reader: InMemoryMetricReader = field(init=False, factory=InMemoryMetricReader)

    def __attrs_post_init__(self) -> None:
        self.tracer_provider = TracerProvider(sampler=self.sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        readers = [self._reader, *([self.reader] if self.reader else [])]
        meter_provider = MeterProvider(readers, shutdown_on_exit=False)
        self.telemetry = Telemetry(
            polls=self.polls, tracer_provider=self.tracer_provider, meter_provider=meter_provider
        )

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Those that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of one name."""
        return [span for span in self.spans if span.name == name]

    def metrics(self) -> Mapping[str, list[tuple[Mapping[str, Any], Any]]]:
        """Each metric's points as of now: attributes, and the number or the histogram."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[tuple[Mapping[str, Any], Any]]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = metric.data.data_points
                    found[metric.name] = [
                        (dict(point.attributes or {}), getattr(point, "value", point)) for point in points
                    ]
        return found

    def units(self) -> Mapping[str, str]:
        """The unit of each metric."""
        data = self._reader.get_metrics_data()
        assert data is not None
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return {metric.name: metric.unit for scope in scopes for metric in scope.metrics}

    def said(self) -> list[str]:
        """Everything that would leave the process, as text."""
        data = self._reader.get_metrics_data()
        return [json.dumps(json.loads(span.to_json())) for span in self.spans] + ([data.to_json()] if data else [])


def about(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes."""
    return dict(span.attributes or {})


def seconds(span: ReadableSpan) -> float:
    """How long a span lasted."""
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9
