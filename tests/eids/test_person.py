"""Tests of the tags by which a person is recognised."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.person import PersonTags, find_claim
from idura_ciba.redaction import Redacted

SSN, OTHER_SSN = "209801011231", "209602294564"
TAGS = PersonTags(b"k" * 32)
#: Also what JSON can say and no encoding takes.
TEXT = st.text(st.characters(codec=None), max_size=8)
PATH = st.lists(TEXT, min_size=1, max_size=3).map(tuple)


def test_a_tag_says_nothing() -> None:
    """It is as long for each value, holds nothing of it, and is another one under another key or path."""
    tag = TAGS.tag(("ssn",), SSN)
    assert len(tag) == len(TAGS.tag(("ssn",), "")) == 16
    assert SSN.encode() not in tag
    assert tag != TAGS.tag(("socialno",), SSN)
    assert tag != TAGS.tag(("ssn",), OTHER_SSN)
    assert tag != PersonTags(b"j" * 32).tag(("ssn",), SSN)


def test_the_same_person_is_recognised_in_another_process() -> None:
    """Two holders of one key make one tag, whatever kind of text the number is."""
    assert PersonTags(b"k" * 32).tag(["ssn"], Redacted(SSN)) == TAGS.tag(("ssn",), SSN)
    assert TAGS.matches(("ssn",), Redacted(SSN), TAGS.tag(("ssn",), SSN))


@pytest.mark.parametrize(
    "value", [OTHER_SSN, "", SSN[:-1], f"{SSN} ", f"{SSN}\n", f"{SSN}\0", f"0{SSN}", SSN.replace("1", "\u0661")]
)
def test_nobody_else_is_taken_for_the_person(value: str) -> None:
    """Full length, character by character."""
    assert not TAGS.matches(("ssn",), value, TAGS.tag(("ssn",), SSN))
    assert not TAGS.matches(("name",), SSN, TAGS.tag(("ssn",), SSN))


@given(st.lists(st.tuples(PATH, TEXT), min_size=2, max_size=6, unique=True))
def test_different_pairs_have_different_tags(pairs: list[tuple[tuple[str, ...], str]]) -> None:
    """No two pairs of path and value read alike, whatever characters they are made of."""
    for (path, value), (other_path, other_value) in itertools.combinations(pairs, 2):
        assert TAGS.tag(path, value) != TAGS.tag(other_path, other_value)
        assert not TAGS.matches(path, value, TAGS.tag(other_path, other_value))


@pytest.mark.parametrize(
    ("path", "value"), [(("a", "b"), "c"), (("a",), "b\0c"), (("a\0b",), "c"), (("a",), 'b","c'), (("a", ""), "bc")]
)
def test_separators_in_a_value_make_no_difference(path: tuple[str, ...], value: str) -> None:
    """What looks like two parts in one is not taken for two."""
    others = [(("a", "b", "c"), ""), (("a", "b"), "c"), (("a",), "b\0c"), (("a\0b",), "c"), (("a",), 'b","c')]
    tags = {TAGS.tag(*pair) for pair in [*others, (path, value)]}
    assert len(tags) == len({*others, (path, value)})


def test_the_key_is_not_shown() -> None:
    """Without the key a tag tells nothing; with it, a number could be tried out."""
    assert repr(TAGS) == "PersonTags()"


CLAIMS = {"ssn": SSN, "details": {"ssn": {"ssn": SSN, "country": None}, "list": [{"ssn": SSN}]}, "empty": {}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("ssn",), SSN),
        (("details", "ssn", "ssn"), SSN),
        (("details", "ssn"), {"ssn": SSN, "country": None}),
        (("details", "ssn", "country"), None),
        (("details", "ssn", "name"), None),
        (("details", "ssn", "country", "code"), None),
        (("details", "list", "ssn"), [[{"ssn": SSN}]]),
        (("details", "ssn", "ssn", "ssn"), [SSN]),
        (("ssn", "0"), [SSN]),
        (("empty", "ssn"), None),
        (("SSN",), None),
        ((), CLAIMS),
    ],
)
def test_a_claim_is_found_by_its_path(path: tuple[str, ...], found: Any) -> None:
    """Step by step through objects only; anything else on the way is no value, and not nothing either."""
    assert find_claim(CLAIMS, path) == found
