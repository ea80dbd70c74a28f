"""The order in which due jobs are served when not all can be. There is no clock in here.

`FifoQueue` is round robin, except that urgent jobs go first: an answer that they do not fetch now is lost. `IndexQueue`
is a cheap form of the priority index for restless bandits under a common budget (Whittle 1988):

1. Each job says from which instant serving it is worth a price, in expected seconds of unseen waiting. That instant is
   its key; the smallest key is served first. So polls go where an answer is likely to have been waiting.
2. The price follows the load. If the smallest key is in the past, more jobs are worth serving than can be served, and
   the price rises; if it is in the future, the price falls. It changes at most by a factor of e in the time in which
   every job is served once; any faster and it oscillates.
3. With a guard, a due job goes first once it has not been served for `guard` rounds of round robin.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable
from typing import Any

from idura_ciba.scheduling.jobs import Entry, context_of

__all__ = ["SMALL", "FifoQueue", "IndexQueue"]

_logger = logging.getLogger("idura_ciba")

#: Heaps up to this size are not cleared of stale entries.
SMALL = 64
#: Seconds of expected unseen waiting: the upper bound of the price.
HIGHEST_PRICE = 60.0
#: Least seconds assumed for serving every job once.
LEAST_CYCLE = 1.0


class FifoQueue:
    """First come, first served, except that urgent jobs go first. Call `discard` after taking an entry's job."""

    #: Expected seconds of unseen waiting that make a poll worth serving; None where that does not matter.
    price: float | None = None

    def __init__(self) -> None:
        self._order = deque[Entry]()
        self._live = 0
        self._numbers = itertools.count()
        # Due, and not ranked yet.
        self._fresh: list[Entry] = []
        self._by_urgency: list[tuple[float, int, Entry]] = []
        self._complained = False

    def __len__(self) -> int:
        """How many are due."""
        return self._live

    def push(self, entry: Entry) -> None:
        """Add a due entry; entries come in the order of their instants."""
        entry.is_due = True
        self._order.append(entry)
        self._fresh.append(entry)
        self._live += 1

    def first(self) -> Entry | None:
        """The entry that has been due longest."""
        order = self._order
        while order and order[0].job is None:
            order.popleft()
        return order[0] if order else None

    def choose(self, now: float, *, pending: int, throughput: float) -> Entry | None:
        """The entry to serve now; None if none is due.

        Args:
            now: The current instant.
            pending: Number of jobs, due or not.
            throughput: Jobs served per second.
        """
        del pending, throughput
        return self._most_urgent(now) or self.first()

    def discard(self) -> None:
        """Count out one due entry that has lost its job."""
        self._live -= 1
        if self._is_stale(len(self._order)):
            self._order = deque(entry for entry in self._order if entry.job is not None)
        self._fresh = self._fresh if self._live else []
        for heap in self._heaps():
            if self._is_stale(len(heap)):
                heap[:] = [ranked for ranked in heap if ranked[2].job is not None]
                heapq.heapify(heap)

    def clear(self) -> None:
        """Remove all entries."""
        self._live = 0
        self._order.clear()
        self._fresh.clear()
        for heap in self._heaps():
            heap.clear()

    def _heaps(self) -> tuple[list[tuple[float, int, Entry]], ...]:
        return (self._by_urgency,)

    def _most_urgent(self, now: float) -> Entry | None:
        """The entry that has been urgent longest, or None."""
        if self._live <= 1:
            # Nothing to compare: the usual case while the budget is not used up.
            return None
        for entry in self._fresh:
            if entry.job is not None:
                self._rank(entry, entry.job, next(self._numbers))
        self._fresh.clear()
        urgent_at, urgent = _top(self._by_urgency)
        return urgent if urgent_at <= now else None

    def _rank(self, entry: Entry, job: Any, number: int) -> None:
        urgent_at = self._ask(lambda: getattr(job, "urgent_at", math.inf), math.inf)
        if urgent_at < math.inf:
            heapq.heappush(self._by_urgency, (urgent_at, number, entry))

    def _ask(self, question: Callable[[], Any], otherwise: float) -> float:
        """The instant that a job returns; `otherwise` if it raises or returns NaN or no number."""
        try:
            answer = float(question())
            what = "NaN"
        except (Exception, CancelledError) as error:  # noqa: BLE001 - a strategy is foreign code; others are waiting
            answer, what = math.nan, type(error).__name__
        if not math.isnan(answer):
            return answer
        if not self._complained:
            self._complained = True
            _logger.warning("due() of a job returned or raised %s: served in turn; not logged again", what)
        return otherwise

    def _is_stale(self, size: int) -> bool:
        return size > SMALL and size > 2 * self._live


class IndexQueue(FifoQueue):
    """The priority index of this module's rules.

    Args:
        guard: See rule 3; None: no guard.
        reserve: The price while all jobs can be served.
    """

    price: float

    def __init__(self, *, guard: float | None = None, reserve: float = 0.02) -> None:
        super().__init__()
        self._guard = guard
        self._reserve = self.price = reserve
        self._steered_at = math.inf
        self._by_key: list[tuple[float, int, Entry]] = []

    def choose(self, now: float, *, pending: int, throughput: float) -> Entry | None:
        """The entry to serve now: by urgency, then by the guard, then by key."""
        cycle = max(LEAST_CYCLE, pending / throughput)
        urgent = self._most_urgent(now)
        if self._live <= 1:
            self._steer(now, -cycle, cycle)
            return self.first()
        key, chosen = _top(self._by_key)
        self._steer(now, now - key, cycle)
        if urgent is not None or self._guard is None:
            return urgent or chosen
        # A round takes `pending / throughput`. For how much of it a job is not due is known only on average.
        first = self.first()
        waits = first is not None and (now - first.at) * throughput > (self._guard - 1) * pending + self._live
        return first if waits else chosen

    def _heaps(self) -> tuple[list[tuple[float, int, Entry]], ...]:
        return (*super()._heaps(), self._by_key)

    def _rank(self, entry: Entry, job: Any, number: int) -> None:
        super()._rank(entry, job, number)
        key = entry.at
        if hasattr(job, "due"):
            key = self._ask(lambda: context_of(job).run(job.due, self.price), entry.at)
        heapq.heappush(self._by_key, (key, number, entry))

    def _steer(self, now: float, lag: float, cycle: float) -> None:
        passed = max(0.0, min(now - self._steered_at, cycle))
        self._steered_at = now
        push = max(-1.0, min(lag / cycle, 1.0))
        self.price = max(self._reserve, min(self.price * math.exp(passed * push / cycle), HIGHEST_PRICE))


def _top(heap: list[tuple[float, int, Entry]]) -> tuple[float, Entry | None]:
    """The smallest entry that is not stale, with its key."""
    while heap and heap[0][2].job is None:
        heapq.heappop(heap)
    return (heap[0][0], heap[0][2]) if heap else (math.inf, None)
