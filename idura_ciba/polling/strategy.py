"""What a strategy is: one question, asked with all that it may know.

A strategy keeps nothing of a transaction; everything it may use is in the view, so that one object serves every
transaction of a client and a decision can be replayed from a log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from random import Random
from typing import Literal, Protocol, runtime_checkable

from attrs import field, frozen

from idura_ciba.errors import UsageError

__all__ = [
    "Indexed",
    "Learning",
    "Poll",
    "PollView",
    "Record",
    "Strategy",
    "StrategyLike",
    "as_strategy",
    "check_duration",
    "next_poll",
]


@frozen
class Poll:
    """One poll that is over. Instants are monotonic seconds.

    Attributes:
        sent_at: When it had its connection.
        received_at: When its answer had arrived or was given up.
        outcome: `pending` and `slow_down` as answered; `unanswered` for anything that was no answer.
        hint: The provider's word on progress; foreign text.
        retry_after: Seconds, where the provider named some.
    """

    sent_at: float
    received_at: float
    outcome: Literal["pending", "slow_down", "unanswered"]
    hint: str | None = None
    retry_after: float | None = None


@frozen
class PollView:
    """All that a strategy may know. Instants are monotonic seconds, durations seconds.

    Attributes:
        now: The present instant.
        requested_at: When the authentication request was sent.
        acknowledged_at: When the provider had accepted it.
        earliest_end: The first instant at which the provider may have given up.
        latest_end: From here on the transaction is certainly over.
        interval: Seconds at least between polls, as grown by `slow_down`.
        not_before: The floor: no earlier answer is heard.
        attempt: The number of the next poll, from 1.
        last: The last poll, or None before the first.
        hint: The provider's latest word on progress.
        hint_since: When that word was first heard.
        key: What kind of login this is, `(acr_values, expires_in)`; strategies that learn keep apart by it.
        rng: For strategies that want chance; seeded in tests.
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

    @property
    def heard_at(self) -> float:
        """When the provider last said anything: the last answer, or the acknowledgement."""
        return self.last.received_at if self.last else self.acknowledged_at


@frozen
class Record:
    """How one transaction went, told once to strategies that learn. Instants are monotonic seconds.

    When the person decided is only known to lie between two polls, and of a transaction that ended otherwise only that
    it was not before its last poll.

    Attributes:
        key: What kind of login it was, as in `PollView`.
        requested_at: When the authentication request was sent.
        acknowledged_at: When the provider had accepted it.
        answered: Whether the person decided: approved or denied.
        last_pending_at: When the last poll that was answered `pending` or `slow_down` had its connection, or its answer
            where the provider held it; None where there was none.
        decided_by_at: The same of the poll that brought the decision; None unless `answered`.
        hints: The provider's words on progress, each once, in the order in which they came, with when the poll that
            first heard it had its connection; foreign text.
    """

    key: Hashable
    requested_at: float
    acknowledged_at: float
    answered: bool
    last_pending_at: float | None
    decided_by_at: float | None
    hints: tuple[tuple[str, float], ...] = ()


@runtime_checkable
class Strategy(Protocol):
    """Says when to poll next."""

    def next_poll(self, view: PollView) -> float | None:
        """The monotonic instant of the next poll, or None for no further regular poll.

        The core takes the later of this and `view.not_before`. It is asked once after the acknowledgement and once
        after each answer.
        """
        ...


@runtime_checkable
class Learning(Protocol):
    """What a strategy may do besides: learn from what is over."""

    def finished(self, record: Record) -> None:
        """Told once about each transaction that has ended, however it ended; must be quick and must not raise."""
        ...


@runtime_checkable
class Indexed(Protocol):
    """What a strategy may do besides: say how much a poll is worth, for schedulers that have too few of them.

    Both are pure functions of the view, as `next_poll` is, and neither knows of the floor.
    """

    def index(self, view: PollView, at: float) -> float:
        """Seconds that an answer has waited unseen by the instant `at`, in expectation; never falls as `at` grows."""
        ...

    def due(self, view: PollView, price: float) -> float:
        """The inverse: the first instant at which the index reaches `price`; infinite where it never does."""
        ...


#: A strategy, or a plain function of the view.
StrategyLike = Strategy | Callable[[PollView], float | None]


@frozen
class _FunctionStrategy:
    function: Callable[[PollView], float | None]

    def next_poll(self, view: PollView) -> float | None:
        return self.function(view)


def as_strategy(strategy: StrategyLike) -> Strategy:
    """Accept plain functions where a strategy is wanted.

    Raises:
        UsageError: Neither.
    """
    if isinstance(strategy, type) or not (isinstance(strategy, Strategy) or callable(strategy)):
        raise UsageError(
            "this is not a strategy",
            code="strategy",
            advice="pass an object with next_poll(view), such as Fixed(), or a function of the view",
        )
    return strategy if isinstance(strategy, Strategy) else _FunctionStrategy(strategy)


def next_poll(strategy: Strategy, view: PollView) -> float | None:
    """Ask a strategy and apply the floor; the only way in which the core listens to one.

    Raises:
        UsageError: The answer is no instant: NaN, infinite, negative, or no number at all. Nothing is repaired
            silently, because a broken strategy that seems to work is found in production.
    """
    at = strategy.next_poll(view)
    if at is None:
        return None
    if not _is_time(at):
        raise UsageError(
            "the polling strategy answered with something that is no instant",
            code="strategy_failed",
            phone="The prompt stays on the phone",
            advice="return an absolute monotonic time from next_poll, or None",
        )
    return max(float(at), view.not_before)


def check_duration(name: str, value: float) -> None:
    """Refuse what cannot be a duration or a share of one.

    Raises:
        UsageError: Not a finite number, or negative.
    """
    if not _is_time(value):
        raise UsageError(f"{name} is not a finite number of at least 0", code="strategy")


def _is_time(value: object) -> bool:
    # The upper bound refuses infinity as well as whole numbers that no float can hold; NaN is within no bounds.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
