"""Polling where it is worth it, by what is known of how long people take.

Rules:
1. A poll is due when the time that an answer has waited unseen, in expectation, reaches a price. That is within 2 % of
   the best that any schedule can do (Barlow, Hunter and Proschan 1963 with a least gap, solved by dynamic programming),
   and needs no derivative and no search over schedules.
2. Nobody is asked for a price. It follows from how much later than at the provider's interval the caller will bear to
   hear of an answer, on average, and from the curve of the moment.
3. Decisions are pure: curve and price change only when transactions end, and then once in many.
4. After a poll that was not answered `pending` the floor decides: it brought no news of the person. So it does after
   one that the provider held: the next one will be told of the answer as it comes.
5. What is kept is bounded, by kind of login and in number of kinds, and holds nothing of any person.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from attrs import define, field

from idura_ciba.polling.experience import Experience
from idura_ciba.polling.life_table import LifeTable, Survival
from idura_ciba.polling.strategy import PollView, Record, check_duration

__all__ = ["HazardAware"]

#: Kinds of login that are kept apart. There are as many as a program has eIDs, but the provider chooses `expires_in`.
MAX_KINDS = 64
#: Prices of one curve, by interval and lifetime; beyond it a near one serves. Both are the provider's words.
MAX_PRICES = 16
#: One way to the provider and back. It is part of how late one hears of an answer, so of what `slack` is a share of.
ROUND_TRIP = 0.12
#: No poll is worth more seconds: gaps are bounded anyway.
MAX_PRICE = 60.0
#: Not worth telling apart.
LEAST_PRICE = 1e-3
#: The defaults of `max_gap`, up to this lifetime and above it. Half a second, because lifetimes are differences.
SHORT_LIFETIME, SHORT_GAP, LONG_GAP = 180.5, 15.0, 30.0


def log_normal(median: float, sigma: float, at: float) -> float:
    """The distribution that times of tasks are usually given: right-skewed, and never before 0."""
    return 0.5 * math.erfc(-math.log(at / median) / (sigma * math.sqrt(2))) if at > 0 else 0.0


def _broad(at: float) -> float:
    """What is believed of people nobody has seen yet. Broad on purpose: a narrow guess that is wrong costs most."""
    return 0.85 * (0.7 * log_normal(15.0, 0.8, at) + 0.3 * log_normal(60.0, 1.2, at))


#: The belief at the start counts like twenty transactions.
PRIOR = LifeTable.expected(_broad, 20.0)


@define(eq=False)
class Fitted:
    """Conclusions: a curve, and its prices by interval and lifetime, filled when first asked for."""

    curve: Survival
    prices: dict[tuple[float, float], float] = field(factory=dict)

    def price(self, slack: float, interval: float, lifetime: float, max_gap: float) -> float:
        """The price that keeps to the slack."""
        # Lifetimes differ by the caller's own limits; two that are alike within a tenth share a price.
        wanted = (interval, round(10 * math.log(max(1.0, lifetime))))
        price = self.prices.get(wanted)
        if price is None and len(self.prices) >= MAX_PRICES:
            return self.prices[min(self.prices, key=lambda have: math.dist(have, wanted))]
        if price is None:
            price = price_for(self.curve, slack, interval=interval, lifetime=lifetime, max_gap=max_gap)
            self.prices[wanted] = price
        return price


@define(eq=False)
class HazardAware:
    """Polls where answers are likely and saves the polls where they are not; learns from what is over.

    Kinds of login are kept apart by `PollView.key`. To keep what was learned over a restart, `merge` what the process
    before had from `export`; to learn together with other processes, `consult` their exports from time to time.

    Args:
        slack: How much later than when asking all the time you will hear of an answer, on average: 0.10 is 10 %, or
            0.16 s at an interval of 3 s.
        price: Instead of `slack`, how many seconds an answer may have waited, in expectation, before a poll is due.
        max_gap: The longest time without a poll; None for 15 s where a login lives up to 180 s, and 30 s elsewhere. It
            insures against having learned the wrong thing.
        prior: What is believed before anything is known: `LifeTable.of` your own history, for example.
        known: A distribution that is certain. Nothing is learned then.

    Raises:
        UsageError: A number that cannot be.
    """

    slack: float = 0.10
    price: float | None = field(default=None, kw_only=True)
    max_gap: float | None = field(default=None, kw_only=True)
    prior: LifeTable = field(default=PRIOR, kw_only=True, repr=False)
    known: Survival | None = field(default=None, kw_only=True, repr=False)
    _experience: Experience = field(init=False, repr=False, factory=lambda: Experience(MAX_KINDS))
    _fitted: dict[Hashable, Fitted] = field(init=False, repr=False, factory=dict)
    #: Serves every kind that nothing was concluded about yet.
    _believed: Fitted = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        check_duration("slack", self.slack)
        for name, value in (("price", self.price), ("max_gap", self.max_gap)):
            if value is not None:
                check_duration(name, value)
        self.prior.check()
        self._believed = Fitted(self.known or self.prior.survival())

    # --- deciding ---------------------------------------------------------------------------------------------------

    def next_poll(self, view: PollView) -> float:
        """When an answer will have waited for the price, in expectation."""
        if floor_decides(view):
            return view.not_before
        origin = begun_at(view)
        since = max(0.0, last_pending_at(view) - origin)
        return origin + self._of(view).curve.crossing(since, self.price_of(view), since + self.longest_gap(view))

    def index(self, view: PollView, at: float) -> float:
        """See `Indexed`."""
        origin = begun_at(view)
        return self._of(view).curve.unseen(max(0.0, last_pending_at(view) - origin), at - origin)

    def due(self, view: PollView, price: float) -> float:
        """See `Indexed`; not bounded by `max_gap`: a scheduler's price says what can be afforded."""
        origin = begun_at(view)
        return origin + self._of(view).curve.crossing(max(0.0, last_pending_at(view) - origin), price)

    def price_of(self, view: PollView) -> float:
        """What a poll of this transaction costs, in seconds of unseen waiting."""
        if self.price is not None:
            return self.price
        lifetime = view.latest_end - view.acknowledged_at
        return self._of(view).price(self.slack, view.interval, lifetime, self.longest_gap(view))

    def longest_gap(self, view: PollView) -> float:
        """Seconds without a poll at most."""
        if self.max_gap is not None:
            return self.max_gap
        return SHORT_GAP if view.latest_end - view.acknowledged_at <= SHORT_LIFETIME else LONG_GAP

    def _of(self, view: PollView) -> Fitted:
        return self._fitted.get(view.key, self._believed)

    # --- learning ---------------------------------------------------------------------------------------------------

    def finished(self, record: Record) -> None:
        """Count one transaction, and forget a little of those before it."""
        if self.known is not None:
            return
        origin = begun_at(record)
        pending = 0.0 if record.last_pending_at is None else max(0.0, record.last_pending_at - origin)
        answered = None if record.decided_by_at is None else max(0.0, record.decided_by_at - origin)
        curve = self._fitted.get(record.key, self._believed).curve
        if self._experience[record.key].add(pending, answered if record.answered else None, curve):
            self._fit(record.key)

    def export(self) -> dict[str, Any]:
        """What this process has learned, as plain JSON values: kilobytes of sums, and nobody's own times.

        Raises:
            UsageError: A view had a key that JSON cannot hold; those of this package it can.
        """
        return self._experience.export()

    def merge(self, exported: Mapping[str, Any]) -> None:
        """Go on from what another process had learned, adding it to one's own: once, in its place.

        Raises:
            UsageError: That is no export; nothing was learned from it.
        """
        self._experience.merge(exported)
        self._fit_all()

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Learn from other processes that go on learning, from their latest exports, which replace those before.

        Pass neither one's own export nor two of one process: that would count twice.

        Raises:
            UsageError: One of them is no export; nothing was changed.
        """
        self._experience.consult(exports)
        self._fit_all()

    def _fit_all(self) -> None:
        for key in self._experience:
            self._fit(key)

    def _fit(self, key: Hashable) -> None:
        table = self._experience.peek(key).total()
        table.include(self.prior)
        self._fitted[key] = Fitted(table.survival())
        for forgotten in self._fitted.keys() - set(self._experience):
            del self._fitted[forgotten]


def begun_at(what: PollView | Record) -> float:
    """When the provider began to ask, as far as can be known: halfway between our request and its acknowledgement."""
    return (what.requested_at + what.acknowledged_at) / 2


def floor_decides(view: PollView) -> bool:
    """Whether there is nothing to wait for: the last poll told nothing of the person, or the provider held it."""
    return view.last is not None and (_no_news(view) or view.last.received_at - view.last.sent_at >= view.interval)


def _no_news(view: PollView) -> bool:
    """Whether the last poll was lost, or answered for the sake of the pace alone."""
    return view.last is not None and view.last.outcome != "pending"


def last_pending_at(view: PollView) -> float:
    """When the person had not answered yet, by the send of the poll that found it so.

    After a poll without news that is taken to be one interval before it, where the earlier one was at the latest.
    """
    if view.last is None:
        return begun_at(view)
    return view.last.sent_at - view.interval * _no_news(view)


def price_for(curve: Survival, slack: float, *, interval: float, lifetime: float, max_gap: float) -> float:
    """The price at which answers are heard of later by the share `slack` than at the interval, on average."""
    spacing = interval + ROUND_TRIP
    least = _delay(curve, 0.0, spacing, lifetime, 0.0)
    most = least + slack * (least + (1 - curve.pending(lifetime)) * ROUND_TRIP / 2)
    low, high = LEAST_PRICE, MAX_PRICE
    if _delay(curve, high, spacing, lifetime, max_gap) <= most:
        return high
    while high > low * 1.02:
        price = math.sqrt(low * high)
        if _delay(curve, price, spacing, lifetime, max_gap) <= most:
            low = price
        else:
            high = price
    return low


def _delay(curve: Survival, price: float, spacing: float, lifetime: float, max_gap: float) -> float:
    """Seconds from answer to poll, summed over the answers within the lifetime, by the curve."""
    since = total = 0.0
    while since < lifetime:
        at = max(since + spacing, curve.crossing(since, price, since + max_gap))
        if lifetime - at < spacing:
            at = lifetime
        total += curve.pending(since) * curve.unseen(since, at)
        since = at
    return total
