"""A real event loop whose clock is faster than the wall's: for what needs threads, and must not wait for real."""

from __future__ import annotations

import asyncio
import selectors
import time

#: Seconds of the loop in a second of the wall.
FACTOR = 200.0


class _Scaled(selectors.DefaultSelector):
    """A selector that sleeps a fraction of what it is told."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Sleep less."""
        return super().select(None if timeout is None else timeout / FACTOR)


class ScaledLoop(asyncio.SelectorEventLoop):
    """Two minutes of it take half a second."""

    def __init__(self) -> None:
        super().__init__(_Scaled())
        self._began_at = time.monotonic()

    def time(self) -> float:
        """Seconds since it began, by its own clock."""
        return (time.monotonic() - self._began_at) * FACTOR
