"""A timeout that tells a late timer from a late answer.

A debugger, a suspended machine or a blocking call can stop the event loop for a long time. Afterwards its timers are
overdue while an answer that arrived in the meantime is still unread in the socket. It is read before the timeout fires.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["GRACE", "LATE", "PatientTimeout"]

#: Seconds by which a timer is late if the event loop was blocked and not merely busy.
LATE = 0.25
#: Seconds allowed for reading what is in the socket, TLS and inflation included.
GRACE = 1.0


class PatientTimeout:
    """An `asyncio.timeout_at` that waits 1 s longer if the event loop was blocked when it expired.

    An async context manager; raises `TimeoutError` as `timeout_at` does.

    Args:
        when: The loop's time at which it expires; None: never.
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
        """Expire at another time.

        Raises:
            RuntimeError: It has expired.
        """
        if self._over:
            raise RuntimeError("the timeout has expired")
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
