"""Count the results of a batch, for the progress, the summary and the report. The counts identify nobody."""

from __future__ import annotations

from collections import Counter
from typing import Final

from attrs import define, field

from idura_ciba.batch.results import Result
from idura_ciba.batch.store import Entry
from idura_ciba.protocol.machine import State

__all__ = ["Tally"]

#: States in which the person has answered.
_ANSWERED: Final = frozenset({State.APPROVED.value, State.DENIED.value})
#: The codes with which a login may end that needs nobody's attention: an approval, a no, and nobody answered in time.
#: Everything else does.
_SETTLED: Final = frozenset({None, "denied", "expired"})
#: The longest lifetime of a prompt of any eID, in seconds; answers are counted by whole seconds up to it.
LONGEST: Final = 900


@define(eq=False)
class Tally:
    """Counts of logins that have ended.

    Attributes:
        states: By state.
        codes: By the error's word, expiry and denial left out: they are no errors.
        seconds: Of those who answered, by whole seconds from the request to when the answer was heard.
        asked: Logins for which a request left.
        first_at: When the first of them was asked, in seconds since the epoch; None if nobody was.
        last_at: When the last of them ended.
        requests: Requests that they took: one each, and their polls.
        polls: By how many polls a login took.
        slow_downs: Polls that the provider found too early.
        waited: Logins that had to wait for another of the same person.
        unsettled: Logins that need a person's attention: they failed, or their answer is unknown.
    """

    states: Counter[str] = field(factory=Counter)
    codes: Counter[str] = field(factory=Counter)
    seconds: Counter[int] = field(factory=Counter)
    asked: int = 0
    first_at: float | None = None
    last_at: float | None = None
    requests: int = 0
    polls: Counter[int] = field(factory=Counter)
    slow_downs: int = 0
    waited: int = 0
    unsettled: int = 0

    def add(self, one: Result | Entry) -> None:
        """Count one result."""
        assert one.state is not None  # noqa: S101 - for type checkers: it has ended
        state = str(one.state)
        self.states[state] += 1
        self.waited += one.waited
        if one.code not in _SETTLED:
            self.unsettled += 1
            assert one.code is not None  # noqa: S101 - for type checkers
            self.codes[one.code] += 1
        if not one.asked_at or one.ended_at is None:
            return
        self.asked += 1
        self.first_at = one.asked_at if self.first_at is None else min(self.first_at, one.asked_at)
        self.last_at = one.ended_at if self.last_at is None else max(self.last_at, one.ended_at)
        self.requests += 1 + one.polls
        self.polls[one.polls] += 1
        self.slow_downs += one.slow_downs
        took = max(0.0, one.ended_at - one.asked_at)
        if state in _ANSWERED:
            self.seconds[min(LONGEST, int(took))] += 1

    def __len__(self) -> int:
        """Return the number of counted results."""
        return self.states.total()

    @property
    def requests_each(self) -> float | None:
        """Mean requests per login; None if nobody was asked."""
        return self.requests / self.asked if self.asked else None

    def median(self) -> float | None:
        """Return the median seconds to an answer; expired logins count as longer. None if fewer than half answered."""
        answered = self.seconds.total()
        if not answered:
            return None
        half = (answered + self.states[State.EXPIRED]) / 2
        passed = 0
        for second in sorted(self.seconds):
            if passed + self.seconds[second] >= half:
                return second + (half - passed) / self.seconds[second]
            passed += self.seconds[second]
        return None
