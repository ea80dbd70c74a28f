"""Whose cancellation is it?

A `CancelledError` can come from below as well: from a task that was stopped while somebody waited for it, or from
foreign code. Whoever was not cancelled must not be told so, or a `TaskGroup` would believe it; and whoever was must
never be told anything else.
"""

from __future__ import annotations

import asyncio

__all__ = ["is_cancelled"]


def is_cancelled() -> bool:
    """Whether somebody has cancelled the task that runs now. Asked while a `CancelledError` is handled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
