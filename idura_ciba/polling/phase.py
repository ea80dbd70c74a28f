"""Polling by the provider's progress hints, once they have proved informative. Code and exports call a hint a word.

Rules:
1. A hint is described by what followed it: how long it lasted (`stay`), and how long the decision took from then on
   (`rest`). While it lasts, the time to the decision is the remainder of both.
2. What counts is whether the hint is still current, not how long ago it came: a person who has not opened the app after
   15 s is further from a decision than one who opened it after 5 s.
3. Without a hint, or with one seen in fewer than twenty transactions of this kind, `HazardAware` decides.
4. Hints are untrusted text. They affect the timing only; their number and length are bounded.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from attrs import define, field

from idura_ciba.errors import ArgumentError
from idura_ciba.polling.experience import KEEP, REFIT_LEAST, Cohort, Experience, read
from idura_ciba.polling.hazard import PRIOR, HazardAware, floor_decides, last_pending_at
from idura_ciba.polling.life_table import EDGES, LifeTable, Survival, edges_up_to
from idura_ciba.polling.strategy import PollView, Record

__all__ = ["PhaseAware"]

#: Version of the export format.
VERSION = 1
#: Cohorts kept, two per hint; the least recently counted is dropped.
MAX_COHORTS = 128
#: Characters. Longer text is not a progress hint; Idura's longest is `awaiting user request acknowledgement`.
LONGEST_WORD = 64
#: Hints learned from, per transaction.
MAX_WORDS = 8
#: Weight that a hint needs before it is used. Slightly below the least number for a refit, because counts fade.
TRUSTED = REFIT_LEAST - 1.0
#: Weight of a hint's prior: the general prior, faded to five people.
WORD_PRIOR = 0.25
#: A cohort's key is the kind of login, the hint, and one of these.
PARTS = ("stay", "rest")
#: Edges of a curve that begins at a poll: fine where polls are likely, and up to the longest gap.
AHEAD = edges_up_to(30.0, ratio=1.25)


@define(eq=False)
class Phase:
    """The curves fitted for one hint.

    Attributes:
        stay: How long the hint lasts.
        rest: How long the decision takes from the next hint on.
        direct: Share of the logins that go from this hint to the decision without another hint.
    """

    stay: Survival
    rest: Survival
    direct: float
    _ahead: dict[int, Survival] = field(init=False, factory=dict)

    def ahead(self, stood: float) -> Survival:
        """The curve of the decision from now on, given that the hint has lasted for `stood` seconds and still does."""
        # Cached by the bin of `stood`: one curve costs as much as ten decisions.
        nth = bisect_right(EDGES, stood) - 1
        curve = self._ahead.get(nth)
        if curve is None:
            middle = (EDGES[nth] + EDGES[min(nth + 1, len(EDGES) - 1)]) / 2
            curve = self._ahead[nth] = self._from(middle)
        return curve

    def _from(self, stood: float) -> Survival:
        # A convolution: the hint ends within one of the steps, and `rest` begins in the middle of that step.
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
    """`HazardAware` that also uses the provider's progress hints, such as Idura's for Swedish BankID.

    While the app has not been opened, polls rarely find an answer; once the person is signing, they often do. With no
    hint, or with hints that say nothing, it decides exactly as `HazardAware` does. What it learns can be stored and
    shared in the same way.

    Args:
        plain: Decides when no hint helps, and sets the price of a poll and the longest gap.
    """

    plain: HazardAware = field(factory=HazardAware)
    _experience: Experience = field(init=False, repr=False, factory=lambda: Experience(MAX_COHORTS))
    _phases: dict[tuple[Hashable, str], Phase] = field(init=False, repr=False, factory=dict)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def next_poll(self, view: PollView) -> float:
        """When the expected unseen waiting reaches the price, given the current hint."""
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
        """Count one transaction, once for each of its hints."""
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
                rest.own.fade(KEEP)  # as often as `stay`, so that their weights compare
            else:
                stood = max(0.0, after - since)
                due = stay.add(stood, stood)
                answered = None if decided is None else max(0.0, decided - after)
                rest.add(max(0.0, pending - after), answered, phase.rest if phase else None)
            if due:
                self._conclude(record.key, word)

    def export(self) -> dict[str, Any]:
        """Return what this process has learned, as plain JSON values; see `HazardAware.export`.

        Raises:
            UsageError: A view had a key that JSON cannot hold; this package's own keys are fine.
        """
        return {"version": VERSION, "plain": self.plain.export(), "words": self._experience.export()}

    def merge(self, exported: Mapping[str, Any]) -> None:
        """Add another process's export; see `HazardAware.merge`.

        Raises:
            UsageError: Not an export; nothing was learned from it.
        """
        plain, words = _parts(exported)
        self.plain.merge(plain)
        self._experience.merge(words)
        self._conclude_all()

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Learn from the latest exports of other processes; see `HazardAware.consult`.

        Raises:
            UsageError: One is not an export; nothing was changed.
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
    # Text with a digit may be a person's number, and what is learned is stored and shared.
    return len(hint) <= LONGEST_WORD and not any(letter.isdigit() for letter in hint)


def _curve_of(table: LifeTable) -> Survival:
    believed = LifeTable()
    believed.include(PRIOR)
    believed.fade(WORD_PRIOR)
    table.include(believed)
    return table.survival()


def _parts(exported: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Split an export in two. Checks the hints here; `plain` checks its own part and is merged first."""
    if (
        not isinstance(exported, Mapping)
        or exported.keys() != {"version", "plain", "words"}
        or type(exported["version"]) is not int
        or exported["version"] != VERSION
    ):
        raise ArgumentError(
            "this is not an export of this version",
            code="strategy",
            advice="pass the result of export(), from the same kind and version of strategy",
        )
    for key in read(exported["words"]):
        if not (isinstance(key, tuple) and len(key) == 1 + len(PARTS) and isinstance(key[1], str) and key[2] in PARTS):
            raise ArgumentError("the export contains a table without a progress hint", code="strategy")
    return exported["plain"], exported["words"]
