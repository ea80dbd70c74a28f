"""Tests of text for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba.cli.text import counted, say
from idura_ciba.redaction import clean


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("Våken Måke", "Våken Måke"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\r\nb\tc\x00\x7f\x9b", r"a\r\nb\tc\x00\x7f\x9b"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
        ("[bold]not markup[/bold] :skull:", "[bold]not markup[/bold] :skull:"),
    ],
)
def test_foreign_text_cannot_do_anything(foreign: str, shown: str, paper: Callable[..., Any]) -> None:
    """Escapes, line breaks and direction marks are shown, and markup is text."""
    assert clean(foreign) == shown
    sheet = paper()
    say(foreign, to=sheet.console)
    assert sheet.text == f"{shown}\n"


def test_foreign_text_is_bounded() -> None:
    """Nobody fills the screen from afar."""
    assert clean("x" * 301) == "x" * 300 + "…"
    assert clean("x" * 300) == "x" * 300


@pytest.mark.parametrize(("count", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12345, "12,345 rows")])
def test_a_count_reads_as_a_sentence_does(count: int, said: str) -> None:
    """Its digits are in groups of three, and one of a thing is no plural."""
    assert counted(count, "row") == said


@pytest.mark.parametrize(("terminal", "whole", "lines"), [(True, False, 2), (True, True, 1), (False, False, 1)])
def test_lines_break_between_words_and_on_a_terminal_only(
    terminal: bool, whole: bool, lines: int, paper: Callable[..., Any]
) -> None:
    """What may be copied, and what is piped, stays on one line."""
    sheet = paper(terminal=terminal, width=20)
    say("sixteen letters, and some more", to=sheet.console, whole=whole)
    assert len(sheet.lines) == lines
    assert sheet.lines[0].split()[:2] == ["sixteen", "letters,"]
