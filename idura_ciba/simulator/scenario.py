"""What people do with their phones: scripts for specific people, a random crowd for everybody else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Literal, Self

from attrs import field, frozen

__all__ = ["Crowd", "Population", "Script"]

#: For scripts that give only `after`: the shares of it after which the app is open and the request is acknowledged.
#: They follow from the medians of `Crowd`.
_OPENED, _ACKNOWLEDGED = 0.45, 0.71


@frozen(kw_only=True)
class Script:
    """What one person does with one order. Made with `approve`, `deny`, `never`, `wrong_words` and `by_hand`.

    Attributes:
        decision: The person's answer; None: no answer.
        after: Seconds from the order to the answer; infinite without one.
        opened_after: Seconds from the order until the app is open.
        acknowledged_after: Seconds from the order until the person has acknowledged the request.
        answered_by: The identity number in the token, if another person answers.
        shares_number: Whether the token carries the number; None: as the eID does.
        claims: Claims that replace or extend the usual ones; a claim with the value `...` is left out.
    """

    decision: Literal["approved", "denied"] | None
    after: float
    opened_after: float
    acknowledged_after: float
    answered_by: str | None = field(default=None, repr=False)
    shares_number: bool | None = None
    claims: Mapping[str, object] = field(factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse a script that runs backwards."""
        if not 0 <= self.opened_after <= self.acknowledged_after <= self.after:
            msg = "a script needs 0 <= opened_after <= acknowledged_after <= after"
            raise ValueError(msg)

    @classmethod
    def approve(
        cls,
        after: float = 0.0,
        *,
        opened_after: float | None = None,
        acknowledged_after: float | None = None,
        answered_by: str | None = None,
        shares_number: bool | None = None,
        claims: Mapping[str, object] | None = None,
    ) -> Self:
        """Log in after `after` seconds."""
        opened, acknowledged = _steps(after, opened_after, acknowledged_after)
        return cls(
            decision="approved",
            after=after,
            opened_after=opened,
            acknowledged_after=acknowledged,
            answered_by=answered_by,
            shares_number=shares_number,
            claims=claims or {},
        )

    @classmethod
    def deny(
        cls, after: float = 0.0, *, opened_after: float | None = None, acknowledged_after: float | None = None
    ) -> Self:
        """Decline or cancel after `after` seconds."""
        opened, acknowledged = _steps(after, opened_after, acknowledged_after)
        return cls(decision="denied", after=after, opened_after=opened, acknowledged_after=acknowledged)

    @classmethod
    def wrong_words(cls, after: float = 0.0) -> Self:
        """Choose the wrong word pair in the app, which Idura reports like any other denial."""
        return cls.deny(after)

    @classmethod
    def never(cls, *, opened_after: float = math.inf, acknowledged_after: float = math.inf) -> Self:
        """Leave the order unanswered; by default the app is never opened either."""
        return cls(decision=None, after=math.inf, opened_after=opened_after, acknowledged_after=acknowledged_after)

    @classmethod
    def by_hand(cls) -> Self:
        """Do nothing, until somebody plays the person: see `SimulatedIdura.phones`."""
        return cls.never()

    def phase(self, elapsed: float) -> int:
        """The phase: 0 before the app is open, 1 before the request is acknowledged, 2 before identification."""
        return (elapsed >= self.opened_after) + (elapsed >= self.acknowledged_after)


def _steps(after: float, opened_after: float | None, acknowledged_after: float | None) -> tuple[float, float]:
    """When the app is open and when the request is acknowledged, with defaults filled in."""
    opened = after * _OPENED if opened_after is None else opened_after
    acknowledged = after * _ACKNOWLEDGED if acknowledged_after is None else acknowledged_after
    if opened_after is None:
        opened = min(opened, acknowledged)
    elif acknowledged_after is None:
        acknowledged = max(opened, acknowledged)
    return opened, acknowledged


#: Draws what a person without a script does. The generator is seeded by the person and the number of the order, so a
#: person's behaviour does not depend on who else is asked, or when.
Population = Callable[[Random], Script]


@frozen
class Crowd:
    """Realistic people: lognormal times for each step, some who never answer, some who decline.

    The figures are assumptions, because none are published. Each step is (median seconds, sigma of the logarithm).

    Attributes:
        never: Share of people who never open the app.
        deny: Share of people who decline.
        opening: Until the app is open.
        acknowledging: From there until the request is acknowledged.
        identifying: From there until the PIN or fingerprint.
    """

    never: float = 0.10
    deny: float = 0.08
    opening: tuple[float, float] = (7.0, 0.6)
    acknowledging: tuple[float, float] = (4.0, 0.5)
    identifying: tuple[float, float] = (4.5, 0.5)

    def __call__(self, dice: Random) -> Script:
        """Draw what one person does with one order."""
        steps = (self.opening, self.acknowledging, self.identifying)
        opened, acknowledged, identified = (dice.lognormvariate(math.log(median), sigma) for median, sigma in steps)
        fate = dice.random()
        if fate < self.never:
            return Script.never()
        return Script(
            decision="denied" if fate < self.never + self.deny else "approved",
            opened_after=opened,
            acknowledged_after=opened + acknowledged,
            after=opened + acknowledged + identified,
        )
