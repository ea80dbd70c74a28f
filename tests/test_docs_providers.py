"""Logs people in with the settings that the page on providers shows, at providers of the shape that it describes."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from attrs import field, frozen
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from idura_ciba import AiohttpTransport, CibaClient, CibaError, ClientSecretBasic, EidRequest, PrivateKeyJwt, State
from idura_ciba.cli.app import app
from idura_ciba.simulator import Rules, Script, SimulatedIdura, SimulatorServer
from tests.certificates import issue, server_context
from tests.fakes import private_key, public_jwk
from tests.logins import SWEDE, swedish
from tests.pages import DOCS, example

PAGE = (DOCS / "providers.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
#: What the settings are for, before the providers.
EXPLAINED = "What the settings are for"
EXAMPLES = {
    "idura": example("provider_idura"),
    "auth0": example("provider_auth0"),
    "okta": example("provider_okta"),
    "keycloak": example("provider_keycloak"),
    "curity": example("provider_curity"),
    "pingfederate": example("provider_pingfederate"),
    "signicat": example("provider_signicat"),
    "telenor": example("provider_telenor"),
    "signaturgruppen": example("provider_signaturgruppen"),
    "camara": example("provider_camara"),
}
SECRET = "a secret of the tests, long enough"
AUTHORITY = issue("authority")
SERVER = issue("127.0.0.1", nth=1, by=AUTHORITY)


@frozen
class Shape:
    """A provider as the page describes it.

    Attributes:
        heading: Its section of the page.
        client_id: As registered.
        audience: What it accepts as `aud` of assertions.
        signing_alg: What it signs ID tokens by.
        request_alg: By what authentication requests must be signed, if they must.
        metadata: What its document says.
        key: The kind of the client's key; None: it has a secret.
        slash: Whether the issuer ends with one.
        tls: Whether it stands behind an authority of its own.
        plain: The client with nothing but its credential set, where that does not work.
    """

    heading: str
    client_id: str = field(default="my-client", kw_only=True)
    audience: str = "issuer"
    signing_alg: Any = "RS256"
    request_alg: str | None = None
    metadata: Mapping[str, object] = field(factory=dict)
    key: str | None = "RSA"
    slash: bool = False
    tls: bool = False
    plain: Callable[[str, str], CibaClient] | None = None


def plain(alg: str | None = None, *, strip: bool = False) -> Callable[[str, str], CibaClient]:
    """A client with a key and the defaults."""

    def connect(issuer: str, key_file: str) -> CibaClient:
        auth = PrivateKeyJwt.from_file("my-client", key_file, alg=alg)
        return CibaClient(issuer.rstrip("/") if strip else issuer, auth)

    return connect


def with_basic(issuer: str, secret: str) -> CibaClient:
    """A client with a secret and the defaults."""
    return CibaClient(issuer, ClientSecretBasic("my-client", secret))


_POLL = {"backchannel_token_delivery_modes_supported": ["poll"]}
_METHODS = "token_endpoint_auth_methods_supported"
_REQUESTS = "backchannel_authentication_request_signing_alg_values_supported"

SHAPES = {
    "idura": Shape("Idura", client_id="urn:my:application", metadata={_METHODS: None}),
    "auth0": Shape("Auth0", metadata=_POLL, slash=True, plain=plain(strip=True)),
    "okta": Shape("Okta", audience="endpoint", metadata=_POLL, plain=plain()),
    "keycloak": Shape(
        "Keycloak",
        metadata={"backchannel_token_delivery_modes_supported": ["poll", "ping"], _REQUESTS: ["PS256", "ES256"]},
        tls=True,
        plain=plain(),
    ),
    "curity": Shape("Curity", request_alg="PS256", metadata={_REQUESTS: ["PS256"]}, plain=plain("PS256")),
    "pingfederate": Shape("PingFederate", signing_alg="ES256", key="P-256", plain=plain()),
    "signicat": Shape("Signicat", key=None),
    "telenor": Shape("Telenor ID+", key=None, metadata={_METHODS: ["client_secret_basic", "client_secret_post"]}),
    "signaturgruppen": Shape(
        "Signaturgruppen MitID", key=None, metadata={_METHODS: ["client_secret_post"]}, plain=with_basic
    ),
    "camara": Shape(
        "CAMARA operators",
        audience="endpoint",
        request_alg="RS256",
        metadata={**_POLL, _METHODS: ["private_key_jwt"]},
        plain=plain(),
    ),
}


@asynccontextmanager
async def provider(shape: Shape, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """The provider on this machine: its issuer, and the client's key file or secret."""
    idura = SimulatedIdura(seed=1, interval=1, signing_alg=shape.signing_alg, metadata=dict(shape.metadata))
    credential, key_file = SECRET, folder / "key.pem"
    if shape.key is None:
        idura.register_client(shape.client_id, secret=SECRET)
    else:
        key = private_key(shape.key)
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key_file.chmod(0o600)
        # Of a FAPI shape: the same key signs both, as the alg of the client says.
        jwks = {"keys": [public_jwk(key)]}
        idura.register_client(shape.client_id, jwks=jwks, request_alg=shape.request_alg)
        credential = str(key_file)
    (folder / "authority.pem").write_text(AUTHORITY.certificate)
    tls = server_context(SERVER, folder) if shape.tls else None
    async with SimulatorServer(idura, tls=tls) as server:
        issuer = f"{server.issuer}/" if shape.slash else server.issuer
        paths = ("/ciba/bc-authorize", "/oauth2/token")
        endpoints = frozenset(f"{server.issuer}{path}" for path in paths)
        audiences = endpoints if shape.audience == "endpoint" else frozenset({issuer})
        idura._rules = Rules(accepted_audiences=audiences)
        idura._metadata["issuer"] = issuer
        idura.script(SWEDE, Script.approve(claims={"iss": issuer}))
        yield issuer, credential


async def outcome(ciba: CibaClient) -> State:
    """How a login ends; one that could not begin has failed."""
    async with ciba:
        try:
            transaction = await ciba.start(swedish())
        except CibaError:
            return State.FAILED
        return (await transaction.outcome()).state


@pytest.mark.sockets
@pytest.mark.parametrize("name", SHAPES)
async def test_the_documented_settings_log_people_in(name: str, tmp_path: Path) -> None:
    """And only they, where the page says that they are needed."""
    shape, connect = SHAPES[name], EXAMPLES[name]["connect"]
    async with provider(shape, tmp_path) as (issuer, credential):
        if shape.plain is not None:
            assert await outcome(shape.plain(issuer, credential)) is not State.APPROVED
        if shape.tls:
            async with AiohttpTransport(ca_file=tmp_path / "authority.pem") as transport:
                assert await outcome(connect(issuer, credential, transport)) is State.APPROVED
        else:
            assert await outcome(connect(issuer, credential)) is State.APPROVED


@pytest.mark.sockets
@pytest.mark.parametrize("name", SHAPES)
async def test_the_documented_options_do_the_same(name: str, tmp_path: Path) -> None:
    """The provider accepts the credentials, and its document contradicts nothing."""
    shape = SHAPES[name]
    (line,) = re.findall(r"```sh\nidura-ciba (.*)\n```", SECTIONS[shape.heading])
    given = shlex.split(line)
    async with provider(shape, tmp_path) as (issuer, credential):
        placed = {"--issuer": issuer, "--key-file": credential, "--ca-file": str(tmp_path / "authority.pem")}
        for option, value in placed.items():
            if option in given:
                given[given.index(option) + 1] = value
        env = {"IDURA_CIBA_CLIENT_SECRET": SECRET if shape.key is None else ""}
        ran = await asyncio.to_thread(CliRunner().invoke, app, [*given, "--probe"], env=env)
    assert ran.exit_code == 0, ran.output
    assert "probe: the provider accepts the credentials" in ran.output
    assert "[signed_requests_required]" not in ran.output
    assert ("--sign-requests" in given) is (shape.request_alg is not None)


ASKED = {
    "idura": ("209801011231",),
    "auth0": ("https://acme.auth0.com/", "auth0|4711"),
    "okta": ("kim@acme.example",),
    "keycloak": ("kim",),
    "curity": ("kim",),
    "pingfederate": ("kim",),
    "signicat": ("0e99b25c", "20874199"),
    "telenor": ("+4790000000",),
    "signaturgruppen": ("8a9856e0-f12d-4217-b320-c8a076be9320", "192.0.2.1"),
    "camara": ("+34666666666",),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_documented_request_can_be_sent(name: str) -> None:
    """It names somebody, and shows nobody."""
    request = EXAMPLES[name]["ask"](*ASKED[name])
    assert isinstance(request, EidRequest)
    assert request.login_hint or request.login_hint_token
    assert not any(asked in repr(request) for asked in ASKED[name])


def test_each_provider_has_its_settings_its_sources_and_its_gaps() -> None:
    """Nothing is claimed without saying where it stands."""
    assert list(SECTIONS) == [EXPLAINED, *(shape.heading for shape in SHAPES.values())]
    for shape in SHAPES.values():
        section = SECTIONS[shape.heading]
        rows = re.findall(r"^\| (?!Fact|---)(.+) \| (.+) \|$", section, re.MULTILINE)
        assert len(rows) >= 3, shape.heading
        assert re.search(r"\]\(https://", rows[0][1]), shape.heading
        for fact, source in rows:
            assert re.search(r"\]\(https://|^the same|^issues [a-z0-9-]+/", source), fact
        assert "ould not be checked: " in " ".join(section.split()), shape.heading


def test_each_option_of_the_page_is_one_of_the_command() -> None:
    """With the variable that stands beside it."""
    command: Any = typer.main.get_command(app)
    known = {
        name: parameter.envvar
        for parameter in command.commands["doctor"].params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    table = SECTIONS[EXPLAINED]
    options, variables = set(re.findall(r"`(--[a-z-]+)", table)), set(re.findall(r"`(IDURA_CIBA_[A-Z_]+)`", table))
    assert options <= set(known)
    assert variables == {known[name] for name in options}
    commands = "\n".join(re.findall(r"^idura-ciba .*$", PAGE, re.MULTILINE))
    assert set(re.findall(r"--[a-z-]+", commands)) <= set(known)
