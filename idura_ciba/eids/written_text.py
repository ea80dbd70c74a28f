"""Text as it comes out of spreadsheets, web pages and chats, without what others have put into it and around it.

Rules:
1. Only what says nothing is taken away: characters that nobody can see, blanks at the ends, a spreadsheet's quotes.
2. A character that is another one in a different width or typeface becomes that one. Digits of other scripts stay what
   they are, and so do superscripts: they may belong to a footnote.
3. What could mean two things is left alone, for whoever reads the text to refuse.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from attrs import frozen

__all__ = ["SOFT_HYPHEN", "bare", "typed"]

#: Some programs show it as a hyphen and some do not show it, so it is for the reader of the text to judge.
SOFT_HYPHEN: Final = "\u00ad"

#: Unicode's Default_Ignorable_Code_Point without the category Cf: joiners, fillers and variation selectors.
_IGNORABLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: Minus signs and a bullet, which Unicode does not call dashes.
_HYPHENS: Final = "\u02d7\u2043\u2212"
_SINGLE_QUOTES: Final = "\u2018\u2019\u201a\u201b"
_DOUBLE_QUOTES: Final = "\u201c\u201d\u201e\u201f"
#: Characters of ASCII in the width of Chinese ones, and how far they are from them.
_FULL_WIDTH: Final = range(0xFF01, 0xFF5F)
_WIDENED: Final = 0xFEE0

#: A spreadsheet is told by an apostrophe or a formula that a cell is text; and what was quoted twice keeps its quotes.
_WRAPPED: Final = re.compile(
    rf"""(?:=\s*)?["{_DOUBLE_QUOTES}](?P<quoted>.*)["{_DOUBLE_QUOTES}]"""
    rf"""|['{_SINGLE_QUOTES}](?P<marked>.*?)['{_SINGLE_QUOTES}]?""",
    re.DOTALL,
)
#: More than any program puts around a cell.
_MOST_LAYERS: Final = 8


@frozen
class _Table:
    """For `str.translate`: looked up by character, because Unicode has more of them than a table should."""

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
