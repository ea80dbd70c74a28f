"""Tests of the transport that sends the trace context."""

from __future__ import annotations

from opentelemetry import baggage, context

from idura_ciba.otel import TraceContextTransport
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.logins import SWEDE, MakeClient, swedish
from tests.otel.recorded import Recorded


async def test_the_callers_trace_context_goes_with_the_requests_of_a_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Documents are for all and carry nobody's; baggage never goes, because it may name somebody."""
    simulated_idura.script(SWEDE, Script.approve(after=5))
    sent: list[tuple[str, str | None]] = []

    class Noting(MemoryTransport):
        async def send(self, request: HttpRequest) -> HttpResponse:
            assert "baggage" not in request.headers
            sent.append((request.url.rpartition("/")[2], request.headers.get("traceparent")))
            return await super().send(request)

    transport = TraceContextTransport(Noting(simulated_idura, clock=virtual_clock()))
    tracer = Recorded().tracer_provider.get_tracer("tests")
    async with make_ciba_client(transport=transport) as ciba:
        token = context.attach(baggage.set_baggage("agent", "Terne"))
        with tracer.start_as_current_span("call") as span:
            login = await ciba.start(swedish())
        context.detach(token)
        await login
    of = span.get_span_context()
    parent = f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}"
    assert set(sent) == {
        ("openid-configuration", None),
        ("jwks", None),
        ("bc-authorize", parent),
        ("token", parent),
    }


async def test_closing_it_closes_what_it_wraps() -> None:
    """It owns nothing itself."""
    closed: list[str] = []

    class Closing:
        async def send(self, _: HttpRequest) -> HttpResponse:
            raise AssertionError

        async def aclose(self) -> None:
            closed.append("closed")

    await TraceContextTransport(Closing()).aclose()
    assert closed == ["closed"]
