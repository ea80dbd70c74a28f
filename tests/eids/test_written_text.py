"""Tests of what is taken from a text without taking anything away."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.written_text import SOFT_HYPHEN, bare, typed
from tests.national_numbers import BLANKS, HYPHENS, INVISIBLE, SPACES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a", "a"),
        ("'a'", "a"),
        ("\u2019a", "a"),
        ("\u2018a\u2019", "a"),
        ("\u201ea\u201d", "a"),
        ('"a"', "a"),
        ('="a"', "a"),
        ('= "a"', "a"),
        ('"=""a"""', "a"),
        ('\'="a"', "a"),
        ('="\'a"', "a"),
        ('\n \u200b="\u00a0a\u200e "\r\n', "a"),
        ("", ""),
        ("'", ""),
        ('""', ""),
        # Half of a pair is damage, and belongs to whatever stands beside it.
        ('"a', '"a'),
        ('a"', 'a"'),
        ('="a', '="a'),
        ("a'", "a'"),
        ("o'a", "o'a"),
        ("=a", "=a"),
    ],
)
def test_what_a_spreadsheet_puts_around_a_cell_is_taken_off(text: str, expected: str) -> None:
    """In any order and however deep, and nothing else is."""
    assert bare(text) == expected


@pytest.mark.parametrize("around", [" ", "\t", "\u3000", "\n", '"', "'"])
def test_a_text_of_nothing_else_ends_soon(around: str) -> None:
    """A line may be long, and each layer is a copy of it."""
    assert len(bare(around * 60000)) < 60000


@pytest.mark.parametrize("letter", INVISIBLE)
def test_what_nobody_sees_is_taken_off_wherever_it_stands(letter: str) -> None:
    """At the ends and within, once and often."""
    assert bare(f"{letter}a{letter}{letter}b{letter}") == typed(f"{letter}a{letter}{letter}b{letter}") == "ab"


def test_each_invisible_character_of_unicode_is_known() -> None:
    """Those that Unicode calls formats or ignorable, but for the soft hyphen, which may be meant as one."""
    formats = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) == "Cf"]
    assert len(formats) > 150
    assert bare("".join(formats)) == SOFT_HYPHEN
    assert typed(f"a{SOFT_HYPHEN}b") == f"a{SOFT_HYPHEN}b"


def test_typography_becomes_what_a_keyboard_has() -> None:
    """Hyphens, spaces, quotes and full-width characters; a line break stays one."""
    assert typed("".join(f"a{hyphen}" for hyphen in HYPHENS)) == "a-" * len(HYPHENS)
    assert typed("".join(f"{space}a" for space in SPACES)) == (" a" * len(SPACES)).strip()
    assert typed("\uff1d\uff02\uff11\uff0b\uff21\uff02") == "1+A"
    assert typed("\u201e\u2018a\u201d") == "a"
    assert typed("a\nb") == "a\nb"
    assert bare("a\u2013b\u00a0c") == "a\u2013b\u00a0c"


@pytest.mark.parametrize(
    "text", ["\u0661", "\u00b2", "\u2460", "\U0001d7cf", "\u2153", "\u2170", "\u0131", "\u017f", "\u212a"]
)
def test_what_only_resembles_a_character_is_not_made_one(text: str) -> None:
    """Digits of other scripts, superscripts, circled ones, and letters whose upper case is ASCII."""
    assert typed(text) == bare(text) == text


@given(st.text(st.sampled_from(f"ab1'\"={BLANKS}{INVISIBLE}{HYPHENS}{SOFT_HYPHEN}"), max_size=40))
def test_what_was_freed_is_free(text: str) -> None:
    """Once is enough, and no letter or digit is lost on the way."""
    for freed in (bare(text), typed(text)):
        assert [letter for letter in freed if letter in "ab1"] == [letter for letter in text if letter in "ab1"]
        assert freed == freed.strip()
        assert not set(freed) & set(INVISIBLE)
