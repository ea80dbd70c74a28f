"""One piece of work, however many wait for it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import CibaError, UsageError

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs `work` at most once at a time; whoever asks meanwhile gets the same result or error.

    A waiter that is cancelled does not cancel the work for the others, and each one gets an error of its own.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> asyncio.Task[T]:
        """Begin the work unless it is under way, and do not wait for it."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())
            # All waiters may be gone when it fails; asyncio would complain of an exception nobody retrieved.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._task

    async def run(self) -> T:
        """Join the work under way, or begin it.

        Raises:
            UsageError: `aclose` stopped the work.
            CibaError: Whatever the work raised.
        """
        failure: CibaError
        try:
            return await asyncio.shield(self.begin())
        except CibaError as error:
            # A trace id or resume token that one waiter's transaction adds must not turn up in another's.
            failure = copy.copy(error)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            failure = UsageError("the client is closed", code="closed", advice="create a new client")
        raise failure

    async def aclose(self) -> None:
        """Stop the work under way; whoever waits for it gets an error."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
