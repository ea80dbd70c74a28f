"""The last poll before the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from idura_ciba.polling.early_end import GUARD, EarlyEnd
from idura_ciba.polling.strategy import (
    Indexed,
    Learning,
    PollView,
    Record,
    Strategy,
    StrategyLike,
    as_strategy,
    check_duration,
    next_poll,
)

__all__ = ["GUARD", "FinalPoll"]

#: Least seconds allowed for a round trip, so that the poll before the last one does not push the last past the end.
ROUND_TRIP = 0.25
#: Seconds. A poll that leaves this close to the end arrives after it.
TOO_LATE = 0.05
#: Seconds of delay that a missed decision counts as: the person has to be asked again.
MISSED = 30.0


@frozen(eq=False)
class FinalPoll:
    """Places one poll just before the end, whatever the inner strategy says, and fits the one before it.

    Providers check the clock before they look for an answer, so an approval that is not fetched by the end is lost.
    With a 30 s lifetime and a 5 s interval this saves nine in ten of the answers that would be missed; at 120 s it
    costs nothing. If the inner strategy gives up, the last poll still goes out.

    A provider that counts whole seconds may end up to two seconds early. The first login that shows it moves the last
    polls of all later ones forward by as much (`idura_ciba.polling.early_end` has the rules). Have one object for each
    provider, as clients do by themselves.

    Args:
        inner: Any strategy or function.
        guard: Seconds before the earliest possible end at which the last poll leaves, at least. 1.2 for a provider of
            which you know that it rounds down: then not even the first login shows it.
    """

    inner: Strategy = field(converter=as_strategy)
    guard: float = GUARD
    # Looked up once: `isinstance` with a protocol costs as much as the rest of a decision.
    _learning: Callable[[Record], None] | None = field(init=False, repr=False)
    _indexed: Indexed | None = field(init=False, repr=False)
    _early: EarlyEnd = field(init=False, repr=False)

    @_learning.default
    def _find_learning(self) -> Callable[[Record], None] | None:
        # A wrapper has None here if the strategy inside does not learn.
        return self.inner.finished if isinstance(self.inner, Learning) else None

    @_early.default
    def _on_time(self) -> EarlyEnd:
        return EarlyEnd(self.guard)

    @_indexed.default
    def _find_indexed(self) -> Indexed | None:
        return self.inner if isinstance(self.inner, Indexed) else None

    def __init__(self, inner: StrategyLike, guard: float = GUARD) -> None:
        # Written out for type checkers: attrs would show the converted type of `inner`.
        check_duration("guard", guard)
        self.__attrs_init__(inner, guard)  # type: ignore[attr-defined]

    def next_poll(self, view: PollView) -> float | None:
        """The inner strategy's instant, moved if needed to make room for the last poll."""
        urgent_at, spacing = self._final_poll(view)
        wanted = next_poll(self.inner, view)
        if wanted is None or wanted >= urgent_at:
            if view.not_before <= urgent_at:
                return urgent_at
            return view.not_before if view.not_before < view.earliest_end - TOO_LATE else None
        remaining = urgent_at - wanted
        if remaining < spacing:
            # The last poll would come too soon after this one: poll earlier, or skip straight to the last.
            earlier = urgent_at - spacing
            return earlier if earlier >= view.not_before else urgent_at
        if remaining < 2 * spacing and remaining > wanted - view.heard_at:
            # Exactly one more poll fits before the last: split the remaining time evenly.
            middle = min((view.heard_at + urgent_at) / 2, urgent_at - spacing)
            return max(view.not_before, middle)
        return wanted

    @property
    def distance(self) -> float:
        """Seconds before the earliest possible end at which last polls leave: the guard, or what was learned."""
        return self._early.distance

    def finished(self, record: Record) -> None:
        """See how the login ended, and let the inner strategy learn."""
        self._early.learn(record)
        if self._learning is not None:
            self._learning(record)

    def export(self) -> dict[str, Any]:
        """Return how early this provider's logins have ended; the inner strategy has an export of its own."""
        return self._early.export()

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Keep the distance that other processes have found to be needed.

        Raises:
            UsageError: One is not an export; nothing was changed.
        """
        self._early.consult(exports)

    def index(self, view: PollView, at: float) -> float:
        """The inner index; it stands still while a poll would cost the last one, and jumps when the last one is due.

        The jump is 30 s times the probability that there is an answer to miss. If the inner strategy has no index, an
        answer is assumed to have been waiting since the last answer from the provider.
        """
        urgent_at, spacing = self._final_poll(view)
        if at >= urgent_at:
            return self._inner_index(view, at) + self._at_stake(view, urgent_at)
        return self._inner_index(view, min(at, urgent_at - spacing))

    def due(self, view: PollView, price: float) -> float:
        """When the index reaches the price; the last poll if the inner one would be too close to it or later."""
        urgent_at, spacing = self._final_poll(view)
        at = self._inner_due(view, price)
        if at <= urgent_at - spacing:
            return at
        return max(urgent_at, self._inner_due(view, price - self._at_stake(view, urgent_at)))

    def _final_poll(self, view: PollView) -> tuple[float, float]:
        """When the last poll leaves, and for how many seconds before it no other may leave."""
        return view.earliest_end - self._early.distance, view.interval + max(ROUND_TRIP, _round_trip(view))

    def _at_stake(self, view: PollView, urgent_at: float) -> float:
        # The slope of an index is the probability that there is an answer by then.
        return MISSED * (self._inner_index(view, urgent_at) - self._inner_index(view, urgent_at - 1.0))

    def _inner_index(self, view: PollView, at: float) -> float:
        return max(0.0, at - view.heard_at) if self._indexed is None else self._indexed.index(view, at)

    def _inner_due(self, view: PollView, price: float) -> float:
        if self._indexed is not None:
            return self._indexed.due(view, price)
        return view.heard_at + max(0.0, price)


def _round_trip(view: PollView) -> float:
    """Seconds of the last round trip; 0 after a poll that the provider held, which says nothing about the network."""
    if view.last is None:
        return min(view.acknowledged_at - view.requested_at, view.interval)
    taken = view.last.received_at - view.last.sent_at
    return taken if taken < view.interval else 0.0
