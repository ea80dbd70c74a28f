"""What a strategy is: a function from a view of the transaction to the instant of the next poll.

A strategy keeps no state per transaction. Everything it may use is in the view, so one object serves all transactions
of a client, and a decision can be replayed from a log.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from random import Random
from typing import Any, Literal, Protocol, runtime_checkable

from attrs import field, frozen

from idura_ciba.errors import ArgumentError

__all__ = [
    "Indexed",
    "Learning",
    "Poll",
    "PollView",
    "Record",
    "Shared",
    "Strategy",
    "StrategyLike",
    "as_strategy",
    "check_duration",
    "learns_decisions",
    "next_poll",
    "parts",
    "sharing",
]


@frozen
class Poll:
    """A finished poll. Instants are monotonic seconds.

    Attributes:
        sent_at: When it got its connection.
        received_at: When its answer had arrived, or the poll was given up.
        outcome: `pending` or `slow_down` as answered; `unanswered` if there was no valid answer.
        hint: The provider's progress hint; untrusted text.
        retry_after: The provider's `Retry-After` in seconds, if any.
    """

    sent_at: float
    received_at: float
    outcome: Literal["pending", "slow_down", "unanswered"]
    hint: str | None = None
    retry_after: float | None = None


@frozen
class PollView:
    """Everything that a strategy may know. Instants are monotonic seconds, durations seconds.

    Attributes:
        now: The current instant.
        requested_at: When the authentication request was sent.
        acknowledged_at: When its acknowledgement arrived.
        earliest_end: The first instant at which the request may have expired at the provider.
        latest_end: The instant from which the transaction is certainly over.
        interval: Least seconds between polls, including what `slow_down` added.
        not_before: The floor: an earlier instant is raised to it.
        attempt: The number of the next poll, from 1.
        last: The last poll, or None before the first.
        hint: The provider's latest progress hint; untrusted text.
        hint_since: When that hint was first seen.
        key: The kind of login, `(acr_values, expires_in)`; strategies that learn keep kinds apart by it.
        rng: Randomness for strategies that need it; seeded in tests.
        pinged_at: When the provider said that the person has decided (CIBA's ping mode); None if it has not.
    """

    now: float
    requested_at: float
    acknowledged_at: float
    earliest_end: float
    latest_end: float
    interval: float
    not_before: float
    attempt: int
    last: Poll | None
    hint: str | None
    hint_since: float | None
    key: Hashable
    rng: Random = field(repr=False, eq=False)
    pinged_at: float | None = None

    @property
    def heard_at(self) -> float:
        """When the last answer arrived, or the acknowledgement if there was no poll yet."""
        return self.last.received_at if self.last else self.acknowledged_at


@frozen
class Record:
    """The course of one transaction, passed once to strategies that learn. Instants are monotonic seconds.

    The decision is only known to lie between two polls. If the transaction ended without one, it is only known that
    there was no decision before the last poll.

    Attributes:
        key: The kind of login, as in `PollView`.
        requested_at: When the authentication request was sent.
        acknowledged_at: When its acknowledgement arrived.
        answered: Whether the person decided: approved or denied.
        last_pending_at: When the last poll answered `pending` or `slow_down` got its connection, or its answer if the
            provider held it; None if there was no such poll.
        decided_by_at: The same for the poll that brought the decision; None unless `answered`.
        hints: The provider's progress hints, each once and in order, with the instant at which the poll that first
            brought it got its connection; untrusted text.
        announced_end: The first instant at which it may have expired, by the provider's own word; a caller's limit does
            not count.
        expired_between: When the poll got its connection (or, if the provider held it, its answer) that was answered
            `expired_token`, and when that answer had arrived. None if the provider did not say so before the end was
            certainly over, if it may have spoken of an answer that was lost, or if the login was resumed: its instants
            come from a wall clock then, perhaps another machine's.
    """

    key: Hashable
    requested_at: float
    acknowledged_at: float
    answered: bool
    last_pending_at: float | None
    decided_by_at: float | None
    hints: tuple[tuple[str, float], ...] = ()
    announced_end: float = math.inf
    expired_between: tuple[float, float] | None = None


@runtime_checkable
class Strategy(Protocol):
    """Says when to poll next."""

    def next_poll(self, view: PollView) -> float | None:
        """The monotonic instant of the next poll, or None for no further regular poll.

        An instant before `view.not_before` is raised to it. Called once after the acknowledgement and once after each
        answer.
        """
        ...


@runtime_checkable
class Learning(Protocol):
    """Optional part of a strategy: learns from finished transactions."""

    def finished(self, record: Record) -> None:
        """Called once for each transaction that ended, however it ended; must be fast and must not raise."""
        ...


@runtime_checkable
class Shared(Protocol):
    """Optional part of a strategy that learns: shares it with other processes, as the replicas of a fleet do."""

    def export(self) -> dict[str, Any]:
        """What this process has learned by itself, as plain JSON values; nothing of a person, nothing consulted.

        Only strategies of one class, and of one `version` where there is such a member, read each other's.
        """
        ...

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Use the latest exports of the others, in place of those before.

        Raises:
            UsageError: One cannot be read; nothing was changed.
        """
        ...


@runtime_checkable
class Indexed(Protocol):
    """Optional part of a strategy: says how much a poll is worth, for schedulers that cannot serve all.

    Both methods are pure functions of the view, as `next_poll` is, and ignore the floor.
    """

    def index(self, view: PollView, at: float) -> float:
        """Expected seconds that an answer has waited unseen by the instant `at`; never falls as `at` grows."""
        ...

    def due(self, view: PollView, price: float) -> float:
        """The inverse: the first instant at which the index reaches `price`; infinite if it never does."""
        ...


#: A strategy, or a plain function of the view.
StrategyLike = Strategy | Callable[[PollView], float | None]


@frozen
class _FunctionStrategy:
    function: Callable[[PollView], float | None]

    def next_poll(self, view: PollView) -> float | None:
        return self.function(view)


def as_strategy(strategy: StrategyLike) -> Strategy:
    """Return a strategy as it is, and a plain function wrapped as one.

    Raises:
        UsageError: Neither a strategy nor a function.
    """
    if isinstance(strategy, type) or not (isinstance(strategy, Strategy) or callable(strategy)):
        raise ArgumentError(
            "this is not a strategy",
            code="strategy",
            advice="pass an object with next_poll(view), such as Fixed(), or a function of the view",
        )
    return strategy if isinstance(strategy, Strategy) else _FunctionStrategy(strategy)


def parts(strategy: Strategy) -> Iterator[object]:
    """Yield a strategy and what stands in it, as in `FinalPoll`, from the outside in."""
    part: object = strategy
    while part is not None:
        yield part
        part = getattr(part, "inner", None)


def sharing(strategy: Strategy) -> tuple[Shared, ...]:
    """The parts of a strategy that share what they learn."""
    return tuple(part for part in parts(strategy) if isinstance(part, Shared))


def learns_decisions(strategy: Strategy) -> bool:
    """Whether a strategy learns how long people take; what only wraps one, as `FinalPoll` does, learns other things."""
    *_, innermost = parts(strategy)
    return isinstance(innermost, Learning)


def next_poll(strategy: Strategy, view: PollView) -> float | None:
    """Ask a strategy for the next poll and apply the floor; the core calls strategies only through this.

    Raises:
        UsageError: The result is not an instant: NaN, infinite, negative, or not a number. It is never repaired
            silently: a broken strategy that seems to work would only be found in production.
    """
    at = strategy.next_poll(view)
    if at is None:
        return None
    if not _is_time(at):
        raise ArgumentError(
            "the polling strategy returned something other than an instant",
            code="strategy_failed",
            phone="The prompt stays on the phone",
            advice="return an absolute monotonic time from next_poll, or None",
        )
    return max(float(at), view.not_before)


def check_duration(name: str, value: float) -> None:
    """Refuse anything that cannot be a duration or a share of one.

    Raises:
        UsageError: Not a finite number, or negative.
    """
    if not _is_time(value):
        raise ArgumentError(f"{name} must be a finite number of at least 0", code="strategy")


def _is_time(value: object) -> bool:
    # The upper bound refuses infinity and integers too large for a float; NaN fails every comparison.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
