"""Tests of a login that this worker asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from idura_ciba.fleet.own import Own
from idura_ciba.fleet.store import Owned


def test_it_shows_what_there_is() -> None:
    """And nothing where there is nothing."""
    transaction: Any = SimpleNamespace(spoken_words="red house", reference=None)
    own = Own(Owned("a", 1), transaction)
    own.show()
    assert own.shown == {"words": "red house", "phase": "unknown"}
    own.show("outstandingTransaction", "waiting")
    assert own.shown == {"words": "red house", "hint": "outstandingTransaction", "phase": "waiting"}
