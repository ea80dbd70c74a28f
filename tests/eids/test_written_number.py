"""Tests of national numbers as they are written: what is read, and as whose."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.written_number import read_danish, read_finnish, read_norwegian, read_swedish
from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted
from tests.national_numbers import PEOPLE, READERS, TODAY, Person, luhn, noise

VECTORS: dict[str, list[tuple[str, ...]]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "identity-numbers.json").read_text("utf-8")
)


def code(make: Callable[[], object]) -> str:
    """The last part of the code of the usage error that reading something raises."""
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value.code.removeprefix("national_number_")


# --- the vectors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "number"), [pair[1:] for pair in VECTORS["se_written"]], ids=ascii)
def test_a_written_form_is_read(written: str, number: str) -> None:
    """As the vectors have it, on any day of these years; what comes back is hidden."""
    for year in (2018, 2025, 2047):
        read = read_swedish(written, today=date(year, 6, 15))
        assert read == number
        assert repr(read) == "<redacted>"


@pytest.mark.parametrize("name", ["se_valid", "se_invalid", "no_valid", "no_valid_2032_only", "no_invalid"])
def test_what_is_sound_is_read_as_it_stands_and_what_is_not_is_refused(name: str) -> None:
    """Reading makes nothing good that the rules refuse, but for a space, which says nothing."""
    read = READERS[name[:2].upper()]
    for why, number in VECTORS[name]:
        if "invalid" not in name:
            assert read(number) == number
        elif why == "space in middle":
            assert read(number) == number.replace(" ", "")
        else:
            assert code(lambda number=number: read(number)), why  # type: ignore[misc]


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("10 digits (century missing)", "century_missing"),
        ("11 digits", "length"),
        ("letter", "letters"),
        ("Arabic-Indic digits (str.isdigit() is True!)", "script"),
        ("month 00 with an ordinary day, Luhn ok", "date"),
        ("check digit +1", "check_digit"),
    ],
)
def test_the_error_names_what_is_wrong_with_a_vector(why: str, expected: str) -> None:
    """A lost century is another thing than a slip."""
    (number,) = (number for name, number in VECTORS["se_invalid"] if name == why)
    assert code(lambda: read_swedish(number, today=TODAY)) == expected


# --- lossless damage --------------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
@given(person=PEOPLE, data=st.data())
def test_two_spellings_of_one_person_are_one_person(person: Person, data: st.DataObject) -> None:
    """Whichever form, and whatever programs have done to it, comes out as the one normal form."""
    written = data.draw(noise(data.draw(st.sampled_from(person.all_forms))))
    assert READERS[person.country](written) == person.number


@pytest.mark.unmeasured
@given(person=PEOPLE, data=st.data())
def test_a_space_may_stand_anywhere(person: Person, data: st.DataObject) -> None:
    """Somebody has grouped the digits in a way of their own; two spaces never look like thousands."""
    written = person.number
    for _ in range(2):
        place = data.draw(st.integers(0, len(written)))
        written = f"{written[:place]}\u00a0{written[place:]}"
    assert READERS[person.country](written) == person.number


@pytest.mark.parametrize(
    ("read", "written", "number"),
    [
        (read_swedish, "680202\u00ad0575", "196802020575"),
        (read_swedish, "680202\u200b\u00ad\u200b0575", "196802020575"),
        (read_swedish, "19680202\u00ad0575", "196802020575"),
        (read_swedish, "1968\u00ad0202-05\u00ad75", "196802020575"),
        (read_finnish, "131052\u00ad308t", "131052-308T"),
        (read_finnish, "1310\u00ad52-308T", "131052-308T"),
        (read_danish, "010190\u00ad1234", "0101901234"),
    ],
)
def test_a_soft_hyphen_is_the_sign_where_only_a_sign_can_stand(
    read: Callable[[str], Redacted], written: str, number: str
) -> None:
    """A web page breaks numbers with them, and a word processor shows them as hyphens."""
    assert read(written) == number


def test_the_letter_e_of_a_finnish_number_is_no_exponent() -> None:
    """It is a century since 2023, and a program that tells numbers by their form is wrong about it."""
    assert read_finnish("010101e0101") == "010101E0101"
    assert code(lambda: read_finnish("1.0101E+105")) == "exponent"
    assert code(lambda: read_swedish("010101E0101")) == "country"


@pytest.mark.parametrize("letter", ["\u017f", "\u0131", "\u00df"])
def test_letters_that_become_others_in_upper_case_are_refused(letter: str) -> None:
    """A long s would be an S and a dotless i an I, which nobody has written."""
    assert code(lambda: read_finnish(f"131052-308{letter}")) == "letters"


@pytest.mark.parametrize("whole", ["0101010101", "1010101010"])
def test_a_decimal_point_is_not_a_break(whole: str) -> None:
    """Joined with the zero behind it, a Danish number that has lost its first zero would be somebody else's."""
    assert read_danish(f"{whole}.0") == whole
    assert code(lambda: read_danish("101010101.0")) == "leading_zero"
    assert code(lambda: read_danish("101010101,0")) == "leading_zero"
    assert code(lambda: read_danish(f"{whole}.5")) == "length"


# --- the century of a Swedish number ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "today", "century"),
    [
        ("250101-", date(2025, 1, 1), "20"),
        ("250101+", date(2025, 1, 1), "19"),
        ("251129-", date(2025, 11, 29), "20"),
        ("260101-", date(2025, 12, 31), "19"),
        ("260101-", date(2026, 1, 1), "20"),
        ("260101+", date(2025, 12, 31), "18"),
        ("260101+", date(2026, 1, 1), "19"),
        ("000229-", date(2025, 1, 1), "20"),
        ("990101-", date(1999, 1, 1), "19"),
        ("990101+", date(1999, 1, 1), "18"),
        ("250060-", date(2025, 1, 1), "20"),
        ("250160-", date(2025, 1, 1), "20"),
        ("250161-", date(2025, 1, 1), "20"),
    ],
)
def test_the_sign_tells_the_century(written: str, today: date, century: str) -> None:
    """It is + from the first day of the year in which somebody turns 100, whatever their birthday is."""
    written += "123" + luhn(f"{written[:6]}123")
    assert read_swedish(written, today=today) == f"{century}{written[:6]}{written[7:]}"


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("251130-", date(2025, 11, 29)),
        ("251201-", date(2025, 11, 29)),
        ("251291-", date(2025, 11, 29)),
        ("20180101+", date(2025, 11, 29)),
        ("19260101+", date(2025, 11, 29)),
        ("20251231+", date(2025, 11, 29)),
    ],
)
def test_a_sign_that_contradicts_the_date_is_refused(written: str, today: date) -> None:
    """Not yet born, or a century that somebody has put before a number whose sign says another one."""
    written += "123" + luhn(f"{written[-7:-1]}123")
    assert code(lambda: read_swedish(written, today=today)) == "sign"


def test_a_hyphen_after_a_century_says_nothing() -> None:
    """Most programs write it for people of any age."""
    assert read_swedish("19180101-1238", today=TODAY) == read_swedish("180101+1238", today=TODAY) == "191801011238"


def test_the_century_is_by_the_present_day_where_nobody_says_another() -> None:
    """In Sweden, where the year begins an hour before it does in UTC."""
    this_year = datetime.now(timezone(timedelta(hours=1))).year
    stem = f"{this_year % 100:02}0101"
    tail = f"123{luhn(f'{stem}123')}"
    assert read_swedish(f"{stem}-{tail}") == f"{this_year}0101{tail}"
    assert read_swedish(f"{stem}+{tail}") == f"{this_year - 100}0101{tail}"


# --- other countries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "written", "whose"),
    [
        ("SE", "01023990128", "Norwegian"),
        ("SE", "010239 90128", "Norwegian"),
        ("SE", "131052-308T", "Finnish"),
        ("SE", "131052a308t", "Finnish"),
        ("NO", "209801011231", "Swedish"),
        ("NO", "980101-1231", "Swedish"),
        ("NO", "131052-308T", "Finnish"),
        ("DK", "20980101-1231", "Swedish"),
        ("DK", "980101-1231", "Swedish"),
        ("DK", "01023990128", "Norwegian"),
        ("DK", "131052+308T", "Finnish"),
        ("FI", "209801011231", "Swedish"),
        ("FI", "01023990128", "Norwegian"),
    ],
)
def test_a_number_of_another_country_is_called_so(asked: str, written: str, whose: str) -> None:
    """Where form and check digits leave hardly a doubt; the remedy is the other country and not another spelling."""
    with pytest.raises(UsageError) as caught:
        READERS[asked](written)
    assert caught.value.code == "national_number_country"
    assert f"is a {whose} one" in caught.value.what


@pytest.mark.unmeasured
@given(person=PEOPLE, asked=st.sampled_from(sorted(READERS)), data=st.data())
def test_a_number_is_never_read_as_another_one(person: Person, asked: str, data: st.DataObject) -> None:
    """Asked for in the wrong country it is refused, or it has all that a number of that country has, in that order."""
    written = data.draw(st.sampled_from(person.all_forms))
    try:
        read = READERS[asked](written)
    except UsageError:
        assert asked != person.country
    else:
        same = "".join(filter(str.isalnum, written)).upper()
        assert "".join(filter(str.isalnum, read))[-len(same) :] == same


@pytest.mark.parametrize("number", ["209801011231", "01023990128", "0101901234", "131052-308T"])
def test_the_normal_form_is_read_as_it_is(number: str) -> None:
    """So whatever was read may be read again."""
    read = (
        next(
            each
            for each, length in ((read_swedish, 12), (read_norwegian, 11), (read_danish, 10))
            if len(number) == length
        )
        if number.isdigit()
        else read_finnish
    )
    assert read(read(number)) == number


def test_synthetic_norwegian_numbers_can_be_refused_in_any_form() -> None:
    """The switch of the rule is that of the reader."""
    assert read_norwegian("109155 49050") == "10915549050"
    assert code(lambda: read_norwegian("109155 49050", allow_synthetic=False)) == "synthetic"
