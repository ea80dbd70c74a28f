"""Threads of our own for work that would block the event loop: signatures, name lookups, files.

The event loop's default executor belongs to the application. Once all its threads are busy, with database calls or hung
lookups, everything else in it waits indefinitely: no poll would leave and no login would end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import ParamSpec, TypeVar

__all__ = ["OwnThreads"]

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that an idle thread waits for work before it ends.
IDLE = 5.0


class OwnThreads(Executor):
    """An executor for `loop.run_in_executor` whose threads are daemons and end when idle.

    Unlike the threads of `ThreadPoolExecutor`, they do not keep the interpreter from exiting while a call hangs, and
    there is nothing to close.

    Args:
        name: Name of the threads.
        most: Most threads at once.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._work = SimpleQueue[Callable[[], None]]()
        self._lock = threading.Lock()
        self._threads = 0
        # Idle threads minus queued work.
        self._free = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in one of the threads."""
        future = Future[T]()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            self._work.put(run)
            self._free -= 1
            if self._free < 0 and self._threads < self._most:
                self._threads += 1
                self._free += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            try:
                run = self._work.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if self._work.empty():
                        self._threads -= 1
                        self._free -= 1
                        return
                continue
            run()
            del run  # while idle it would keep the arguments and the result alive
            with self._lock:
                self._free += 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the threads end by themselves."""
        del wait, cancel_futures
