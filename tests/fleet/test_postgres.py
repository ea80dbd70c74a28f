"""Tests of replicas over PostgreSQL: real processes that are killed, real time, a provider over sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from idura_ciba import AlreadyPending, CibaClient, ClientSecretPost, FinalPoll, HazardAware, PhaseAware, State
from idura_ciba.eids.phase import Phase
from idura_ciba.errors import ProviderError, StoreError
from idura_ciba.fleet import Fleet, FleetLogin, FleetOutcome
from idura_ciba.fleet.store import Others, Store
from idura_ciba.polling.strategy import Record
from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.fakes import swede, swedish_number
from tests.fleet.cable import cable
from tests.fleet.conftest import Postgres

pytestmark = [pytest.mark.sockets, pytest.mark.unmeasured]

CLIENT_ID, SECRET, RESUME = "urn:my:app", "known to both", b"r" * 32
LEASE = 1.0

#: A replica that begins logins, says so, and waits to be killed.
PROGRAM = """
import asyncio, sys
from idura_ciba import CibaClient, ClientSecretPost
from idura_ciba.fleet import Fleet, FleetLogin, FleetOutcome
from tests.fakes import swede

async def main(issuer, dsn, people):
    auth = ClientSecretPost("urn:my:app", "known to both")
    ciba = CibaClient(issuer, auth, resume_secret=b"r" * 32, observers=(), id_token_algorithms=("ES256",))
    async with Fleet(ciba, dsn, lease=1.0) as fleet:
        for nth in range(int(people)):
            await fleet.start(swede(nth), id=f"case {nth}")
        print("begun", flush=True)
        await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(name="idura")
async def _idura() -> AsyncIterator[SimulatedIdura]:
    """A provider over sockets."""
    idura = SimulatedIdura(seed=1, signing_alg="ES256", interval=1)
    idura.register_client(CLIENT_ID, secret=SECRET)
    async with SimulatorServer(idura):
        yield idura


@asynccontextmanager
async def replica(idura: SimulatedIdura, store: str | Store, **options: Any) -> AsyncIterator[Fleet]:
    """One of the replicas."""
    auth = ClientSecretPost(CLIENT_ID, SECRET)
    ciba = CibaClient(idura.issuer, auth, resume_secret=RESUME, observers=(), id_token_algorithms=("ES256",), **options)
    async with Fleet(ciba, store, lease=LEASE) as fleet:
        yield fleet


async def begun_elsewhere(idura: SimulatedIdura, dsn: str, people: int) -> Process:
    """A process that has begun a login of each of so many people."""
    arguments = [sys.executable, "-c", PROGRAM, idura.issuer, dsn, str(people)]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    return process


async def test_replicas_are_one_client(idura: SimulatedIdura, dsn: str) -> None:
    """The same people on both at once, fetched on the other one, and stopped from there within half a second."""
    people = 20
    for nth in range(people):
        idura.script(swedish_number(nth), Script.approve(after=2))
    idura.script(swedish_number(99), Script.never())
    async with replica(idura, dsn) as one, replica(idura, dsn) as two:
        both = [("a", one), ("b", two)]
        starts = [fleet.start(swede(nth), id=f"{name} {nth}") for nth in range(people) for name, fleet in both]
        answers = await asyncio.gather(*starts, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, AlreadyPending)]
        begun = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert len(refused) == len(begun) == len(idura.ledger.orders) == people
        assert {error.login_id for error in refused} == {login.id for login in begun}
        elsewhere = [await (two if login.id.startswith("a") else one).get(login.id) for login in begun]
        outcomes = await asyncio.gather(*(login.outcome() for login in elsewhere))
        assert {outcome.claims["ssn"] for outcome in outcomes} == {swedish_number(nth) for nth in range(people)}
        login = await one.start(swede(99))
        async with asyncio.timeout(0.5):
            await (await two.get(login.id)).cancel()
            assert (await login.outcome()).state is State.ABANDONED


async def test_a_killed_process_loses_no_login(idura: SimulatedIdura, dsn: str) -> None:
    """Its logins are polled again within lease, sign of life, interval and a second."""
    people = 10
    for nth in range(people):
        idura.script(swedish_number(nth), Script.approve(after=8))
    async with replica(idura, dsn) as fleet:
        process = await begun_elsewhere(idura, dsn, people)
        logins = [await fleet.get(f"case {nth}") for nth in range(people)]
        assert not any(fleet.owns(login.id) for login in logins)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        polled = [order.polls for order in idura.ledger.orders]
        await asyncio.sleep(LEASE + LEASE / 5 + 1 + 1)
        assert all(order.polls > before for order, before in zip(idura.ledger.orders, polled, strict=True))
        outcomes = await asyncio.gather(*(login.outcome() for login in logins))
    assert {outcome.state for outcome in outcomes} == {State.APPROVED}
    books = idura.ledger.summary()
    assert (books["orders"], books["slow_downs"], books["lost_approvals"]) == (people, 0, 0)


async def test_a_paused_process_polls_nothing_that_is_anothers(idura: SimulatedIdura, dsn: str) -> None:
    """Three leases asleep: woken again it finds out by itself that it was declared dead."""
    people = 10
    for nth in range(people):
        idura.script(swedish_number(nth), Script.approve(after=9))
    async with replica(idura, dsn) as fleet:
        process = await begun_elsewhere(idura, dsn, people)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3 * LEASE)
        assert all(fleet.owns(f"case {nth}") for nth in range(people))
        process.send_signal(signal.SIGCONT)
        logins = [await fleet.get(f"case {nth}") for nth in range(people)]
        outcomes = await asyncio.gather(*(login.outcome() for login in logins))
        process.kill()
        await process.wait()
    assert {outcome.state for outcome in outcomes} == {State.APPROVED}
    books = idura.ledger.summary()
    assert (books["slow_downs"], books["lost_approvals"], books["overlapping"]) == (0, 0, 0)


async def test_what_one_has_learned_the_others_know(idura: SimulatedIdura, dsn: str) -> None:
    """That nothing may leave, within two seconds; and how long people take, when it has been closed."""
    learning = HazardAware()
    async with replica(idura, dsn, strategy=FinalPoll(learning)) as one, replica(idura, dsn) as two:
        one._ciba.queue.refused(sent_at=asyncio.get_running_loop().time(), retry_after=30.0)
        await asyncio.sleep(2)
        assert two._ciba.queue._engine.budget.ready_at(queued=False) > asyncio.get_running_loop().time() + 20
        assert (await one.snapshot())["closed"] > 20
        for _ in range(20):
            learning.finished(Record("kind", 0.0, 0.0, answered=True, last_pending_at=9.0, decided_by_at=10.0))
    async with replica(idura, dsn, strategy=FinalPoll(fresh := HazardAware())):
        assert fresh._experience.peek("kind").total().weight > 19


@pytest.mark.parametrize("away", [0, 6])
async def test_a_server_that_restarts_costs_no_login(
    idura: SimulatedIdura, dsn: str, postgres: Postgres, away: float
) -> None:
    """Decisions that come meanwhile are stored afterwards. `test_fleet_trouble.py` holds that nobody looks dead."""
    people = 5
    for nth in range(people):
        idura.script(swedish_number(nth), Script.approve(after=4))
    async with replica(idura, dsn) as one, replica(idura, dsn):
        logins = [await one.start(swede(nth)) for nth in range(people)]
        await asyncio.sleep(2 * LEASE)
        await asyncio.to_thread(postgres.stop, "immediate")
        await asyncio.sleep(away)
        await asyncio.to_thread(postgres.start)
        outcomes = await asyncio.wait_for(asyncio.gather(*(patient(login) for login in logins)), 20)
        assert {outcome.state for outcome in outcomes} == {State.APPROVED}


async def test_connections_that_died_in_silence_are_made_again(
    idura: SimulatedIdura, dsn: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router has forgotten them: nobody hangs up. The replica asks people again, and hears what others wish."""
    # Longer than a busy machine takes for a statement.
    monkeypatch.setattr("idura_ciba.fleet.silence.SILENCE", 1.0)
    monkeypatch.setattr("idura_ciba.fleet.postgres_changes.SILENCE", 1.0)
    idura.script(swedish_number(0), Script.never())
    async with cable(postgres.port, forgets=True) as line:
        far = dsn.replace(f":{postgres.port}/", f":{line.port}/")
        async with replica(idura, far) as one, replica(idura, dsn) as two:
            line.cut()
            line.mend()
            async with asyncio.timeout(30):
                login = await begun(one)
            await asyncio.sleep(3)
            assert one.owns(login.id)
            async with asyncio.timeout(10):
                await (await two.get(login.id)).cancel()
                assert (await login.outcome()).state is State.ABANDONED


@pytest.mark.parametrize("messages", [1, 2, 3, 4])
async def test_whoever_is_cut_off_while_it_takes_its_share_blocks_nobody(
    dsn: str, postgres: Postgres, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has arrived by then: no lock waits for what does not come."""
    monkeypatch.setattr("idura_ciba.fleet.silence.SILENCE", 1.5)
    module = pytest.importorskip("idura_ciba.fleet.postgres")
    async with cable(postgres.port, forgets=True) as line:
        one, two = module.PostgresStore(dsn.replace(f":{postgres.port}/", f":{line.port}/")), module.PostgresStore(dsn)
        for store, name in ((one, "one"), (two, "two")):
            await store.open()
            await store.join(name)
        line.left = messages
        taking = asyncio.create_task(one.share("one", wanted=10, rate=20, lease=LEASE))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(1):
            assert await two.share("two", wanted=10, rate=20, lease=LEASE) == 10
        line.mend()
        await asyncio.gather(taking, return_exceptions=True)
        for store in (one, two):
            await store.aclose()


async def begun(fleet: Fleet) -> FleetLogin:
    """A login, once the store is there."""
    while True:
        try:
            return await fleet.start(swede(0))
        except StoreError:
            await asyncio.sleep(0.2)


async def patient(login: FleetLogin) -> FleetOutcome:
    """Whoever waits is told that the store is away, and waits again."""
    while True:
        try:
            return await login.outcome()
        except StoreError:
            await asyncio.sleep(0.2)


async def test_a_dump_names_nobody(idura: SimulatedIdura, dsn: str, postgres: Postgres) -> None:
    """While they are asked, and after their answer."""
    idura.script(swedish_number(0), Script.approve(after=2))
    async with replica(idura, dsn, strategy=PhaseAware()) as fleet:
        login = await fleet.start(swede(0), id="case 0")

        def dump() -> str:
            command = [postgres.programs / "pg_dump", "--inserts", dsn]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        dumps = [await asyncio.to_thread(dump)]
        await asyncio.sleep(4)
        dumps.append(await asyncio.to_thread(dump))
        outcome = await login.outcome()
        dumps.append(await asyncio.to_thread(dump))
    dumps.append(await asyncio.to_thread(dump))
    assert "INTO public.ciba_experience" in dumps[3]
    assert "case 0" in dumps[0]
    assert "'ended'" in dumps[1]
    assert "'delivered'" in dumps[2]
    for text in dumps:
        readable = text + "".join(chr(int(pair, 16)) for pair in _pairs(text))
        for secret in (swedish_number(0), str(outcome.claims["name"]), str(outcome.subject), "bankid", "awaiting"):
            assert secret not in readable


def _pairs(text: str) -> Iterator[str]:
    """What stands in a dump as hexadecimal digits."""
    for word in text.replace("\\x", "").split("'"):
        if len(word) % 2 == 0 and word and all(digit in "0123456789abcdef" for digit in word):
            yield from (word[at : at + 2] for at in range(0, len(word), 2))


async def test_the_tables_of_an_earlier_release_are_extended(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first version on, while somebody is being asked; nothing in them is lost."""
    pytest.importorskip("psycopg")
    from idura_ciba.fleet.postgres import MIGRATIONS, PostgresStore  # noqa: PLC0415 - needs the extra `fleet`

    for version in range(1, len(MIGRATIONS) + 1):
        with monkeypatch.context() as earlier:
            earlier.setattr("idura_ciba.fleet.postgres.MIGRATIONS", MIGRATIONS[:version])
            store = PostgresStore(dsn)
            await store.open()
            if version == 1:
                await store.join("one")
                # As that release did it.
                await store._run(
                    "INSERT INTO ciba_login (login, tag, stage, state, owner, until) "
                    "VALUES ('a', 'tag', 'asking', 'submitting', 'one', now())"
                )
            await store.aclose()
    store = PostgresStore(dsn)
    await store.open()
    assert await store.beat("one", lease=60) == Others(1)
    found = await store.census()
    assert ([worker.name for worker in found.workers], found.asking) == (["one"], 1)
    await store.aclose()


async def test_tables_of_a_newer_release_are_refused(idura: SimulatedIdura, dsn: str) -> None:
    """With a sentence; and a server that is not there likewise."""
    psycopg = pytest.importorskip("psycopg")
    async with replica(idura, dsn):
        pass
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE ciba_version SET version = 99")
    with pytest.raises(StoreError) as caught:
        async with replica(idura, dsn):
            pass
    assert caught.value.code == "store_version"
    with pytest.raises(StoreError) as caught:
        async with replica(idura, "postgresql://ciba@127.0.0.1:1/none"):
            pass
    assert caught.value.code == "store_away"


@pytest.mark.parametrize("safe", [True, False])
async def test_what_a_server_does_not_write_at_once_is_lost_with_it(
    idura: SimulatedIdura, dsn: str, postgres: Postgres, safe: bool
) -> None:
    """With `synchronous_commit` off, the last moments: a person is asked again, which cancels both prompts."""
    psycopg = pytest.importorskip("psycopg")
    idura.script(swedish_number(0), Script.never())
    risky = f"{dsn}?options=-csynchronous_commit%3Doff"
    async with replica(idura, dsn if safe else risky) as one, replica(idura, dsn if safe else risky) as two:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            find = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
            (writer,) = connection.execute(find).fetchone()
        # It has up to 0.6 s for what others do not write by themselves; here it never comes to that.
        os.kill(writer, signal.SIGSTOP)
        await one.start(swede(0), id="case 0")
        os.kill(writer, signal.SIGKILL)
        await asyncio.to_thread(postgres.stop, "immediate")
        await asyncio.to_thread(postgres.start)
        async with asyncio.timeout(10):
            assert await is_asked(two) is safe
        # At BankID the second request cancels both prompts.
        assert [order.collided for order in idura.ledger.orders] == ([False] if safe else [True, True])
        if not safe:
            with pytest.raises(StoreError, match="no login of this id"):
                await two.get("case 0")


async def is_asked(fleet: Fleet) -> bool:
    """Ask the person once the store is there; whether somebody asked them already."""
    while True:
        try:
            await fleet.start(swede(0), id="case 1")
        except AlreadyPending:
            return True
        except StoreError:
            await asyncio.sleep(0.1)
        except ProviderError:
            return False


# --- behind a pooler --------------------------------------------------------------------------------------------------


def behind_pooler(pooled_dsn: str, listen_dsn: str | None) -> Store:
    """What one replica does behind PgBouncer in transaction mode."""
    pytest.importorskip("psycopg")
    from idura_ciba.fleet.postgres import PostgresStore  # noqa: PLC0415 - needs the extra `fleet`

    return PostgresStore(pooled_dsn, listen_dsn=listen_dsn)


#: Whether changes are heard past the pooler, and within how many seconds a wish must reach another replica, on a busy
#: machine too. Where nothing is heard, replicas look each second.
WAYS = [(True, 1.0), (False, 2.5)]


@pytest.mark.parametrize(("past", "within"), WAYS)
async def test_a_pooler_in_transaction_mode_costs_nothing_but_time(
    idura: SimulatedIdura, dsn: str, pooled_dsn: str, past: bool, within: float
) -> None:
    """One prompt for each person, progress and stops from elsewhere, and what one lets go the other takes at once."""
    people = 20
    for nth in range(people):
        idura.script(swedish_number(nth), Script.approve(after=6, opened_after=1))
    idura.script(swedish_number(99), Script.never())
    stores = [behind_pooler(pooled_dsn, dsn if past else None) for _ in range(2)]
    async with replica(idura, stores[0]) as one:
        async with replica(idura, stores[1]) as two:
            both = [("a", one), ("b", two)]
            starts = [fleet.start(swede(nth), id=f"{name} {nth}") for nth in range(people) for name, fleet in both]
            answers = await asyncio.gather(*starts, return_exceptions=True)
            begun = [answer for answer in answers if isinstance(answer, FleetLogin)]
            assert sum(isinstance(answer, AlreadyPending) for answer in answers) == len(begun) == people
            stopped = await one.start(swede(99))
            elsewhere = await two.get(stopped.id)
            async with asyncio.timeout(3 + within):
                async for update in elsewhere.updates():
                    if update.phase is Phase.WAITING:
                        break
            await elsewhere.cancel()
            async with asyncio.timeout(within):
                assert (await stopped.outcome()).state is State.ABANDONED
            left = [login.id for login in begun if two.owns(login.id)]
        async with asyncio.timeout(within):
            while not all(one.owns(login) for login in left):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.02)
        outcomes = await asyncio.gather(*[(await one.get(login.id)).outcome() for login in begun])
    assert {outcome.state for outcome in outcomes} == {State.APPROVED}
    books = idura.ledger.summary()
    assert (books["orders"], books["slow_downs"], books["lost_approvals"]) == (people + 1, 0, 0)
