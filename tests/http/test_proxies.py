"""Tests of the environment's proxies: who they are for, and what they are told."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from yarl import URL

from idura_ciba.http.proxies import MAX_ORIGINS, Proxies
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.protocol.http import HttpRequest
from tests.servers import failure, http, serving


@pytest.fixture(autouse=True)
def _no_other_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own."""
    for name in ("no_proxy", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def write_netrc(tmp_path: Path, content: str) -> None:
    """What the environment knows of passwords."""
    netrc = tmp_path / "netrc"
    netrc.write_text(content)
    netrc.chmod(0o600)


async def find(address: str) -> str | None:
    """The proxy for an address."""
    found = await Proxies().find(URL(address))
    return None if found is None else str(found)


async def test_each_scheme_has_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those hosts that want none have none."""
    monkeypatch.setenv("https_proxy", "http://secure.test:3128")
    monkeypatch.setenv("no_proxy", "own.test")
    assert await find("https://acme.test/x") == "http://secure.test:3128"
    assert await find("http://acme.test/x") is None
    assert await find("https://own.test/x") is None


@pytest.mark.parametrize(
    ("netrc", "proxy"),
    [
        ("machine secure.test login us password them", "http://us:them@secure.test:3128"),
        ("default login us password them", "http://us:them@secure.test:3128"),
        ("machine other.test login us password them", "http://secure.test:3128"),
        ("machine", "http://secure.test:3128"),
        (None, "http://secure.test:3128"),
    ],
)
async def test_netrc_knows_the_password_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, netrc: str | None, proxy: str
) -> None:
    """Where the address has none of its own; a file that is missing or broken is none."""
    if netrc is not None:
        write_netrc(tmp_path, netrc)
    monkeypatch.setenv("https_proxy", "http://secure.test:3128")
    assert await find("https://acme.test/x") == proxy
    monkeypatch.setenv("https_proxy", "http://me:you@secure.test:3128")
    assert await find("https://acme.test/x") == "http://me:you@secure.test:3128"


async def test_what_was_found_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each origin, and not without end."""
    monkeypatch.setenv("https_proxy", "http://one.test:1")
    proxies = Proxies()
    assert str(await proxies.find(URL("https://acme.test/x"))) == "http://one.test:1"
    monkeypatch.setenv("https_proxy", "http://two.test:2")
    assert str(await proxies.find(URL("https://acme.test/y"))) == "http://one.test:1"
    for nth in range(MAX_ORIGINS):
        await proxies.find(URL(f"https://acme-{nth}.test/"))
    assert str(await proxies.find(URL("https://acme.test/x"))) == "http://two.test:2"


@pytest.mark.sockets
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_environment_is_read_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, trusted: bool
) -> None:
    """A proxy in the environment sees nothing unless `trust_env` says so, and netrc gives no server credentials."""
    write_netrc(tmp_path, "machine elsewhere.test login somebody password something")
    async with serving(http()) as proxy, serving(http()) as server, AiohttpTransport(trust_env=trusted) as transport:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await transport.send(server.request(headers={}))
    assert (len(proxy.requests), len(server.requests)) == ((1, 0) if trusted else (0, 1))
    for head, _ in (*server.requests, *proxy.requests):
        assert "\r\nauthorization:" not in head.lower()
    for head, _ in proxy.requests:
        assert head.startswith("POST http://127.0.0.1:")


@pytest.mark.sockets
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_proxy_of_the_environment_is_told_its_credentials(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """And nobody else is; a second request over the same connection tells them again."""
    told = f"Basic {base64.b64encode(b'somebody:something').decode()}"
    async with serving(http()) as proxy, AiohttpTransport(trust_env=True) as transport:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://somebody:something@"))
        for _ in range(2):
            await transport.send(HttpRequest(method, "http://127.0.0.1:9/x"))  # type: ignore[arg-type]
    assert len(proxy.requests) == 2
    for head, _ in proxy.requests:
        assert head.startswith(f"{method} http://127.0.0.1:9/x HTTP/1.1\r\n")
        assert re.findall(r"Proxy-Authorization: (.*)\r\n", head) == [told]
        assert "\r\nauthorization:" not in head.lower()


@pytest.mark.sockets
async def test_a_tunnel_is_told_its_credentials_and_the_server_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses to connect: nothing of the form has left."""
    refusal = http(b"", status="403 Forbidden")
    async with serving(refusal) as proxy, AiohttpTransport(trust_env=True) as transport:
        monkeypatch.setenv("https_proxy", proxy.url.replace("http://", "http://somebody:something@"))
        error = await failure(transport, HttpRequest("POST", "https://acme.test/x", body=b"a=b"))
    assert (error.code, error.maybe_sent) == ("connection", False)
    ((head, body),) = proxy.requests
    assert head.startswith("CONNECT acme.test:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic " in head
    assert body == b""
