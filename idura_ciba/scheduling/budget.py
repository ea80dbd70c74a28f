"""How many requests may leave: by the number that was agreed, and by what the provider's refusals teach.

Rules:
1. In no second leave more requests than `rate` allows. Whoever stays below it is never held back, however unevenly the
   requests come; those that had to wait leave evenly spaced, because a provider may count in shorter stretches than we.
2. Refusals (429, 503) concern all requests once they are a tenth of what comes back, beyond what is usual. Fewer are
   about one login, or an accident of one of the provider's machines: only whose request it was waits, as its own rules
   say. Otherwise one person's 429 would stop thousands, and where one request in thirty fails for another reason, ever
   fewer requests would leave.
3. Such refusals cut the rate: down to `CUT` times what was answered before them, at most by half, and at most once a
   second. A request that left before the last cut says nothing about it. A `Retry-After` among them stops all requests
   for so long.
4. Nothing answered since the last cut, and refusals only: exponential backoff. Nothing leaves for a second, then for
   two, four and so on, until something is answered.
5. The rate grows back by `GROWTH` a second, and faster once that has been going well for a while. Only seconds in which
   somebody waits count: a rate that nobody used was not tried out.

The numbers of rule 3 and 5 belong together. Many providers count over ten seconds: when a rate that grows by 1 % a
second is refused, it stands 5 % above the limit, and the places that come free are those of ten seconds ago, 5 % below
it. A cut to 0.9 is below both, so one is enough, and on the way from there to the limit 95 % of it are used. A half
instead would use 75 %.

There is no clock in here: every instant is an argument, in monotonic seconds.
"""

from __future__ import annotations

import math
import sys
from collections import deque

from idura_ciba.options import positive

__all__ = ["Budget", "Meter"]

#: The seconds over which rule 1 counts.
WINDOW = 1.0
#: What comes back: over so many seconds, and at most so many answers and refusals.
MEMORY = 10.0
MOST_REMEMBERED = 50
#: Of what came back, refusals that are more than accidents; in addition to twice the usual share, but never more than
#: half. A cut needs `SPARE` more than that, because few are soon a tenth of few, or a `RUN` of them without an answer.
TELLING = 0.1
MOST_TELLING = 0.5
SPARE = 2
RUN = 4
#: What is usual forgets after so many answers and refusals.
USUAL = 300
#: The rate after a cut, as a share of what was being answered.
CUT = 0.9
#: A cut takes no more than this share away: lately may have been a quiet time.
DEEPEST_CUT = 0.5
#: Seconds between two cuts at least; a second's answers are the least from which to tell a rate.
CUT_SPACING = 1.0
#: Growth of the rate each second in which it is used up.
GROWTH = 0.01
#: The same after `SETTLED` such seconds without a refusal. Near its limit a rate is refused every 16.
FAST_GROWTH = 0.10
SETTLED = 20.0
#: No refusals make the rate lower than this: one request in ten seconds.
LEAST = 0.1
#: A client that sent fewer requests in a second than this was not refused for their number. Nor do all back off where
#: fewer were refused in a row: each transaction does so by itself.
FEW = 10
#: Seconds of backoff at first, and at most; also the most that a `Retry-After` can stop all requests.
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 60.0
#: Those who wait may leave this much closer together than evenly: a timer of a busy loop is late.
CATCH_UP = 0.05


class Meter:
    """Counts events by the second, over the last ten."""

    __slots__ = ("_counts", "_second", "_since", "_total")

    #: Whole seconds that are remembered, beside the one that is running.
    SECONDS = 10

    def __init__(self) -> None:
        self._counts = [0] * (self.SECONDS + 1)
        self._total = 0
        self._second: int | None = None
        self._since = math.inf

    def add(self, now: float) -> None:
        """Something has happened."""
        second = math.floor(now)
        if second != self._second:
            self._turn(second)
        self._counts[second % len(self._counts)] += 1
        self._total += 1
        self._since = min(self._since, now)

    def rate(self, now: float) -> float:
        """Events a second, over the last ten or since the first; at least a second, for no number jumps so high."""
        if math.floor(now) != self._second:
            self._turn(math.floor(now))
        return self._total / min(self.SECONDS + now % 1.0, max(1.0, now - self._since))

    def best(self, now: float) -> float:
        """Events a second over whichever of the last 1, 2, ... 10 seconds up to now makes the most of them."""
        self._turn(math.floor(now))
        part, second, lived = now % 1.0, math.floor(now), max(1.0, now - self._since)
        total = self._counts[second % len(self._counts)]
        best = 0.0
        for back in range(1, self.SECONDS + 1):
            total += self._counts[(second - back) % len(self._counts)]
            best = max(best, total / min(back + part, lived))
        return best

    def _turn(self, second: int) -> None:
        """Clear the places of seconds in which nothing happened."""
        if self._second is None:
            self._second = second
        for passed in range(self._second + 1, min(second, self._second + len(self._counts)) + 1):
            place = passed % len(self._counts)
            self._total -= self._counts[place]
            self._counts[place] = 0
        self._second = max(self._second, second)


class Refusals:
    """What came back since the last cut, and whether the refusals in it concern all requests.

    Attributes:
        in_vain: How many since the last answer.
        since: When the first of those came; infinite where there is none.
    """

    __slots__ = ("_came_back", "_usual", "in_vain", "since")

    def __init__(self) -> None:
        self._came_back = deque[tuple[float, bool]](maxlen=MOST_REMEMBERED)
        self._usual = 0.0
        self.forget()

    def forget(self) -> None:
        """The rate was cut: what came back before says nothing about it. What is usual stays."""
        self._came_back.clear()
        self.in_vain: int = 0
        self.since: float = math.inf

    def answered(self, now: float) -> None:
        """A request was answered."""
        self._came_back.append((now, False))
        self._usual -= self._usual / USUAL
        self.in_vain = 0
        self.since = math.inf

    def refused(self, now: float) -> tuple[bool, bool]:
        """A request was refused. Says whether that concerns all, and whether it calls for a cut."""
        telling = min(MOST_TELLING, TELLING + 2 * self._usual)
        if not self.in_vain:
            # A run of them counts once: it is no accident.
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
    """Says when the next request may leave.

    Args:
        rate: Requests in any second at most; a fraction is rounded down, one below 1 says how far they are apart. None:
            as many as come, until the provider refuses some.

    Raises:
        UsageError: The rate is not a positive finite number.
    """

    __slots__ = (
        "_allowed", "_answered_at", "_backoff", "_closed_until", "_cut_at", "_even", "_grown_at", "_meter", "_most",
        "_rate", "_refusals", "_refused", "_sent", "_used", "_window",
    )  # fmt: skip

    def __init__(self, rate: float | None = None) -> None:
        self._rate = math.inf if rate is None else positive("rate", rate)
        self._allow(self._rate)
        self._refused = 0
        self.restart()

    def restart(self) -> None:
        """Forget all instants, because they are of another clock; the rate that was learned stays."""
        # When requests left, as far as rule 1 has to know.
        self._sent = deque[float]()
        # When the next one would leave if all left evenly spaced.
        self._even = -math.inf
        self._closed_until = -math.inf
        self._cut_at = -math.inf
        # Seconds since then in which somebody waited.
        self._used = 0.0
        self._grown_at = -math.inf
        self._refusals = Refusals()
        # The last one that was kept.
        self._backoff = 0.0
        self._meter = Meter()
        self._answered_at = -math.inf

    @property
    def rate(self) -> float:
        """Requests a second as agreed; infinite where nothing was."""
        return self._rate

    @property
    def allowed(self) -> float:
        """Requests a second for now; infinite until the provider has refused one."""
        return self._allowed

    @property
    def refused(self) -> int:
        """How many requests the provider has refused."""
        return self._refused

    def ready_at(self, *, queued: bool) -> float:
        """From when the next request may leave; an instant that has passed means now.

        Args:
            queued: Whether it has to wait, or others had to until now; see rule 1.
        """
        if self._allowed == math.inf:
            return self._closed_until
        at = max(self._closed_until, self._even) if queued else self._closed_until
        return at if len(self._sent) < self._most else max(at, self._sent[-self._most] + self._window)

    def take(self, now: float, *, queued: bool) -> None:
        """A request leaves. The caller has asked `ready_at` before, and `queued` says the same."""
        sent = self._sent
        if self._allowed < math.inf:
            # Spaced from when it might have left: what a timer was late is made up for.
            self._even = max(self.ready_at(queued=True), now - CATCH_UP) + 1 / self._allowed
            if queued and self._allowed < self._rate:
                self._grow(now)
        while len(sent) > 1 and sent[0] + self._window <= now:
            sent.popleft()
        sent.append(now)

    def answered(self, now: float, *, sent_at: float) -> None:
        """A request that left at `sent_at` was not refused, whatever else the provider said."""
        self._meter.add(now)
        self._answered_at = now
        if sent_at >= self._cut_at:
            self._refusals.answered(now)
            self._backoff = 0.0

    def was_refused(self, now: float, *, sent_at: float, retry_after: float | None = None) -> None:
        """A request that left at `sent_at` was refused, perhaps because there are too many.

        Args:
            now: When the refusal arrived.
            sent_at: When the request had left.
            retry_after: Seconds, where the provider named some.
        """
        self._refused += 1
        # One that left before the last cut was of the same burst as those that led to it.
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
        """Rule 3."""
        used = self._allowed
        if used == math.inf:
            used = max(FEW, sum(at + WINDOW > now for at in self._sent))
        if self._answered_at > -math.inf:
            # Otherwise nothing was answered at all: that is an outage and tells nothing about numbers.
            best = self._meter.best(max(self._answered_at, self._refusals.since))
            self._allow(min(used, max(LEAST, DEEPEST_CUT * used, CUT * best)))
        self._cut_at = self._grown_at = now
        self._refusals.forget()
        self._used = 0.0

    def _close(self, now: float, seconds: float) -> None:
        self._closed_until = max(self._closed_until, now + min(seconds, LONGEST_BACKOFF))

    def _grow(self, now: float) -> None:
        """Rule 5."""
        seconds = min(now - self._grown_at, 1.0)
        self._grown_at = now
        self._used += seconds
        growth = GROWTH if self._used < SETTLED else FAST_GROWTH
        self._allow(min(self._rate, self._allowed * (1 + growth * seconds)))

    def _allow(self, rate: float) -> None:
        """So many requests a second; by rule 1 that is `_most` within `_window` seconds."""
        self._allowed = rate
        self._most = max(1, math.floor(rate)) if rate < math.inf else sys.maxsize
        self._window = WINDOW / min(1.0, rate)
