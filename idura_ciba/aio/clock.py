"""The two clocks: one for waiting, one for what others can read.

Intervals and deadlines run on the event loop's monotonic clock, so a test that runs on a virtual loop controls them
and nothing has to be passed around. Wall-clock time appears only in JWTs, HTTP dates and resume tokens.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from attrs import frozen

__all__ = ["Clock", "SharedFloat", "seconds_suspended"]


def seconds_suspended() -> float:
    """What the loop's clock leaves out: on Linux it stands still while the machine sleeps, and no provider's does."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class SharedFloat:
    """A number that hardly changes, as one object for all who keep it: a hundred thousand pending logins do.

    Args:
        within: How far it may be from what was given.
    """

    __slots__ = ("_value", "_within")

    def __init__(self, within: float) -> None:
        self._within = within
        self._value = math.inf

    def of(self, value: float) -> float:
        """The number, or one that was given before and is near enough."""
        if not abs(value - self._value) <= self._within:
            self._value = value
        return self._value


@frozen
class Clock:
    """Reads the time.

    Attributes:
        wall: Seconds since the epoch; replaced in tests.
        suspended: Seconds for which this machine has slept since it started, as far as it tells; replaced in tests.
    """

    wall: Callable[[], float] = time.time
    suspended: Callable[[], float] = seconds_suspended

    def monotonic(self) -> float:
        """Seconds on the running loop's clock; only differences mean anything."""
        return asyncio.get_running_loop().time()
