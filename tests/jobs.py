"""Jobs for schedulers, which note when they are served."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from idura_ciba.scheduling.scheduler import ClientQueue

#: Makes the only queue of a scheduler with some limits.
MakeQueue = Callable[..., ClientQueue]


def now() -> float:
    """The virtual instant."""
    return asyncio.get_running_loop().time()


class Log(list[tuple[str, float]]):
    """Who was served when, to a microsecond."""

    def note(self, name: str) -> None:
        """Note that it happened now."""
        self.append((name, round(now(), 6)))


class Job:
    """Work that takes `takes` seconds; 0 for work that is over at once, None for none after all."""

    def __init__(self, log: Log, name: str, takes: float | None = 0.0) -> None:
        self.log = log
        self.name = name
        self.takes = takes
        self.ended: str | None = None

    def serve(self) -> Coroutine[Any, Any, None] | None:
        """Note when it was asked; then work."""
        self.log.note(self.name)
        return None if self.takes is None else self.work(self.takes)

    async def work(self, takes: float) -> None:
        """Take a while."""
        try:
            await asyncio.sleep(takes)
            self.ended = "done"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


def assert_nothing_is_left(*queues: ClientQueue) -> None:
    """Neither a job, nor work, nor an authentication request, nor a timer, nor a task beside the test's own."""
    for queue in queues:
        engine = queue._engine
        assert (queue.waiting, queue.in_flight, engine.pending, engine.starting, len(engine.queue)) == (0, 0, 0, 0, 0)
        assert engine._timer is None
        assert not engine._heap
        assert not engine.queue._order
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Priced(Job):
    """A job with a price: worth it from so many seconds for each second of the price on."""

    def __init__(self, log: Log, name: str, slope: float, takes: float | None = 0.0) -> None:
        super().__init__(log, name, takes)
        self.slope = slope
        self.urgent_at = math.inf

    def due(self, price: float) -> float:
        """In proportion to the price."""
        return self.slope * price


class Requests:
    """Sends authentication requests, each of which takes a while, and notes when each was admitted."""

    def __init__(self, queue: ClientQueue, log: Log, takes: float = 0.0) -> None:
        self.queue, self.log, self.takes = queue, log, takes

    async def send(self, name: str, then: Job | None = None, at: float = math.nan) -> None:
        """One of them; what comes of it may be a job."""
        async with self.queue.admit():
            self.log.note(name)
            await asyncio.sleep(self.takes)
            if then is not None:
                self.queue.schedule(then, at)
