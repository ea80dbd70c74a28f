"""A timeout that tells a late timer from a late answer.

A debugger, a paused machine or somebody's blocking call can stop the event loop for a long time. When it comes back,
its timers are overdue, and what has arrived meanwhile still lies in the socket. That is read before anything is given
up.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["GRACE", "LATE", "PatientTimeout"]

#: Seconds by which a timer is late where the event loop was blocked and not merely busy.
LATE = 0.25
#: Seconds in which what lies in the socket can be read, TLS and inflation included.
GRACE = 1.0


class PatientTimeout:
    """An `asyncio.timeout_at` that waits a moment longer if the event loop was blocked when it ran out.

    An async context manager; raises `TimeoutError` as that one does.

    Args:
        when: The loop's time at which it runs out; None: never.
    """

    __slots__ = ("_handle", "_over", "_timeout", "_when")

    def __init__(self, when: float | None) -> None:
        self._when = when
        self._timeout = asyncio.timeout(None)
        self._handle: asyncio.TimerHandle | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._timeout.__aenter__()
        self.reschedule(self._when)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; a cancellation of its own becomes `TimeoutError`."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        await self._timeout.__aexit__(kind, error, traceback)

    def reschedule(self, when: float | None) -> None:
        """Run out at another time.

        Raises:
            RuntimeError: It has run out.
        """
        if self._over:
            raise RuntimeError("the timeout has run out")
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if when is not None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_at(when, self._run_out, when)

    def _run_out(self, when: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - when > LATE:
            self.reschedule(now + GRACE)
        else:
            self._handle, self._over = None, True
            self._timeout.reschedule(now)
