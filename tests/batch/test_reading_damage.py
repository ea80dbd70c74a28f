"""Properties of reading files: what is only written in another way changes nobody, and damage joins nobody."""

from __future__ import annotations

import bisect
import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import SwedishBankID
from idura_ciba.batch.reading import BadRow, Row, RowReader
from idura_ciba.batch.tables import Table
from idura_ciba.cli.people import Choices, People
from idura_ciba.errors import UsageError
from tests.fakes import swedish_number

_CHOICES = Choices(eid="se", options={"call_initiator": "RP", "message": "For all"})
_NUMBERS = [swedish_number(nth) for nth in range(40)]
_WORDS = (
    "Hej",
    "Hello 5",
    "för dig",
    "1, 2; 3",
    "a|b",
    "see\tus",
    'say "yes"',
    "soon,\nplease",
    "\n\nwe are Acme",
    "'",
    "",
)


@frozen
class Person:
    """One row as its author meant it."""

    key: str
    ssn: str
    message: str
    call_initiator: str

    def cell(self, name: str) -> str:
        """What stands in a column."""
        text: str = getattr(self, name)
        return text


_PEOPLE = st.lists(
    st.tuples(
        st.lists(st.sampled_from(_WORDS), max_size=3).map(" ".join).map(str.strip), st.sampled_from(("RP", "user", ""))
    ),
    min_size=1,
    max_size=8,
).map(
    lambda rows: [
        # The key is in the message, so that a message shows for whom it was.
        Person(f"<k{nth}>", _NUMBERS[nth], f"{words} <k{nth}>".strip(), caller)
        for nth, (words, caller) in enumerate(rows)
    ]
)
_NAMES = st.permutations(("key", "ssn", "message", "call_initiator"))


def asked(data: bytes, **options: Any) -> tuple[dict[str, SwedishBankID], list[BadRow]]:
    """Who would be asked by a file, by their keys, and what is refused. Nobody is asked if there is an error."""
    try:
        reader = RowReader(io.BytesIO(data), **options)
    except UsageError as error:
        return {}, [BadRow(1, error.code, "stops the run")]
    people, found, bad = People(_CHOICES), dict[str, SwedishBankID](), list[BadRow]()
    people.repeated = bad.append
    for row in reader:
        made = people.request(row)
        if isinstance(made, BadRow):
            bad.append(made)
        else:
            key, request = made
            assert isinstance(request, SwedishBankID)
            assert key not in found
            found[key] = request
    people.close()
    return found, bad


def means(person: Person) -> SwedishBankID:
    """How somebody is to be asked."""
    caller: Any = person.call_initiator or "RP"
    return SwedishBankID(person.ssn, call_initiator=caller, message=person.message or "For all")


# --- another way to write the same ------------------------------------------------------------------------------------


@st.composite
def _written(draw: st.DrawFn, people: Sequence[Person], names: Sequence[str]) -> bytes:
    """A table in one of the ways in which spreadsheets write it."""
    delimiter = draw(st.sampled_from(",;\t|"))
    end = draw(st.sampled_from(("\n", "\r\n", "\r")))
    blank = draw(st.sampled_from(("", " ", "\xa0")))
    shown = [draw(st.sampled_from((str.lower, str.upper, str.title)))(name) for name in names]
    rows = [[f"{blank}{cell}{blank}" for cell in shown]]
    for person in people:
        cells = [person.cell(name) for name in names]
        if draw(st.booleans()):
            place = names.index("ssn")
            cells[place] = f"{blank}{person.ssn[:8]}-{person.ssn[8:]}"
        while len(cells) > 1 and not cells[-1] and draw(st.booleans()):
            cells.pop()
        rows.append([*cells, *[""] * draw(st.integers(0, 2))] if len(cells) == len(names) else cells)
        if draw(st.booleans()):
            rows.append([])
    file = io.StringIO()
    quoting = draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)))
    csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    text = file.getvalue().replace("\n", end)
    if draw(st.booleans()):
        text = text.removesuffix(end)
    if draw(st.booleans()):
        text = f"sep={delimiter}{end}{text}"
    data = text.encode(draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"))))
    return gzip.compress(data) if draw(st.booleans()) else data


@given(st.data(), _PEOPLE, _NAMES)
def test_everybody_is_asked_once_however_the_table_is_written(
    data: st.DataObject, people: list[Person], names: list[str]
) -> None:
    """By the right number, with their own words."""
    found, bad = asked(data.draw(_written(people, names)))
    assert bad == []
    assert {key: _told(request) for key, request in found.items()} == {
        person.key: _told(means(person)) for person in people
    }


def _told(request: SwedishBankID) -> tuple[Any, ...]:
    """What a person sees, whatever the line ends were."""
    return request.login_hint, request.authorization_details, (request.binding_message or "").split()


# --- damage -----------------------------------------------------------------------------------------------------------


def _shifted(cells: list[str], least: int, draw: st.DrawFn) -> list[str]:
    """Cells that have moved, are missing, or are too many. What is left of a row names its person."""
    ways = ([cells] * 3, [cells[1:], ["", *cells], [*cells, "x"], cells[: draw(st.integers(least, len(cells)))]])
    return draw(st.sampled_from([each for way in ways for each in way]))


def _torn(text: str, delimiter: str, ways: Sequence[str], draw: st.DrawFn) -> str:
    """A text with a quote too many or too few, without its end, or with two lines in one."""
    place = draw(st.integers(text.index("\n") + 1, len(text)))
    before, after = text[:place], text[place:]
    way = draw(st.sampled_from(ways))
    if way == "cell":
        # A cell that begins or ends with a quote, such as the sign for an inch.
        lines = text.split("\n")
        at = draw(st.integers(1, len(lines) - 1))
        cells = lines[at].split(delimiter)
        cell = draw(st.integers(0, len(cells) - 1))
        cells[cell] = f'"{cells[cell]}' if draw(st.booleans()) else f'{cells[cell]}"'
        lines[at] = delimiter.join(cells)
        return "\n".join(lines)
    if way == "quote":
        return f'{before}"{after}'
    return before + {"cut": "", "merged": after.replace("\n", "", 1)}.get(way, after.replace('"', "", 1))


@st.composite
def _damaged(draw: st.DrawFn, people: Sequence[Person], names: Sequence[str]) -> str:
    """A table to which something has happened that cannot be undone."""
    delimiter, file = draw(st.sampled_from(",;\t")), io.StringIO()
    quoting = draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)))
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerow(names)
    least = max(names.index("ssn") + 1, 2)
    writer.writerows(_shifted([person.cell(name) for name in names], least, draw) for person in people)
    text = file.getvalue()
    # Not both of the last: a piece of a row without its person, at the end of another cell, looks like a part of it.
    ways = ("quote", "cell", "unquoted", draw(st.sampled_from(("cut", "merged"))))
    for _ in range(draw(st.integers(1, 4))):
        text = _torn(text, delimiter, ways, draw)
        if text.count("\n") < 1:
            return f"{text}\n"
    return text


def _joined(found: Mapping[str, SwedishBankID], people: Sequence[Person]) -> Iterator[str]:
    """What of one row has reached the person of another one."""
    by_number = {person.ssn: person for person in people}
    for key, request in found.items():
        person = by_number.get((request.login_hint or "").removeprefix("sub:ssn:"))
        if person is None:
            yield f"{key}: nobody has this number"
            continue
        said = f"{key} {request.binding_message}"
        yield from (
            f"{key}: has to do with {other.key}"
            for other in people
            if other is not person and (other.key in said or other.ssn in said)
        )


@given(st.data(), _PEOPLE, _NAMES)
def test_no_cell_of_one_row_reaches_another_person(data: st.DataObject, people: list[Person], names: list[str]) -> None:
    """Whatever has happened to the quotes, line ends and cells; and each line is in one row or refused."""
    text = data.draw(_damaged(people, names))
    found, bad = asked(text.encode())
    assert list(_joined(found, people)) == []
    refused = [row.line for row in bad if row.code != "person_twice"]
    assert len(refused) == len(set(refused))
    assert all(row.why and row.remedy for row in bad)


@given(st.data(), _PEOPLE, _NAMES)
def test_each_line_is_in_one_row_or_refused(data: st.DataObject, people: list[Person], names: list[str]) -> None:
    """None vanishes: it begins a row, is within one, or is refused."""
    text = data.draw(_damaged(people, names))
    delimiter = text[len(names[0])]
    try:
        reader = RowReader(io.BytesIO(text.encode()))
    except UsageError:
        return
    rows = list(reader)
    begins = [row.line for row in rows]
    assert begins == sorted(begins)
    assert len(begins) == len(set(begins))
    lines = text.removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if number == 1 or number in begins or not line.strip(' \t,;|"\n'):
            continue
        # A line within a message of several lines.
        row = rows[bisect.bisect(begins, number) - 1]
        assert isinstance(row, Row)
        assert line.split('"')[0].split(delimiter)[0].strip() in "\n".join(row.values.values())


def test_a_reader_that_believes_quotes_fails() -> None:
    """The property finds what it is for: without the look at what cells hold, numbers get into messages."""
    people = [Person(f"<k{nth}>", _NUMBERS[nth], f"Hi <k{nth}>", "RP") for nth in range(4)]
    rows = [f"{each.key},{each.ssn},{each.message},RP" for each in people]
    text = "\n".join(["key,ssn,message,call_initiator", *rows])
    text = text.replace("Hi <k1>", '"Hi <k1>').replace("Hi <k3>", 'Hi <k3>"')
    assert list(_joined(asked(text.encode())[0], people)) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "_has_swallowed", lambda *_: False)
        patch.setattr("idura_ciba.batch.reading._holds_other_number", lambda *_: False)
        assert list(_joined(asked(text.encode())[0], people)) != []
