"""National numbers as people and programs write them, brought into the one form in which they are sent and compared.

Rules:
1. Each written form from which the number follows beyond doubt is read, so that two spellings of one person are one
   person. What the register would not have issued is refused afterwards, by the rules of `identity_number`.
2. What has lost something is refused and never mended: another person's number is one digit away. The error names the
   kind of damage and what to do about it, and never quotes anything.
3. Spaces may stand anywhere, other breaks only where a number has a joint. Groups of three digits are the exception:
   that cell went through a number format, and in its column zeros are lost.
4. No date is looked up here but where a Swedish sign stands for the century, and then the caller may name the day.
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
from idura_ciba.errors import UsageError
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
_AS_TEXT: Final = "Take it from its source again, into a column that was formatted as text before"

#: What is wrong, by the last part of the error's code, as it is read after "The Swedish national number"; and what to
#: do about it, before the accepted form.
_DAMAGES: Final[dict[Damage, tuple[str, str]]] = {
    "century_missing": ("does not tell the century, so it may be two people's", "Add the century"),
    "country": (
        "is a {elsewhere} one, by its form and by its check digits",
        "Name that country, or ask through its eID",
    ),
    "exponent": ("is in scientific notation, in which digits are lost", _AS_TEXT),
    "format": ("is not written as it must be", "Write it without anything else"),
    "leading_zero": ("has one digit too few, as where a spreadsheet has dropped the zero before the others", _AS_TEXT),
    "length": ("has too few digits or too many", "Compare it with its source"),
    "letters": ("has letters where digits must stand", "Write 0 for O and 1 for l, and no words beside the number"),
    "lines": ("spans more than one line", "Write one number"),
    "script": ("has digits that are not 0 to 9", "Write it with those"),
    "sign": (
        "has a sign that contradicts its date: it is + from the year in which a person turns 100, and - before",
        "Write the century",
    ),
    "thousands": ("has separators between thousands, and such a number format drops zeros", _AS_TEXT),
}

_DECIMALS: Final = re.compile(r"(?P<whole>[0-9]{9,})[.,]0+")
EXPONENT: Final = re.compile(r"[0-9]+(?:[.,][0-9]*)?(?:[eE]|[*xX\u00d7]10\^?)[-+]?[0-9]{1,3}")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?P<separator>[ ,.'])[0-9]{3}(?:(?P=separator)[0-9]{3})+(?:[.,][0-9]+)?")
#: A soft hyphen at the only place where a number of ten digits has its sign.
_SOFT_SIGN: Final = re.compile(rf"(?<![0-9A-Z])([0-9]{{6}}){SOFT_HYPHEN}(?=[0-9]{{3}}[0-9A-Z]$)", re.IGNORECASE)
#: Less than that is no number that lost something.
_FEW_DIGITS: Final = 6

_JOINT: Final = "[-./]?"
_TWO: Final = "[0-9]{2}"


def read_swedish(number: str, *, today: date | None = None) -> Redacted:
    """Read a Swedish personnummer or samordningsnummer.

    Args:
        number: Twelve digits, or ten with the sign before the last four, which tells the century: `YYYYMMDD-NNNC`,
            `YYMMDD-NNNC`, `YYMMDD+NNNC`.
        today: The day for which a sign is read: `+` is for whoever turns 100 or more in its year. By default the
            present day in Sweden.

    Returns:
        Twelve digits, hidden from every repr.

    Raises:
        UsageError: Something of it is lost, or a rule of `check_swedish` is broken; `code` is `national_number_` and
            then what is wrong.

    Spec: Folkbokföringslagen (1991:481) section 18.
    """
    number = Redacted(number)  # first of all: the variables of a frame end up in crash reports
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

#: Tells the present day, where that matters.
_Today = Callable[[], date]
#: The number of a match, or what of it is lost.
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
            return "", "sign"  # not yet born, and not below a hundred in the century before
        century = f"{born // 100:02}"
    elif sign == "+" and int(century + year) > today().year - 100:
        return "", "sign"  # somebody has put 20 before a number whose sign says 19
    return f"{century}{year}{month}{day}{serial}", None


def _present_day() -> date:
    """The date in Sweden, as far as it matters: the year begins there in winter time."""
    return datetime.fromtimestamp(Clock().wall(), timezone(timedelta(hours=1))).date()


@frozen(eq=False)
class _Writing:
    """How one country's numbers are written.

    Attributes:
        rules: Of the number itself.
        form: The form that a person would write.
        pattern: All forms, without spaces.
        join: Makes the number of a match.
        digits: How many there are in a number; None where they are not all of it.
        incomplete: What has lost something, and what it has lost; without breaks where those say nothing.
        doubtful: Whether the number is hardly one of this country, so that another one is looked for.
    """

    rules: Rules
    form: str
    pattern: re.Pattern[str]
    join: _Join = _joined
    digits: int | None = None
    incomplete: Mapping[str, Damage] = field(factory=dict)
    doubtful: Callable[[str], bool] = field(default=lambda _: False)

    def read(self, text: str, today: _Today) -> tuple[str, Damage | None]:
        """The number, or what of it is lost; empty and None where the text is nothing of the kind."""
        parts = self.pattern.fullmatch(text)
        return ("", None) if parts is None else self.join(parts, today)

    def is_sound(self, text: str, today: _Today) -> bool:
        """Whether the text is a number of this country that its register may have issued."""
        number, _ = self.read(text, today)
        return bool(number) and self.rules.flaw(number) is None


_SWEDISH: Final = _Writing(
    SWEDISH,
    "YYYYMMDD-NNNN, or YYMMDD-NNNN with the sign that the register has there",
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
    # Days are 1 to 31, and 60 more in the numbers of hospitals. That is not sure enough to refuse one by it alone.
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
#: Those whose check digits are hardly right by chance.
_TELLING: Final = (_SWEDISH, _NORWEGIAN, _FINNISH)


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(text: Redacted, writing: _Writing, today: date | None = None) -> Redacted:
    """Return what was written, or raise in a frame whose variables show none of it."""
    number, damage, elsewhere = _understood(text, writing, _present_day if today is None else lambda: today)
    if damage is not None:
        what, remedy = _DAMAGES[damage]
        raise UsageError(
            f"The {writing.rules.nationality} national number {what.format(elsewhere=elsewhere)}",
            code=f"national_number_{damage}",
            advice=f"{remedy}. It is written {writing.form}",
        )
    return number


def _understood(text: str, writing: _Writing, today: _Today) -> tuple[Redacted, Damage | None, str]:
    """The number, what of it is lost, and whose it is where it is another country's."""
    if writing.rules.flaw(text) is None:
        return Redacted(text), None, ""  # most are, and files are long
    text = typed(text)
    if len(text.splitlines()) > 1:
        return Redacted(), "lines", ""
    if _THOUSANDS.fullmatch(text):
        return Redacted(), "thousands", ""
    text = _SOFT_SIGN.sub(r"\1-", text.replace(" ", "")).replace(SOFT_HYPHEN, "")
    if whole := _DECIMALS.fullmatch(text):
        text = whole["whole"]
    if text.isascii():  # `upper` makes letters of ASCII of some others
        text = text.upper()
    number, damage = writing.read(text, today)
    if damage is None and (not number or writing.doubtful(number)):
        for other in _TELLING:
            if other is not writing and other.is_sound(text, today):
                return Redacted(), "country", other.rules.nationality
    return Redacted(number), damage or (None if number else _damage(text, writing)), ""


def _damage(text: str, writing: _Writing) -> Damage:
    """What has happened to a text that is no number of a country."""
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
