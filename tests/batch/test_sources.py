"""Tests of opening files: what they are, what their lines are, and what is named instead of read."""

from __future__ import annotations

import codecs
import gzip
import io
from typing import Any

import pytest

from idura_ciba.batch.reading import BadRow, Row, RowReader
from idura_ciba.batch.sources import MAX_LINE, Lines, Source
from idura_ciba.errors import UsageError
from tests.fakes import swedish_number

ONE, TWO = swedish_number(1), swedish_number(2)
TEXT = f'key,ssn,message\na,{ONE},"Hej på\ndig \u0a0d\u0d0a"\nb,{TWO},Hej\n'


def read(data: bytes, **options: Any) -> list[dict[str, str]]:
    """The values of all rows, none of which may be bad."""
    rows = list(RowReader(io.BytesIO(data), **options))
    assert not any(isinstance(row, BadRow) for row in rows), rows
    return [dict(row.values) for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"], ids=ascii)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_people_are_the_same_however_their_text_is_stored(end: str, encoding: str, *, packed: bool) -> None:
    """With or without a mark, with line ends of any system, compressed or not."""
    data = TEXT.replace("\n", end).encode(encoding)
    first, second = read(gzip.compress(data) if packed else data)
    assert {**first, "message": first["message"].split()} == {
        "key": "a", "ssn": ONE, "message": ["Hej", "på", "dig", "\u0a0d\u0d0a"],
    }  # fmt: skip
    assert second == {"key": "b", "ssn": TWO, "message": "Hej"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("size", [1, 3, 1000, 8191, 8192, 8193])
def test_line_ends_on_the_edge_of_a_buffer_are_whole(encoding: str, size: int) -> None:
    """A file of carriage returns may be long."""
    lines = ["ssn,message", *(f"{ONE},{'x' * size}{nth}" for nth in range(30))]
    rows = read("\r".join(lines).encode(encoding))
    assert [row["message"].lstrip("x") for row in rows] == list(map(str, range(30)))


def test_the_lines_of_such_a_file_have_numbers() -> None:
    """A bad row is found again."""
    rows = list(RowReader(io.BytesIO(f"ssn,key\r{ONE},a\r,b,c,d\r{TWO},e".encode())))
    assert [(row.line, isinstance(row, Row)) for row in rows] == [(2, True), (3, False), (4, True)]


KINDS: dict[str, tuple[bytes, str]] = {
    "a PDF document": (b"%PDF-1.7\n", "a PDF document"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word document"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "an empty archive": (b"PK\x05\x06" + bytes(18), "an empty zip archive"),
    "UTF-32": (codecs.BOM_UTF32_LE + "ssn\n1\n".encode("utf-32-le"), "in UTF-32"),
    "xz": (b"\xfd7zXZ\0", "an xz file"),
    "a database": (b"SQLite format 3\0", "a SQLite database"),
    "compressed": (gzip.compress(b"%PDF-1.7\n"), "a PDF document"),
}


@pytest.mark.parametrize(("data", "what"), KINDS.values(), ids=KINDS)
def test_a_file_that_is_no_text_is_named(data: bytes, what: str) -> None:
    """Instead of a missing column full of junk."""
    with pytest.raises(UsageError, match=f"The file is {what}") as caught:
        read(data)
    assert caught.value.code == "file_kind"
    assert "UTF-8" in caught.value.advice


@pytest.mark.parametrize("kept", [20, -9, -4])
def test_a_compressed_file_that_ends_early_is_an_error(kept: int) -> None:
    """Nobody knows who stood in the rest."""
    data = gzip.compress("".join([TEXT, *(f"k{nth},{ONE},x\n" for nth in range(2000))]).encode())
    with pytest.raises(UsageError) as caught:
        read(data[:kept])
    assert caught.value.code == "damaged"


def test_a_line_that_is_too_long_is_one_bad_line() -> None:
    """To its end, and the next one is read; the last line may have no end."""
    lines = Lines(Source(io.BytesIO(b"a\n" + b"x" * 3 * MAX_LINE + b"\nb")))
    assert [(lines.number, lines.is_cut, text) for text in lines] == [(1, False, "a\n"), (3, True, "b")]
    assert [(bad.line, bad.code) for bad in lines.bad] == [(2, "too_long")]


@pytest.mark.parametrize("data", [b"", b"s", b"\0", b"\xff\xfe", b"\x1f\x8b", b"PK\x03\x04"])
def test_a_file_of_a_few_bytes_is_an_error(data: bytes) -> None:
    """Whatever it was meant to become."""
    with pytest.raises(UsageError):
        read(data)
