"""Tests of whole tables of people that programs have had their hands on."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from idura_ciba import FrejaID, NorwegianBankID, SwedishBankID
from idura_ciba.batch.reading import BadRow, RowReader
from idura_ciba.cli.people import Choices, People
from tests.national_numbers import BLANKS, PEOPLE, TODAY, Person, noise

#: What may stand around a cell and does not end its row.
_LINE_BREAKS = str.maketrans("", "", "".join(blank for blank in BLANKS if len(blank.splitlines()[0]) == 0))


def damaged(person: Person, draw: st.DrawFn) -> str:
    """A number that has lost what nobody can put back."""
    digits = "".join(filter(str.isdigit, person.number))
    return draw(
        st.sampled_from(
            (
                f"{int(digits):.4E}",
                f"{int(digits):,}",
                person.number[:-1],
                f"{person.number[:3]}O{person.number[4:]}",
                f"{person.number};{person.number}",
                person.number[:8],
            )
        )
    )


def hint(person: Person) -> str:
    """By what exactly this person is asked."""
    requests = {
        "SE": lambda: SwedishBankID(person.number, call_initiator="RP", message="Hello"),
        "NO": lambda: NorwegianBankID(person.number),
        "DK": lambda: FrejaID(person.number, country="DK"),
        "FI": lambda: FrejaID(person.number, country="FI"),
    }
    return str(requests[person.country]().login_hint)


def in_a_sheet(rows: list[list[str]], draw: st.DrawFn) -> bytes:
    """A workbook, in which some numbers became numbers; those that lose nothing by it."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        loses = [not (cell.isascii() and cell.isdigit()) or cell[0] == "0" for cell in row]
        sheet.append(
            [cell if lost or draw(st.booleans()) else int(cell) for cell, lost in zip(row, loses, strict=True)]
        )
        # Of cells that look like formulas, a sheet keeps the result.
        for cell in sheet[sheet.max_row]:
            cell.data_type = "s" if isinstance(cell.value, str) else cell.data_type
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def in_a_table(rows: list[list[str]], draw: st.DrawFn) -> bytes:
    """Text, in one of the encodings, perhaps packed."""
    table = io.StringIO()
    end = draw(st.sampled_from(("\n", "\r\n", "\r")))
    csv.writer(table, delimiter=draw(st.sampled_from(",;\t|")), lineterminator=end).writerows(rows)
    data = table.getvalue().encode(draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-16-le"))))
    return gzip.compress(data) if draw(st.booleans()) else data


def in_json(rows: list[list[str]], draw: st.DrawFn) -> bytes:
    """An array, or an object on each line."""
    people = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    lines = "\n".join(map(json.dumps, people))
    return draw(st.sampled_from((lines, json.dumps(people), json.dumps(people, indent=2)))).encode()


@pytest.mark.unmeasured
@settings(max_examples=40)
@given(people=st.lists(st.tuples(PEOPLE, st.booleans()), min_size=1, max_size=8), data=st.data())
@pytest.mark.parametrize("write", [in_a_table, in_json, in_a_sheet])
def test_everybody_is_asked_by_the_right_number_or_not_at_all(
    write: Callable[[list[list[str]], st.DrawFn], bytes], people: list[tuple[Person, bool]], data: st.DataObject
) -> None:
    """Whatever was done to the table, each row is somebody's own or refused, and the trial says the same."""
    shown = data.draw(st.sampled_from((str.lower, str.upper, str.title)))
    table = [[shown(name) for name in ("key", "ssn", "eid", "country")]]
    for nth, (person, whole) in enumerate(people):
        cell = noise(data.draw(st.sampled_from(person.all_forms)) if whole else damaged(person, data.draw))
        eid = {"SE": "se", "NO": "no"}.get(person.country, "freja")
        table.append([f"row {nth}", data.draw(cell).translate(_LINE_BREAKS), eid, person.country])
    rows = list(RowReader(io.BytesIO(write(table, data.draw))))
    assert len(rows) == len(people)

    choices = Choices(eid="se", options={"call_initiator": "RP", "message": "Hello"})
    asking, trial = People(choices), People(choices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("idura_ciba.eids.written_number._present_day", lambda: TODAY)
        made = [asking.request(row) for row in rows]
        refused = list(trial.check(iter(rows)))
    for nth, ((person, whole), each) in enumerate(zip(people, made, strict=True)):
        assert isinstance(each, BadRow) is not whole
        key = each.key if isinstance(each, BadRow) else each[0]
        assert key == f"row {nth}"
        assert isinstance(each, BadRow) or each[1].login_hint == hint(person)
    assert refused == [each for each in made if isinstance(each, BadRow)]
    assert (trial.good, trial.bad, trial.again) == (asking.good, asking.bad, asking.again)
    asking.close()
    trial.close()
