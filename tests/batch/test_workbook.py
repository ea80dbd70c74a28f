"""Tests of reading Excel workbooks."""

from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile
from typing import Any

import pytest
from openpyxl import Workbook as Book

from idura_ciba.batch.reading import BadRow, Row, RowReader
from idura_ciba.errors import UsageError
from tests.fakes import swedish_number

ONE, TWO = swedish_number(1), swedish_number(2)
NORWEGIAN = "01023990128"


def saved(*rows: list[Any], formats: dict[str, str] | None = None, **more: list[list[Any]]) -> bytes:
    """A workbook with a sheet of these rows, and others after it."""
    book = Book()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    for place, form in (formats or {}).items():
        sheet[place].number_format = form
    for name, others in more.items():
        other = book.create_sheet(name)
        for row in others:
            other.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def read(data: bytes, **options: Any) -> list[Row | BadRow]:
    """All rows."""
    reader = RowReader(io.BytesIO(data), **options)
    try:
        return list(reader)
    finally:
        reader.close()


def refused(data: bytes, **options: Any) -> UsageError:
    """The error about a file."""
    with pytest.raises(UsageError) as caught:
        read(data, **options)
    return caught.value


def test_people_of_a_sheet_are_read() -> None:
    """By the numbers of its rows; empty ones are passed over, and cells at the end may be missing."""
    data = saved(
        ["Key", " SSN", "message"], ["a", ONE, "Hej\npå dig, du"], [], ["b", f" {TWO} "], ["c"], [1, ONE, "", "x"]
    )
    rows = read(data)
    assert rows[:2] == [
        Row(2, {"key": "a", "ssn": ONE, "message": "Hej\npå dig, du"}),
        Row(4, {"key": "b", "ssn": TWO}),
    ]
    assert [(row.line, getattr(row, "code", None)) for row in rows[2:]] == [(5, "cells"), (6, "cells")]


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (int(ONE), "General", ONE),
        (float(ONE), "0", ONE),
        (int(NORWEGIAN), "0" * 11, NORWEGIAN),
        (int(NORWEGIAN), "General", NORWEGIAN[1:]),
        (1.5, "General", "1.50000E+00"),
        (2.09801e17, "General", "2.09801E+17"),
        (True, "General", "TRUE"),
        (dt.date(2098, 1, 1), "yyyy-mm-dd", "2098-01-01T00:00:00"),
        ("=A1", "General", None),
    ],
)
def test_numbers_are_the_digits_that_one_sees(value: Any, form: str, text: str | None) -> None:
    """Where they are exact; what is lossy keeps a form that no number has, and a formula never run is empty."""
    (row,) = read(saved(["key", "ssn"], ["a", value], formats={"B2": form}))
    assert isinstance(row, Row)
    assert row.values.get("ssn") == text


def test_a_sheet_can_be_named() -> None:
    """The first one is read otherwise."""
    data = saved(["ssn"], [ONE], People=[["ssn"], [TWO]])
    assert read(data) == [Row(2, {"ssn": ONE})]
    assert read(data, sheet="People") == [Row(2, {"ssn": TWO})]
    error = refused(data, sheet="people")
    assert error.code == "sheet"


def test_a_workbook_may_be_left_in_the_middle() -> None:
    """Nothing stays open."""
    reader = RowReader(io.BytesIO(saved(["ssn"], [ONE], [TWO])))
    assert next(iter(reader)) == Row(2, {"ssn": ONE})
    reader.close()
    assert list(reader) == []


def test_columns_are_looked_at_as_in_other_files() -> None:
    """A sheet can be misspelt too."""
    assert refused(saved(["ssn", "Mesage"], [ONE, "x"])).code == "column_unknown"
    assert refused(saved(["number"], [ONE])).code == "column"
    assert refused(saved()).code == "column"


def archive(*names: str) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive("people.csv"), "a zip archive"),
        (archive("word/document.xml"), "a Word document"),
        (archive("mimetype", "content.xml"), "an OpenDocument file"),
        (archive("xl/workbook.bin"), "a binary workbook"),
        (archive("xl/workbook.xml"), "damaged"),
        (saved(["ssn"])[:500], "damaged"),
    ],
)
def test_what_is_no_workbook_is_named(data: bytes, words: str) -> None:
    """A zip archive may be many things."""
    error = refused(data)
    assert words in str(error)
    assert error.code in {"file_kind", "damaged"}


def test_without_the_extra_the_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    file = saved(["ssn"], [ONE])  # before: openpyxl imports itself when it saves
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    error = refused(file)
    assert error.code == "extra_missing"
    assert "pip install 'idura_ciba[xlsx]'" in str(error)


def test_a_workbook_with_too_much_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be in memory at once."""
    assert refused(archive("xl/workbook.xml", "xl/sharedStrings.xml")).code == "damaged"
    monkeypatch.setattr("idura_ciba.batch.workbook._MOST_TEXT", 0)
    assert refused(archive("xl/workbook.xml", "xl/sharedStrings.xml")).code == "too_long"
