"""Tests of the command as a whole."""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import __version__
from idura_ciba.cli import app


@pytest.mark.parametrize("command", ["demo", "verify", "simulate", "keygen", "doctor"])
def test_each_command_explains_itself(command: str, invoke: Callable[..., Any]) -> None:
    """And the overview names it."""
    ran = invoke(command, "--help")
    assert ran.exit_code == 0
    assert f"idura-ciba {command}" in ran.stdout
    assert command in invoke("--help").stdout


def test_the_version_is_shown(invoke: Callable[..., Any]) -> None:
    """It is the package's own."""
    ran = invoke("--version")
    assert (ran.exit_code, ran.stdout) == (0, f"idura-ciba {__version__}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_complete_the_command(
    shell: str, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its script can be shown and installed, and what the script asks for is answered."""
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    script = invoke("--show-completion")
    assert (script.exit_code, f"_IDURA_CIBA_COMPLETE=complete_{shell}" in script.stdout) == (0, True)
    installed = invoke("--install-completion", HOME=str(tmp_path), USERPROFILE=str(tmp_path))
    assert installed.exit_code == 0
    assert script.stdout.strip() in {
        path.read_text().strip() for path in tmp_path.rglob("*idura-ciba*") if path.is_file()
    }
    words = "idura-ciba verify --eid f"
    asked = {"COMP_WORDS": words, "COMP_CWORD": "3", "_TYPER_COMPLETE_ARGS": words}
    answer = invoke(_IDURA_CIBA_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_FISH_ACTION="get-args", **asked)
    assert "freja" in answer.stdout
    assert "se" not in answer.stdout.split()


BASH = shutil.which("bash")


@pytest.mark.skipif(BASH is None, reason="this machine has no bash")
def test_a_real_shell_completes_the_command() -> None:
    """It takes the script as it is shown, and finds the sub-command of which the first letters are typed."""
    typed = """
        eval "$(idura-ciba --show-completion)"
        COMP_WORDS=(idura-ciba doc) COMP_CWORD=1
        _idura_ciba_completion idura-ciba
        echo "${COMPREPLY[@]}"
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ran = subprocess.run(
        [str(BASH), "-c", typed], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "doctor\n"


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
    monkeypatch.setattr(app, "__version__", "å")
    with pytest.raises(SystemExit) as exit_:
        app.run()
    assert exit_.value.code == 0
    assert raw.getvalue() == rb"idura-ciba \xe5" + b"\n"
