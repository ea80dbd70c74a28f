"""When the event loop last ran.

An answer that is read late is not a late answer: while the loop was blocked it lay in the socket, and what it says is
as old as that. Without this, a provider that holds polls could not be told from a loop that was blocked meanwhile.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from types import TracebackType
from typing import Self

from idura_ciba.aio.patience import LATE, TURNS

__all__ = ["BEAT", "Pulse"]

#: Seconds between two looks. Most polls are over before the first.
BEAT = 1.0


class Pulse:
    """Notes that the event loop runs, as long as anything is awaited within it: a context manager, shared by many."""

    __slots__ = ("_at", "_awaited", "_handle")

    def __init__(self) -> None:
        self._at = 0.0
        self._awaited = 0
        self._handle: asyncio.Handle | None = None

    def __enter__(self) -> Self:
        """Something more is awaited."""
        self._awaited += 1
        if self._handle is None:
            self._at = asyncio.get_running_loop().time()
            self._wait(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Something less is."""
        self._awaited -= 1
        if not self._awaited and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def arrived(self, sent_at: float, read_at: float) -> float:
        """When the answer to something that was sent, and has just been read, had arrived at the earliest.

        To be asked before leaving; right within a beat.
        """
        if asyncio.get_running_loop().time() - self._at <= BEAT + LATE:
            return read_at
        return max(sent_at, min(read_at, self._at + BEAT))

    def _beat(self, due_at: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - due_at <= LATE:
            self._at = now
            self._wait(0)
        else:
            # The loop was blocked. What is read in the next turns may be as old as that.
            self._wait(TURNS)

    def _wait(self, turns: int) -> None:
        """For some turns, in which the loop may be blocked again, and then for the next beat."""
        loop = asyncio.get_running_loop()
        if turns:
            self._handle = loop.call_soon(self._wait, turns - 1, context=Context())
        else:
            due_at = loop.time() + BEAT
            self._handle = loop.call_at(due_at, self._beat, due_at, context=Context())
