"""Tests of what the help says of an option's value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from idura_ciba.cli.guard import Guarded

#: Each has options.
COMMANDS = ("verify", "desk", "batch", "simulate", "keygen", "doctor", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_cut_off_in_a_terminal_of_80_columns(command: str, invoke: Callable[..., Any]) -> None:
    """Neither the name of an option nor that of its variable, and no type of Python stands there."""
    shown = invoke(command, "--help", COLUMNS="80", TERMINAL_WIDTH="80").stdout
    assert max(map(len, shown.splitlines())) == 80
    assert "--help" in shown
    assert "…" not in shown
    options = shown.partition("─ Options ─")[2]
    assert not any(named in options for named in ("<bool>", "<path>", "<float", "list["))


def test_each_value_is_named_by_what_to_write() -> None:
    """A file, a number, a text, or the choices; a switch has none, and its opposite stands in the text."""
    app = typer.Typer()

    @app.command(cls=Guarded)
    def _command(
        *,
        place: Path | None = None,
        key_file: str | None = None,
        seconds: float = 1.0,
        names: list[str] | None = None,
        way: Literal["in", "out"] = "in",
        method: Annotated[Literal["by letter", "by number"] | None, typer.Option(help="How.")] = None,
        own: Annotated[str, typer.Option(metavar="MINE")] = "",
        loud: Annotated[bool, typer.Option(help="Say it.")] = True,
    ) -> None:
        del place, key_file, seconds, names, way, method, own
        typer.echo(loud)

    shown = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output.replace("│", "").split())
    for said in (
        "--place FILE ",
        "--key-file FILE ",
        "--seconds NUMBER ",
        "--names TEXT ",
        "--way in|out ",
        "--method NAME How. One of by letter, by number.",
        "--own MINE ",
        "--loud Say it. --no-loud turns it off.",
    ):
        assert said in shown
    assert CliRunner().invoke(app, ["--no-loud"]).output == "False\n"
