"""One run of some work, shared by all who wait for it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, TypeVar

from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import CibaError, StateError

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs `work` at most once at a time; callers that come meanwhile share its result or error.

    Cancelling one waiter does not cancel the work for the others, and each waiter gets its own copy of an error. The
    work runs in an empty context: it is done for all, and not in the name of whoever came first.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> asyncio.Task[T]:
        """Start the work unless it is running, without waiting for it."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), context=Context())
            # If it fails after all waiters have gone, asyncio would log an exception that was never retrieved.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception(), context=Context())
        return self._task

    async def run(self) -> T:
        """Wait for the running work, or start it.

        Raises:
            StateError: `aclose` cancelled the work.
            CibaError: Whatever the work raised.
        """
        failure: CibaError
        try:
            return await asyncio.shield(self.begin())
        except CibaError as error:
            # One waiter's transaction may add a trace id or resume token, which must not show up in another's error.
            failure = copy.copy(error)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            failure = StateError("the client is closed", code="closed", advice="create a new client")
        raise failure

    async def aclose(self) -> None:
        """Cancel the running work; its waiters get a `StateError`."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
