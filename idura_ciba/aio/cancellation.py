"""Whose cancellation a `CancelledError` is.

It can also come from below: from a task that was cancelled while another awaited it, or from third-party code. A task
that was not cancelled must not raise it, or a `TaskGroup` would believe it; a task that was cancelled must not raise
anything else.
"""

from __future__ import annotations

import asyncio

__all__ = ["is_cancelled"]


def is_cancelled() -> bool:
    """Whether the current task itself was cancelled. For use while handling a `CancelledError`."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
