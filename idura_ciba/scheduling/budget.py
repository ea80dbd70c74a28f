"""The rate limit: as agreed with the provider, and as learned from its refusals.

Rules:
1. In any second at most `rate` requests leave. A load below the rate is never held back, however bursty; requests that
   had to wait leave evenly spaced, because the provider may count over shorter windows than we do.
2. Refusals (429, 503) concern all requests once they are a tenth of the responses, beyond their usual share. Fewer
   concern one login, or one faulty machine of the provider: then only the refused request waits, by its own rules.
   Otherwise one person's 429 would stop thousands of logins; and if one request in thirty failed for another reason,
   the rate would keep falling.
3. Such refusals cut the rate: to `CUT` times the rate answered before them, by half at most, and at most once a second.
   A request that left before the last cut says nothing about it. A `Retry-After` among these refusals stops all
   requests for that long.
4. If nothing but refusals came back since the last cut: exponential backoff. Nothing leaves for 1 s, then 2 s, 4 s and
   so on, until a request is answered.
5. The rate grows back by `GROWTH` a second, and faster once that has gone well for a while. Only seconds in which a
   request waits count: an unused rate was not tested.

The numbers of rules 3 and 5 belong together. Many providers count over ten seconds: when a rate that grows by 1 % a
second is refused, it is 5 % above the limit, and capacity is freed at the rate of ten seconds ago, 5 % below it. A cut
to 0.9 is below both, so one cut is enough, and growing back from there uses 95 % of the limit on average. Halving would
use 75 %.

There is no clock in here: every instant is an argument, in monotonic seconds.
"""

from __future__ import annotations

import math
import sys
from collections import deque

from idura_ciba.options import positive

__all__ = ["Budget", "Meter"]

#: Seconds over which rule 1 counts.
WINDOW = 1.0
#: Responses are remembered for this many seconds, and at most this many of them.
MEMORY = 10.0
MOST_REMEMBERED = 50
#: Share of refusals among the responses that concerns all requests, in addition to twice the usual share, and at most
#: half. A cut needs `SPARE` refusals more than that, because a few soon make a tenth of a few, or a `RUN` without an
#: answer in between.
TELLING = 0.1
MOST_TELLING = 0.5
SPARE = 2
RUN = 4
#: Responses over which the usual share is averaged.
USUAL = 300
#: The rate after a cut, as a share of the answered rate.
CUT = 0.9
#: A cut removes at most this share: the last seconds may have been quiet.
DEEPEST_CUT = 0.5
#: Least seconds between two cuts: measuring a rate takes at least a second of answers.
CUT_SPACING = 1.0
#: Growth of the rate in each second in which it is used up.
GROWTH = 0.01
#: The same after `SETTLED` such seconds without a refusal. A rate near its limit is refused every 16.
FAST_GROWTH = 0.10
SETTLED = 20.0
#: Refusals never cut the rate below this: one request in ten seconds.
LEAST = 0.1
#: A client that sent fewer requests than this in a second was not refused for sending too many. After fewer refusals in
#: a row there is no common backoff either: each transaction backs off by itself.
FEW = 10
#: Seconds of the first and the longest backoff. The longest also bounds how long a `Retry-After` stops all requests.
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 60.0
#: Seconds by which waiting requests may leave closer together than evenly: in a busy event loop timers are late.
CATCH_UP = 0.05


class Meter:
    """Counts events per second, over the last ten seconds."""

    __slots__ = ("_counts", "_second", "_since", "_total")

    #: Whole seconds remembered, besides the current one.
    SECONDS = 10

    def __init__(self) -> None:
        self._counts = [0] * (self.SECONDS + 1)
        self._total = 0
        self._second: int | None = None
        self._since = math.inf

    def add(self, now: float) -> None:
        """Count one event."""
        second = math.floor(now)
        if second != self._second:
            self._turn(second)
        self._counts[second % len(self._counts)] += 1
        self._total += 1
        self._since = min(self._since, now)

    def rate(self, now: float) -> float:
        """Events per second, over the last ten seconds or since the first event; over 1 s at least, to avoid spikes."""
        if math.floor(now) != self._second:
            self._turn(math.floor(now))
        return self._total / min(self.SECONDS + now % 1.0, max(1.0, now - self._since))

    def best(self, now: float) -> float:
        """The highest of the rates over the last 1, 2, ... 10 seconds, in events per second."""
        self._turn(math.floor(now))
        part, second, lived = now % 1.0, math.floor(now), max(1.0, now - self._since)
        total = self._counts[second % len(self._counts)]
        best = 0.0
        for back in range(1, self.SECONDS + 1):
            total += self._counts[(second - back) % len(self._counts)]
            best = max(best, total / min(back + part, lived))
        return best

    def _turn(self, second: int) -> None:
        """Reset the counters of the seconds that have passed since the last event."""
        if self._second is None:
            self._second = second
        for passed in range(self._second + 1, min(second, self._second + len(self._counts)) + 1):
            place = passed % len(self._counts)
            self._total -= self._counts[place]
            self._counts[place] = 0
        self._second = max(self._second, second)


class Refusals:
    """Responses since the last cut, and whether the refusals among them concern all requests.

    Attributes:
        in_vain: Refusals since the last answer.
        since: When the first of those arrived; infinite if there are none.
    """

    __slots__ = ("_came_back", "_usual", "in_vain", "since")

    def __init__(self) -> None:
        self._came_back = deque[tuple[float, bool]](maxlen=MOST_REMEMBERED)
        self._usual = 0.0
        self.forget()

    def forget(self) -> None:
        """Start anew after a cut: earlier responses say nothing about the new rate. The usual share is kept."""
        self._came_back.clear()
        self.in_vain: int = 0
        self.since: float = math.inf

    def answered(self, now: float) -> None:
        """Count an answer."""
        self._came_back.append((now, False))
        self._usual -= self._usual / USUAL
        self.in_vain = 0
        self.since = math.inf

    def refused(self, now: float) -> tuple[bool, bool]:
        """Count a refusal; return whether refusals concern all requests, and whether to cut the rate."""
        telling = min(MOST_TELLING, TELLING + 2 * self._usual)
        if not self.in_vain:
            # A run of refusals counts once towards the usual share: it is no accident.
            self.since = now
            self._usual += (1 - self._usual) / USUAL
        self.in_vain += 1
        came_back = self._came_back
        came_back.append((now, True))
        while came_back[0][0] <= now - MEMORY:
            came_back.popleft()
        excess = sum(refused for _, refused in came_back) - telling * len(came_back)
        return excess >= 0, excess >= SPARE or (excess >= 0 and self.in_vain >= RUN)


class Budget:
    """The rate limit: says when the next request may leave.

    Args:
        rate: Most requests in any second; fractions are rounded down, and a rate below 1 spaces requests `1 / rate`
            seconds apart. None: no limit until the provider refuses requests.

    Raises:
        UsageError: The rate is not a positive finite number.
    """

    __slots__ = (
        "_allowed", "_answered_at", "_backoff", "_closed_until", "_cut_at", "_even", "_grown_at", "_meter", "_most",
        "_rate", "_refusals", "_refused", "_sent", "_used", "_window",
    )  # fmt: skip

    def __init__(self, rate: float | None = None) -> None:
        self._rate = _agreed(rate)
        self._allow(self._rate)
        self._refused = 0
        self.restart()

    def restart(self) -> None:
        """Forget all instants, which belong to another clock; the learned rate stays."""
        # When the requests of the last window left (rule 1).
        self._sent = deque[float]()
        # When the next request leaves if all are evenly spaced.
        self._even = -math.inf
        self._closed_until = -math.inf
        self._cut_at = -math.inf
        # Seconds since the cut in which a request waited.
        self._used = 0.0
        self._grown_at = -math.inf
        self._refusals = Refusals()
        # The last backoff, in seconds.
        self._backoff = 0.0
        self._meter = Meter()
        self._answered_at = -math.inf

    @property
    def rate(self) -> float:
        """The agreed rate in requests per second; infinite if none was given."""
        return self._rate

    @property
    def allowed(self) -> float:
        """The current rate in requests per second; infinite if none was given and none was learned yet."""
        return self._allowed

    @property
    def refused(self) -> int:
        """Requests refused so far."""
        return self._refused

    def change(self, rate: float | None) -> None:
        """Agree on another rate from now on; what left in the last second counts (rule 1).

        A rate that was learned from refusals stays where it is lower, and grows as far as the new one allows (rule 5).

        Raises:
            UsageError: The rate is not a positive finite number. Nothing has changed.
        """
        agreed = _agreed(rate)
        is_learned, self._rate = self._allowed < self._rate, agreed
        self._allow(min(self._allowed, agreed) if is_learned else agreed)
        # The next one need not keep the distance of the old rate.
        spaced = self._sent[-1] + 1 / self._allowed if self._sent else -math.inf
        self._even = min(self._even, spaced)

    def ready_at(self, *, queued: bool) -> float:
        """The earliest instant at which the next request may leave; one in the past means now.

        Args:
            queued: Whether the request is waiting, or requests have been waiting until now; see rule 1.
        """
        if self._allowed == math.inf:
            return self._closed_until
        at = max(self._closed_until, self._even) if queued else self._closed_until
        return at if len(self._sent) < self._most else max(at, self._sent[-self._most] + self._window)

    def take(self, now: float, *, queued: bool) -> None:
        """Count a request that leaves. Call `ready_at` before, with the same `queued`."""
        sent = self._sent
        if self._allowed < math.inf:
            # Spaced from when it could have left, to make up for a late timer.
            self._even = max(self.ready_at(queued=True), now - CATCH_UP) + 1 / self._allowed
            if queued and self._allowed < self._rate:
                self._grow(now)
        while len(sent) > 1 and sent[0] + self._window <= now:
            sent.popleft()
        sent.append(now)

    def answered(self, now: float, *, sent_at: float) -> None:
        """Count a response other than a refusal, to a request that left at `sent_at`."""
        self._meter.add(now)
        self._answered_at = now
        if sent_at >= self._cut_at:
            self._refusals.answered(now)
            self._backoff = 0.0

    def was_refused(self, now: float, *, sent_at: float, retry_after: float | None = None) -> None:
        """Count a refusal, perhaps because of too many requests.

        Args:
            now: When the refusal arrived.
            sent_at: When the request left.
            retry_after: The provider's `Retry-After` in seconds, if any.
        """
        self._refused += 1
        # A request that left before the last cut belongs to the burst that caused it.
        concerns_all, is_much = (True, False) if sent_at < self._cut_at else self._refusals.refused(now)
        if concerns_all and retry_after is not None:
            self._close(now, retry_after)
        if not is_much or now < self._cut_at + CUT_SPACING:
            return
        if self._refusals.in_vain >= FEW and self._cut_at > -math.inf:
            self._backoff = max(FIRST_BACKOFF, 2 * self._backoff)
            self._close(now, self._backoff)
        self._cut(now)

    def _cut(self, now: float) -> None:
        """Cut the rate (rule 3)."""
        used = self._allowed
        if used == math.inf:
            used = max(FEW, sum(at + WINDOW > now for at in self._sent))
        if self._answered_at > -math.inf:
            # Without any answer it is an outage, which says nothing about the rate.
            best = self._meter.best(max(self._answered_at, self._refusals.since))
            self._allow(min(used, max(LEAST, DEEPEST_CUT * used, CUT * best)))
        self._cut_at = self._grown_at = now
        self._refusals.forget()
        self._used = 0.0

    def _close(self, now: float, seconds: float) -> None:
        self._closed_until = max(self._closed_until, now + min(seconds, LONGEST_BACKOFF))

    def _grow(self, now: float) -> None:
        """Let the rate grow (rule 5)."""
        seconds = min(now - self._grown_at, 1.0)
        self._grown_at = now
        self._used += seconds
        growth = GROWTH if self._used < SETTLED else FAST_GROWTH
        self._allow(min(self._rate, self._allowed * (1 + growth * seconds)))

    def _allow(self, rate: float) -> None:
        """Set the current rate: at most `_most` requests within `_window` seconds (rule 1)."""
        self._allowed = rate
        self._most = max(1, math.floor(rate)) if rate < math.inf else sys.maxsize
        self._window = WINDOW / min(1.0, rate)


def _agreed(rate: float | None) -> float:
    return math.inf if rate is None else positive("rate", rate)
