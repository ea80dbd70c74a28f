"""Tests of what `doctor` looks at."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from typing import Literal

import pytest

from idura_ciba.aio.clock import Clock
from idura_ciba.checks import Finding
from idura_ciba.cli.checks import check_at_provider, check_client
from idura_ciba.cli.config import Settings
from idura_ciba.cli.keys import KeyAlg, generate_key
from idura_ciba.credentials.environment import SECRET as SECRET_VARIABLE
from idura_ciba.errors import TransportError
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Rules, SimReply, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH
from tests.certificates import issue

CLIENT_ID, SECRET = "urn:test:cli", "a secret of the tests"


@pytest.fixture(name="secret", autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's secret, in the environment."""
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)


# --- on this machine --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alg", "said"),
    [
        ("RS256", "2048-bit RSA, RS256"),
        ("ES256", "P-256, ES256"),
        ("ES384", "P-384, ES384"),
        ("EdDSA", "Ed25519, EdDSA"),
    ],
)
def test_a_key_is_described(alg: KeyAlg, said: str, tmp_path: Path) -> None:
    """Its kind, its size, what it signs with and its name at the provider."""
    path = tmp_path / "key.pem"
    path.write_text(generate_key(alg))
    path.chmod(0o600)
    described, mode = check_client(Settings(client_id="me", key_file=path))
    assert described.level == mode.level == "ok"
    assert described.text.startswith(f"client: me authenticates with a private key: {said}, kid ")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_can_reach_is_a_warning(mode: int, tmp_path: Path) -> None:
    """It works, so it is no problem yet."""
    path = tmp_path / "key.pem"
    path.write_text(generate_key("ES256"))
    path.chmod(mode)
    _, found = check_client(Settings(client_id="me", key_file=path))
    assert found.level == "warning"
    assert f"{mode:04o}" in found.text
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_key_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    """Its mode is told too; a key that is not there has none."""
    path = tmp_path / "key.pem"
    settings = Settings(client_id="me", key_file=path)
    assert [finding.level for finding in check_client(settings)] == ["problem"]
    path.write_text("no key")
    path.chmod(0o600)
    assert [finding.level for finding in check_client(settings)] == ["problem", "ok"]


def test_a_secret_is_accepted_and_not_shown() -> None:
    """It works at Idura, which recommends a key."""
    (found,) = check_client(Settings(client_id="me"))
    assert found == Finding("ok", "client: me authenticates with a client secret; Idura recommends a private key")


def test_what_binds_tokens_is_described(tmp_path: Path) -> None:
    """Whose certificate it is, and what is bound to what."""
    path = issue("client", by=issue("authority")).write(tmp_path / "both.pem")
    path.chmod(0o600)
    described, mode = check_client(Settings(client_id="me", key_file=path, method="tls"))
    assert mode.level == "ok"
    assert described == Finding("ok", "client: me authenticates with a certificate for CN=client")
    (described,) = check_client(Settings(client_id="me", cert_file=path, dpop=True))
    assert described.text.endswith("tokens are bound to a certificate; tokens are bound by DPoP")


# --- at the provider --------------------------------------------------------------------------------------------------


async def findings(
    idura: SimulatedIdura, clock: Clock, *, probe: bool = False, issuer: str | None = None, client_id: str = CLIENT_ID
) -> dict[str, Finding]:
    """All findings by their first word."""
    settings = Settings(issuer=issuer or idura.issuer, client_id=client_id)
    transport = MemoryTransport(idura, clock=clock)
    found = [finding async for finding in check_at_provider(settings, transport, clock, probe=probe)]
    await transport.aclose()
    return {finding.text.partition(":")[0]: finding for finding in found}


def strike(endpoints: Iterable[str], fault: Fault) -> Callable[[Arrival], Fault | None]:
    """Something goes wrong at these endpoints."""
    return lambda arrival: fault if arrival.endpoint in endpoints else None


async def test_a_healthy_provider(idura: SimulatedIdura, clock: Clock) -> None:
    """Everything is looked at, and no credentials are sent."""
    found = await findings(idura, clock)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert list(found) == [
        "issuer", "discovery", "TLS", "clock",
        "backchannel_authentication_endpoint", "token_endpoint", "jwks_uri", "settings", "supported", "keys",
    ]  # fmt: skip
    assert found["keys"].text == "keys: 1 usable, for RS256"
    assert "certificate" in found["TLS"].text
    assert idura.ledger.totals.requests == 2


async def test_what_the_document_does_not_say_is_told(clock: Clock) -> None:
    """The usual path of Idura is used, and the reader learns that it is a guess."""
    idura = SimulatedIdura(rules=Rules(announces_backchannel=False))
    found = await findings(idura, clock)
    assert "Idura's usual URL" in found["backchannel_authentication_endpoint"].text
    assert "Idura's usual URL" not in found["token_endpoint"].text


async def test_a_domain_of_your_own_at_idura_must_be_said(clock: Clock) -> None:
    """Nothing is guessed about a server whose name says nothing."""
    idura = SimulatedIdura("https://login.acme.example", rules=Rules(announces_backchannel=False))
    (*_, told) = (await findings(idura, clock)).values()
    assert told.level == "problem"
    assert "endpoint_missing" in told.text
    settings = Settings(issuer=idura.issuer, client_id=CLIENT_ID, idura_paths=True)
    transport = MemoryTransport(idura, clock=clock)
    found = [finding async for finding in check_at_provider(settings, transport, clock, probe=False)]
    assert {finding.level for finding in found} == {"ok"}


async def test_this_machine_needs_no_tls(clock: Clock) -> None:
    """A simulator on loopback is told apart from a tenant."""
    found = await findings(SimulatedIdura("http://127.0.0.1:8700"), clock)
    assert found["TLS"] == Finding("ok", "TLS: none; plain HTTP is allowed only on this machine")


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0, "ok", "within 5 s"),
        (12, "problem", "12 s ahead of"),
        (-12, "problem", "12 s behind"),
        (None, "warning", "no valid Date header"),
    ],
)
async def test_two_clocks_are_compared(
    ahead: int | None, level: str, words: str, idura: SimulatedIdura, clock: Clock
) -> None:
    """By the header `Date`; beyond five seconds it is a problem, with its direction."""

    def rewrite(reply: SimReply) -> SimReply:
        headers = {name: value for name, value in reply.headers.items() if name != "Date"}
        if ahead is not None:
            headers["Date"] = formatdate(VIRTUAL_EPOCH - ahead, usegmt=True)
        return SimReply(reply.status, headers, reply.body)

    idura.faults.append(strike(["discovery"], Fault.change(rewrite)))
    found = (await findings(idura, clock))["clock"]
    assert found.level == level
    assert words in found.text


@pytest.mark.parametrize(
    ("issuer", "words"),
    [
        ("http://tenant.example", "not an absolute https URL"),
        ("https://elsewhere.example", "Nothing listens"),
        (None, "names another issuer"),
    ],
)
async def test_a_provider_that_is_not_found_ends_the_search(
    issuer: str | None, words: str, idura: SimulatedIdura, clock: Clock
) -> None:
    """One problem, and no others that only follow from it."""
    found = await findings(idura, clock, issuer=issuer or f"{idura.issuer}/")
    (problem,) = (finding for finding in found.values() if finding.level == "problem")
    assert words in problem.text
    assert problem is list(found.values())[-1]


async def test_a_certificate_that_is_not_accepted_is_a_problem(clock: Clock) -> None:
    """The library says so in its own words."""

    class Untrusted:
        async def send(self, request: HttpRequest) -> HttpResponse:
            del request
            raise TransportError("the server's certificate or its TLS was not accepted", code="tls")

        async def aclose(self) -> None: ...

    settings = Settings(issuer="https://tenant.example")
    found = [finding async for finding in check_at_provider(settings, Untrusted(), clock, probe=False)]
    assert [finding.level for finding in found] == ["ok", "problem"]
    assert "certificate" in found[-1].text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"keys": []}', "no key that can verify"),
        (b"<html>", "cannot be read"),
        (b'{"keys": [{"kty": "oct"}]}', "no key that can verify"),
    ],
)
async def test_useless_keys_are_a_problem(body: bytes, words: str, idura: SimulatedIdura, clock: Clock) -> None:
    """No login could ever be verified."""
    idura.faults.append(strike(["jwks"], Fault.answer(200, {}, body)))
    found = list((await findings(idura, clock)).values())[-1]
    assert found.level == "problem"
    assert words in found.text


async def test_the_probe_tells_good_credentials_from_bad(idura: SimulatedIdura, clock: Clock) -> None:
    """By asking for a login that does not exist; nobody's phone rings."""
    assert (await findings(idura, clock, probe=True))["probe"].level == "ok"
    idura.register_client(CLIENT_ID, secret="another")
    found = (await findings(idura, clock, probe=True))["probe"]
    assert found.level == "problem"
    assert found.text.endswith('the provider says: "wrong secret"')
    assert idura.ledger.orders == []
    assert idura.ledger.totals.unknown_ids == 1


@pytest.mark.parametrize(
    ("status", "answer", "level", "words"),
    [
        (400, {"error": "unauthorized_client"}, "problem", "not enabled"),
        (400, {"error": "unsupported_grant_type"}, "problem", "not enabled"),
        (
            400,
            {"error": "strange\x1b", "error_description": "\x1b[2J"},
            "warning",
            r'strange\x1b; the provider says: "\x1b[2J"',
        ),
        (400, {"error": "authorization_pending"}, "warning", "never issued"),
        (503, {}, "problem", "no usable answer"),
    ],
)
async def test_other_answers_to_the_probe(
    *,
    status: int,
    answer: dict[str, str],
    level: Literal["warning", "problem"],
    words: str,
    idura: SimulatedIdura,
    clock: Clock,
) -> None:
    """Foreign words are escaped."""
    idura.faults.append(strike(["token"], Fault.answer(status, {}, json.dumps(answer).encode())))
    found = (await findings(idura, clock, probe=True))["probe"]
    assert found.level == level
    assert words in found.text


async def test_a_probe_without_credentials_is_a_problem(idura: SimulatedIdura, clock: Clock) -> None:
    """There is nothing to send."""
    found = list((await findings(idura, clock, probe=True, client_id="")).values())[-1]
    assert found.level == "problem"
    assert "No client id given" in found.text
