"""What is served, and for whom."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, Protocol

__all__ = ["Entry", "Job", "Owner", "PricedJob", "UrgentJob"]


class Job(Protocol):
    """Something that wants to be served at an instant."""

    def serve(self) -> Coroutine[Any, Any, None] | None:
        """The work to do now, or None when there is none after all; asked when a place is free, or at its end.

        It may be later than the job was scheduled for, and a job may then schedule itself anew and return None. The
        coroutine may schedule its job anew and must not raise anything but `CancelledError`.
        """
        ...


class UrgentJob(Job, Protocol):
    """A job that goes first from some instant on, because it comes to an end soon after.

    Attributes:
        urgent_at: That instant, in monotonic seconds; infinite where there is none.
    """

    urgent_at: float


class PricedJob(UrgentJob, Protocol):
    """A job that an `IndexScheduler` can compare; any other counts as if its price were reached when it is due."""

    def due(self, price: float) -> float:
        """The monotonic instant from which serving is worth `price` seconds of expected unseen waiting; never falls.

        Asked once each time the job has become due and has to wait or to be compared.
        """
        ...


class Entry:
    """What stands in the heaps for one job that was scheduled once.

    Attributes:
        at: The instant for which it was scheduled.
        number: The order in which they were scheduled.
        until: When it is served whether there is a place or not; infinite where it may wait for ever.
        job: None as soon as it was served, forgotten or scheduled anew; the entry is then stale.
        owner: Whose job it is.
        is_due: Whether it stands in a queue.
    """

    __slots__ = ("at", "is_due", "job", "number", "owner", "until")

    def __init__(self, at: float, number: int, job: Job, owner: Owner, until: float = math.inf) -> None:
        self.at: float = at
        self.number: int = number
        self.until: float = until
        self.job: Job | None = job
        self.owner: Owner = owner
        self.is_due: bool = False

    def __lt__(self, other: Entry) -> bool:
        """By instant. A heap of tuples would be quicker by a microsecond, and larger by a hundred bytes for each."""
        return self.at < other.at or (self.at == other.at and self.number < other.number)


class Owner:
    """What belongs to one client: its jobs, its work in flight, and its authentication requests that wait."""

    __slots__ = ("__weakref__", "admissions", "closed", "entries", "refuses", "tasks")

    def __init__(self) -> None:
        self.entries: dict[Job, Entry] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.admissions: set[asyncio.Future[None]] = set()
        self.closed: bool = False
        self.refuses: bool = False
