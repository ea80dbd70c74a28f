"""Machines that join, die and are cut off at any moments of a batch: each seed is another story, on a virtual clock."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import suppress
from random import Random

import pytest
from attrs import define, field

from idura_ciba import State
from idura_ciba.errors import CibaError
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.shared_batch import Plan
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.simulator import Script, SimulatedIdura
from tests.fakes import swedes, swedish_number
from tests.fleet.replicas import Line, MakeFleet, kill

pytestmark = pytest.mark.unmeasured

EVERYBODY = swedes(330)
KEYS = sorted(key for key, _ in EVERYBODY)
#: Seconds of a story at most.
PATIENCE = 3000.0


@define(eq=False)
class Machine:
    """One process: its line to the store, its part of the batch, and the file that it writes."""

    line: Line
    fleet: Fleet
    part: list[str] = field(factory=list)
    states: Counter[State] = field(factory=Counter)
    whole: list[str] | None = None
    work: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin the file anew."""
        self.part.clear()
        self.states.clear()

    async def run(self) -> None:
        """Until the batch is over."""
        plan = Plan(is_whole=True, begin=self.begin, max_in_flight=90)
        shared = self.fleet.share_batch("november", EVERYBODY, plan)
        async for result, _ in shared.results():
            self.part.append(result.key)
            self.states[result.state] += 1
        if shared.is_written:
            self.whole = list(self.part)
            await shared.finish()

    async def die(self) -> None:
        """As by SIGKILL: nothing that it does reaches anybody any more."""
        self.line.cut()
        await kill(self.fleet)
        assert self.work is not None
        self.work.cancel()


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_everybody_is_asked_once_and_one_file_is_whole(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore, seed: int
) -> None:
    """As long as one machine lives at the end; whoever is in doubt was under way when a machine died."""
    dice = Random(seed)
    for nth in range(len(EVERYBODY)):
        simulated_idura.script(swedish_number(nth), Script.approve(after=dice.uniform(2, 25)))
    machines: list[Machine] = []
    dead: list[Machine] = []

    async def join() -> None:
        line = Line(store)
        machine = Machine(line, await replica(line))
        machine.work = asyncio.create_task(machine.run())
        machines.append(machine)

    await join()
    for _ in range(dice.randint(4, 14)):
        await asyncio.sleep(dice.choice([0.1, 1, 4, 12]) * dice.random())
        machine, chance = dice.choice(machines), dice.random()
        if chance < 0.35 and len(machines) < 4:
            await join()
        elif chance < 0.7:
            machines.remove(machine)
            dead.append(machine)
            await machine.die()
            await join()
        elif chance < 0.85:
            machine.line.cut()
            asyncio.get_running_loop().call_later(dice.uniform(1, 20), machine.line.mend)
        else:
            machine.line.losing = {
                dice.choice(["claim_slice", "finish_slice", "known", "conclude", "hold", "take_results"])
            }
    async with asyncio.timeout(PATIENCE):
        while not any(machine.whole for machine in machines):  # noqa: ASYNC110 - any of them
            await asyncio.sleep(1)
        for machine in machines:
            assert machine.work is not None
            with suppress(CibaError):
                await machine.work
    wholes = [machine for machine in [*machines, *dead] if machine.whole is not None]
    assert all(sorted(machine.whole or ()) == KEYS for machine in wholes)
    states = wholes[-1].states
    assert set(states) <= {State.APPROVED, State.INDETERMINATE}
    assert max(Counter(order.person for order in simulated_idura.ledger.orders).values()) == 1
    assert simulated_idura.ledger.summary(math.inf)["collisions"] == 0
    assert simulated_idura.ledger.summary(math.inf)["slow_downs"] == 0
