"""Open files of people, as many different programs write them, and read their lines.

Rules:
1. What a file is, its first bytes say, not its name. What cannot be read as text is named, with what to do.
2. Text has one form from here on: lines that end in a line feed, in an encoding of which a line feed is known.
3. Only one line is in memory at a time, and none may be longer than `MAX_LINE`.
"""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final

from idura_ciba.batch.rows import BadRow
from idura_ciba.errors import ArgumentError, UsageError

__all__ = ["MAX_LINE", "Lines", "Source", "unreadable"]

#: In bytes; more than any row needs.
MAX_LINE: Final = 65536

#: Bytes by which a file is known. No more: somebody may write into a pipe, line by line.
_HEAD: Final = 4
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
#: Files that hold no text, by their first bytes.
_OTHERS: Final = (
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zX", "an xz file"),
    (b"(\xb5/\xfd", "a zstd file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLi", "a SQLite database"),
    (b"{\\rt", "a rich text document"),
)


class _Stream(io.RawIOBase):
    """A binary stream after some bytes that were read from it already.

    Args:
        head: Those bytes.
        file: Where more of them come from.
        swapped: A carriage return and a line feed, as bytes, if they are to change places.
    """

    def __init__(self, head: bytes, file: BinaryIO | gzip.GzipFile, swapped: tuple[bytes, bytes] | None = None) -> None:
        self._head = head
        self._file = file
        self._swapped = swapped

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give the head first; then what comes, without waiting for more of it."""
        room = len(buffer)
        data, self._head = self._head[:room], self._head[room:]
        if not data:
            data = self._more(room)
        if self._swapped:
            data = self._swap(data)
        buffer[: len(data)] = data
        return len(data)

    def _more(self, size: int) -> bytes:
        with suppress(EOFError, gzip.BadGzipFile, zlib.error):
            data: bytes = getattr(self._file, "read1", self._file.read)(size) or b""
            return data
        raise ArgumentError(
            "The compressed file is damaged, or ends early", code="damaged", advice="Get the whole file"
        )

    def _swap(self, data: bytes) -> bytes:
        assert self._swapped is not None  # noqa: S101 - for type checkers: the only caller has looked
        one, other = self._swapped
        if len(one) == 1:
            return data.translate(bytes.maketrans(one + other, other + one))
        if len(data) % 2:  # the buffer has an even size, so there is room
            data += self._more(1)
        units = array("H", data[: len(data) // 2 * 2])
        cr, lf = (int.from_bytes(unit, sys.byteorder) for unit in self._swapped)
        exchanged = {cr: lf, lf: cr}
        return array("H", [exchanged.get(unit, unit) for unit in units]).tobytes() + data[len(units) * 2 :]


class Source:
    """A file of people, opened: a text of lines or a workbook.

    Args:
        file: The binary file to read; need not be seekable.
        encoding: None: UTF-8, or as the first bytes say. A byte order mark goes before it.

    Attributes:
        encoding: The encoding of the lines.
        is_workbook: The file is a zip archive, which an `.xlsx` file is; it has no lines.
        is_plain: The lines are those of the file, and it can be counted how many they are.
        file: The file itself.
        start: The first line of a text, or as much of it as may be.
        stream: What is read.

    Raises:
        UsageError: The encoding is unknown, or the file holds no text.
    """

    def __init__(self, file: BinaryIO, *, encoding: str | None = None) -> None:
        self.file = file
        self.stream: io.BufferedReader
        head, self.stream = _ahead(file)
        self.is_plain: bool = not head.startswith(_GZIP)
        if not self.is_plain:
            head, self.stream = _ahead(gzip.GzipFile(fileobj=self.stream))
        self.is_plain = self.is_plain and not head.startswith(_ZIP)
        self.is_workbook: bool = head.startswith(_ZIP)
        what = next((name for start, name in _OTHERS if head.startswith(start)), None)
        if what is not None:
            raise ArgumentError(f"The file is {what}", code="file_kind", advice="Save it as CSV in UTF-8")
        bom, found = next(((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", ""))
        if found.startswith("utf-32"):
            raise ArgumentError("The file is in UTF-32", code="file_kind", advice="Save it as UTF-8")
        self.stream.read(len(bom))
        self.start: str = ""
        self.encoding: str = found or (_known(encoding) if encoding else _guessed(head))
        if not self.is_workbook:
            self._put_line_ends_right()

    def _put_line_ends_right(self) -> None:
        """Where lines end in a carriage return alone, let them end in a line feed."""
        cr, lf = "\r".encode(self.encoding), "\n".encode(self.encoding)
        first = _read_line(self.stream, lf)
        # Within quotes, they are the text of a cell.
        self.start = first.decode(self.encoding, "replace")
        outside = "".join(self.start.split('"')[::2])
        alone = "\r" in outside.rstrip("\r\n")
        self.is_plain = self.is_plain and not alone
        self.stream = io.BufferedReader(_Stream(first, self.stream, (cr, lf) if alone else None))


class Lines:
    """The lines of a text, one at a time; a line that cannot be decoded is a refused row.

    Args:
        source: The text.

    Attributes:
        number: The number of the line read last, from 1.
        bad: Lines that could not be read, and of which nobody has taken notice.
        is_cut: The line read last has no end.
        text: That line.
    """

    def __init__(self, source: Source) -> None:
        self.number: int = 0
        self.bad: list[BadRow] = []
        self.is_cut: bool = False
        self.text: str = ""
        self._stream = source.stream
        self._encoding = source.encoding
        self._end = "\n".encode(source.encoding)
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        """The lines that have not been read."""
        return self._lines

    def _read(self) -> Iterator[str]:
        read, end, encoding, bad = self._reader(), self._end, self._encoding, self.bad
        while raw := read(MAX_LINE + 1):
            self.number += 1
            if len(raw) > MAX_LINE:
                bad.append(BadRow(self.number, "too_long", f"is longer than {MAX_LINE:,} bytes"))
                while raw and not raw.endswith(end):
                    raw = read(MAX_LINE + 1)
                continue
            try:
                self.text = text = raw.decode(encoding)
            except UnicodeDecodeError as error:
                bad.append(_undecodable(self.number, raw, error, encoding))
                continue
            if text[-1] != "\n":
                self.is_cut = True
            yield text

    def _reader(self) -> Callable[[int], bytes]:
        return self._stream.readline if len(self._end) == 1 else lambda _most: _read_line(self._stream, self._end)


def unreadable(bad: BadRow) -> UsageError:
    """The error about a first line that cannot be read."""
    advice = "Save the file as UTF-8, or pass its encoding, on Windows often --encoding cp1252"
    return ArgumentError(f"Line {bad.line} {bad.why}", code=bad.code, advice=advice)


def _ahead(file: BinaryIO | gzip.GzipFile) -> tuple[bytes, io.BufferedReader]:
    """The first bytes of a stream, and the stream with these bytes still in it."""
    stream, head = io.BufferedReader(_Stream(b"", file)), b""
    while len(head) < _HEAD and (more := stream.read1(_HEAD - len(head))):
        head += more
    return head, io.BufferedReader(_Stream(head, stream))


def _read_line(stream: io.BufferedReader, end: bytes) -> bytes:
    """One line with its end; a part of it if it is longer than `MAX_LINE`."""
    raw = stream.readline(MAX_LINE + 1)
    if len(end) == 1:
        return raw
    # UTF-16: a byte 0x0a may be half of a character, and a character must be read whole.
    while raw and (len(raw) % 2 or (not raw.endswith(end) and len(raw) <= MAX_LINE)):
        more = stream.read(1) if len(raw) % 2 else stream.readline(MAX_LINE + 1)
        if not more:
            break
        raw += more
    return raw


def _guessed(head: bytes) -> str:
    """The encoding of a text without a mark: letters that stand for themselves have a zero byte in UTF-16."""
    if head[:1] == b"\0" != head[1:2]:
        return "utf-16-be"
    return "utf-16-le" if head[1:2] == b"\0" != head[:1] and head else "utf-8"


def _known(encoding: str) -> str:
    end = b""
    with suppress(LookupError, ValueError):  # also from codecs that are not for text
        end = "\n".encode(encoding)
    if end not in {b"\n", b"\n\0", b"\0\n"}:
        raise ArgumentError(
            "The encoding is unknown, or unsuitable for text with lines",
            code="encoding",
            advice="Pass another, such as utf-8, cp1252 or latin-1",
        )
    return codecs.lookup(encoding).name


def _undecodable(line: int, raw: bytes, error: UnicodeDecodeError, encoding: str) -> BadRow:
    column = len(raw[: error.start].decode(encoding, "replace")) + 1
    return BadRow(line, "encoding", f"is not valid {encoding}: byte 0x{raw[error.start]:02X} at column {column}")
