"""Runs what the page on FAPI-CIBA shows, at a provider that demands all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba.simulator import Script, SimRequest, SimulatedIdura, SimulatorServer
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


def test_each_rule_names_a_test_that_exists() -> None:
    """A file, or one test in it."""
    rows = re.findall(r"^\|.*\| (`tests/.*`) \|$", (ROOT / "docs" / "fapi-ciba.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 9
    for named in (name for row in rows for name in re.findall(r"`(tests/[^`]+)`", row)):
        path, _, test = named.partition("::")
        assert f"def {test}(" in (ROOT / path).read_text("utf-8") or not test
