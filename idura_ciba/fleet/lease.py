"""Whether this worker may act: it may as long as the store has confirmed, in time, that it lives.

The others take its logins once they have not heard of it for a lease. A worker that was paused does not know how late
it is, so it looks before each poll, at its own clock and without asking anybody: two who poll one login make a strict
provider slow both down until the approval expires.
"""

from __future__ import annotations

import asyncio
import math

from idura_ciba.errors import StateError

__all__ = ["Lease"]


class Lease:
    """The lease of one worker.

    Args:
        seconds: How long the others wait for a sign of life.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds: float = seconds
        self._until = -math.inf
        self._since = math.inf

    def confirmed(self, asked_at: float) -> None:
        """The store has heard of this worker; at the earliest when it was asked, a monotonic instant."""
        if asked_at >= self._until:
            # The line was cut, or this worker slept. What the others look like to it now says nothing yet.
            self._since = asked_at
        self._until = asked_at + self.seconds

    def lost(self) -> None:
        """The store has declared this worker dead."""
        self._until, self._since = -math.inf, math.inf

    @property
    def holds(self) -> bool:
        """Whether nobody else can have taken what this worker has."""
        return asyncio.get_running_loop().time() < self._until

    @property
    def may_judge(self) -> bool:
        """Whether it has been connected for so long that whoever was not heard of meanwhile is dead.

        After a restart of the store everybody looks dead for a moment.
        """
        return self.holds and asyncio.get_running_loop().time() - self._since >= self.seconds

    def check(self) -> None:
        """Before a poll.

        Raises:
            StateError: The lease is over, so this login may be another worker's by now.
        """
        if not self.holds:
            raise StateError(
                "this worker was not confirmed in time, so another one may be asking this person by now",
                code="fenced",
                phone="The prompt stays on the phone, and another worker goes on with it",
                advice="fetch the login from the fleet again",
            )
