"""Runs `provider.mjs` for the tests of this folder, and prints at the end of the session what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.interop.visits import running
from tests.tables import Table, print_tables, printer


@pytest.fixture(scope="session", params=["pool", "session"])
def way(request: pytest.FixtureRequest) -> str:
    """How our clients carry their requests: on connections of their own, or through a session that is lent."""
    return str(request.param)


@pytest.fixture(scope="session")
def provider_issuer(tmp_path_factory: pytest.TempPathFactory, way: str) -> Iterator[str]:
    """The issuer identifier of a provider for each way, which stops with the session, also with one that dies."""
    del way
    with running("plain", tmp_path_factory.mktemp("provider")) as provider:
        yield provider.issuer


@pytest.fixture(scope="session")
def print_at_end(pytestconfig: pytest.Config) -> Callable[[Table], None]:
    """Takes a table for the end of the log."""
    return printer(pytestconfig)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables, where a test left any."""
    print_tables(terminalreporter, config, "interoperability with oidc-provider")
