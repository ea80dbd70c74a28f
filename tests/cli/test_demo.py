"""Tests of `idura-ciba demo`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba import CibaClient, State
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.board import Row
from idura_ciba.cli.demo import perform, scenes, simulated
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura


@pytest.mark.usefixtures("virtually")
def test_the_demonstration_ends_as_it_should(invoke: Callable[..., Any]) -> None:
    """Five people, three eIDs, every way to end, in under twenty seconds, and no poll too early."""
    ran = invoke("demo")
    assert ran.exit_code == 0
    *lines, counts, polls, _disclaimer = ran.stdout.splitlines()
    assert counts == "3 approved, 1 denied, 1 expired in 13.0 s"
    assert polls.endswith("0 of them too early.")
    for label in ("Swedish BankID 1", "Swedish BankID 2", "Norwegian BankID 1", "Norwegian BankID 2", "FrejaID 1"):
        assert sum(label in line for line in lines) >= 2
    assert sum("words: " in line for line in lines) == 2
    assert sum(line.endswith("s") and ", confirmed; after" in line for line in lines) == 2
    assert sum(line.endswith("s") and ", not confirmed; after" in line for line in lines) == 1


def test_all_five_are_different_people_and_every_end_is_expected() -> None:
    """Two orders for one person would cancel each other."""
    cast = scenes()
    assert len({scene.number for scene in cast}) == len({scene.label for scene in cast}) == 5
    assert {type(scene.request).__name__ for scene in cast} == {"SwedishBankID", "NorwegianBankID", "FrejaID"}
    assert all(scene.number not in repr(scene) for scene in cast)


async def test_a_live_table_on_a_terminal(
    connect: Callable[[], CibaClient], idura: SimulatedIdura, paper: Callable[..., Any], clock: Clock
) -> None:
    """All five in one picture, the last of which has all the ends."""
    for scene in scenes():
        idura.script(scene.number, scene.script)
    sheet = paper(terminal=True, width=110)
    async with connect() as client:
        outcomes = await perform(client, scenes(), sheet.console, clock)
    assert [outcome.state.value for outcome in outcomes] == ["approved", "approved", "approved", "denied", "expired"]
    heading, *rows = sheet.lines[-7:-1]
    assert heading.rpartition("\x1b[2K")[2].split() == ["eID", "state", "words", "polls", "time", "progress"]
    assert [row.split("  ")[0] for row in rows] == [scene.label for scene in scenes()]
    assert rows[3].endswith("declined, or picked the wrong words")
    assert rows[4].endswith("never answered")
    assert not any(scene.number in sheet.text for scene in scenes())


@pytest.mark.usefixtures("virtually")
@pytest.mark.parametrize("endpoint", ["bc-authorize", "token"])
def test_another_end_is_a_failure(endpoint: str, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A demonstration that shows something else than it promises says so to the shell."""

    def broken(cast: Any) -> SimulatedIdura:
        def strike(arrival: Arrival) -> Fault | None:
            return Fault.answer(400, {}, b'{"error":"server_error"}') if arrival.endpoint == endpoint else None

        idura = simulated(cast)
        idura.faults.append(strike)
        return idura

    monkeypatch.setattr("idura_ciba.cli.demo.simulated", broken)
    ran = invoke("demo")
    assert ran.exit_code == 1
    assert "0 approved" in ran.stdout
    assert "server_error" in ran.stdout


async def test_rows_begin_when_their_requests_do(
    connect: Callable[[], CibaClient], idura: SimulatedIdura, paper: Callable[..., Any], clock: Clock
) -> None:
    """A scene is a request and nothing more: what the person does is the provider's business."""
    (scene, *_) = scenes()
    idura.script(scene.number, Script.deny(after=1))
    sheet = paper()
    async with connect() as client:
        (outcome,) = await perform(client, [scene], sheet.console, clock)
    assert outcome.state is State.DENIED
    assert sheet.lines[-1].endswith("declined, or picked the wrong words; after 1.0 s")
    assert Row("a").time(0.0) == ""
