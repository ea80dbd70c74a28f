"""Tests of replicas that die, pause, are cut off or closed, and of a store that is away: no login is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba import AlreadyPending, State
from idura_ciba.errors import StoreError
from idura_ciba.fleet import FleetLogin
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Stage
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number
from tests.fleet.replicas import LEASE, Line, MakeFleet, kill
from tests.logins import SWEDE, on, swedish

# --- death, pause and partition ---------------------------------------------------------------------------------------


async def test_a_dead_replica_loses_no_login(simulated_idura: SimulatedIdura, replica: MakeFleet) -> None:
    """They are polled again within a lease, a sign of life, an interval and a second; who waits elsewhere gets them."""
    people = 20
    for nth in range(people):
        simulated_idura.script(swedish_number(nth), Script.approve(after=40))
    one, two = await replica(), await replica()
    await asyncio.sleep(2 * LEASE)
    logins = [await one.start(swede(nth), reference=f"call {nth}") for nth in range(people)]
    waiting = [asyncio.create_task((await two.get(login.id)).outcome()) for login in logins]
    await kill(one)
    killed_at = virtual_clock().wall()
    polled = [order.polls for order in simulated_idura.ledger.orders]
    await asyncio.sleep(LEASE + LEASE / 5 + 5 + 1)
    assert all(order.polls > before for order, before in zip(simulated_idura.ledger.orders, polled, strict=True))
    assert virtual_clock().wall() - killed_at < 20
    outcomes = await asyncio.gather(*waiting)
    assert {outcome.state for outcome in outcomes} == {State.APPROVED}
    assert {outcome.reference for outcome in outcomes} == {f"call {nth}" for nth in range(people)}
    assert simulated_idura.ledger.summary()["collisions"] == 0


async def test_what_a_dead_replica_was_about_to_ask_is_indeterminate(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """And its person stays held: nobody knows whether their phone rang."""
    one, two = await replica(), await replica()
    await asyncio.sleep(2 * LEASE)
    simulated_idura.faults.append(on("bc-authorize", Fault.delay(20)))
    asking = asyncio.create_task(one.start(swedish(), id="case 1"))
    await asyncio.sleep(1)
    for task in one._ciba._starter.context.tasks:
        task.cancel()
    await kill(one)
    asking.cancel()
    outcome = await (await two.get("case 1")).outcome()
    assert (outcome.state, outcome.code) == (State.INDETERMINATE, "interrupted")
    with pytest.raises(AlreadyPending):
        await two.start(swedish())


async def test_a_replica_that_is_cut_off_sends_no_poll_once_its_lease_is_over(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """The others go on; when it is back it is somebody else, and its callers get the outcome all the same."""
    simulated_idura.script(SWEDE, Script.approve(after=60))
    line = Line(store)
    one, two = await replica(line), await replica()
    await asyncio.sleep(2 * LEASE)
    login = await one.start(swedish())
    former = one._worker.name
    line.cut()
    waiting = asyncio.create_task(login.outcome())
    await asyncio.sleep(4 * LEASE)
    assert two.owns(login.id)
    line.mend()
    outcome = await waiting
    assert outcome.state is State.APPROVED
    assert one._worker.name != former
    books = simulated_idura.ledger.summary()
    assert (books["slow_downs"], books["overlapping"], books["lost_approvals"]) == (0, 0, 0)


async def test_whoever_is_paused_before_its_request_leaves_rings_nobody_twice(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """The intent has ended indeterminate by then; the late prompt changes nothing of that, and its person is held."""
    line = Line(store)
    one, two = await replica(line), await replica()
    await asyncio.sleep(2 * LEASE)
    simulated_idura.script(SWEDE, Script.approve(after=5))
    simulated_idura.faults.append(on("bc-authorize", Fault.delay(3 * LEASE)))
    starting = asyncio.create_task(one.start(swedish(), id="case 1"))
    await asyncio.sleep(1)
    line.cut()
    await asyncio.sleep(3 * LEASE)
    line.mend()
    login = await starting
    outcome = await login.outcome()
    assert (outcome.state, outcome.code) == (State.INDETERMINATE, "interrupted")
    assert not one.owns("case 1")
    with pytest.raises(AlreadyPending):
        await two.start(swedish())
    assert len(simulated_idura.ledger.orders) == 1


@pytest.mark.parametrize("away", [LEASE / 2, 1.5 * LEASE, 3 * LEASE])
async def test_a_store_that_refuses_everybody_for_a_while_costs_no_login(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore, away: float
) -> None:
    """Also if every lease is over by then, and nobody can be told that a login was let go."""
    people = 10
    for nth in range(people):
        simulated_idura.script(swedish_number(nth), Script.approve(after=45))
    lines = [Line(store), Line(store)]
    one, two = await replica(lines[0]), await replica(lines[1])
    await asyncio.sleep(2 * LEASE)
    logins = [await one.start(swede(nth)) for nth in range(people)]
    waiting = [asyncio.create_task((await two.get(login.id)).outcome()) for login in logins]
    await asyncio.sleep(1)
    for line in lines:
        line.is_refused = True
    await asyncio.sleep(away)
    for line in lines:
        line.is_refused = False
    for task in waiting:
        task.cancel()
    outcomes = await asyncio.gather(*[(await two.get(login.id)).outcome() for login in logins])
    assert {outcome.state for outcome in outcomes} == {State.APPROVED}
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


@pytest.mark.parametrize("lost", ["take", "let_go", "end", "accept", "note"])
async def test_an_answer_of_the_store_that_is_lost_costs_no_login(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore, lost: str
) -> None:
    """It was carried out, and nobody here knows: what the store says is ours and we do not have is let go."""
    simulated_idura.script(SWEDE, Script.approve(after=60))
    lines = [Line(store), Line(store)]
    one, two = await replica(lines[0]), await replica(lines[1])
    await asyncio.sleep(2 * LEASE)
    for line in lines:
        line.losing.add(lost)
    login = await one.start(swedish(), id="case 1")
    await asyncio.sleep(5)
    await kill(one)
    outcome = await (await two.get(login.id)).outcome()
    assert outcome.state is State.APPROVED
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_a_person_whose_hold_was_not_heard_of_is_not_blocked_for_ever(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Nobody was asked; the intent ends, and they are free when a prompt would be gone."""
    simulated_idura.script(SWEDE, Script.deny(after=3))
    line = Line(store)
    fleet = await replica(line)
    await asyncio.sleep(2 * LEASE)
    line.losing.add("hold")
    with pytest.raises(StoreError):
        await fleet.start(swedish(), id="case 1")
    assert simulated_idura.ledger.orders == []
    outcome = await (await fleet.get("case 1")).outcome()
    assert (outcome.state, outcome.code) == (State.INDETERMINATE, "interrupted")
    with pytest.raises(AlreadyPending) as caught:
        await fleet.start(swedish())
    assert caught.value.until is not None
    await asyncio.sleep(caught.value.until - virtual_clock().wall() + 1)
    assert (await (await fleet.start(swedish())).outcome()).state is State.DENIED


async def test_nobody_is_asked_while_the_store_is_away(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Nobody could know of it."""
    line = Line(store)
    fleet = await replica(line)
    line.cut()
    await asyncio.sleep(2 * LEASE)
    with pytest.raises(StoreError) as caught:
        await fleet.start(swedish())
    assert caught.value.code == "store_away"
    assert simulated_idura.ledger.orders == []
    line.mend()


async def test_a_decision_outlives_a_store_that_is_away(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """It comes while the line is cut, and is stored when it is back."""
    simulated_idura.script(SWEDE, Script.approve(after=2))
    line = Line(store)
    fleet = await replica(line)
    login = await fleet.start(swedish())
    line.cut()
    await asyncio.sleep(LEASE - 1)
    assert (await store.get(login.id)).stage is Stage.PENDING  # type: ignore[union-attr]
    line.mend()
    assert (await login.outcome()).state is State.APPROVED


async def test_nobody_is_declared_dead_by_whoever_has_just_come(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """After a restart of the store everybody looks dead for a moment."""
    simulated_idura.script(SWEDE, Script.never())
    lines = [Line(store), Line(store)]
    one, two = await replica(lines[0]), await replica(lines[1])
    await asyncio.sleep(2 * LEASE)
    login = await one.start(swedish())
    names = [one._worker.name, two._worker.name]
    for line in lines:
        line.cut()
    await asyncio.sleep(2 * LEASE)
    for line in lines:
        line.mend()
    await asyncio.sleep(LEASE)
    assert [one._worker.name, two._worker.name] == names
    await asyncio.sleep(2 * LEASE)
    assert one.owns(login.id) or two.owns(login.id)
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


# --- deploys ----------------------------------------------------------------------------------------------------------


async def test_a_replica_that_is_closed_hands_over_without_doubt(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """Another one polls within an interval and a second."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    one, two = await replica(), await replica()
    await asyncio.sleep(2 * LEASE)
    login = await one.start(swedish())
    await asyncio.sleep(7)
    await one.close()
    stored = await store.get(login.id)
    assert stored is not None
    assert '"in_doubt":false' in str(two._sealing.show_token(login.id, str(stored.token)))
    polled = simulated_idura.ledger.orders[0].polls
    await asyncio.sleep(5 + 1)
    assert simulated_idura.ledger.orders[0].polls > polled
    assert (await (await two.get(login.id)).outcome()).state is State.APPROVED
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


@pytest.mark.parametrize("decide", [Script.approve, Script.deny])
async def test_an_answer_that_died_with_its_replica_is_in_doubt_whatever_came_before(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore, decide: Callable[..., Script]
) -> None:
    """The one before had handed over without doubt; who goes on must not take that for the last word."""
    simulated_idura.script(SWEDE, decide(after=9))
    one, three = await replica(), await replica()
    line = Line(store)
    two = await replica(line)
    await asyncio.sleep(2 * LEASE)
    login = await one.start(swedish())
    three._share.granted.clear()  # the second takes it, and not the third
    await asyncio.sleep(4)
    await one.close()
    await asyncio.sleep(4)
    assert two.owns(login.id)
    line.cut()
    await asyncio.sleep(6)  # it has the answer, and cannot store it
    await kill(two)
    three._share.granted.set()
    outcome = await (await three.get(login.id)).outcome()
    assert outcome.state is State.INDETERMINATE


async def test_whoever_waits_where_the_replica_is_closed_is_told_so(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """Wherever the person is asked from; the login itself goes on."""
    for nth in range(2):
        simulated_idura.script(swedish_number(nth), Script.approve(after=40))
    one, two = await replica(), await replica()
    logins = [await one.start(swede(0)), await one.get((await two.start(swede(1))).id)]
    waiting = [asyncio.create_task(login.outcome()) for login in logins]
    streams = [asyncio.create_task(follow(login)) for login in logins]
    await asyncio.sleep(7)
    await one.close()
    async with asyncio.timeout(1):
        outcomes, seen = await asyncio.gather(*waiting), await asyncio.gather(*streams)
    assert {(outcome.state, outcome.code) for outcome in outcomes} == {(State.HANDED_OVER, "handed_over")}
    assert all(states[-1] is State.PENDING for states in seen)
    for login in logins:
        assert (await (await two.get(login.id)).outcome()).state is State.APPROVED


async def follow(login: FleetLogin) -> list[State]:
    """The states that its updates show."""
    return [update.state async for update in login.updates()]


async def test_the_last_replica_leaves_what_the_next_one_finds(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """A deploy of a service that has only one."""
    simulated_idura.script(SWEDE, Script.approve(after=40))
    one = await replica()
    login = await one.start(swedish(), id="case 1")
    waiting = asyncio.create_task(login.outcome())
    await asyncio.sleep(7)
    await one.close()
    waiting.cancel()
    two = await replica()
    assert (await (await two.get("case 1")).outcome()).state is State.APPROVED


async def test_a_login_in_the_midst_of_its_start_is_handed_over_too(
    simulated_idura: SimulatedIdura, replica: MakeFleet
) -> None:
    """Closing waits for the provider's answer, and stores it."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=1)
    one = await replica(transport=transport)
    starting = asyncio.create_task(one.start(swedish(), id="case 1"))
    await asyncio.sleep(3)
    await one.close()
    await starting
    two = await replica()
    assert (await (await two.get("case 1")).outcome()).state is State.APPROVED


async def test_a_token_that_cannot_be_read_here_is_left_to_others(
    simulated_idura: SimulatedIdura,
    replica: MakeFleet,
    store: SqliteStore,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A replica with another secret says so once, and whoever has the right one goes on."""
    simulated_idura.script(SWEDE, Script.approve(after=40))
    one = await replica()
    login = await one.start(swedish(), id="case 1")
    await one.close()
    stored = await store.get(login.id)
    assert stored is not None
    stranger = await replica()
    other = Sealing(b"other", AESGCM(b"other" * 6 + b"xx"))
    monkeypatch.setattr(stranger._worker._resume.__self__, "_sealing", other)  # type: ignore[attr-defined]  # a method
    await asyncio.sleep(3 * LEASE)
    assert caplog.text.count("cannot be resumed here") == 1
    two = await replica()
    assert (await (await two.get("case 1")).outcome()).state is State.APPROVED
