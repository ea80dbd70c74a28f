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
6. Several budgets that send to one provider tell each other what they learn, as a `Throttle`. Cuts are numbered: one
   that cuts by itself takes the next number, and one that knows a lower number takes the cut over. So each is cut once
   for a burst, whoever was refused. Until all have heard of a cut, refusals say nothing: some still send too much. A
   budget that gets no answer at all keeps that to itself: its own line may be what is broken. Once it is answered
   again it catches up with the others.

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

from attrs import frozen

from idura_ciba.options import positive
from idura_ciba.scheduling.meter import Meter

__all__ = ["Budget", "Throttle"]

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
#: `TELLING` and `SPARE` for one of several budgets, at a rate that has grown back so far since the last cut that it is
#: nearly the one refused then. Each sees only its part of the refusals, but there they are no accident; nor do they
#: count towards the usual share, which would grow with the rate. Unless that share is `ACCIDENTS` already. Tried with
#: three budgets and providers that count over 1 s and 10 s, refused requests included or not: at two thirds of the
#: agreed rate at most 3 % are refused, and 7 % of accidents starve nobody.
EXPECTED_TELLING = 0.03
EXPECTED_SPARE = 1
REGROWN = 1.08
ACCIDENTS = 0.03
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
#: The same for several budgets together: what goes too far is noticed by fewer, and cut a second later.
SHARED_GROWTH = 0.015
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
#: Seconds by which a `Retry-After` must exceed what others were told, to be told at once: each refusal names another.
WORTH_TELLING = 1.0


@frozen
class Throttle:
    """What one budget has learned from refusals, for others that send to the same provider.

    Attributes:
        cuts: The number of its last cut; 0 before the first.
        part: The current rate as a part of the agreed one, above 0 and up to 1; None if none was agreed.
        allowed: The current rate in requests per second; infinite without a limit.
        closed: Seconds for which nothing may leave, as the provider has told this one.
    """

    cuts: int = 0
    part: float | None = None
    allowed: float = math.inf
    closed: float = 0.0


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

    def answered(self, now: float, *, expected: bool) -> None:
        """Count an answer; `expected` if a refusal would have been no surprise."""
        self._came_back.append((now, False))
        if not expected or self._usual >= ACCIDENTS:
            self._usual -= self._usual / USUAL
        self.in_vain = 0
        self.since = math.inf

    def refused(self, now: float, *, expected: bool) -> tuple[bool, bool]:
        """Count a refusal; return whether refusals concern all requests, and whether to cut the rate.

        One that was to be expected at this rate is no accident, so that it takes fewer of them.
        """
        expected = expected and self._usual < ACCIDENTS
        telling = min(MOST_TELLING, (EXPECTED_TELLING if expected else TELLING) + 2 * self._usual)
        if not self.in_vain:
            # A run of refusals counts once towards the usual share: it is no accident.
            self.since = now
            if not expected:
                self._usual += (1 - self._usual) / USUAL
        self.in_vain += 1
        came_back = self._came_back
        came_back.append((now, True))
        while came_back[0][0] <= now - MEMORY:
            came_back.popleft()
        excess = sum(refused for _, refused in came_back) - telling * len(came_back)
        spare = EXPECTED_SPARE if expected else SPARE
        return excess >= 0, excess >= spare or (excess >= 0 and self.in_vain >= RUN)


class Budget:
    """The rate limit: says when the next request may leave.

    Args:
        rate: Most requests in any second; fractions are rounded down, and a rate below 1 spaces requests `1 / rate`
            seconds apart. None: no limit until the provider refuses requests.

    Raises:
        UsageError: The rate is not a positive finite number.
    """

    __slots__ = (
        "_allowed", "_answered_at", "_backoff", "_closed_until", "_cut_at", "_cuts", "_deaf_until", "_even",
        "_grown_at", "_is_full", "_least", "_meter", "_most", "_rate", "_refusals", "_refused", "_sent", "_spread",
        "_told_until", "_used", "_window",
    )  # fmt: skip

    def __init__(self, rate: float | None = None) -> None:
        self._rate = _agreed(rate)
        self._allow(self._rate)
        self._refused = 0
        self._cuts = 0
        # The rate after the last cut, and whether the last request had to wait.
        self._least = math.inf
        self._is_full = False
        # Seconds until others have heard of a cut; 0 for a budget alone.
        self._spread = 0.0
        self.restart()

    def restart(self) -> None:
        """Forget all instants, which belong to another clock; the learned rate stays."""
        # When the requests of the last window left (rule 1).
        self._sent = deque[float]()
        # When the next request leaves if all are evenly spaced.
        self._even = -math.inf
        self._closed_until = -math.inf
        # What the provider has told this budget of that, as far as others have heard of it.
        self._told_until = -math.inf
        self._cut_at = -math.inf
        # Whatever left before says nothing about the rate (rule 6).
        self._deaf_until = -math.inf
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

    def change(self, rate: float | None, *, in_part: bool = False) -> None:
        """Agree on another rate from now on; what left in the last second counts (rule 1).

        A rate that was learned from refusals stays where it is lower, and grows as far as the new one allows (rule 5).

        Args:
            rate: The new rate.
            in_part: Whether the learned rate changes in proportion instead: it is a share of what several are allowed.

        Raises:
            UsageError: The rate is not a positive finite number. Nothing has changed.
        """
        agreed, part, before = _agreed(rate), self._part() if in_part else None, self._allowed
        is_learned, self._rate = self._allowed < self._rate, agreed
        if part is not None and agreed < math.inf:
            self._allow(agreed * part)
            self._least *= self._allowed / before
        else:
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
        self._is_full = queued
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
        if sent_at >= self._deaf_until:
            self._refusals.answered(now, expected=self._spread > 0 and self._is_expected())
            self._backoff = 0.0

    def was_refused(self, now: float, *, sent_at: float, retry_after: float | None = None) -> bool:
        """Count a refusal, perhaps because of too many requests.

        Args:
            now: When the refusal arrived.
            sent_at: When the request left.
            retry_after: The provider's `Retry-After` in seconds, if any.

        Returns:
            Whether others should hear of it at once (rule 6).
        """
        self._refused += 1
        is_news = False
        # A request that left before the last cut belongs to the burst that caused it.
        concerns_all, is_much = (
            (True, False)
            if sent_at < self._deaf_until
            else self._refusals.refused(now, expected=self._spread > 0 and self._is_expected())
        )
        if concerns_all and retry_after is not None:
            self._close(now, retry_after)
            if is_news := now + min(retry_after, LONGEST_BACKOFF) > max(now, self._told_until) + WORTH_TELLING:
                self._told_until = now + min(retry_after, LONGEST_BACKOFF)
        if not is_much or now < self._cut_at + CUT_SPACING:
            return is_news
        if self._refusals.in_vain >= FEW and self._cut_at > -math.inf:
            self._backoff = max(FIRST_BACKOFF, 2 * self._backoff)
            self._close(now, self._backoff)
        is_answered = self._answered_at > self._cut_at
        self._cut(now)
        if is_answered:
            self._cuts += 1
            self._deaf_until = now + self._spread
        return is_news or is_answered

    # --- several budgets --------------------------------------------------------------------------------------------

    def share(self, *, within: float) -> None:
        """From now on others hear of each cut within so many seconds, and take it over (rule 6)."""
        self._spread = within

    def throttle(self, now: float) -> Throttle:
        """What others should know (rule 6)."""
        return Throttle(self._cuts, self._part(), self._allowed, max(0.0, self._told_until - now))

    def take_over(self, now: float, throttle: Throttle) -> None:
        """Take over what others have learned, as far as it is news (rule 6).

        Where a rate was agreed, the same part of it is allowed. Otherwise each is cut to what was answered to itself,
        as if the refusals had been its own; one that has had no answers yet takes over the others' rate.
        """
        self._close(now, throttle.closed)
        if throttle.cuts == self._cuts and throttle.part is not None:
            self._catch_up(throttle.part)
        if throttle.cuts <= self._cuts:
            return
        self._cuts = throttle.cuts
        if throttle.part is not None and self._rate < math.inf:
            self._allow(min(self._allowed, throttle.part * self._rate))
            self._begin_anew(now)
        elif self._answered_at > -math.inf:
            # Others' refusals leave it a few, so that one that has sent little is not starved by those that send much.
            few = min(self._allowed, DEEPEST_CUT * FEW)
            self._cut(now)
            self._allow(max(self._allowed, few))
        else:
            self._allow(min(self._allowed, throttle.allowed, self._rate))
            self._begin_anew(now)
        self._deaf_until = now + self._spread

    def _catch_up(self, part: float) -> None:
        """Others are allowed more since the same cut. Whoever got no answer for a while need not grow back alone."""
        if self._answered_at > self._cut_at and not self._refusals.in_vain and self._rate < math.inf:
            self._allow(max(self._allowed, CUT * part * self._rate))

    def _is_expected(self) -> bool:
        """Whether refusals would be no surprise: so many requests leave that they were refused before."""
        return self._is_full and self._allowed >= REGROWN * self._least

    def _part(self) -> float | None:
        return None if self._rate == math.inf else self._allowed / self._rate

    # --- inside -----------------------------------------------------------------------------------------------------

    def _cut(self, now: float) -> None:
        """Cut the rate (rule 3)."""
        used = self._allowed
        if used == math.inf:
            used = max(FEW, sum(at + WINDOW > now for at in self._sent))
        if self._answered_at > -math.inf:
            # Without any answer it is an outage, which says nothing about the rate.
            began = self._refusals.since if self._refusals.in_vain else self._answered_at
            best = self._meter.best(max(self._answered_at, began))
            self._allow(min(used, max(LEAST, DEEPEST_CUT * used, CUT * best)))
        self._begin_anew(now)

    def _begin_anew(self, now: float) -> None:
        """After a cut."""
        self._cut_at = self._deaf_until = self._grown_at = now
        self._least = self._allowed
        self._refusals.forget()
        self._used = 0.0

    def _close(self, now: float, seconds: float) -> None:
        self._closed_until = max(self._closed_until, now + min(seconds, LONGEST_BACKOFF))

    def _grow(self, now: float) -> None:
        """Let the rate grow (rule 5)."""
        seconds = min(now - self._grown_at, 1.0)
        self._grown_at = now
        self._used += seconds
        fast = SHARED_GROWTH if self._spread else FAST_GROWTH
        growth = GROWTH if self._used < SETTLED else fast
        self._allow(min(self._rate, self._allowed * (1 + growth * seconds)))

    def _allow(self, rate: float) -> None:
        """Set the current rate: at most `_most` requests within `_window` seconds (rule 1)."""
        self._allowed = rate
        self._most = max(1, math.floor(rate)) if rate < math.inf else sys.maxsize
        self._window = WINDOW / min(1.0, rate)


def _agreed(rate: float | None) -> float:
    return math.inf if rate is None else positive("rate", rate)
