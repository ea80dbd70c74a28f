"""Tests of numbers that have lost something: refused with the kind of damage and a remedy, and never quoted."""

from __future__ import annotations

import re
import struct
import traceback
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted
from tests.national_numbers import OF, PEOPLE, READERS, Person, noise, swedes


def refusal(country: str, written: str) -> UsageError | None:
    """The error with which something is refused, if it is."""
    try:
        READERS[country](Redacted(written))
    except UsageError as error:
        return error
    return None


def kind(country: str, written: str) -> str | None:
    """The last part of the code of that error."""
    error = refusal(country, written)
    return None if error is None else error.code.removeprefix("national_number_")


# --- one kind of damage each ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "written", "expected"),
    [
        ("SE", "1.96802E+11", "exponent"),
        ("SE", "1,96802E+11", "exponent"),
        ("SE", "1.96802020575e11", "exponent"),
        ("SE", "2E+11", "exponent"),
        ("SE", "1.96802 \u00d7 10^11", "exponent"),
        ("NO", "2.70347E+10", "exponent"),
        ("DK", "1.0119E+08", "exponent"),
        ("FI", "1.0101E+25", "exponent"),
        ("NO", "1023990128", "leading_zero"),
        ("NO", "10239-90128", "leading_zero"),
        ("NO", "1023990128.0", "leading_zero"),
        ("DK", "101901234", "leading_zero"),
        ("DK", "10190-1234", "leading_zero"),
        ("FI", "10101-0101", "leading_zero"),
        ("FI", "10101X1025", "leading_zero"),
        ("SE", "501011239", "leading_zero"),
        ("SE", "9801011231", "century_missing"),
        ("SE", "980101 1231", "century_missing"),
        ("SE", "98.01.01.1231", "century_missing"),
        ("SE", "9801011231.0", "century_missing"),
        ("FI", "131052308T", "century_missing"),
        ("FI", "131052 308T", "century_missing"),
        ("FI", "0101010101", "century_missing"),
        ("SE", "20980101-123l", "letters"),
        ("SE", "2O98O1O11231", "letters"),
        ("SE", "SE209801011231", "letters"),
        ("SE", "personnummer 20980101-1231", "letters"),
        ("SE", "20980101-T231", "letters"),
        ("SE", "20980101-XXXX", "letters"),
        ("NO", "0102399O128", "letters"),
        ("FI", "O10101-0101", "letters"),
        ("FI", "131052G308T", "letters"),
        ("SE", "209,801,011,231", "thousands"),
        ("SE", "209.801.011.231", "thousands"),
        ("SE", "209 801 011 231", "thousands"),
        ("SE", "209\u00a0801\u00a0011\u00a0231", "thousands"),
        ("SE", "209'801'011'231", "thousands"),
        ("SE", "209\u2019801\u2019011\u2019231.00", "thousands"),
        ("NO", "27.034.698.436", "thousands"),
        ("DK", "101.901.234", "thousands"),
        ("SE", "20980101123", "length"),
        ("SE", "2098010112312", "length"),
        ("NO", "102399012", "length"),
        ("DK", "01019012345", "length"),
        ("SE", "209801011231\n209602294564", "lines"),
        ("SE", "20980101\n1231", "lines"),
        ("SE", "\u0662\u0660\u0669\u0668\u0660\u0661\u0660\u0661\u0661\u0662\u0663\u0661", "script"),
        ("NO", "0102399012\u0668", "script"),
        ("SE", "209801011231\u00b2", "script"),
        ("SE", "", "format"),
        ("SE", "#", "format"),
        ("SE", "#######", "format"),
        ("SE", "n/a", "format"),
        ("SE", "20980101-****", "format"),
        ("SE", "209801011231,209602294564", "format"),
        ("SE", "209801011231;", "format"),
        ("SE", '209801011231"', "format"),
        ("SE", "2098-010-11231", "format"),
        ("SE", "20980101--1231", "format"),
        ("SE", "-209801011231", "format"),
        ("NO", "0102399012-8", "format"),
        ("SE", "209801011231\x00", "format"),
        ("SE", "209801011231\u0301", "format"),
        ("FI", "01.01.01-0101", "format"),
    ],
)
def test_the_damage_is_named(country: str, written: str, expected: str) -> None:
    """By a code that a program can tell apart, in a sentence that a person understands, and what to do about it."""
    error = refusal(country, written)
    assert error is not None
    assert error.code == f"national_number_{expected}"
    assert error.what
    assert "The form is " in error.advice
    assert not re.search("[0-9]{3}", str(error))


# --- any of them, of anybody ------------------------------------------------------------------------------------------


def scientific(person: Person, draw: st.DrawFn) -> str:
    """As a spreadsheet shows a long number, in any country's spelling."""
    shown = f"{int(person.number):.{draw(st.integers(1, 8))}E}"
    return draw(st.sampled_from((shown, shown.replace(".", ","), shown.lower(), shown.replace("+", ""))))


def without_zero(person: Person, _draw: st.DrawFn) -> str:
    """As a number in a spreadsheet, or in a column of integers."""
    return person.number.lstrip("0")


def without_century(person: Person, _draw: st.DrawFn) -> str:
    """Ten digits of a Swede, and a Finn without the sign."""
    return person.number[2:] if person.country == "SE" else person.number[:6] + person.number[7:]


def with_letter(person: Person, draw: st.DrawFn) -> str:
    """Typed, or read from paper by a machine."""
    places = [place for place, letter in enumerate(person.number) if letter.isdigit() and place != 10]
    place = draw(st.sampled_from(places))
    return person.number[:place] + draw(st.sampled_from("OolISBZ")) + person.number[place + 1 :]


def in_thousands(person: Person, draw: st.DrawFn) -> str:
    """As a spreadsheet formats numbers."""
    return f"{int(person.number):,}".replace(",", draw(st.sampled_from((",", ".", " ", "'", "\u202f"))))


def cut(person: Person, draw: st.DrawFn) -> str:
    """One digit was not copied."""
    place = draw(st.integers(0, len(person.number) - 1))
    return person.number[:place] + person.number[place + 1 :]


def twice(person: Person, draw: st.DrawFn) -> str:
    """Two cells became one."""
    return person.number + draw(st.sampled_from(("", " ", ";", "\n", "-", "/"))) + person.number


Loss = Callable[[Person, st.DrawFn], str]
#: Each with whom it may befall, and what it is called.
LOSSES: dict[str, tuple[Loss, str, set[str]]] = {
    "scientific": (scientific, "SE NO DK", {"exponent"}),
    "without zero": (without_zero, "NO DK FI", {"leading_zero"}),
    "without century": (without_century, "SE FI", {"century_missing"}),
    "with a letter": (with_letter, "SE NO DK FI", {"letters", "country", "check_digit"}),
    "in thousands": (in_thousands, "SE NO DK", {"thousands"}),
    "cut": (
        cut,
        "SE NO DK FI",
        {"leading_zero", "length", "century_missing", "letters", "country", "format", "exponent"},
    ),
    "twice": (twice, "SE NO DK FI", {"length", "lines", "format", "letters"}),
}


@pytest.mark.unmeasured
@pytest.mark.parametrize(("lose", "countries", "expected"), LOSSES.values(), ids=LOSSES)
@settings(max_examples=50)
@given(data=st.data())
def test_what_has_lost_something_is_refused(
    lose: Loss, countries: str, expected: set[str], data: st.DataObject
) -> None:
    """Whoever it is, however the rest is written, and with the kind of damage for a code."""
    people = st.one_of(*(OF[country] for country in countries.split()))
    if lose is without_zero:
        people = people.filter(lambda person: person.number[0] == "0")
    person = data.draw(people)
    written = lose(person, data.draw)
    assert kind(person.country, data.draw(noise(written))) in expected


@pytest.mark.unmeasured
@given(person=swedes(), digits=st.integers(0, 7))
def test_a_rounded_swedish_number_is_nobodys(person: Person, digits: int) -> None:
    """What a spreadsheet has rounded and something else has written out again has no serial, or no day."""
    rounded = f"{float(f'{int(person.number):.{digits}e}'):.0f}"
    assert kind("SE", rounded) in {"date", "serial", "century"}


@pytest.mark.unmeasured
@given(person=swedes())
def test_a_number_that_was_a_small_float_is_nobody_elses(person: Person) -> None:
    """Half a float keeps seven digits; what it leaves is refused but for one in ten, which no form can tell."""
    (kept,) = struct.unpack("f", struct.pack("f", float(person.number)))
    written = f"{kept:.0f}"
    assert written == person.number or len(written) == len(person.number)
    assert kind("SE", f"{kept}") in {None, "date", "serial", "century", "check_digit"}


# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
@given(person=PEOPLE, asked=st.sampled_from(sorted(READERS)), data=st.data())
def test_no_refusal_tells_of_whom_it_speaks(person: Person, asked: str, data: st.DataObject) -> None:
    """Not in its sentences, not in a cause, and not in the variables of the frames that it has come through."""
    lose = data.draw(st.sampled_from([loss for loss, countries, _ in LOSSES.values() if person.country in countries]))
    hidden = Redacted(data.draw(noise(lose(person, data.draw))))
    error = refusal(asked, hidden)
    assume(error is not None)
    assert error is not None
    assert error.__context__ is None
    frames = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__) if "idura_ciba/eids" in frame.f_code.co_filename
    ]
    assert len(frames) >= 2
    # What a country's numbers look like and what day it is are no secrets, and full of digits.
    told = [value for frame in frames for name, value in frame.f_locals.items() if name not in ("writing", "today")]
    shown = re.sub("[^0-9A-Z]", "", re.sub("0x[0-9a-f]+", "", f"{error} {error!r} {told}"))
    assert not any(person.number[place : place + 5] in shown for place in range(len(person.number) - 4))


@pytest.mark.unmeasured
@given(st.text(max_size=30), st.sampled_from(sorted(READERS)))
def test_any_text_is_read_or_refused(text: str, country: str) -> None:
    """Nothing else comes out, whatever was in the cell, and what was read is read again as the same."""
    error = refusal(country, text)
    if error is None:
        read = READERS[country](text)
        assert READERS[country](read) == read
