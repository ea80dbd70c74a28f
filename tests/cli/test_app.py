"""Tests of the command as a whole."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

from idura_ciba.cli import app


@pytest.mark.parametrize("command", ["demo", "verify", "simulate", "keygen", "doctor"])
def test_each_command_explains_itself(command: str, invoke: Callable[..., Any]) -> None:
    """And the overview names it."""
    ran = invoke(command, "--help")
    assert ran.exit_code == 0
    assert f"idura-ciba {command}" in ran.stdout
    assert command in invoke("--help").stdout


@pytest.mark.parametrize("version", ["1.2.3", None])
def test_the_version_is_shown(version: str | None, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a checkout that nobody installed."""

    def look_up(_name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError
        return version

    monkeypatch.setattr(metadata, "version", look_up)
    ran = invoke("--version")
    assert ran.exit_code == 0
    assert ran.stdout == f"idura-ciba {version or 'unknown: run from a checkout that is not installed'}\n"


@pytest.mark.usefixtures("virtually")
@pytest.mark.parametrize(("flags", "states", "polls"), [((), 0, 0), (("-v",), 2, 0), (("-vv",), 2, 4)])
def test_logging_is_for_those_who_ask(
    flags: tuple[str, ...], states: int, polls: int, invoke: Callable[..., Any]
) -> None:
    """On the standard error, and gone with the command."""
    logger = logging.getLogger("idura_ciba")
    before = (logger.level, list(logger.handlers))
    ran = invoke(*flags, "verify", "--simulate", "--eid", "freja")
    assert ran.exit_code == 0
    logged = [line for line in ran.stderr.splitlines() if line.startswith("transaction ")]
    assert sum(": poll " in line for line in logged) == polls
    assert sum(" is " in line for line in logged) == states
    assert (logger.level, logger.handlers) == before


def test_letters_that_a_terminal_cannot_show_are_no_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old terminal shows an escape and not a traceback."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", write_through=True))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "argv", ["idura-ciba", "--version"])
    monkeypatch.setattr(metadata, "version", lambda _name: "å")
    with pytest.raises(SystemExit) as exit_:
        app.run()
    assert exit_.value.code == 0
    assert raw.getvalue() == rb"idura-ciba \xe5" + b"\n"
