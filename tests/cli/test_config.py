"""Tests of which tenant and which client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from idura_ciba import (
    CibaError,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    EidRequest,
    PrivateKeyJwt,
    UsageError,
)
from idura_ciba.cli.config import Settings
from idura_ciba.cli.keys import generate_key
from idura_ciba.credentials.environment import SECRET as SECRET_NAME
from idura_ciba.credentials.environment import Method
from tests.servers import http, serving

SECRET = "long enough for an HMAC of 256 bits"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own."""
    monkeypatch.delenv(SECRET_NAME, raising=False)


@pytest.fixture(name="key_file")
def _key_file(tmp_path: Path) -> Path:
    """A private key."""
    path = tmp_path / "key.pem"
    path.write_text(generate_key("ES256"))
    return path


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (None, ClientSecretBasic),
        ("basic", ClientSecretBasic),
        ("post", ClientSecretPost),
        ("secret-jwt", ClientSecretJwt),
    ],
)
def test_a_secret_proves_in_the_way_that_was_named(
    method: Method | None, kind: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the environment or from a file."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    assert isinstance(Settings(client_id="a", method=method, secret_file=str(path)).client_auth(), kind)
    monkeypatch.setenv(SECRET_NAME, SECRET)
    assert isinstance(Settings(client_id="a", method=method).client_auth(), kind)


def test_a_key_wins_over_a_secret(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Idura recommends is what happens where both are there, unless the other is named."""
    monkeypatch.setenv(SECRET_NAME, SECRET)
    settings = Settings(client_id="a", key_file=key_file, alg="ES256")
    assert isinstance(settings.client_auth(), PrivateKeyJwt)
    assert isinstance(Settings(client_id="a", key_file=key_file, method="post").client_auth(), ClientSecretPost)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Settings(issuer="https://a").client(), "No client id given"),
        (lambda: Settings(client_id="a").client(), "No issuer given"),
        (lambda: Settings(client_id="a").client_auth(), "No credential given"),
        (lambda: Settings(client_id="a", method="private-key").client_auth(), "No private key given"),
        (lambda: Settings(client_id="a", alg="RS256").client_auth(), "algorithm applies only to private keys"),
    ],
)
def test_what_is_missing_is_named(make: Callable[[], object], words: str) -> None:
    """The sentence says what to pass, by flag and by variable."""
    with pytest.raises(UsageError, match=words):
        make()


async def test_a_client_is_made_of_it(key_file: Path) -> None:
    """Nothing is sent before somebody asks."""
    async with Settings(issuer="https://a.example", client_id="urn:me", key_file=key_file).client() as client:
        assert repr(client) == "<CibaClient https://a.example as urn:me, 0 pending>"


def test_the_key_that_opens_tokens_is_loaded_before_anybody_is_asked(key_file: Path) -> None:
    """A missing one would cost a login that was approved."""
    settings = Settings(
        issuer="https://a.example", client_id="urn:me", key_file=key_file, decryption_key_file=Path("nowhere.pem")
    )
    with pytest.raises(UsageError) as caught:
        settings.client()
    assert caught.value.code == "key_file"


@pytest.mark.sockets
@pytest.mark.parametrize("bypass", ["", "127.0.0.1"])
async def test_the_command_obeys_the_proxies_of_its_environment(bypass: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every command does; the library alone does not. What NO_PROXY names is asked directly."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with serving(http()) as proxy, serving(http()) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", bypass)
        settings = Settings(issuer=server.url, client_id="urn:me", method="basic")
        monkeypatch.setenv(SECRET_NAME, SECRET)
        async with settings.client() as client:
            with pytest.raises(CibaError):  # neither is a provider
                await client.start(EidRequest(login_hint="x"))
        assert bool(proxy.requests) is not bool(bypass)
        assert bool(server.requests) is bool(bypass)
