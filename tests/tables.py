"""Tables for the end of a test session, so that a reader of the log sees figures and not only green dots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

#: Rows of cells.
Table = Sequence[Sequence[object]]

_LINES = pytest.StashKey[list[str]]()


def printer(config: pytest.Config) -> Callable[[Table], None]:
    """Return what takes a table for the end of the log."""
    lines = config.stash.setdefault(_LINES, [])

    def add(table: Table) -> None:
        lines.extend([*aligned(table), ""])

    return add


def aligned(table: Table) -> Iterator[str]:
    """Yield its lines, with the cells of a column below each other."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def print_tables(reporter: pytest.TerminalReporter, config: pytest.Config, heading: str) -> None:
    """Print the tables, where a test left any."""
    if lines := config.stash.get(_LINES, []):
        reporter.section(heading)
        reporter.write("\n".join(lines))
