"""How long people take: counted in a life table, read as a survival curve.

Rules:
1. What is counted is events and seconds at risk in bins of time; their ratio is the hazard, constant within a bin.
2. An answer is only known to lie between two polls. It is spread over that span as the curve of the moment has it, and
   with it the time at risk: the expectation step of the EM algorithm. Spread evenly, the answers that the first poll
   brings would all seem to be early ones, and that poll could never be put off.
3. Who never answered was at risk until the last poll that found them pending, and says nothing about later
   (right-censored). So the share that never answers needs no parameter of its own.
4. Before the ratio is taken, events and time at risk are smoothed alike, the more the fewer they are. That is not
   cosmetic: whoever optimises against an estimate seeks out its errors, and without smoothing ends up to half as late
   again as was promised.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Self

from attrs import define, field, frozen

from idura_ciba.errors import UsageError

__all__ = ["LifeTable", "Survival", "edges_up_to"]


def edges_up_to(longest: float, *, ratio: float) -> tuple[float, ...]:
    """Of bins: 1 s wide up to 5 s, then each edge is the one before it times the ratio."""
    edges = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    while edges[-1] < longest:
        edges.append(edges[-1] * ratio)
    return tuple(edges)


#: Where the bins of every life table begin; the last one ends never. No eID lets a prompt stand for an hour.
EDGES = edges_up_to(3600.0, ratio=1.2)
#: A curve does not fall below it up to its last edge: whoever is left then is nobody, and has no hazard to go by.
LEAST_SURVIVAL = 1e-9
#: Once in thirty years; a smaller hazard is none.
LEAST_RATE = 1e-9
#: Close enough for an instant; polls leave with a jitter far above it.
TOLERANCE = 1e-6
#: What the curve holds for less likely is spread evenly: its quotients would be rounding and nothing else.
LEAST_CHANCE = 1e-6
#: More seconds at risk than any fleet waits.
MOST = 1e15
#: People from whom on one pass of the kernel is enough.
MANY = 200.0


@frozen
class Survival:
    """The probability that somebody has not answered yet, over time; its hazard is constant between `edges`.

    Args:
        edges: Rising seconds, from 0. The last bin ends never.
        rates: The hazard in each bin, per second.
    """

    edges: Sequence[float]
    rates: Sequence[float]
    #: At each edge: the probability of being pending, and its integral from there to the last edge. Summed from 0, what
    #: is left of it where hardly anybody is pending would be the rounding of what has gone before.
    _pending: list[float] = field(init=False, repr=False, eq=False)
    _area: list[float] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        pending, areas, rates = [1.0], [], [rate if rate > LEAST_RATE else 0.0 for rate in self.rates]
        for nth, (begin, end) in enumerate(pairwise(self.edges)):
            width = end - begin
            left = pending[-1] * math.exp(-rates[nth] * width)
            if left < LEAST_SURVIVAL:
                rates[nth], left = math.log(pending[-1] / LEAST_SURVIVAL) / width, LEAST_SURVIVAL
            areas.append(pending[-1] * _mean_pending(rates[nth], width))
            pending.append(left)
        area = [*accumulate(reversed(areas), initial=0.0)][::-1]
        for name, value in (("rates", tuple(rates)), ("_pending", pending), ("_area", area)):
            object.__setattr__(self, name, value)

    @classmethod
    def from_cdf(cls, cdf: Callable[[float], float], edges: Sequence[float] = EDGES) -> Self:
        """The curve of a known distribution.

        Args:
            cdf: The probability of an answer within so many seconds; where it stays below 1, the rest never answers.
            edges: Where it is looked at; between them the hazard is taken as constant, after the last one as none.
        """
        left = [1.0 - cdf(edge) for edge in edges]
        rates = [
            math.log(before / after) / (end - begin) if before > after > 0 else 0.0
            for (before, after), (begin, end) in zip(pairwise(left), pairwise(edges), strict=True)
        ]
        return cls(edges, [*rates, 0.0])

    def pending(self, at: float) -> float:
        """The probability that there is no answer by `at` seconds."""
        nth = bisect_right(self.edges, at) - 1
        return self._pending[nth] * math.exp(-self.rates[nth] * (at - self.edges[nth]))

    def unseen(self, since: float, at: float) -> float:
        """Seconds that an answer has waited by `at`, in expectation, where there was none at `since`.

        The time that has passed less the mean time of it without an answer: E[(at - T)+ | T > since].
        """
        if at <= since:
            return 0.0
        first, last = bisect_right(self.edges, since), bisect_right(self.edges, at)
        rate = self.rates[first - 1]
        if first == last:
            return max(0.0, (at - since) - _mean_pending(rate, at - since))
        ahead, left = self._to_next(since, first)
        begin, share = self.edges[last - 1], left * self._pending[last - 1] / self._pending[first]
        spent = ahead + left * (self._area[first] - self._area[last - 1]) / self._pending[first]
        return max(0.0, (at - since) - spent - share * _mean_pending(self.rates[last - 1], at - begin))

    def crossing(self, since: float, price: float, until: float = math.inf) -> float:
        """When `unseen` reaches `price` seconds, counted as `since` is; `until` at the latest."""
        if price <= 0 or until <= since:
            return min(since, until)
        # A smaller one would be reached by the rounding of areas, also where nobody will ever answer.
        price = max(price, TOLERANCE)
        edges, pending, area, rates = self.edges, self._pending, self._area, self.rates
        first = bisect_right(edges, since)
        if first == len(edges):
            return min(until, since + _solve(price, 1.0, rates[-1], math.inf))
        ahead, left = self._to_next(since, first)
        scale, base = left / pending[first], area[first]
        # The first edge at which it is too late; the crossing lies in the bin before.
        nth = first + bisect_left(
            range(first, bisect_left(edges, until)),
            price,
            key=lambda edge: edges[edge] - since - ahead - scale * (base - area[edge]),
        )
        if nth == first:
            return min(until, since + _solve(price, 1.0, rates[nth - 1], edges[nth] - since))
        begin = edges[nth - 1]
        owed = price - (begin - since) + ahead + scale * (base - area[nth - 1])
        width = edges[nth] - begin if nth < len(edges) else math.inf
        return min(until, begin + _solve(owed, scale * pending[nth - 1], rates[nth - 1], width))

    def _to_next(self, since: float, edge: int) -> tuple[float, float]:
        """Up to the next edge: mean seconds without an answer, and the probability of none, given none at `since`."""
        rate, width = self.rates[edge - 1], self.edges[edge] - since
        return _mean_pending(rate, width), math.exp(-rate * width)


def _mean_pending(rate: float, width: float) -> float:
    """Of `width` seconds, how many pass without an answer at a constant hazard, in expectation."""
    return -math.expm1(-rate * width) / rate if rate > 0 else width


def _solve(owed: float, share: float, rate: float, width: float) -> float:
    """The x of `x - share * _mean_pending(rate, x) = owed`, at most `width`.

    The left side is convex and rises, so Newton's steps from anywhere above come down to it and never below.
    """
    if rate == 0:
        # A quotient of probabilities that are the same need not be 1 to the last bit.
        return min(width, max(0.0, owed / (1 - share))) if share < 1 - TOLERANCE else width
    # Above, because the left side is never less than x - share / rate.
    x = min(width, owed + share / rate)
    for _ in range(60):
        gone = math.expm1(-rate * x)
        excess = x + share * gone / rate - owed
        slope = 1 - share - share * gone
        if slope <= 0 or excess <= TOLERANCE * slope:
            break
        x -= excess / slope
    return max(0.0, x)


@define
class LifeTable:
    """Events and seconds at risk by time since a beginning; such tables can be added up.

    Attributes:
        weight: How many people it stands for, less what was forgotten.
        events: Answers in each bin of `EDGES`.
        exposure: Seconds in each bin that people were waited for.
    """

    weight: float = 0.0
    events: list[float] = field(factory=lambda: [0.0] * len(EDGES))
    exposure: list[float] = field(factory=lambda: [0.0] * len(EDGES))

    @classmethod
    def expected(cls, cdf: Callable[[float], float], weight: float) -> Self:
        """What so many people of a known distribution would add, on average.

        Args:
            cdf: As in `Survival.from_cdf`.
            weight: How many people it is worth.
        """
        table = cls(weight)
        curve = Survival.from_cdf(cdf)
        for nth, (begin, end) in enumerate(pairwise((*EDGES, EDGES[-1] * 1.2))):
            left = curve.pending(begin)
            table.events[nth] = weight * (left - curve.pending(end))
            table.exposure[nth] = weight * left * _mean_pending(curve.rates[nth], end - begin)
        return table

    @classmethod
    def of(cls, answered: Iterable[float], unanswered: Iterable[float] = ()) -> Self:
        """A history of your own.

        Args:
            answered: Seconds from the request to each decision.
            unanswered: Seconds after which each of the others was given up.
        """
        table = cls()
        for seconds in answered:
            table.add(seconds, seconds)
        for seconds in unanswered:
            table.add(seconds, None)
        return table

    def add(self, pending: float, answered: float | None, curve: Survival | None = None) -> None:
        """Count one person.

        Args:
            pending: Seconds after which they had certainly not answered.
            answered: Seconds after which they certainly had; None where they never did.
            curve: How likely each time between the two is, over `EDGES`; None for evenly.
        """
        self.weight += 1
        last = pending if answered is None else max(pending, answered)
        chance = curve.pending(pending) - curve.pending(last) if curve else 0.0
        for nth in range(bisect_right(EDGES, last)):
            begin = EDGES[nth]
            end = min(last, EDGES[nth + 1]) if nth + 1 < len(EDGES) else last
            certain = min(end, pending) - begin
            if certain > 0:
                self.exposure[nth] += certain
                begin += certain
            if end <= begin:
                continue
            if curve and chance > LEAST_CHANCE:
                left = curve.pending(begin)
                waited = left * _mean_pending(curve.rates[nth], end - begin) - curve.pending(last) * (end - begin)
                self.events[nth] += (left - curve.pending(end)) / chance
                self.exposure[nth] += max(0.0, waited) / chance
            else:
                share = (end - begin) / (last - pending)
                self.events[nth] += share
                self.exposure[nth] += share * (last - (begin + end) / 2)
        if answered is not None and last == pending:
            self.events[bisect_right(EDGES, last) - 1] += 1

    def include(self, other: LifeTable) -> None:
        """Add what another one has counted."""
        self.weight += other.weight
        self.events = [mine + theirs for mine, theirs in zip(self.events, other.events, strict=True)]
        self.exposure = [mine + theirs for mine, theirs in zip(self.exposure, other.exposure, strict=True)]

    def fade(self, keep: float) -> None:
        """Forget: let everything count for the share `keep` of what it did."""
        self.weight *= keep
        self.events = [keep * value for value in self.events]
        self.exposure = [keep * value for value in self.exposure]

    def survival(self) -> Survival:
        """The curve; no one is expected to answer where nobody was ever waited for."""
        passes = 1 if self.weight >= MANY else 2
        events, exposure = _smooth(self.events, passes), _smooth(self.exposure, passes)
        return Survival(
            EDGES, [event / risk if risk > 0 else 0.0 for event, risk in zip(events, exposure, strict=True)]
        )

    def check(self) -> None:
        """Refuse what no counting can give.

        Raises:
            UsageError: A length, a number or a sum that cannot be.
        """
        numbers = [self.weight, *self.events, *self.exposure]
        sound = (
            len(self.events) == len(self.exposure) == len(EDGES)
            and all(type(number) in {int, float} and 0 <= number <= MOST for number in numbers)
            and sum(self.events) <= self.weight * (1 + TOLERANCE)
        )
        if not sound:
            raise UsageError("this is no life table", code="strategy")


def _smooth(counts: Sequence[float], passes: int) -> Sequence[float]:
    """The kernel 1/4, 1/2, 1/4, so many times; what would leave at an end stays in."""
    for _ in range(passes):
        padded = (counts[0], *counts, counts[-1])
        counts = [
            (left + 2 * middle + right) / 4 for left, middle, right in zip(padded, padded[1:], padded[2:], strict=False)
        ]
    return counts
