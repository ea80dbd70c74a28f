"""Tests of the rules of national identity numbers."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.identity_number import check_danish, check_finnish, check_norwegian, check_swedish
from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted

VECTORS: dict[str, list[tuple[str, ...]]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "identity-numbers.json").read_text("utf-8")
)
CHECKS: list[Callable[[str], Redacted]] = [check_swedish, check_norwegian, check_danish, check_finnish]
#: By the checks' own names in the vectors, which rule each broken number breaks.
BROKEN_RULES = {
    "check digit +1": "check_digit",
    "two adjacent digits swapped (serial 123->132)": "check_digit",
    "serial 000, Luhn ok": "serial",
    "10 digits (century missing)": "format",
    "11 digits": "format",
    "letter": "format",
    "Arabic-Indic digits (str.isdigit() is True!)": "format",
    "k2 +1": "check_digit",
    "k1 +5 ": "check_digit",
    "10 digits": "format",
    "12 digits": "format",
    "space in middle": "format",
}


def vectors(*names: str) -> list[object]:
    """The vectors of some lists, each a test with its own name."""
    return [pytest.param(number, id=why) for name in names for why, number in VECTORS[name]]


def with_luhn(stem: str) -> str:
    """A Swedish number with the check digit that it must have."""
    return next(number for digit in "0123456789" if luhn_sum((number := stem + digit)[2:]) % 10 == 0)


def luhn_sum(digits: str) -> int:
    """The sum of the digits, those of every second one doubled."""
    return sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(digits))


def broken(name: str) -> list[object]:
    """The vectors of broken numbers, each with the rule it breaks; all that are not listed break the calendar."""
    return [pytest.param(number, BROKEN_RULES.get(why, "date"), id=why) for why, number in VECTORS[name]]


@pytest.mark.parametrize("number", vectors("se_valid"))
def test_a_swedish_number_passes(number: str) -> None:
    """Personnummer and samordningsnummer, leap days and Idura's samples pass and come back hidden."""
    checked = check_swedish(number)
    assert checked == number
    assert number not in repr(checked)


@pytest.mark.parametrize(("number", "rule"), broken("se_invalid"))
def test_a_broken_swedish_number_is_refused_by_the_rule_it_breaks(number: str, rule: str) -> None:
    """Each trap is refused, also those whose check digit is right."""
    with pytest.raises(UsageError) as caught:
        check_swedish(number)
    assert caught.value.code == f"national_number_{rule}"


@pytest.mark.parametrize("number", ["179801011231", "219801011231", "009801011231"])
def test_a_swedish_century_is_18_19_or_20(number: str) -> None:
    """The check digit says nothing of the century, so the century has a rule of its own."""
    with pytest.raises(UsageError) as caught:
        check_swedish(number)
    assert caught.value.code == "national_number_century"


@pytest.mark.parametrize("date_part", ["20983160", "20980032", "20980059", "20981292", "20980099", "20981360"])
def test_no_other_day_of_a_swedish_number_passes(date_part: str) -> None:
    """A month of 00 goes only with a day of 60 to 91, and no day is 32 to 59 or above 91."""
    with pytest.raises(UsageError) as caught:
        check_swedish(with_luhn(f"{date_part}239"))
    assert caught.value.code == "national_number_date"


@pytest.mark.unmeasured
@given(month=st.integers(0, 12), day=st.integers(60, 91), serial=st.integers(1, 999))
def test_a_samordningsnummer_needs_no_calendar(month: int, day: int, serial: int) -> None:
    """The register gives them out where the day, the month or both are unknown or impossible."""
    assert passes(check_swedish, with_luhn(f"2098{month:02}{day}{serial:03}"))


@pytest.mark.parametrize("number", vectors("no_valid", "no_valid_2032_only"))
def test_a_norwegian_number_passes(number: str) -> None:
    """Fødselsnummer, D-numbers, the three relaxed first check digits of 2032, and synthetic numbers pass."""
    checked = check_norwegian(number)
    assert checked == number
    assert number not in repr(checked)


def test_the_synthetic_numbers_of_norsk_helsenett_pass() -> None:
    """Month + 65 is in use, though published validators differ on it."""
    assert check_norwegian("10706048052") == "10706048052"


@pytest.mark.parametrize(("number", "rule"), broken("no_invalid"))
def test_a_broken_norwegian_number_is_refused_by_the_rule_it_breaks(number: str, rule: str) -> None:
    """Each trap is refused, also those whose check digits are right, such as eleven zeros."""
    with pytest.raises(UsageError) as caught:
        check_norwegian(number)
    assert caught.value.code == f"national_number_{rule}"


@pytest.mark.parametrize("prefix", ["010239908", "0102399039"])
def test_no_check_digit_saves_an_unusable_norwegian_prefix(prefix: str) -> None:
    """A first check digit that would be 10 leaves three relaxed ones; a second one that would be 10 leaves none."""
    missing = 11 - len(prefix)
    passed = [number for rest in range(10**missing) if passes(check_norwegian, number := f"{prefix}{rest:0{missing}}")]
    # The classic first digit does not exist, those of the remainders 1 to 3 do: each has at most one second digit.
    assert len(passed) == (0 if len(prefix) == 10 else 3)
    assert all(number[9] in "012" for number in passed)


@pytest.mark.parametrize(
    "number",
    [
        *[pytest.param(number, id=why) for why, number in VECTORS["no_valid"] if "synthetic" in why],
        pytest.param("10706048052", id="synthetic month+65"),
    ],
)
def test_synthetic_numbers_can_be_refused(number: str) -> None:
    """A production system may keep test persons out."""
    with pytest.raises(UsageError) as caught:
        check_norwegian(number, allow_synthetic=False)
    assert caught.value.code == "national_number_synthetic"


@pytest.mark.parametrize(
    "number", [pytest.param(number, id=why) for why, number in VECTORS["no_valid"] if "synthetic" not in why]
)
def test_real_numbers_pass_where_synthetic_ones_are_refused(number: str) -> None:
    """The switch keeps out synthetic numbers and nothing else."""
    assert check_norwegian(number, allow_synthetic=False) == number


def test_a_leap_day_passes_in_any_year_that_is_a_leap_year_in_some_century() -> None:
    """Norwegian numbers will not tell the century, and 1900 had no 29 February while 2000 had one."""
    assert any(passes(check_norwegian, f"290200{rest:05}") for rest in range(1000))
    assert not any(passes(check_norwegian, f"290201{rest:05}") for rest in range(1000))


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (check_danish, "0101010101"),
        (check_finnish, "010101-0101"),
        (check_finnish, "010101A0101"),
        (check_finnish, "010101+0101"),
        (check_finnish, "131052-308T"),
        *[(check_finnish, f"010101{sign}0101") for sign in "ABCDEFUVWXY"],
    ],
)
def test_danish_and_finnish_numbers_pass_by_their_characters(check: Callable[[str], Redacted], number: str) -> None:
    """Of a Danish number only the characters are looked at, of a Finnish one the last is computed of the others."""
    assert check(number) == number


@pytest.mark.unmeasured
@given(day=st.integers(0, 999999), individual=st.integers(0, 999), sign=st.sampled_from("-+ABCDEFUVWXY"))
def test_each_finnish_number_has_one_last_character(day: int, individual: int, sign: str) -> None:
    """With any other one it is refused as a slip, or as no such number where that letter is not in use."""
    stem = f"{day:06}{sign}{individual:03}"
    (right,) = (last for last in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" if passes(check_finnish, stem + last))
    assert right not in "GIOQZ"
    other = refusal(check_finnish, stem + ("1" if right != "1" else "2"))
    assert other is not None
    assert other.code == "national_number_check_digit"


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (check_danish, "010101-0101"),
        (check_danish, "010101010"),
        (check_danish, "0101010101\n"),
        (check_danish, "\u0660101010101"),
        (check_finnish, "0101010101"),
        (check_finnish, "010101a0101"),
        (check_finnish, "131052-308t"),
        (check_finnish, "010101G0101"),
        (check_finnish, "010101Z0101"),
        (check_finnish, "010101-0101\n"),
    ],
)
def test_other_characters_are_refused(check: Callable[[str], Redacted], number: str) -> None:
    """A hyphen too many or too few, lower case, a line break: refused before a request is made."""
    with pytest.raises(UsageError) as caught:
        check(number)
    assert caught.value.code == "national_number_format"


#: What people type and programs mix up: near misses of real numbers, beside any text at all.
NUMBERS = st.one_of(
    st.text(),
    st.text("0123456789", min_size=9, max_size=13),
    st.dates(date(1700, 1, 1), date(2199, 12, 31)).flatmap(
        lambda day: st.from_regex(f"({day:%Y%m%d}|{day:%d%m%y}|{day:%d%m%y}-)[0-9]{{4,5}}", fullmatch=True)
    ),
    st.sampled_from([number for group in VECTORS.values() for _, number, *_ in group]),
)


@pytest.mark.unmeasured
@pytest.mark.parametrize("check", CHECKS)
@given(number=NUMBERS)
def test_any_text_passes_or_is_refused_without_being_quoted(check: Callable[[str], Redacted], number: str) -> None:
    """Neither the error nor the variables of the frames below it show the number."""
    hidden = Redacted(number)
    del number
    error = refusal(check, hidden)
    if error is None:
        assert check(hidden) == hidden
    else:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert error.__context__ is None
        # Other text may stand in any sentence; hypothesis draws it also from the literals of the code.
        if sum(map(str.isdigit, hidden)) > 8:
            assert hidden not in "".join([str(error), repr(error), *(repr(frame.locals) for frame in told.stack)])


@pytest.mark.parametrize("check", [check_swedish, check_norwegian])
@pytest.mark.parametrize("number", [None, 12, 1.5, b"209801011231", ["209801011231"]])
def test_what_is_no_text_is_refused_like_any_other_format(check: Callable[[object], Redacted], number: object) -> None:
    """A missing cell of a table or a number read as bytes does not escape as another exception."""
    with pytest.raises(UsageError) as caught:
        check(number)
    assert caught.value.code == "national_number_format"


@pytest.mark.unmeasured
@given(
    day=st.dates(date(1800, 1, 1), date(2099, 12, 31)),
    serial=st.integers(1, 999),
    added=st.sampled_from([0, 60]),
    place=st.integers(0, 9),
    error=st.integers(1, 9),
)
def test_one_wrong_digit_is_always_noticed(day: date, serial: int, added: int, place: int, error: int) -> None:
    """Each day and serial has one check digit, and with one other digit of the ten changed the number is refused."""
    stem = f"{day.year}{day.month:02}{day.day + added:02}{serial:03}"
    passing = [stem + digit for digit in "0123456789" if passes(check_swedish, stem + digit)]
    assert len(passing) == 1
    digits = list(passing[0])
    digits[2 + place] = str((int(digits[2 + place]) + error) % 10)
    assert not passes(check_swedish, "".join(digits))


@pytest.mark.unmeasured
@given(
    day=st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    serial=st.integers(0, 999),
    day_added=st.sampled_from([0, 40]),
    month_added=st.sampled_from([0, 40, 65, 80]),
)
def test_each_norwegian_birth_date_and_serial_has_at_most_four_numbers(
    day: date, serial: int, day_added: int, month_added: int
) -> None:
    """One for each remainder of the first check digit, and none on a day that the calendar does not have."""
    stem = f"{day.day + day_added:02}{day.month + month_added:02}{day.year % 100:02}{serial:03}"
    passing = [stem + f"{rest:02}" for rest in range(100) if passes(check_norwegian, stem + f"{rest:02}")]
    assert len({number[9] for number in passing}) == len(passing) <= 4
    after = (day + timedelta(days=1)).day
    if after == 1:
        wrong = f"{day.day + day_added + 1:02}{stem[2:]}"
        assert not any(passes(check_norwegian, wrong + f"{rest:02}") for rest in range(100))


def refusal(check: Callable[[str], Redacted], number: str) -> UsageError | None:
    """Return the error with which a number is refused, if it is."""
    try:
        check(number)
    except UsageError as error:
        return error
    return None


def passes(check: Callable[[str], Redacted], number: str) -> bool:
    """Say whether a number is not refused."""
    return refusal(check, number) is None
