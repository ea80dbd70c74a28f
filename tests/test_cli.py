"""Tests of the command's entry point, with and without the extra that it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from idura_ciba import cli


@pytest.mark.parametrize("missing", ["typer", "rich.text"])
def test_without_the_extra_one_line_says_how_to_get_it(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has not installed the extra reads a command to copy, and no traceback."""
    for module in [name for name in sys.modules if name.startswith("idura_ciba.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'idura_ciba[cli]'" in line


def test_another_missing_module_is_not_taken_for_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only typer and rich are of the extra; a package that is broken otherwise says so itself."""
    monkeypatch.setitem(sys.modules, "idura_ciba.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main()


@pytest.mark.parametrize("module", ["idura_ciba", "idura_ciba.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    """`python -m idura_ciba` is the command, by its own name."""
    done = subprocess.run([sys.executable, "-m", module, "demo", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: idura-ciba demo" in done.stdout


def test_importing_it_does_not_need_the_extra() -> None:
    """The package `idura_ciba.cli` can be imported, for its `main`, where typer and rich are not."""
    program = "import sys, idura_ciba.cli; sys.exit(bool({'typer', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
