"""Tests of the options for a provider's demands: each reaches the provider, and without it nobody logs in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import typer
from attrs import evolve, field, frozen
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from idura_ciba import FinalPoll, HazardAware, PrivateKeyJwt, UsageError
from idura_ciba.cli.config import Settings
from idura_ciba.cli.connection import takes_settings
from idura_ciba.cli.keys import generate_key
from idura_ciba.polling.final_poll import GUARD
from idura_ciba.simulator import Rules, Script, SimRequest, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.exchange import Exchange
from tests.certificates import issue, server_context
from tests.fakes import private_key, public_jwk

CLIENT = "urn:test:cli"
SWEDE = "209801011231"
AUTHORITY = issue("authority")
SERVER, MINE = issue("127.0.0.1", nth=1, by=AUTHORITY), issue("client", nth=2, by=AUTHORITY)
OTHER = "https://api.example"
REQUESTS, DECRYPTION = private_key("P-256", 7), private_key("P-256", 8)


class Watched(SimulatedIdura):
    """A provider that approves, and notes what it got."""

    def __init__(self, **options: Any) -> None:
        super().__init__(seed=1, interval=1, **options)
        self.seen: list[SimRequest] = []

    def exchange(self, request: SimRequest) -> Exchange:
        """Note it."""
        self.seen.append(request)
        return super().exchange(request)


@frozen
class Demand:
    """What a provider demands, and how the command meets it.

    Attributes:
        options: Of the command, that meet it; `{name}` is a file in the test's folder, `{origin}` the server's other
            origin.
        variables: The same as environment variables, without IDURA_CIBA_.
        idura: The provider's options.
        register: Its registration of the client, besides the key.
        claims: In ID tokens.
        encrypts: Whether it encrypts ID tokens.
    """

    options: Sequence[str]
    variables: Mapping[str, str]
    idura: Mapping[str, Any] = field(factory=dict)
    register: Mapping[str, Any] = field(factory=dict)
    claims: Mapping[str, object] = field(factory=dict)
    encrypts: bool = False


DEMANDS = {
    "audience": Demand(
        ("--audience", OTHER), {"AUDIENCE": OTHER}, {"rules": Rules(accepted_audiences=frozenset({OTHER}))}
    ),
    "algorithm": Demand(
        ("--id-token-algorithm", "PS256,ES256"), {"ID_TOKEN_ALGORITHMS": "PS256, ES256"}, {"signing_alg": "ES256"}
    ),
    "algorithms": Demand(
        ("--id-token-algorithm", "PS256", "--id-token-algorithm", "ES256"),
        {"ID_TOKEN_ALGORITHMS": "PS256 ES256"},
        {"signing_alg": "ES256"},
    ),
    "trusted audience": Demand(
        ("--trusted-audience", OTHER),
        {"TRUSTED_AUDIENCES": OTHER},
        claims={"aud": [CLIENT, OTHER], "azp": CLIENT},
    ),
    "trusted origin": Demand(("--trusted-origin", "{origin}"), {"TRUSTED_ORIGINS": "{origin}"}),
    "signed requests": Demand(
        ("--sign-requests", "--request-alg", "ES256"),
        {"SIGN_REQUESTS": "1", "REQUEST_ALG": "ES256"},
        register={"request_alg": "ES256"},
    ),
    "signed by another key": Demand(
        ("--sign-requests", "--request-key-file", "{request.pem}"),
        {"SIGN_REQUESTS": "yes", "REQUEST_KEY_FILE": "{request.pem}"},
        register={"request_alg": "ES256", "request_jwks": {"keys": [public_jwk(REQUESTS)]}},
    ),
    "dpop": Demand(("--dpop",), {"DPOP": "true"}, {"rules": Rules(dpop=True, dpop_nonces=60.0)}),
    "encrypted": Demand(
        ("--decryption-key-file", "{decryption.pem}"), {"DECRYPTION_KEY_FILE": "{decryption.pem}"}, encrypts=True
    ),
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Where all files are that an option may name."""
    (tmp_path / "key.pem").write_text(generate_key("ES256"))
    for name, key in {"request.pem": REQUESTS, "decryption.pem": DECRYPTION}.items():
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / name).write_bytes(pem)
    (tmp_path / "authority.pem").write_text(AUTHORITY.certificate)
    MINE.write(tmp_path / "pair.pem")
    (tmp_path / "certificate.pem").write_text(MINE.certificate)
    (tmp_path / "certificate-key.pem").write_text(MINE.key)
    return tmp_path


@pytest.fixture(autouse=True)
def _in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs beside the provider; only the main thread can listen to signals."""
    monkeypatch.setattr("idura_ciba.cli.verify.stoppable", lambda _: nullcontext())


@asynccontextmanager
async def demanding(demand: Demand, folder: Path) -> AsyncIterator[SimulatorServer]:
    """A provider on this machine that demands it of a client with the key of this folder."""
    idura = Watched(**demand.idura)
    jwks = PrivateKeyJwt.from_file(CLIENT, folder / "key.pem").public_jwks()
    idura.register_client(CLIENT, jwks=jwks, **demand.register)
    idura.script(SWEDE, Script.approve(claims=demand.claims))
    if demand.encrypts:
        idura.encrypt_for(CLIENT, public_jwk(DECRYPTION), ("ECDH-ES", "A256GCM"))
    async with SimulatorServer(idura) as server:
        if "{origin}" in demand.options:
            idura._metadata["jwks_uri"] = f"{server.issuer.replace('127.0.0.1', 'localhost')}/.well-known/jwks"
        yield server


def filled(text: str, folder: Path, server: SimulatorServer) -> str:
    """An option as it is given here."""
    if text == "{origin}":
        return server.issuer.replace("127.0.0.1", "localhost")
    return str(folder / text[1:-1]) if text.startswith("{") else text


async def verify(invoke: Callable[..., Any], server: SimulatorServer, *options: str, **env: str) -> Any:
    """Ask the person."""
    of_the_eid = ("--eid", "se", "--call-initiator", "RP", "--message", "Hello")
    known = {"IDURA_CIBA_ISSUER": server.issuer, "IDURA_CIBA_CLIENT_ID": CLIENT, "IDURA_CIBA_SSN": SWEDE}
    return await asyncio.to_thread(invoke, "verify", *of_the_eid, *options, **known, **env)


@pytest.mark.sockets
@pytest.mark.parametrize("demand", DEMANDS.values(), ids=DEMANDS)
async def test_what_a_provider_demands_is_met_by_the_option_and_only_by_it(
    demand: Demand, invoke: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment variable, too."""
    monkeypatch.chdir(folder)
    key = str(folder / "key.pem")
    async with demanding(demand, folder) as server:
        options = [filled(option, folder, server) for option in demand.options]
        variables = {f"IDURA_CIBA_{name}": filled(text, folder, server) for name, text in demand.variables.items()}
        without = await verify(invoke, server, "--key-file", key)
        assert without.exit_code != 0
        given = await verify(invoke, server, "--key-file", key, *options)
        assert given.exit_code == 0, given.output
        assert (await verify(invoke, server, IDURA_CIBA_KEY_FILE=key, **variables)).exit_code == 0


@pytest.mark.sockets
@pytest.mark.parametrize("flag", [(), ("--send-client-id",), ("--no-send-client-id",)], ids=str)
async def test_the_client_id_stands_beside_the_assertion_or_not(
    flag: Sequence[str], invoke: Callable[..., Any], folder: Path
) -> None:
    """Some providers want it, and it can be left out."""
    async with demanding(Demand((), {}), folder) as server:
        ran = await verify(invoke, server, "--key-file", str(folder / "key.pem"), *flag)
        assert ran.exit_code == 0, ran.output
        assert isinstance(server.idura, Watched)
        forms = [request.body for request in server.idura.seen if request.method == "POST"]
    assert forms
    assert all((b"client_id=" in form) is (flag != ("--no-send-client-id",)) for form in forms)


@pytest.mark.sockets
@pytest.mark.parametrize(
    "options",
    [
        ("--client-auth", "tls", "--key-file", "{pair.pem}"),
        ("--client-auth", "tls", "--key-file", "{certificate-key.pem}", "--cert-file", "{certificate.pem}"),
        ("--client-auth", "self-signed-tls", "--key-file", "{pair.pem}"),
        ("--client-auth", "private-key", "--key-file", "{key.pem}", "--cert-file", "{pair.pem}"),
    ],
    ids=lambda options: " ".join(options[1::2]),
)
async def test_a_certificate_is_presented_to_a_provider_of_a_private_authority(
    options: Sequence[str], invoke: Callable[..., Any], folder: Path
) -> None:
    """Both for the documents and where the certificate is wanted; without --ca-file nothing is sent at all."""
    idura = Watched()
    jwks = PrivateKeyJwt.from_file(CLIENT, folder / "key.pem").public_jwks()
    registered: dict[str, dict[str, Any]] = {
        "tls": {"subject": "CN=client"},
        "self-signed-tls": {"certificate": MINE.der},
        "private-key": {"jwks": jwks},
    }
    idura.register_client(CLIENT, **registered[options[1]])
    idura.script(SWEDE, Script.approve())
    tls, mtls = server_context(SERVER, folder), server_context(SERVER, folder, clients=AUTHORITY)
    async with SimulatorServer(idura, tls=tls, mtls=mtls) as server:
        assert idura.mtls_address is not None
        given = [filled(option, folder, server) for option in (*options, "--trusted-origin", idura.mtls_address)]
        without = await verify(invoke, server, *given)
        assert without.exit_code == 1
        assert "--ca-file" in without.output
        assert idura.seen == []
        ran = await verify(invoke, server, *given, "--ca-file", str(folder / "authority.pem"))
        assert ran.exit_code == 0, ran.output
        doctor = await asyncio.to_thread(
            *(invoke, "doctor", "--probe", "--issuer", server.issuer, "--client-id", CLIENT),
            *(*given, "--ca-file", str(folder / "authority.pem")),
        )
    assert doctor.exit_code == 0, doctor.output
    presented = [request.certificate for request in idura.seen if request.method == "POST"]
    assert set(presented) == {MINE.der}


@pytest.mark.sockets
async def test_the_doctor_says_what_of_it_the_provider_supports(invoke: Callable[..., Any], folder: Path) -> None:
    """What its document lists, what it says nothing of, and what it contradicts."""
    async with demanding(Demand((), {}), folder) as server:
        common = ("--issuer", server.issuer, "--client-id", CLIENT, "--key-file", str(folder / "key.pem"))
        server.idura._metadata.update(
            id_token_signing_alg_values_supported=["RS256"],
            backchannel_authentication_request_signing_alg_values_supported=["ES256"],
        )
        ran = await asyncio.to_thread(invoke, "doctor", *common, "--sign-requests", "--dpop")
        other = await asyncio.to_thread(invoke, "doctor", *common, "--id-token-algorithm", "ES256")
    told = {line.split(":")[0].split(maxsplit=1)[1]: line for line in ran.stdout.splitlines() if ":" in line}
    assert "ID tokens signed by RS256" in told["supported"]
    assert "requests signed by ES256" in told["supported"]
    assert "DPoP signed by ES256" in told["not mentioned"]
    assert ran.exit_code == 0
    assert other.exit_code == 1
    assert "id_token_algorithms_unsupported" in other.stdout


# --- the options themselves -------------------------------------------------------------------------------------------


def settings_of(*args: str, **env: str) -> Settings:
    """What a command is told."""
    told: list[Settings] = []

    def command(settings: Settings) -> None:
        told.append(settings)

    app = typer.Typer()
    app.command()(takes_settings(command))
    result = CliRunner().invoke(app, args, env={f"IDURA_CIBA_{name}": text for name, text in env.items()})
    assert result.exit_code == 0, result.output
    return told[0]


def test_an_option_wins_over_its_variable_and_an_empty_variable_is_none() -> None:
    """As a compose file leaves one out."""
    assert settings_of("--guard", "1.5", GUARD="3").guard == 1.5
    empty = settings_of(GUARD="", DPOP="", SEND_CLIENT_ID="", ID_TOKEN_ALGORITHMS="", CA_FILE="", AUDIENCE="")
    assert empty == Settings()
    assert settings_of(SEND_CLIENT_ID="0").send_client_id is False
    assert settings_of("--no-send-client-id", SEND_CLIENT_ID="1").send_client_id is False


async def test_the_guard_reaches_the_last_poll(folder: Path) -> None:
    """Around the default, and around the strategy of a batch."""
    settings = settings_of("--guard", "1.5", "--issuer", "https://a.example", "--client-id", CLIENT)
    settings = evolve(settings, key_file=folder / "key.pem")
    async with settings.client() as ciba:
        assert isinstance(ciba.strategy, FinalPoll)
        assert ciba.strategy.distance == 1.5
    hazard = HazardAware()
    assert (settings.final_poll(hazard).inner, settings.final_poll(hazard).distance) == (hazard, 1.5)
    assert Settings().final_poll(hazard).distance == GUARD


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"method": "basic", "audience": "endpoint"}, "audience"),
        ({"method": "tls", "send_client_id": True}, "audience"),
        ({"request_alg": "PS256"}, "sign_requests"),
        ({"request_key_file": Path("key.pem")}, "sign_requests"),
        ({"sign_requests": True, "request_alg": "PS256"}, "alg_mismatch"),
        ({"ca_file": Path("missing.pem")}, "ca_file"),
        ({"ca_file": Path("key.pem")}, "ca_file"),
    ],
    ids=str,
)
def test_options_that_cannot_work_are_refused_before_anything_is_sent(
    options: dict[str, Any], code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not go together, and what cannot be read."""
    monkeypatch.chdir(folder)
    settings = Settings(issuer="https://a.example", client_id=CLIENT, key_file=Path("key.pem"))
    with pytest.raises(UsageError) as caught:
        evolve(settings, **options).client()
    assert caught.value.code == code
    assert "BEGIN" not in caught.value.what


@pytest.mark.sockets
@pytest.mark.parametrize("name", ["--cert-file", "--request-key-file", "--decryption-key-file", "--ca-file"])
def test_a_batch_overwrites_none_of_its_files(name: str, invoke: Callable[..., Any], folder: Path) -> None:
    """A slip of the keyboard must not cost a key."""
    people = folder / "people.csv"
    people.write_text("ssn\n209801011231\n")
    target = folder / "results.csv"
    ran = invoke("batch", str(people), "--out", str(target), "--eid", "no", "--dry-run", name, str(target))
    assert ran.exit_code == 2
    assert name in ran.output
