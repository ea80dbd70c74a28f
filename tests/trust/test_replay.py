"""Tests of the cache of ID tokens that have proved a login."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.trust.replay import SMALL, ReplayCache

FIRST, SECOND = "id of one login", "id of another"


def test_a_token_proves_one_login_and_that_one_again() -> None:
    """The same answer to the same login is no replay; to another one it is, and stays one."""
    cache = ReplayCache()
    assert cache.use("h.p.s", auth_req_id=FIRST, now=0, until=60)
    assert cache.use("h.p.s", auth_req_id=FIRST, now=1, until=60)
    assert not cache.use("h.p.s", auth_req_id=SECOND, now=2, until=60)
    assert not cache.use("h.p.s", auth_req_id=SECOND, now=3, until=60)
    assert cache.use("h.p.s", auth_req_id=FIRST, now=4, until=60)


def test_another_signature_makes_no_other_token() -> None:
    """What was signed is what counts."""
    cache = ReplayCache()
    assert cache.use("h.p.s", auth_req_id=FIRST, now=0, until=60)
    assert not cache.use("h.p.t", auth_req_id=SECOND, now=0, until=60)
    assert cache.use("h.q.s", auth_req_id=SECOND, now=0, until=60)


def test_what_is_over_is_forgotten_and_nothing_else() -> None:
    """Memory is bounded by the tokens that are still good, however many there were."""
    cache = ReplayCache()
    assert cache.use("long.lived.s", auth_req_id=FIRST, now=0, until=1e9)
    for nth in range(10 * SMALL):
        assert cache.use(f"h.{nth}.s", auth_req_id=FIRST, now=nth, until=nth + 60)
        assert len(cache._owners) <= SMALL + 1
    assert not cache.use("long.lived.s", auth_req_id=SECOND, now=10 * SMALL, until=1e9)
    assert not cache.use(f"h.{10 * SMALL - 1}.s", auth_req_id=SECOND, now=10 * SMALL, until=1e9)


@pytest.mark.parametrize("now", [0.0, 0.4, 59.4, -5.0, 10.0**11])
def test_a_token_is_remembered_to_the_last_fraction_of_its_time(now: float) -> None:
    """Rounding forgets nothing early; a clock far from today is no trouble."""
    cache = ReplayCache()
    for nth in range(SMALL + 1):
        assert cache.use(f"h.{nth}.s", auth_req_id=FIRST, now=now, until=max(now, 0) + 0.1)
    assert not any(cache.use(f"h.{nth}.s", auth_req_id=SECOND, now=now, until=now + 60) for nth in range(SMALL + 1))


def test_what_is_remembered_of_a_token_is_small() -> None:
    """A service that logs in forty a second remembers fifty thousand. 132 bytes each when this was written."""
    cache, number = ReplayCache(), 20_000
    for nth in range(number):
        cache.use(f"header.{nth}.signature", auth_req_id=f"login {nth}", now=0, until=1200)
    used = sys.getsizeof(cache._owners) + sum(map(sys.getsizeof, itertools.chain.from_iterable(cache._owners.items())))
    assert used / number < 165


def test_many_that_are_good_are_all_kept() -> None:
    """Nothing that may still be replayed is dropped to save memory."""
    cache = ReplayCache()
    for nth in range(3 * SMALL):
        assert cache.use(f"h.{nth}.s", auth_req_id=FIRST, now=0, until=60)
    assert not any(cache.use(f"h.{nth}.s", auth_req_id=SECOND, now=0, until=60) for nth in range(3 * SMALL))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([FIRST, SECOND])), max_size=20))
def test_no_token_proves_two_logins(uses: list[tuple[str, str]]) -> None:
    """Whoever comes first has it."""
    cache, owners = ReplayCache(), dict[str, str]()
    for payload, login in uses:
        owner = owners.setdefault(payload, login)
        assert cache.use(f"h.{payload}.s", auth_req_id=login, now=0, until=60) == (owner == login)


def test_nothing_of_a_token_is_kept() -> None:
    """Only digests are."""
    cache = ReplayCache()
    cache.use("header.payload.signature", auth_req_id=FIRST, now=0, until=60)
    assert "payload" not in repr(cache) + repr(cache._owners)
    assert FIRST not in repr(cache) + repr(cache._owners)
