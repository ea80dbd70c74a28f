"""Providers that end a login before the end that they have announced, as those do that count whole seconds.

Rules:
1. A provider counts from when it received the request, which is after it was sent. So one that keeps its word says
   `expired_token` no earlier than `Record.announced_end`, whatever the network does. Heard before that, the answer
   proves an early end, and one is enough: it may have cost an approval, and the next one need not be lost.
2. Rounding loses less than a second for each instant that is rounded, the beginning and the present: less than two in
   all. What ended sooner than that was cancelled or replaced, which says nothing of the next login. It is not counted,
   and what is counted moves the last poll by whole seconds, two at most.
3. Where the way there and back takes longer than the guard, no answer is ever heard before the end. There, a poll that
   left before it and finds the login expired is a sign and no proof: it may have been delayed on its way. Two of them
   are taken for one second, unless a last poll in between was answered `pending`.
4. It is never forgotten. Last polls that leave early enough do not show where the end is. And a distance that is not
   needed costs the approvals of a second, while one that is missing costs those of a whole interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import define, field

from idura_ciba.errors import ArgumentError
from idura_ciba.polling.strategy import Record

__all__ = ["GUARD", "EarlyEnd"]

#: Seconds before the earliest possible end: enough for the poll to arrive, and no more. The optimum is flat from 0.15
#: to 0.3.
GUARD: Final = 0.2
#: Seconds; rule 2.
MOST: Final = 2
#: Ends in a row that are signs and no proofs; rule 3.
SIGNS: Final = 2
#: Rounding of instants, in seconds.
TINY: Final = 1e-6
#: Version of the export format.
VERSION: Final = 1


@define(eq=False)
class EarlyEnd:
    """What one provider has shown.

    Attributes:
        guard: Seconds before the end at which a last poll leaves where logins end on time.
        distance: The same for this provider.
    """

    guard: float
    #: Whole seconds by which logins have ended early that this process has seen, and others have.
    _own: int = field(default=0, init=False)
    _others: int = field(default=0, init=False)
    _signs: int = field(default=0, init=False)
    distance: float = field(init=False)

    @distance.default
    def _distance(self) -> float:
        early = max(self._own, self._others)
        return max(self.guard, early + GUARD) if early else self.guard

    def learn(self, record: Record) -> None:
        """See whether a login has ended early."""
        if record.expired_between is None:
            pending_at = record.last_pending_at
            if pending_at is not None and pending_at >= record.announced_end - self.distance - TINY:
                self._signs = 0
            return
        left_at, heard_at = record.expired_between
        early = record.announced_end - heard_at
        if TINY < early <= MOST:
            self._note(math.ceil(early - TINY))
        elif early <= TINY and left_at < record.announced_end:
            self._signs += 1
            if self._signs >= SIGNS:
                self._note(1)

    def export(self) -> dict[str, Any]:
        """What was seen here, as plain JSON values."""
        return {"version": VERSION, "seconds": self._own}

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Keep the distance that others need too, in place of what they needed before.

        Raises:
            UsageError: One is not an export of this version; nothing was changed.
        """
        self._others = max(map(_read, exports), default=0)
        self.distance = self._distance()

    def _note(self, seconds: int) -> None:
        self._own = max(self._own, seconds)
        self.distance = self._distance()


def _read(exported: Mapping[str, Any]) -> int:
    seconds = exported.get("seconds") if isinstance(exported, Mapping) else None
    if type(seconds) is not int or not 0 <= seconds <= MOST or exported.get("version") != VERSION:
        raise ArgumentError(
            "this is not an export of what a provider's ends have shown",
            code="strategy",
            advice="pass the result of export(), from the same version of this package",
        )
    return seconds
