"""The rules of Nordic national identity numbers.

1. Only ASCII digits count, over the whole text. `str.isdigit` takes Arabic-Indic ones, and `$` a trailing newline.
2. The birth date must be a real day. The additive marks (coordination, D and synthetic numbers) are taken off first.
3. Check digits alone prove nothing: the all-zero number satisfies both of the Norwegian ones.
4. In doubt a number passes: what is refused here locks a person out, what passes wrongly is refused by the provider.
5. An error names the rule and never quotes the number.

The rules are checked against samples; whether somebody holds the number, only the eID knows.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final, Literal

from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted

__all__ = ["check_danish", "check_finnish", "check_norwegian", "check_swedish"]

_Flaw = Literal["format", "century", "date", "serial", "check_digit", "synthetic"]

#: What is wrong, by the last part of the error's code; each is read after "The Swedish number" and the like.
_FLAWS: Final[dict[_Flaw, str]] = {
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
#: The sign of the century is `-`, `+` or, since 2023, one of several letters; the last character is a digit or letter.
_FINNISH: Final = re.compile(r"[0-9]{6}[-+A-Z][0-9]{3}[0-9A-Z]")

#: Added to the day of a samordningsnummer.
_COORDINATION_DAY: Final = 60
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

    Spec: Idura "Caller Authentication" (`sub:ssn:` and 12 digits); Skatteverket's rules for personnummer.
    """
    number = Redacted(number)  # first of all: the variables of a frame end up in crash reports
    return _passed(number, _swedish_flaw(number), "Swedish", "Pass 12 digits with the century: YYYYMMDDNNNC.")


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
    return _passed(number, flaw, "Norwegian", "Pass 11 digits without a space: DDMMYYIIIKK.")


def check_danish(number: str) -> Redacted:
    """Check that a Danish CPR number is ten digits, and no more than that.

    Raises:
        UsageError: It is not; `code` is `national_number_format`.
    """
    number = Redacted(number)
    flaw: _Flaw | None = None if _DANISH.fullmatch(number) else "format"
    return _passed(number, flaw, "Danish", "Pass 10 digits without a hyphen.")


def check_finnish(number: str) -> Redacted:
    """Check that a Finnish henkilötunnus has the right characters in the right places, and no more than that.

    Raises:
        UsageError: It has not; `code` is `national_number_format`.
    """
    number = Redacted(number)
    flaw: _Flaw | None = None if _FINNISH.fullmatch(number) else "format"
    return _passed(number, flaw, "Finnish", "Pass 11 characters with the sign of the century, letters in upper case.")


def _passed(number: Redacted, flaw: _Flaw | None, nationality: str, advice: str) -> Redacted:
    """Return the number, or raise in a frame whose variables show none of it."""
    if flaw is not None:
        what = f"The {nationality} national number {_FLAWS[flaw]}"
        raise UsageError(what, code=f"national_number_{flaw}", advice=advice)
    return number


def _swedish_flaw(number: str) -> _Flaw | None:
    if not _SWEDISH.fullmatch(number):
        return "format"
    if number[:2] not in {"18", "19", "20"}:
        return "century"
    day = int(number[6:8])
    if day > _COORDINATION_DAY:
        day -= _COORDINATION_DAY
    if not _is_day(int(number[:4]), int(number[4:6]), day):
        return "date"
    if number[8:11] == "000":
        return "serial"
    return None if _luhn(number[2:]) == 0 else "check_digit"


def _norwegian_flaw(number: str, *, allow_synthetic: bool) -> _Flaw | None:
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
