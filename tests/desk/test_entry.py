"""Tests of a login as the desk knows it."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from idura_ciba import Phase, State
from idura_ciba.desk.entry import DETAILS_LOST, Entry
from idura_ciba.fleet import FleetOutcome

ENTRY = Entry(id="a" * 32, nth=3, eid="no", label="Norwegian BankID", note="Case 1", asked_at=10.0, words="red cow")


def test_an_approval_of_nobody_knows_whom_is_no_answer() -> None:
    """It was fetched before, and never written down."""
    entry = ENTRY.ended(FleetOutcome(State.APPROVED, delivered=True), at=20.0)
    assert (entry.state, entry.code, entry.verdict, entry.phase) == (
        State.INDETERMINATE,
        DETAILS_LOST,
        "unknown",
        Phase.INDETERMINATE,
    )
    assert ENTRY.ended(FleetOutcome(State.DENIED, delivered=True), at=20.0).verdict == "no"


@pytest.mark.parametrize("name", [None, "", "  ", 17, ["a"]])
def test_a_name_that_is_none_is_not_shown(name: object) -> None:
    """The claim is foreign."""
    assert ENTRY.ended(FleetOutcome(State.APPROVED, claims={"name": name}), at=20.0).name is None


def test_a_name_reads_as_it_is_written() -> None:
    """No character of it turns the text around or hides a part: U+202E would show another name."""
    entry = ENTRY.ended(FleetOutcome(State.APPROVED, claims={"name": "Eva \u202eavE"}), at=20.0)
    assert entry.name == "Eva \\u202eavE"
    long = ENTRY.ended(FleetOutcome(State.APPROVED, claims={"name": "Å" * 5000}), at=20.0)
    assert long.name is not None
    assert len(long.name) <= 301


@pytest.mark.parametrize(
    ("state", "code", "verdict"),
    [
        (State.SUBMITTING, None, "asking"),
        (State.PENDING, None, "asking"),
        (State.IN_DOUBT, None, "asking"),
        (State.HANDED_OVER, None, "asking"),
        (State.APPROVED, None, "unconfirmed"),
        (State.DENIED, "denied", "no"),
        (State.EXPIRED, "expired", "no"),
        (State.ABANDONED, "abandoned", "stopped"),
        (State.REJECTED, "provider_error", "trouble"),
        (State.FAILED, "never_connected", "trouble"),
        (State.FAILED, "id_token_person", "distrusted"),
        (State.FAILED, "id_token_clock", "trouble"),
        (State.INDETERMINATE, "unheard", "unknown"),
    ],
)
def test_every_state_has_a_verdict(state: State, code: str | None, verdict: str) -> None:
    """Only an approval that names the person is a yes."""
    assert evolve(ENTRY, state=state, code=code).verdict == verdict


def test_what_is_kept_comes_back() -> None:
    """All but how far the person is, and the words, which the fleet has."""
    ended = ENTRY.ended(FleetOutcome(State.APPROVED, claims={"name": "Testina"}, person_confirmed=True), at=20.0)
    members = json.loads(json.dumps(ended.kept()))
    assert Entry.read(ended.id, members) == ended
    open_again = Entry.read(ENTRY.id, ENTRY.kept())
    assert (open_again.phase, open_again.words, open_again.note) == (Phase.UNKNOWN, None, "Case 1")


def test_a_repr_says_nothing_of_anybody() -> None:
    """Names, notes and words end up in crash reports otherwise."""
    entry = evolve(ENTRY, name="Testina Provholm", hint="said so")
    assert not any(secret in repr(entry) for secret in ("Testina", "Case 1", "red cow", "said so"))
