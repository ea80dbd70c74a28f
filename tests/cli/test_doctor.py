"""Tests of `idura-ciba doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import PrivateKeyJwt
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.config import Settings
from idura_ciba.cli.doctor import examine
from idura_ciba.cli.keys import generate_key
from idura_ciba.credentials.environment import SECRET as SECRET_VARIABLE
from idura_ciba.simulator import MemoryTransport, SimulatedIdura, SimulatorServer


async def test_a_healthy_configuration(
    idura: SimulatedIdura, clock: Clock, paper: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each finding has a line, the last lines sum up, and the secret is nowhere."""
    monkeypatch.setenv(SECRET_VARIABLE, "a secret of the tests")
    sheet = paper()
    settings = Settings(issuer=idura.issuer, client_id="urn:test:cli")
    transport = MemoryTransport(idura, clock=clock)
    assert await examine(settings, transport, clock, probe=False, console=sheet.console) == 0
    *found, summary, said = sheet.lines
    assert all(line.startswith("ok       ") for line in found)
    assert len(found) == 11
    assert summary == "No problem found."
    assert said == "No credentials were sent; --probe sends them once."
    assert "a secret of the tests" not in sheet.text
    assert idura.ledger.totals.rejected_clients == 0


async def test_problems_are_counted(
    idura: SimulatedIdura, clock: Clock, paper: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One or several, the shell is told."""
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    transport = MemoryTransport(idura, clock=clock)
    for settings, summary in (
        (Settings(issuer=idura.issuer), "1 problem found."),
        (Settings(), "2 problems found."),
    ):
        sheet = paper()
        assert await examine(settings, transport, clock, probe=True, console=sheet.console) == 1
        assert sheet.lines[-2:] == [summary, "No credentials were sent."]


def test_the_command_without_anything(invoke: Callable[..., Any]) -> None:
    """Nothing is configured: what is missing is named, and nothing is sent."""
    ran = invoke("doctor")
    assert ran.exit_code == 1
    assert "No client id given" in ran.stdout
    assert "No issuer given" in ran.stdout


@pytest.mark.sockets
async def test_the_command_over_http(invoke: Callable[..., Any], tmp_path: Path) -> None:
    """With a key, at a server, credentials and all."""
    key_file = tmp_path / "key.pem"
    key_file.write_text(generate_key("ES256"))
    key_file.chmod(0o644)
    idura = SimulatedIdura()
    idura.register_client("me", jwks=PrivateKeyJwt.from_file("me", key_file).public_jwks())
    async with SimulatorServer(idura) as server:
        ran = await asyncio.to_thread(
            invoke, "doctor", "--probe", "--issuer", server.issuer, "--client-id", "me", "--key-file", str(key_file)
        )
    assert ran.exit_code == 0
    levels = [line.split()[0] for line in ran.stdout.splitlines()]
    assert levels == ["ok", "warning", *["ok"] * 11, "No"]
    assert "probe: the provider accepts the credentials" in ran.stdout
