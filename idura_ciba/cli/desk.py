"""`idura-ciba desk`: an agent's screen on this machine."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from attrs import evolve

from idura_ciba import ArgumentError, CibaClient
from idura_ciba.cli.config import Settings, resume_secret
from idura_ciba.cli.connection import ResumeSecretOption, takes_settings
from idura_ciba.cli.eids import EidModuleOption, RequirePersonOption, ScopeOption, known_eids
from idura_ciba.cli.files import PRIVATE
from idura_ciba.cli.phones import needs_extra
from idura_ciba.cli.simulated import NAME, SEED, known_phones, simulated_client
from idura_ciba.desk.book import day_file
from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import SimulatedIdura

__all__ = ["Language", "desk", "private_file", "state_file"]

Language = Literal["en", "sv", "no", "da"]

#: No well-known service has it, and the simulator's is the one before.
PORT: Final = 8701
_PAGE, _TRIAL = "Page", "Trial without an account"


@takes_settings
def desk(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, rich_help_panel=_PAGE, help="TCP port; 0 for any free one.")
    ] = PORT,
    host: Annotated[
        str,
        typer.Option(
            rich_help_panel=_PAGE,
            help="Where to listen. Anything but this machine lets others in who have the address, and without TLS in "
            "front of it everybody on the way can read the numbers.",
        ),
    ] = "127.0.0.1",
    public_host: Annotated[
        list[str] | None,
        typer.Option(
            "--public-host",
            rich_help_panel=_PAGE,
            metavar="NAME[:PORT]",
            help="With --host: the name by which browsers reach the page. Repeatable.",
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", rich_help_panel=_PAGE, help="Open the page in this machine's browser.")
    ] = True,
    language: Annotated[
        Language | None,
        typer.Option(rich_help_panel=_PAGE, help="Language of the page; by default the one that the browser prefers."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_PAGE,
            help="File for what is under way, so that a restart loses nobody, and beside it one for the list of the "
            "day; both can only be read with the client's credential.",
        ),
    ] = None,
    message: Annotated[
        str, typer.Option(rich_help_panel="Person", help="What the form proposes as the message in the app.")
    ] = "",
    scope: ScopeOption = None,
    require_person: RequirePersonOption = False,
    eid_module: EidModuleOption = None,
    settings: Settings,
    resume_secret_file: ResumeSecretOption = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", rich_help_panel=_TRIAL, help="Ask made-up people on this machine.")
    ] = False,
) -> None:
    """Verify callers on a page in the browser: choose the eID, type the number, read the words, see who it is.

    The page is for this machine only, and for whoever has the address that is printed. No number is kept. Ctrl-C stops
    it; people who are being asked can still answer, and the next start goes on with them.

    Try it: idura-ciba desk --simulate
    """
    with needs_extra():
        from idura_ciba.cli.desk_page import DeskPage, serve_desk  # noqa: PLC0415 - the extra may not be installed
    eids = known_eids(eid_module)
    if simulate and state is not None:
        raise ArgumentError(
            "A simulated provider forgets everybody when it stops, so there is nothing to keep",
            code="state",
            advice="Leave out --state, or ask real people",
        )
    hands, phones = Hands(), known_phones(eid_module)
    idura = SimulatedIdura(eids=phones, people=hands, seed=SEED) if simulate else None
    hosts = _public_hosts(host, port, public_host or ())
    connection: AbstractAsyncContextManager[CibaClient]
    if idura is not None:
        connection, store = simulated_client(idura, name=NAME), None
    else:
        settings = evolve(settings, resume_secret=resume_secret(resume_secret_file))
        connection, store = settings.client(), private_file(state or state_file())

    page = DeskPage(
        host=host,
        port=port,
        hosts=hosts,
        open_browser=open_browser,
        language=language,
        message=message,
        eids=eids,
        scope=scope,
        require_person=require_person,
        store=store,
        idura=idura,
        hands=hands,
    )
    asyncio.run(serve_desk(connection, page))


def state_file() -> Path:
    """Where a desk keeps what is under way, unless it is told otherwise.

    Spec: XDG Base Directory Specification, `XDG_STATE_HOME`.
    """
    home = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_STATE_HOME")
    return Path(home or Path.home() / ".local" / "state") / "idura-ciba" / "desk.db"


def private_file(path: Path) -> Path:
    """Make the folder and the files of a desk its user's alone; what SQLite puts beside them has the same mode.

    Raises:
        UsageError: They cannot be made.
    """
    reason = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in (path, day_file(path)):
            if each.exists() and not each.is_file():
                raise FileExistsError(errno.EEXIST, "it is no regular file")
            os.close(os.open(each, os.O_RDWR | os.O_CREAT, PRIVATE))
            each.chmod(PRIVATE)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise ArgumentError(
            f"The file {path} cannot be used: {reason}", code="state", advice="Choose another one with --state"
        )
    return path


def _public_hosts(host: str, port: int, names: Sequence[str]) -> frozenset[str]:
    """What browsers may say in `Host`, besides this machine's own names."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_loopback:
            return frozenset()
        if not address.is_unspecified:
            # What is printed is this, and no name can be rebound to look like it.
            names = (*names, f"[{host}]" if address.version == 6 else host)  # noqa: PLR2004 - IPv6
    if host == "localhost":
        return frozenset()
    if not names or not port:
        raise ArgumentError(
            f"The host {host} can be reached from other machines, and nothing says how",
            code="web_host",
            advice="Name with --public-host what stands in the browser's address, and a --port that stays",
        )
    return frozenset({*names, *(f"{name}:{port}" for name in names)})
