"""The two clocks: one for waiting, one for what others can read.

Intervals and deadlines run on the event loop's monotonic clock, so a test that runs on a virtual loop controls them
and nothing has to be passed around. Wall-clock time appears only in JWTs, HTTP dates and resume tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from attrs import frozen

__all__ = ["Clock"]


@frozen
class Clock:
    """Reads the time.

    Attributes:
        wall: Seconds since the epoch; replaced in tests.
    """

    wall: Callable[[], float] = time.time

    def monotonic(self) -> float:
        """Seconds on the running loop's clock; only differences mean anything."""
        return asyncio.get_running_loop().time()
