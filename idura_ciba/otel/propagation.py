"""Sending the trace context to the provider, for those who want that. Nobody else's context leaves this machine."""

from __future__ import annotations

from attrs import evolve, frozen
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport

__all__ = ["TraceContextTransport"]


@frozen
class TraceContextTransport:
    """A transport that adds `traceparent` and `tracestate` to each request: those of the span that is current for it.

    That is the span in which `start` or `resume` was called. Requests that are made for all logins have none. Baggage
    is never sent: it may name somebody.

    Args:
        transport: Carries the requests, for example an `AiohttpTransport`.
    """

    transport: Transport

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send with the trace context; see `idura_ciba.protocol.http.Transport`.

        Raises:
            TransportError: As the transport inside.
        """
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        return await self.transport.send(evolve(request, headers={**request.headers, **headers}))

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self.transport.aclose()
