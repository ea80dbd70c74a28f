"""Tests of the programs in docs/examples: the desk in a process of its own over sockets, the bot in a fake chat."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from attrs import define, field

from idura_ciba import NorwegianBankID, State
from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.desks import CLIENT_ID, CLIENT_SECRET, EXAMPLES, Desk, needs, needs_of, next_event
from tests.fakes import swede, swedish_number
from tests.logins import NORWEGIAN, MakeClient
from tests.pages import program
from tests.servers import free_port

# --- the desk ---------------------------------------------------------------------------------------------------------


@pytest.fixture(name="served")
async def _served(tmp_path: Path) -> AsyncIterator[tuple[SimulatedIdura, Desk]]:
    """A provider, and a desk that has not been started."""
    idura = SimulatedIdura(interval=1, expires_in=60, people=lambda _dice: Script.approve(50))
    idura.register_client(CLIENT_ID, secret=CLIENT_SECRET)
    async with SimulatorServer(idura) as server, Desk(server.issuer, tmp_path, free_port()) as desk:
        yield idura, desk


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.unmeasured
@pytest.mark.parametrize("name", ["aiohttp_desk", "fastapi_desk"])
async def test_a_desk_that_is_deployed_in_the_middle_of_a_login_loses_nothing(
    served: tuple[SimulatedIdura, Desk], name: str
) -> None:
    """SIGTERM during an open stream: it ends within a second, and the next process goes on with the login."""
    needs_of(name)
    idura, desk = served
    process = await desk.start(name)
    async with aiohttp.ClientSession(desk.url) as session:
        asked = {"call": "4711", "eid": "se", "number": swedish_number(0)}
        async with session.post("/logins", json=asked) as answer:
            assert (answer.status, await answer.json()) == (201, {"call": "4711", "words": None})
        async with session.post("/logins", json={**asked, "call": "4712"}) as answer:
            assert (answer.status, (await answer.json())["failed"]) == (409, "already_pending")
        async with session.get("/logins/nobody/events") as answer:
            assert answer.status == 404
        async with session.get("/logins/4711/events?language=sv") as stream:
            assert (await next_event(stream))[0] == "unknown"
            phase, said = await next_event(stream)
            assert (phase, said["text"]) == ("waiting", "Förfrågan är på väg till appen. Öppna appen i telefonen.")
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert await stream.content.read() == b""
            assert time.monotonic() - began < 1
    told, _ = await process.communicate()
    assert process.returncode in {0, -signal.SIGTERM}, told  # uvicorn raises the signal again when all is done
    assert time.monotonic() - began < 3
    pending = desk.folder / "pending.json"
    assert json.loads(pending.read_text()).keys() == {"4711"}
    assert pending.stat().st_mode & 0o777 == 0o600
    for record in idura.ledger.orders:
        record.decided_at = record.last_poll_at
    await desk.start(name)
    assert not pending.exists()
    async with aiohttp.ClientSession(desk.url) as session, session.get("/logins/4711/events") as stream:
        phases = [line.split()[1] async for line in stream.content if line.startswith(b"event")]
    assert phases[-1] == b"approved"
    assert len(idura.ledger.orders) == 1


# --- the bot ----------------------------------------------------------------------------------------------------------


@define
class FakeChat:
    """A chat platform's client that remembers what stands in each channel, by message."""

    messages: dict[str, list[list[str]]] = field(factory=dict)

    async def post(self, channel: str, text: str) -> str:
        """Post."""
        self.messages.setdefault(channel, []).append([text])
        return str(len(self.messages[channel]) - 1)

    async def edit(self, channel: str, message: str, text: str) -> None:
        """Edit; every version is kept."""
        self.messages[channel][int(message)].append(text)


async def test_a_bot_keeps_one_message_up_to_date_for_each_of_several_people(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Each phase once, the words to read on top, and the end last."""
    simulated_idura.script(swedish_number(0), Script.approve(after=30, opened_after=10, acknowledged_after=20))
    simulated_idura.script(swedish_number(1), Script.deny(after=9))
    simulated_idura.script(NORWEGIAN, Script.approve(after=9, shares_number=False))
    chat = FakeChat()
    async with make_ciba_client() as ciba:
        bot = program("examples/bot.py").Bot(ciba, chat)
        await bot.verify_all({"a": swede(0), "b": swede(1), "c": NorwegianBankID(NORWEGIAN)})
        assert ciba.pending == ()
    (versions,) = chat.messages["a"]
    assert len(versions) == len(set(versions)) == 6
    assert versions[-1] == "The identity is confirmed."
    assert chat.messages["b"][0][-1] == "The request was declined or cancelled in the app."
    message, note = chat.messages["c"]
    assert all(version.startswith("Read these words to the person: *") for version in message)
    assert note == ["Approved, but the eID did not say by whom."]


async def test_a_bot_can_be_told_to_stop(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """The message says what that means for the phone; a second try is told that the person is being asked."""
    simulated_idura.script(swedish_number(0), Script.never())
    chat = FakeChat()
    async with make_ciba_client() as ciba:
        bot = program("examples/bot.py").Bot(ciba, chat, "da")
        asking = asyncio.create_task(bot.verify("a", swede(0)))
        await asyncio.sleep(7)
        await bot.verify("b", swede(0))
        (login,) = ciba.pending
        await bot.cancel("a")
        await asking
        await bot.cancel("a")
        assert login.state is State.ABANDONED
    assert chat.messages["a"][0][-1].startswith("Vi er holdt op med at vente.")
    assert chat.messages["a"][1] == ["Nobody is being asked here."]
    assert chat.messages["b"] == [["This person is being asked already."]]


# --- the views --------------------------------------------------------------------------------------------------------

#: Runs the views in a process of their own, whose settings are its own; prints what each request is answered.
VIEWS = """
import sys
sys.path.insert(0, sys.argv[1])
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["testserver"], ROOT_URLCONF="__main__", SECRET_KEY="of the tests")
import django
django.setup()
from django.test import Client
from django.urls import path
import django_views
urlpatterns = [path("logins", django_views.start), path("logins/<str:call>", django_views.show)]
browser = Client()
def show(answer):
    print(answer.status_code, "".join(answer.content.decode().splitlines()), flush=True)
show(browser.post("/logins", {"call": "4711", "number": sys.argv[2]}, content_type="application/json"))
show(browser.get("/logins/nobody"))
show(browser.get("/logins/4711?language=da"))
sys.stdin.readline()
django_views.LOGINS["4711"].outcome()
show(browser.get("/logins/4711"))
"""


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.unmeasured
async def test_views_of_django_ask_and_show(served: tuple[SimulatedIdura, Desk]) -> None:
    """One request asks, the others look, and none of them has an event loop."""
    needs("django")
    idura, desk = served
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    process = await desk.run("-c", VIEWS, str(EXAMPLES), swedish_number(0), **pipes)
    assert process.stdout is not None
    assert process.stdin is not None
    said = [(await process.stdout.readline()).decode() for _ in range(3)]
    assert said[0] == '201 {"call": "4711"}\n'
    assert said[1].startswith("404 ")
    assert said[2] == '200 {"phase": "unknown", "text": "Venter p\\u00e5 svar fra telefonen."}\n'
    for record in idura.ledger.orders:
        record.decided_at = 0.0
    process.stdin.write(b"\n")
    told, trouble = await process.communicate()
    assert process.returncode == 0, trouble
    assert json.loads(told.decode().removeprefix("200 "))["phase"] == "approved"


# --- the notebook -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.unmeasured
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Each cell, on the loop that a notebook has."""
    needs("nbclient")
    needs("ipykernel")
    program = (
        "import nbformat, sys; from nbclient import NotebookClient; "
        "notebook = nbformat.read(sys.argv[1], 4); NotebookClient(notebook, timeout=120).execute(); "
        "print(''.join(output.get('text', '') for cell in notebook.cells for output in cell.get('outputs', [])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(EXAMPLES / "login.ipynb")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Identiteten er bekreftet." in done.stdout
