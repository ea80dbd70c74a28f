"""Tests of `idura-ciba desk` as a process of its own, which is stopped and killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
from pathlib import Path
from typing import Self

import pytest
from attrs import define, field

from idura_ciba.cli.simulated import NAME
from idura_ciba.desk.book import new_id
from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.browsers import Browser
from tests.cli.conftest import CLIENT_ID, SECRET

SE, NO = "209801011231", "01023990128"
posix = pytest.mark.skipif(os.name != "posix", reason="the modes and the signals of POSIX")


@define
class Command:
    """A desk as a process, and a browser that was let in."""

    process: asyncio.subprocess.Process
    browser: Browser = field(factory=lambda: Browser(""))
    said: str = ""

    @classmethod
    async def start(cls, *arguments: str, **env: str) -> Self:
        """Start one, and open what it has printed."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IDURA_CIBA_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "idura_ciba.cli", "desk", "--no-open", "--port", "0", *arguments),
            env={**clean, **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        command = cls(process)
        assert process.stdout is not None
        while "http://" not in command.said:
            line = (await process.stdout.readline()).decode()
            assert line, (await process.communicate())[1].decode()
            command.said += line
        address = re.findall(r"http://\S+", command.said)[0]
        command.browser = Browser(address.partition("/desk/")[0])
        await command.browser.open(address)
        (command.browser.csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', await command.page()))
        return command

    async def page(self) -> str:
        """What the agent sees."""
        return (await self.browser.get("/desk/")).text

    async def ask(self, **fields: str) -> str:
        """Send the form; the id of the login."""
        id_ = new_id()
        answer = await self.browser.post("/desk/start", {"id": id_, **fields})
        assert answer.headers["location"] == f"./#call-{id_}"
        return id_

    async def shows(self, text: str) -> str:
        """The page, once it has this text."""
        async with self.browser.listening("/desk/events/en") as events:
            while True:
                shown = await events.shown()
                if text in shown["html"]:
                    return shown["html"]

    async def end(self, how: signal.Signals) -> str:
        """Stop it; all that it has printed."""
        self.process.send_signal(how)
        out, err = await self.process.communicate()
        return self.said + (out + err).decode()


@posix
@pytest.mark.slow
@pytest.mark.sockets
async def test_a_desk_that_is_killed_and_started_again_loses_nobody(tmp_path: Path) -> None:
    """One answers while it is away, one afterwards; nobody is rung twice, and no file says who they are."""
    idura = SimulatedIdura(interval=1)
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(SE, Script.approve(after=2, claims={"name": "Testina Provholm"}))
    idura.script(NO, Script.never())
    store = tmp_path / "state" / "desk.db"
    async with SimulatorServer(idura) as server:
        options = ("--issuer", server.issuer, "--client-id", CLIENT_ID, "--state", str(store))
        env = {"IDURA_CIBA_CLIENT_SECRET": SECRET}
        desk = await Command.start(*options, **env)
        await desk.ask(eid="se", number=SE, o_call_initiator="user", message="Secret message", note="Case 17")
        await desk.ask(eid="no", number=NO)
        words = re.findall(r'class="words" lang="no">([^<]+)<', await desk.page())
        printed = await desk.end(signal.SIGKILL)
        again = await Command.start(*options, **env)
        shown = await again.shows("Testina Provholm")
        assert "Case 17" in shown
        assert "Confirmed" in shown
        assert re.findall(r'class="words" lang="no">([^<]+)<', await again.page()) == words
        printed += await again.end(signal.SIGTERM)
        assert again.process.returncode == 0
        third = await Command.start(*options, **env)
        assert "Testina Provholm" in await third.page()
        printed += await third.end(signal.SIGINT)
    assert len(idura.ledger.orders) == 2
    assert "1 call still open" in printed
    assert "Start it again within" in printed
    files = b"".join(path.read_bytes() for path in store.parent.iterdir())
    for secret in (SE, SE[2:], NO, "Secret message", "Case 17", "Testina", words[0]):
        assert secret.encode() not in files
        assert secret not in printed
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(store.parent.stat().st_mode) == 0o700


@posix
@pytest.mark.slow
@pytest.mark.sockets
async def test_a_trial_says_that_it_is_one_and_keeps_nothing(tmp_path: Path) -> None:
    """On the page and in the terminal; what is open when it stops is gone."""
    store = tmp_path / "idura-ciba"
    desk = await Command.start("--simulate", XDG_STATE_HOME=str(tmp_path))
    assert "nobody is really asked" in await desk.page()
    assert 'href="../phone/"' in await desk.page()
    assert (await desk.browser.get("/phone/")).status == 200
    await desk.ask(eid="no", number=NO)
    phones = await desk.browser.get("/phone/")
    assert f"{NAME} wants to know who you are" in phones.text
    printed = await desk.end(signal.SIGTERM)
    assert "the simulated provider has stopped too" in printed
    assert not store.exists()
    assert NO not in printed
