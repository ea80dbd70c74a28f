"""Find the columns of a file by their names; what is not known, or nearly known, is named and never passed over.

A column that nobody reads is most often one that somebody misspelt: their message would go to nobody, and the message
of the command line to everybody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from idura_ciba.errors import ArgumentError, UsageError

__all__ = ["ALL", "PERSON", "Columns", "folded"]

#: One of these says whom to ask.
PERSON: Final = ("ssn", "login_hint")
#: In place of a name: all columns that are not like a known one.
ALL: Final = "*"

#: What the number is called elsewhere; letters alone, as `_letters` leaves them.
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "cpr": "ssn",
    "cprnr": "ssn",
    "cprnummer": "ssn",
    "fnr": "ssn",
    "fodselsnr": "ssn",
    "fodselsnummer": "ssn",
    "henkilotunnus": "ssn",
    "hetu": "ssn",
    "nationalid": "ssn",
    "nationalnumber": "ssn",
    "personalnumber": "ssn",
    "personid": "ssn",
    "personnr": "ssn",
    "personnummer": "ssn",
    "pnr": "ssn",
    "ssnnr": "ssn",
    "ssnnumber": "ssn",
    "text": "message",
    "meddelande": "message",
    "melding": "message",
    "land": "country",
    "callinit": "call_initiator",
    "initiator": "call_initiator",
}
#: How alike two names must be, from 0 to 1: two letters wrong in a long one, one in a short one.
_ALIKE: Final = 0.72
#: At least five digits, with anything between them.
_DIGITS: Final = re.compile(r"(?:\d\D*){5}")
_SHOWN: Final = 40


class Columns:
    """The columns of a file, by what they mean.

    Args:
        fields: The fields of a row.
        named: Column names by field, where they differ from the field names.
        ignored: Names of columns that are meant, and that no field has. `ALL`: all that are not like a field's.

    Attributes:
        names: The name of each field in the file, as it is written there where it was found.
    """

    def __init__(self, fields: Sequence[str], named: Mapping[str, str], ignored: Collection[str] = ()) -> None:
        self.names: dict[str, str] = {name: name for name in fields} | dict(named)
        self._named = frozenset(named)
        self._ignored = frozenset(folded(name) for name in ignored if name != ALL)
        self._ignores_all = ALL in ignored
        self._fields = {folded(column): name for name, column in self.names.items()}

    def places(self, header: Sequence[str]) -> Sequence[tuple[str, int]]:
        """Which cells of a row are which fields.

        Args:
            header: The cells of the header.

        Raises:
            UsageError: A column is missing, stands twice, is not known, or has no field.
        """
        cells = [folded(cell) for cell in header]
        for field, column in self.names.items():
            if field in self._named and folded(column) not in cells:
                raise self._missing(column, field, header)
        self._refuse_twice(header, cells)
        people = [self.names[name] for name in PERSON if name in self.names]
        if not any(folded(column) in cells for column in people):
            raise self._missing(people[0], PERSON[0], header)
        self.refuse_unknown(header)
        found = []
        for place, cell in enumerate(cells):
            field = self._fields.get(cell, "")
            if field:
                self.names[field] = header[place]
                found.append((field, place))
        return found

    def field_of(self, name: str) -> str | None:
        """The field of a column; None for one that is not read."""
        return self._fields.get(folded(name))

    def refuse_unknown(self, header: Iterable[str]) -> None:
        """Make sure that each column is known, or meant.

        Raises:
            UsageError: One is not.
        """
        unknown = {cell: self.like(cell) for cell in header if not self.is_meant(cell)}
        if not unknown:
            return
        shown = [_shown(cell) + (f" (like {field})" if field else "") for cell, field in unknown.items()]
        one, like = len(unknown) == 1, next(((cell, field) for cell, field in unknown.items() if field), None)
        first = next(iter(unknown))
        rename = f"Rename it, or pass --column {like[1]}='{_shown(like[0])}'; " if like else ""
        named = _shown(like[0] if like else first)
        meant = f"--ignore-column '{named}', or --keep '{named}' to have it in the results"
        raise ArgumentError(
            f"{'A column is' if one else 'Columns are'} not used: {', '.join(shown)}",
            code="column_unknown",
            advice=f"{rename}{'if' if like else 'If'} it should be ignored, pass {meant}",
        )

    def is_meant(self, cell: str) -> bool:
        """Whether a column is known, or may stay unread."""
        name = folded(cell)
        if name in self._fields or name in self._ignored or not name:
            return True
        return self._ignores_all and self.like(cell) is None

    def like(self, cell: str) -> str | None:
        """The field for which a column seems to be meant."""
        letters = _letters(cell)
        if not letters:
            return None
        known = {_letters(name): name for name in self.names}
        if letters in _OTHER_NAMES and _OTHER_NAMES[letters] in self.names:
            return _OTHER_NAMES[letters]
        return next((known[name] for name in get_close_matches(letters, known, 1, _ALIKE)), None)

    def _refuse_twice(self, header: Sequence[str], cells: Sequence[str]) -> None:
        for place, cell in enumerate(cells):
            if cell in cells[:place] and cell in self._fields:
                raise ArgumentError(
                    f"Two columns are named {_shown(header[place])}", code="column", advice="Rename one"
                )

    def _missing(self, column: str, name: str, header: Sequence[str]) -> UsageError:
        # If the header line is missing, these are cells of a person's row.
        shown = ", ".join(map(_shown, header))
        like = next((cell for cell in header if self.like(cell) == name), "NAME")
        quoted = like if like.isascii() and like.isalnum() else f"'{_shown(like)}'"
        return ArgumentError(
            f"The header line has no column {column}; its columns are: {shown}",
            code="column",
            advice=f"Pass --column {name}={quoted}, or add a header line if the file has none",
        )


def folded(name: str) -> str:
    """A name as names are compared: without case, invisible characters, and spaces around."""
    if name.isascii() and name.isprintable():
        return name.strip().casefold()
    seen = "".join(
        " " if unicodedata.category(letter) in {"Cc", "Zl", "Zp", "Zs"} else letter
        for letter in unicodedata.normalize("NFKC", name)
        if unicodedata.category(letter) != "Cf"
    )
    return " ".join(seen.split()).casefold()


def _letters(name: str) -> str:
    """A name as a hasty writer sees it: letters of the plain alphabet and digits only."""
    plain = unicodedata.normalize("NFKD", folded(name).replace("ø", "o").replace("æ", "ae"))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum())


def _shown(cell: str) -> str:
    if _DIGITS.search(cell) or "@" in cell:
        return "(digits)" if "@" not in cell else "(an address)"
    return " ".join(cell.split())[:_SHOWN] or "(no name)"
