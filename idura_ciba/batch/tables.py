"""Read CSV strictly: each line of the file belongs to one row, or to one refused row.

A quote that is missing, or one too many, joins lines of different people into one cell. Such a cell is known by what it
holds: as many separators as the rows that it has swallowed, or a number. Then none of its lines is read, because nobody
can tell which of them are whole.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from idura_ciba.batch.rows import BadRow
from idura_ciba.batch.sources import Lines

__all__ = ["DELIMITERS", "Table", "outside_quotes"]

DELIMITERS: Final = ",;\t|"
#: Something like a national number in the text of a cell: a date of six digits or eight, and four digits or five more.
_NUMBER: Final = re.compile(r"(?<!\d)(?:\d{6}|\d{8})[-+ A-Fa-fU-Yu-y]?\d{3}[\dA-Za-z]\d?(?!\d)")
_BREAK: Final = re.compile(r"\r\n|\r|\n")
#: The whole of a cell that says whom to ask: digits with something between them, or an address.
_PERSON: Final = re.compile(r"[\"'=\s]*(?:\+?\d(?:[-+ ().]?\w?\d){5,}\w?|\S+@\S+)[\"'\s]*")


class Table:
    """The rows of a CSV file, as cells.

    Args:
        lines: The lines of the file.
        first: The first of them, which is read already.
        delimiter: What stands between cells.

    Attributes:
        begins: The line on which the row read last begins.
        spans: The row read last stands on several lines.
        bad: Lines of refused rows, of which nobody has taken notice.
    """

    def __init__(self, lines: Lines, first: str, delimiter: str) -> None:
        self.begins: int = 0
        self.spans: bool = False
        self.bad: list[BadRow] = []
        self._lines = lines
        self._ends = lines.number - 1
        self._delimiter = delimiter
        self._width = 0
        self._tight = True
        self._csv = self._reader(first)
        self._rows = self._read()

    def __iter__(self) -> Iterator[Sequence[str] | None]:
        """The rows that have not been read; None for one that is refused."""
        return self._rows

    def has_width(self, header: Sequence[str]) -> None:
        """Say what the header is, so that cells with rows in them can be known."""
        self._width = len(header)
        self._tight = not any(cell.startswith(" ") for cell in header[1:])

    def is_strict(self, cells: Sequence[str]) -> bool:
        """Whether each quote in the cells of the row read last was written as it must be."""
        # A cell that spans lines was in quotes, and these were right.
        quoted = [cell for cell in cells if '"' in cell and not _BREAK.search(cell)]
        return all('"{}"'.format(cell.replace('"', '""')) in self._lines.text for cell in quoted)

    def _reader(self, first: str) -> Iterator[list[str]]:
        # No cell may be longer than `csv.field_size_limit`, so one without an end does not take the whole file.
        return csv.reader(chain([first], self._lines), delimiter=self._delimiter, strict=True)

    def _read(self) -> Iterator[Sequence[str] | None]:
        lines = self._lines
        while True:
            try:
                for cells in self._csv:
                    # A line break within quotes may be a lone carriage return, which ends no line here.
                    if lines.number == self._ends + 1 and lines.text.find("\r", 0, -2) < 0:
                        self.begins = self._ends = lines.number
                        self.spans = False
                        yield cells
                    else:
                        yield self._long(cells)
            except csv.Error:
                self._refuse_quotes()
                yield None
            else:
                return

    def _long(self, cells: Sequence[str]) -> Sequence[str] | None:
        """A row before which, or in which, there are lines that cannot be read, or a row of several lines."""
        taken, unread = self._taken()
        self.begins, self.spans = taken[0], any(_BREAK.search(cell) for cell in cells)
        self._ends = self._lines.number
        if any(line > taken[0] for line in unread):
            self._refuse(taken, "encoding", "holds a line that cannot be read")
            return None
        if self.spans and any(map(self._has_swallowed, cells)):
            self._refuse(taken, "spans_lines", "has a cell that spans lines and holds what looks like other rows")
            return None
        return cells

    # --- refusing -----------------------------------------------------------------------------------------------------

    def _taken(self) -> tuple[list[int], set[int]]:
        """The lines of the row that was read last, and lines since the one before it that cannot be read."""
        unread = {bad.line for bad in self._lines.bad}
        return [line for line in range(self._ends + 1, self._lines.number + 1) if line not in unread], unread

    def _refuse_quotes(self) -> None:
        (taken, _), last = self._taken(), self._lines.text
        self._ends = self._lines.number
        # A quote that begins a line and ends no cell begins a row.
        if len(taken) > 1 and last[:1] == '"' and last[1:2] not in {'"', self._delimiter, "\r", "\n", ""}:
            self._csv = self._reader(last)
            self._ends = taken.pop() - 1
        if len(taken) > 1:
            self._refuse(taken, "quote", "begins a cell in quotes that ends nowhere, or not where a cell ends")
        else:
            self._refuse(taken, "csv", "is not valid CSV: a quote or a line end stands where none may be")

    def _refuse(self, taken: Sequence[int], code: str, why: str) -> None:
        """Refuse all lines of a row."""
        self.begins = taken[0]
        to = f", up to line {taken[-1]}" if len(taken) > 1 else ""
        self.bad += [BadRow(self.begins, code, f"{why}{to}"), *self._parts(taken, code)]

    def rest(self, code: str) -> Iterator[BadRow]:
        """The lines after the first of the row read last, which is refused."""
        return self._parts(range(self.begins, self._ends + 1), code)

    def _parts(self, taken: Sequence[int], code: str) -> Iterator[BadRow]:
        why = f"is part of the row that begins on line {self.begins}"
        return (BadRow(line, code, why) for line in taken[1:])

    def _has_swallowed(self, cell: str) -> bool:
        """Whether a cell spans lines and holds other rows, or parts of them."""
        if not _BREAK.search(cell):
            return False
        if _NUMBER.search(cell) or (not self._width and self._delimiter in cell):
            return True
        pieces = [piece.split(self._delimiter) for piece in _BREAK.split(cell)]
        if any(_PERSON.fullmatch(part) for parts in pieces if len(parts) > 1 for part in parts):
            return True
        count = sum(map(self._separators, pieces))
        return self._width > 1 and count >= (self._width - 1) * (len(pieces) - 1) > 0

    def _separators(self, parts: Sequence[str]) -> int:
        """How many separators of a line stand between cells; one before a space or at the end may be one of prose."""
        if not self._tight or len(parts) == self._width > 2:  # noqa: PLR2004 - a comma alone makes two cells of prose
            return len(parts) - 1
        return sum(bool(part) and not part[0].isspace() for part in parts[1:])


def outside_quotes(line: str) -> str:
    """A line without what stands in quotes."""
    return "".join(line.split('"')[::2])
