"""How long people take: counted in a life table, read as a survival curve.

Rules:
1. Events and seconds at risk are counted in bins of time; their ratio is the hazard, constant within a bin.
2. An answer is only known to lie between two polls. It is spread over that span by the current curve, and so is the
   time at risk: the expectation step of the EM algorithm. Spread evenly, all answers found by the first poll would seem
   early, and that poll could never be delayed.
3. Somebody who never answered was at risk until the last poll that found them pending; nothing is known after that
   (right-censored). So the share of people who never answer needs no parameter of its own.
4. Events and time at risk are smoothed alike before the ratio is taken, more so when there are few. This is needed:
   optimising against an estimate exploits its errors, and without smoothing the delay is up to 50 % above the target.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Self

from attrs import define, field, frozen

from idura_ciba.errors import ArgumentError

__all__ = ["LifeTable", "Survival", "edges_up_to"]


def edges_up_to(longest: float, *, ratio: float) -> tuple[float, ...]:
    """Edges of bins: 1 s wide up to 5 s, then each edge is `ratio` times the one before it."""
    edges = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    while edges[-1] < longest:
        edges.append(edges[-1] * ratio)
    return tuple(edges)


#: Where the bins of every life table begin; the last one has no end. No eID keeps a prompt for an hour.
EDGES = edges_up_to(3600.0, ratio=1.2)
#: A curve does not fall below it up to its last edge: with nobody left there would be no hazard.
LEAST_SURVIVAL = 1e-9
#: Per second: one event in thirty years. A smaller hazard is taken as 0.
LEAST_RATE = 1e-9
#: Seconds. Precise enough for an instant: the jitter of polls is far larger.
TOLERANCE = 1e-6
#: A probability. Below it an answer is spread evenly: quotients of the curve would be mere rounding errors.
LEAST_CHANCE = 1e-6
#: Upper bound for any number of a table: more seconds at risk than any fleet reaches.
MOST = 1e15
#: Weight from which on one smoothing pass is enough.
MANY = 200.0


@frozen
class Survival:
    """The probability over time that a person has not answered yet; the hazard is constant between `edges`.

    Args:
        edges: Rising seconds, from 0. The last bin has no end.
        rates: The hazard in each bin, per second.
    """

    edges: Sequence[float]
    rates: Sequence[float]
    #: At each edge: the probability of being pending, and its integral from there to the last edge. Summed from 0
    #: instead, the small remainder in the tail would drown in the rounding error of the large sum before it.
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
            cdf: The probability of an answer within a number of seconds; if it stays below 1, the rest never answer.
            edges: Where it is sampled; the hazard is constant between edges and 0 after the last.
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
        """Expected seconds that an answer has waited by `at`, given that there was none at `since`.

        E[(at - T)+ | T > since]: the elapsed time minus the expected part of it without an answer.
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
        """The instant at which `unseen` reaches `price` seconds, on the scale of `since`; at most `until`."""
        if price <= 0 or until <= since:
            return min(since, until)
        # Rounding errors of the areas would reach a smaller price even if nobody will ever answer.
        price = max(price, TOLERANCE)
        edges, pending, area, rates = self.edges, self._pending, self._area, self.rates
        first = bisect_right(edges, since)
        if first == len(edges):
            return min(until, since + _solve(price, 1.0, rates[-1], math.inf))
        ahead, left = self._to_next(since, first)
        scale, base = left / pending[first], area[first]
        # The first edge past the crossing; the crossing lies in the bin before it.
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
        """Expected seconds without an answer up to the edge, and the chance of none by then, given none at `since`."""
        rate, width = self.rates[edge - 1], self.edges[edge] - since
        return _mean_pending(rate, width), math.exp(-rate * width)


def _mean_pending(rate: float, width: float) -> float:
    """Expected seconds without an answer, out of `width`, at a constant hazard."""
    return -math.expm1(-rate * width) / rate if rate > 0 else width


def _solve(owed: float, share: float, rate: float, width: float) -> float:
    """Solve `x - share * _mean_pending(rate, x) = owed` for x, at most `width`.

    The left side is convex and increasing, so Newton's method from above approaches the root and never undershoots it.
    """
    if rate == 0:
        # The quotient of two equal probabilities need not be exactly 1.
        return min(width, max(0.0, owed / (1 - share))) if share < 1 - TOLERANCE else width
    # Starts above the root, because the left side is at least x - share / rate.
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
    """Events and seconds at risk, by time since a start such as the request; tables can be added up.

    Attributes:
        weight: How many people the table stands for, after fading.
        events: Answers in each bin of `EDGES`.
        exposure: Seconds at risk in each bin: time spent waiting for people.
    """

    weight: float = 0.0
    events: list[float] = field(factory=lambda: [0.0] * len(EDGES))
    exposure: list[float] = field(factory=lambda: [0.0] * len(EDGES))

    @classmethod
    def expected(cls, cdf: Callable[[float], float], weight: float) -> Self:
        """Return the table that `weight` people of a known distribution produce on average.

        Args:
            cdf: As in `Survival.from_cdf`.
            weight: How many people the table counts for.
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
        """Return a table of your own history.

        Args:
            answered: Seconds from the request to each decision.
            unanswered: For each login without a decision, seconds until it was given up.
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
            pending: Seconds after which the person had certainly not answered.
            answered: Seconds after which the person certainly had; None if they never did.
            curve: How likely each time between the two is, over `EDGES`; None: all equally.
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
        """Add the counts of another table."""
        self.weight += other.weight
        self.events = [mine + theirs for mine, theirs in zip(self.events, other.events, strict=True)]
        self.exposure = [mine + theirs for mine, theirs in zip(self.exposure, other.exposure, strict=True)]

    def fade(self, keep: float) -> None:
        """Multiply all counts by `keep`."""
        self.weight *= keep
        self.events = [keep * value for value in self.events]
        self.exposure = [keep * value for value in self.exposure]

    def survival(self) -> Survival:
        """Return the fitted curve; the hazard is 0 where there was no time at risk."""
        passes = 1 if self.weight >= MANY else 2
        events, exposure = _smooth(self.events, passes), _smooth(self.exposure, passes)
        return Survival(
            EDGES, [event / risk if risk > 0 else 0.0 for event, risk in zip(events, exposure, strict=True)]
        )

    def check(self) -> None:
        """Refuse a table that counting cannot produce.

        Raises:
            UsageError: A wrong length, a number out of range, or more events than people.
        """
        numbers = [self.weight, *self.events, *self.exposure]
        sound = (
            len(self.events) == len(self.exposure) == len(EDGES)
            and all(type(number) in {int, float} and 0 <= number <= MOST for number in numbers)
            and sum(self.events) <= self.weight * (1 + TOLERANCE)
        )
        if not sound:
            raise ArgumentError("this is not a life table", code="strategy")


def _smooth(counts: Sequence[float], passes: int) -> Sequence[float]:
    """Apply the kernel 1/4, 1/2, 1/4 `passes` times; nothing leaks out at the ends."""
    for _ in range(passes):
        padded = (counts[0], *counts, counts[-1])
        counts = [
            (left + 2 * middle + right) / 4 for left, middle, right in zip(padded, padded[1:], padded[2:], strict=False)
        ]
    return counts
