"""An event loop in a thread of its own, for programs that have none.

Calls come from any thread and wait for their results. The thread is a daemon, begins with the first call, and ends with
`stop`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from idura_ciba.errors import StateError

__all__ = ["Portal"]

T = TypeVar("T")


class Portal:
    """Runs coroutines on one event loop in a thread.

    Args:
        name: Name of the thread.
        new_loop: Makes the event loop; replaced in tests.
    """

    def __init__(self, name: str, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self._name = name
        self._new_loop = new_loop
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0
        self._stopped = False

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], *, timeout: float | None = None) -> T:
        """Run a coroutine in the thread, in the context variables of the caller, and wait for its result.

        If waiting ends otherwise, by Ctrl-C for example, the coroutine is cancelled. After `stop`, the caller's thread
        does what need not wait.

        Args:
            work: Makes the coroutine; called in the thread.
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: They are over.
            StateError: The portal was stopped and the work would wait; or it belongs to the process that this one was
                forked from, or is called from its own thread, which would wait for itself.
            Exception: Whatever the coroutine raises.
        """
        if self._stopped:
            return _at_once(work)
        loop = self._running()
        # The callback that begins the task is made here, and with it the copy of the caller's context.
        future = asyncio.run_coroutine_threadsafe(_begin(work), loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def ask(self, read: Callable[[], T]) -> T:
        """Read something in the thread, so that it does not change meanwhile; here after `stop`, when nothing changes.

        Raises:
            StateError: As for `call`.
        """

        async def reading() -> T:
            return read()

        return read() if self._stopped or self._loop is None else self.call(reading)

    def stop(self) -> None:
        """Stop the thread; calling this again does nothing."""
        with self._lock:
            self._stopped = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or self._process != os.getpid():
            return
        loop.call_soon_threadsafe(loop.stop)
        if threading.current_thread() is not thread:
            thread.join()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None:
                self._loop, self._process = self._new_loop(), os.getpid()
                self._thread = threading.Thread(target=self._serve, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            elif self._process != os.getpid():
                raise StateError(
                    "the client was used before this process was forked, and its thread has stayed behind",
                    code="forked",
                    advice="create the client, or use it first, after the fork",
                )
            elif threading.current_thread() is self._thread:
                raise StateError(
                    "the client was called from its own thread, which would wait for itself",
                    code="own_thread",
                    advice="observers and other callbacks must not call the client; do it in another thread",
                )
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            # As `asyncio.run` does.
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


def _at_once(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    coroutine = work()
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise StateError("the client is closed", code="closed", advice="create a new client")


async def _begin(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await work()
