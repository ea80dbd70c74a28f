"""`idura-ciba simulate`: a provider on this machine, for clients in any language."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from idura_ciba import ArgumentError
from idura_ciba.cli.eids import EidModuleOption, known_eids
from idura_ciba.cli.files import read_secret
from idura_ciba.cli.phones import INSTALL, PhonePage, phone_page
from idura_ciba.cli.simulated import CLIENT_ID, known_phones
from idura_ciba.cli.text import OUT, counted, say
from idura_ciba.eids import EIDS, Eids
from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import Crowd, Ledger, OrderRecord, Script, SimulatedIdura, SimulatorServer

__all__ = ["Chronicle", "serve", "simulate"]

#: No well-known service has it.
PORT = 8700
#: Seconds between two looks at the provider's books.
LOOK = 0.2


def simulate(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 for any free one.")] = PORT,
    seed: Annotated[int, typer.Option(help="Seed of the made-up names, words and behaviour.")] = 0,
    approve_after: Annotated[
        float | None,
        typer.Option(min=0.0, help="Everyone approves after this many seconds; by default people differ."),
    ] = None,
    expires_in: Annotated[int | None, typer.Option(min=1, help="Lifetime of a prompt in seconds.")] = None,
    interval: Annotated[int | None, typer.Option(min=1, help="Minimum seconds between polls.")] = None,
    client_id: Annotated[str, typer.Option(help="Client id of the only client.")] = CLIENT_ID,
    client_secret: Annotated[str | None, typer.Option(help="Its secret; by default a new random one.")] = None,
    jwks: Annotated[
        Path | None, typer.Option(help="Its public key set instead, as `idura-ciba keygen` writes it.")
    ] = None,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Nobody does anything until you do it on their phone.")
    ] = False,
    phone: Annotated[
        bool | None,
        typer.Option("--phone/--no-phone", help="Serve the page with the phones; by default if it is installed."),
    ] = None,
    phone_port: Annotated[int, typer.Option(min=0, max=65535, help="Its TCP port; 0 for any free one.")] = 0,
    eid_module: EidModuleOption = None,
) -> None:
    """Serve a simulated Idura on 127.0.0.1, until Ctrl-C.

    It prints the settings for a client, the address of a page with the people's phones, then a line for each order.
    Nobody is really asked. Until you open the page, most made-up people approve within half a minute, some decline, and
    some never answer. From then on you play whoever is asked.

    Try it from another terminal: set the variables that it prints, then run: idura-ciba verify --eid no
    """
    if by_hand and (approve_after is not None or phone is False):
        raise ArgumentError(
            "With --by-hand, nobody does anything but on the page with the phones",
            code="by_hand",
            advice="Leave out --approve-after and --no-phone",
        )
    crowd = Crowd() if approve_after is None else lambda _dice: Script.approve(approve_after)
    hands = Hands(crowd, by_hand=by_hand or (None if approve_after is None else False))
    idura = SimulatedIdura(
        eids=known_phones(eid_module),
        seed=seed,
        expires_in=expires_in,
        interval=interval,
        people=hands,
    )
    eids, secret = known_eids(eid_module), None
    page = None
    if phone is not False:
        page = phone_page(idura, hands, eids, port=phone_port, required=by_hand or phone is True)
        if page is None:
            say(f"For a page with the people's phones, run: {INSTALL}", style="dim")
    if jwks is not None:
        _register_keys(idura, client_id, jwks)
    else:
        secret = client_secret or secrets.token_urlsafe(32)
        idura.register_client(client_id, secret=secret)
    try:
        serving = serve(idura, port=port, client_id=client_id, secret=secret, console=OUT, eids=eids, page=page)
        asyncio.run(serving)
    except KeyboardInterrupt:
        say("Stopped.")


def _register_keys(idura: SimulatedIdura, client_id: str, path: Path) -> None:
    text = read_secret(str(path), what="key set")
    failed = False
    try:
        idura.register_client(client_id, jwks=json.loads(text))
    except Exception:  # noqa: BLE001 - JSON, or one of a dozen kinds that key libraries raise: all mean the same
        failed = True
    if failed:
        raise ArgumentError(f"The file {path} is not a usable key set", code="jwks", advice="Pass one from keygen")


async def serve(
    idura: SimulatedIdura,
    *,
    port: int,
    client_id: str,
    secret: str | None,
    console: Console,
    eids: Eids = EIDS,
    page: PhonePage | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        idura: The provider, with its client registered.
        port: 0 for any.
        client_id: Its client.
        secret: The client's secret; None where it has keys.
        console: Where to tell what happens.
        eids: What people call the eIDs that it serves.
        page: Serves the page with the phones; None: there is none.

    Raises:
        UsageError: The port is taken.
    """
    server = SimulatorServer(idura, port=port)
    reason = ""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.aclose)
        try:
            await server.start()
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            raise ArgumentError(f"Cannot listen on port {port}: {reason}", code="port", advice="Pass another --port")
        address = None if page is None else await stack.enter_async_context(page())
        for line in _introduction(server.issuer, client_id, secret, address):
            say(line, to=console, whole=line.startswith(" "))
        chronicle = Chronicle(idura.ledger, eids)
        while True:
            for line in chronicle.lines(time.time()):
                say(line, to=console)
            await asyncio.sleep(LOOK)


def _introduction(issuer: str, client_id: str, secret: str | None, phones: str | None) -> Iterator[str]:
    yield f"A simulated Idura listens at {issuer}. Nobody is really asked. Ctrl-C stops it."
    yield "To try it, run in another terminal:"
    yield f"  export IDURA_CIBA_ISSUER={issuer}"
    yield f"  export IDURA_CIBA_CLIENT_ID={client_id}"
    yield "  export IDURA_CIBA_KEY_FILE=KEY.pem" if secret is None else f"  export IDURA_CIBA_CLIENT_SECRET={secret}"
    yield "  idura-ciba verify --eid no"
    if phones is not None:
        yield "To see the people's phones and play them, open:"
        yield f"  {phones}"


class Chronicle:
    """Tells what is new in a provider's books, in lines that say nothing of the people."""

    def __init__(self, ledger: Ledger, eids: Eids = EIDS) -> None:
        self._ledger = ledger
        self._eids = eids
        self._rejected = 0
        self._seen = 0
        self._open: list[OrderRecord] = []

    def lines(self, now: float) -> Iterator[str]:
        """Return one line for each event since the last call, as the books stand at this wall-clock instant."""
        self._ledger.settle(now)
        rejected = self._ledger.totals.rejected_clients
        if rejected > self._rejected:
            yield f"client authentication failed: {counted(rejected - self._rejected, 'request')} refused"
            self._rejected = rejected
        for record in self._ledger.orders[self._seen :]:
            self._seen += 1
            self._open.append(record)
            yield f"{self._name(record)}: started, expires in {record.expires_at - record.started_at:.0f} s"
        ended, self._open = (
            [record for record in self._open if (record.outcome != "open") is over] for over in (True, False)
        )
        yield from map(self._ending, ended)

    def _name(self, record: OrderRecord) -> str:
        # The provider may serve one that only its own half is known of.
        eid = self._eids.get(record.eid)
        return f"order {record.number}, {record.eid if eid is None else eid.label}"

    def _ending(self, record: OrderRecord) -> str:
        told = f"{self._name(record)}: {record.outcome}"
        if record.ended_at is not None:
            told += f" after {record.ended_at - record.started_at:.1f} s"
        told += f", {counted(record.polls, 'poll')}"
        if record.slow_downs:
            told += f", {record.slow_downs} of them too early"
        return f"{told}, because a second order came for the same person" if record.collided else told
