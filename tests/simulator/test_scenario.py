"""Tests of scripts and of the crowd."""

from __future__ import annotations

import math
from collections import Counter
from statistics import median

import pytest

from idura_ciba.simulator import Crowd, Script
from idura_ciba.simulator.people import dice


def test_an_approval_passes_through_all_steps() -> None:
    """The app is opened, the request agreed to, the person identifies."""
    script = Script.approve(after=8)
    assert script.decision == "approved"
    assert 0 < script.opened_after < script.acknowledged_after < script.after == 8
    assert [script.phase(elapsed) for elapsed in (0, script.opened_after, script.acknowledged_after, 8)] == [0, 1, 2, 2]


def test_an_approval_can_be_immediate() -> None:
    """Without a time the person has answered before the first poll."""
    assert Script.approve().after == 0
    assert Script.approve().phase(0) == 2


@pytest.mark.parametrize(
    ("opened_after", "acknowledged_after", "opened", "acknowledged"),
    [(1, 2, 1, 2), (9, None, 9, 9), (None, 1, 1, 1), (1, None, 1, 7.1), (None, 6, 4.5, 6)],
)
def test_steps_can_be_named_one_by_one(
    opened_after: float | None, acknowledged_after: float | None, opened: float, acknowledged: float
) -> None:
    """What is left open fits round what is named."""
    for script in (
        Script.approve(10, opened_after=opened_after, acknowledged_after=acknowledged_after),
        Script.deny(10, opened_after=opened_after, acknowledged_after=acknowledged_after),
    ):
        assert script.opened_after == opened
        assert script.acknowledged_after == pytest.approx(acknowledged)


@pytest.mark.parametrize("steps", [{"opened_after": -1}, {"opened_after": 11}, {"acknowledged_after": 10.1}])
def test_a_script_cannot_run_backwards(steps: dict[str, float]) -> None:
    """Steps out of order are refused at once."""
    with pytest.raises(ValueError, match="opened_after <= acknowledged_after <= after"):
        Script.approve(10, **steps)


def test_denials_and_wrong_words_are_a_no() -> None:
    """Idura tells both alike."""
    assert Script.deny(3).decision == "denied"
    assert Script.wrong_words(3) == Script.deny(3)


def test_never_stays_where_it_is() -> None:
    """Without times the app is never opened; with them the person gets as far as that."""
    assert Script.never().phase(10**9) == 0
    assert Script.never(opened_after=3).phase(10**9) == 1
    assert Script.never(opened_after=3, acknowledged_after=5).phase(10**9) == 2
    assert Script.never().decision is None


def test_a_script_hides_whose_number_is_returned() -> None:
    """No number in a repr."""
    assert "209602294564" not in repr(Script.approve(answered_by="209602294564"))


def test_the_crowd_has_the_shares_and_medians_that_it_states() -> None:
    """One in ten never answers, some say no, the app is open after about seven seconds."""
    made_up = dice(1)
    scripts = [Crowd()(made_up) for _ in range(5000)]
    fates = Counter(script.decision for script in scripts)
    assert fates[None] / 5000 == pytest.approx(0.10, abs=0.015)
    assert fates["denied"] / 5000 == pytest.approx(0.08, abs=0.015)
    answering = [script for script in scripts if script.decision]
    assert median(script.opened_after for script in answering) == pytest.approx(7, rel=0.05)
    assert median(script.after - script.acknowledged_after for script in answering) == pytest.approx(4.5, rel=0.05)
    assert all(script.after < math.inf for script in answering)


def test_a_crowd_can_be_of_one_mind() -> None:
    """The shares are settings."""
    made_up = dice(1)
    crowd = Crowd(never=0.0, deny=1.0)
    assert {crowd(made_up).decision for _ in range(50)} == {"denied"}
