"""Tests of what stands in the heaps."""

from __future__ import annotations

import heapq
import math
from collections.abc import Coroutine
from typing import Any

from idura_ciba.scheduling.jobs import Entry, Owner


class Nothing:
    """A job without work."""

    def serve(self) -> Coroutine[Any, Any, None] | None:
        """Do nothing."""
        return None


def test_entries_come_by_instant_and_those_of_one_instant_as_they_were_scheduled() -> None:
    """A heap needs a whole order, or jobs of one instant could starve each other."""
    owner = Owner()
    heap = [Entry(at, number, Nothing(), owner) for number, at in enumerate([3.0, 1.0, 3.0, math.inf, 1.0])]
    heapq.heapify(heap)
    assert [heapq.heappop(heap).number for _ in range(5)] == [1, 4, 0, 2, 3]


def test_owners_share_nothing() -> None:
    """What one client closes or forgets is never another's."""
    one, other = Owner(), Owner()
    one.entries[Nothing()] = Entry(1.0, 0, Nothing(), one)
    one.closed = True
    assert not other.entries
    assert not other.closed
