"""National numbers as people and programs write them, brought into the one form in which they are sent and compared.

Rules:
1. Every written form that determines the number is read, so two spellings of one person are one person. Whether a
   register issues such numbers is checked afterwards, by `identity_number`.
2. A number that has lost something is refused and never repaired, because the nearest number is somebody else's. The
   error names the kind of damage and the remedy, and quotes nothing.
3. Spaces may stand anywhere, other separators only between the parts of a number. Groups of three digits are refused:
   such a cell went through a number format, and number formats drop leading zeros.
4. The clock is read only if the sign of a Swedish number has to tell the century and the caller passes no date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Final, Literal

from attrs import field, frozen

from idura_ciba.aio.clock import Clock
from idura_ciba.eids.identity_number import (
    DANISH,
    FINNISH,
    NORWEGIAN,
    SWEDISH,
    Rules,
    check_danish,
    check_finnish,
    check_norwegian,
    check_swedish,
)
from idura_ciba.eids.written_text import SOFT_HYPHEN, typed
from idura_ciba.errors import ArgumentError
from idura_ciba.redaction import Redacted

__all__ = ["EXPONENT", "Damage", "read_danish", "read_finnish", "read_norwegian", "read_swedish"]

Damage = Literal[
    "century_missing",
    "country",
    "exponent",
    "format",
    "leading_zero",
    "length",
    "letters",
    "lines",
    "script",
    "sign",
    "thousands",
]
_AS_TEXT: Final = "Get it from the source again, into a column formatted as text"

#: By the last part of the error's code: what is wrong, to be read after "The Swedish national number", and the remedy.
_DAMAGES: Final[dict[Damage, tuple[str, str]]] = {
    "century_missing": ("has no century, so it could belong to two people", "Add the century"),
    "country": (
        "is a {elsewhere} one, by its form and its check digits",
        "Name that country, or use its eID",
    ),
    "exponent": ("is in scientific notation, in which digits are lost", _AS_TEXT),
    "format": ("is not in any accepted form", "Write the number and nothing else"),
    "leading_zero": ("is one digit short, as if a spreadsheet had dropped a leading zero", _AS_TEXT),
    "length": ("has too few or too many digits", "Compare it with the source"),
    "letters": ("has letters in the place of digits", "Write 0 for O and 1 for l, and no words next to the number"),
    "lines": ("spans more than one line", "Write one number per cell"),
    "script": ("has digits other than 0 to 9", "Write it with the digits 0 to 9"),
    "sign": (
        "has a sign that contradicts its date: + is used from the year in which a person turns 100, and - before",
        "Find out the century",
    ),
    "thousands": ("has thousands separators, and number formats drop leading zeros", _AS_TEXT),
}

_DECIMALS: Final = re.compile(r"(?P<whole>[0-9]{9,})[.,]0+")
EXPONENT: Final = re.compile(r"[0-9]+(?:[.,][0-9]*)?(?:[eE]|[*xX\u00d7]10\^?)[-+]?[0-9]{1,3}")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?P<separator>[ ,.'])[0-9]{3}(?:(?P=separator)[0-9]{3})+(?:[.,][0-9]+)?")
#: A soft hyphen where a ten-digit number has its sign.
_SOFT_SIGN: Final = re.compile(rf"(?<![0-9A-Z])([0-9]{{6}}){SOFT_HYPHEN}(?=[0-9]{{3}}[0-9A-Z]$)", re.IGNORECASE)
#: A text with fewer digits is not a damaged number, but something else.
_FEW_DIGITS: Final = 6

#: What may separate the parts of a number.
_JOINT: Final = "[-./]?"
_TWO: Final = "[0-9]{2}"


def read_swedish(number: str, *, today: date | None = None) -> Redacted:
    """Read a Swedish personnummer or samordningsnummer.

    Args:
        number: Twelve digits, or ten with the sign that tells the century: `YYYYMMDD-NNNC`, `YYMMDD-NNNC`,
            `YYMMDD+NNNC`.
        today: The day on which the sign was written: `+` is used from the year in which a person turns 100. None: today
            in Sweden.

    Returns:
        Twelve digits, hidden from every repr.

    Raises:
        UsageError: The number has lost something, or breaks a rule of `check_swedish`; `code` is `national_number_`
            followed by what is wrong.

    Spec: Folkbokföringslagen (1991:481) section 18.
    """
    number = Redacted(number)  # first, because crash reports show the variables of frames
    return check_swedish(_read(number, _SWEDISH, today))


def read_norwegian(number: str, *, allow_synthetic: bool = True) -> Redacted:
    """Read a Norwegian fødselsnummer or D-number.

    Args:
        number: Eleven digits: `DDMMYY NNNNN`.
        allow_synthetic: See `check_norwegian`.

    Returns:
        Eleven digits, hidden from every repr.

    Raises:
        UsageError: As for `read_swedish`, by the rules of `check_norwegian`.
    """
    number = Redacted(number)
    return check_norwegian(_read(number, _NORWEGIAN), allow_synthetic=allow_synthetic)


def read_danish(number: str) -> Redacted:
    """Read a Danish CPR number.

    Args:
        number: Ten digits: `DDMMYY-NNNN`.

    Returns:
        Ten digits, hidden from every repr.

    Raises:
        UsageError: As for `read_swedish`, by the rules of `check_danish`.
    """
    number = Redacted(number)
    return check_danish(_read(number, _DANISH))


def read_finnish(number: str) -> Redacted:
    """Read a Finnish henkilötunnus.

    Args:
        number: Eleven characters, in upper or lower case: `DDMMYY-NNNC`, with any sign of a century.

    Returns:
        Eleven characters in upper case, hidden from every repr.

    Raises:
        UsageError: As for `read_swedish`, by the rules of `check_finnish`.
    """
    number = Redacted(number)
    return check_finnish(_read(number, _FINNISH))


# --- the forms of each country ----------------------------------------------------------------------------------------

#: Returns the present day; called only if it matters.
_Today = Callable[[], date]
#: Makes the number of a match, or says what is wrong with it.
_Join = Callable[[re.Match[str], _Today], tuple[str, Damage | None]]


def _joined(parts: re.Match[str], _today: _Today) -> tuple[str, Damage | None]:
    return "".join(parts.groups()), None


def _swedish(parts: re.Match[str], today: _Today) -> tuple[str, Damage | None]:
    century, year, month, day, sign, serial = parts.group("century", "year", "month", "day", "sign", "serial")
    if century is None:
        if sign not in {"-", "+"}:
            return "", "century_missing"
        latest = today().year - (100 if sign == "+" else 0)
        born = latest - (latest - int(year)) % 100
        if sign == "-" and born == latest and (int(month), int(day) % 60) > (today().month, today().day):
            return "", "sign"  # not born yet; and a hundred years earlier the sign would be +
        century = f"{born // 100:02}"
    elif sign == "+" and int(century + year) > today().year - 100:
        return "", "sign"  # somebody put 20 before a number whose sign means 19
    return f"{century}{year}{month}{day}{serial}", None


def _present_day() -> date:
    """Today in Sweden; in winter time, because only the turn of the year matters."""
    return datetime.fromtimestamp(Clock().wall(), timezone(timedelta(hours=1))).date()


@frozen(eq=False)
class _Writing:
    """How one country's numbers are written.

    Attributes:
        rules: The rules of the number itself.
        form: How people write it.
        pattern: Every written form, without spaces.
        join: Makes the number of a match of `pattern`.
        digits: The number of digits; None if a number also has other characters.
        incomplete: Patterns of numbers that have lost something, and what they have lost. Separators are removed
            first, unless `digits` is None.
        doubtful: Whether a number is hardly one of this country, so that the other countries are tried too.
    """

    rules: Rules
    form: str
    pattern: re.Pattern[str]
    join: _Join = _joined
    digits: int | None = None
    incomplete: Mapping[str, Damage] = field(factory=dict)
    doubtful: Callable[[str], bool] = field(default=lambda _: False)

    def read(self, text: str, today: _Today) -> tuple[str, Damage | None]:
        """Return the number, or what is wrong with it; empty and None if the text has another form."""
        parts = self.pattern.fullmatch(text)
        return ("", None) if parts is None else self.join(parts, today)

    def is_sound(self, text: str, today: _Today) -> bool:
        """Whether the text is a number that this country's register may have issued."""
        number, _ = self.read(text, today)
        return bool(number) and self.rules.flaw(number) is None


_SWEDISH: Final = _Writing(
    SWEDISH,
    "YYYYMMDD-NNNN, or YYMMDD-NNNN with the sign that the register uses",
    re.compile(
        rf"(?P<century>{_TWO})?(?P<year>{_TWO}){_JOINT}(?P<month>{_TWO}){_JOINT}(?P<day>{_TWO})"
        r"(?P<sign>[-+./]?)(?P<serial>[0-9]{4})"
    ),
    join=_swedish,
    digits=12,
    incomplete={"[0-9]{9}": "leading_zero"},
    doubtful=lambda number: SWEDISH.flaw(number) == "date",
)
_NORWEGIAN: Final = _Writing(
    NORWEGIAN,
    "DDMMYY NNNNN",
    re.compile(rf"({_TWO}){_JOINT}({_TWO}){_JOINT}({_TWO}){_JOINT}([0-9]{{5}})"),
    digits=11,
    incomplete={"[0-9]{10}": "leading_zero"},
    doubtful=lambda number: NORWEGIAN.flaw(number) == "date",
)
_DANISH: Final = _Writing(
    DANISH,
    "DDMMYY-NNNN",
    re.compile(rf"({_TWO}){_JOINT}({_TWO}){_JOINT}({_TWO}){_JOINT}([0-9]{{4}})"),
    digits=10,
    incomplete={"[0-9]{9}": "leading_zero"},
    # Days are 1 to 31, and 61 to 91 in numbers that hospitals issue. This is too uncertain to refuse a number for it.
    doubtful=lambda number: int(number[:2]) % 60 not in range(1, 32),
)
_FINNISH: Final = _Writing(
    FINNISH,
    "DDMMYY-NNNC with the sign of the century",
    re.compile(r"([0-9]{6})([-+A-FU-Y])([0-9]{3}[0-9A-Y])"),
    incomplete={
        "[0-9]{9}[0-9A-Y]": "century_missing",
        "[0-9]{5}[-+A-FU-Y][0-9]{3}[0-9A-Y]": "leading_zero",
    },
)
#: The countries whose check digits are hardly right by chance.
_TELLING: Final = (_SWEDISH, _NORWEGIAN, _FINNISH)


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(text: Redacted, writing: _Writing, today: date | None = None) -> Redacted:
    """Return the number in its normal form, or raise in a frame whose variables show nothing of it."""
    number, damage, elsewhere = _understood(text, writing, _present_day if today is None else lambda: today)
    if damage is not None:
        what, remedy = _DAMAGES[damage]
        raise ArgumentError(
            f"The {writing.rules.nationality} national number {what.format(elsewhere=elsewhere)}",
            code=f"national_number_{damage}",
            advice=f"{remedy}. The form is {writing.form}",
        )
    return number


def _understood(text: str, writing: _Writing, today: _Today) -> tuple[Redacted, Damage | None, str]:
    """Return the number, what is wrong with it, and its nationality if it is another country's."""
    if writing.rules.flaw(text) is None:
        return Redacted(text), None, ""  # most numbers come like this, and files are long
    text = typed(text)
    if len(text.splitlines()) > 1:
        return Redacted(), "lines", ""
    if _THOUSANDS.fullmatch(text):
        return Redacted(), "thousands", ""
    text = _SOFT_SIGN.sub(r"\1-", text.replace(" ", "")).replace(SOFT_HYPHEN, "")
    if whole := _DECIMALS.fullmatch(text):
        text = whole["whole"]
    if text.isascii():  # `upper` turns some other letters into ASCII
        text = text.upper()
    number, damage = writing.read(text, today)
    if damage is None and (not number or writing.doubtful(number)):
        for other in _TELLING:
            if other is not writing and other.is_sound(text, today):
                return Redacted(), "country", other.rules.nationality
    return Redacted(number), damage or (None if number else _damage(text, writing)), ""


def _damage(text: str, writing: _Writing) -> Damage:
    """Return what happened to a text that is not in any form of a country."""
    if any(letter.isnumeric() and not letter.isascii() for letter in text):
        return "script"
    unbroken = re.sub("[-+./]", "", text)
    for pattern, damage in writing.incomplete.items():
        if re.fullmatch(pattern, text if writing.digits is None else unbroken):
            return damage
    if EXPONENT.fullmatch(text):
        return "exponent"
    digits = sum(map(str.isdigit, text))
    if digits >= _FEW_DIGITS and any(map(str.isalpha, text)):
        return "letters"
    wrong = writing.digits is not None and digits != writing.digits and digits >= _FEW_DIGITS
    return "length" if wrong and unbroken.isdigit() else "format"
