"""Polling by the provider's word on progress, where it gives one and its words have proved to mean something.

Rules:
1. A word is known by what came after it: how long it stood (`stay`), and how long the decision took from then on
   (`rest`). While it stands the decision is as far away as what is left of both.
2. What counts is whether it still stands, not how long ago it came: somebody who has not even opened the app after 15 s
   is further from a decision than somebody who opened it after 5.
3. A word that was not heard in twenty transactions of this kind, or none at all, leaves the decision to `HazardAware`.
4. Words are foreign text. They tune the timing and nothing else; only so many, and none that is long, are kept.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from attrs import define, field

from idura_ciba.errors import UsageError
from idura_ciba.polling.experience import KEEP, REFIT_LEAST, Cohort, Experience, read
from idura_ciba.polling.hazard import PRIOR, HazardAware, floor_decides, last_pending_at
from idura_ciba.polling.life_table import EDGES, LifeTable, Survival, edges_up_to
from idura_ciba.polling.strategy import PollView, Record

__all__ = ["PhaseAware"]

#: Of what `export` gives.
VERSION = 1
#: Cohorts of words that are kept, two for each; the one heard of longest ago goes.
MAX_COHORTS = 128
#: Longer ones are no words on progress. Idura's longest is `awaiting user request acknowledgement`.
LONGEST_WORD = 64
#: Words of one transaction that are learned from.
MAX_WORDS = 8
#: People of whom a word must have been heard; not quite as many as it takes to conclude anything, because they fade.
TRUSTED = REFIT_LEAST - 1.0
#: A word's own prior is that of everybody, at the weight of five people.
WORD_PRIOR = 0.25
#: What the cohorts of a word are kept under: the kind of login, the word, and which of the two.
PARTS = ("stay", "rest")
#: Where a curve that begins at a poll is worked out: finely where polls are likely, and up to the longest gap.
AHEAD = edges_up_to(30.0, ratio=1.25)


@define(eq=False)
class Phase:
    """What is concluded about one word.

    Attributes:
        stay: How long it stands.
        rest: How long the decision takes from when the next word is heard.
        direct: The share of those that go from here to the decision with no word between.
    """

    stay: Survival
    rest: Survival
    direct: float
    _ahead: dict[int, Survival] = field(init=False, factory=dict)

    def ahead(self, stood: float) -> Survival:
        """The curve of the decision from now on, given that the word has stood for so many seconds and still does."""
        # Looked up by the bin of what has passed, because one costs as much as ten decisions.
        nth = bisect_right(EDGES, stood) - 1
        curve = self._ahead.get(nth)
        if curve is None:
            middle = (EDGES[nth] + EDGES[min(nth + 1, len(EDGES) - 1)]) / 2
            curve = self._ahead[nth] = self._from(middle)
        return curve

    def _from(self, stood: float) -> Survival:
        # A convolution: the word goes in one of the steps, and the rest begins in the middle of it.
        still = [self.stay.pending(stood + step) for step in AHEAD]
        moves = [
            ((begin + end) / 2, (before - after) * (1 - self.direct))
            for (begin, end), (before, after) in zip(pairwise(AHEAD), pairwise(still), strict=True)
        ]
        left = [
            still[nth] + sum(share * self.rest.pending(at - moved) for moved, share in moves[:nth])
            for nth, at in enumerate(AHEAD)
        ]
        rates = [
            math.log(before / after) / (end - begin)
            for (begin, end), (before, after) in zip(pairwise(AHEAD), pairwise(left), strict=True)
        ]
        return Survival(AHEAD, [*rates, rates[-1]])


@define(eq=False)
class PhaseAware:
    """`HazardAware`, with an eye on the provider's word on progress, as Idura has it for Swedish BankID.

    While the app has not even been opened there is little to ask for, and once the person is signing there is. With
    words that mean nothing, or none, it decides exactly as `HazardAware` does. What it learns can be stored and shared
    in the same way.

    Args:
        plain: Decides where no word helps, and says what a poll is worth and how long a gap may be.
    """

    plain: HazardAware = field(factory=HazardAware)
    _experience: Experience = field(init=False, repr=False, factory=lambda: Experience(MAX_COHORTS))
    _phases: dict[tuple[Hashable, str], Phase] = field(init=False, repr=False, factory=dict)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def next_poll(self, view: PollView) -> float:
        """When an answer will have waited for the price, in expectation, by the word that stands."""
        curve = None if floor_decides(view) else self._curve(view)
        if curve is None:
            return self.plain.next_poll(view)
        gap = curve.crossing(0.0, self.plain.price_of(view), self.plain.longest_gap(view))
        return last_pending_at(view) + gap

    def index(self, view: PollView, at: float) -> float:
        """See `Indexed`."""
        curve = self._curve(view)
        return self.plain.index(view, at) if curve is None else curve.unseen(0.0, at - last_pending_at(view))

    def due(self, view: PollView, price: float) -> float:
        """See `Indexed`."""
        curve = self._curve(view)
        return self.plain.due(view, price) if curve is None else last_pending_at(view) + curve.crossing(0.0, price)

    def _curve(self, view: PollView) -> Survival | None:
        if view.hint is None or view.hint_since is None:
            return None
        phase = self._phases.get((view.key, view.hint))
        return None if phase is None else phase.ahead(max(0.0, last_pending_at(view) - view.hint_since))

    # --- learning ---------------------------------------------------------------------------------------------------

    def finished(self, record: Record) -> None:
        """Count one transaction, by each of its words."""
        self.plain.finished(record)
        pending, decided = record.last_pending_at, record.decided_by_at if record.answered else None
        words = [(word, at) for word, at in record.hints if _is_word(word)][:MAX_WORDS]
        if pending is None or not words:
            return
        for (word, since), after in zip(words, [*(at for _, at in words[1:]), None], strict=True):
            phase = self._phases.get((record.key, word))
            stay, rest = self._cohorts(record.key, word)
            if after is None:
                answered = None if decided is None else max(0.0, decided - since)
                due = stay.add(max(0.0, pending - since), answered, phase.stay if phase else None)
                rest.own.fade(KEEP)  # at the pace of the other one, so that their weights can be compared
            else:
                stood = max(0.0, after - since)
                due = stay.add(stood, stood)
                answered = None if decided is None else max(0.0, decided - after)
                rest.add(max(0.0, pending - after), answered, phase.rest if phase else None)
            if due:
                self._conclude(record.key, word)

    def export(self) -> dict[str, Any]:
        """What this process has learned, as plain JSON values; see `HazardAware.export`.

        Raises:
            UsageError: A view had a key that JSON cannot hold; those of this package it can.
        """
        return {"version": VERSION, "plain": self.plain.export(), "words": self._experience.export()}

    def merge(self, exported: Mapping[str, Any]) -> None:
        """Go on from what another process had learned; see `HazardAware.merge`.

        Raises:
            UsageError: That is no export; nothing was learned from it.
        """
        plain, words = _parts(exported)
        self.plain.merge(plain)
        self._experience.merge(words)
        self._conclude_all()

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Learn from other processes that go on learning; see `HazardAware.consult`.

        Raises:
            UsageError: One of them is no export; nothing was changed.
        """
        parts = [_parts(exported) for exported in exports]
        self.plain.consult(plain for plain, _ in parts)
        self._experience.consult(words for _, words in parts)
        self._conclude_all()

    def _cohorts(self, key: Hashable, word: str) -> tuple[Cohort, Cohort]:
        stay, rest = PARTS
        return self._experience[key, word, stay], self._experience[key, word, rest]

    def _conclude_all(self) -> None:
        for key, word in self._words():
            self._conclude(key, word)

    def _conclude(self, key: Hashable, word: str) -> None:
        stay, rest = (self._experience.peek((key, word, part)).total() for part in PARTS)
        left = sum(stay.events)
        direct = min(1.0, max(0.0, 1 - rest.weight / left)) if left else 1.0
        self._phases.pop((key, word), None)
        if stay.weight >= TRUSTED:
            self._phases[key, word] = Phase(_curve_of(stay), _curve_of(rest), direct)
        for forgotten in self._phases.keys() - self._words():
            del self._phases[forgotten]

    def _words(self) -> set[tuple[Hashable, str]]:
        return {(key[0], key[1]) for key in self._experience if isinstance(key, tuple)}


def _is_word(hint: str) -> bool:
    # What has a digit in it may be somebody's number, and what is learned is stored and shared.
    return len(hint) <= LONGEST_WORD and not any(letter.isdigit() for letter in hint)


def _curve_of(table: LifeTable) -> Survival:
    believed = LifeTable()
    believed.include(PRIOR)
    believed.fade(WORD_PRIOR)
    table.include(believed)
    return table.survival()


def _parts(exported: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The two exports in one; that of the words checked, since the plain part checks its own and is told first."""
    if (
        not isinstance(exported, Mapping)
        or exported.keys() != {"version", "plain", "words"}
        or type(exported["version"]) is not int
        or exported["version"] != VERSION
    ):
        raise UsageError(
            "what was to be learned from is no export of this version",
            code="strategy",
            advice="pass what export() gave, of a strategy of the same kind and version",
        )
    for key in read(exported["words"]):
        if not (isinstance(key, tuple) and len(key) == 1 + len(PARTS) and isinstance(key[1], str) and key[2] in PARTS):
            raise UsageError("what was to be learned from holds a table of no word", code="strategy")
    return exported["plain"], exported["words"]
