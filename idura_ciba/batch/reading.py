"""Read people from files, as many different programs write them.

Rules:
1. A refused row is reported with its line, and the other rows are read. A problem of the whole file, such as its
   encoding or a column, is an error before the first row.
2. Each line is in one row or in one refused row, and nothing of one row is ever in another.
3. No message quotes a cell: it may hold a national number.
4. Only one row is in memory at a time, and no line may be longer than `MAX_LINE`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, BinaryIO, Final, Literal

from idura_ciba.batch.arrays import is_array, objects
from idura_ciba.batch.columns import PERSON, Columns, folded
from idura_ciba.batch.rows import BadRow, Row
from idura_ciba.batch.sources import MAX_LINE, Lines, Source, unreadable
from idura_ciba.batch.tables import DELIMITERS, Table, outside_quotes
from idura_ciba.batch.workbook import Workbook
from idura_ciba.eids import EIDS
from idura_ciba.eids.identity_number import check_norwegian, check_swedish
from idura_ciba.errors import ArgumentError, UsageError
from idura_ciba.protocol.strict_json import load_object

__all__ = ["FIELDS", "MAX_LINE", "BadRow", "Format", "Row", "RowReader"]

Format = Literal["csv", "jsonl"]

#: The fields of a row, with those that eIDs take. Columns with these names need no `--column`.
FIELDS: Final = EIDS.columns()

#: Excel's way to name the delimiter, in a line before the header.
_SEPARATOR: Final = re.compile(r'sep=([^"\r\n])')
#: Eleven digits or twelve as people write them, for those who look for a number where none belongs.
_NUMBER: Final = re.compile(r"(?<!\d)(?:\d{8}[- ]?\d{4}|\d{6} ?\d{5})(?!\d)")
_SHORTEST: Final = len("DDMMYYNNNNN")
#: Fields that nobody writes on several lines.
_ON_ONE_LINE: Final = frozenset({"key", "eid", *PERSON})
#: An address as some people are asked by.
_ADDRESS: Final = re.compile(r"\S@\S|\+\d{6}")
#: Objects may have any names; not all sets of them are kept.
_MOST_KEPT: Final = 100
#: Persons in whose names no digit checks the others: a shorter one may be another person.
_UNCHECKED: Final = re.compile(r"\+|00|.*@")


class RowReader:
    """Reads rows, one at a time.

    Args:
        file: The binary file to read; need not be seekable.
        columns: Column names by field, where they differ from the field names.
        format: Of a text. None: JSON Lines if the first character is a brace, else CSV.
        encoding: None: UTF-8, or as the first bytes say.
        fields: The fields of a row; more with eIDs of your own (`Eids.columns`).
        ignored: Names of columns to ignore; `*` for all whose names do not resemble a field's.
        sheet: The name of the sheet of a workbook; None for the first.

    Attributes:
        source: What is read.
        format: What it is taken for; a workbook is read like CSV.

    Raises:
        UsageError: The file is of a kind that cannot be read; the encoding is unknown; a column is missing, stands
            twice, or is not known; or the first line cannot be read.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        columns: Mapping[str, str] | None = None,
        format: Format | None = None,  # noqa: A002 - the field's own word
        encoding: str | None = None,
        fields: Sequence[str] = FIELDS,
        ignored: Collection[str] = (),
        sheet: str | None = None,
    ) -> None:
        self._columns = Columns(fields, columns or {}, ignored)
        self._book: Workbook | None = None
        # A message without anybody's number.
        self._harmless = ""
        # The members of an object by the names that it has.
        self._members: dict[tuple[str, ...], Sequence[tuple[str, str]]] = {}
        # The cells of a row that a field has, and the number of cells due.
        self._places: Sequence[tuple[str, int]] = ()
        self._due = 0
        self._nameless: tuple[int, ...] = ()
        self._first_person = self._last_person = -1
        self.source: Source = Source(file, encoding=encoding)
        self.format: Format = format or "csv"
        self._rows: Iterator[Row | BadRow]
        if self.source.is_workbook:
            self.format = "csv"
            self._book = Workbook(self.source.stream, sheet)
            self._rows = self._workbook_rows(self._book)
            return
        if format is None and is_array(self.source.start):
            self.format = "jsonl"
            self._rows = self._array_rows()
            return
        self._lines = Lines(self.source)
        first = self._read_first()
        if format is None and first.lstrip().startswith("{"):
            self.format = "jsonl"
        if self.format == "jsonl":
            self._rows = self._jsonl_rows(first)
        else:
            self._rows = self._csv_rows(first)

    @property
    def encoding(self) -> str:
        """The encoding of the text."""
        return self.source.encoding

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Yield valid and refused rows, in order."""
        return self._rows

    def close(self) -> None:
        """Close what the reader has opened; the file is its owner's."""
        if self._book is not None:
            self._book.close()

    # --- CSV and workbooks ------------------------------------------------------------------------------------------

    def _read_first(self) -> str:
        """Return the first line that is not empty; an empty string if there is none."""
        first = next((line for line in self._lines if line.strip()), "")
        if self._lines.bad:
            raise unreadable(self._lines.bad[0])
        return first

    def _csv_rows(self, first: str) -> Iterator[Row | BadRow]:
        named = _SEPARATOR.fullmatch(first.rstrip("\r\n"))
        if named:
            first = self._read_first()
        delimiter = named[1] if named else max(DELIMITERS, key=outside_quotes(first).count)
        table = Table(self._lines, first, delimiter)
        header = next(iter(table), [])
        if self._lines.bad:
            raise unreadable(self._lines.bad[0])
        if header is None:
            raise ArgumentError(
                "The header line is not valid CSV", code="header", advice="Correct the quotes in the first line"
            )
        self._begin(header)
        table.has_width(header)
        return self._table_rows(table)

    def _table_rows(self, table: Table) -> Iterator[Row | BadRow]:
        lines, due, places = self._lines, self._due, self._places
        for cells in table:
            if table.bad or lines.bad:
                yield from sorted([*lines.bad, *table.bad], key=lambda bad: bad.line)
                lines.bad.clear()
                table.bad.clear()
            found: Row | BadRow | None
            if cells is None:
                continue
            if lines.is_cut or table.spans or len(cells) != due or self._nameless:
                found = self._odd(table, cells)
            else:
                # As in `_row`: most rows are such.
                values = {name: cell for name, place in places if (cell := cells[place].strip())}
                found = self._checked(table.begins, values) if values else None
                if not values and any(map(str.strip, cells)):
                    found = Row(table.begins, values)
            if found is not None:
                yield found
            if table.spans and isinstance(found, BadRow):
                yield from table.rest(found.code)
        yield from lines.bad

    def _odd(self, table: Table, cells: Sequence[str]) -> Row | BadRow | None:
        """A row that is not as wide as the header, or not on one line, or at the end of the file."""
        line = table.begins
        if self._lines.is_cut and len(cells) == self._last_person + 1 and _UNCHECKED.match(cells[-1].strip()):
            return BadRow(line, "truncated", "is where the file ends, perhaps early: it has no line end")
        if table.spans:
            for name, place in self._places:
                if name in _ON_ONE_LINE and place < len(cells) and not {"\n", "\r"}.isdisjoint(cells[place].strip()):
                    return BadRow(line, "spans_lines", "spans lines", self._columns.names[name])
        if len(cells) < self._due and not table.is_strict(cells):
            return self._cells(line, cells)
        return self._row(line, cells)

    def _workbook_rows(self, book: Workbook) -> Iterator[Row | BadRow]:
        try:
            self._begin(next(book, (0, ()))[1])
        except UsageError:
            book.close()
            raise
        return (row for number, cells in book if (row := self._row(number, cells)) is not None)

    def _begin(self, header: Sequence[str]) -> None:
        """Find the columns."""
        self._places = self._columns.places(header)
        named = [place for place, cell in enumerate(header) if folded(cell)]
        self._nameless = tuple(place for place in range(named[-1]) if place not in named)
        self._due = named[-1] + 1
        self._last_person = max(place for name, place in self._places if name in PERSON)
        self._first_person = min(place for name, place in self._places if name in PERSON)

    def _row(self, line: int, cells: Sequence[str]) -> Row | BadRow | None:
        cells = list(map(str.strip, cells))
        count = len(cells)
        if count != self._due:
            if not any(cells):
                return None
            # Cells that are missing at the end were empty, unless they are all but the person's.
            if count <= self._first_person or any(cells[self._due :]):
                return self._cells(line, cells)
        values = {name: cells[place] for name, place in self._places if place < count and cells[place]}
        if not values and not any(cells):
            return None
        if any(cells[place] for place in self._nameless if place < count):
            return BadRow(line, "cells", "has a cell below a column without a name")
        return self._checked(line, values, is_short=count < self._due)

    def _cells(self, line: int, cells: Sequence[str]) -> BadRow:
        count = f"{len(cells)} cell" if len(cells) == 1 else f"{len(cells)} cells"
        return BadRow(line, "cells", f"has {count}, but the header has {self._due}")

    # --- JSON -------------------------------------------------------------------------------------------------------

    def _jsonl_rows(self, first: str) -> Iterator[Row | BadRow]:
        """Rows of JSON Lines; an error now if the first one has names that are not known."""
        members: Mapping[str, Any] = {}
        with suppress(ValueError):
            members = load_object(first.encode())
        self._columns.refuse_unknown(members)
        return self._object_rows(first)

    def _object_rows(self, first: str) -> Iterator[Row | BadRow]:
        lines = self._lines
        for text in chain([first], lines):
            yield from lines.bad
            lines.bad.clear()
            if not text.strip():
                continue
            try:
                members = load_object(text.encode())
            except ValueError:
                yield BadRow(lines.number, "json", "is not a JSON object")
                continue
            yield self._object(lines.number, members)
        yield from lines.bad

    def _array_rows(self) -> Iterator[Row | BadRow]:
        found = objects(self.source)
        first = next(found, None)
        if isinstance(first, tuple):
            self._columns.refuse_unknown(first[1])
        everything = found if first is None else chain([first], found)
        return (each if isinstance(each, BadRow) else self._object(*each) for each in everything)

    def _object(self, line: int, members: Mapping[str, Any]) -> Row | BadRow:
        names = tuple(members)
        known = self._members.get(names)
        if known is None:
            found = [(name, member) for member in names if (name := self._columns.field_of(member)) is not None]
            if not all(map(self._columns.is_meant, names)):
                return BadRow(line, "column", "has a member that is not used")
            if len({name for name, _ in found}) < len(found):
                return BadRow(line, "column", "has two members of one name")
            known = found
            if len(self._members) < _MOST_KEPT:
                self._members[names] = known
        values: dict[str, str] = {}
        for name, member in known:
            value = members[member]
            if value is None:
                continue
            if not isinstance(value, str):
                why = "is not a string; as a number, it would lose leading zeros"
                return BadRow(line, "text", why, member)
            if value.strip():
                values[name] = value.strip()
        return self._checked(line, values)

    # --- numbers where none belongs ---------------------------------------------------------------------------------

    def _checked(self, line: int, values: Mapping[str, str], *, is_short: bool = False) -> Row | BadRow:
        """A row, unless a cell of it has come from another one."""
        key, message = values.get("key", ""), values.get("message", "")
        # Many rows have the message of the one before.
        if message != self._harmless:
            if _NUMBER.search(message) is None:
                self._harmless = message
            elif _holds_other_number(message, values):
                return self._other_number(line, "message")
        if len(key) >= _SHORTEST and _NUMBER.search(key) is not None and _holds_other_number(key, values):
            return self._other_number(line, "key")
        # Two short rows in one line look like one row.
        if is_short and (_ADDRESS.search(key) or _ADDRESS.search(message)):
            return BadRow(line, "cells", "has too few cells, and an address where none belongs")
        return Row(line, values)

    def _other_number(self, line: int, name: str) -> BadRow:
        return BadRow(line, "other_number", "holds somebody's national number", self._columns.names[name])


def _holds_other_number(cell: str, values: Mapping[str, str]) -> bool:
    """Whether there is a national number in a cell, and it is not the person's own."""
    own = ""
    for found in _NUMBER.finditer(cell):
        digits = "".join(filter(str.isdigit, found[0]))
        own = own or "".join(filter(str.isdigit, "".join(values.get(name, "") for name in PERSON)))
        if digits[-10:] in own:
            continue
        with suppress(UsageError):
            (check_swedish if len(digits) == len("YYYYMMDDNNNC") else check_norwegian)(digits)
            return True
    return False
