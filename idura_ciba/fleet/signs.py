"""Signs of life: what a worker says of itself with each, and what it hears of the others.

The provider counts the requests of all workers together, so what refusals (429, 503, `Retry-After`) teach one holds for
all. The rule:

1. What a worker has learned goes with its sign of life, and what all have learned comes back with the answer: no
   statement more, whatever is learned. Whoever cuts its rate, or is told to wait, says so at once; the others hear it
   with their next sign, so within a second.
2. Cuts are numbered, and a higher number is taken over: one burst of refusals is one cut for all, see rule 6 of
   `scheduling.budget`. With an agreed rate all are allowed the same part of their shares; without one, each is cut to
   what was answered to it, so that the sum is what the provider has answered.
3. Each grows back by the rules of its own scheduler, and says how far it is. One that got no answer for a while, and is
   answered again, catches up with the others.
4. A `Retry-After` closes all for as long as it says. A backoff does not: it is for a worker that gets no answer at all,
   and its own line may be what is broken.
5. Whoever joins takes over what is known, also from those who left within `REMEMBERED` seconds.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from idura_ciba.fleet.store import Others, Report
from idura_ciba.scheduling.scheduler import ClientQueue

__all__ = ["Signs"]


class Signs:
    """What this worker says and hears.

    Args:
        queue: Its place in the scheduler.
    """

    def __init__(self, queue: ClientQueue) -> None:
        self._queue = queue
        self._news = asyncio.Event()
        #: Logins that this worker has gone on with.
        self.taken_over: int = 0

    def begin(self, *, within: float) -> None:
        """Share what is learned from now on; the others hear it within so many seconds."""
        self._queue.share_throttle(self._news.set, within=within)

    async def wait(self, until: float) -> bool:
        """Wait until this monotonic instant, or until the others should hear of something; whether they should."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                return await self._news.wait()
        return False

    def report(self) -> Report:
        """What to say with the next sign."""
        self._news.clear()
        return Report(self._queue.throttle(), self._queue.snapshot().late, self.taken_over)

    def hear(self, others: Others) -> None:
        """Take over what the others have learned."""
        self._queue.take_over(others.throttle)
