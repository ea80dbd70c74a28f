"""Runs `provider.mjs` for the tests of this folder, and prints at the end of the session what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.interop.visits import running

LINES = pytest.StashKey[list[str]]()


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
def print_at_end(pytestconfig: pytest.Config) -> Callable[[Sequence[Sequence[object]]], None]:
    """Takes a table for the end of the log, so that a reader there sees figures and not only green dots."""
    lines = pytestconfig.stash.setdefault(LINES, [])

    def add(table: Sequence[Sequence[object]]) -> None:
        widths = [max(len(str(cell)) for cell in column) for column in zip(*table, strict=True)]
        for row in table:
            lines.append("  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        lines.append("")

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables, where a test left any."""
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("interoperability with oidc-provider")
        terminalreporter.write("\n".join(lines))
