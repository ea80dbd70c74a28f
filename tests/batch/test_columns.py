"""Tests of finding columns by their names."""

from __future__ import annotations

import io

import pytest

from idura_ciba.batch.columns import Columns, folded
from idura_ciba.batch.reading import FIELDS, Row, RowReader
from idura_ciba.errors import UsageError
from tests.fakes import swedish_number

ONE = swedish_number(1)


def refused(header: list[str], *, ignored: tuple[str, ...] = (), **named: str) -> UsageError:
    """The error about a header."""
    with pytest.raises(UsageError) as caught:
        Columns(FIELDS, named, ignored).places(header)
    return caught.value


def test_columns_that_nobody_reads_are_named_at_once() -> None:
    """With the field for which each was meant, and the options that make it go on."""
    error = refused(["key", "ssn", "call-initiator", "Mesage", "Town"])
    assert error.code == "column_unknown"
    assert "not used: call-initiator (like call_initiator), Mesage (like message), Town." in str(error)
    assert "--column call_initiator='call-initiator'" in str(error)
    assert "--ignore-column 'call-initiator'" in str(error)
    assert "or --keep 'call-initiator' to have it in the results" in str(error)
    assert "A column is not used: Town. If it should be ignored" in str(refused(["ssn", "Town"]))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("call-initiator", "call_initiator"),
        ("CallInitiator", "call_initiator"),
        ("Mesage", "message"),
        ("messages", "message"),
        ("Meddelande", "message"),
        ("e-ID", "eid"),
        ("Contry", "country"),
        ("Personnummer", "ssn"),
        ("Fødselsnummer", "ssn"),
        ("pers.nr", None),
        ("person-nr", "ssn"),
        ("Name", None),
        ("notes", None),
        ("", None),
        ("???", None),
    ],
)
def test_a_misspelt_name_is_known(name: str, field: str | None) -> None:
    """And one that means something else is not."""
    assert Columns(FIELDS, {}).like(name) == field


def test_a_column_may_be_meant() -> None:
    """One by one, or all of them but those that are nearly known; and one that is named is known."""
    assert Columns(FIELDS, {}, ["town", "mesage"]).places(["Town", "ssn", "Mesage"]) == [("ssn", 1)]
    assert Columns(FIELDS, {}, "*").places(["Town", "ssn", "Notes"]) == [("ssn", 1)]
    assert "Mesage" in str(refused(["Town", "ssn", "Mesage"], ignored=("*",)))
    assert Columns(FIELDS, {"message": "Mesage"}).places(["ssn", "mesage"]) == [("ssn", 0), ("message", 1)]


@pytest.mark.parametrize(
    "name",
    [
        "SSN ",
        "\ufeffssn",
        "s\u200bsn",
        "\xa0ssn\xa0",
        "\u2060Ssn",
        "ssn\n",
        "\u200essn\u200f",
        "\uff53\uff53\uff4e",
        "\t\u2003ssn",
    ],
    ids=ascii,
)
def test_invisible_characters_make_no_other_name(name: str) -> None:
    """Nor do letters of another width or case."""
    assert folded(name) == "ssn"
    data = f"key,{name}\na,{ONE}\n" if "\n" not in name else f'key,"{name}"\na,{ONE}\n'
    ((_, row),) = enumerate(RowReader(io.BytesIO(data.encode())))
    assert isinstance(row, Row)
    assert row.values == {"key": "a", "ssn": ONE}


@pytest.mark.parametrize("other", ["SSN", "ssn ", "s\u200bsn", "\ufeffssn"], ids=ascii)
def test_two_names_that_look_the_same_are_refused(other: str) -> None:
    """Nobody can tell which one is meant."""
    assert refused(["ssn", other]).code == "column"


def test_a_number_under_another_name_is_found() -> None:
    """The advice can be copied."""
    assert "Pass --column ssn=Personnummer" in str(refused(["key", "Personnummer"]))
    assert "Pass --column ssn='Person-nr'" in str(refused(["key", "Person-nr"]))


def test_an_error_shows_no_cells_of_people() -> None:
    """The header may be missing, or be somebody's row."""
    said = str(refused(["ssn", ONE, "nobody@example.invalid"]))
    assert ONE not in said
    assert "example" not in said
    assert "(digits), (an address)" in said


def test_names_in_json_match_alike() -> None:
    """Without case; one that is not known stops the run in the first object and refuses the row in a later one."""
    rows = list(RowReader(io.BytesIO(f'{{"SSN": "{ONE}", "Key": "a"}}\n{{"ssn": "{ONE}", "Mesage": "x"}}\n'.encode())))
    assert rows[0] == Row(1, {"ssn": ONE, "key": "a"})
    assert (rows[1].line, getattr(rows[1], "code", None)) == (2, "column")
    with pytest.raises(UsageError, match="Mesage"):
        RowReader(io.BytesIO(b'{"ssn": "1", "Mesage": "x"}\n'))
    (twice,) = RowReader(io.BytesIO(b'{"ssn": "1", "SSN": "2"}\n'))
    assert getattr(twice, "code", None) == "column"


@pytest.mark.parametrize("name", ["* ", "\N{NO-BREAK SPACE}*", "*"])
def test_a_column_whose_name_is_a_star_can_be_ignored_by_it(name: str) -> None:
    """Whatever stands around the star."""
    assert Columns(FIELDS, {}, (name,)).places(["ssn", name])
