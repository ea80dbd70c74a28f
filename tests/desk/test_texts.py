"""Tests of what the desk says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from idura_ciba import desk
from idura_ciba.desk.catalogue import CATALOGUE
from idura_ciba.desk.texts import preferred, sayer
from idura_ciba.eids.phase import LANGUAGES

HERE = Path(desk.__file__).parent
#: Keys that are put together from what they are about.
COMPOSED = ("verdict_", "next_", "option_", "error_", "number_", "page_", "unconfirmed_", "distrusted_")


@pytest.mark.parametrize("key", CATALOGUE)
def test_a_text_is_there_in_every_language(key: str) -> None:
    """With the same names to fill in."""
    texts = CATALOGUE[key]
    assert len(texts) == len(LANGUAGES)
    assert all(text.strip() == text and text for text in texts)
    assert len({frozenset(re.findall(r"{(\w+)}", text)) for text in texts}) == 1


def test_every_text_is_used_and_every_used_text_is_there() -> None:
    """In the templates and in the modules."""
    sources = "".join(path.read_text() for path in [*HERE.glob("templates/*.html"), *HERE.glob("*.py")])
    used = {key for call in re.findall(r"say\(([^)]*)", sources) for key in re.findall(r"[\"'](\w+)[\"']", call)}
    used = {key for key in used if not key.endswith("_")}
    assert used - set(CATALOGUE) == set()
    assert {key for key in CATALOGUE if key not in used and not key.startswith(COMPOSED)} == set()


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("sv-SE,sv;q=0.9,en;q=0.8", "sv"),
        ("de,nb;q=0.5,en;q=0.4", "no"),
        ("nn-NO", "no"),
        ("en;q=0.1, da;q=0.9", "da"),
        ("sv;q=0, da;q=0.1", "da"),
        ("fi, de", "en"),
        ("sv;q=much, da;q=0.2", "da"),
        (",;;q=,*;q=nan", "en"),
        ("x" * 10_000, "en"),
    ],
)
def test_the_browser_says_what_the_agent_reads(header: str, language: str) -> None:
    """Whatever else stands there."""
    assert preferred(header) == language


def test_the_first_key_that_there_is_says_it() -> None:
    """So a code can have a text of its own."""
    say = sayer("sv")
    assert say("next_unheard_of", "next_denied") == CATALOGUE["next_denied"][1]
    assert say("call", nth=3) == "Samtal 3"
    with pytest.raises(StopIteration):
        say("nothing")
