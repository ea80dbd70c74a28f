"""The event loop that something belongs to: the one in which it was first used, which owns its timers."""

from __future__ import annotations

import asyncio

__all__ = ["Home"]


class Home:
    """Remembers the first event loop that asks."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_here(self) -> bool:
        """Whether this is that loop; the first one that asks becomes it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False  # in another thread, or after the loop has stopped
        self._loop = self._loop or loop
        return self._loop is loop

    def is_running(self) -> bool:
        """Whether it runs, here or elsewhere."""
        return self._loop is not None and self._loop.is_running()
