"""Outcomes as values. How transactions come to them stands in `tests/transaction/test_transaction.py`."""

from __future__ import annotations

import pytest

from idura_ciba import (
    Abandoned,
    CibaError,
    ClientRejected,
    Denied,
    HandedOver,
    Indeterminate,
    Outcome,
    ProviderError,
    ResumeError,
    State,
    TransportError,
)


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


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ProviderError("a"), State.REJECTED),
        (ClientRejected("a"), State.REJECTED),
        (Indeterminate("a"), State.INDETERMINATE),
        (TransportError("a"), State.FAILED),
        (ResumeError("a"), State.FAILED),
        (Abandoned("a"), State.ABANDONED),
        (HandedOver("a"), State.HANDED_OVER),
    ],
)
def test_an_error_at_the_start_is_an_outcome_too(error: CibaError, state: State) -> None:
    """Programs read one kind of result, however far a login came."""
    assert Outcome.not_begun(error) == Outcome(state, error=error)
