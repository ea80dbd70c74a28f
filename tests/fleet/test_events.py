"""Tests of what observers hear of what happens among replicas."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import Any

import pytest

from idura_ciba import State
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.observe import FleetEvent, log_events
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fleet.replicas import LEASE, Line, MakeFleet, kill
from tests.logins import SWEDE, swedish

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Heard(list[tuple[str, FleetEvent]]):
    """The events of a fleet, and in whose context each was told."""

    def __call__(self, event: object) -> None:
        """An observer."""
        if isinstance(event, FleetEvent):
            self.append((WHO.get(), event))

    def kinds(self) -> list[str]:
        """What happened."""
        return [event.kind for _, event in self]

    def only(self, kind: str) -> tuple[str, FleetEvent]:
        """The one event of this kind."""
        (found,) = ((who, event) for who, event in self if event.kind == kind)
        return found


async def test_a_death_is_told_by_whoever_takes_over(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """Who is dead, and which login goes on here, under its reference; in nobody's context."""
    simulated_idura.script(SWEDE, Script.approve(after=40))
    heard = [Heard(), Heard()]
    WHO.set("opener")
    one, two = [await replica(observers=[each]) for each in heard]
    await asyncio.sleep(2 * LEASE)
    assert [each.kinds() for each in heard] == [["joined"], ["joined"]]
    WHO.set("caller")
    login = await one.start(swedish(), id="case 1", reference="call 7")
    dead, now = one._worker.name, virtual_clock().wall()
    await kill(one)
    assert (await (await two.get(login.id)).outcome()).state is State.APPROVED
    assert heard[1].kinds() == ["joined", "buried", "taken_over"]
    who, buried = heard[1].only("buried")
    assert (who, buried.worker, buried.logins, buried.login) == ("nobody", dead, 0, None)
    assert now < buried.at < virtual_clock().wall()
    who, taken = heard[1].only("taken_over")
    assert (who, taken.worker, taken.logins, taken.login) == ("nobody", two._worker.name, 1, "case 1")
    assert taken.reference == "call 7"
    assert taken.transaction is not None
    found = {worker.name: worker.taken_over for worker in (await two._store.census()).workers}
    assert found == {two._worker.name: 1}


async def test_whoever_is_cut_off_tells_what_it_asks_no_more(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """In the context of who began the login; and, back again, that it was declared dead and joins anew."""
    simulated_idura.script(SWEDE, Script.approve(after=60))
    heard, line = Heard(), Line(store)
    with caplog.at_level(logging.INFO, logger="idura_ciba"):
        one = await replica(line, observers=[heard, log_events])
        await replica()
        await asyncio.sleep(2 * LEASE)
        WHO.set("caller")
        await one.start(swedish(), id="case 1", reference="call 7")
        former = one._worker.name
        line.cut()
        await asyncio.sleep(4 * LEASE)
        line.mend()
        await asyncio.sleep(LEASE)
    assert heard.kinds() == ["joined", "fenced", "declared_dead", "joined"]
    who, fenced = heard.only("fenced")
    assert (who, fenced.worker, fenced.login, fenced.reference, fenced.code) == (
        *("caller", former, "case 1", "call 7", "fenced"),
    )
    who, dead = heard.only("declared_dead")
    assert (who, dead.worker, dead.logins, dead.login) == ("nobody", former, 0, None)
    told = {record.getMessage(): record.levelno for record in caplog.records if " %s of the fleet:" in record.msg}
    assert told == {
        f"worker {former} of the fleet: joined": logging.INFO,
        f"login case 1 (call 7) of the fleet: fenced by worker {former} (code fenced)": logging.INFO,
        f"worker {former} of the fleet: declared dead": logging.WARNING,
        f"worker {one._worker.name} of the fleet: joined": logging.INFO,
    }


async def test_whoever_was_paused_tells_how_many_logins_are_others(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Those that it still had."""
    simulated_idura.script(SWEDE, Script.never())
    heard = Heard()
    one = await replica(observers=[heard])
    await one.start(swedish())
    await store.leave(one._worker.name)
    await asyncio.sleep(2)
    assert heard.only("declared_dead")[1].logins == 1


async def test_what_nobody_can_go_on_with_is_told_with_its_code(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """No transaction has it, so nothing else would say so."""
    del simulated_idura
    await store.join("dead")
    await store.hold("case 1", b"tag", "dead", seconds=600)
    heard: Any = Heard()
    fleet = await replica(observers=[heard])
    await asyncio.sleep(3 * LEASE)
    _, ended = heard.only("ended")
    assert (ended.login, ended.worker, ended.code, ended.logins) == ("case 1", fleet._worker.name, "interrupted", 1)
    assert (ended.transaction, ended.reference) == (None, None)
