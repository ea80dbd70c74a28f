"""Text from spreadsheets, web pages and chats, without what those have put into it and around it.

Rules:
1. Only what means nothing is removed: invisible characters, white space at the ends, a spreadsheet's quotes.
2. A character that is another one in a different width or typeface becomes that one. Digits of other scripts and
   superscripts stay: a superscript may belong to a footnote.
3. What could mean two things stays, for the reader of the text to refuse.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from attrs import frozen

__all__ = ["SOFT_HYPHEN", "bare", "typed"]

#: Some programs show it as a hyphen, others do not show it, so it stays.
SOFT_HYPHEN: Final = "\u00ad"

#: Unicode's Default_Ignorable_Code_Point without the category Cf: joiners, fillers and variation selectors.
_IGNORABLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: Minus signs and a bullet, which are not dashes in Unicode.
_HYPHENS: Final = "\u02d7\u2043\u2212"
_SINGLE_QUOTES: Final = "\u2018\u2019\u201a\u201b"
_DOUBLE_QUOTES: Final = "\u201c\u201d\u201e\u201f"
#: Full-width forms of ASCII characters, and their distance from those.
_FULL_WIDTH: Final = range(0xFF01, 0xFF5F)
_WIDENED: Final = 0xFEE0

#: An apostrophe or a formula tells a spreadsheet that a cell is text. A cell that was quoted twice still has quotes.
_WRAPPED: Final = re.compile(
    rf"""(?:=\s*)?["{_DOUBLE_QUOTES}](?P<quoted>.*)["{_DOUBLE_QUOTES}]"""
    rf"""|['{_SINGLE_QUOTES}](?P<marked>.*?)['{_SINGLE_QUOTES}]?""",
    re.DOTALL,
)
#: More than any program puts around a cell; each one is a copy of the text.
_MOST_LAYERS: Final = 8


@frozen
class _Table:
    """Replaces characters in `str.translate`; computed, because a table of all of Unicode would be large."""

    replaced: Callable[[str], str]

    def __getitem__(self, code: int) -> str:
        return self.replaced(chr(code))


def bare(text: str) -> str:
    """Return a text without invisible characters, blanks at its ends and a spreadsheet's quotes around it.

    Soft hyphens stay.
    """
    return _unwrapped(text if text.isascii() else text.translate(_Table(_visible)))


def typed(text: str) -> str:
    """Return the same as `bare`, in the characters of a plain keyboard: hyphens, quotes, spaces and full-width ones.

    Line breaks within the text stay, and so do soft hyphens.
    """
    return _unwrapped((text if text.isascii() else text.translate(_Table(_plain))).replace("\t", " "))


def _visible(letter: str) -> str:
    invisible = unicodedata.category(letter) == "Cf" or _IGNORABLE.fullmatch(letter)
    return "" if invisible and letter != SOFT_HYPHEN else letter


def _plain(letter: str) -> str:
    if ord(letter) in _FULL_WIDTH:
        return chr(ord(letter) - _WIDENED)
    category = unicodedata.category(letter)
    if category == "Pd" or letter in _HYPHENS:
        return "-"
    if category == "Zs":
        return " "
    if letter in _SINGLE_QUOTES:
        return "'"
    return '"' if letter in _DOUBLE_QUOTES else _visible(letter)


def _unwrapped(text: str) -> str:
    text = text.strip()
    for _ in range(_MOST_LAYERS):
        found = _WRAPPED.fullmatch(text)
        if found is None:
            break
        text = next(inner for inner in found.groups() if inner is not None).strip()
    return text
