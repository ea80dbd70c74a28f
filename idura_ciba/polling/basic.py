"""Strategies that learn nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen
from tenacity import RetryCallState, Retrying

from idura_ciba.errors import ArgumentError
from idura_ciba.polling.strategy import PollView, check_duration

if TYPE_CHECKING:
    from tenacity.wait import WaitBaseT

__all__ = ["Backoff", "Fixed", "Proportional"]


@frozen
class Fixed:
    """Polls as often as the provider allows; no strategy detects an answer sooner.

    Args:
        seconds: Seconds from the last answer to the next poll. None: the provider's interval.
    """

    seconds: float | None = field(default=None)

    def __attrs_post_init__(self) -> None:
        if self.seconds is not None:
            check_duration("seconds", self.seconds)

    def next_poll(self, view: PollView) -> float:
        """The floor, or `seconds` after the last answer."""
        return view.not_before if self.seconds is None else view.heard_at + self.seconds


@frozen
class Proportional:
    """Grows the gap with the elapsed time: `max(interval, alpha * elapsed)`.

    Saves most of the polls of people who never answer, delays an answer by at most `alpha` times the time the person
    took, and needs no history.

    Args:
        alpha: The share. 0.05 saves at least half the polls of a 900 s login, and almost none of a 120 s one.
    """

    alpha: float = field(default=0.05)

    def __attrs_post_init__(self) -> None:
        check_duration("alpha", self.alpha)

    def next_poll(self, view: PollView) -> float:
        """`alpha` times the elapsed time, counted from the last answer."""
        return view.heard_at + self.alpha * (view.heard_at - view.requested_at)


@frozen
class Backoff:
    """Adapts a tenacity wait, such as `Backoff(wait_exponential(max=30))`; the provider's interval is the floor.

    Useful only if you already have such an object: a longer `Fixed` is never worse. Waits that read an exception or a
    result do not work here, because a pending answer is neither. Random waits draw from Python's global generator.

    Args:
        wait: Any `tenacity.wait` object, or a function of a retry state; it may read `attempt_number`.
    """

    wait: WaitBaseT

    def __attrs_post_init__(self) -> None:
        # A class is callable too, and `Backoff(wait_fixed)` is an easy slip.
        if isinstance(self.wait, type) or not callable(self.wait):
            raise ArgumentError(
                "this is not a tenacity wait", code="strategy", advice="pass an object such as wait_exponential(max=30)"
            )

    def next_poll(self, view: PollView) -> float:
        """The wait for the next attempt, counted from the last answer."""
        state = RetryCallState(retry_object=_RETRYING, fn=None, args=(), kwargs={})
        state.attempt_number = view.attempt
        return view.heard_at + float(self.wait(state))


#: RetryCallState requires a controller; this one never retries anything.
_RETRYING = Retrying()
