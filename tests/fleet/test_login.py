"""Tests of what a caller holds of a login; `test_fleet.py` has how it behaves on several replicas."""

from __future__ import annotations

import asyncio

from idura_ciba import Denied, Outcome, State
from idura_ciba.fleet.login import FleetOutcome, Watch, written
from idura_ciba.simulator import Script, SimulatedIdura
from tests.logins import SWEDE, MakeClient, swedish


async def test_an_outcome_is_read_as_it_was_written(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """With everything of a login, or with what went wrong."""
    simulated_idura.script(SWEDE, Script.approve(after=3))
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish(), reference="call 7")).outcome()
    login = outcome.authentication
    assert login is not None
    found = FleetOutcome.of("approved", written(outcome))
    assert (found.state, found.subject, found.claims, found.id_token, found.acr, found.person_confirmed) == (
        *(State.APPROVED, login.subject, login.claims, login.id_token, login.acr, True),
    )
    assert (found.trace_id, found.reference, found.code, found.delivered) == (login.trace_id, "call 7", None, False)
    assert SWEDE not in repr(found)
    error = Denied("the person said no", phone="The prompt is gone")
    found = FleetOutcome.of("denied", written(Outcome(State.DENIED, error=error)))
    assert (found.code, found.message, found.subject) == ("denied", str(error), None)


async def test_whoever_waits_is_woken_by_a_change_of_what_they_wait_for() -> None:
    """Or by one of anything; a change between asking and waiting is not missed."""
    watch = Watch()
    one, same, other = watch.next("a"), watch.next("a"), watch.next("b")
    watch.changed("c")
    assert not one.is_set()
    watch.changed("a")
    await asyncio.wait_for(asyncio.gather(one.wait(), same.wait()), 1)
    assert not other.is_set()
    assert not watch.next("a").is_set()
    watch.changed(None)
    assert other.is_set()
