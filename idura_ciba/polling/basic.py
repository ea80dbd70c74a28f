"""Strategies without a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen
from tenacity import RetryCallState, Retrying

from idura_ciba.errors import UsageError
from idura_ciba.polling.strategy import PollView, check_duration

if TYPE_CHECKING:
    from tenacity.wait import WaitBaseT

__all__ = ["Backoff", "Fixed", "Proportional"]


@frozen
class Fixed:
    """Polls as often as the provider allows: nothing detects an answer sooner.

    Args:
        seconds: Poll only this often, counted from the last answer; None for the provider's own interval.
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
    """Lets the gaps grow with the time that has passed: `max(interval, alpha * elapsed)`.

    Saves most polls of people who never answer, costs at most a share `alpha` of the time they took, needs no history.

    Args:
        alpha: The share; 0.05 saves half the polls and more at 900 s and almost nothing at 120 s.
    """

    alpha: float = field(default=0.05)

    def __attrs_post_init__(self) -> None:
        check_duration("alpha", self.alpha)

    def next_poll(self, view: PollView) -> float:
        """A share of the elapsed time after the last answer."""
        return view.heard_at + self.alpha * (view.heard_at - view.requested_at)


@frozen
class Backoff:
    """Adapts a tenacity wait: `Backoff(wait_exponential(max=30))`, floored by the provider's interval.

    For those who have such an object already; a longer `Fixed` is never worse. Waits that look at an exception or a
    result are of no use here, since a pending answer is neither; random ones draw from Python's global generator.

    Args:
        wait: Any `tenacity.wait` object or function of a retry state; reads `attempt_number`.
    """

    wait: WaitBaseT

    def __attrs_post_init__(self) -> None:
        # A class can be called too, and `Backoff(wait_fixed)` is an easy slip.
        if isinstance(self.wait, type) or not callable(self.wait):
            raise UsageError(
                "this is not a tenacity wait", code="strategy", advice="pass an object such as wait_exponential(max=30)"
            )

    def next_poll(self, view: PollView) -> float:
        """The wait after the attempts so far, counted from the last answer."""
        state = RetryCallState(retry_object=_RETRYING, fn=None, args=(), kwargs={})
        state.attempt_number = view.attempt
        return view.heard_at + float(self.wait(state))


#: RetryCallState wants a controller; nothing is ever retried with this one.
_RETRYING = Retrying()
