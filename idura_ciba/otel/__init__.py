"""OpenTelemetry: spans and metrics of logins, made of what a client tells its observers; the extra `otel`.

Only `opentelemetry-api` is imported, so without an SDK nothing is recorded and next to nothing is done. Nothing here
identifies a person: it knows events and nothing else.
"""

from __future__ import annotations

from idura_ciba.otel.propagation import TraceContextTransport
from idura_ciba.otel.telemetry import Telemetry

__all__ = ["Telemetry", "TraceContextTransport"]
