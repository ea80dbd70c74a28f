"""Tests of `idura-ciba simulate`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from idura_ciba import CibaClient, ClientSecretBasic, FrejaID, PrivateKeyJwt, UsageError
from idura_ciba.cli.keys import generate_key
from idura_ciba.cli.phones import phone_page
from idura_ciba.cli.simulate import Chronicle, serve
from idura_ciba.cli.simulated import CLIENT_ID, NAME
from idura_ciba.eids import EIDS
from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import Ledger, OrderRecord, Script, SimRequest, SimulatedIdura

SE = "209801011231"


def order(number: int, **fields: Any) -> OrderRecord:
    """A page of the books."""
    defaults: dict[str, Any] = {"eid": "se", "client_id": "a", "person": SE, "started_at": 0.0, "expires_at": 20.0}
    return OrderRecord(number=number, **{**defaults, **fields})


def test_the_chronicle_tells_each_event_once() -> None:
    """Beginnings, ends and refusals, without anybody's number."""
    ledger = Ledger()
    chronicle = Chronicle(ledger)
    assert list(chronicle.lines(0.0)) == []
    first, second = order(1), order(2, eid="no", polls=3, slow_downs=1)
    ledger.orders += [first, second]
    assert list(chronicle.lines(1.0)) == [
        "order 1, Swedish BankID: started, expires in 20 s",
        "order 2, Norwegian BankID: started, expires in 20 s",
    ]
    assert list(chronicle.lines(1.5)) == []
    second.end("approved", 4.0)
    ledger.totals.rejected_clients = 2
    assert list(chronicle.lines(4.1)) == [
        "client authentication failed: 2 requests refused",
        "order 2, Norwegian BankID: approved after 4.0 s, 3 polls, 1 of them too early",
    ]
    ledger.orders.append(order(3, eid="freja", outcome="cancelled", collided=True))
    assert list(chronicle.lines(20.0)) == [
        "order 3, FrejaID: started, expires in 20 s",
        "order 1, Swedish BankID: expired after 20.0 s, 0 polls",
        "order 3, FrejaID: cancelled, 0 polls, because a second order came for the same person",
    ]
    assert list(chronicle.lines(30.0)) == []


@pytest.mark.sockets
async def test_it_serves_until_it_is_stopped(paper: Callable[..., Any]) -> None:
    """A client finds it with what it prints, and it tells of the order."""
    sheet = paper()
    idura = SimulatedIdura(people=lambda _dice: Script.approve())
    idura.register_client("urn:a", secret="hush")
    serving = asyncio.create_task(serve(idura, port=0, client_id="urn:a", secret="hush", console=sheet.console))
    await sheet.until("verify --eid")
    told = dict(line.split("export ")[1].split("=", 1) for line in sheet.lines if "export" in line)
    assert told["IDURA_CIBA_CLIENT_ID"] == "urn:a"
    auth = ClientSecretBasic(told["IDURA_CIBA_CLIENT_ID"], told["IDURA_CIBA_CLIENT_SECRET"])
    async with CibaClient(told["IDURA_CIBA_ISSUER"], auth) as client:
        (await client.start(FrejaID(SE))).abandon()
    await sheet.until("order 1")
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert sheet.lines[-1] == "order 1, FrejaID: started, expires in 120 s"


@pytest.mark.sockets
async def test_it_tells_where_the_phones_are(paper: Callable[..., Any]) -> None:
    """On a line of its own, with the secret that lets in."""
    sheet, hands = paper(), Hands()
    idura = SimulatedIdura(people=hands)
    page = phone_page(idura, hands, EIDS, port=0)
    serving = asyncio.create_task(
        serve(idura, port=0, client_id="urn:a", secret="hush", console=sheet.console, page=page)
    )
    await sheet.until("/phone/?key=")
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert re.fullmatch(r"  http://127\.0\.0\.1:\d+/phone/\?key=[\w-]{43}", sheet.lines[-1])


@pytest.mark.sockets
async def test_a_port_that_is_taken_is_told(paper: Callable[..., Any]) -> None:
    """Another program has it: a sentence, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Cannot listen on port {port}: .* in use"):
            await serve(SimulatedIdura(), port=port, client_id="a", secret=None, console=paper().console)


class Served:
    """What the command would have served."""

    idura: SimulatedIdura
    options: dict[str, Any]


@pytest.fixture(name="served")
def _served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """Take what the command would serve, and press Ctrl-C."""
    served = Served()

    async def serve(idura: SimulatedIdura, **options: Any) -> None:
        served.idura, served.options = idura, options

    def run(main: Coroutine[Any, Any, None]) -> None:
        with pytest.raises(StopIteration):
            main.send(None)
        raise KeyboardInterrupt

    monkeypatch.setattr("idura_ciba.cli.simulate.serve", serve)
    monkeypatch.setattr(asyncio, "run", run)
    return served


def test_the_secret_is_new_each_time(invoke: Callable[..., Any], served: Served) -> None:
    """Unless it is named."""
    assert invoke("simulate").exit_code == 0
    first = served.options["secret"]
    assert served.options["port"] == 8700
    assert invoke("simulate", "--client-secret", "hush", "--port", "0", "--client-id", "me").exit_code == 0
    assert (served.options["secret"], served.options["port"], served.options["client_id"]) == ("hush", 0, "me")
    assert first != "hush"
    assert len(first) > 30


def test_keys_can_be_registered(invoke: Callable[..., Any], served: Served, tmp_path: Path) -> None:
    """What `keygen` writes is what a client with a key needs."""
    auth = PrivateKeyJwt("me", generate_key("ES256"))
    (tmp_path / "jwks.json").write_text(json.dumps(auth.public_jwks()))
    ran = invoke("simulate", "--jwks", str(tmp_path / "jwks.json"), "--client-id", "me")
    assert ran.exit_code == 0
    assert served.options["secret"] is None


@pytest.mark.parametrize(
    ("arguments", "at_first", "with_page", "page"),
    [
        ((), False, True, True),
        (("--phone", "--phone-port", "0"), False, True, True),
        (("--no-phone",), False, True, False),
        (("--by-hand",), True, True, True),
        (("--approve-after", "3"), False, False, True),
    ],
)
def test_people_are_played_from_when_the_page_is_opened(
    arguments: tuple[str, ...], at_first: bool, with_page: bool, page: bool, invoke: Callable[..., Any], served: Served
) -> None:
    """Or from the beginning; and never, where they are told what to do."""
    assert invoke("simulate", *arguments).exit_code == 0
    assert (served.options["page"] is not None) == page
    hands = served.idura._people
    assert isinstance(hands, Hands)
    assert hands.by_hand == at_first
    hands.page_opened()
    assert hands.by_hand == with_page


def test_without_the_page_it_says_how_to_get_it(
    invoke: Callable[..., Any], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And serves all the same; whoever does not want it is told nothing."""
    monkeypatch.setattr("idura_ciba.cli.simulate.phone_page", lambda *_args, **_options: None)
    ran = invoke("simulate")
    assert (ran.exit_code, served.options["page"]) == (0, None)
    assert "run: pip install 'idura_ciba[desk]'" in ran.stderr
    assert "pip" not in invoke("simulate", "--no-phone").stderr


@pytest.mark.parametrize("other", [("--approve-after", "3"), ("--no-phone",)])
def test_who_plays_cannot_be_said_twice(other: tuple[str, ...], invoke: Callable[..., Any]) -> None:
    """Nobody would ever answer, or not those who should."""
    ran = invoke("simulate", "--by-hand", *other)
    assert ran.exit_code == 2
    assert "Leave out --approve-after and --no-phone" in " ".join(ran.stderr.split())


@pytest.mark.parametrize("content", ["[]", "no JSON", '{"keys": [{"kty": "RSA"}]}'])
def test_a_useless_key_set_is_refused(content: str, invoke: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever the key library thinks of it, one sentence is told."""
    (tmp_path / "jwks.json").write_text(content)
    ran = invoke("simulate", "--jwks", str(tmp_path / "jwks.json"))
    assert ran.exit_code == 2
    assert "is not a usable key set" in ran.stderr


@pytest.mark.parametrize(("arguments", "unlike"), [(("--approve-after", "3"), False), ((), True)])
def test_people_approve_or_are_a_crowd(
    arguments: tuple[str, ...], unlike: bool, invoke: Callable[..., Any], served: Served
) -> None:
    """The settings reach the provider."""
    assert invoke("simulate", "--expires-in", "600", "--interval", "2", *arguments).exit_code == 0
    orders = [place(served, 30 * number) for number in range(20)]
    assert {order.expires_at - order.started_at for order in orders} == {600.0}
    ends = {(order.decision, order.decided_at and order.decided_at - order.started_at) for order in orders}
    assert (len(ends) > 10) == unlike
    assert unlike or ends == {("approved", 3.0)}


@pytest.mark.parametrize(("client_id", "said"), [(CLIENT_ID, NAME), ("urn:mine", "urn:mine")])
def test_a_phone_says_who_asks(client_id: str, said: str, invoke: Callable[..., Any], served: Served) -> None:
    """By a name that a caller understands, unless the client is one's own."""
    assert invoke("simulate", "--client-id", client_id).exit_code == 0
    place(served, 0, client_id)
    (prompt,) = served.idura.phones.prompts(0)
    assert prompt.client == said


def place(served: Served, now: float, client_id: str = CLIENT_ID) -> OrderRecord:
    """Order a prompt at the provider that would have been served."""
    request = FrejaID(phone=f"+4670{now:07.0f}")
    secret = ClientSecretBasic(client_id, served.options["secret"])
    credentials = secret.credentials(issuer="", endpoint="", now=0, jti="")
    headers = {**credentials.headers, "Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode(request.parameters()).encode()
    reply = served.idura.handle(SimRequest("POST", "/ciba/bc-authorize", headers, body), now=now)
    assert reply.status == 200
    return served.idura.ledger.orders[-1]


@pytest.mark.sockets
async def test_ctrl_c_stops_the_process() -> None:
    """SIGINT, as the terminal sends it, is the way to end it: exit code 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "idura_ciba.cli", "simulate", "--port", "0"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"listens at http://127.0.0.1:" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert process.returncode == 0
    assert stderr == b"Stopped.\n"
