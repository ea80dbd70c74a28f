"""Polling when an answer is likely, from what is known about how long people take.

Rules:
1. A poll is due when the expected time that an answer has waited unseen reaches a price. That is within 2 % of the best
   possible schedule (Barlow, Hunter and Proschan 1963 with a least gap, solved by dynamic programming), and needs no
   derivative and no search over schedules.
2. Callers need not choose a price. It follows from the current curve and from how much delay the caller accepts, on
   average, compared with polling at the provider's interval.
3. Decisions are pure: curve and price change only when a transaction ends, and only once in many transactions.
4. After a poll that was not answered `pending` the floor decides, because that poll brought no news of the person. The
   same after a poll that the provider held: it will hold the next one until there is an answer.
5. What is kept is bounded, per kind of login and in the number of kinds, and holds no personal data.
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

#: Kinds of login kept apart. A program has as many as it has eIDs, but the provider chooses `expires_in`.
MAX_KINDS = 64
#: Prices cached per curve, by interval and lifetime, which the provider chooses. Beyond that, the nearest one is used.
MAX_PRICES = 16
#: Seconds of a typical round trip: part of the delay that `slack` is a share of.
ROUND_TRIP = 0.12
#: Seconds. No price is higher: gaps are bounded anyway.
MAX_PRICE = 60.0
#: Seconds. No price is lower: it would make no difference.
LEAST_PRICE = 1e-3
#: Seconds. Defaults of `max_gap` up to this lifetime and above it; 180.5, because a lifetime is a computed difference.
SHORT_LIFETIME, SHORT_GAP, LONG_GAP = 180.5, 15.0, 30.0


def log_normal(median: float, sigma: float, at: float) -> float:
    """The usual distribution of task times: right-skewed, and never below 0."""
    return 0.5 * math.erfc(-math.log(at / median) / (sigma * math.sqrt(2))) if at > 0 else 0.0


def _broad(at: float) -> float:
    """The prior before any data. Broad on purpose: a narrow wrong guess costs most."""
    return 0.85 * (0.7 * log_normal(15.0, 0.8, at) + 0.3 * log_normal(60.0, 1.2, at))


#: The prior, with the weight of twenty transactions.
PRIOR = LifeTable.expected(_broad, 20.0)


@define(eq=False)
class Fitted:
    """A fitted curve, and its prices by interval and lifetime, computed on first use."""

    curve: Survival
    prices: dict[tuple[float, float], float] = field(factory=dict)

    def price(self, slack: float, interval: float, lifetime: float, max_gap: float) -> float:
        """The highest price within the slack."""
        # The caller's timeouts make lifetimes differ; those within 10 % of each other share a price.
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
    """Polls when answers are likely and saves polls when they are not; learns from finished logins.

    Kinds of login are kept apart by `PollView.key`. To keep what was learned across a restart, `merge` the `export` of
    the previous process. To learn together with other processes, `consult` their exports from time to time.

    Args:
        slack: Average extra delay accepted, compared with polling at the provider's interval, as a share: 0.10 is 10 %,
            or 0.16 s at an interval of 3 s.
        price: Instead of `slack`: expected seconds of unseen waiting at which a poll is due.
        max_gap: Longest time without a poll, in seconds. None: 15 s for logins that live up to 180 s, 30 s for longer
            ones. It limits the damage if the strategy has learned something wrong.
        prior: The belief before any data, for example `LifeTable.of` your own history.
        known: A distribution that is certain; nothing is learned then.

    Raises:
        UsageError: A number is negative or not finite, or `prior` is not a life table.
    """

    slack: float = 0.10
    price: float | None = field(default=None, kw_only=True)
    max_gap: float | None = field(default=None, kw_only=True)
    prior: LifeTable = field(default=PRIOR, kw_only=True, repr=False)
    known: Survival | None = field(default=None, kw_only=True, repr=False)
    _experience: Experience = field(init=False, repr=False, factory=lambda: Experience(MAX_KINDS))
    _fitted: dict[Hashable, Fitted] = field(init=False, repr=False, factory=dict)
    #: For each kind of login that has no curve of its own yet.
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
        """When the expected unseen waiting reaches the price."""
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
        """See `Indexed`. Not bounded by `max_gap`: the scheduler's price says what can be afforded."""
        origin = begun_at(view)
        return origin + self._of(view).curve.crossing(max(0.0, last_pending_at(view) - origin), price)

    def price_of(self, view: PollView) -> float:
        """The price of a poll of this transaction, in expected seconds of unseen waiting."""
        if self.price is not None:
            return self.price
        lifetime = view.latest_end - view.acknowledged_at
        return self._of(view).price(self.slack, view.interval, lifetime, self.longest_gap(view))

    def longest_gap(self, view: PollView) -> float:
        """The longest time without a poll, in seconds."""
        if self.max_gap is not None:
            return self.max_gap
        return SHORT_GAP if view.latest_end - view.acknowledged_at <= SHORT_LIFETIME else LONG_GAP

    def _of(self, view: PollView) -> Fitted:
        return self._fitted.get(view.key, self._believed)

    # --- learning ---------------------------------------------------------------------------------------------------

    def finished(self, record: Record) -> None:
        """Count one transaction, and fade those before it a little."""
        if self.known is not None:
            return
        origin = begun_at(record)
        pending = 0.0 if record.last_pending_at is None else max(0.0, record.last_pending_at - origin)
        answered = None if record.decided_by_at is None else max(0.0, record.decided_by_at - origin)
        curve = self._fitted.get(record.key, self._believed).curve
        if self._experience[record.key].add(pending, answered if record.answered else None, curve):
            self._fit(record.key)

    def export(self) -> dict[str, Any]:
        """Return what this process has learned, as plain JSON values: a few kilobytes of sums, no individual times.

        Raises:
            UsageError: A view had a key that JSON cannot hold; this package's own keys are fine.
        """
        return self._experience.export()

    def merge(self, exported: Mapping[str, Any]) -> None:
        """Add another process's export to this one's counts. Call it once, when taking over from that process.

        Raises:
            UsageError: Not an export; nothing was learned from it.
        """
        self._experience.merge(exported)
        self._fit_all()

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Learn from the latest exports of processes that keep running; they replace those consulted before.

        Do not pass this process's own export, nor two of the same process: they would count twice.

        Raises:
            UsageError: One is not an export; nothing was changed.
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
    """Best estimate of when the provider began to ask: halfway between our request and its acknowledgement."""
    return (what.requested_at + what.acknowledged_at) / 2


def floor_decides(view: PollView) -> bool:
    """Whether to poll at the floor: the last poll brought no news of the person, or the provider held it."""
    return view.last is not None and (_no_news(view) or view.last.received_at - view.last.sent_at >= view.interval)


def _no_news(view: PollView) -> bool:
    """Whether the last poll was unanswered or answered `slow_down`."""
    return view.last is not None and view.last.outcome != "pending"


def last_pending_at(view: PollView) -> float:
    """When the person had certainly not answered yet: the send time of the last poll answered `pending`.

    After a poll without news, one interval before that poll is used: the poll before it left no later than that.
    """
    if view.last is None:
        return begun_at(view)
    return view.last.sent_at - view.interval * _no_news(view)


def price_for(curve: Survival, slack: float, *, interval: float, lifetime: float, max_gap: float) -> float:
    """The price at which the average delay exceeds that of polling at the interval by the share `slack`."""
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
    """Expected seconds from answer to poll, summed over the answers within the lifetime."""
    since = total = 0.0
    while since < lifetime:
        at = max(since + spacing, curve.crossing(since, price, since + max_gap))
        if lifetime - at < spacing:
            at = lifetime
        total += curve.pending(since) * curve.unseen(since, at)
        since = at
    return total
