"""Tests of the spans of logins, as OpenTelemetry's SDK records them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from idura_ciba import AlreadyPending, CibaError, NotAuthenticated, State
from idura_ciba.observe import FleetEvent, RequestEvent, TransactionEvent
from idura_ciba.otel import Telemetry
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number
from tests.logins import SWEDE, MakeClient, on, polls, swedish
from tests.otel.recorded import Recorded, about, seconds

REFUSAL = Fault.answer(400, {"content-type": "application/json"}, json.dumps({"error": "access_denied"}).encode())


@pytest.mark.parametrize("polls_are", ["events", "spans"])
async def test_a_login_is_one_trace(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, polls_are: str
) -> None:
    """Its span lasts from the call of `start` to the end, and everything that belongs to it stands within."""
    simulated_idura.script(SWEDE, Script.approve(after=8))
    recorded = Recorded(polls=polls_are)
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.5)
    heard: list[Any] = []
    async with make_ciba_client(observers=[recorded.telemetry, heard.append], transport=transport) as ciba:
        began_at = virtual_clock().wall()
        transaction = await ciba.start(swedish(), reference="call 7")
        outcome = await transaction.outcome()
        ended_at = virtual_clock().wall()
    (login,) = recorded.named("ciba login")
    assert (login.parent, login.links, login.status.status_code) == (None, (), StatusCode.UNSET)
    assert login.start_time == pytest.approx(began_at * 1e9, abs=1e6)
    assert login.end_time == pytest.approx(ended_at * 1e9, abs=1e6)
    assert about(login) == {
        "ciba.transaction": transaction.id,
        "ciba.reference": "call 7",
        "ciba.acr_values": swedish().acr_values,
        "ciba.state": "approved",
        "ciba.polls": outcome.polls,
        "ciba.noticed_within": heard[-1].noticed_within,
        "ciba.provider.trace_id": transaction.trace_id,
    }
    children = [span for span in recorded.spans if span.parent and span.parent.span_id == login.context.span_id]
    poll_spans = ["ciba poll"] * outcome.polls if polls_are == "spans" else []
    assert [span.name for span in children] == [
        "ciba authentication request",
        "ciba key fetch",
        *poll_spans,
        "ciba verification",
    ]
    assert {span.context.trace_id for span in children} == {login.context.trace_id}
    for span in children:
        assert login.start_time <= (span.start_time or 0) <= (span.end_time or 0) <= (login.end_time or 0)
        assert span.status.status_code is StatusCode.UNSET
        assert span.kind is (SpanKind.INTERNAL if span.name == "ciba verification" else SpanKind.CLIENT)
    assert [seconds(span) for span in children[:2]] == pytest.approx([1.0, 1.0])
    told = [(event.name, (event.attributes or {})["ciba.result"]) for event in login.events]
    results = [("ciba poll", result) for result in [*["still pending"] * (outcome.polls - 1), "approved"]]
    assert told == ([] if polls_are == "spans" else results)
    if polls_are == "spans":
        assert [(span.name, about(span)["ciba.result"]) for span in recorded.named("ciba poll")] == results
    (discovery,) = recorded.named("ciba discovery")
    assert discovery.parent is None
    assert discovery.context.trace_id != login.context.trace_id


async def test_each_login_belongs_to_the_span_of_its_own_caller(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Also of those that fail, and although the calls are over long before."""
    recorded = Recorded()
    tracer = recorded.tracer_provider.get_tracer("tests")
    simulated_idura.faults += [on("bc-authorize", REFUSAL, nth=4)]
    for nth in range(3):
        simulated_idura.script(swedish_number(nth), Script.approve(after=5))
    calls: dict[str, int] = {}
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        for nth in range(4):
            with tracer.start_as_current_span(f"call {nth}") as span:
                calls[f"call {nth}"] = span.get_span_context().span_id
                try:
                    await ciba.start(swede(nth), reference=f"call {nth}")
                except CibaError:
                    assert nth == 3
        with tracer.start_as_current_span("somebody else's call"):
            await asyncio.gather(*(login.outcome() for login in ciba.pending))
    logins = recorded.named("ciba login")
    assert {about(span)["ciba.reference"]: span.parent.span_id for span in logins if span.parent} == calls


@pytest.mark.parametrize(
    ("script", "state", "status"),
    [
        (Script.deny(after=4), "denied", StatusCode.UNSET),
        (Script.never(), "expired", StatusCode.UNSET),
        (Script.approve(after=4, answered_by="197810128222"), "failed", StatusCode.ERROR),
    ],
)
async def test_how_a_login_ended_stands_in_its_span(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, script: Script, state: str, status: StatusCode
) -> None:
    """With its code; that somebody says no is no error of anybody."""
    simulated_idura.script(SWEDE, script)
    recorded = Recorded()
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    (login,) = recorded.named("ciba login")
    assert outcome.error is not None
    assert about(login)["ciba.state"] == state
    assert about(login)["error.type"] == outcome.error.code
    assert login.status.status_code is status
    assert login.status.description == (outcome.error.what if status is StatusCode.ERROR else None)
    for verification in recorded.named("ciba verification"):
        assert about(verification) == {"error.type": outcome.error.code}
        assert verification.status.status_code is StatusCode.ERROR


async def test_a_start_that_fails_is_a_span_too(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Refused by the provider, or by this client before anything was sent."""
    simulated_idura.faults += [on("bc-authorize", REFUSAL, nth=2)]
    recorded = Recorded()
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        await ciba.start(swede(0))
        with pytest.raises(AlreadyPending):
            await ciba.start(swede(0), reference="twice")
        with pytest.raises(CibaError):
            await ciba.start(swede(1), reference="refused")
        twice, refused = recorded.named("ciba login")
        await ciba.close()
    assert about(twice)["error.type"] == "already_pending"
    assert about(refused)["ciba.state"] == "rejected"
    assert {twice.status.status_code, refused.status.status_code} == {StatusCode.ERROR}
    requests = recorded.named("ciba authentication request")
    assert [span.parent.span_id for span in requests if span.parent][1:] == [refused.context.span_id]
    assert about(requests[1])["ciba.reason"] == "HTTP 400, access_denied"


async def test_what_goes_wrong_with_a_poll_stands_in_the_trace(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Why, with the status; and that the login came into doubt, and out of it."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    simulated_idura.faults += [polls(Fault.answer(502, {}, b"<html>"), 1)]
    recorded = Recorded()
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        await ciba.authenticate(swedish())
    (login,) = recorded.named("ciba login")
    told = [(event.name, dict(event.attributes or {})) for event in login.events]
    names = [name for name, _ in told]
    assert names[:3] == ["ciba poll", "ciba in_doubt", "ciba poll"]
    assert "ciba pending" in names
    assert told[0][1]["http.response.status_code"] == 502
    assert told[0][1]["ciba.reason"] == told[1][1]["ciba.reason"] == "HTTP 502, not JSON"


async def test_a_login_that_is_resumed_elsewhere_is_linked(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Each process has a span of its own; the second one points to the first."""
    simulated_idura.script(SWEDE, Script.approve(after=20))
    here, there = Recorded(), Recorded()
    former = make_ciba_client(observers=[here.telemetry])
    await former.start(swedish(), reference="call 7")
    (left,) = await former.close()
    await asyncio.sleep(3)
    async with make_ciba_client(observers=[there.telemetry]) as ciba:
        began_at = virtual_clock().wall()
        await (await ciba.resume(left))
    (first,), (second,) = here.named("ciba login"), there.named("ciba login")
    assert about(first)["ciba.state"] == "handed_over"
    assert first.status.status_code is StatusCode.UNSET
    (link,) = second.links
    assert (link.context.trace_id, link.context.span_id) == (first.context.trace_id, first.context.span_id)
    assert second.context.trace_id != first.context.trace_id
    assert second.start_time == pytest.approx(began_at * 1e9, abs=1e6)
    assert about(second)["ciba.reference"] == "call 7"
    assert about(second)["ciba.state"] == "approved"


async def test_keys_that_nobody_waits_for_belong_to_no_trace(make_ciba_client: MakeClient) -> None:
    """Their login may have ended meanwhile."""
    del make_ciba_client
    recorded = Recorded()
    recorded.telemetry(RequestEvent(None, "jwks_uri", "answered", 0.5, at=1000.0, cause="over long ago"))
    recorded.telemetry(RequestEvent(None, "jwks_uri", "answered", 0.5, at=1000.0))
    assert [(span.name, span.parent) for span in recorded.spans] == [("ciba key fetch", None)] * 2


async def test_a_trace_that_is_not_sampled_is_not_recorded_anywhere(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Not in parts either; whoever resumes it knows which one it was."""
    simulated_idura.script(SWEDE, Script.approve(after=5))
    recorded = Recorded(sampler=ALWAYS_OFF, polls="spans")
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        login = await ciba.start(swedish())
        context = recorded.telemetry.trace_context(login.id)
        assert context is not None
        assert int(context[-2:], 16) % 2 == 0  # the flag `sampled`
        await login
        assert recorded.telemetry.trace_context(login.id) is None
    assert recorded.spans == ()


async def test_nothing_is_kept_of_logins_that_have_ended(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """However they ended; and without an SDK not even of those that pend."""
    recorded, without_sdk = Recorded(), Telemetry()
    ends = [Script.approve(after=3), Script.deny(after=3), Script.never(), Script.never()]
    for nth, script in enumerate(ends):
        simulated_idura.script(swedish_number(nth), script)
    async with make_ciba_client(observers=[recorded.telemetry, without_sdk]) as ciba:
        logins = [await ciba.start(swede(nth)) for nth in range(len(ends))]
        with pytest.raises(AlreadyPending):
            await ciba.start(swede(0))
        assert len(recorded.telemetry._spans._open) == len(ends)
        assert without_sdk._spans._open == {}
        assert without_sdk.trace_context(logins[0].id) is None
        logins[3].abandon()
        for login in logins:
            with contextlib.suppress(NotAuthenticated):
                await login
    assert recorded.telemetry._spans._open == {}
    assert len(recorded.named("ciba login")) == len(ends) + 1


async def test_the_provider_learns_nothing_of_traces(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Unless somebody asks for it, see `TraceContextTransport`."""
    simulated_idura.script(SWEDE, Script.approve(after=5))
    sent: list[str] = []

    class Noting(MemoryTransport):
        async def send(self, request: HttpRequest) -> HttpResponse:
            sent.extend(name.lower() for name in request.headers)
            return await super().send(request)

    recorded = Recorded(polls="spans")
    transport = Noting(simulated_idura, clock=virtual_clock())
    with recorded.tracer_provider.get_tracer("tests").start_as_current_span("call"):
        async with make_ciba_client(observers=[recorded.telemetry], transport=transport) as ciba:
            await ciba.authenticate(swedish())
    assert sent
    assert {"traceparent", "tracestate", "baggage"}.isdisjoint(sent)


def test_a_login_that_was_taken_over_says_so() -> None:
    """In its span; what happens to a whole replica is in none."""
    recorded, name = Recorded(), "00ff"
    telemetry = recorded.telemetry
    telemetry(TransactionEvent(name, State.PENDING, None, 0, 0.0, None, at=1.0, resumed=True))
    telemetry(FleetEvent("taken_over", "0f1e", 1, "case 1", name, at=2.0))
    telemetry(FleetEvent("joined", "0f1e", at=3.0))
    telemetry(TransactionEvent(name, State.DENIED, "denied", 1, 3.0, None, at=4.0))
    (login,) = recorded.spans
    (event,) = login.events
    assert (event.name, event.timestamp, dict(event.attributes or {})) == (
        *("ciba taken over", 2_000_000_000, {"ciba.login": "case 1", "ciba.worker": "0f1e"}),
    )
