"""Polling less, because the provider says when there is something to fetch."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from idura_ciba.polling.basic import Fixed
from idura_ciba.polling.final_poll import FinalPoll
from idura_ciba.polling.strategy import (
    Learning,
    PollView,
    Record,
    Strategy,
    StrategyLike,
    as_strategy,
    next_poll,
)

__all__ = ["WhenPinged", "usual"]

#: Seconds from one poll to the next while no ping has come: what a lost ping costs at most.
SELDOM = 30.0
#: Seconds after a ping for which polls keep the provider's interval: long enough for the parts of a provider to agree.
#: Then it may have been wrong, and polls are seldom again.
EAGER = 30.0


@frozen(init=False)
class WhenPinged:
    """Polls seldom until the provider pings, and then as often as it allows.

    The poll right after a ping is not this strategy's: it leaves whatever the strategy, as soon as the interval allows.
    For a client that gets pings (`CibaClient(pings=...)`), whose default this is, within `FinalPoll`. A login of a
    minute takes two polls instead of twelve, and one whose ping is lost is noticed up to half a minute later.

    Args:
        fallback: When to poll while there is no ping: any strategy or function. None: `Fixed(30.0)`.
    """

    inner: Strategy = field(alias="fallback", converter=as_strategy)
    #: The fallback's `Learning.finished`; None if it does not learn.
    finished: Callable[[Record], None] | None = field(init=False, eq=False, repr=False)

    @finished.default
    def _find_finished(self) -> Callable[[Record], None] | None:
        return self.inner.finished if isinstance(self.inner, Learning) else None

    def __init__(self, fallback: StrategyLike | None = None) -> None:
        # Written out for type checkers: attrs would show the converted type of `fallback`.
        self.__attrs_init__(Fixed(SELDOM) if fallback is None else fallback)

    def next_poll(self, view: PollView) -> float | None:
        """The floor after a ping; otherwise the fallback's instant."""
        if view.pinged_at is not None and view.now < view.pinged_at + EAGER:
            return view.not_before
        return next_poll(self.inner, view)


def usual(*, pinged: bool) -> FinalPoll:
    """What a client polls by whose caller has not chosen: as often as the provider allows, or seldom between pings."""
    return FinalPoll(WhenPinged() if pinged else Fixed())
