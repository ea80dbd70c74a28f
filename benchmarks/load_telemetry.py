"""Telemetry as `load.py` measures it: everything is recorded, and what a network does with it is not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from idura_ciba.otel import Telemetry

#: Milliseconds between two readings of the metrics.
EVERY = 5000


class Nowhere(SpanExporter):
    """Sends spans nowhere."""

    def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
        """Forget them."""
        return SpanExportResult.SUCCESS


def recording(polls: Literal["events", "spans"]) -> Telemetry:
    """With polls as events or as spans, and all metrics."""
    tracing = TracerProvider()
    tracing.add_span_processor(BatchSpanProcessor(Nowhere()))
    reader = PeriodicExportingMetricReader(ConsoleMetricExporter(out=io.StringIO()), EVERY)
    return Telemetry(polls=polls, tracer_provider=tracing, meter_provider=MeterProvider([reader]))
