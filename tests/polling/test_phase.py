"""Tests of polling by the provider's word on progress."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.polling.hazard import HazardAware
from idura_ciba.polling.life_table import EDGES, LifeTable, Survival
from idura_ciba.polling.phase import LONGEST_WORD, MAX_COHORTS, MAX_WORDS, Phase, PhaseAware
from idura_ciba.polling.strategy import Indexed, Learning, Poll, PollView, Record, Strategy

KEY = ("urn:grn:authn:se:bankid", 120.0)
WORDS = (
    "awaiting first user interaction",
    "awaiting user request acknowledgement",
    "awaiting user identification",
)


def told(dice: Random, words: tuple[str, ...] = WORDS, key: Any = KEY) -> Record:
    """Somebody who takes about ten seconds to open the app, five to read and five to sign, polled every three seconds.

    One in ten never opens it.
    """
    changes = [0.0]
    for median in (10.0, 5.0, 5.0):
        changes.append(changes[-1] + median * math.exp(0.3 * dice.gauss(0, 1)))
    if dice.random() < 0.1:
        changes = [0.0, math.inf, math.inf, math.inf]
    hints: dict[str, float] = {}
    at = 3.0
    while at < min(changes[-1], 118):
        step = sum(change <= at for change in changes) - 1
        hints.setdefault(words[step], 1000.0 + at)
        at += 3.0
    answered = changes[-1] <= at
    return Record(
        key, 1000.0, 1000.0, answered, 1000.0 + at - 3.0, 1000.0 + at if answered else None, tuple(hints.items())
    )


def taught(count: int = 200, strategy: Any = None, **changes: Any) -> Any:
    """A strategy that has seen so many of them."""
    strategy, dice = strategy or PhaseAware(HazardAware(price=0.1)), Random(3)
    for _ in range(count):
        strategy.finished(told(dice, **changes))
    return strategy


@pytest.fixture
def at_step(view: Any) -> Any:
    """Makes views in which a word has stood for so long at the last poll, which was heard at 30 s."""

    def make(word: str | None, stood: float = 0.0, **changes: Any) -> PollView:
        usual: dict[str, Any] = {"requested_at": 1000.0, "acknowledged_at": 1000.0, "latest_end": 1120.0}
        usual |= {"heard_at": 1030.0, "earliest_end": 1120.0, "last": Poll(1030.0, 1030.0, "pending"), "interval": 3.0}
        usual |= {"hint": word, "hint_since": None if word is None else 1030.0 - stood, "key": KEY}
        return view(**{**usual, **changes})

    return make


# --- deciding ---------------------------------------------------------------------------------------------------------


def test_it_is_a_strategy_that_learns_and_has_an_index() -> None:
    """All three, so that any part of the package may ask for them."""
    strategy = PhaseAware()
    assert isinstance(strategy, Strategy)
    assert isinstance(strategy, Learning)
    assert isinstance(strategy, Indexed)


def test_it_waits_while_the_app_is_not_open_and_asks_while_the_person_signs(at_step: Any) -> None:
    """At the same moment of the same login, by the word alone."""
    strategy = taught()
    waits = [strategy.next_poll(at_step(word)) - 1030.0 for word in WORDS]
    assert waits[0] > 8
    assert 5 > waits[1] > waits[2]
    plain = strategy.plain.next_poll(at_step(None)) - 1030.0
    assert waits[0] > plain
    prices = [strategy.index(at_step(word), 1040.0) for word in WORDS]
    assert prices == sorted(prices)
    for word in WORDS:
        assert strategy.due(at_step(word), 0.1) == pytest.approx(strategy.next_poll(at_step(word)))
        assert strategy.index(at_step(word), strategy.due(at_step(word), 2.0)) == pytest.approx(2.0, abs=1e-4)


def test_whoever_has_not_opened_the_app_for_long_will_hardly_answer(at_step: Any) -> None:
    """The chance falls with how long the word has stood, down to the longest gap."""
    strategy = taught()
    waits = [strategy.next_poll(at_step(WORDS[0], stood)) - 1030.0 for stood in (10.0, 25.0, 90.0)]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(15.0)


@pytest.mark.parametrize("outcome", ["slow_down", "unanswered"])
def test_after_a_poll_without_news_the_floor_decides(outcome: Any, at_step: Any) -> None:
    """The word may be gone by now."""
    asked = at_step(WORDS[0], last=Poll(1030.0, 1030.0, outcome), not_before=1041.0)
    assert taught().next_poll(asked) == 1041.0


def test_a_provider_that_holds_polls_is_asked_again_at_once(at_step: Any) -> None:
    """Whatever its word is."""
    asked = at_step(WORDS[0], last=Poll(1026.0, 1030.0, "pending"), not_before=1030.0)
    assert taught().next_poll(asked) == 1030.0


STANDS = Survival(EDGES, [0.1] * len(EDGES))


def test_a_decision_is_as_far_away_as_what_is_left_of_both() -> None:
    """Two exponential steps: the sum has a known distribution, whatever has passed of the first one."""
    phase = Phase(STANDS, Survival(EDGES, [0.3] * len(EDGES)), 0.0)
    for stood in (0.0, 4.0, 50.0):
        curve = phase.ahead(stood)
        for at in (2.0, 5.0, 12.0, 24.0):
            left = (0.3 * math.exp(-0.1 * at) - 0.1 * math.exp(-0.3 * at)) / 0.2
            assert curve.pending(at) == pytest.approx(left, abs=0.025)


def test_what_ends_in_a_decision_at_once_has_no_rest() -> None:
    """As the last word before it does."""
    curve = Phase(STANDS, Survival(EDGES, [0.0] * len(EDGES)), 1.0).ahead(7.0)
    assert curve.pending(10.0) == pytest.approx(math.exp(-1))
    half = Phase(STANDS, Survival(EDGES, [0.0] * len(EDGES)), 0.5).ahead(7.0)
    assert half.pending(10.0) == pytest.approx(0.5 + 0.5 * math.exp(-1), abs=1e-3)


@pytest.mark.unmeasured
@given(
    st.lists(st.floats(0, 5), min_size=len(EDGES), max_size=len(EDGES)),
    st.lists(st.floats(0, 5), min_size=len(EDGES), max_size=len(EDGES)),
    st.floats(0, 1),
    st.floats(0, 1e4),
)
def test_nothing_is_ever_no_number(stay: list[float], rest: list[float], direct: float, stood: float) -> None:
    """Whatever was learned, and however long it stands."""
    curve = Phase(Survival(EDGES, stay), Survival(EDGES, rest), direct).ahead(stood)
    assert all(rate >= 0 for rate in curve.rates)
    assert not math.isnan(curve.crossing(0.0, 0.1, 15.0))
    assert curve.unseen(0.0, 1.0) >= 0


# --- words that mean nothing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [None, "", "something else", "x" * 10_000])
def test_without_a_word_that_is_known_it_decides_as_hazard_aware(word: str | None, at_step: Any) -> None:
    """To the last bit, and for the index alike."""
    strategy = taught()
    for stood in (0.0, 7.0, 28.0):
        asked = at_step(word, stood)
        assert strategy.next_poll(asked) == strategy.plain.next_poll(asked)
        assert strategy.index(asked, 1050.0) == strategy.plain.index(asked, 1050.0)
        assert strategy.due(asked, 0.7) == strategy.plain.due(asked, 0.7)


@pytest.mark.unmeasured
@settings(max_examples=30)
@given(st.integers(0, 2**32), st.lists(st.text(max_size=80), min_size=1, max_size=20))
def test_garbage_changes_no_decision(view: Any, seed: int, heard: list[str]) -> None:
    """A provider that says something else each time is polled exactly as by one that does not listen."""
    phased, plain, dice = PhaseAware(), HazardAware(), Random(seed)
    for nth in range(60):
        record = told(dice)
        garbage = tuple((f"{word}{seed}{nth}", 1003.0 + count) for count, word in enumerate(heard))
        phased.finished(evolve(record, hints=garbage))
        plain.finished(record)
    for passed in (3.0, 10.0, 40.0, 100.0):
        asked = view(
            heard_at=100.0 + passed, hint=dice.choice(heard) + str(seed), hint_since=100.0, key=KEY, interval=3.0
        )
        assert phased.next_poll(asked) == plain.next_poll(asked)
        assert phased.index(asked, 230.0) == plain.index(asked, 230.0)
    assert phased.plain.export() == plain.export()


def test_words_that_are_known_survive_a_flood_of_others(at_step: Any) -> None:
    """They are heard in every login, so it is never they that make room."""
    strategy, dice = taught(), Random(4)
    before = strategy.next_poll(at_step(WORDS[0]))
    for nth in range(300):
        record = told(dice)
        strategy.finished(
            evolve(record, hints=(*record.hints, *((f"{'a' * nth} {'b' * more}", 1100.0) for more in range(50))))
        )
    assert strategy.next_poll(at_step(WORDS[0])) == pytest.approx(before, rel=0.3)
    assert strategy.next_poll(at_step(WORDS[0])) != strategy.plain.next_poll(at_step(WORDS[0]))


def test_what_is_kept_of_words_is_bounded() -> None:
    """In number and in length, for each login and for all."""
    strategy = PhaseAware()
    for nth in range(200):
        words = (
            ("x" * (LONGEST_WORD + 1), 1001.0),
            ("209801011231", 1001.5),
            *((f"{'a' * (nth + 1)} {'b' * (more + 1)}"[-LONGEST_WORD:], 1002.0 + more) for more in range(40)),
        )
        strategy.finished(Record(("kind", nth % 3), 1000.0, 1000.1, True, 1050.0, 1053.0, words))  # noqa: FBT003
    exported = strategy.export()
    heard = {table["key"][1] for table in exported["words"]["tables"]}
    assert len(exported["words"]["tables"]) <= MAX_COHORTS
    assert max(map(len, heard)) <= LONGEST_WORD
    assert max(word.count("b") for word in heard) <= MAX_WORDS
    # What has digits in it may be somebody's number.
    assert not any(letter.isdigit() for word in heard for letter in word)


def test_a_word_of_too_few_is_not_trusted(at_step: Any) -> None:
    """Twenty of a kind, and then at once."""
    strategy = taught(18)
    assert strategy.next_poll(at_step(WORDS[0])) == strategy.plain.next_poll(at_step(WORDS[0]))
    taught(60, strategy)
    assert strategy.next_poll(at_step(WORDS[0])) != strategy.plain.next_poll(at_step(WORDS[0]))


def test_conclusions_are_forgotten_with_what_they_were_drawn_from(at_step: Any) -> None:
    """A word that had to make room is one that nobody has heard of."""
    strategy, dice = taught(60), Random(4)
    for nth in range(MAX_COHORTS):
        for _ in range(20):
            strategy.finished(told(dice, words=(f"other {'x' * (nth % 8)} {'y' * (nth // 8)}",) * 3))
    assert len(strategy._phases) <= MAX_COHORTS
    assert strategy.next_poll(at_step(WORDS[0])) == strategy.plain.next_poll(at_step(WORDS[0]))


# --- learning ---------------------------------------------------------------------------------------------------------


def test_a_login_is_counted_under_each_of_its_words() -> None:
    """How long each stood, and how long the decision took from the next one on."""
    strategy = PhaseAware()
    hints = (("a", 1003.0), ("b", 1009.0))
    strategy.finished(Record(KEY, 1000.0, 1000.0, True, 1012.0, 1015.0, hints))  # noqa: FBT003
    tables = {tuple(table["key"][1:]): table for table in strategy.export()["words"]["tables"]}
    assert {name: sum(table["events"]) for name, table in tables.items()} == pytest.approx(
        {("a", "stay"): 1, ("a", "rest"): 1, ("b", "stay"): 1}
    )
    assert sum(tables["a", "stay"]["exposure"]) == pytest.approx(6)
    assert sum(tables["a", "rest"]["exposure"]) == pytest.approx(4.5)
    assert sum(tables["b", "stay"]["exposure"]) == pytest.approx(4.5)


def test_how_many_go_on_to_another_word_is_not_forgotten_faster_than_how_many_do_not() -> None:
    """Half of them do, for thousands of logins."""
    strategy = PhaseAware()
    for nth in range(3000):
        hints = (("a", 1003.0), ("b", 1009.0))[: 1 + nth % 2]
        strategy.finished(Record(KEY, 1000.0, 1000.0, True, 1012.0, 1015.0, hints))  # noqa: FBT003
    assert strategy._phases[KEY, "a"].direct == pytest.approx(0.5, abs=0.01)
    assert strategy._phases[KEY, "b"].direct == 1


@pytest.mark.parametrize(
    "record",
    [
        Record(KEY, 1000.0, 1000.0, False, 1100.0, None, (("a", 1003.0),)),  # noqa: FBT003
        Record(KEY, 1000.0, 1000.0, False, 1100.0, 1100.0, (("a", 1003.0),)),  # noqa: FBT003
    ],
)
def test_who_never_answers_is_given_up_under_the_last_word(record: Record) -> None:
    """And is no event."""
    strategy = PhaseAware()
    strategy.finished(record)
    (table,) = strategy.export()["words"]["tables"]
    assert table["key"] == [list(KEY), "a", "stay"]
    assert sum(table["events"]) == 0
    assert sum(table["exposure"]) == pytest.approx(97)


def test_a_login_without_words_teaches_the_plain_part_only() -> None:
    """As one in which no poll was pending does."""
    strategy = PhaseAware()
    strategy.finished(Record(KEY, 1000.0, 1000.0, True, 1010.0, 1013.0))  # noqa: FBT003
    strategy.finished(Record(KEY, 1000.0, 1000.0, True, None, 1003.0))  # noqa: FBT003
    exported = strategy.export()
    assert exported["words"]["tables"] == []
    assert exported["plain"]["tables"][0]["weight"] == pytest.approx(2, rel=0.01)


def test_kinds_are_kept_apart(at_step: Any) -> None:
    """What a word means for one kind it does not mean for another."""
    strategy = taught()
    asked = at_step(WORDS[0], key=("another", 120.0))
    assert strategy.next_poll(asked) == strategy.plain.next_poll(asked)


def test_learning_goes_on_in_another_process(at_step: Any) -> None:
    """One that takes over, and one that consults, decide as the one they learned from."""
    first = taught()
    exported = json.loads(json.dumps(first.export(), allow_nan=False))
    second, third = (PhaseAware(HazardAware(price=0.1)) for _ in range(2))
    second.merge(exported)
    third.consult([exported])
    for word in (*WORDS, None):
        at = taught().next_poll(at_step(word, 4.0))
        assert second.next_poll(at_step(word, 4.0)) == pytest.approx(at, rel=0.1)
        assert third.next_poll(at_step(word, 4.0)) == second.next_poll(at_step(word, 4.0))
    assert second.export() == first.export()
    assert third.export()["words"]["tables"] == third.export()["plain"]["tables"] == []
    third.consult([])
    assert third.next_poll(at_step(WORDS[0])) == third.plain.next_poll(at_step(WORDS[0]))


EMPTY = {"version": 1, "tables": []}


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        {},
        EMPTY,
        {"version": 2, "plain": EMPTY, "words": EMPTY},
        {"version": 1, "plain": EMPTY},
        {"version": 1, "plain": EMPTY, "words": {}},
        {"version": 1, "plain": {"version": 2, "tables": []}, "words": EMPTY},
        *(
            {"version": 1, "plain": EMPTY, "words": {"version": 1, "tables": [table]}}
            for key in ("a", ["a", "b"], [["a"], 1, "stay"], [["a"], "word", "other"])
            for table in [{"key": key, "weight": 0.0, "events": [0.0] * len(EDGES), "exposure": [0.0] * len(EDGES)}]
        ),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(nonsense: Any) -> None:
    """Neither of the two parts is taken without the other."""
    strategy = taught()
    before = strategy.export()
    for attempt in (strategy.merge, lambda exported: strategy.consult([before, exported])):
        with pytest.raises(UsageError) as caught:
            attempt(nonsense)
        assert caught.value.code == "strategy"
    assert strategy.export() == before


def test_the_prior_of_everybody_is_not_changed() -> None:
    """It is added to tables, never they to it."""
    from idura_ciba.polling.hazard import PRIOR  # noqa: PLC0415 - only here, to look at it

    before = (PRIOR.weight, list(PRIOR.events))
    taught(60)
    assert (PRIOR.weight, PRIOR.events) == before
    assert isinstance(PRIOR, LifeTable)
