"""The engine of a scheduler: one heap, one timer, and a task for each job in flight."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from weakref import WeakSet

from idura_ciba import explain
from idura_ciba.errors import ArgumentError, StateError
from idura_ciba.scheduling.budget import Budget, Throttle
from idura_ciba.scheduling.jobs import Entry, Job, Owner, context_of
from idura_ciba.scheduling.meter import Meter
from idura_ciba.scheduling.queues import SMALL, FifoQueue

__all__ = ["Engine"]

#: Seconds. asyncio runs timers up to a nanosecond early. A new timer for the remainder would fire at once, and a clock
#: that stands still in between, as a virtual one does, would never advance.
CLOCK_RESOLUTION = 1e-6
#: Seconds by which the end of a waiting job may be noticed late: under a busy budget the next poll leaves sooner.
END_TOLERANCE = 0.05
#: Requests started per turn of the event loop: each blocks it for a fraction of a millisecond.
SLICE = 8
#: Least throughput assumed, in jobs per second.
LEAST_THROUGHPUT = 0.1

_NUMBERS = itertools.count(1)


class Engine:
    """Serves jobs in the queue's order, as fast as the budget and the cap on requests in flight allow."""

    def __init__(self, budget: Budget, queue: FifoQueue, *, max_in_flight: int, max_pending: float) -> None:
        self.number: int = next(_NUMBERS)
        self.budget: Budget = budget
        self.queue: FifoQueue = queue
        self.served: int = 0
        self.slow_downs: int = 0
        self.learned: int = 0
        self._tell: Callable[[], None] | None = None
        self._max_in_flight = max_in_flight
        self._max_pending = max_pending
        self._owners = WeakSet[Owner]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._numbers = itertools.count()
        self._restart()

    def _restart(self) -> None:
        # Jobs that are not due yet, by instant.
        self._heap: list[Entry] = []
        # Jobs that are due and wait for a place, by their `until`.
        self._ends: list[tuple[float, int, Entry]] = []
        # Jobs that became due since the last round of serving.
        self._arrived: list[Entry] = []
        self.queue.clear()
        self._waiting = 0
        self._in_flight = 0
        # Authentication requests that wait, and the number of admitted ones that are not over.
        self._admissions = deque[asyncio.Future[None]]()
        self._admitted = 0
        self._admissions_turn = True
        # Whether requests wait for the budget, and until when.
        self._queued = False
        self._wake = math.inf
        self._serving = False
        self._timer: asyncio.TimerHandle | None = None
        # It serves everybody, and must not act in the name of whoever happened to set it.
        self._nobodys = Context()
        self._meter = Meter()

    @property
    def in_flight(self) -> int:
        """Number of jobs in flight."""
        return self._in_flight

    @property
    def pending(self) -> int:
        """Number of jobs in flight, due, or waiting for their instant."""
        return self._waiting + self._in_flight

    @property
    def starting(self) -> int:
        """Number of authentication requests that wait or are in flight."""
        return self._admitted + sum(not admission.done() for admission in self._admissions)

    def late(self) -> float:
        """Seconds for which the longest-waiting job has been due."""
        if self._loop is None or not self._waiting:
            return 0.0
        # Nothing is moved to the queue here: a thread that gathers metrics may ask.
        now, first = self._loop.time(), self.queue.first()
        waiting = self._heap[0].at if self._heap else now
        return max(0.0, now - min(waiting, first.at if first else now))

    def join(self, owner: Owner) -> None:
        """Register an owner, so that it is cleared when its event loop has ended."""
        self._owners.add(owner)

    # --- jobs -------------------------------------------------------------------------------------------------------

    def schedule(self, owner: Owner, job: Job, at: float, until: float) -> None:
        """Schedule a job, replacing its earlier instant; at `until` it is served even without a free place.

        Raises:
            UsageError: The instant is infinite or NaN.
            StateError: The scheduler is serving another event loop.
        """
        if not at < math.inf:
            raise ArgumentError("a job cannot be scheduled for an instant that never comes", code="schedule")
        self._bind()
        entry = Entry(at, next(self._numbers), job, owner, until)
        former = owner.entries.get(job)
        owner.entries[job] = entry
        heapq.heappush(self._heap, entry)
        self._waiting += 1
        if former is not None:
            self._invalidate(former)
        if self._heap and self._heap[0] is entry:
            self._set_timer()

    def hasten(self, owner: Owner, job: Job, at: float) -> bool:
        """Move a job forward that waits for a later instant than `at`; returns whether there was such a job."""
        entry = owner.entries.get(job)
        if entry is None or entry.at <= max(at, self._bind().time()):
            return False
        self.schedule(owner, job, at, entry.until)
        return True

    def forget(self, owner: Owner, job: Job) -> None:
        """Remove a job from the schedule."""
        entry = owner.entries.pop(job, None)
        if entry is not None:
            self._invalidate(entry)
            self._resume()

    def close(self, owner: Owner) -> None:
        """Remove all waiting jobs and authentication requests of an owner."""
        owner.closed = True
        entries = list(owner.entries.values())
        owner.entries.clear()
        for entry in entries:
            self._invalidate(entry)
        self.refuse(owner)

    def refuse(self, owner: Owner) -> None:
        """Refuse all authentication requests of an owner from now on, waiting ones included."""
        owner.refuses = True
        for admission in owner.admissions:
            if not admission.done():
                admission.set_exception(explain.closed())
        self._set_timer()
        self._resume()

    def _invalidate(self, entry: Entry) -> None:
        """Take the job from an entry; stale entries are removed once they are the majority."""
        entry.job = None
        self._waiting -= 1
        if entry.is_due:
            self.queue.discard()
        if not self._waiting:
            self._heap.clear()
            self._ends.clear()
            self._arrived.clear()
            self.queue.clear()
        elif len(self._heap) > SMALL and len(self._heap) > 2 * (self._waiting - len(self.queue)):
            self._heap = [waiting for waiting in self._heap if waiting.job is not None]
            heapq.heapify(self._heap)
        else:
            return
        self._set_timer()

    # --- admissions -------------------------------------------------------------------------------------------------

    async def admit(self, owner: Owner) -> None:
        """Wait until an authentication request may leave.

        Raises:
            StateError: The owner was closed, or the scheduler is serving another event loop.
        """
        loop = self._bind()
        admission: asyncio.Future[None] = loop.create_future()
        self._admissions.append(admission)
        owner.admissions.add(admission)
        self._resume()
        try:
            await admission
        except asyncio.CancelledError:
            if admission.done() and not admission.cancelled() and admission.exception() is None:
                # Cancelled after it was admitted.
                self.admission_over()
            else:
                self._set_timer()
            raise
        finally:
            owner.admissions.discard(admission)

    def admission_over(self) -> None:
        """Free the place of an admitted authentication request."""
        self._admitted -= 1
        self._resume()

    # --- what the provider says -------------------------------------------------------------------------------------

    def change_rate(self, rate: float | None, *, in_part: bool = False) -> None:
        """Agree on another rate; what waits for the old one looks again. See `Budget.change`.

        Raises:
            UsageError: The rate is not a positive finite number.
            StateError: The scheduler is serving another event loop.
        """
        if (self.pending or self.starting) and not self._is_here():
            raise explain.other_loop("scheduler")
        self.budget.change(rate, in_part=in_part)
        self._look_again()

    def share_throttle(self, tell: Callable[[], None], *, within: float) -> None:
        """Others take over what is learned here; `tell` is called when they should hear of it at once."""
        self._tell = tell
        self.budget.share(within=within)

    def throttle(self) -> Throttle:
        """What was learned from refusals; see `Budget.throttle`."""
        return self.budget.throttle(self._bind().time())

    def take_over(self, throttle: Throttle) -> None:
        """Take over what others have learned; see `Budget.take_over`."""
        self.budget.take_over(self._bind().time(), throttle)
        self._look_again()

    def answered(self, sent_at: float) -> None:
        """Tell the budget that a request was answered."""
        self.budget.answered(self._bind().time(), sent_at=sent_at)

    def refused(self, sent_at: float, retry_after: float | None) -> None:
        """Tell the budget that a request was refused because of too many requests."""
        now = self._bind().time()
        if self.budget.was_refused(now, sent_at=sent_at, retry_after=retry_after) and self._tell is not None:
            self._tell()

    def left_again(self) -> None:
        """Count a request that did not wait to be served."""
        self.budget.take(self._bind().time(), queued=self._queued)

    # --- serving ----------------------------------------------------------------------------------------------------

    def _look_again(self) -> None:
        """The budget has changed."""
        self._wake = math.inf
        self._resume()

    def _resume(self) -> None:
        """Serve again after a place became free, unless the budget is what the others wait for."""
        if self._wake == math.inf and (self._admissions or len(self.queue)) and not self._serving:
            self._serve()

    def _serve(self) -> None:
        """Serve what can be served now, and set the timer for the rest."""
        loop = self._loop
        assert loop is not None  # noqa: S101 - for type checkers: something was scheduled
        now = loop.time()
        self._collect(now)
        self._serving, self._wake = True, math.inf
        for begun in itertools.count():
            has_place = self._in_flight + self._admitted < self._max_in_flight
            may_admit = has_place and bool(self._admissions) and self._may_admit()
            may_serve = has_place and len(self.queue) > 0
            if not may_admit and not may_serve:
                self._queued = False
                break
            if begun == SLICE:
                self._wake = now
                break
            ready_at = self.budget.ready_at(queued=self._queued)
            if ready_at > now:
                self._queued, self._wake = True, ready_at
                break
            if may_admit and (self._admissions_turn or not may_serve):
                self._admissions_turn = False
                self._admitted += 1
                self.budget.take(now, queued=self._queued)
                self._admissions.popleft().set_result(None)
            else:
                self._admissions_turn = True
                self._serve_one(loop, now)
        self._serve_ends(loop, now)
        self._serving = False
        self._set_timer()

    def _serve_ends(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Serve waiting jobs whose `until` has come; record the `until` of newly waiting ones."""
        ends = self._ends
        for entry in self._arrived:
            if entry.job is not None and entry.until < math.inf:
                heapq.heappush(ends, (entry.until, next(self._numbers), entry))
        self._arrived.clear()
        while ends and (ends[0][0] <= now or ends[0][2].job is None):
            entry = heapq.heappop(ends)[2]
            if entry.job is not None:
                self._serve_entry(entry, loop, now)
        if len(ends) > SMALL and len(ends) > 2 * len(self.queue):
            self._ends = [end for end in ends if end[2].job is not None]
            heapq.heapify(self._ends)

    def _collect(self, now: float) -> None:
        """Move due jobs from the heap to the queue."""
        heap = self._heap
        while heap and heap[0].at <= now:
            entry = heapq.heappop(heap)
            if entry.job is not None:
                self.queue.push(entry)
                self._arrived.append(entry)

    def _may_admit(self) -> bool:
        return self._has_admissions() and self.pending + self._admitted < self._max_pending

    def _has_admissions(self) -> bool:
        """Whether any authentication request waits; drops cancelled and refused ones."""
        while self._admissions and self._admissions[0].done():
            self._admissions.popleft()
        return bool(self._admissions)

    def _serve_one(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        throughput = max(LEAST_THROUGHPUT, self._meter.rate(now))
        entry = self.queue.choose(now, pending=self.pending, throughput=throughput)
        assert entry is not None  # noqa: S101 - for type checkers: the queue is not empty
        self._serve_entry(entry, loop, now)

    def _serve_entry(self, entry: Entry, loop: asyncio.AbstractEventLoop, now: float) -> None:
        job, owner = entry.job, entry.owner
        assert job is not None  # noqa: S101 - for type checkers: no stale entry is chosen
        del owner.entries[job]
        self._invalidate(entry)
        context = context_of(job)
        try:
            work = context.run(job.serve)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - one broken job must not stop the others
            self._call_exception_handler("a job could not be served", error)
            return
        if work is None:
            return
        self.served += 1
        self._in_flight += 1
        self._meter.add(now)
        self.budget.take(now, queued=self._queued)
        task = loop.create_task(work, context=context)
        owner.tasks.add(task)
        task.add_done_callback(partial(self._finished, owner), context=self._nobodys)

    def _finished(self, owner: Owner, task: asyncio.Task[None]) -> None:
        owner.tasks.discard(task)
        self._in_flight -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self._call_exception_handler("the work of a job failed", error)
        self._resume()

    def _call_exception_handler(self, what: str, error: BaseException) -> None:
        assert self._loop is not None  # noqa: S101 - for type checkers: something was served
        self._loop.call_exception_handler({"message": what, "exception": error})

    # --- time -------------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._serving or self._loop is None:
            return
        now, at = self._loop.time(), self._wake
        if self._ends and self._ends[0][0] < at:
            at = self._ends[0][0]
        # While the budget is used up, more jobs become due, and their `until` may come before it is free again. Within
        # END_TOLERANCE that does not matter.
        if at > now + END_TOLERANCE and self._heap and self._heap[0].at < at:
            at = self._heap[0].at
        if not self._waiting and not self._has_admissions():
            self._wake, at = math.inf, math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at < math.inf:
            at = max(at, now + CLOCK_RESOLUTION) if at > now else at
            self._timer = self._loop.call_at(at, self._wake_up, context=self._nobodys)

    def _wake_up(self) -> None:
        self._timer = None
        self._serve()

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False  # in another thread

    def _bind(self) -> asyncio.AbstractEventLoop:
        """Bind to the running event loop; jobs of a previous loop that has ended are dropped."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            former = self._loop
            if former is not None and not former.is_closed() and (self.pending or self.starting):
                raise StateError(
                    "this scheduler is serving clients of another event loop",
                    code="scheduler",
                    advice="give each event loop a scheduler of its own, with its share of the rate",
                )
            for owner in self._owners:
                for entry in owner.entries.values():
                    entry.job = None
                owner.entries.clear()
                owner.tasks.clear()
                owner.admissions.clear()
            self._restart()
            self.budget.restart()
            self._loop = loop
        return loop
