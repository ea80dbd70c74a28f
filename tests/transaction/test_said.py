"""Tests of what was said when a login began."""

from __future__ import annotations

from idura_ciba.redaction import Redacted
from idura_ciba.transaction.said import Said


def test_logins_of_which_nothing_is_said_share_one_object() -> None:
    """There may be tens of thousands of them."""
    assert Said.of(None, None) is Said.of(None, None, {})
    words = Said.of(Redacted("red house"), None)
    assert (words.spoken_words, words.nonce, dict(words.members)) == ("red house", None, {})
    assert Said.of(None, b"nonce").nonce == b"nonce"
    assert Said.of(None, None, {"more": "of it"}).members == {"more": "of it"}


def test_nothing_of_it_shows_itself() -> None:
    """The words are read to one person, and the rest may name them."""
    shown = repr(Said.of(Redacted("red house"), b"nonce", {"name": "Anna"}))
    assert not any(word in shown for word in ("red house", "nonce", "Anna"))
