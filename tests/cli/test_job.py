"""Tests of how a run of a batch ends. Whole runs are in `test_batch.py`."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from idura_ciba.batch import Result
from idura_ciba.batch.tally import Tally
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.job import Ending
from idura_ciba.errors import JournalError, UsageError
from idura_ciba.protocol.machine import State


def tally(*states: State) -> Tally:
    """Logins that ended so."""
    made = Tally()
    for nth, state in enumerate(states):
        settled = {State.APPROVED: None, State.DENIED: "denied", State.EXPIRED: "expired"}
        code = settled.get(state, f"code_{state.value}")
        made.add(Result(key=str(nth), state=state, code=code, asked_at=10.0, ended_at=14.0, polls=3))
    return made


def ending(*states: State, **options: Any) -> Ending:
    """The end of a run in which everybody ended so."""
    made = Ending(whole=tally(*states), this=tally(*states), bad=0, begun=0, seconds=75.0, stopped=False)
    return evolve(made, **options)


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (ending(), ExitCode.OK),
        (ending(State.APPROVED, State.DENIED, State.EXPIRED), ExitCode.OK),
        (ending(State.APPROVED, State.INDETERMINATE), ExitCode.PARTLY),
        (ending(State.FAILED), ExitCode.PARTLY),
        (ending(State.REJECTED), ExitCode.PARTLY),
        (ending(State.ABANDONED), ExitCode.PARTLY),
        (ending(State.APPROVED, bad=1), ExitCode.PARTLY),
        (ending(State.APPROVED, stopped=True), ExitCode.INTERRUPTED),
    ],
    ids=["nobody", "answers", "indeterminate", "failed", "rejected", "abandoned", "bad rows", "stopped"],
)
def test_the_shell_is_told_whether_somebody_has_to_look(made: Ending, code: ExitCode) -> None:
    """A no is an answer; what is not known and rows that nobody could be asked by are none."""
    assert made.code is code


def test_a_login_at_whose_end_the_provider_was_not_heard_needs_a_look() -> None:
    """Nobody knows what the person did."""
    unheard = Tally()
    unheard.add(Result(key="k", state=State.INDETERMINATE, code="unheard", asked_at=1.0, ended_at=2.0))
    made = evolve(ending(), whole=unheard)
    assert made.code is ExitCode.PARTLY
    assert "  1 x unheard" in list(made.lines())


def test_a_person_is_told_what_came_of_it() -> None:
    """Counts, costs, and errors by their word."""
    lines = list(ending(State.APPROVED, State.APPROVED, State.FAILED, bad=2).lines())
    assert lines == [
        "Total: 2 approved, 1 failed, 2 invalid rows; median answer 4.5 s, 4.0 requests per login.",
        "This run: 3 results in 1 min 15 s.",
        "  1 x code_failed",
    ]
    assert list(ending().lines()) == ["Total: no results.", "This run: 0 results in 1 min 15 s."]


def test_what_is_left_to_do_is_said() -> None:
    """With the option that does it, and whom the next run goes on with."""
    for count, logins in ((1, "1 login"), (2, "2 logins")):
        assert list(ending(*[State.INDETERMINATE] * count).lines())[-1] == (
            f"The answer to {logins} is unknown. To ask these people again, get their agreement first, then pass "
            "--retry-indeterminate."
        )
    for made in (ending(stopped=True, begun=4), ending(begun=4, error=JournalError("full"))):
        assert list(made.lines())[-1] == (
            "Stopped before the end with 4 logins pending. Run the same command to resume."
        )
    assert list(ending(stopped=True).lines())[-1] == "Stopped before the end. Run the same command to resume."
    assert list(ending(stopped=True, begun=4, goes_on=False).lines())[-1] == "Stopped before the end."
    for begun, pending in ((0, ""), (1, " with 1 login pending")):
        made = ending(begun=begun, error=UsageError("a key belongs to another person"))
        assert list(made.lines())[-1] == f"Stopped before the end{pending}."
