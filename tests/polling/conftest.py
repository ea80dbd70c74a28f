"""What the tests of the strategies share."""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

import pytest

from idura_ciba.polling.strategy import Poll, PollView


class ViewMaker(Protocol):
    """Makes a view for a strategy."""

    def __call__(self, *, heard_at: float | None = None, **changes: Any) -> PollView:
        """A view of a login of 120 s, sent at 99.5 and acknowledged at 100.

        Args:
            heard_at: When the last poll was answered; None for before the first poll.
            **changes: Anything else of the view.
        """
        ...


@pytest.fixture(scope="session")
def view() -> ViewMaker:
    """Makes views in which everything that a test does not name is ordinary."""

    def make(*, heard_at: float | None = None, **changes: Any) -> PollView:
        usual: dict[str, Any] = {
            "now": 100.0 if heard_at is None else heard_at,
            "requested_at": 99.5,
            "acknowledged_at": 100.0,
            "earliest_end": 219.5,
            "latest_end": 220.0,
            "interval": 5.0,
            "attempt": 1 if heard_at is None else 2,
            "last": None if heard_at is None else Poll(heard_at - 0.1, heard_at, "pending"),
            "hint": None,
            "hint_since": None,
            "key": ("urn:grn:authn:se:bankid", 120.0),
            "rng": Random(1),
            **changes,
        }
        usual.setdefault("not_before", usual["now"] + usual["interval"])
        return PollView(**usual)

    return make
