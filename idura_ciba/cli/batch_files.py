"""The files of a batch: what is read, what is set aside, and where everything goes."""

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

from idura_ciba import UsageError
from idura_ciba.batch.reading import FIELDS, BadRow, Format, RowReader
from idura_ciba.cli.files import PRIVATE
from idura_ciba.cli.text import say

__all__ = ["BadRows", "Files", "column_names", "count_lines", "opened"]

#: Bad rows that are told on the terminal; there may be a million.
_TOLD: Final = 5
_CHUNK: Final = 1 << 20


@frozen(kw_only=True)
class Files:
    """Where things go.

    Attributes:
        out: The results; None for the standard output.
        output_format: Of the results.
        journal: Remembers across runs; None for a run that leaves nothing.
        words: Where spoken words go, or None.
    """

    out: Path | None
    output_format: Format
    journal: Path | None
    words: Path | None

    @classmethod
    def of(cls, out: str, *, journal: Path | None, words: Path | None, keeps_journal: bool) -> Self:
        """Fill in what was not said.

        Raises:
            UsageError: It is not clear where, or in which format.
        """
        if out == "-":
            if journal is None and keeps_journal:
                raise UsageError(
                    "There is no place for the journal, without which a crash would lose answers",
                    code="journal",
                    advice="Pass --journal FILE",
                )
            return cls(out=None, output_format="jsonl", journal=journal, words=words)
        endings: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
        output_format = endings.get(Path(out).suffix.lower())
        if output_format is None:
            raise UsageError(
                f"It is not clear in which format to write {out}", code="out", advice="Name it .csv or .jsonl"
            )
        beside = Path(f"{out}.journal") if keeps_journal else None
        return cls(out=Path(out), output_format=output_format, journal=journal or beside, words=words)


@contextmanager
def opened(
    source: str, *, columns: Mapping[str, str], input_format: Format | None, encoding: str | None
) -> Iterator[RowReader]:
    """Open what is read. A file is looked through first, so that its encoding is no surprise in the middle.

    Raises:
        UsageError: It cannot be read; see also `RowReader`.
    """
    reason, file = "", None
    try:
        # Not sys.stdin: a thread that waits for it must not keep the program from ending.
        file = open(0, "rb", closefd=False) if source == "-" else Path(source).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if file is None:
        raise UsageError(f"The file {source} cannot be read: {reason}", code="file", advice="Check the path")
    try:
        reader = RowReader(file, columns=columns, format=input_format, encoding=encoding)
        # What is read from a pipe with a name is gone.
        if source != "-" and file.seekable():
            _check_encoding(Path(source), reader.encoding)
        yield reader
    finally:
        # A thread may be waiting for the standard input, and closing would wait for the thread.
        if source != "-":
            file.close()


def _check_encoding(path: Path, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    good = True
    with path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            good = False
    if not good:
        with path.open("rb") as file:
            _name_the_place(file, encoding)


def _name_the_place(file: BinaryIO, encoding: str) -> None:
    """Raise an error that says where the first byte is that cannot be read."""
    decoder, line, column, is_over = codecs.getincrementaldecoder(encoding)(), 1, 1, False
    while not is_over:
        byte = file.read(1)
        is_over = not byte
        try:
            text = decoder.decode(byte, final=is_over)
        except UnicodeDecodeError as error:
            # Not the byte just read: that one may only show that the character before it is cut off.
            bad = error.object[error.start]
            raise UsageError(
                f"Line {line} is not {encoding}: byte 0x{bad:02X} at column {column} is none of its characters",
                code="encoding",
                advice="Save the file as UTF-8, or name its encoding: --encoding cp1252 for files of Windows programs",
            ) from None
        line, column = (line + 1, 1) if text == "\n" else (line, column + len(text))


def count_lines(path: Path) -> int:
    """How many lines a file has."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")


def column_names(options: Sequence[str]) -> dict[str, str]:
    """Read `FIELD=NAME` options.

    Raises:
        UsageError: One is not of that form, or names a field that there is not.
    """
    names = {}
    for option in options:
        name, equals, column = option.partition("=")
        if name not in FIELDS or not equals or not column:
            raise UsageError(
                f"A --column is not FIELD=NAME with a FIELD of {', '.join(FIELDS)}",
                code="column",
                advice="Write for example --column ssn=Personnummer",
            )
        names[name] = column
    return names


class BadRows:
    """Reports rows that cannot be used: in a file, which is made when the first one comes, and the first few in words.

    Args:
        path: The file; None for words alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._told = 0
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        """Nothing happens before the first."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file.

        Raises:
            UsageError: Not all of it could be written.
        """
        if self._told > _TOLD:
            say(f"{self._told - _TOLD} more rows cannot be used.")
        if self._file is not None:
            with self._writing():
                self._file.close()

    def add(self, row: BadRow) -> None:
        """Report one.

        Raises:
            UsageError: The file cannot be written.
        """
        self._told += 1
        if self._told <= _TOLD:
            column = f", column {row.column}" if row.column else ""
            say(f"Line {row.line}{column} {row.why}. [{row.code}]", style="yellow")
        if self._path is None:
            return
        with self._writing():
            if self._file is None:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
                self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow(("line", "key", "column", "code", "why"))
            csv.writer(self._file).writerow((row.line, row.key, row.column, row.code, row.why))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        reason = ""
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            raise UsageError(f"The file {self._path} cannot be written: {reason}", code="file", advice="Name another")
