"""Read people from CSV and JSON Lines files, as many different programs write them.

Rules:
1. An invalid row is reported with its line, and the other rows are read. A problem of the whole file, such as its
   encoding or a missing column, is an error before the first row.
2. No message quotes a cell: it may hold a national number.
3. Only one row is in memory at a time, and no line may be longer than `MAX_LINE`.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO, Final, Literal

from attrs import field, frozen

from idura_ciba.eids import EIDS
from idura_ciba.errors import UsageError
from idura_ciba.protocol.strict_json import load_object

__all__ = ["FIELDS", "BadRow", "Format", "Row", "RowReader"]

Format = Literal["csv", "jsonl"]

#: The fields of a row, with those that eIDs take. Columns with these names need no `--column`.
FIELDS: Final = EIDS.columns()
#: One of these says whom to ask.
_PERSON: Final = ("ssn", "login_hint")
#: In bytes; more than any row needs.
MAX_LINE: Final = 65536

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DELIMITERS: Final = ",;\t|"
#: Excel's way to name the delimiter, in a line before the header.
_SEPARATOR: Final = re.compile(r'sep=([^"\r\n])')
#: At least five digits, with anything between them.
_DIGITS: Final = re.compile(r"(?:\d\D*){5}")


@frozen
class Row:
    """One person of a file.

    Attributes:
        line: The line on which the row begins, from 1.
        values: The values by field, without empty ones.
    """

    line: int
    values: Mapping[str, str] = field(repr=False)


@frozen
class BadRow:
    """An invalid row.

    Attributes:
        line: The line on which the row begins, from 1.
        code: A stable code for the problem.
        why: The problem, as the rest of a sentence that begins with the line and the column; no full stop.
        column: The name of the invalid column, if it is a single one.
        key: The caller's key of the row, if it could be read.
    """

    line: int
    code: str
    why: str
    column: str | None = None
    key: str | None = None


class RowReader:
    """Reads rows, one at a time.

    Args:
        file: The binary file to read; need not be seekable.
        columns: Column names by field, where they differ from the field names.
        format: None: JSON Lines if the first character is a brace, else CSV.
        encoding: None: UTF-8, or as the byte order mark says.
        fields: The fields of a row; more with eIDs of your own (`Eids.columns`).

    Raises:
        UsageError: The encoding is unknown, a column is missing or duplicated, or the first line cannot be read.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        columns: Mapping[str, str] | None = None,
        format: Format | None = None,  # noqa: A002 - the field's own word
        encoding: str | None = None,
        fields: Sequence[str] = FIELDS,
    ) -> None:
        self._file = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var] # any raw stream
        self._columns = {name: name for name in fields} | dict(columns or {})
        self._explicit = frozenset(columns or ())
        self._line = 0
        self._begins = 0
        self._bad: list[BadRow] = []
        head = self._file.peek(len(codecs.BOM_UTF8))
        bom, found = next(((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", "utf-8"))
        self._file.read(len(bom))
        self.encoding: str = _known(encoding) if encoding and not bom else found
        # A line feed: one byte, or two in UTF-16.
        self._end = "\n".encode(self.encoding)
        self._lines = self._read_lines()
        self._first = self._read_first()
        self.format: Format = format or ("jsonl" if self._first.lstrip().startswith("{") else "csv")
        self._header: Sequence[str] = ()
        # The position of each field among the cells.
        self._places: Sequence[tuple[str, int]] = ()
        self._csv: Iterator[list[str]] = iter(())
        if self.format == "csv":
            self._begin_csv()

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Yield valid and invalid rows, in order."""
        read: Callable[[], Row | BadRow | None] = self._next_csv if self.format == "csv" else self._next_jsonl
        while True:
            try:
                row = read()
            except StopIteration:
                yield from self._bad
                return
            bad, self._bad = self._bad, []
            yield from bad
            if row is not None:
                yield row

    # --- lines ------------------------------------------------------------------------------------------------------

    def _read_first(self) -> str:
        """Return the first line that is not empty; an empty string if there is none."""
        first = next((line for line in self._lines if line.strip()), "")
        self._refuse_bad()
        return first

    def _refuse_bad(self) -> None:
        if self._bad:
            raise _unreadable(self._bad[0])

    def _read_lines(self) -> Iterator[str]:
        """Decode line by line; a line that cannot be decoded is an invalid row."""
        while raw := self._read_raw():
            self._line += 1
            if len(raw) > MAX_LINE:
                while raw and not raw.endswith(self._end):
                    raw = self._read_raw()
                self._bad.append(BadRow(self._line, "too_long", f"is longer than {MAX_LINE:,} bytes"))
                continue
            try:
                yield raw.decode(self.encoding)
            except UnicodeDecodeError as error:
                self._bad.append(_undecodable(self._line, raw, error, self.encoding))

    def _read_raw(self) -> bytes:
        raw = self._file.readline(MAX_LINE + 1)
        if self._end == b"\n":
            return raw
        # UTF-16: a byte 0x0a may be half of a character, and a character must be read whole.
        while raw and (len(raw) % 2 or (not raw.endswith(self._end) and len(raw) <= MAX_LINE)):
            more = self._file.read(1) if len(raw) % 2 else self._file.readline(MAX_LINE + 1)
            if not more:
                break
            raw += more
        return raw

    # --- CSV --------------------------------------------------------------------------------------------------------

    def _begin_csv(self) -> None:
        named = _SEPARATOR.fullmatch(self._first.rstrip("\r\n"))
        if named:
            self._first = self._read_first()
        delimiter = named[1] if named else max(_DELIMITERS, key=_outside_quotes(self._first).count)

        def lines() -> Iterator[str]:
            yield self._first
            for line in self._lines:
                self._begins = self._begins or self._line
                yield line

        self._csv = csv.reader(lines(), delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(self._csv, [])]
        except csv.Error as error:
            self._refuse_bad()
            raise UsageError(
                f"The header line is not valid CSV: {error}", code="header", advice="Correct the first line"
            ) from None
        self._refuse_bad()
        folded = [name.casefold() for name in header]
        for name in self._columns:
            wanted = self._columns[name].casefold()
            if folded.count(wanted) > 1:
                raise UsageError(f"Two columns are named {self._columns[name]}", code="column", advice="Rename one")
            if wanted in folded:
                self._columns[name] = header[folded.index(wanted)]
            elif name in self._explicit:
                raise _no_column(self._columns[name], name, header)
        people = [self._columns[name] for name in _PERSON if name in self._columns]
        if not any(column in header for column in people):
            raise _no_column(people[0], "ssn", header)
        self._header = header
        self._places = [(name, header.index(column)) for name, column in self._columns.items() if column in header]

    def _next_csv(self) -> Row | BadRow | None:
        self._begins = 0
        try:
            cells = next(self._csv)
        except csv.Error as error:
            to = f" up to line {self._line}" if self._line > self._begins else ""
            return BadRow(self._begins, "csv", f"is not valid CSV{to}: {error}")
        cells = list(map(str.strip, cells))
        # If one of its lines could not be decoded, the report of that line stands for the row.
        if not any(cells) or (self._bad and any(bad.line > self._begins for bad in self._bad)):
            return None
        due = len(self._header)
        if len(cells) < due or any(cells[due:]):
            count = f"{len(cells)} cell" if len(cells) == 1 else f"{len(cells)} cells"
            return BadRow(self._begins, "cells", f"has {count}, but the header has {due}")
        return Row(self._begins, {name: cells[place] for name, place in self._places if cells[place]})

    # --- JSON Lines -------------------------------------------------------------------------------------------------

    def _next_jsonl(self) -> Row | BadRow | None:
        text = self._first or next(self._lines)
        self._first = ""
        if not text.strip():
            return None
        try:
            members = load_object(text.encode())
        except ValueError:
            return BadRow(self._line, "json", "is not a JSON object")
        values: dict[str, str] = {}
        for name, column in self._columns.items():
            value = members.get(column)
            if value is None:
                continue
            if not isinstance(value, str):
                return BadRow(self._line, "text", "is not a string; as a number, it would lose leading zeros", column)
            if value.strip():
                values[name] = value.strip()
        return Row(self._line, values)


def _known(encoding: str) -> str:
    end = b""
    with suppress(LookupError, ValueError):  # also from codecs that are not for text
        end = "\n".encode(encoding)
    if end not in {b"\n", b"\n\0", b"\0\n"}:
        raise UsageError(
            "The encoding is unknown, or unsuitable for text with lines",
            code="encoding",
            advice="Pass another, such as utf-8, cp1252 or latin-1",
        )
    return codecs.lookup(encoding).name


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])


def _undecodable(line: int, raw: bytes, error: UnicodeDecodeError, encoding: str) -> BadRow:
    column = len(raw[: error.start].decode(encoding, "replace")) + 1
    return BadRow(line, "encoding", f"is not valid {encoding}: byte 0x{raw[error.start]:02X} at column {column}")


def _unreadable(bad: BadRow) -> UsageError:
    advice = "Save the file as UTF-8, or pass its encoding, on Windows often --encoding cp1252"
    return UsageError(f"Line {bad.line} {bad.why}", code=bad.code, advice=advice)


def _no_column(column: str, name: str, header: Sequence[str]) -> UsageError:
    # If the header line is missing, these are cells of a person's row.
    shown = ", ".join("(digits)" if _DIGITS.search(cell) else cell[:40] for cell in header)
    return UsageError(
        f"The header line has no column {column}; its columns are: {shown}",
        code="column",
        advice=f"Pass --column {name}=NAME, or add a header line if the file has none",
    )
