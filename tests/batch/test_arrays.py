"""Tests of reading JSON arrays."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.batch.arrays import is_array
from idura_ciba.batch.reading import BadRow, Row, RowReader
from idura_ciba.batch.sources import MAX_LINE
from idura_ciba.errors import UsageError
from tests.fakes import swedish_number

ONE, TWO = swedish_number(1), swedish_number(2)


def read(text: str, **options: Any) -> list[tuple[int, dict[str, str] | str]]:
    """The rows of an array, or the codes of bad ones, with their lines."""
    rows = RowReader(io.BytesIO(text.encode()), **options)
    return [(row.line, dict(row.values) if isinstance(row, Row) else row.code) for row in rows]


#: Texts that are nobody's number: hypothesis knows those of the tests, and a row with another person's is refused.
WORDS = st.text(min_size=1).filter(lambda text: sum(map(str.isdigit, text)) < 10)


@pytest.mark.parametrize("indent", [None, 0, 2])
@given(st.lists(st.dictionaries(st.sampled_from(("key", "message")), WORDS, min_size=1), max_size=4))
def test_what_was_written_is_read(indent: int | None, rows: list[dict[str, str]]) -> None:
    """However the lines are broken; a thousand people may be on one line."""
    expected = [{name: text.strip() for name, text in row.items() if text.strip()} for row in rows]
    assert [values for _, values in read(json.dumps(rows, indent=indent))] == expected


def test_many_people_may_stand_on_one_line() -> None:
    """As programs write arrays; no object is in memory longer than it must."""
    rows = [{"key": f"k{nth}", "ssn": ONE, "message": "x" * 100} for nth in range(2000)]
    text = json.dumps(rows)
    assert len(text) > 3 * MAX_LINE
    assert [values for _, values in read(text)] == rows


def test_an_object_has_the_line_on_which_it_begins() -> None:
    """For people who look for it."""
    assert read(f'[\n  {{"ssn": "{ONE}"}},\n\n  {{\n   "ssn":\n "{TWO}"}}\n]\n') == [
        (2, {"ssn": ONE}),
        (4, {"ssn": TWO}),
    ]
    assert read("[\n]\n") == []


DAMAGED: dict[str, tuple[str, list[tuple[int, str]]]] = {
    "it ends early": (f'[{{"ssn": "{ONE}"}},\n', [(2, "json")]),
    "it ends in an object": (f'[{{"ssn": "{ONE}"}},\n{{"ssn": "{TWO}"', [(2, "json")]),
    "a comma is missing": (f'[{{"ssn": "{ONE}"}}\n{{"ssn": "{TWO}"}}]', [(2, "json")]),
    "more than one": (f'[{{"ssn": "{ONE}"}}]\n{{"ssn": "{TWO}"}}', [(2, "json")]),
    "no object": (f'[{{"ssn": "{ONE}"}},\n"{TWO}"]', [(2, "json")]),
    "a quote is missing": (f'[{{"ssn": "{ONE}"}},\n{{"ssn: "{TWO}"}}]', [(2, "json")]),
    "a number": (f'[{{"ssn": "{ONE}"}},\n{{"ssn": {TWO}}}]', [(2, "text")]),
    "too long": (f'[{{"ssn": "{ONE}"}},\n{{"ssn": "{"x" * MAX_LINE}"}}]', [(2, "json")]),
}


@pytest.mark.parametrize(("text", "bad"), DAMAGED.values(), ids=DAMAGED)
def test_nothing_is_read_behind_damage(text: str, bad: list[tuple[int, str]]) -> None:
    """What was before it stays good, and somebody has to look."""
    assert read(text) == [(1, {"ssn": ONE}), *bad]


def test_a_name_that_is_not_known_stops_the_run() -> None:
    """As in other files."""
    with pytest.raises(UsageError, match="Mesage"):
        read('[{"ssn": "1", "Mesage": "x"}]')
    assert read(f'[{{"ssn": "{ONE}", "town": "x"}}]', ignored=["Town"]) == [(1, {"ssn": ONE})]


def test_a_header_in_brackets_is_no_array() -> None:
    """Databases write names so."""
    assert not is_array("[ssn],[key]")
    assert is_array(' [ {"ssn"')
    rows = list(RowReader(io.BytesIO(f"[ssn]\n{ONE}\n".encode()), columns={"ssn": "[ssn]"}))
    assert not any(isinstance(row, BadRow) for row in rows)
