"""Runs what the page on bound tokens shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura, SimulatorServer
from idura_ciba.testing import virtual_clock
from tests.certificates import issue, server_context
from tests.fakes import private_key, public_jwk
from tests.logins import SWEDE, swedish
from tests.pages import example

PEM = private_key("P-256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_tokens_are_bound_as_shown() -> None:
    """At the provider of the other example, which demands nonces."""
    idura = example("dpop_tests")["demanding"]()
    idura.register_client("urn:my:application", jwks={"keys": [public_jwk(private_key("P-256"))]})
    idura.script(SWEDE, Script.approve(after=4))
    names, clock = example("dpop"), virtual_clock()
    make = names["CibaClient"]
    names["CibaClient"] = lambda *args: make(*args, clock=clock, transport=MemoryTransport(idura, clock=clock))
    async with names["connect"](idura.issuer, PEM) as ciba:
        login = await ciba.authenticate(swedish())
    assert login.tokens.token_type == "DPoP"
    assert idura.ledger.proofs["nonce demanded"] == 1


@pytest.mark.sockets
async def test_a_certificate_is_presented_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the address that is trusted by name; the provider knows the client by it, and not the id that is asked for."""
    authority = issue("authority")
    server, mine = issue("127.0.0.1", nth=1, by=authority), issue("client", nth=2, by=authority)
    (tmp_path / "authority.pem").write_text(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    certificate = str(mine.write(tmp_path / "client.pem"))
    idura = SimulatedIdura(seed=1)
    idura.register_client("urn:my:application", subject="CN=client")
    async with SimulatorServer(idura, mtls=server_context(server, tmp_path, clients=authority)):
        ciba = example("tls")["connect"](idura.issuer, certificate, certificate, idura.mtls_address)
        async with ciba:
            assert "accepts the credentials" in (await ciba.check(probe=True))[-1].text
