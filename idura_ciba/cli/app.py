"""The command `idura-ciba` with its subcommands, and the options that stand before them."""

from __future__ import annotations

import io
import logging
import sys
from typing import Annotated

import typer
from rich.console import Console

from idura_ciba import __version__
from idura_ciba.cli.batch import batch
from idura_ciba.cli.demo import demo
from idura_ciba.cli.desk import desk
from idura_ciba.cli.doctor import doctor
from idura_ciba.cli.fleet import fleet
from idura_ciba.cli.guard import Guarded
from idura_ciba.cli.keygen import keygen
from idura_ciba.cli.simulate import simulate
from idura_ciba.cli.text import ERR, OUT, say
from idura_ciba.cli.verify import verify

__all__ = ["app", "run"]

app: typer.Typer = typer.Typer(
    name="idura-ciba",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # A traceback with local variables could show secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (demo, verify, desk, batch, simulate, keygen, doctor):
    app.command(cls=Guarded)(_command)
app.add_typer(fleet, name="fleet")


def run() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show `å` shows an escape instead of a traceback.
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="idura-ciba")


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    say(f"idura-ciba {__version__}", to=OUT)
    raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log states; -vv also logs polls. No secrets.")
    ] = 0,
) -> None:
    """Ask people to prove who they are through their eID app, with OpenID Connect CIBA at Idura Verify.

    To see it work, run: idura-ciba demo, or in a browser: idura-ciba demo --web
    """
    del version
    if verbose:
        logger, handler = logging.getLogger("idura_ciba"), _ConsoleHandler(ERR)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)

        def restore() -> None:
            logger.removeHandler(handler)
            logger.setLevel(level)

        context.call_on_close(restore)


class _ConsoleHandler(logging.Handler):
    """Logs through the console that draws the live table, so that a log line does not break the table."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), to=self._console, style="dim")
