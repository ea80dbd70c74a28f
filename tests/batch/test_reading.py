"""Tests of reading people from whatever a program has written."""

from __future__ import annotations

import codecs
import csv
import io
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from idura_ciba.batch.columns import Columns, folded
from idura_ciba.batch.reading import FIELDS, MAX_LINE, BadRow, Row, RowReader
from idura_ciba.errors import UsageError
from tests.fakes import swedish_number

ONE, TWO = swedish_number(1), swedish_number(2)
_FORMATS = st.sampled_from((None, "csv", "jsonl"))
#: Files out of pieces that mean something, so that chance goes deep.
_PIECES = st.lists(
    st.sampled_from((
        b"ssn", b"key", b",", b";", b"\t", b"|", b'"', b"\n", b"\r\n", b"\r", b"\0", b"sep=;", b"sep=", b"{", b"}",
        b":", b"1", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\n\0", b"\0\n", b"\xc3", "å".encode(), b"\x85", b" ",
        b'{"ssn": "x"}', b"x" * (MAX_LINE + 1), b'"' + b"\n" * 9 + b"x" * MAX_LINE,
    ))
).map(b"".join)  # fmt: skip


def read(data: bytes, **options: Any) -> list[Row | BadRow]:
    """All rows of a file."""
    return list(RowReader(io.BytesIO(data), **{"ignored": ("*",), **options}))


def people(data: bytes, **options: Any) -> list[tuple[int, dict[str, str]]]:
    """The lines and values of all rows, none of which may be bad."""
    rows = read(data, **options)
    assert all(isinstance(row, Row) for row in rows)
    return [(row.line, dict(row.values)) for row in rows if isinstance(row, Row)]


def bad(data: bytes, **options: Any) -> list[tuple[int, str, str | None]]:
    """Where the bad rows are, what is wrong with them and in which column."""
    return [(row.line, row.code, row.column) for row in read(data, **options) if isinstance(row, BadRow)]


def refused(data: bytes, **options: Any) -> UsageError:
    """The error about a file as a whole."""
    with pytest.raises(UsageError) as caught:
        read(data, **options)
    return caught.value


def _is_other(name: str) -> bool:
    """Whether a name is one, and not like that of a field."""
    return Columns(FIELDS, {}).like(name) is None and folded(name) not in {"", *FIELDS}


def quoted(rows: list[list[str]], **dialect: Any) -> str:
    """As a program writes CSV."""
    file = io.StringIO()
    csv.writer(file, **dialect).writerows(rows)
    return file.getvalue()


# --- what a file may look like ----------------------------------------------------------------------------------------

SPELLINGS: dict[str, bytes] = {
    "commas": b"key,ssn\na,%s\nb,%s\n",
    "semicolons": b"key;ssn\na;%s\nb;%s\n",
    "tabs": b"key\tssn\na\t%s\nb\t%s\n",
    "bars": b"key|ssn\na|%s\nb|%s\n",
    "line ends of Windows": b"key,ssn\r\na,%s\r\nb,%s\r\n",
    "no line end at the end": b"key,ssn\na,%s\nb,%s",
    "a byte order mark": codecs.BOM_UTF8 + b"key,ssn\na,%s\nb,%s\n",
    "quotes": b'"key","ssn"\n"a","%s"\n"b","%s"\n',
    "semicolons in a quoted name": b'key,"ssn",";;;"\na,%s,\nb,%s,\n',
    "other columns and another order": b"name,ssn,key\nx,%s,a\ny,%s,b\n",
    "spaces around": b" key , ssn \n a , %s \n b , %s \n",
    "capital letters": b"KEY,Ssn\na,%s\nb,%s\n",
    "cells too many that are empty": b"key,ssn\na,%s,,\nb,%s, \n",
    "Excel's own first line": b"sep=;\r\nkey;ssn\r\na;%s\r\nb;%s\r\n",
    "one that names the tab": b"sep=\t\r\nkey\tssn\r\na\t%s\r\nb\t%s\r\n",
    "one that names something rare": b"sep=^\nkey^ssn\na^%s\nb^%s\n",
    "one before an empty line": b"sep=;\n\nkey;ssn\na;%s\nb;%s\n",
    "empty lines before the header": b"\n \nkey,ssn\na,%s\nb,%s\n",
    "JSON Lines": b'{"Key": "a", "ssn": "%s"}\n{"SSN": " %s ", "key": "b", "age": 5, "eid": null, "message": " "}\n',
    "JSON Lines with a byte order mark": codecs.BOM_UTF8 + b'{"key":"a","ssn":"%s"}\r\n{"key":"b","ssn":"%s"}',
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_people_are_the_same_however_the_file_is_written(spelling: bytes) -> None:
    """Nobody has to convert a file first."""
    reader = RowReader(io.BytesIO(spelling % (ONE.encode(), TWO.encode())), ignored=("name", "AGE", ";;;"))
    rows = [dict(row.values) for row in reader if isinstance(row, Row)]
    assert rows == [{"key": "a", "ssn": ONE}, {"key": "b", "ssn": TWO}]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le"])
def test_a_byte_order_mark_goes_before_what_was_said(encoding: str) -> None:
    """Letters of every language arrive, also those that have a line feed's byte in them."""
    mark = {"utf-16-be": codecs.BOM_UTF16_BE, "utf-16-le": codecs.BOM_UTF16_LE}.get(encoding, b"")
    text = f"ssn;message\r\n{ONE};Hej på dig \u0a0a\u0a00\u0a41\U0001f600\r\n{TWO};\u4100\u0a41\u4100"
    assert people(mark + text.encode(encoding), encoding="latin-1") == [
        (2, {"ssn": ONE, "message": "Hej på dig \u0a0a\u0a00\u0a41\U0001f600"}),
        (3, {"ssn": TWO, "message": "\u4100\u0a41\u4100"}),
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16-be", "UTF-8"])
def test_an_encoding_can_be_named(encoding: str) -> None:
    """For files that do not say it themselves."""
    assert people(f"ssn,message\n{ONE},Blåbärsgrøt\n".encode(encoding), encoding=encoding) == [
        (2, {"ssn": ONE, "message": "Blåbärsgrøt"})
    ]


@pytest.mark.parametrize(
    "encoding", ["nonsense", "rot13", "undefined", "utf-32", "utf-16", "cp037", "a\0b", "\ud800"], ids=ascii
)
def test_an_encoding_without_lines_is_refused(encoding: str) -> None:
    """Where a line ends must be plain before it is decoded."""
    assert refused(b"ssn\n", encoding=encoding).code == "encoding"


def test_a_cell_may_have_line_breaks() -> None:
    """A row is where it begins, and the rows after it are where they are."""
    data = f'key,message,ssn\n\na,"Hello,\r\n""you""\n",{ONE}\n\n,,\nb,,{TWO}\n'
    assert people(data.encode()) == [
        (3, {"key": "a", "message": 'Hello,\r\n"you"', "ssn": ONE}),
        (8, {"key": "b", "ssn": TWO}),
    ]


def test_without_a_column_of_keys_there_are_none() -> None:
    """The caller then takes the line."""
    reader = RowReader(io.BytesIO(f"ssn\n{ONE}\n".encode()))
    assert list(reader) == [Row(2, {"ssn": ONE})]


@pytest.mark.parametrize("data", [b"Personnummer,Note\n%s,x\n", b'{"number": "", "Personnummer": "%s"}\n'])
def test_columns_can_be_named(data: bytes) -> None:
    """And are then those of the fields alone."""
    ((_, values),) = people(data % ONE.encode(), columns={"ssn": "Personnummer"}, ignored=("Note", "number"))
    assert values == {"ssn": ONE}


def test_a_format_can_be_named() -> None:
    """Where the first character misleads; and a file without a line has nobody."""
    assert people(f"{{ssn;key\n{ONE};a\n".encode(), format="csv", columns={"ssn": "{ssn"}) == [
        (2, {"ssn": ONE, "key": "a"})
    ]
    assert bad(b"ssn\n", format="jsonl") == [(1, "json", None)]
    assert read(b"\n\n", format="jsonl") == []


def test_nobodys_number_is_in_a_repr() -> None:
    """Logs and crash reports show rows."""
    assert ONE not in repr(read(f"ssn\n{ONE}\n".encode()))


_NAMES = st.lists(st.text(min_size=1, max_size=8).filter(_is_other), max_size=3)
_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.data(), _NAMES, st.sampled_from(",;\t|^"), st.sampled_from(("\n", "\r\n")))
def test_what_was_written_is_read(data: st.DataObject, names: list[str], delimiter: str, end: str) -> None:
    """Whatever stands in the cells, but for the space around it."""
    # A header cell of several lines with separators in them is taken for rows that a stray quote has swallowed.
    assume(not any(delimiter in name and len(name.splitlines()) > 1 for name in names))
    header = data.draw(st.permutations([*FIELDS, *names]))
    one_line = _CELL.map(lambda cell: "".join(cell.split("\n")).replace("\r", ""))
    cells = [one_line if name in {"key", "ssn", "eid"} else _CELL for name in header]
    rows = [list(row) for row in data.draw(st.lists(st.tuples(*cells), max_size=4))]
    text = quoted([header, *rows], delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    expected = [
        {name: cell.strip() for name, cell in zip(header, row, strict=True) if name in FIELDS and cell.strip()}
        for row in rows
        if any(cell.strip() for cell in row)
    ]
    found = people(f"sep={delimiter}{end}{text}".encode(), format="csv", ignored=names)
    assert [values for _, values in found] == expected


@given(st.lists(st.dictionaries(st.sampled_from((*FIELDS, "more")), _CELL, max_size=4), max_size=4), st.booleans())
def test_what_was_written_as_json_is_read(rows: list[dict[str, str]], is_ascii: bool) -> None:
    """With or without escapes, and with the lines where they are."""
    data = "\n".join(json.dumps(row, ensure_ascii=is_ascii) for row in rows).encode()
    expected = [
        {name: value.strip() for name, value in row.items() if name != "more" and value.strip()} for row in rows
    ]
    assert people(data, format="jsonl") == list(enumerate(expected, 1))


@given(
    st.binary(max_size=200) | _PIECES,
    _FORMATS,
    st.sampled_from((None, "utf-16-le", "utf-16-be", "cp1252", "shift_jis", "iso2022_jp")),
)
def test_no_file_does_worse_than_being_refused(data: bytes, form: Any, encoding: str | None) -> None:
    """Every byte string is rows, bad rows or one error."""
    try:
        rows = read(data, format=form, encoding=encoding)
    except UsageError as error:
        assert error.code in {"column", "damaged", "header", "encoding", "too_long", "file_kind"}  # noqa: PT017 - there may be none
    else:
        assert all(1 <= row.line <= data.count(b"\n") + data.count(b"\r") + 1 for row in rows)
        if form != "jsonl":
            lines = [row.line for row in rows]
            assert len(lines) == len(set(lines))


# --- files that are refused as a whole --------------------------------------------------------------------------------


def test_a_missing_column_names_those_that_are_there() -> None:
    """So that one sees which to name."""
    error = refused(b"Key,Number,%s\n" % (b"n" * 99))
    assert error.code == "column"
    assert f"The header line has no column ssn; its columns are: Key, Number, {'n' * 40}." in str(error)
    assert "--column ssn=NAME" in str(error)


@pytest.mark.parametrize("number", [ONE, f"{ONE[:8]}-{ONE[8:]}", " ".join(ONE), f"{ONE[:4]}.{ONE[4:8]} {ONE[8:]}"])
def test_a_file_without_a_header_gives_no_number_away(number: str) -> None:
    """Its first line is somebody's data, however they write it."""
    said = str(refused(f"row 1;{number};Hej\n".encode()))
    assert "its columns are: row 1, (digits), Hej" in said
    assert ONE[-4:] not in said


MISSING: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing at all": (b"", {}),
    "empty lines": (b"\r\n\n", {}),
    "only Excel's first line": (b"sep=;\n", {}),
    "a quote as the separator": (b'sep="\nssn\n', {}),
    "a named column": (b"ssn,key\n", {"ssn": "number"}),
    "another named column": (b"ssn\n", {"key": "id"}),
    "twice": (b"ssn,SSN\n", {}),
    "a named one twice": (b"ssn,id,id\n", {"key": "id"}),
}


@pytest.mark.parametrize(("data", "columns"), MISSING.values(), ids=MISSING)
def test_a_column_that_is_not_there_once_is_an_error(data: bytes, columns: dict[str, str]) -> None:
    """Before the first row, and not once for each."""
    assert refused(data, columns=columns).code == "column"


def test_other_columns_may_stand_twice() -> None:
    """Nobody reads them."""
    assert people(f"note,ssn,note\nx,{ONE},y\n".encode(), ignored=("Note",)) == [(2, {"ssn": ONE})]


@pytest.mark.parametrize("data", [b'"ssn\n1\n', b'"ssn"x,key\n', b'ssn,"key\n1,2\n3,4"\n5,6\n'])
def test_a_header_that_is_no_csv_is_refused(data: bytes) -> None:
    """Without it no row means anything."""
    assert refused(data).code == "header"


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"n\xe4me,ssn\n", "Line 1 is not valid utf-8: byte 0xE4 at column 2"),
        (b"\xef\xbb\xbf\n\xc3\xa5\xe4,ssn\n", "Line 2 is not valid utf-8: byte 0xE4 at column 2"),
        (b"sep=,\nn\xe4me,ssn\n1,2\n", "Line 2 is not valid utf-8: byte 0xE4 at column 2"),
        (b'"n\n\xe4me",ssn\n1,2\n', "Line 2 is not valid utf-8: byte 0xE4 at column 1"),
        (b'"n\n\xe4\nme",ssn\n1,2\n', "Line 2 is not valid utf-8: byte 0xE4 at column 1"),
        (b'{"ssn": "\xe4"}\n{"ssn": "x"}', "Line 1 is not valid utf-8: byte 0xE4 at column 10"),
        (b"\xff\xfes\0\0\xd8s\0\n\0", "Line 1 is not valid utf-16-le: byte 0x00 at column 2"),
    ],
    ids=["in it", "after a mark", "after Excel's line", "at its end", "within it", "JSON", "UTF-16"],
)
def test_a_header_that_cannot_be_decoded_says_where(data: bytes, place: str) -> None:
    """Together with what to do about it."""
    error = refused(data)
    assert error.code == "encoding"
    assert place in str(error)
    assert "--encoding cp1252" in str(error)


def test_a_header_without_an_end_is_refused() -> None:
    """Whatever it is, it is no file of people."""
    assert refused(b"x" * (MAX_LINE + 1)).code == "too_long"


# --- rows that are set aside ------------------------------------------------------------------------------------------

CSV_ROWS: dict[str, tuple[bytes, str]] = {
    "too few cells": (b"x", "has 1 cell, but the header has 2"),
    "too many cells": (b"x,1,2,3", "has 4 cells, but the header has 2"),
    "something after a quote": (b'"x"y,1', "is not valid CSV: a quote or a line end"),
    "half of a line break": (b"x\ry,1", "is not valid CSV: a quote or a line end"),
    "a byte that is no letter": (b"\xc3\xa5,\xe4\xe5", "is not valid utf-8: byte 0xE4 at column 3"),
    "too long": (b"x" * 2 * MAX_LINE, "is longer than 65,536 bytes"),
}


@pytest.mark.parametrize(("row", "why"), CSV_ROWS.values(), ids=CSV_ROWS)
def test_a_bad_row_stops_nothing(row: bytes, why: str) -> None:
    """It says its line and what is wrong, and those around it are read."""
    first, found, last = read(b"key,ssn\na,%s\n%s\nb,%s\n" % (ONE.encode(), row, TWO.encode()))
    assert first == Row(2, {"key": "a", "ssn": ONE})
    assert isinstance(found, BadRow)
    assert found.line == 3
    assert found.why.startswith(why)
    assert last == Row(4, {"key": "b", "ssn": TWO})


def test_a_quote_that_is_never_closed_takes_no_more_than_it_must() -> None:
    """To the end of a small file, whose lines are all refused; in a large one reading goes on behind it."""
    first, second = read(f'key,ssn\n"a,{ONE}\nb,{TWO}\n'.encode())
    why = "begins a cell in quotes that ends nowhere, or not where a cell ends, up to line 3"
    assert first == BadRow(2, "quote", why)
    assert second == BadRow(3, "quote", "is part of the row that begins on line 2")
    *_, last = rows = read(b'key,ssn\n"a,%s\n%sb,%s\n' % (ONE.encode(), b"x,1 \n" * 40000, TWO.encode()))
    assert rows[0].line == 2
    assert isinstance(rows[0], BadRow)
    assert [row.line for row in rows] == list(range(2, 40004))
    assert last == Row(40003, {"key": "b", "ssn": TWO})


def test_a_row_of_which_a_line_cannot_be_read_is_none() -> None:
    """Without that line it would say something else; and a row after a bad line is where it is."""
    data = b'key,message,ssn\n\xff\na,"Dear\n\xff\nyou",%s\nb,,%s\n\xff\n' % (ONE.encode(), TWO.encode())
    assert bad(data) == [(line, "encoding", None) for line in (2, 3, 4, 5, 7)]
    assert [row for row in read(data) if isinstance(row, Row)] == [Row(6, {"key": "b", "ssn": TWO})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("surplus", range(4))
def test_only_lines_that_are_too_long_are_left_out(encoding: str, surplus: int) -> None:
    """To the byte, and letters are not halved by that."""
    width = len("x".encode(encoding))
    long = "x" * (MAX_LINE // width - 1 - len(ONE) + surplus)
    data = f"key,ssn\n{ONE}{long}\nb,{TWO}\n"
    assert [(row.line, isinstance(row, Row)) for row in read(data.encode(encoding), encoding=encoding)] == [
        (2, False),
        (3, True),
    ]
    assert bad(data.encode(encoding), encoding=encoding) == [(2, "too_long" if surplus else "cells", None)]


JSON_ROWS: dict[str, tuple[bytes, str, str | None]] = {
    "a number": (b'{"ssn": 5}', "text", "ssn"),
    "a switch": (b'{"ssn": "x", "key": true}', "text", "key"),
    "a list": (b'{"ssn": ["x"]}', "text", "ssn"),
    "no object": (b'["x"]', "json", None),
    "text": (b'"x"', "json", None),
    "half of one": (b'{"ssn": "x"', "json", None),
    "two": (b'{"ssn": "x"}{}', "json", None),
    "a member twice": (b'{"ssn": "x", "ssn": "y"}', "json", None),
    "half of a letter": (b'{"ssn": "\\ud800"}', "json", None),
    "a byte that is no letter": (b'{"ssn": "\xff"}', "encoding", None),
    "too long": (b'{"ssn": "%s"}' % (b"x" * MAX_LINE), "too_long", None),
}


@pytest.mark.parametrize(("row", "code", "column"), JSON_ROWS.values(), ids=JSON_ROWS)
def test_a_bad_object_stops_nothing(row: bytes, code: str, column: str | None) -> None:
    """It says its line and what is wrong, and those around it are read."""
    data = b'{"ssn": "%s"}\n\n%s\n{"ssn": "%s"}' % (ONE.encode(), row, TWO.encode())
    assert bad(data) == [(3, code, column)]
    assert [row for row in read(data) if isinstance(row, Row)] == [Row(1, {"ssn": ONE}), Row(4, {"ssn": TWO})]


def test_a_column_at_fault_has_its_own_name() -> None:
    """That of the file, which is what its owner looks for."""
    assert bad(b'{"Nummer": 5}', columns={"ssn": "Nummer"}) == [(1, "text", "Nummer")]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_no_report_quotes_a_cell(form: Any) -> None:
    """Not even where nobody knows what is a cell."""
    files = {
        "csv": f'ssn,key\n{ONE}\n"{ONE}\n"{ONE}"x,\n{ONE}\xff,\n{ONE},,{ONE}\n"{ONE}',
        "jsonl": f'"{ONE}"\n{{"ssn": {ONE}}}\n{{"key": "{ONE}", "ssn": 1}}\n{ONE}\n\xff{ONE}',
    }
    rows = [row for row in read(files[form].encode("latin-1"), format=form) if isinstance(row, BadRow)]
    assert len(rows) >= 4
    assert ONE not in str(rows)


class _Trickle(io.RawIOBase):
    """A pipe into which somebody writes one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give one byte."""
        return self._data.readinto(memoryview(buffer)[:1])


def test_a_pipe_is_read_as_it_comes() -> None:
    """One row is known before the next has been written."""
    end = f"\nb,{TWO}\n"
    pipe = _Trickle(f"key,ssn\na,{ONE}{end}".encode())
    rows = iter(RowReader(pipe))  # type: ignore[arg-type] # any raw stream
    assert next(rows) == Row(2, {"key": "a", "ssn": ONE})
    assert pipe._data.read() == end[1:].encode()
