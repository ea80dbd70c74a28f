"""The two clocks: one for waiting, one for timestamps that others read.

Intervals and deadlines run on the event loop's monotonic clock, so a test on a virtual loop controls them and no clock
has to be passed around. Wall-clock time appears only in JWTs, HTTP dates and resume tokens.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from attrs import frozen

__all__ = ["Clock", "SharedFloat", "seconds_suspended"]


def seconds_suspended() -> float:
    """Seconds that the event loop's clock misses: on Linux it stops while the machine sleeps; the provider's does not.

    0 on systems without `CLOCK_BOOTTIME`.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class SharedFloat:
    """Interns a number that hardly changes, to save memory: a hundred thousand pending logins hold it.

    Args:
        within: Largest difference between the returned and the given number.
    """

    __slots__ = ("_value", "_within")

    def __init__(self, within: float) -> None:
        self._within = within
        self._value = math.inf

    def of(self, value: float) -> float:
        """Return the number, or the previous one if that is near enough."""
        if not abs(value - self._value) <= self._within:
            self._value = value
        return self._value


@frozen
class Clock:
    """Reads the time.

    Attributes:
        wall: Seconds since the epoch; replaced in tests.
        suspended: Seconds this machine has slept since boot, where the system reports it; replaced in tests.
    """

    wall: Callable[[], float] = time.time
    suspended: Callable[[], float] = seconds_suspended

    def monotonic(self) -> float:
        """Seconds on the running event loop's clock; only differences are meaningful."""
        return asyncio.get_running_loop().time()
