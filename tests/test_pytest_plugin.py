"""Tests of what pytest does with the package in somebody else's project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.unmeasured

LOADED_BY_PYTEST = """
import sys

LOADED = {name for name in sys.modules if name.partition(".")[0] in {"idura_ciba", "aiohttp", "authlib", "tenacity"}}


def test_nothing_but_the_plugin_is_loaded():
    assert LOADED == {"idura_ciba", "idura_ciba.pytest_plugin"}
"""

USES_THE_FIXTURES = """
def test_a_login(simulated_idura, make_ciba_client, virtual_clock):
    from idura_ciba import SwedishBankID
    from idura_ciba.simulator import Script
    from idura_ciba.testing import run_virtual

    simulated_idura.script("209801011231", Script.approve(after=8))

    async def log_in():
        before = virtual_clock.wall()
        async with make_ciba_client(clock=virtual_clock) as ciba:
            login = await ciba.authenticate(SwedishBankID("209801011231", call_initiator="RP", message="Hello"))
        return login.claims["ssn"], virtual_clock.wall() - before

    ssn, seconds = run_virtual(log_in())
    assert ssn == "209801011231"
    assert seconds > 8
"""


def run_project(
    folder: Path, test: str, conftest: str = "", *, program: Sequence[str] = ("-m", "pytest"), **environment: str
) -> str:
    """Run pytest on a project with one test file; what it printed."""
    (folder / "test_project.py").write_text(test, encoding="utf-8")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ran = subprocess.run(
        [sys.executable, *program, "-p", "no:cacheprovider", "-p", "no:asyncio", str(folder)],
        env=outer | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_who_does_not_use_it_does_not_pay_for_it(tmp_path: Path) -> None:
    """And a coverage tool that starts after plugins were loaded sees each of the package's modules begin."""
    assert "1 passed" in run_project(tmp_path, LOADED_BY_PYTEST)


@pytest.mark.parametrize("conftest", ["", 'pytest_plugins = ["idura_ciba.testing"]'])
def test_the_fixtures_are_found(tmp_path: Path, conftest: str) -> None:
    """Without a line of the user's; the line that was needed once does no harm."""
    assert "1 passed" in run_project(tmp_path, USES_THE_FIXTURES, conftest)


def test_the_fixtures_can_be_asked_for(tmp_path: Path) -> None:
    """Where plugins are not loaded by themselves, the line brings them."""
    conftest = 'pytest_plugins = ["idura_ciba.testing"]'
    assert "1 passed" in run_project(tmp_path, USES_THE_FIXTURES, conftest, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def test_a_program_that_has_the_package_already_can_run_pytest(tmp_path: Path) -> None:
    """Pytest has no reason to warn that it came too late."""
    program = ("-c", "import sys, idura_ciba, pytest; sys.exit(pytest.main())")
    assert "1 passed" in run_project(tmp_path, USES_THE_FIXTURES, program=program)
