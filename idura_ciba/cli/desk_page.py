"""Serves the page of `idura-ciba desk` until it is stopped; it needs the extra `desk`."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from attrs import frozen

from idura_ciba import CibaClient
from idura_ciba.cli.stopping import stoppable
from idura_ciba.cli.text import OUT, counted, say
from idura_ciba.desk.app import desk_app
from idura_ciba.desk.book import DeskBook, Snapshot
from idura_ciba.eids import Eids
from idura_ciba.phone.app import phone_app
from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import SimulatedIdura
from idura_ciba.web.guard import Guard
from idura_ciba.web.serving import serving

__all__ = ["DeskPage", "serve_desk"]

#: Below the server's root, as in `demo --web`.
_DESK, _PHONE = "/desk/", "/phone/"
#: Seconds that pages have to show that the desk closes.
_LAST_WORD: Final = 0.3


@frozen(kw_only=True)
class DeskPage:
    """What the options say.

    Attributes:
        host: Where to listen.
        port: 0 for any free one.
        hosts: What browsers may say in `Host` besides this machine's own names.
        open_browser: Whether to open it.
        language: As for `desk_app`.
        message: As for `desk_app`.
        eids: The eIDs to offer.
        scope: As for `DeskBook`.
        require_person: As for `DeskBook`.
        store: As for `DeskBook`.
        idura: The simulated provider, in a trial.
        hands: Its `people`.
    """

    host: str
    port: int
    hosts: frozenset[str]
    open_browser: bool
    language: str | None
    message: str
    eids: Eids
    scope: str | None
    require_person: bool
    store: Path | None
    idura: SimulatedIdura | None
    hands: Hands


async def serve_desk(connection: AbstractAsyncContextManager[CibaClient], page: DeskPage) -> None:
    """Serve until Ctrl-C or another signal, and say what becomes of those who are being asked.

    Args:
        connection: Opens the client.
        page: What the options say.

    Raises:
        UsageError: The port is taken.
        StoreError: The file cannot be used.
    """
    stopped, is_trial = asyncio.Event(), page.idura is not None
    with stoppable(stopped.set, stopped.set):
        async with (
            connection as client,
            DeskBook(client, page.store, eids=page.eids, scope=page.scope, require_person=page.require_person) as book,
        ):
            guard = Guard("desk", unsafe_hosts=page.hosts)
            app = guard.application()
            shown = desk_app(
                *(book, guard),
                language=page.language,
                message=page.message,
                simulated=is_trial,
                phones=f"..{_PHONE}" if is_trial else "",
            )
            app.add_subapp(_DESK, shown)
            if page.idura is not None:
                app.add_subapp(_PHONE, phone_app(page.idura, guard, hands=page.hands, eids=page.eids))
            async with serving(
                app, guard, host=page.host, port=page.port, path=_DESK, open_browser=page.open_browser
            ) as address:
                _introduce(address, simulated=is_trial, store=page.store, hosts=page.hosts)
                await stopped.wait()
                book.stop()
                await asyncio.sleep(_LAST_WORD)
            _part(book.snapshot(), simulated=is_trial)


def _introduce(address: str, *, simulated: bool, store: Path | None, hosts: frozenset[str]) -> None:
    say("The desk is open. Ctrl-C closes it. Open this address, and show it to nobody:", to=OUT)
    say(f"  {address}", to=OUT, whole=True)
    if simulated:
        say(
            "Nobody is really asked. People act by themselves until you open their phones, which the page leads to.",
            to=OUT,
            style="dim",
        )
    if store is not None:
        say(f"What is under way is kept in {store}, sealed.", to=OUT, style="dim")
    if hosts:
        say("On other machines, open it with the name that you gave as --public-host.", to=OUT, style="dim")
        say(
            "Warning: other machines can reach this page. Without TLS in front of it, everybody on the way can read "
            "the numbers that are typed and this address, and act as the agent.",
            style="red",
        )


def _part(last: Snapshot, *, simulated: bool) -> None:
    """Say what becomes of those who are being asked."""
    if not last.open:
        say("The desk is closed. Nobody is being asked.")
        return
    asked = f"{counted(len(last.open), 'call')} still open: the requests stay on the phones and can be answered"
    if simulated:
        say(f"The desk is closed. {asked}, but the simulated provider has stopped too.")
        return
    until = max((entry.until or last.now for entry in last.open), default=last.now)
    in_time = f" within {until - last.now:.0f} s" if until > last.now else ""
    say(f"The desk is closed. {asked}. Start it again{in_time} to go on with them.")
