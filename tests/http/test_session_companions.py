"""Tests of what people put around aiohttp: each sees, answers or replays what it should.

These libraries are no dependencies: the group `companions` brings them. Where one is missing its test is skipped, but
not in the sessions of nox that are there for them, which say so in `IDURA_CIBA_COMPANIONS`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from idura_ciba import CibaClient, ClientSecretPost, SwedishBankID
from idura_ciba.errors import TransportError
from idura_ciba.http.delivery import deliver
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.protocol.http import HttpRequest
from idura_ciba.simulator import Script, SimRequest, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.servers import SECRET_BODY, SECRET_HEADER, http, serving, then_close

PERSON, CLIENT_ID, SECRET = "209801011231", "urn:my:app", "known to the simulator"


def companion(name: str) -> Any:
    """Import a library that need not be there."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing = f"{name} is not installed; the dependency group `companions` brings it"
        if "IDURA_CIBA_COMPANIONS" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)


# --- opentelemetry-instrumentation-aiohttp-client ---------------------------------------------------------------------


@pytest.mark.sockets
@pytest.mark.parametrize("how", ["instrumentor", "trace_config"])
async def test_opentelemetry_sees_a_span_for_each_request(how: str) -> None:
    """With method, address and status, or with the error; its context reaches the provider, and no secret the span."""
    instrumentation = companion("opentelemetry.instrumentation.aiohttp_client")
    export = companion("opentelemetry.sdk.trace.export")
    memory = companion("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = companion("opentelemetry.sdk.trace").TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    traces, instrumentor = None, instrumentation.AioHttpClientInstrumentor()
    if how == "instrumentor":
        instrumentor.instrument(tracer_provider=provider)
    else:
        traces = [instrumentation.create_trace_config(tracer_provider=provider)]
    try:
        session = aiohttp.ClientSession(trace_configs=traces)
    finally:
        if how == "instrumentor":
            instrumentor.uninstrument()
    async with (
        serving(http(), http(status="400 X"), then_close(b"")) as server,
        session,
        AiohttpTransport(session=session) as transport,
    ):
        await transport.send(server.request("/keys", method="GET", body=b""))
        await transport.send(server.request("/oauth2/token"))
        with pytest.raises(TransportError):
            await transport.send(server.request("/oauth2/token"))
    spans = memory.get_finished_spans()
    assert [span.name for span in spans] == ["GET", "POST", "POST"]
    assert [span.attributes["http.url"] for span in spans] == [
        server.url + path for path in ("/keys", "/oauth2/token", "/oauth2/token")
    ]
    assert [span.attributes.get("http.status_code") for span in spans] == [200, 400, None]
    assert spans[2].status.status_code.name == "ERROR"
    assert all(f"{span.context.trace_id:032x}" in head for span, (head, _) in zip(spans, server.requests, strict=True))
    told = "".join(span.to_json() for span in spans)
    assert SECRET_HEADER not in told
    assert SECRET_BODY not in told


# --- aioresponses -----------------------------------------------------------------------------------------------------


async def test_aioresponses_stands_in_for_the_provider() -> None:
    """A whole login, without a socket and on virtual time: what it is asked, a simulated provider answers."""
    mocking = companion("aioresponses")
    idura, clock = SimulatedIdura(seed=1, interval=3), virtual_clock()
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(PERSON, Script.approve(after=10))
    asked: list[str] = []

    def answer(method: str) -> Any:
        def call(url: URL, *, headers: Mapping[str, str], data: bytes = b"", **_: object) -> Any:
            asked.append(url.path)
            with idura.exchange(SimRequest(method, url.path, headers, data)) as exchange:
                reply = exchange.process(clock.wall())
                exchange.delivered()
            assert reply is not None
            return mocking.CallbackResult(status=reply.status, headers=dict(reply.headers), body=reply.body)

        return call

    with mocking.aioresponses() as mock:
        for path in ("/.well-known/openid-configuration", "/.well-known/jwks"):
            mock.get(idura.issuer + path, callback=answer("GET"), repeat=True)
        for path in ("/ciba/bc-authorize", "/oauth2/token"):
            mock.post(idura.issuer + path, callback=answer("POST"), repeat=True)
        async with (
            aiohttp.ClientSession() as session,
            CibaClient(
                idura.issuer,
                ClientSecretPost(CLIENT_ID, SECRET),
                transport=AiohttpTransport(session=session),
                clock=clock,
            ) as ciba,
        ):
            login = await ciba.authenticate(SwedishBankID(PERSON, call_initiator="user", message="Hello"))
    assert login.person_confirmed
    first = ["/.well-known/openid-configuration", "/ciba/bc-authorize", "/.well-known/jwks"]
    assert asked == [*first, *["/oauth2/token"] * 4]


@pytest.mark.parametrize(
    ("exception", "maybe_sent"),
    [(aiohttp.ConnectionTimeoutError(), False), (aiohttp.ServerDisconnectedError(), True), (TimeoutError(), True)],
)
async def test_aioresponses_breaks_connections(exception: Exception, *, maybe_sent: bool) -> None:
    """Its errors mean what aiohttp's mean."""
    with companion("aioresponses").aioresponses() as mock:
        mock.post("https://acme.test/oauth2/token", exception=exception)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TransportError) as caught:
                await AiohttpTransport(session=session).send(HttpRequest("POST", "https://acme.test/oauth2/token"))
    assert caught.value.maybe_sent is maybe_sent


# --- vcrpy ------------------------------------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_a_cassette_records_and_replays(tmp_path: Path) -> None:
    """Forms are recorded and told apart, answers come back byte by byte, and the second time nobody is asked."""
    recorder = companion("vcr").VCR(match_on=["method", "uri", "body"], record_mode="once")
    cassette = tmp_path / "login.yaml"
    answers = {
        b"auth_req_id=1": (400, b'{"error":"authorization_pending"}'),
        b"auth_req_id=2": (200, '{"name":"Åsa"}'.encode()),
    }
    seen: list[list[tuple[int, bytes]]] = []
    async with serving(*(http(body, status=f"{status} X") for status, body in answers.values())) as server:
        for _ in range(2):
            with recorder.use_cassette(str(cassette)):
                async with aiohttp.ClientSession() as session:
                    transport = AiohttpTransport(session=session)
                    # Recorded in one order, and replayed in the other.
                    forms = list(answers)[:: -1 if seen else 1]
                    responses = [await deliver(transport, server.request(body=form)) for form in forms]
            seen.append([(response.status, response.body) for response in responses])
    assert seen == [list(answers.values()), list(answers.values())[::-1]]
    assert len(server.requests) == 2
    assert "auth_req_id=1" in cassette.read_text(encoding="utf-8")
