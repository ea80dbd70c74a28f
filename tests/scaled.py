"""A real event loop whose clock is faster than the wall's: for what needs threads, and must not wait for real."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Mapping
from typing import Any

#: Seconds of the loop in a second of the wall.
FACTOR = 200.0


class _Scaled(selectors.BaseSelector):
    """A selector that sleeps a fraction of what it is told."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Sleep less."""
        return self._real.select(None if timeout is None else timeout / FACTOR)

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        """Watch a file."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Stop watching it."""
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What is watched."""
        return self._real.get_map()

    def close(self) -> None:
        """Release it."""
        self._real.close()


class ScaledLoop(asyncio.SelectorEventLoop):
    """Two minutes of it take half a second."""

    def __init__(self) -> None:
        super().__init__(_Scaled())
        self._began_at = time.monotonic()

    def time(self) -> float:
        """Seconds since it began, by its own clock."""
        return (time.monotonic() - self._began_at) * FACTOR
