"""A timeout that tells a late timer from a late answer.

A debugger, a suspended machine or a blocking call can stop the event loop for a long time. Afterwards its timers are
overdue while an answer that arrived in the meantime is still unread in the socket. It is read before the timeout fires.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["GRACE", "LATE", "TURNS", "PatientTimeout"]

#: Seconds by which a timer is late if the event loop was blocked and not merely busy.
LATE = 0.25
#: Seconds allowed for reading what is in the socket, TLS and inflation included.
GRACE = 1.0
#: Turns of the event loop allowed for the same in any case: a blocked loop may go on just when the timer is due.
TURNS = 16


class PatientTimeout:
    """A timeout that waits 1 s longer if the event loop was blocked when it expired.

    A context manager, for `with` in a task. As `asyncio.timeout_at` does, it cancels what the task awaits and raises
    `TimeoutError`, and a cancellation by somebody else stays one. It costs half of that, and each poll has one.

    Args:
        when: The loop's time at which it expires; None: never.

    Attributes:
        over: Whether it has expired. The task may still run for some turns of the loop, to read what has arrived.
    """

    __slots__ = ("_cancelled", "_cancelling", "_handle", "_loop", "_task", "_when", "over")

    def __init__(self, when: float | None) -> None:
        self._when = when
        self.over: bool = False
        self._cancelled = False
        self._handle: asyncio.Handle | None = None

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            RuntimeError: Not in a task.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a timeout needs a task")
        self._task, self._cancelling = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self.reschedule(self._when)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; a cancellation of its own becomes `TimeoutError`."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        # As in `asyncio.Timeout`: more cancellations than its own are somebody else's.
        if self._cancelled and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def reschedule(self, when: float | None) -> None:
        """Expire at another time.

        Raises:
            RuntimeError: It has expired.
        """
        if self.over:
            raise RuntimeError("the timeout has expired")
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if when is not None:
            self._handle = self._loop.call_at(when, self._run_out, when)

    def _run_out(self, when: float) -> None:
        now = self._loop.time()
        self._handle = None
        if now - when > LATE:
            self.reschedule(now + GRACE)
        else:
            self.over = True
            self._turn(TURNS)

    def _turn(self, left: int) -> None:
        if left:
            self._handle = self._loop.call_soon(self._turn, left - 1)
        else:
            self._handle, self._cancelled = None, True
            self._task.cancel()
