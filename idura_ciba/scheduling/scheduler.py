"""Schedulers: they serve all pending transactions of one client, or of several that share a provider.

A pending job is one heap entry; it has a task only while it is in flight, and there is one timer for all. Rules:

1. A job is served at the instant it was scheduled for, never before, and once each time it was scheduled.
2. It is late only while the cap on requests in flight or the rate is used up. The two schedulers differ only in who
   goes first then.
3. An authentication request counts as a request. While both authentication requests and jobs wait for the budget, they
   take turns: neither a batch of new logins nor a backlog of polls blocks the other.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from attrs import asdict, frozen

from idura_ciba import explain
from idura_ciba.errors import ArgumentError
from idura_ciba.options import positive, whole_number
from idura_ciba.scheduling.budget import Budget, Throttle
from idura_ciba.scheduling.engine import Engine
from idura_ciba.scheduling.jobs import Job, Owner
from idura_ciba.scheduling.queues import FifoQueue, IndexQueue

__all__ = ["ClientQueue", "FairScheduler", "IndexScheduler", "Snapshot", "Throttle", "client_queue"]


@frozen
class Snapshot:
    """The state of a scheduler at one instant, over all its clients. Durations are seconds.

    Attributes:
        pending: Jobs that wait for their instant, are due, or are in flight.
        due: Jobs that are due and wait for a place.
        late: How long the first of those has been waiting.
        in_flight: Jobs in flight.
        starting: Authentication requests that wait for a place or are in flight.
        rate: The agreed rate in requests per second; infinite if none was given.
        allowed: The current rate in requests per second, as learned from refusals; infinite if there is no limit.
        price: Expected seconds of unseen waiting that make a poll worth serving under the current load; None under
            round robin.
        served: Jobs served so far.
        refused: Requests refused by the provider so far.
        slow_downs: Polls answered `slow_down` so far.
        learned: Decisions that the strategies have learned from so far.
        number: Which scheduler of this process, counted from 1; the same for clients that share one.
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
    number: int = 0

    def plain(self) -> dict[str, float | None]:
        """The snapshot as data that JSON can carry; None where there is no limit."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """The snapshot in one line."""
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
    """One client's queue in a scheduler; it never touches the jobs of other clients."""

    __slots__ = ("_engine", "_owner")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._owner = Owner()
        engine.join(self._owner)

    @property
    def in_flight(self) -> int:
        """Number of jobs of this queue in flight."""
        return len(self._owner.tasks)

    @property
    def waiting(self) -> int:
        """Number of jobs of this queue that wait for their instant or are due."""
        return len(self._owner.entries)

    def schedule(self, job: Job, at: float, *, until: float = math.inf) -> None:
        """Schedule `job` for the monotonic instant `at`, replacing any earlier instant.

        If the job is still waiting for a place at `until`, it is served then anyway; it should have no work by then.
        """
        if not self._owner.closed:
            self._engine.schedule(self._owner, job, at, until)

    def hasten(self, job: Job, at: float) -> bool:
        """Schedule `job` for `at` if it waits for a later instant; returns whether it did.

        What is due already, or in flight, is left alone, so a job is never served twice at once.
        """
        return self._engine.hasten(self._owner, job, at)

    def snapshot(self) -> Snapshot:
        """Return the state of the scheduler that this queue is in, over all its clients."""
        return _snapshot(self._engine)

    def change_rate(self, rate: float | None, *, in_part: bool = False) -> None:
        """Change the rate of the scheduler that this queue is in; see `FairScheduler.change_rate`.

        Raises:
            UsageError: The rate is not a positive finite number; nothing has changed.
            StateError: Called outside the event loop of the clients that are pending.
        """
        self._engine.change_rate(rate, in_part=in_part)

    def share_throttle(self, tell: Callable[[], None], *, within: float) -> None:
        """Share what the scheduler that this queue is in learns; see `FairScheduler.share_throttle`."""
        self._engine.share_throttle(tell, within=within)

    def throttle(self) -> Throttle:
        """What the scheduler that this queue is in has learned; see `FairScheduler.throttle`.

        Raises:
            StateError: Called outside the event loop of the clients that are pending.
        """
        return self._engine.throttle()

    def take_over(self, throttle: Throttle) -> None:
        """Take over what others have learned; see `FairScheduler.take_over`.

        Raises:
            StateError: Called outside the event loop of the clients that are pending.
        """
        self._engine.take_over(throttle)

    def forget(self, job: Job) -> None:
        """Remove `job` from the schedule; work in flight goes on."""
        self._engine.forget(self._owner, job)

    def stop_admitting(self) -> None:
        """Refuse all authentication requests from now on, waiting ones included; admitted ones go on."""
        self._engine.refuse(self._owner)

    @asynccontextmanager
    async def admit(self, *, until: float | None = None) -> AsyncIterator[None]:
        """Wait until an authentication request may leave: for the rate, the cap in flight, and `max_pending`.

        Send the request within the block, and schedule its transaction there too, so that it is counted without a gap.

        Args:
            until: Monotonic instant at which to give up waiting.

        Raises:
            Abandoned: That instant came before there was a place.
            StateError: The queue is closed, or was closed while the request waited.
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
        """Report that the provider answered a request, of either kind, that left at the monotonic instant `sent_at`."""
        self._engine.answered(sent_at)

    def refused(self, *, sent_at: float, retry_after: float | None = None) -> None:
        """Report that a request was answered 429 or 503; unless that is an accident, the scheduler's rate is cut.

        Args:
            sent_at: When the request left, in monotonic seconds.
            retry_after: The provider's `Retry-After` in seconds. Unless it is an accident, all requests wait that long
                too, 60 s at most; the refused one may have to wait longer.
        """
        self._engine.refused(sent_at, retry_after)

    def left_again(self) -> None:
        """Count a request that leaves once more at once, for want of a nonce: the rate includes it."""
        self._engine.left_again()

    def note(self, *, slow_downs: int = 0, learned: int = 0) -> None:
        """Count what only the caller sees, for the snapshot."""
        self._engine.slow_downs += slow_downs
        self._engine.learned += learned

    async def aclose(self, *, patience: float) -> None:
        """Stop serving; wait `patience` seconds for work in flight, then cancel it. May be called again."""
        self._engine.close(self._owner)
        tasks = set(self._owner.tasks)
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=patience)
        finally:
            # Also if the caller is cancelled: no task must stay behind.
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FairScheduler:
    """Serves jobs in the order in which they become due: round robin.

    One scheduler may serve several clients of one event loop, which then share its limits. After that loop has ended,
    another one may use the scheduler; the learned rate stays.

    Args:
        rate: Most requests in any second, polls and new logins together. Cut while the provider refuses a tenth of
            them, beyond the usual share. None: no limit until it does.
        max_in_flight: Most requests in flight at once, polls and new logins together, and so most connections.
        max_pending: Most logins pending at once; further ones wait. None: no limit. For a batch, use twice the interval
            times the polls per second: `1.8 * rate * interval` if new logins take a tenth of the rate, as they do at
            half a minute per login. A higher limit delays every answer and saves little time overall.

    Raises:
        UsageError: A limit that is not positive.
    """

    def __init__(self, *, rate: float | None = None, max_in_flight: int = 256, max_pending: int | None = None) -> None:
        self._engine = _engine(FifoQueue(), rate, max_in_flight, max_pending)

    def queue(self) -> ClientQueue:
        """Return a queue for one more client; `CibaClient(scheduler=...)` does this itself."""
        return ClientQueue(self._engine)

    def change_rate(self, rate: float | None, *, in_part: bool = False) -> None:
        """Change the rate from now on, for example to a share of one that several processes have together.

        What left in the last second counts, so no second has more requests than the higher of the two rates allows. A
        lower rate that was learned from refusals stays, and grows as far as the new one allows.

        Args:
            rate: As when it was made.
            in_part: Whether a learned rate stays the same part of the rate instead: for a share of one that several
                processes have together, whose provider counts them together.

        Raises:
            UsageError: The rate is not a positive finite number; nothing has changed.
            StateError: Called outside the event loop of the clients that are pending.
        """
        self._engine.change_rate(rate, in_part=in_part)

    def share_throttle(self, tell: Callable[[], None], *, within: float) -> None:
        """Share what refusals teach with schedulers of other processes that send to the same provider.

        Then pass each one's `throttle()` to the others' `take_over`, so that one cut of the rate holds for all of them
        and counts once. `idura_ciba.fleet.Fleet` does this.

        Args:
            tell: Called without arguments when the others should hear of something at once. It must not raise.
            within: Seconds within which they will have; until then, refusals after a cut say nothing.
        """
        self._engine.share_throttle(tell, within=within)

    def throttle(self) -> Throttle:
        """What refusals have taught this scheduler, for others.

        Raises:
            StateError: Called outside the event loop of the clients that are pending.
        """
        return self._engine.throttle()

    def take_over(self, throttle: Throttle) -> None:
        """Take over what others have learned, as far as it is news.

        Where a rate was agreed, the same part of it is allowed here. Otherwise the rate is cut to what was answered
        here. Nothing leaves for as long as the provider has told one of them to wait.

        Raises:
            StateError: Called outside the event loop of the clients that are pending.
        """
        self._engine.take_over(throttle)

    def snapshot(self) -> Snapshot:
        """Return the current state: print it, or export it with `attrs.asdict`."""
        return _snapshot(self._engine)


class IndexScheduler(FairScheduler):
    """Serves first the login whose answer is likely to have been waiting longest.

    At twice the load that `rate` can carry, answers arrive a quarter to a half sooner than under round robin, on
    average; a few arrive later. It needs a strategy that knows what a poll is worth, such as `HazardAware`; without
    one it is round robin, except that last polls before the end go first.

    Args:
        rate: As for `FairScheduler`.
        max_in_flight: As for `FairScheduler`.
        max_pending: As for `FairScheduler`.
        guard: A due job goes first once it has not been served for this many rounds of round robin. 1.2 gives up half
            of the average gain, and the slowest answers are hardly later than under round robin. None: no such bound.

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
        # A guard cannot promise less than round robin's own wait.
        guard = None if guard is None else positive("guard", guard, least=1.0)
        self._engine = _engine(IndexQueue(guard=guard), rate, max_in_flight, max_pending)


def client_queue(scheduler: FairScheduler | None) -> ClientQueue:
    """Return a queue in the given scheduler, or in a new one without a rate.

    Raises:
        UsageError: Not a scheduler.
    """
    if not isinstance(scheduler, FairScheduler | None):
        raise ArgumentError("this is not a scheduler", code="scheduler", advice="pass FairScheduler(...) or None")
    return (scheduler or FairScheduler()).queue()


def _snapshot(engine: Engine) -> Snapshot:
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
        number=engine.number,
    )


def _engine(queue: FifoQueue, rate: float | None, max_in_flight: int, max_pending: int | None) -> Engine:
    return Engine(
        Budget(rate),
        queue,
        max_in_flight=whole_number("max_in_flight", max_in_flight),
        max_pending=math.inf if max_pending is None else whole_number("max_pending", max_pending),
    )
