"""OpenTelemetry: spans and metrics of logins, made of what a client tells its observers; the extra `otel`.

    telemetry    `Telemetry`, the observer
    spans        a trace for each login
    metrics      counts and durations, over all clients of the process
    propagation  `TraceContextTransport`, for those who want the provider to know their traces

May import observe, protocol, errors and redaction, and of OpenTelemetry the API. Never knows more than events say, so
that nothing here identifies a person, and never needs an SDK: without one nothing is recorded.
"""

from __future__ import annotations

from idura_ciba.otel.propagation import TraceContextTransport
from idura_ciba.otel.telemetry import Telemetry

__all__ = ["Telemetry", "TraceContextTransport"]
