"""Tests of replicas that are one client, in one process and on a virtual clock: each has a client of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba import AlreadyPending, NorwegianBankID, Phase, ProviderError, State, UsageError
from idura_ciba.errors import StoreError
from idura_ciba.fleet import Fleet, FleetLogin
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Change, Stage
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number
from tests.logins import NORWEGIAN, SWEDE, MakeClient, on, swedish

SECRET = b"s" * 32
LEASE = 5.0


class Line:
    """A worker's line to the store that all share; it can be cut."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.whole = asyncio.Event()
        self.whole.set()
        #: Statements whose answers are lost: they are carried out all the same.
        self.losing: set[str] = set()
        #: Whether nothing can be connected to, which is told at once.
        self.is_refused = False
        self.statements = 0

    def cut(self) -> None:
        """Nothing comes through from now on."""
        self.whole.clear()

    def mend(self) -> None:
        """What waited goes through."""
        self.whole.set()

    async def open(self) -> None:
        """It is open."""

    async def aclose(self) -> None:
        """The others go on."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name == "changes":
            return self._changes

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self.whole.wait()
            if self.is_refused:
                raise StoreError("refused", code="store_away")
            self.statements += 1
            answer = await method(*args, **kwargs)
            if name in self.losing:
                self.losing.discard(name)
                raise StoreError("lost", code="store_away")
            return answer

        return call

    async def _changes(self) -> AsyncIterator[Any]:
        async for change in self._store.changes():
            if self.whole.is_set():
                yield change


MakeFleet = Callable[..., Awaitable[Fleet]]


@pytest.fixture(name="store")
async def _store() -> AsyncIterator[SqliteStore]:
    """The store of all replicas."""
    store = SqliteStore(clock=virtual_clock())
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture(name="replica")
async def _replica(make_ciba_client: MakeClient, store: SqliteStore) -> AsyncIterator[MakeFleet]:
    """Opens replicas, each with a client of its own, and closes them."""
    opened: list[Fleet] = []

    async def replica(line: Line | None = None, *, rate: float | None = None, **options: Any) -> Fleet:
        ciba = make_ciba_client(resume_secret=SECRET, observers=(), **options)
        fleet = Fleet(ciba, line or Line(store), lease=LEASE, rate=rate, clock=virtual_clock())
        opened.append(await fleet.__aenter__())
        return fleet

    yield replica
    for fleet in opened:
        await fleet.close()


async def kill(fleet: Fleet) -> None:
    """As SIGKILL does: whatever it was about to do never happens."""
    for task in [*fleet._tasks, *fleet._ciba.queue._owner.tasks]:
        task.cancel()
    for own in fleet._own.values():
        fleet._ciba.queue.forget(own.transaction._driver)
    fleet._own.clear()
    fleet._closing = True
    await asyncio.sleep(0)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Fail if it takes longer."""
    async with asyncio.timeout(seconds):
        yield


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
        async with within(0.5):
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
    for task in one._ciba._starter._starting:
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
    async with within(1):
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
