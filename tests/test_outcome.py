"""Outcomes as values. How transactions come to them stands in `tests/test_transaction.py`."""

from __future__ import annotations

import pytest

from idura_ciba import Denied, Outcome, State


def test_each_call_raises_an_error_of_its_own() -> None:
    """With the attributes of the first and none of its frames."""
    error = Denied("the person declined")
    error.trace_id = "0123456789abcdef"
    outcome = Outcome(State.DENIED, error=error)
    raised = []
    for _ in range(2):
        with pytest.raises(Denied) as caught:
            outcome.result()
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert error not in raised
    assert error.__traceback__ is None
    assert {item.trace_id for item in raised} == {"0123456789abcdef"}
