"""Tests of reading CSV strictly: no line is lost, and none gets into another row."""

from __future__ import annotations

import io

import pytest

from idura_ciba.batch.reading import BadRow, Row, RowReader
from tests.fakes import swedish_number

A, B, C, D, E = map(swedish_number, range(1, 6))


def read(text: str) -> tuple[dict[int, dict[str, str]], dict[int, str]]:
    """The values of rows and the codes of refused lines, by line."""
    rows = list(RowReader(io.BytesIO(text.encode())))
    assert len({row.line for row in rows}) == len(rows)
    good = {row.line: dict(row.values) for row in rows if isinstance(row, Row)}
    return good, {row.line: row.code for row in rows if isinstance(row, BadRow)}


def test_two_inch_signs_take_nobody_with_them() -> None:
    """A quote that opens with one person and closes with another joins nobody's numbers to a message."""
    good, refused = read(
        f'key,ssn,message\na,{A},Hi\nb,{B},"Hi, about your 5\nc,{C},Hi\nd,{D},Hi, about the 7"\ne,{E},Hi\n'
    )
    assert good == {2: {"key": "a", "ssn": A, "message": "Hi"}, 6: {"key": "e", "ssn": E, "message": "Hi"}}
    assert refused == {3: "spans_lines", 4: "spans_lines", 5: "spans_lines"}


SWALLOWED: dict[str, tuple[str, set[int], set[int]]] = {
    "the message comes first": (f'message,ssn,key\n"Hi 5,{A},a\nHi 7",{B},b\nHi,{C},c\n', {4}, {2, 3}),
    "two columns": (f'ssn,message\n{A},"Hi 5\n(unknown),Hi 7"\n{C},Hi\n', {4}, {2, 3}),
    "a hyphen in the number": (f'ssn;message\n{A};"Hi 5\n{B[:8]}-{B[8:]}"\n{C};Hi\n', {4}, {2, 3}),
    "addresses": ('key;ssn;message\na;a@b.c;"5\nb;d@e.f;7"\nc;g@h.i;x\n', {4}, {2, 3}),
    "telephones": ('key,ssn,message\na,+4670,"5\nb,+46 70 123 45 67,7"\nc,+4671,x\n', {4}, {2, 3}),
    "many rows": (f'ssn,key\n{A},"a\n' + f"{B},b\n" * 50 + f'{C},"\n{D},d\n', {54}, set(range(2, 54))),
    "short rows": (f'key,ssn,message,country\na,{A},"Hi\nb,{B}\nc,{C},Hi"\nd,{D}\n', {5}, {2, 3, 4}),
    "a lone carriage return": (f'ssn,message\n{A},"Hi\rnobody,Hi"\n{C},Hi\n', {3}, {2}),
    "never closed": (f'ssn,key\n{A},a\n{B},"b\n{C},c\n{D},d\n', {2}, {3, 4, 5}),
    "the last row": (f'ssn,key\n{A},a\n{B},"b', {2}, {3}),
    "a quote too many": (f'ssn,key\n{A},""a"\n{B},b\n', {3}, {2}),
    "all in quotes but one": (f'"ssn","key"\n"{A}","a\n"{B}","b"\n"{C}","c"\n', {3, 4}, {2}),
    "closed by the next quotes": (f'ssn,key\n{A},"a\n{B},b\n{C},"c"\n{D},d\n', {5}, {2, 3, 4}),
    "a line that is a key": (f'key,ssn\n"a\nb",{A}\nc,{B}\n', {4}, {2, 3}),
}


@pytest.mark.parametrize(("text", "good", "refused"), SWALLOWED.values(), ids=SWALLOWED)
def test_a_stray_quote_refuses_what_it_touches(text: str, good: set[int], refused: set[int]) -> None:
    """The lines that are in doubt, all of them and no others."""
    rows, bad = read(text)
    assert set(rows) == good
    assert set(bad) == refused


FINE: dict[str, tuple[str, str]] = {
    "a letter": (
        'key,ssn,message\na,{},"Dear A,\nplease confirm, soon.\n\nB"\n',
        "Dear A,\nplease confirm, soon.\n\nB",
    ),
    "a letter in two columns": ('ssn,message\n{},"Dear A,\nplease confirm"\n', "Dear A,\nplease confirm"),
    "quotes within": ('ssn;message\n{};"He said ""yes"";\n""no"""\n', 'He said "yes";\n"no"'),
    "an inch sign": ('ssn,message\n{},A 5" screen\n', 'A 5" screen'),
    "a time and a sum": ('ssn,message\n{},"At 12:30,\n1 234 567 kr"\n', "At 12:30,\n1 234 567 kr"),
    "half of the row": ('ssn,message,key,country\n{},"Say ""hi"""\n', 'Say "hi"'),
}


@pytest.mark.parametrize(("text", "message"), FINE.values(), ids=FINE)
def test_a_whole_message_may_have_lines_and_quotes(text: str, message: str) -> None:
    """What people write is not taken for damage."""
    good, refused = read(text.format(A))
    assert refused == {}
    assert good[2]["message"] == message


def test_a_refused_row_says_where_it_began() -> None:
    """And what to do, without its text."""
    rows = list(RowReader(io.BytesIO(f'ssn,key\n{A},"a\n{B},b"\n'.encode())))
    first, second = (row for row in rows if isinstance(row, BadRow))
    assert first.why.endswith("holds what looks like other rows, up to line 3")
    assert second.why == "is part of the row that begins on line 2"
    assert (
        first.remedy == second.remedy == ("Write the cell in one line, and see whether a quote is missing or too many")
    )
    assert B not in repr(rows)
