"""Tests of `idura-ciba demo --web`: one server with an agent's desk, the people's phones, and both side by side."""

from __future__ import annotations

import asyncio
import builtins
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba.cli.web_demo import MESSAGE, NAME, staged
from idura_ciba.desk.book import new_id
from tests.browsers import TYPED, Browser

SWEDE = "209801011231"

sockets = pytest.mark.sockets


async def enter(address: str) -> Browser:
    """A browser that was let in."""
    browser = Browser(address.partition("/?")[0])
    await browser.open(address)
    return browser


@sockets
async def test_desk_and_phones_are_pages_of_one_server() -> None:
    """The policy lets them frame each other, as long as they come from the same origin."""
    async with staged() as address:
        browser = await enter(address)
        stage = await browser.get("/", **TYPED)
        assert re.findall(r'<iframe[^>]* src="([^"]+)"', stage.text) == ["desk/", "phone/"]
        assert "frame-ancestors 'self'" in stage.headers["content-security-policy"]
        frame = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
        for page in ("/desk/", "/phone/", "/static/stage.css", "/static/stage.js"):
            assert (await browser.get(page, **frame)).status == 200
        stranger = Browser(browser.origin)
        for page in ("/", "/desk/", "/phone/", "/static/stage.css"):
            assert (await stranger.get(page)).status == 403


@sockets
async def test_whoever_is_asked_at_the_desk_has_a_phone_that_waits_for_its_player() -> None:
    """It says who asks, and nothing happens by itself."""
    async with staged() as address:
        browser = await enter(address)
        page = (await browser.get("/desk/")).text
        assert MESSAGE in page
        (browser.csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
        fields = {"id": new_id(), "eid": "se", "number": SWEDE, "o_call_initiator": "user", "message": MESSAGE}
        assert (await browser.post("/desk/start", fields)).status == 303
        phones = (await browser.get("/phone/")).text
        assert f"{NAME} wants to know who you are" in phones
        assert SWEDE not in (await browser.get("/desk/")).text


@sockets
@pytest.mark.slow
async def test_the_command_prints_the_address_and_ends_when_it_is_told_to() -> None:
    """Ctrl-C is the usual way out, and no fault."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "idura_ciba.cli", "demo", "--web", "--no-open"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(3)]
    browser = await enter(lines[1].strip())
    assert (await browser.get("/")).status == 200
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
    assert "Nobody is really asked" in lines[2]


@pytest.mark.parametrize("library", ["jinja2", "aiohttp_sse"])
def test_without_the_extra_it_says_how_to_get_it(
    library: str, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain demo works without."""
    _hide(library, monkeypatch)
    ran = invoke("demo", "--web", "--no-open")
    assert ran.exit_code == 2
    assert "[desk_extra]" in ran.stderr
    assert "pip install 'idura_ciba[desk]'" in ran.stderr


def test_another_missing_module_is_a_fault(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """To install the extra would not help."""
    _hide("idura_ciba.desk.app", monkeypatch)
    assert invoke("demo", "--web", "--no-open").exit_code == 1


def _hide(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [*sys.modules]:
        if re.match(r"(idura_ciba\.(web|desk|phone|cli\.web_demo)|jinja2|aiohttp_sse)\b", module):
            monkeypatch.delitem(sys.modules, module)
    real = builtins.__import__

    def refuse(wanted: str, *args: Any, **kwargs: Any) -> Any:
        if wanted == name:
            raise ModuleNotFoundError(name=name)
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
