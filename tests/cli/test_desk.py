"""Tests of `idura-ciba desk`: as a process of its own that is stopped and killed, and what it refuses to begin with."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from attrs import define, field

from idura_ciba import UsageError
from idura_ciba.cli import desk as module
from idura_ciba.cli.desk import private_file, state_file
from idura_ciba.desk.book import day_file, new_id
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
    await desk.ask(eid="no", number=NO)
    printed = await desk.end(signal.SIGTERM)
    assert "the simulated provider has stopped too" in printed
    assert not store.exists()
    assert NO not in printed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "missing"),
        (["--simulate", "--state", "x"], "state"),
        (["--simulate", "--host", "::"], "web_host"),
        (["--simulate", "--host", "desk.example"], "web_host"),
        (["--simulate", "--host", "192.0.2.1", "--port", "0"], "web_host"),
        (["--simulate", "--eid-module", "no.such.module"], "eid_module"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_served(
    invoke: Callable[..., Any], arguments: list[str], code: str
) -> None:
    """With what to do."""
    ran = invoke("desk", "--no-open", *arguments)
    assert (ran.exit_code, f"[{code}]" in ran.stderr) == (2, True)


def test_without_the_extra_it_says_how_to_get_it(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else of the command works."""
    monkeypatch.setattr(module, "HAS_EXTRA", False)
    ran = invoke("desk", "--simulate")
    assert ran.exit_code == 2
    assert "[desk_extra]" in ran.stderr
    assert "idura_ciba[cli,desk]" in ran.stderr


@pytest.mark.parametrize(
    ("host", "names", "found"),
    [
        ("127.0.0.1", [], []),
        ("::1", [], []),
        ("localhost", ["desk.example"], []),
        ("192.0.2.1", [], ["192.0.2.1", "192.0.2.1:8701"]),
        ("2001:db8::1", [], ["[2001:db8::1]", "[2001:db8::1]:8701"]),
        ("::", ["desk.example"], ["desk.example", "desk.example:8701"]),
    ],
)
def test_beyond_this_machine_browsers_must_name_what_they_mean(host: str, names: list[str], found: list[str]) -> None:
    """So that no other name can be rebound to it."""
    assert sorted(module._public_hosts(host, 8701, names)) == found


def test_the_state_is_in_the_users_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the desktop says, or at its usual place."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert state_file() == tmp_path / "idura-ciba" / "desk.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    assert state_file().is_relative_to(Path.home())


@posix
def test_the_files_are_their_users_alone(tmp_path: Path) -> None:
    """Also where they have been there before; what cannot be a file is refused."""
    store = tmp_path / "state" / "desk.db"
    private_file(store)
    for path in (store, day_file(store)):
        path.chmod(0o644)
    private_file(store)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (store, day_file(store))} == {0o600}
    with pytest.raises(UsageError) as refused:
        private_file(tmp_path)
    assert refused.value.code == "state"
