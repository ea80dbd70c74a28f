"""The best that any schedule can do, for a known distribution: the yardstick.

Each poll costs a price, and so does each second from the decision to the poll that finds it; between two polls lies the
interval at least, and the last one is at the end. By when the last poll was, which found nothing, the least cost of the
rest is a one-dimensional dynamic programme (Eckstein, Gal and Reiner 2008, "Monitoring an information source under a
politeness constraint", with a price in place of a number of polls).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from attrs import define, field, frozen
from frontier_sim import PEOPLE, Case

from idura_ciba.polling.hazard import begun_at, last_pending_at
from idura_ciba.polling.strategy import PollView

#: No optimal gap is longer, at any price looked at here.
LONGEST = 200.0
#: Points of the grid at most: steps of 0.05 s at 120 s, 0.1 s at 900 s.
POINTS = 9000


@frozen
class Answers:
    """A distribution on a grid: the probability of an answer by then, and its integral."""

    step: float
    cdf: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, people: str, lifetime: float, step: float = 0.05) -> Answers:
        """Up to the lifetime."""
        who, times = PEOPLE[people], np.arange(0.0, lifetime + step, step)
        if who.phases:
            density = np.array([1.0])
            for _, median, sigma in who.phases:
                middles = times + step / 2
                one = np.exp(-((np.log(middles / median) / sigma) ** 2) / 2) / (
                    middles * sigma * math.sqrt(2 * math.pi)
                )
                density = np.convolve(density, one * step)[: len(times)]
            # Each of the three is taken at the middle of its step, which is one and a half in all.
            cdf = (1 - who.never) * np.interp(times - 1.5 * step, times, np.cumsum(density), left=0.0)
        else:
            cdf = np.array([who.cdf(at) for at in times])
        return cls(step, cdf, np.concatenate([[0.0], np.cumsum((cdf[1:] + cdf[:-1]) / 2) * step]))

    def at(self, seconds: float) -> tuple[float, float]:
        """Both, between the points of the grid."""
        nth = min(int(seconds / self.step), len(self.cdf) - 2)
        share = min(1.0, seconds / self.step - nth)
        return (
            float((1 - share) * self.cdf[nth] + share * self.cdf[nth + 1]),
            float((1 - share) * self.area[nth] + share * self.area[nth + 1]),
        )

    def smooth_cdf(self, seconds: float) -> float:
        """The probability of an answer by then; what is not answered at the end of the grid never is."""
        return self.at(seconds)[0]

    def means(self, polls: Sequence[float]) -> tuple[float, float]:
        """Of a schedule: polls that are sent, and seconds until an answer is found, summed over those that come."""
        sent, waited, since, (answered, area) = 0.0, 0.0, 0.0, (0.0, 0.0)
        for at in polls:
            now = self.at(at)
            sent += 1 - answered
            waited += now[1] - area - answered * (at - since)
            since, (answered, area) = at, now
        return sent, waited

    def cost(self, polls: Sequence[float], price: float) -> float:
        """What a schedule costs: the price for each poll that is sent, and the seconds until each answer is found."""
        sent, waited = self.means(polls)
        return price * sent + waited


@define
class Optimum:
    """The cheapest schedule, as a strategy.

    Args:
        answers: The distribution.
        interval: Seconds between polls at least.
        urgent_at: Seconds after the beginning at which the last poll leaves.
        price: Of a poll, in seconds of delay.
    """

    answers: Answers
    interval: float
    urgent_at: float
    price: float
    _then: np.ndarray = field(init=False)

    def __attrs_post_init__(self) -> None:
        step, cdf, area = self.answers.step, self.answers.cdf, self.answers.area
        last, least, most = round(self.urgent_at / step), math.ceil(self.interval / step - 1e-9), round(LONGEST / step)
        cost, self._then = np.full(last + 1, np.inf), np.full(last + 1, last)
        cost[last] = 0.0
        for since in range(last - least, -1, -1):
            upto = min(last, since + most)
            ahead = np.arange(since + least, upto + 1)
            ways = area[ahead] - area[since] - cdf[since] * (ahead - since) * step + cost[ahead]
            best = int(np.argmin(ways))
            cost[since] = self.price * (1 - cdf[since]) + ways[best]
            self._then[since] = ahead[best]

    def schedule(self) -> list[float]:
        """When somebody is polled who never answers, by the letter."""
        polls, at = [], 0
        while at < len(self._then) - 1:
            at = int(self._then[at])
            polls.append(at * self.answers.step)
        return polls

    def next_poll(self, view: PollView) -> float:
        """By when the last poll was."""
        origin, step = begun_at(view), self.answers.step
        since = max(0.0, last_pending_at(view) - origin)
        return origin + float(self._then[min(round(since / step), len(self._then) - 1)]) * step


def optimum(case: Case, price: float, guard: float = 0.2) -> Optimum:
    """For one situation."""
    answers = Answers.of(case.people, case.lifetime, max(0.05, case.lifetime / POINTS))
    return Optimum(answers, case.interval, case.lifetime - guard, price)
