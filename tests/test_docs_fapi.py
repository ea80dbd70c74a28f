"""Runs what the page on FAPI-CIBA shows, at a provider that demands all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey

from idura_ciba.simulator import Rules, Script, SimRequest, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.exchange import Exchange
from tests.certificates import issue, server_context
from tests.fakes import private_key, public_jwk, unb64
from tests.logins import SWEDE, swedish
from tests.pages import example

ROOT = Path(__file__).parents[1]


class Bank(SimulatedIdura):
    """A provider that notes what reaches it."""

    def __init__(self) -> None:
        super().__init__(seed=1, interval=1, signing_alg="PS256")
        self.requests: list[SimRequest] = []
        self.script(SWEDE, Script.approve())

    def exchange(self, request: SimRequest) -> Exchange:
        """Note it."""
        self.requests.append(request)
        return super().exchange(request)


@pytest.mark.sockets
async def test_a_client_with_these_settings_logs_people_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is in the signed request, tokens are bound to the certificate, and nothing is said of the customer."""
    authority = issue("authority")
    server, mine = issue("127.0.0.1", nth=1, by=authority), issue("client", nth=2, by=authority)
    (tmp_path / "authority.pem").write_text(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    key, key_file = private_key("RSA"), tmp_path / "key.pem"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    bank = Bank()
    bank.register_client("my-client", jwks={"keys": [public_jwk(key)]}, request_alg="PS256")
    async with SimulatorServer(bank, mtls=server_context(server, tmp_path, clients=authority)):
        connect = example("fapi")["connect"]
        async with connect(bank.issuer, bank.mtls_address, key_file, mine.certificate, mine.key) as ciba:
            login = await ciba.authenticate(swedish())
    assert login.claims["ssn"] == SWEDE
    assert json.loads(unb64(str(login.tokens.access_token).split(".")[1]))["cnf"]
    assert json.loads(unb64(str(login.id_token).split(".")[0]))["alg"] == "PS256"
    (asked,) = [request for request in bank.requests if request.path.endswith("bc-authorize")]
    assert set(re.findall(r"(?:^|&)([^=]+)=", asked.body.decode())) == {
        "client_assertion",
        "client_assertion_type",
        "client_id",
        "request",
    }
    assert not [name for request in bank.requests for name in request.headers if name.lower().startswith("x-fapi")]


@pytest.mark.sockets
@pytest.mark.parametrize(("script", "found"), [(Script.approve(), True), (Script.deny(), False)])
async def test_the_code_for_every_provider(script: Script, found: bool) -> None:
    """At the simulator; `tests/interop/test_same_code.py` runs it at others."""
    idura = SimulatedIdura(seed=1, interval=1, rules=Rules(userinfo="signed"))
    idura.script(SWEDE, script)
    settings = example("anywhere_settings")["idura"](RSAKey.generate_key(2048).as_pem(private=True).decode())
    idura.register_client("my-client", jwks=settings["client_auth"].public_jwks())
    async with SimulatorServer(idura):
        assert (await example("anywhere")["who_is_it"](idura.issuer, settings, swedish()) is not None) is found


def test_each_rule_names_a_test_that_exists() -> None:
    """A file, or one test in it."""
    page = (ROOT / "docs" / "fapi-ciba.md").read_text("utf-8")
    assert len(re.findall(r"^\|.*\| `tests/.*` \|$", page, re.MULTILINE)) == 9 + 4
    for named in re.findall(r"`(tests/[^`]+)`", page):
        path, _, test = named.partition("::")
        assert f"def {test}(" in (ROOT / path).read_text("utf-8") or not test
