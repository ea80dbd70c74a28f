"""Tests of the day as a table."""

from __future__ import annotations

import csv
import io

import pytest

from idura_ciba import State
from idura_ciba.desk.entry import Entry
from idura_ciba.desk.listing import COLUMNS, listing

ENTRY = Entry(
    id="a" * 32,
    nth=1,
    eid="se",
    label="Swedish BankID",
    note="=cmd|' /C calc'!A0",
    asked_at=1_767_225_600.0,
    ended_at=1_767_225_620.0,
    state=State.APPROVED,
    name="@SUM(1+1)",
    confirmed=True,
)


@pytest.mark.parametrize(("language", "delimiter"), [("en", ","), ("sv", ";"), ("no", ";"), ("da", ";")])
def test_a_spreadsheet_reads_it_and_runs_nothing(language: str, delimiter: str) -> None:
    """Whatever a note or a name begins with."""
    table = listing([ENTRY], language=language)
    head, row = csv.reader(io.StringIO(table.decode("utf-8-sig")), delimiter=delimiter)
    found = dict(zip(COLUMNS, row, strict=True))
    assert tuple(head) == COLUMNS
    assert not any(cell[:1] in {"=", "+", "-", "@"} for cell in row)
    assert found["name"] == "'@SUM(1+1)"
    assert found["person_confirmed"] == "true"
    assert ENTRY.id not in table.decode()


def test_only_an_approval_says_whether_it_is_confirmed() -> None:
    """An empty cell is neither."""
    entry = Entry(id="a" * 32, nth=1, eid="se", label="Swedish BankID", asked_at=1.0)
    (_, row) = csv.reader(io.StringIO(listing([entry], language="en").decode("utf-8-sig")))
    found = dict(zip(COLUMNS, row, strict=True))
    assert (found["person_confirmed"], found["ended_at"], found["state"]) == ("", "", "submitting")
