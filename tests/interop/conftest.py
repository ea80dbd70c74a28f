"""Runs `provider.mjs` for the tests of this folder, and prints at the end of the session what it saw."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tables import Table, print_tables, printer

#: A folder whose `node_modules` were installed from the `package-lock.json` beside this file.
NODE_MODULES = "IDURA_CIBA_INTEROP_NODE_MODULES"
#: Seconds for the provider to start, and to stop.
PATIENCE = 30.0


@pytest.fixture(scope="session", params=["pool", "session"])
def way(request: pytest.FixtureRequest) -> str:
    """How our clients carry their requests: on connections of their own, or through a session that is lent."""
    return str(request.param)


@pytest.fixture(scope="session")
def provider_issuer(tmp_path_factory: pytest.TempPathFactory, way: str) -> Iterator[str]:
    """The issuer identifier of a provider for each way, which stops with the session, also with one that dies."""
    del way
    folder, node = os.environ.get(NODE_MODULES), shutil.which("node")
    if folder is None or node is None:
        pytest.fail(f"needs Node.js, and {NODE_MODULES} set; run `nox -s interop`", pytrace=False)
    program = Path(__file__).with_name("provider.mjs")
    log = tmp_path_factory.mktemp("provider") / "stderr.txt"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [node, program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        ready = process.stdout.readline()
        watchdog.cancel()
        if not ready:
            pytest.fail(f"the provider did not start:\n{log.read_text()}", pytrace=False)
        yield json.loads(ready)["issuer"]
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    assert process.returncode == 0, f"the provider crashed:\n{log.read_text()}"


@pytest.fixture(scope="session")
def print_at_end(pytestconfig: pytest.Config) -> Callable[[Table], None]:
    """Takes a table for the end of the log."""
    return printer(pytestconfig)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables, where a test left any."""
    print_tables(terminalreporter, config, "interoperability with oidc-provider")
