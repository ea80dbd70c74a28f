"""Tests of the page on services: its examples are run as they stand there."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba import ClientSecretBasic, State
from idura_ciba.aio.portal import Portal
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.sync import CibaClient as SyncClient
from idura_ciba.testing import virtual_clock
from tests.logins import SWEDE, MakeClient, swedish
from tests.pages import example
from tests.scaled import ScaledLoop


async def test_the_reference_comes_back(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """With the outcome, whatever it is."""
    simulated_idura.script(SWEDE, Script.deny(after=3))
    async with make_ciba_client() as ciba:
        outcome = await example("reference")["verify"](ciba, "call-4711", swedish())
    assert (outcome.reference, outcome.state) == ("call-4711", State.DENIED)


async def test_what_is_pending_is_handed_over(
    simulated_idura: SimulatedIdura, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the function of the example; its client is made as it stands there, but for the wire."""
    monkeypatch.setattr(
        "idura_ciba.client.AiohttpTransport", lambda: MemoryTransport(simulated_idura, clock=virtual_clock())
    )
    simulated_idura.register_client("urn:a", secret="hush")
    async with example("handover")["connect"](simulated_idura.issuer, ClientSecretBasic("urn:a", "hush")) as ciba:
        await ciba.start(swedish(), reference="call-4711")
    assert capsys.readouterr().out == "call-4711 was pending\n"


async def test_a_stream_speaks_to_people(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Each phase once, as server-sent events, and no longer than the server runs."""
    simulated_idura.script(SWEDE, Script.approve(after=30, opened_after=10, acknowledged_after=20))
    stopping = asyncio.Event()
    async with make_ciba_client() as ciba:
        login = await ciba.start(swedish())
        said = [event async for event in example("stream")["stream"](login, "sv-SE", stopping)]
        stopping.set()
    assert said[1] == "event: waiting\ndata: Förfrågan är på väg till appen. Öppna appen i telefonen.\n\n"
    assert len(said) == len(set(said)) == 5


def test_a_view_waits_for_its_login(
    simulated_idura: SimulatedIdura, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a program without an event loop, with either end."""
    monkeypatch.setattr("idura_ciba.sync.Portal", lambda name: Portal(name, ScaledLoop))
    simulated_idura.register_client("urn:a", secret="hush")
    clock = virtual_clock()
    transport = MemoryTransport(simulated_idura, clock=clock)
    auth, verify = ClientSecretBasic("urn:a", "hush"), example("django")["verify"]
    with SyncClient(simulated_idura.issuer, auth, transport=transport, clock=clock) as ciba:
        simulated_idura.script(SWEDE, Script.approve(after=9))
        assert verify(ciba, SWEDE, "call 1")["name"]
        simulated_idura.script(SWEDE, Script.deny(after=9))
        assert verify(ciba, SWEDE, "call 2") == {"call": "call 2", "failed": "denied"}
    assert "The identity is confirmed." in capsys.readouterr().out
