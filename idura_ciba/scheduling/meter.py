"""How many events there were in each of the last seconds. Instants are arguments, as in `budget`."""

from __future__ import annotations

import math

__all__ = ["Meter"]


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
