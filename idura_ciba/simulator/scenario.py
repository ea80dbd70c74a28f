"""What people do with their phones: scripts for named people, a random crowd for everybody else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Literal, Self

from attrs import field, frozen

__all__ = ["Crowd", "Population", "Script"]

#: Where a script names only its end: the shares of that time after which the app is open and the request agreed to.
#: They are those of the medians of `Crowd`.
_OPENED, _ACKNOWLEDGED = 0.45, 0.71


@frozen(kw_only=True)
class Script:
    """What one person does with one order. Made with `approve`, `deny`, `never` and `wrong_words`.

    Attributes:
        decision: What the person answers; None for no answer at all.
        after: Seconds from the order to the answer; infinite without one.
        opened_after: Seconds from the order until the app is open.
        acknowledged_after: Seconds from the order until the person has agreed that the request is warranted.
        answered_by: The identity number that the token states, where somebody else holds the phone.
        shares_number: Whether the token carries the number; None leaves it to the eID.
        claims: Claims that replace or extend the usual ones; one with the value `...` is left out.
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
        """Log in after so many seconds."""
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
        """Say no or cancel after so many seconds."""
        opened, acknowledged = _steps(after, opened_after, acknowledged_after)
        return cls(decision="denied", after=after, opened_after=opened, acknowledged_after=acknowledged)

    @classmethod
    def wrong_words(cls, after: float = 0.0) -> Self:
        """Choose the wrong word pair in the app, which Idura reports like any other no."""
        return cls.deny(after)

    @classmethod
    def never(cls, *, opened_after: float = math.inf, acknowledged_after: float = math.inf) -> Self:
        """Leave the order unanswered; without times the app is never opened either."""
        return cls(decision=None, after=math.inf, opened_after=opened_after, acknowledged_after=acknowledged_after)

    def phase(self, elapsed: float) -> int:
        """How far the person has come: 0 the app is not open, 1 the request not agreed to, 2 nobody identified."""
        return (elapsed >= self.opened_after) + (elapsed >= self.acknowledged_after)


def _steps(after: float, opened_after: float | None, acknowledged_after: float | None) -> tuple[float, float]:
    """When the app is open and the request agreed to, filling in what the caller left open."""
    opened = after * _OPENED if opened_after is None else opened_after
    acknowledged = after * _ACKNOWLEDGED if acknowledged_after is None else acknowledged_after
    if opened_after is None:
        opened = min(opened, acknowledged)
    elif acknowledged_after is None:
        acknowledged = max(opened, acknowledged)
    return opened, acknowledged


#: What somebody without a script does. The dice are seeded by the person and the number of the order, so nobody's
#: behaviour depends on who else was asked or when.
Population = Callable[[Random], Script]


@frozen
class Crowd:
    """People as they are: lognormal times for each step, some who never answer, some who say no.

    The figures are assumptions for want of published ones. Each step is (median seconds, sigma of the logarithm).

    Attributes:
        never: Share of people who never open the app.
        deny: Share of people who say no.
        opening: Until the app is open.
        acknowledging: From there until the request is agreed to.
        identifying: From there until the PIN or the finger.
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
