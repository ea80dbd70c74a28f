"""Serving every pending transaction, of one client or of several that share a provider.

A pending job is one heap entry; a task exists only while it is being worked on, and there is one timer. Rules:

1. A job is served at the instant for which it was scheduled, never before, and once for each time it was scheduled.
2. It is late only where the cap on work in flight or the request budget is used up. Who comes first then is what the
   two schedulers differ in; where there is enough for all they do the same.
3. An authentication request counts as a request. Where such requests and jobs both wait for the budget they take turns:
   neither a batch of new logins nor a backlog of polls stops the other.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from idura_ciba import explain
from idura_ciba.errors import UsageError
from idura_ciba.options import positive, whole_number
from idura_ciba.scheduling.budget import Budget
from idura_ciba.scheduling.engine import Engine
from idura_ciba.scheduling.jobs import Job, Owner
from idura_ciba.scheduling.queues import FifoQueue, IndexQueue

__all__ = ["ClientQueue", "FairScheduler", "IndexScheduler", "Snapshot", "client_queue"]


@frozen
class Snapshot:
    """How a scheduler stands at one instant, over all its clients. Durations are seconds.

    Attributes:
        pending: Jobs that wait for their instant, are due, or are being worked on.
        due: Those that are due and wait for a place.
        late: How long the first of those has been waiting.
        in_flight: Those that are being worked on.
        starting: Authentication requests that wait for a place or are under way.
        rate: Requests a second as agreed; infinite where nothing was.
        allowed: Requests a second for now, as refusals have taught; infinite where there is no limit.
        price: Expected unseen waiting that makes a poll worth while, by the load; None under round robin.
        served: Jobs served so far.
        refused: Requests that the provider has refused so far.
        slow_downs: How many polls were answered so, so far.
        learned: Decisions that the strategies have learned from.
    """

    pending: int
    due: int
    late: float
    in_flight: int
    starting: int
    rate: float
    allowed: float
    price: float | None
    served: int
    refused: int
    slow_downs: int
    learned: int

    def __str__(self) -> str:
        """One line."""
        parts = [f"{self.pending} pending", f"{self.due} due"]
        if self.due:
            parts[-1] += f" for up to {self.late:.1f} s"
        parts += [f"{self.in_flight} in flight", f"{self.starting} starting"]
        if self.allowed < math.inf:
            agreed = f" of {self.rate:.4g}" if self.allowed < self.rate < math.inf else ""
            parts.append(f"at most {self.allowed:.4g}{agreed} requests/s")
        if self.price is not None:
            parts.append(f"price {self.price:.2g} s")
        parts += [f"{self.served} served", f"{self.refused} refused"]
        parts += [f"{self.slow_downs} slow_downs", f"{self.learned} decisions learned"]
        return ", ".join(parts)


class ClientQueue:
    """One client's place in a scheduler. Nothing in it touches the jobs of others."""

    __slots__ = ("_engine", "_owner")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._owner = Owner()
        engine.join(self._owner)

    @property
    def in_flight(self) -> int:
        """How many jobs of this queue are being worked on."""
        return len(self._owner.tasks)

    @property
    def waiting(self) -> int:
        """How many jobs of this queue have an instant or are due."""
        return len(self._owner.entries)

    def schedule(self, job: Job, at: float, *, until: float = math.inf) -> None:
        """Serve `job` at the monotonic instant `at`, and no longer at any earlier named one.

        Where it has to wait for a place it is served at `until` all the same; there should be no work for it then.
        """
        if not self._owner.closed:
            self._engine.schedule(self._owner, job, at, until)

    def forget(self, job: Job) -> None:
        """Do not serve `job` any more; work in flight goes on."""
        self._engine.forget(self._owner, job)

    def stop_admitting(self) -> None:
        """Admit no authentication request any more, also none that waits; those that were admitted go on."""
        self._engine.refuse(self._owner)

    @asynccontextmanager
    async def admit(self, *, until: float | None = None) -> AsyncIterator[None]:
        """Wait until an authentication request may leave: for the budget, and while too many logins are pending.

        The block is the request. What comes of it must be scheduled within the block, to be counted without a gap.

        Args:
            until: Monotonic instant from which on nobody waits any more.

        Raises:
            Abandoned: That instant came before there was a place.
            UsageError: The queue is closed, or was before the request was admitted.
        """
        if self._owner.refuses:
            raise explain.closed()
        try:
            async with asyncio.timeout_at(until):
                await self._engine.admit(self._owner)
        except TimeoutError:
            raise explain.limit_passed(begun=False) from None
        try:
            yield
        finally:
            self._engine.admission_over()

    def answered(self, *, sent_at: float) -> None:
        """A request that left at the monotonic instant `sent_at`, of either kind, got an answer from the provider."""
        self._engine.answered(sent_at)

    def refused(self, *, sent_at: float, retry_after: float | None = None) -> None:
        """A request was answered 429 or 503. Where that is no accident, all requests of the scheduler become fewer.

        Args:
            sent_at: When it had left, in monotonic seconds.
            retry_after: What the provider named, in seconds. Then all requests wait that long too, a minute at most;
                whose request it was may have to wait longer.
        """
        self._engine.refused(sent_at, retry_after)

    def note(self, *, slow_downs: int = 0, learned: int = 0) -> None:
        """Count what the scheduler itself does not see, for its snapshot."""
        self._engine.slow_downs += slow_downs
        self._engine.learned += learned

    async def aclose(self, *, patience: float) -> None:
        """Stop serving; let work in flight end for `patience` seconds, then cancel it. May be called again."""
        self._engine.close(self._owner)
        tasks = set(self._owner.tasks)
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=patience)
        finally:
            # Also when the closer itself is cancelled: nothing stays behind.
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FairScheduler:
    """Serves what is due in the order in which it became due: round robin.

    One scheduler may serve several clients of one event loop, which then share its limits. When that loop has ended
    another one may use it; what was learned about the provider stays.

    Args:
        rate: Requests a second, polls and new logins together: in no second more leave. Lowered while the provider
            refuses a tenth of them, beyond what is usual. None: no limit until it does.
        max_in_flight: Requests under way at once, polls and new logins together: so many connections there are at
            most.
        max_pending: Logins pending at once, beyond which new ones wait. None: no limit. Right for a batch is twice the
            interval times the polls a second: `1.8 * rate * interval` where new logins take a tenth of the rate, as
            they do at half a minute for each login. With more, everybody is heard later and little time is saved.

    Raises:
        UsageError: A limit that is not positive.
    """

    def __init__(self, *, rate: float | None = None, max_in_flight: int = 256, max_pending: int | None = None) -> None:
        self._engine = _engine(FifoQueue(), rate, max_in_flight, max_pending)

    def queue(self) -> ClientQueue:
        """A place for one more client; `CibaClient(scheduler=...)` takes one for itself."""
        return ClientQueue(self._engine)

    def snapshot(self) -> Snapshot:
        """How things stand: print it, or export it with `attrs.asdict`."""
        engine = self._engine
        late = engine.late()
        return Snapshot(
            pending=engine.pending,
            due=len(engine.queue),
            late=late,
            in_flight=engine.in_flight,
            starting=engine.starting,
            rate=engine.budget.rate,
            allowed=engine.budget.allowed,
            price=engine.queue.price,
            served=engine.served,
            refused=engine.budget.refused,
            slow_downs=engine.slow_downs,
            learned=engine.learned,
        )


class IndexScheduler(FairScheduler):
    """Serves first where an answer is likely to have been waiting longest.

    At twice the load that `rate` can carry, logins are heard of a quarter to a half sooner than under round robin, on
    average; a few are heard of later. It needs strategies that know what a poll is worth, such as `HazardAware`;
    without one it is round robin, except that last polls before the end go first.

    Args:
        rate: As for `FairScheduler`.
        max_in_flight: As for `FairScheduler`.
        max_pending: As for `FairScheduler`.
        guard: A job that is due goes first once it has not been served for this many rounds of round robin. 1.2 gives
            up half of what is gained on average, and the last to be heard of are hardly later than under round robin.
            None: no such bound.

    Raises:
        UsageError: A limit that is not positive, or a guard below 1.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        max_in_flight: int = 256,
        max_pending: int | None = None,
        guard: float | None = None,
    ) -> None:
        # Below round robin's own wait nobody can be guarded.
        guard = None if guard is None else positive("guard", guard, least=1.0)
        self._engine = _engine(IndexQueue(guard=guard), rate, max_in_flight, max_pending)


def client_queue(scheduler: FairScheduler | None) -> ClientQueue:
    """A place in the scheduler that a client was lent, or else in one of its own without a rate.

    Raises:
        UsageError: It is no scheduler.
    """
    if not isinstance(scheduler, FairScheduler | None):
        raise UsageError("this is not a scheduler", code="scheduler", advice="pass FairScheduler(...) or None")
    return (scheduler or FairScheduler()).queue()


def _engine(queue: FifoQueue, rate: float | None, max_in_flight: int, max_pending: int | None) -> Engine:
    return Engine(
        Budget(rate),
        queue,
        max_in_flight=whole_number("max_in_flight", max_in_flight),
        max_pending=math.inf if max_pending is None else whole_number("max_pending", max_pending),
    )
