"""Replicas that join, die, close and are cut off at any moments: each seed is another story, on a virtual clock."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from attrs import define, field

from idura_ciba import State
from idura_ciba.errors import CibaError
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.simulator import Script, SimulatedIdura
from tests.fakes import swede, swedish_number
from tests.fleet.replicas import Line, MakeFleet, kill

pytestmark = pytest.mark.unmeasured

PEOPLE = 60
#: Statements whose answers are lost now and then.
LOSABLE = ("hold", "accept", "end", "beat", "take", "bury", "note", "withdraw", "share", "release")


@define(eq=False)
class Replica:
    """One process, and its line to the store."""

    line: Line
    fleet: Fleet


@define(eq=False)
class Story:
    """What happens."""

    dice: Random
    make: MakeFleet
    store: SqliteStore
    rate: float | None
    replicas: list[Replica] = field(factory=list)

    async def join(self) -> None:
        """One more."""
        line = Line(self.store)
        self.replicas.append(Replica(line, await self.make(line, rate=self.rate)))

    async def begin(self, nth: int) -> None:
        """Somebody asks for this login until there is one, wherever they are sent."""
        await asyncio.sleep(self.dice.uniform(0, 40))
        while True:
            try:
                async with asyncio.timeout(30):
                    await self.dice.choice(self.replicas).fleet.start(swede(nth), id=f"case {nth}")
            except CibaError as error:
                if error.code in {"already_pending", "login_id", "indeterminate"}:
                    return
            except TimeoutError:
                pass
            else:
                return
            await asyncio.sleep(2)

    async def trouble(self) -> None:
        """Something happens to some replica."""
        chosen, chance = self.dice.choice(self.replicas), self.dice.random()
        if chance < 0.3 and len(self.replicas) < 4:
            await self.join()
        elif chance < 0.6:
            self.replicas.remove(chosen)
            await self.join()
            if chance < 0.5:
                chosen.line.cut()
                await kill(chosen.fleet)
            else:
                await chosen.fleet.close()
        elif chance < 0.8:
            chosen.line.cut()
            asyncio.get_running_loop().call_later(self.dice.uniform(1, 20), chosen.line.mend)
        else:
            chosen.line.losing = {self.dice.choice(LOSABLE)}

    async def outcome(self, nth: int) -> State | None:
        """How a login ended; None where nobody was asked in the end."""
        fleet = self.replicas[-1].fleet
        if await self.store.get(f"case {nth}") is None:
            return None
        return (await (await fleet.get(f"case {nth}")).outcome()).state


@pytest.mark.parametrize("rate", [None, 20.0])
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_nobody_is_asked_twice_and_no_login_is_lost(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore, seed: int, rate: float | None
) -> None:
    """As long as one replica lives at the end; what is indeterminate was under way when something happened."""
    dice = Random(seed)
    decisions: list[Callable[..., Script]] = [
        dice.choice([Script.approve, Script.approve, Script.deny]) for _ in range(PEOPLE)
    ]
    for nth, decide in enumerate(decisions):
        simulated_idura.script(swedish_number(nth), decide(after=dice.uniform(2, 60)))
    story, troubles = Story(dice, replica, store, rate), dice.randint(6, 16)
    for _ in range(2):
        await story.join()
    beginning = [asyncio.create_task(story.begin(nth)) for nth in range(PEOPLE)]
    for _ in range(troubles):
        await asyncio.sleep(dice.uniform(0.1, 8))
        await story.trouble()
    async with asyncio.timeout(1000):
        await asyncio.wait(beginning, timeout=200)
        await story.join()
        found = [await story.outcome(nth) for nth in range(PEOPLE)]
    for task in beginning:
        task.cancel()
    summary = simulated_idura.ledger.summary(math.inf)
    asked = Counter(order.person for order in simulated_idura.ledger.orders)
    assert max(asked.values()) == 1
    assert [summary[count] for count in ("collisions", "slow_downs", "overlapping")] == [0, 0, 0]
    unsure = [state in {None, State.INDETERMINATE} for state in found]
    for state, decide, is_unsure in zip(found, decisions, unsure, strict=True):
        assert is_unsure or state is (State.APPROVED if decide == Script.approve else State.DENIED)
    assert sum(unsure) <= 4 * troubles
