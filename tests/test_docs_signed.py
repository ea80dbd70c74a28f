"""Tests of the page on signed requests: its examples are run as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.logins import SWEDE, swedish
from tests.pages import example


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> list[SimulatedIdura]:
    """Carries the requests of clients that name no transport to the provider that is put in here."""
    providers: list[SimulatedIdura] = []
    monkeypatch.setattr("idura_ciba.client.Clock", virtual_clock)
    monkeypatch.setattr(
        "idura_ciba.client.AiohttpTransport", lambda: MemoryTransport(providers[0], clock=virtual_clock())
    )
    return providers


async def test_the_first_example_logs_in_where_the_last_one_demands_it(
    tmp_path: Path, wire: list[SimulatedIdura]
) -> None:
    """With one key for assertions and requests."""
    key, file = RSAKey.generate_key(2048), tmp_path / "key.pem"
    file.write_bytes(key.as_pem(private=True))
    idura = example("demanding")["provider"]({"keys": [key.as_dict(private=False)]})
    idura.script(SWEDE, Script.approve(after=5))
    wire.append(idura)
    async with example("signed")["connect"](idura.issuer, str(file)) as ciba:
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE
    assert idura.ledger.totals.refused == 0


async def test_a_key_of_its_own_and_encryption(wire: list[SimulatedIdura]) -> None:
    """At a provider that demands both."""
    key = ECKey.generate_key("P-256")
    idura = SimulatedIdura(encryption_key=RSAKey.generate_key(2048))
    idura.register_client(
        "my-client",
        secret="hush",
        request_alg="ES256",
        request_jwks={"keys": [key.as_dict(private=False)]},
        request_encrypted=True,
    )
    idura.script(SWEDE, Script.approve(after=5))
    wire.append(idura)
    async with example("encrypted_requests")["connect"](idura.issuer, "hush", key.as_pem(private=True)) as ciba:
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE
    assert idura.ledger.totals.refused == 0
