"""One clock-driven heap that serves every pending transaction of a client.

A pending job is one heap entry; a task exists only while its work is in flight. Jobs that are due while the cap is
reached wait in the order in which they became due, but not beyond their end: an end needs no place.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from idura_ciba.errors import UsageError

__all__ = ["Job", "Scheduler"]

#: A heap up to this size may hold any number of stale entries.
SMALL = 64


class Job(Protocol):
    """Something that wants to be served at an instant."""

    def serve(self) -> Coroutine[Any, Any, None] | None:
        """The work to do now, or None when there is none after all; asked when a slot is free, or at the job's end.

        The coroutine may schedule its job anew and must not raise anything but `CancelledError`.
        """
        ...


class Scheduler:
    """Calls jobs at their instants, at most `max_in_flight` at once.

    Args:
        max_in_flight: The cap on work in flight. Waiting jobs are not counted.

    Raises:
        UsageError: The cap is below 1.
    """

    def __init__(self, *, max_in_flight: int = 256) -> None:
        if max_in_flight < 1:
            raise UsageError("max_in_flight is below 1", code="max_in_flight", advice="allow at least one poll")
        self._max_in_flight = max_in_flight
        self._heap: list[tuple[float, int, Job, float]] = []
        # What stands in the heap for a job and still counts; an entry with another number is stale and skipped.
        self._current: dict[Job, int] = {}
        self._numbers = itertools.count()
        self._due: deque[tuple[int, Job]] = deque()
        # The ends of those that are due and have no slot.
        self._ends: list[tuple[float, int, Job]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def in_flight(self) -> int:
        """How many jobs are being worked on."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many jobs have an instant or are due."""
        return len(self._current)

    def schedule(self, job: Job, at: float, *, until: float = math.inf) -> None:
        """Serve `job` at the monotonic instant `at`, and no longer at any earlier named one.

        Where the cap makes it wait it is served at `until` all the same; there should be no work for it then.
        """
        if self._closed:
            return
        number = next(self._numbers)
        self._current[job] = number
        heapq.heappush(self._heap, (at, number, job, until))
        if self._heap[0][1] == number:
            self._set_timer()
        self._compact()

    def forget(self, job: Job) -> None:
        """Do not serve `job` any more; work in flight goes on."""
        self._current.pop(job, None)
        self._compact()

    async def aclose(self, *, patience: float) -> None:
        """Stop serving; let work in flight end for `patience` seconds, then cancel it. May be called again."""
        self._closed = True
        self._heap.clear()
        self._ends.clear()
        self._current.clear()
        self._due.clear()
        self._set_timer()
        tasks = set(self._tasks)
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=patience)
        finally:
            # Also when the closer itself is cancelled: nothing stays behind.
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _compact(self) -> None:
        """Drop stale entries once they are the most: they would leave by themselves only when their time comes."""
        if len(self._heap) > SMALL and len(self._heap) > 2 * len(self._current):
            self._heap = [entry for entry in self._heap if self._current.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        instants = [heap[0][0] for heap in (self._heap, self._ends) if heap]
        if instants:
            self._timer = asyncio.get_running_loop().call_at(min(instants), self._collect)

    def _collect(self) -> None:
        """Move what is due from the heap to the queue."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        arrived: list[tuple[float, int, Job]] = []
        while self._heap and self._heap[0][0] <= now:
            _, number, job, until = heapq.heappop(self._heap)
            self._due.append((number, job))
            arrived.append((until, number, job))
        self._serve()
        for end in arrived:
            if self._waits(end) and end[0] < math.inf:
                heapq.heappush(self._ends, end)
        while self._ends and self._ends[0][0] <= now:
            _, number, job = heapq.heappop(self._ends)
            self._serve_one(number, job)
        if len(self._ends) > SMALL and len(self._ends) > 2 * len(self._due):
            self._ends = list(filter(self._waits, self._ends))
            heapq.heapify(self._ends)
        self._set_timer()

    def _waits(self, end: tuple[float, int, Job]) -> bool:
        return self._current.get(end[2]) == end[1]

    def _serve(self) -> None:
        while self._due and len(self._tasks) < self._max_in_flight:
            self._serve_one(*self._due.popleft())
        if not self._due:
            self._ends.clear()

    def _serve_one(self, number: int, job: Job) -> None:
        if self._current.get(job) != number:
            return
        del self._current[job]
        work: Coroutine[Any, Any, None] | None = None
        try:
            work = job.serve()
        except Exception as error:  # noqa: BLE001 - one broken job must not stall the others
            context = {"message": "a job could not be served", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        if work is not None:
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._serve()
