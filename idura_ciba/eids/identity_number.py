"""The rules of Nordic national identity numbers.

1. Only ASCII digits count, over the whole text. `str.isdigit` takes Arabic-Indic ones, and `$` a trailing newline.
2. The register is right and the calendar is not: a birth date must be a real day only where the register promises one.
   The additive marks of D and synthetic numbers are taken off first.
3. Check digits alone prove nothing: the all-zero number satisfies both of the Norwegian ones.
4. In doubt a number passes: what is refused here locks a person out, what passes wrongly is refused by the provider.
5. An error names the rule and never quotes the number.

Here a number has one form. How else it may be written is the matter of `written_number`. The rules are checked against
samples; whether somebody holds the number, only the eID knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final, Literal

from attrs import frozen

from idura_ciba.errors import ArgumentError
from idura_ciba.redaction import Redacted

__all__ = [
    "DANISH",
    "FINNISH",
    "NORWEGIAN",
    "SWEDISH",
    "Flaw",
    "Rules",
    "check_danish",
    "check_finnish",
    "check_norwegian",
    "check_swedish",
]

Flaw = Literal["format", "century", "date", "serial", "check_digit", "synthetic"]

#: What is wrong, by the last part of the error's code; each is read after "The Swedish number" and the like.
_FLAWS: Final[dict[Flaw, str]] = {
    "format": "is not written as it must be",
    "century": "does not begin with 18, 19 or 20",
    "date": "does not hold a day of the calendar",
    "serial": "has the serial number 000",
    "check_digit": "has a check digit that does not match: a digit is wrong or two are swapped",
    "synthetic": "is a synthetic one, and synthetic ones were not allowed",
}

_SWEDISH: Final = re.compile(r"[0-9]{12}")
_NORWEGIAN: Final = re.compile(r"(?P<day>[0-9]{2})(?P<month>[0-9]{2})(?P<year>[0-9]{2})[0-9]{5}")
_DANISH: Final = re.compile(r"[0-9]{10}")
#: The sign of the century: + for 18, - and since 2023 Y to U for 19, A and since 2023 B to F for 20.
_FINNISH: Final = re.compile(r"(?P<day>[0-9]{6})[-+A-FU-Y](?P<individual>[0-9]{3})(?P<check>[0-9A-Y])")
#: What the remainder of a division by 31 is written as: no letter that looks like another character.
_FINNISH_CHECK: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"

#: Added to the day of a samordningsnummer. Where the day of birth is not known this is all that stands there.
_COORDINATION_DAY: Final = 60
_DAYS: Final = range(1, 32)
#: Added to the day of a D-number.
_D_NUMBER_DAY: Final = 40
#: Added to the month of a synthetic number: NAV (and the old H-numbers), Norsk helsenett, Test-Norge.
#: Published validators differ on +65. It passes (rule 4); no month of one kind is also a month of another.
_SYNTHETIC_MONTHS: Final = (40, 65, 80)
_MONTHS: Final = range(1, 13)

#: What a digit adds, and the sum of the digits of twice a digit.
_ADDED: Final = bytes.maketrans(b"0123456789", bytes((0, 1, 2, 3, 4, 5, 6, 7, 8, 9)))
_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))

#: The weights of the two Norwegian check digits, each ending with the weight of the check digit itself.
_K1_WEIGHTS: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_K2_WEIGHTS: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
#: Until 2032 only 0 is given out. Then 1 to 3 become legal too, so the classic rule would one day refuse real people.
_K1_REMAINDERS: Final = range(4)


@frozen
class Rules:
    """What the numbers of one country have in common.

    Attributes:
        nationality: As an adjective.
        form: The one form in which numbers are sent.
        flaw: Says which rule a text breaks, if any.
    """

    nationality: str
    form: str
    flaw: Callable[[str], Flaw | None]


def check_swedish(number: str) -> Redacted:
    """Check a Swedish personnummer or samordningsnummer.

    Sweden's test numbers look like real ones and pass.

    Args:
        number: Twelve digits with the century, no hyphen: `YYYYMMDDNNNC`.

    Returns:
        The number, hidden from every repr.

    Raises:
        UsageError: A rule is broken; `code` is `national_number_` and then `format`, `century`, `date`, `serial` or
            `check_digit`.

    Spec: Idura "Caller Authentication" (`sub:ssn:` and 12 digits); Skatteverket's rules for personnummer and
        samordningsnummer.
    """
    number = Redacted(number)  # first of all: the variables of a frame end up in crash reports
    return _passed(number, SWEDISH.flaw(number), SWEDISH)


def check_norwegian(number: str, *, allow_synthetic: bool = True) -> Redacted:
    """Check a Norwegian fødselsnummer or D-number, by the rules that hold from 2032 on.

    They are wider than today's: three more values of the first check digit pass, and a birth date passes when it is
    a day in any century, which the number will no longer tell.

    Args:
        number: Eleven digits without a space: `DDMMYYIIIKK`.
        allow_synthetic: Whether the numbers of test persons pass, which have 40, 65 or 80 added to the month.

    Returns:
        The number, hidden from every repr.

    Raises:
        UsageError: A rule is broken; `code` is `national_number_` and then `format`, `date`, `synthetic` or
            `check_digit`.

    Spec: Idura "Caller Authentication" (`sub:ssn:` and 11 digits); Skatteetaten's rules for fødselsnummer.
    """
    number = Redacted(number)
    flaw = _norwegian_flaw(number, allow_synthetic=allow_synthetic)
    return _passed(number, flaw, NORWEGIAN)


def check_danish(number: str) -> Redacted:
    """Check that a Danish CPR number is ten digits, and no more than that.

    Its check digit proves nothing: since 2007 numbers are given out without one.

    Raises:
        UsageError: It is not; `code` is `national_number_format`.
    """
    number = Redacted(number)
    return _passed(number, DANISH.flaw(number), DANISH)


def check_finnish(number: str) -> Redacted:
    """Check the characters of a Finnish henkilötunnus and the last one of them, which is computed of the digits.

    Args:
        number: Eleven characters, letters in upper case: `DDMMYY`, the sign of the century, `NNNC`.

    Raises:
        UsageError: A rule is broken; `code` is `national_number_` and then `format` or `check_digit`.

    Spec: The Digital and Population Data Services Agency's "Personal identity code", with the signs of 2023.
    """
    number = Redacted(number)
    return _passed(number, FINNISH.flaw(number), FINNISH)


def _passed(number: Redacted, flaw: Flaw | None, rules: Rules) -> Redacted:
    """Return the number, or raise in a frame whose variables show none of it."""
    if flaw is not None:
        what = f"The {rules.nationality} national number {_FLAWS[flaw]}"
        raise ArgumentError(what, code=f"national_number_{flaw}", advice=f"Pass {rules.form}")
    return number


def _swedish_flaw(number: str) -> Flaw | None:
    if not _SWEDISH.fullmatch(number):
        return "format"
    if number[:2] not in {"18", "19", "20"}:
        return "century"
    if not _is_swedish_day(int(number[:4]), int(number[4:6]), int(number[6:8])):
        return "date"
    if number[8:11] == "000":
        return "serial"
    return None if _luhn(number[2:]) == 0 else "check_digit"


def _is_swedish_day(year: int, month: int, day: int) -> bool:
    """Whether the register gives out numbers with this date; a samordningsnummer need not have a day that there was."""
    if day < _COORDINATION_DAY:
        return _is_day(year, month, day)
    return (month == 0 or month in _MONTHS) and (day == _COORDINATION_DAY or day - _COORDINATION_DAY in _DAYS)


def _norwegian_flaw(number: str, *, allow_synthetic: bool = True) -> Flaw | None:
    parts = _NORWEGIAN.fullmatch(number)
    if parts is None:
        return "format"
    day, month = int(parts["day"]), int(parts["month"])
    if day > _D_NUMBER_DAY:
        day -= _D_NUMBER_DAY
    added = next((added for added in _SYNTHETIC_MONTHS if month - added in _MONTHS), 0)
    # The number does not tell the century. 2000 to 2099 has each date that any two-digit year can have.
    if not _is_day(2000 + int(parts["year"]), month - added, day):
        return "date"
    if added and not allow_synthetic:
        return "synthetic"
    checked = _mod_11(number, _K1_WEIGHTS) in _K1_REMAINDERS and _mod_11(number, _K2_WEIGHTS) == 0
    return None if checked else "check_digit"


def _danish_flaw(number: str) -> Flaw | None:
    return None if _DANISH.fullmatch(number) else "format"


def _finnish_flaw(number: str) -> Flaw | None:
    parts = _FINNISH.fullmatch(number)
    if parts is None:
        return "format"
    due = _FINNISH_CHECK[int(parts["day"] + parts["individual"]) % len(_FINNISH_CHECK)]
    return None if parts["check"] == due else "check_digit"


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _luhn(digits: str) -> int:
    """Weigh and sum modulo 10, check digit included: 0 when it matches.

    Spec: ISO/IEC 7812-1 annex B.
    """
    written = digits.encode()
    return (sum(written[::2].translate(_DOUBLED)) + sum(written[1::2].translate(_ADDED))) % 10


def _mod_11(digits: str, weights: tuple[int, ...]) -> int:
    """Weigh and sum the leading digits modulo 11, check digit included: 0 when it matches."""
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=False)) % 11


SWEDISH: Final = Rules("Swedish", "12 digits with the century: YYYYMMDDNNNC", _swedish_flaw)
NORWEGIAN: Final = Rules("Norwegian", "11 digits: DDMMYYIIIKK", _norwegian_flaw)
DANISH: Final = Rules("Danish", "10 digits: DDMMYYNNNN", _danish_flaw)
FINNISH: Final = Rules("Finnish", "11 characters with the sign of the century: DDMMYY-NNNC", _finnish_flaw)
