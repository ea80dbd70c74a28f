"""`idura-ciba demo --web`: an agent's desk and the phones of made-up people, beside each other in a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web
from rich.console import Console

from idura_ciba.cli.simulated import simulated_client
from idura_ciba.cli.stopping import stoppable
from idura_ciba.cli.text import say
from idura_ciba.desk.app import desk_app
from idura_ciba.desk.book import DeskBook
from idura_ciba.phone.app import phone_app
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.web.guard import Guard
from idura_ciba.web.pages import Pages
from idura_ciba.web.serving import serving

__all__ = ["play_web", "staged"]

#: Who asks, as the phones say.
NAME: Final = "Acme Insurance"
#: What the desk proposes to show on the phone.
MESSAGE: Final = "Your call with Acme Insurance"
#: Seconds between polls; Idura says 3, and nobody likes to wait.
INTERVAL: Final = 1


async def play_web(console: Console, *, port: int, open_browser: bool) -> None:
    """Serve the demonstration until Ctrl-C or SIGTERM.

    Args:
        console: Where the address is printed.
        port: 0 for any free one.
        open_browser: Whether to open it in this machine's browser, too.

    Raises:
        UsageError: The port is taken.
    """
    stopped = asyncio.Event()
    with stoppable(stopped.set, stopped.set):
        async with staged(port=port, open_browser=open_browser) as address:
            say(
                "An agent's desk, and the phones of the people who call. Ctrl-C ends it. Open this address:", to=console
            )
            say(f"  {address}", to=console, whole=True)
            say(
                "Nobody is really asked: the provider, the people and their names are made up.", to=console, style="dim"
            )
            await stopped.wait()


@asynccontextmanager
async def staged(*, port: int = 0, open_browser: bool = False) -> AsyncIterator[Redacted]:
    """Serve the demonstration as long as the context is open; its value is the address, with the secret in it."""
    idura = SimulatedIdura(interval=INTERVAL, people=lambda _dice: Script.by_hand())
    guard, pages = Guard("demo"), Pages(Path(__file__).parent)

    async def stage(_: web.Request) -> web.Response:
        return pages.page("stage.html")

    async with simulated_client(idura, name=NAME) as client, DeskBook(client) as book:
        app = guard.application()
        app.router.add_get("/", stage)
        pages.add_static(app)
        app.add_subapp("/desk/", desk_app(book, guard, message=MESSAGE, simulated=True))
        app.add_subapp("/phone/", phone_app(idura, guard))
        async with serving(app, guard, port=port, open_browser=open_browser) as address:
            yield address
