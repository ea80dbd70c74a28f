"""Tests of the tenant on this machine."""

from __future__ import annotations

import pytest

from idura_ciba import FrejaID, NorwegianBankID
from idura_ciba.cli.simulated import SOMEBODY, simulated_client
from idura_ciba.eids.swedish_bankid import SwedishBankID
from idura_ciba.simulator import SimulatedIdura


@pytest.mark.sockets
async def test_the_client_is_let_in_over_http() -> None:
    """Server, client and new key fit together, and nothing of them stays behind."""
    idura = SimulatedIdura()
    async with simulated_client(idura) as client:
        await client.start(FrejaID(SOMEBODY["freja"]))
        assert repr(client) == f"<CibaClient {idura.issuer} as urn:idura-ciba:cli, 1 pending>"
        assert idura.issuer.startswith("http://127.0.0.1:")
    assert idura.ledger.summary()["rejected_clients"] == 0


def test_the_people_are_well_formed() -> None:
    """The library takes their numbers, and no repr shows them."""
    NorwegianBankID(SOMEBODY["no"])
    FrejaID(SOMEBODY["freja"])
    SwedishBankID(SOMEBODY["se"], call_initiator="RP", message="Hej")
    assert "2098" not in repr(SOMEBODY)
