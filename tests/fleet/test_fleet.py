"""Tests of replicas that are one client, in one process and on a virtual clock; trouble has a file of its own."""

from __future__ import annotations

import asyncio
import json

import pytest

from idura_ciba import AlreadyPending, NorwegianBankID, Phase, ProviderError, State, UsageError
from idura_ciba.errors import StoreError
from idura_ciba.fleet import Fleet, FleetLogin
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Change
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number
from tests.fleet.replicas import Line, MakeFleet
from tests.logins import NORWEGIAN, SWEDE, MakeClient, on, swedish

# --- one login, on any replica ----------------------------------------------------------------------------------------


async def test_a_login_is_seen_and_fetched_on_another_replica(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """With its words, its progress and its end; afterwards nothing of the person is left."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=20, opened_after=6, acknowledged_after=12))
    one, two = await replica(), await replica()
    begun = await one.start(NorwegianBankID(NORWEGIAN), id="case 1", reference="call 1")
    assert begun.id == "case 1"
    assert begun.state is State.PENDING
    seen = await two.get("case 1")
    assert seen.spoken_words == begun.spoken_words is not None
    assert (seen.reference, begun.reference) == ("call 1", "call 1")
    updates = [update async for update in seen.updates()]
    assert [update.state for update in updates] == [*[State.PENDING] * (len(updates) - 1), State.APPROVED]
    assert len({update.phase for update in updates}) == len(updates) >= 3
    assert updates[-1].phase is Phase.APPROVED
    assert {update.reference for update in updates} == {"call 1"}
    outcome = await seen.outcome()
    assert outcome.state is State.APPROVED
    assert outcome.claims["name"]
    assert outcome.subject
    assert outcome.id_token is not None
    assert (await seen.outcome()) is outcome
    later = await (await one.get("case 1")).outcome()
    assert (later.state, later.delivered, later.claims, later.subject) == (State.APPROVED, True, {}, None)


async def test_whoever_began_it_gets_the_outcome_too(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """Without asking the store all the time."""
    simulated_idura.script(SWEDE, Script.deny(after=60))
    fleet = await replica()
    login = await fleet.start(swedish())
    assert len(login.id) == 32
    outcome = await login.outcome()
    assert (outcome.state, outcome.code) == (State.DENIED, "denied")
    assert outcome.message is not None
    assert "declined" in outcome.message.lower() or "no" in outcome.message.lower()


async def test_statements_for_a_login_are_few(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Intent, acceptance, end, delivery; and three for each sign of life. Progress is written for whoever watches."""
    simulated_idura.script(SWEDE, Script.approve(after=20, opened_after=5, acknowledged_after=10))
    line = Line(store)
    fleet = await replica(line)
    before, began = line.statements, asyncio.get_running_loop().time()
    login = await fleet.start(swedish())
    assert len([update async for update in login.updates()]) >= 4
    await login.outcome()
    beats = 3 * (asyncio.get_running_loop().time() - began + 1)
    assert line.statements - before <= 4 + beats + 1


async def test_any_replica_can_stop_it_at_once(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """Also the one that began it."""
    simulated_idura.script(SWEDE, Script.never())
    one, two = await replica(), await replica()
    for stopping in (one, two):
        login = await one.start(swede(0 if stopping is one else 1))
        async with asyncio.timeout(0.5):
            assert await (await stopping.get(login.id)).cancel()
            outcome = await login.outcome()
        assert (outcome.state, outcome.code) == (State.ABANDONED, "abandoned")
        assert not await (await two.get(login.id)).cancel()


async def test_a_wish_that_was_not_heard_is_found_when_the_line_is_back(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """A notice is lost with its connection."""
    simulated_idura.script(SWEDE, Script.never())
    line = Line(store)
    one, two = await replica(line), await replica()
    login = await one.start(swedish())
    line.cut()
    assert await (await two.get(login.id)).cancel()
    await asyncio.sleep(1)
    line.mend()
    await asyncio.sleep(1)
    assert one.owns(login.id)
    store._tell(Change(None))  # as after a new connection
    assert (await login.outcome()).state is State.ABANDONED


async def test_an_id_that_nobody_knows_is_told_so(replica: MakeFleet) -> None:
    """It may have been forgotten."""
    fleet = await replica()
    with pytest.raises(StoreError) as caught:
        await fleet.get("nobody's")
    assert caught.value.code == "login_unknown"


# --- one prompt for each person ---------------------------------------------------------------------------------------


async def test_two_replicas_ask_the_same_people_once(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """All at once; whoever is refused learns which login it is, and can go on with it."""
    people = 50
    for nth in range(people):
        simulated_idura.script(swedish_number(nth), Script.approve(after=10))
    replicas = [await replica(), await replica()]

    async def ask(fleet: Fleet, nth: int) -> FleetLogin | AlreadyPending:
        try:
            return await fleet.start(swede(nth))
        except AlreadyPending as error:
            return error

    answers = await asyncio.gather(*(ask(fleet, nth) for nth in range(people) for fleet in replicas))
    begun = {answer.id for answer in answers if isinstance(answer, FleetLogin)}
    refused = [answer for answer in answers if isinstance(answer, AlreadyPending)]
    assert len(begun) == len(refused) == people == len(simulated_idura.ledger.orders)
    assert {error.login_id for error in refused} == begun
    now = virtual_clock().wall()
    assert all(error.until is not None and now < error.until < now + 600 for error in refused)
    found = [await replicas[0].get(str(error.login_id)) for error in refused]
    outcomes = await asyncio.gather(*(login.outcome() for login in found))
    assert {outcome.state for outcome in outcomes} == {State.APPROVED}
    assert {outcome.claims["ssn"] for outcome in outcomes} == {swedish_number(nth) for nth in range(people)}


@pytest.mark.parametrize("state", ["starting", "pending", "given up"])
async def test_a_second_start_on_the_same_replica_is_told_which_login_it_is_too(
    simulated_idura: SimulatedIdura, replica: MakeFleet, state: str
) -> None:
    """Somebody has clicked twice; however far the first one is."""
    simulated_idura.script(SWEDE, Script.never())
    fleet = await replica(transport=MemoryTransport(simulated_idura, clock=virtual_clock(), latency=1))
    first = asyncio.create_task(fleet.start(swedish(), id="case 1"))
    await asyncio.sleep(3)
    if state != "starting":
        login = await first
        if state == "given up":
            await login.cancel()
            await login.outcome()
    with pytest.raises(AlreadyPending) as caught:
        await fleet.start(swedish())
    assert caught.value.login_id == "case 1"
    assert caught.value.until is not None
    assert len(simulated_idura.ledger.orders) == 1
    await first


async def test_a_person_is_free_once_the_provider_has_finished(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """On any replica; and not before, when their login was only given up on."""
    simulated_idura.script(SWEDE, Script.deny(after=3))
    one, two = await replica(), await replica()
    await (await one.start(swedish())).outcome()
    simulated_idura.script(SWEDE, Script.never())
    again = await two.start(swedish())
    await again.cancel()
    await again.outcome()
    with pytest.raises(AlreadyPending) as caught:
        await one.start(swedish())
    assert caught.value.login_id == again.id


async def test_a_refused_request_holds_nobody(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Nor one that was never sent; the person can be asked at once, elsewhere too."""
    simulated_idura.faults += [
        on("bc-authorize", Fault.answer(429), nth=1),
        on("bc-authorize", Fault.answer(401), nth=2),
    ]
    simulated_idura.script(SWEDE, Script.deny(after=3))
    one, two = await replica(), await replica()
    for fleet in (one, two):
        with pytest.raises(ProviderError):
            await fleet.start(swedish(), id="case 1")
        assert await store.get("case 1") is None
    assert (await (await two.start(swedish(), id="case 1")).outcome()).state is State.DENIED


async def test_a_request_of_which_nothing_was_heard_holds_them(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Their phone may have rung."""
    simulated_idura.faults.append(on("bc-authorize", Fault.lose_answer()))
    one, two = await replica(), await replica()
    with pytest.raises(Exception, match="may have reached"):
        await one.start(swedish(), id="case 1")
    outcome = await (await two.get("case 1")).outcome()
    assert (outcome.state, outcome.code) == (State.INDETERMINATE, "start_unknown")
    with pytest.raises(AlreadyPending):
        await two.start(swedish())
    assert (await store.get("case 1")) is not None


# --- nothing of people ------------------------------------------------------------------------------------------------


async def test_nothing_of_a_person_is_in_the_store(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """While they are asked, after they have answered, and after somebody has fetched it."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=10))
    fleet = await replica()
    login = await fleet.start(NorwegianBankID(NORWEGIAN), id="case 1")
    database = store._database
    assert database is not None
    words = str(login.spoken_words)

    def dump() -> str:
        rows = database.execute("SELECT * FROM login").fetchall() + database.execute("SELECT * FROM hold").fetchall()
        return repr(rows)

    dumps = [dump()]
    await asyncio.sleep(20)
    dumps.append(dump())
    outcome = await login.outcome()
    dumps.append(dump())
    assert "ended" in dumps[1]
    assert "delivered" in dumps[2]
    name = str(outcome.claims["name"])
    for text in dumps:
        for secret in (NORWEGIAN, words, name, str(outcome.subject), str(outcome.id_token)):
            assert secret not in text
    for value in (repr(login), repr(outcome), repr(fleet)):
        for secret in (NORWEGIAN, name, str(outcome.subject), words):
            assert secret not in value


async def test_a_snapshot_is_plain_data_over_all_replicas(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """For a health page."""
    simulated_idura.script(SWEDE, Script.never())
    one, two = await replica(rate=20), await replica(rate=20)
    await one.start(swedish())
    await asyncio.sleep(3)
    found = await two.snapshot()
    assert json.loads(json.dumps(found)) == found
    assert [each["logins"] for each in found["workers"]] == [1, 0]
    assert [each["share"] for each in found["workers"]] == [10, 10]
    assert (found["worker"], found["pending"], found["unowned"]) == (two._worker.name, 1, 0)


# --- arguments --------------------------------------------------------------------------------------------------------


async def test_replicas_need_a_secret_of_their_own(make_ciba_client: MakeClient) -> None:
    """Without it a new credential would make what is stored useless; one process with a file is alone with it."""
    ciba = make_ciba_client()
    with pytest.raises(UsageError) as caught:
        Fleet(ciba, "postgresql://127.0.0.1/none")
    assert caught.value.code == "resume_secret"
    with pytest.raises(UsageError):
        Fleet(ciba, lease=0)
    await ciba.close()


async def test_an_id_that_names_the_person_is_refused(replica: MakeFleet) -> None:
    """It stands in the store, and in logs."""
    fleet = await replica()
    with pytest.raises(UsageError):
        await fleet.start(swedish(), id=f"case {SWEDE}")
