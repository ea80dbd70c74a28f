"""National numbers of all four countries for tests: sound ones, how they are written, and what happens to them.

The check digits are computed here once more, from the published rules.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import date
from typing import Final

from attrs import frozen
from hypothesis import strategies as st

from idura_ciba.eids.written_number import read_danish, read_finnish, read_norwegian, read_swedish
from idura_ciba.redaction import Redacted

#: The day on which these tests read numbers.
TODAY: Final = date(2025, 11, 29)

INVISIBLE: Final = "\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u202d\u202e\u2060\u2066\u2069\ufeff\u180e\ufe0f\u034f"
SPACES: Final = " \t\u00a0\u2002\u2007\u2009\u202f\u3000"
HYPHENS: Final = "-\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"
#: What stands at the ends of a cell.
BLANKS: Final = f"{SPACES}\n\r\x0b\x0c\x85\u2028"
FULL_WIDTH: Final = str.maketrans({letter: chr(ord(letter) + 0xFEE0) for letter in string.printable if letter >= "!"})

READERS: Final[dict[str, Callable[[str], Redacted]]] = {
    "SE": lambda number: read_swedish(number, today=TODAY),
    "NO": read_norwegian,
    "DK": read_danish,
    "FI": read_finnish,
}


@frozen
class Person:
    """Somebody's number.

    Attributes:
        country: Which one gave it out.
        number: The number in its normal form.
        forms: Other ways to write it.
    """

    country: str
    number: str
    forms: tuple[str, ...]

    @property
    def all_forms(self) -> tuple[str, ...]:
        """The normal form and the others."""
        return (self.number, *self.forms)


def luhn(stem: str) -> str:
    """The check digit that follows nine digits."""
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(stem))
    return str(-total % 10)


@st.composite
def swedes(draw: st.DrawFn) -> Person:
    """Personnummer and samordningsnummer, also with unknown days and months, of people who are born by now."""
    born = draw(st.dates(date(1860, 1, 1), TODAY))
    month, day = f"{born:%m}", f"{born:%d}"
    if draw(st.booleans()):
        day = str(draw(st.integers(60, 91 if born.year < TODAY.year else 60 + born.day)))
        month = draw(st.sampled_from(("00", month)))
    year, tail = f"{born.year:04}", f"{draw(st.integers(1, 999)):03}"
    tail += luhn(f"{year[2:]}{month}{day}{tail}")
    sign = "+" if TODAY.year - born.year >= 100 else "-"
    short, long = f"{year[2:]}{month}{day}", f"{year}{month}{day}"
    forms = (
        f"{long}-{tail}",
        f"{long}{sign}{tail}",
        f"{long} {tail}",
        f"{year}-{month}-{day}-{tail}",
        f"{year[:2]} {short}-{tail}",
        f"{short}{sign}{tail}",
        f"{short[:2]}.{month}.{day}{sign}{tail}",
    )
    return Person("SE", f"{long}{tail}", forms)


@st.composite
def norwegians(draw: st.DrawFn) -> Person:
    """Fødselsnummer, D-numbers, synthetic ones and those of 2032."""
    born = draw(st.dates(date(2000, 1, 1), date(2099, 12, 31)))
    day = born.day + draw(st.sampled_from((0, 40)))
    month = born.month + draw(st.sampled_from((0, 40, 65, 80)))
    rest, start = draw(st.integers(0, 3)), draw(st.integers(0, 999))
    stems = (f"{day:02}{month:02}{born:%y}{(start + step) % 1000:03}" for step in range(1000))
    number = next(number for stem in stems if (number := with_check_digits(stem, rest)) is not None)
    date_part, tail = number[:6], number[6:]
    dotted = f"{date_part[:2]}.{date_part[2:4]}.{date_part[4:]}"
    forms = (f"{date_part} {tail}", f"{date_part}-{tail}", f"{dotted} {tail}", f"{date_part} {tail[:3]} {tail[3:]}")
    return Person("NO", number, forms)


def with_check_digits(stem: str, rest: int) -> str | None:
    """A Norwegian number of nine digits; None where these cannot be used. From 2032 on the rest may be 1 to 3."""
    first = (rest - mod_11(stem, (3, 7, 6, 1, 8, 9, 4, 5, 2))) % 11
    second = -mod_11(f"{stem}{first}", (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11 if first < 10 else 10
    return f"{stem}{first}{second}" if second < 10 else None


def mod_11(digits: str, weights: tuple[int, ...]) -> int:
    """The weighted sum modulo 11."""
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True)) % 11


@st.composite
def danes(draw: st.DrawFn) -> Person:
    """CPR numbers with any four digits."""
    born, tail = f"{draw(st.dates(date(1900, 1, 1), TODAY)):%d%m%y}", f"{draw(st.integers(0, 9999)):04}"
    return Person(
        "DK", f"{born}{tail}", (f"{born}-{tail}", f"{born} {tail}", f"{born[:2]}.{born[2:4]}.{born[4:]}-{tail}")
    )


@st.composite
def finns(draw: st.DrawFn) -> Person:
    """Henkilötunnus with each sign."""
    born, tail = f"{draw(st.dates(date(1900, 1, 1), TODAY)):%d%m%y}", f"{draw(st.integers(2, 899)):03}"
    sign = draw(st.sampled_from("+-ABCDEFUVWXY"))
    tail += "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(born + tail) % 31]
    number = f"{born}{sign}{tail}"
    return Person("FI", number, (number.lower(), f"{born} {sign} {tail}", f"{born}{sign} {tail}"))


OF: Final = {"SE": swedes(), "NO": norwegians(), "DK": danes(), "FI": finns()}
PEOPLE: Final = st.one_of(*OF.values())


@st.composite
def noise(draw: st.DrawFn, written: str) -> str:
    """What spreadsheets, web pages and chats do to a text without taking anything from it."""
    if written.isdigit() and draw(st.booleans()):
        written += draw(st.sampled_from((".0", ",0", ".00")))
    written = "".join(draw(st.sampled_from(HYPHENS)) if letter == "-" else letter for letter in written)
    written = "".join(draw(st.sampled_from(SPACES)) if letter == " " else letter for letter in written)
    if draw(st.booleans()):
        written = written.translate(FULL_WIDTH)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(written)))
        written = written[:place] + draw(st.sampled_from(INVISIBLE)) + written[place:]
    for wrap in draw(st.lists(st.sampled_from(WRAPPINGS), max_size=3)):
        written = wrap.format(written)
        written = draw(st.text(BLANKS, max_size=2)) + written + draw(st.text(BLANKS, max_size=2))
    return written


WRAPPINGS: Final = ("'{}", "\u2019{}", "'{}'", '"{}"', '="{}"', '= "{}"', "\u201c{}\u201d", "\ufeff{}\u200e")
