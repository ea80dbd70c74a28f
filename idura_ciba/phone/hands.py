"""Whether the people of a simulated provider act by themselves or are played by hand."""

from __future__ import annotations

from random import Random

from idura_ciba.simulator import Crowd, Population, Script

__all__ = ["Hands"]


class Hands:
    """A population for `SimulatedIdura(people=...)` that can be taken over, and let go again.

    Args:
        crowd: What people do by themselves.
        by_hand: Whether they are played by hand; None: from when somebody opens the page.

    Example:
        >>> hands = Hands(Crowd())
        >>> idura = SimulatedIdura(people=hands)
        >>> hands.by_hand = True
    """

    def __init__(self, crowd: Population = Crowd(), *, by_hand: bool | None = None) -> None:  # noqa: B008 - frozen
        self._crowd = crowd
        self._by_hand = by_hand

    @property
    def by_hand(self) -> bool:
        """Whether whoever is asked from now on is played by hand; may be set."""
        return bool(self._by_hand)

    @by_hand.setter
    def by_hand(self, by_hand: bool) -> None:
        self._by_hand = by_hand

    def page_opened(self) -> None:
        """Somebody is there to play: take over, unless it was decided before."""
        if self._by_hand is None:
            self._by_hand = True

    def __call__(self, dice: Random) -> Script:
        """What one person does with one order."""
        return Script.by_hand() if self._by_hand else self._crowd(dice)
