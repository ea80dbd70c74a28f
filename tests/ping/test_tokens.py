"""Tests of the notification tokens: their syntax, and that nobody else makes one."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from random import Random
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.ping.tokens import NONCE, NotificationTokens

TOKENS = NotificationTokens(bytes(32))
TOKEN = TOKENS.token(bytes(range(NONCE)))


def test_a_token_is_one_of_its_own() -> None:
    """In the syntax of bearer tokens, and with more than the demanded 128 bits of randomness."""
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]+", TOKEN)
    assert NONCE * 8 >= 160
    rng = Random(1)
    tokens = {TOKENS.token(TOKENS.nonce(rng)) for _ in range(1000)}
    assert len(tokens) == 1000
    assert TOKEN not in repr(TOKEN)


def test_it_leads_back_to_its_nonce() -> None:
    """Under the key that made it, in any process, and under no other."""
    assert TOKENS.nonce_of(TOKEN) == bytes(range(NONCE))
    assert NotificationTokens(bytes(32)).nonce_of(TOKEN) == bytes(range(NONCE))
    assert NotificationTokens(bytes(31) + b"\1").nonce_of(TOKEN) is None


@pytest.mark.parametrize("place", range(48))
def test_each_character_counts(place: int) -> None:
    """The nonce and its MAC."""
    other = "A" if TOKEN[place] != "A" else "B"
    assert TOKENS.nonce_of(TOKEN[:place] + other + TOKEN[place + 1 :]) is None


@given(st.text() | st.sampled_from([TOKEN + "=", TOKEN + "A", TOKEN[:-1], f" {TOKEN}", TOKEN.lower(), f"{TOKEN}\n"]))
def test_nothing_else_is_a_token(text: str) -> None:
    """Whatever it is, it is no error."""
    assert TOKENS.nonce_of(text) is None


def test_the_generator_is_the_callers() -> None:
    """So that tests can draw the same."""

    class Chance:
        def randbytes(self, size: int) -> bytes:
            return b"x" * size

    assert TOKENS.nonce(cast("Random", Chance())) == b"x" * NONCE


def test_a_mark_is_of_one_ping_and_says_nothing_of_it() -> None:
    """Of one login, under one token and one key; whatever the provider calls it."""
    nonce, other = bytes(NONCE), bytes([1]) * NONCE
    mark = TOKENS.mark(nonce, "one")
    assert mark == TOKENS.mark(nonce, "one")
    marks = {mark, TOKENS.mark(nonce, "two"), TOKENS.mark(other, "one"), TOKENS.mark(nonce, "\ud800")}
    assert len({*marks, NotificationTokens(bytes(31) + b"\1").mark(nonce, "one")}) == 5
    assert mark not in urlsafe_b64decode(TOKENS.token(nonce))
