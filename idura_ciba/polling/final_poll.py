"""The last poll before the end."""

from __future__ import annotations

from attrs import field, frozen

from idura_ciba.polling.strategy import PollView, Strategy, StrategyLike, as_strategy, check_duration, next_poll

__all__ = ["FinalPoll"]

#: Room for a round trip at least, so that the poll before the last one does not push the last one over the edge.
ROUND_TRIP = 0.25
#: A poll that can leave only this close to the end would arrive after it.
TOO_LATE = 0.05


@frozen
class FinalPoll:
    """Places one poll just before the end, whatever the inner strategy says, and fits the one before it.

    Providers look at the clock before they look for an answer: what was approved and not fetched by the end is lost.
    At 30 s of lifetime and 5 s of interval this saves nine in ten of the answers that would be missed; at 120 s it
    costs nothing. Where the inner strategy gives up, the last poll still goes out.

    Args:
        inner: Any strategy or function.
        guard: Seconds before the earliest possible end at which the last poll leaves. The flat optimum is 0.15 to
            0.3 s; a provider that counts whole seconds and rounds down wants 1.2.
    """

    inner: Strategy = field(converter=as_strategy)
    guard: float = 0.2

    def __init__(self, inner: StrategyLike, guard: float = 0.2) -> None:
        # Spelled out for type checkers: attrs would show the converted type of `inner`.
        check_duration("guard", guard)
        self.__attrs_init__(inner, guard)  # type: ignore[attr-defined]

    def next_poll(self, view: PollView) -> float | None:
        """The inner answer, moved where the last poll asks for it."""
        last_call = view.earliest_end - self.guard
        spacing = view.interval + max(ROUND_TRIP, _round_trip(view))
        wanted = next_poll(self.inner, view)
        if wanted is None or wanted >= last_call:
            if view.not_before <= last_call:
                return last_call
            return view.not_before if view.not_before < view.earliest_end - TOO_LATE else None
        remaining = last_call - wanted
        if remaining < spacing:
            # The last poll would come too soon after this one: ask earlier, or skip straight to the last.
            earlier = last_call - spacing
            return earlier if earlier >= view.not_before else last_call
        if remaining < 2 * spacing and remaining > wanted - view.heard_at:
            # One more poll fits before the last, and only one: share the gaps evenly.
            middle = min((view.heard_at + last_call) / 2, last_call - spacing)
            return max(view.not_before, middle)
        return wanted


def _round_trip(view: PollView) -> float:
    """Seconds from request to answer, as seen last; a poll that the provider held says nothing about the way."""
    if view.last is None:
        return min(view.acknowledged_at - view.requested_at, view.interval)
    taken = view.last.received_at - view.last.sent_at
    return taken if taken < view.interval else 0.0
