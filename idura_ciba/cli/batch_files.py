"""The files of a batch: input, results, journal, spoken words and invalid rows."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, TextIO

from attrs import frozen

from idura_ciba import ArgumentError
from idura_ciba.batch.reading import FIELDS, BadRow, Format, RowReader
from idura_ciba.batch.sources import Source
from idura_ciba.batch.system import BINARY
from idura_ciba.cli.files import PRIVATE
from idura_ciba.cli.text import counted, say

__all__ = ["BadRows", "Files", "column_names", "count_lines", "opened", "rows_in"]

#: Invalid rows shown on the terminal; there may be a million.
_SHOWN: Final = 5
_CHUNK: Final = 1 << 20


@frozen(kw_only=True)
class Files:
    """Where the output goes.

    Attributes:
        out: The results; None for standard output.
        output_format: The format of the results.
        journal: The journal; None for a run that keeps none.
        words: The file for spoken words, or None.
    """

    out: Path | None
    output_format: Format
    journal: Path | None
    words: Path | None

    @classmethod
    def of(cls, out: str, *, journal: Path | None, words: Path | None, keeps_journal: bool) -> Self:
        """Derive the paths and the format that were not given.

        Raises:
            UsageError: The journal has no path, or the format is unknown.
        """
        if out == "-":
            if journal is None and keeps_journal:
                raise ArgumentError(
                    "No journal file given; without a journal, a crash would lose answers",
                    code="journal",
                    advice="Pass --journal FILE",
                )
            return cls(out=None, output_format="jsonl", journal=journal, words=words)
        endings: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
        output_format = endings.get(Path(out).suffix.lower())
        if output_format is None:
            raise ArgumentError(
                f"The name {out} does not tell the output format", code="out", advice="End it in .csv or .jsonl"
            )
        beside = Path(f"{out}.journal") if keeps_journal else None
        return cls(out=Path(out), output_format=output_format, journal=journal or beside, words=words)


@contextmanager
def opened(
    source: str,
    *,
    columns: Mapping[str, str],
    input_format: Format | None,
    encoding: str | None,
    fields: Sequence[str] = FIELDS,
    ignored: Sequence[str] = (),
    sheet: str | None = None,
) -> Iterator[RowReader]:
    """Open the input. A text is decoded once beforehand, so that a wrong encoding is found before anybody is asked.

    Raises:
        UsageError: The input cannot be read; see also `RowReader`.
    """
    reason, file = "", None
    try:
        # Not sys.stdin: a thread that waits for it must not keep the program from ending.
        file = open(0, "rb", closefd=False) if source == "-" else Path(source).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if file is None:
        raise ArgumentError(f"The file {source} cannot be read: {reason}", code="file", advice="Check the path")
    try:
        reader = RowReader(
            file,
            columns=columns,
            format=input_format,
            encoding=encoding,
            fields=fields,
            ignored=ignored,
            sheet=sheet,
        )
        # A named pipe can be read only once.
        if source != "-" and file.seekable() and not reader.source.is_workbook:
            _check_encoding(Path(source), reader.encoding)
        try:
            yield reader
        finally:
            reader.close()
    finally:
        # A thread may still be reading standard input, and closing would wait for it.
        if source != "-":
            file.close()


def _check_encoding(path: Path, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    good = True
    with path.open("rb") as file:
        stream = Source(file, encoding=encoding).stream
        try:
            while chunk := stream.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            good = False
    if not good:
        with path.open("rb") as file:
            _raise_at_invalid_byte(Source(file, encoding=encoding).stream, encoding)


def _raise_at_invalid_byte(file: BinaryIO, encoding: str) -> None:
    """Raise an error with the position of the first byte that cannot be decoded."""
    decoder, line, column, is_over = codecs.getincrementaldecoder(encoding)(), 1, 1, False
    while not is_over:
        byte = file.read(1)
        is_over = not byte
        try:
            text = decoder.decode(byte, final=is_over)
        except UnicodeDecodeError as error:
            # Not the byte just read: it may only reveal that the character before it is incomplete.
            bad = error.object[error.start]
            raise ArgumentError(
                f"Line {line} is not valid {encoding}: byte 0x{bad:02X} at column {column}",
                code="encoding",
                advice="Save the file as UTF-8, or pass its encoding, on Windows often --encoding cp1252",
            ) from None
        line, column = (line + 1, 1) if text == "\n" else (line, column + len(text))


def count_lines(path: Path) -> int:
    """Return the number of lines of a file."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")


def rows_in(path: Path, reader: RowReader) -> int | None:
    """How many rows a file has, if its lines tell; a pipe with a name can be read once only."""
    if not path.is_file() or not reader.source.is_plain:
        return None
    return count_lines(path) - (reader.format == "csv")


def column_names(options: Sequence[str], fields: Sequence[str] = FIELDS) -> dict[str, str]:
    """Read `FIELD=NAME` options.

    Args:
        options: What was said.
        fields: What a row can say.

    Raises:
        UsageError: One does not have that form, or names an unknown field.
    """
    names = {}
    for option in options:
        name, equals, column = option.partition("=")
        if name not in fields or not equals or not column:
            raise ArgumentError(
                f"--column must be FIELD=NAME, where FIELD is one of {', '.join(fields)}",
                code="column",
                advice="For example: --column ssn=Personnummer",
            )
        names[name] = column
    return names


class BadRows:
    """Reports invalid rows: the first few on the terminal, all of them in a file that is created for the first one.

    Args:
        path: The file; None for the terminal alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._count = 0
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        """Create nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file.

        Raises:
            UsageError: The file could not be written completely.
        """
        if self._count > _SHOWN:
            where = "--bad-rows FILE lists them all" if self._path is None else f"all are in {self._path}"
            say(f"{counted(self._count - _SHOWN, 'more row')}; {where}.")
        if self._file is not None:
            with self._writing():
                self._file.close()

    def add(self, row: BadRow) -> None:
        """Report one row.

        Raises:
            UsageError: The file cannot be written.
        """
        self._count += 1
        if self._count <= _SHOWN:
            column = f", column {row.column}" if row.column else ""
            say(f"Line {row.line}{column} {row.why}. {row.remedy}. [{row.code}]", style="yellow")
        if self._path is None:
            return
        with self._writing():
            if self._file is None:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, PRIVATE)
                self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow(("line", "key", "column", "code", "why", "remedy"))
            csv.writer(self._file).writerow((row.line, row.key, row.column, row.code, row.why, row.remedy))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        reason = ""
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            raise ArgumentError(
                f"The file {self._path} cannot be written: {reason}", code="file", advice="Choose another path"
            )
