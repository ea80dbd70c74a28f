"""Tests of what is counted by key: bounds, storing, sharing."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Hashable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.polling.experience import HALF_LIFE, REFIT_LEAST, REFIT_MOST, Experience, read
from idura_ciba.polling.life_table import EDGES, LifeTable

KEYS: tuple[Hashable, ...] = (("urn:grn:authn:se:bankid", 120.0), (None, 900.0), "a", ((("x", 1.0)), "hint"))

_seconds = st.integers(0, 4000).map(lambda quarter: quarter / 4)
_logins = st.lists(st.tuples(st.sampled_from(KEYS), _seconds, st.none() | _seconds), max_size=12)


def counted(logins: list[Any], most: int = 8) -> Experience:
    """The experience of these."""
    experience = Experience(most)
    for key, pending, answered in logins:
        experience[key].add(pending, answered)
    return experience


def merged(*exports: dict[str, Any]) -> dict[str, Any]:
    """What an empty experience exports after it has taken these, the tables in order of their keys."""
    experience = Experience(8)
    for exported in exports:
        experience.merge(exported)
    return ordered(experience.export())


def ordered(exported: dict[str, Any]) -> dict[str, Any]:
    """The same, the tables in order of their keys."""
    return {**exported, "tables": sorted(exported["tables"], key=lambda table: repr(table["key"]))}


def assert_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Equal but for the order in which numbers were added."""
    assert [table["key"] for table in one["tables"]] == [table["key"] for table in other["tables"]]
    for mine, theirs in zip(one["tables"], other["tables"], strict=True):
        for name in ("weight", "events", "exposure"):
            assert mine[name] == pytest.approx(theirs[name])


# --- counting and forgetting ------------------------------------------------------------------------------------------


def test_what_is_long_ago_counts_less() -> None:
    """Half after as many transactions as the half-life."""
    experience = counted([("a", 10.0, 12.0)])
    for _ in range(int(HALF_LIFE)):
        experience["a"].add(100.0, None)
    own = experience.peek("a").own
    assert sum(own.events) == pytest.approx(0.5)
    assert own.weight == pytest.approx(0.5 + sum(2 ** (-nth / HALF_LIFE) for nth in range(int(HALF_LIFE))))
    for _ in range(20 * int(HALF_LIFE)):
        experience["a"].add(100.0, None)
    assert own.weight < HALF_LIFE / math.log(2) + 1


def test_conclusions_are_drawn_once_in_many() -> None:
    """First after 20, then after a share of all, and never later than a quarter of the half-life."""
    experience = Experience(8)
    due = [nth for nth in range(1, 6001) if experience["a"].add(1.0, 2.0)]
    gaps = [later - earlier for earlier, later in zip([0, *due], due, strict=False)]
    assert gaps[0] == gaps[1] == REFIT_LEAST
    assert gaps == sorted(gaps)
    assert 0.04 < gaps[due.index(next(at for at in due if at > 1500))] / 1500 < 0.06
    assert gaps[-1] == REFIT_MOST


def test_the_number_of_keys_is_bounded() -> None:
    """The one that was counted under longest ago makes room, and one that is in use never does."""
    experience = Experience(3)
    for key in ("a", "b", "c", "a", "d", "a", "e", "a"):
        experience[key].add(1.0, 2.0)
    assert set(experience) == {"a", "d", "e"}
    assert "b" not in experience
    assert experience.peek("b").own.weight == 0
    assert "b" not in experience
    assert experience.peek("a").own.weight == pytest.approx(4, rel=0.01)
    experience.consult([counted([(str(nth), 1.0, 2.0) for nth in range(20)], 20).export()])
    assert len(set(experience)) == 3


# --- storing and sharing ----------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
@given(_logins)
def test_what_was_exported_comes_back_as_it_was(logins: list[Any]) -> None:
    """Through JSON, to the last bit."""
    experience, copied = counted(logins), Experience(8)
    copied.merge(json.loads(json.dumps(experience.export(), allow_nan=False)))
    assert copied.export() == experience.export()
    assert all(copied.peek(key).total() == experience.peek(key).total() for key in experience)


@pytest.mark.unmeasured
@given(_logins, _logins, _logins)
def test_exports_add_up_in_any_order(one: list[Any], two: list[Any], three: list[Any]) -> None:
    """Merging is commutative and associative."""
    a, b, c = (counted(logins).export() for logins in (one, two, three))
    assert_alike(merged(a, b), merged(b, a))
    assert_alike(merged(merged(a, b), c), merged(a, merged(b, c)))
    assert_alike(merged(a), ordered(a))


@pytest.mark.unmeasured
@given(_logins, _logins)
def test_who_is_consulted_counts_and_is_not_passed_on(mine: list[Any], theirs: list[Any]) -> None:
    """Else what was shared would come back, and count twice."""
    experience, other = counted(mine), counted(theirs)
    before = ordered(experience.export())
    experience.consult([other.export()])
    assert ordered(experience.export()) == before
    for key in KEYS:
        weights = [known.peek(key).own.weight for known in (experience, other) if key in known]
        assert experience[key].total().weight == pytest.approx(sum(weights))


def test_two_that_consult_each_other_again_and_again_count_everything_once() -> None:
    """In place of what was consulted before, not besides; and whose export is gone counts no more."""
    one, two = counted([("a", 1.0, 2.0)] * 3), counted([("a", 5.0, 6.0)] * 5)
    for _ in range(10):
        one.consult([two.export()])
        two.consult([one.export()])
    assert one.peek("a").total().weight == two.peek("a").total().weight == pytest.approx(8, rel=0.02)
    one.consult([])
    assert one.peek("a").total() == one.peek("a").own


@pytest.mark.parametrize("key", [..., math.inf, b"bytes", frozenset({1}), ("a", math.nan)], ids=repr)
def test_a_key_that_json_cannot_hold_is_named(key: Any) -> None:
    """Silence would lose what was learned."""
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        counted([(key, 1.0, 2.0)]).export()


def table(**changes: Any) -> dict[str, Any]:
    """A table as it is exported."""
    zeros = [0.0] * len(EDGES)
    return {"key": ["a", 120], "weight": 1.0, "events": zeros, "exposure": zeros, **changes}


NONSENSE: dict[str, Any] = {
    "nothing": {},
    "none": None,
    "a list": [],
    "text": "{}",
    "no version": {"tables": []},
    "another version": {"version": 2, "tables": []},
    "a version that equals one": {"version": True, "tables": []},
    "one thing more": {"version": 1, "tables": [], "more": 1},
    "tables by name": {"version": 1, "tables": {}},
    "no table": {"version": 1, "tables": [5]},
    "a table without a key": {"version": 1, "tables": [{"weight": 1.0, "events": [], "exposure": []}]},
    "a table with more": {"version": 1, "tables": [table(more=1)]},
    "a key that is none": {"version": 1, "tables": [table(key={})]},
    "a key without an end": {"version": 1, "tables": [table(key=[[[[[[["a"]]]]]]])]},
    "a key that is no number": {"version": 1, "tables": [table(key=math.nan)]},
    "one key twice": {"version": 1, "tables": [table(), table()]},
    "too few bins": {"version": 1, "tables": [table(events=[0.0])]},
    "bins as text": {"version": 1, "tables": [table(events="0" * len(EDGES))]},
    "text in a bin": {"version": 1, "tables": [table(events=["0"] * len(EDGES))]},
    "less than nothing": {"version": 1, "tables": [table(exposure=[-1.0] * len(EDGES))]},
    "no number": {"version": 1, "tables": [table(exposure=[math.nan] * len(EDGES))]},
    "no end": {"version": 1, "tables": [table(weight=math.inf)]},
    "a whole number that no float holds": {"version": 1, "tables": [table(weight=10**400)]},
    "more answers than people": {"version": 1, "tables": [table(events=[1.0] * len(EDGES))]},
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_and_changes_nothing(nonsense: Any) -> None:
    """Also where a good export came first in the same call."""
    experience = counted([(("a", 120), 3.0, 5.0)])
    good = experience.export()
    experience.consult([good])
    before = copy.deepcopy([(cohort.own, cohort.others) for cohort in map(experience.peek, experience)])
    for attempt in (lambda: experience.merge(nonsense), lambda: experience.consult([good, nonsense])):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert caught.value.code == "strategy"
    assert [(cohort.own, cohort.others) for cohort in map(experience.peek, experience)] == before


def test_an_export_is_read_as_tables() -> None:
    """Lists become the tuples that they were."""
    assert read({"version": 1, "tables": [table()]}) == {("a", 120): LifeTable(1.0)}
