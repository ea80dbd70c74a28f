"""The tasks of one fleet: kept until they end, so that none is forgotten; a bug in one is told without its frames."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextvars import Context
from typing import Any, TypeVar

from idura_ciba.errors import CibaError

__all__ = ["Tasks"]

T = TypeVar("T")

_logger = logging.getLogger("idura_ciba")


class Tasks:
    """Tasks that run until they end or are stopped."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        """Those that run."""
        return iter(tuple(self._tasks))

    def spawn(self, work: Coroutine[Any, Any, T], *, for_all: bool = False) -> asyncio.Task[T]:
        """Begin one; what is done for all logins has no context variables, because it is nobody's."""
        task = asyncio.get_running_loop().create_task(work, context=Context() if for_all else None)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report)
        return task

    async def stop(self) -> None:
        """Cancel all, and wait until they have ended."""
        running = list(self)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _report(task: asyncio.Task[Any]) -> None:
    """Not a traceback: its frames are not ours to print."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, CibaError):
        _logger.error("a bug in the fleet, please report it: %s", type(error).__name__)
