"""Runs what the page on bound tokens shows."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba.simulator import MemoryTransport, Script
from idura_ciba.testing import virtual_clock
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
