"""Tests of the one place where errors become sentences and exit codes."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from idura_ciba import Denied, State, UsageError
from idura_ciba.cli.guard import ExitCode, Guarded
from idura_ciba.errors import DOCUMENTATION

SECRET = "209801011231"


def run(error: BaseException | None) -> tuple[int, str]:
    """Run a command that raises."""
    app = typer.Typer()

    @app.command(cls=Guarded)
    def _command() -> None:
        if error is not None:
            raise error

    result = CliRunner().invoke(app, [])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, 0, ""),
        (typer.Exit(4), 4, ""),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
        (
            UsageError("that cannot work", advice="do this"),
            2,
            f"That cannot work. Do this. [usage] See {DOCUMENTATION}errors/#usage\n",
        ),
        (Denied("no"), 1, f"No. [denied] See {DOCUMENTATION}errors/#denied\n"),
    ],
)
def test_an_error_becomes_a_sentence_and_a_code(error: BaseException | None, code: int, said: str) -> None:
    """Nobody sees a traceback of what was foreseen."""
    assert run(error) == (code, said)


def test_a_bug_is_told_without_its_words() -> None:
    """An unforeseen error may quote anything, so only its kind and place are told."""
    code, said = run(KeyError(SECRET))
    assert code == 1
    assert "KeyError" in said
    assert "report" in said
    assert SECRET not in said


def test_every_final_state_has_a_code() -> None:
    """Only a login is success, and the ways to end without one can be told apart."""
    codes = {state: ExitCode.of(state) for state in State if state.is_final}
    assert [state for state, code in codes.items() if code is ExitCode.OK] == [State.APPROVED]
    assert {state.value: int(code) for state, code in codes.items()} == {
        "approved": 0,
        "denied": 3,
        "expired": 4,
        "rejected": 1,
        "failed": 1,
        "indeterminate": 5,
        "abandoned": 6,
        "handed_over": 6,
    }
