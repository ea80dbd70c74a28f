"""Tests of whole batches: in memory, on virtual time, killed wherever it hurts.

A kill is played by a process that is copied in the middle of a run and never comes back: see `Crash`. Real kills over
real sockets are in `benchmarks/kill_loop.py`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idura_ciba import (
    CibaClient,
    ClientRejected,
    ClientSecretPost,
    EidRequest,
    FairScheduler,
    NorwegianBankID,
    State,
    StateError,
    SwedishBankID,
    Transaction,
    TransportError,
    UsageError,
)
from idura_ciba.batch import Journal, Result, verify_many
from idura_ciba.batch.store import Entry, Phase, Store
from idura_ciba.errors import JournalError
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH, run_virtual, virtual_clock
from tests.fakes import swede, swedes, swedish_number

MakeClient = Callable[..., CibaClient]
OpenJournal = Callable[[CibaClient], Journal]
CLIENT_ID, SECRET = "urn:test:batch", "known to the simulator"


async def collected(client: CibaClient, people: Any, **options: Any) -> list[Result]:
    """All results of a batch."""
    return [result async for result in verify_many(client, people, clock=virtual_clock(), **options)]


def by_key(results: Iterable[Result]) -> dict[str, State]:
    """How each one ended; nobody twice."""
    states = {result.key: result.state for result in results}
    assert len(states) == len(list(results))
    return states


def script(idura: SimulatedIdura, *scripts: Script) -> None:
    """What the first people do."""
    for nth, each in enumerate(scripts):
        idura.script(swedish_number(nth), each)


async def test_each_gets_a_result_as_soon_as_it_is_known(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Approved, denied, expired and refused, by key, and not in the order of the file."""
    script(simulated_idura, Script.approve(20), Script.deny(5), Script.never())
    people = [*swedes(3), ("bad", EidRequest(login_hint="sub:ssn:1", acr_values="urn:none"))]
    async with make_ciba_client() as ciba:
        results = await collected(ciba, people, claims=("name",))
    assert [(result.key, result.state) for result in results] == [
        ("bad", State.REJECTED),
        ("key-1", State.DENIED),
        ("key-0", State.APPROVED),
        ("key-2", State.EXPIRED),
    ]
    login, denied = results[2], results[1]
    assert set(login.claims) == {"name"}
    assert login.person_confirmed
    assert login.subject
    assert (login.code, login.explanation) == (None, None)
    assert denied.code == "denied"
    assert denied.explanation
    assert denied.asked_at
    assert denied.ended_at
    assert 5 <= denied.ended_at - denied.asked_at < 9
    assert denied.polls == 2


async def test_people_are_read_as_places_become_free(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Never more at once than places, never read ahead, and a slow reader stops the ringing."""
    script(simulated_idura, *(Script.approve(5) for _ in range(12)))
    read, most = 0, 0

    def look(_key: str, _transaction: Transaction) -> None:
        nonlocal most
        most = max(most, len(ciba.pending))

    async def people() -> AsyncIterator[tuple[str, EidRequest]]:
        nonlocal read
        for pair in swedes(12):
            read += 1
            yield pair

    async with make_ciba_client() as ciba:
        taken = 0
        async for _ in verify_many(ciba, people(), max_in_flight=3, accepted=look, clock=virtual_clock()):
            taken += 1
            assert read <= taken + 3
            if taken == 1:
                await asyncio.sleep(100)
                # Two more have answered meanwhile, and nobody has taken that.
                assert read == 3
                assert len(simulated_idura.ledger.orders) == 3
    assert (read, most) == (12, 3)


async def test_a_person_named_again_waits_for_the_first(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Both are asked, one after the other, and the second says that it waited."""
    script(simulated_idura, Script.approve(10))
    async with make_ciba_client() as ciba:
        results = await collected(ciba, [("a", swede(0)), ("b", swede(0)), ("c", swede(1))])
    told = {result.key: result.waited for result in results}
    assert told == {"a": False, "b": True, "c": False}
    assert simulated_idura.ledger.summary()["collisions"] == 0
    assert len(simulated_idura.ledger.orders) == 3


async def test_a_person_in_another_spelling_waits_for_the_first(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A typographic hyphen and a spreadsheet's quotes make no other person of anybody."""
    script(simulated_idura, Script.approve(10))
    number = swedish_number(0)
    spelled = f'="{number[:8]}\u2011{number[8:]}"'
    again = SwedishBankID(spelled, call_initiator="RP", message="Hello")
    async with make_ciba_client() as ciba:
        results = await collected(ciba, [("a", swede(0)), ("b", again)])
    assert {result.key: result.waited for result in results} == {"a": False, "b": True}
    assert simulated_idura.ledger.summary()["collisions"] == 0


async def test_a_person_named_again_can_be_skipped(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """In this run and the next, and the result says why."""
    async with make_ciba_client() as ciba:
        for people in ([("a", swede(0)), ("b", swede(0))], [("c", swede(0))]):
            async with journal(ciba) as open_journal:
                results = await collected(ciba, people, journal=open_journal, duplicates="skip")
            (skipped,) = (result for result in results if result.key != "a")
            assert (skipped.state, skipped.code, skipped.asked_at) == (State.ABANDONED, "person_twice", None)
    assert len(simulated_idura.ledger.orders) == 1


async def test_somebody_whom_the_client_is_asking_already_is_waited_for(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A desk may use the same client."""
    script(simulated_idura, Script.approve(10))
    async with make_ciba_client() as ciba:
        await ciba.start(swede(0))
        (result,) = await collected(ciba, swedes(1))
    assert result.waited
    assert [record.outcome for record in simulated_idura.ledger.orders] == ["approved", "approved"]


async def test_a_key_that_comes_twice_is_asked_once(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """In the first run of a journal and in later ones."""
    async with make_ciba_client() as ciba:
        for key in ("a", "b"):
            async with journal(ciba) as open_journal:
                results = await collected(ciba, [(key, swede(0)), (key, swede(0))], journal=open_journal)
            assert min((result.state, result.code) for result in results) == (State.ABANDONED, "key_twice")
            assert len(results) == 2
    assert len(simulated_idura.ledger.orders) == 2


async def test_what_is_done_is_not_done_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """The same file a second time rings nobody; new people in it are asked."""
    async with make_ciba_client() as ciba:
        for count, expected in ((3, 3), (3, 0), (5, 2)):
            async with journal(ciba) as open_journal:
                assert len(await collected(ciba, swedes(count), journal=open_journal)) == expected
    assert len(simulated_idura.ledger.orders) == 5


async def test_a_key_of_another_person_ends_the_run(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """Somebody has taken the journal of another file: nobody is to get another one's answer."""
    async with make_ciba_client() as ciba:
        async with journal(ciba) as open_journal:
            await collected(ciba, [("1", swede(0))], journal=open_journal)
        async with journal(ciba) as open_journal:
            with pytest.raises(UsageError) as caught:
                await collected(ciba, [("1", swede(1))], journal=open_journal)
    assert caught.value.code == "key_reused"
    assert len(simulated_idura.ledger.orders) == 1


@pytest.mark.parametrize("people", [[("", swede(0))], [(7, swede(0))], [("a", "no request")]])
async def test_what_is_no_person_ends_the_run(make_ciba_client: MakeClient, people: Any) -> None:
    """The caller's mistake is not a person's."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError):
            await collected(ciba, people)


@pytest.mark.parametrize("options", [{"max_in_flight": 0}, {"duplicates": "drop"}])
async def test_options_that_cannot_work_are_refused(make_ciba_client: MakeClient, options: dict[str, Any]) -> None:
    """By name."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError) as caught:
            await collected(ciba, swedes(1), **options)
        assert caught.value.code in options


async def test_a_source_that_breaks_loses_no_result(make_ciba_client: MakeClient) -> None:
    """Those who were being asked come to their ends; then the caller's own error is raised."""

    def people() -> Iterable[tuple[str, EidRequest]]:
        yield from swedes(3)
        raise ValueError("the database is gone")

    results: list[Result] = []
    async with make_ciba_client() as ciba:
        with pytest.raises(ValueError, match="database"):  # noqa: PT012 - what is raised at its end is meant
            async for result in verify_many(ciba, people(), clock=virtual_clock()):
                results.append(result)  # noqa: PERF401 - those before the error count
    assert len(results) == 3


async def test_words_can_be_read_to_each_person(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """As soon as they are asked; a listener that breaks harms nobody."""
    heard: list[tuple[str, str | None]] = []

    def listen(key: str, transaction: Transaction) -> None:
        heard.append((key, transaction.spoken_words))
        raise ValueError("a broken listener")

    simulated_idura.script("01023990128", Script.approve(5))
    async with make_ciba_client() as ciba:
        (result,) = await collected(ciba, [("n", NorwegianBankID("01023990128"))], accepted=listen)
    assert result.state is State.APPROVED
    assert heard[0][0] == "n"
    assert heard[0][1]


# --- an outage --------------------------------------------------------------------------------------------------------


async def test_an_outage_costs_nobody_their_turn(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Nobody is marked as failed because the network was away for a minute."""

    def away(arrival: Arrival) -> Fault | None:
        return Fault.refuse_connection() if arrival.endpoint == "bc-authorize" and arrival.now % 1e6 < until else None

    until = asyncio.get_running_loop().time() + 1_767_225_600.0 % 1e6 + 60
    simulated_idura.faults.append(away)
    async with make_ciba_client() as ciba:
        results = await collected(ciba, swedes(20))
    assert len(by_key(results)) == 20
    assert {result.state for result in results} <= {State.APPROVED, State.DENIED, State.EXPIRED}
    assert len(simulated_idura.ledger.orders) == 20


@pytest.mark.parametrize(
    ("fault", "error", "seconds"),
    [
        (Fault.refuse_connection(), TransportError, 300),
        (Fault.answer(401, {"Content-Type": "application/json"}, b'{"error": "invalid_client"}'), ClientRejected, 0),
    ],
    ids=["away", "unknown client"],
)
async def test_an_outage_that_does_not_end_ends_the_run(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    journal: OpenJournal,
    fault: Fault,
    error: type[Exception],
    seconds: float,
) -> None:
    """Nobody is in the journal who was not asked; the next run asks them all."""
    simulated_idura.faults.append(lambda arrival: fault if arrival.endpoint == "bc-authorize" else None)
    async with make_ciba_client() as ciba:
        async with journal(ciba) as open_journal:
            with pytest.raises(error):
                await collected(ciba, swedes(20), journal=open_journal, max_in_flight=5)
            assert seconds <= asyncio.get_running_loop().time() < seconds + 200
            assert await open_journal.read(list) == []
        simulated_idura.faults.clear()
        async with journal(ciba) as open_journal:
            assert len(await collected(ciba, swedes(20), journal=open_journal)) == 20


async def test_an_outage_to_the_end_is_no_silence_of_a_person(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """They may have approved: a program can tell them from somebody who never looked at the phone."""
    script(simulated_idura, Script.approve(5), Script.never())
    simulated_idura.faults.append(lambda arrival: Fault.refuse_connection() if arrival.endpoint == "token" else None)
    async with make_ciba_client() as ciba:
        (away,) = await collected(ciba, swedes(1))
    simulated_idura.faults.clear()
    async with make_ciba_client() as ciba:
        (silent,) = await collected(ciba, [("k", swede(1))])
    assert (silent.state, silent.code) == (State.EXPIRED, "expired")
    assert away.code != "expired"


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.0, 0.05, 0.3, 3.05, 6.0, 8.2])
@pytest.mark.parametrize("how", ["leave", "cancel"])
async def test_a_run_that_was_stopped_goes_on_where_it_was(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, path: Path, after: float, how: str
) -> None:
    """At any moment: nobody is asked twice, nobody is forgotten, nothing is in doubt, and nothing is left behind."""
    script(simulated_idura, *(Script.approve(nth + 0.5) for nth in range(12)))
    results: list[Result] = []
    options = {"max_in_flight": 8, "clock": virtual_clock()}

    def client() -> CibaClient:
        return make_ciba_client(
            rng=None, transport=MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.05)
        )

    async def first() -> None:
        async with client() as ciba, Journal(path, ciba) as journal:
            async with aclosing(verify_many(ciba, swedes(12), journal=journal, **options)) as running:
                async for result in running:
                    results.append(result)
                    if how == "leave" and asyncio.get_running_loop().time() >= after:
                        # What was not taken to its end is given again.
                        results.pop()
                        break
            assert ciba.pending == ()

    task = asyncio.create_task(first())
    if how == "cancel":
        await asyncio.sleep(after)
        task.cancel()
    await asyncio.wait({task})
    assert task.cancelled() == (how == "cancel")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    async with client() as ciba, Journal(path, ciba) as journal:
        results += [result async for result in verify_many(ciba, swedes(12), journal=journal, **options)]
    assert set(by_key(results)) == {key for key, _ in swedes(12)}
    assert {result.state for result in results} == {State.APPROVED}
    assert len(simulated_idura.ledger.orders) == 12
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_a_stop_that_is_itself_cancelled_leaves_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """An answer that takes too long is not waited for; it is in doubt then, and said to be."""
    script(simulated_idura, Script.approve(1))
    simulated_idura.faults.append(lambda arrival: Fault.delay(20) if arrival.endpoint == "token" else None)
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:
        task = asyncio.create_task(collected(ciba, swedes(1), journal=open_journal))
        await asyncio.sleep(4)
        task.cancel()
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert ciba.pending == ()
    simulated_idura.faults.clear()
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:
        (result,) = await collected(ciba, swedes(1), journal=open_journal)
    assert result.state is State.INDETERMINATE


async def test_a_client_that_is_closed_meanwhile_ends_the_run(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """With everything in the journal."""
    script(simulated_idura, *(Script.approve(20) for _ in range(3)))
    ciba = make_ciba_client(rng=None)
    async with journal(ciba) as open_journal:
        task = asyncio.create_task(collected(ciba, swedes(5), journal=open_journal, max_in_flight=3))
        await asyncio.sleep(5)
        await ciba.close()
        with pytest.raises(StateError) as caught:
            await task
        assert caught.value.code == "closed"
    async with make_ciba_client(rng=None) as again, journal(again) as open_journal:
        assert len(await collected(again, swedes(5), journal=open_journal)) == 5
    assert len(simulated_idura.ledger.orders) == 5


# --- kills ------------------------------------------------------------------------------------------------------------


class Crash:
    """A run that ends at an instant as a kill would end it: what the disk has then is all that is left.

    The files are copied while the run is on, at that instant, and the run itself is thrown away. A message takes a
    tenth of a second: an order that leaves at 0.2 s is accepted at 0.4 s, and the first poll is under way from 3.4 to
    3.6 s.
    """

    def __init__(self, idura: SimulatedIdura, folder: Path) -> None:
        self.idura = idura
        self._folder = folder
        self._lives = 0
        self.results: list[Result] = []

    @property
    def path(self) -> Path:
        """The journal of the present life."""
        return self._folder / f"life-{self._lives}" / "journal"

    def client(self) -> CibaClient:
        """A client; each life has its own dice, as each process has."""
        clock = virtual_clock()
        return CibaClient(
            self.idura.issuer,
            ClientSecretPost(CLIENT_ID, SECRET),
            clock=clock,
            transport=MemoryTransport(self.idura, clock=clock, latency=0.1),
            rng=Random(self._lives),
            observers=(),
        )

    async def live(self, people: list[tuple[str, EidRequest]], seconds: float | None, **options: Any) -> None:
        """Run for so long and be killed; None runs to the end."""
        self.path.parent.mkdir(exist_ok=True)
        task = asyncio.create_task(self._run(people, **options))
        if seconds is None:
            await task
            return
        await asyncio.wait({task}, timeout=seconds)
        alive = self.path.parent
        self._lives += 1
        # Between two steps of the loop, as the disk sees it.
        shutil.copytree(alive, self.path.parent)
        known = len(self.results)
        frozen = list(self.idura.faults)
        self.idura.faults[:] = [lambda _arrival: Fault.refuse_connection()]
        task.cancel()
        await asyncio.wait({task})
        self.idura.faults[:] = frozen
        del self.results[known:]

    async def _run(self, people: list[tuple[str, EidRequest]], **options: Any) -> None:
        async with self.client() as ciba, Journal(self.path, ciba) as journal:
            async for result in verify_many(ciba, people, journal=journal, clock=virtual_clock(), **options):
                # At least once: a result that was taken just before a kill may come again.
                if result.key not in {each.key for each in self.results} or result.state is State.INDETERMINATE:
                    self.results.append(result)


@pytest.fixture(name="crash")
def _crash(tmp_path: Path) -> Crash:
    """A provider and a place for the lives."""
    idura = SimulatedIdura(seed=1)
    idura.register_client(CLIENT_ID, secret=SECRET)
    return Crash(idura, tmp_path)


@pytest.mark.unmeasured
@pytest.mark.slow
@given(st.lists(st.floats(0, 12), min_size=1, max_size=6), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_batch_survives_kills_at_any_moments(
    tmp_path_factory: pytest.TempPathFactory, lives: list[float], seed: int
) -> None:
    """Nobody is asked twice, everybody has a result, and it is the provider's, or nobody can know it."""
    idura = SimulatedIdura(seed=seed)
    idura.register_client(CLIENT_ID, secret=SECRET)
    dice = Random(seed)
    for nth in range(10):
        after = dice.uniform(0, 30)
        idura.script(swedish_number(nth), dice.choice([Script.approve(after), Script.deny(after), Script.never()]))
    crash = Crash(idura, tmp_path_factory.mktemp("lives"))

    async def run() -> None:
        for seconds in lives:
            await crash.live(swedes(10), seconds, max_in_flight=6)
        await crash.live(swedes(10), None, max_in_flight=6)

    run_virtual(run())
    states = by_key(crash.results)
    assert set(states) == {key for key, _ in swedes(10)}
    orders = Counter(record.person for record in idura.ledger.orders)
    # None at all where each kill came while the requests were on their way.
    assert set(orders.values()) <= {1}
    assert idura.ledger.summary()["slow_downs"] == 0
    outcomes = {record.person: record.outcome for record in idura.ledger.orders}
    for nth in range(10):
        state = states[f"key-{nth}"]
        if state is not State.INDETERMINATE:
            assert state.value == outcomes[swedish_number(nth)]


async def test_an_intent_without_acceptance_is_indeterminate_until_asked_for(crash: Crash) -> None:
    """It may have rung; it is told once, and asked again only where that is wanted, and no sooner than is safe."""
    crash.idura.script(swedish_number(0), Script.never(), Script.approve(5))
    await crash.live(swedes(1), 0.35)
    await crash.live(swedes(1), None)
    (told,) = crash.results
    assert (told.state, told.code) == (State.INDETERMINATE, "interrupted")
    await crash.live(swedes(1), None)
    assert len(crash.results) == 1
    await crash.live(swedes(1), None, retry_indeterminate=True)
    assert crash.results[-1].state is State.INDETERMINATE or crash.results[-1].waited
    # The first order lived for 120 s, and 180 are how long one may live at this eID.
    assert len(crash.idura.ledger.orders) == 2
    assert crash.idura.ledger.orders[1].started_at - crash.idura.ledger.orders[0].started_at >= 180
    assert crash.idura.ledger.summary()["collisions"] == 0


async def test_an_open_intent_can_be_asked_again_at_once(crash: Crash) -> None:
    """Where the first run after the kill is told to, it does not report it as indeterminate before."""
    await crash.live(swedes(1), 0.35)
    crash.idura.script(swedish_number(0), Script.approve(5))
    await crash.live(swedes(1), None, retry_indeterminate=True)
    (result,) = crash.results
    assert result.state is State.APPROVED


async def test_an_answer_that_was_lost_with_its_process_is_indeterminate(crash: Crash) -> None:
    """The provider has spent it, and nobody has read it."""
    crash.idura.script(swedish_number(0), Script.approve(1))
    await crash.live(swedes(1), 3.55)
    assert crash.idura.ledger.orders[0].tokens_issued_at is not None
    await crash.live(swedes(1), None)
    assert by_key(crash.results) == {"key-0": State.INDETERMINATE}


async def test_a_denial_while_nobody_listened_is_a_denial(crash: Crash) -> None:
    """No poll was out when the process was killed, so nothing can have been lost."""
    crash.idura.script(swedish_number(0), Script.deny(8))
    await crash.live(swedes(1), 5)
    await asyncio.sleep(10)
    await crash.live(swedes(1), None)
    assert by_key(crash.results) == {"key-0": State.DENIED}


@pytest.mark.parametrize("killed_at", [5.0, 3.45])
async def test_what_nobody_went_on_with_in_time(crash: Crash, killed_at: float) -> None:
    """Nobody was there to fetch an answer, or one may have been lost: nobody can say that the person gave none."""
    crash.idura.script(swedish_number(0), Script.never())
    await crash.live(swedes(1), killed_at)
    await asyncio.sleep(500)
    await crash.live(swedes(1), None)
    (result,) = crash.results
    assert (result.state, result.code) == (State.INDETERMINATE, "resumed_late")


@pytest.mark.parametrize(
    ("away", "state", "code"),
    [
        (lambda since: since >= 0, State.INDETERMINATE, "unheard"),
        (lambda since: since > 60, State.INDETERMINATE, "unheard"),
        (lambda since: since < 60, State.EXPIRED, "expired"),
        (lambda since: 30 < since < 100, State.EXPIRED, "expired"),
    ],
    ids=["from the beginning", "from the middle", "until the middle", "in between"],
)
@pytest.mark.parametrize("fault", [Fault.refuse_connection(), Fault.answer(503)], ids=["refused", "503"])
async def test_people_of_whom_nothing_was_heard_are_not_called_expired(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    fault: Fault,
    away: Callable[[float], bool],
    state: State,
    code: str,
) -> None:
    """In an outage near the end the person may have approved unseen: another state, another word, and the reason."""
    script(simulated_idura, Script.never())
    began_at = VIRTUAL_EPOCH + asyncio.get_running_loop().time()
    simulated_idura.faults.append(lambda a: fault if a.endpoint == "token" and away(a.now - began_at) else None)
    async with make_ciba_client() as ciba:
        (result,) = await collected(ciba, swedes(1))
    assert (result.state, result.code) == (state, code)
    assert result.explanation is not None
    assert ("503" in result.explanation or "refused" in result.explanation) is (code == "unheard")


async def test_a_result_that_was_not_handed_over_is_handed_over_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """With everything that was asked for in it, though its process has gone."""
    script(simulated_idura, Script.approve(1))
    async with make_ciba_client() as ciba:
        async with journal(ciba) as open_journal:
            running = verify_many(ciba, swedes(1), journal=open_journal, claims=None, clock=virtual_clock())
            first = await anext(running)
            await running.aclose()
        async with journal(ciba) as open_journal:
            (second,) = await collected(ciba, swedes(1), journal=open_journal, claims=None)
        async with journal(ciba) as open_journal:
            assert await collected(ciba, swedes(1), journal=open_journal) == []
    assert second.replayed
    assert second.claims["ssn"] == swedish_number(0)
    assert (second.claims, second.subject, second.acr) == (first.claims, first.subject, first.acr)


async def test_no_national_id_and_no_secret_stands_in_the_files(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, path: Path
) -> None:
    """At no moment, in none of the files, also while results with everything in them wait to be taken."""
    script(simulated_idura, *(Script.approve(nth) for nth in range(6)))
    names: set[str] = set()

    def look() -> None:
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
        for nth in range(6):
            assert swedish_number(nth).encode() not in content
        for name in names:
            assert name.encode() not in content

    async with make_ciba_client() as ciba, Journal(path, ciba) as journal:
        async for result in verify_many(ciba, swedes(6), journal=journal, claims=None, clock=virtual_clock()):
            names.add(result.claims["name"])
            look()
    look()


# --- a journal that fails ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.INTENDED, Phase.ACCEPTED, Phase.ENDED])
async def test_a_disk_that_is_full_loses_no_answer(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    journal: OpenJournal,
    monkeypatch: pytest.MonkeyPatch,
    phase: Phase,
) -> None:
    """Nobody else is asked; those who are being asked come to their ends and are told, and the error is raised last."""
    script(simulated_idura, *(Script.approve(nth + 1) for nth in range(6)))
    apply, full = Store.apply, False

    def fail(store: Store, changes: list[Any], *arguments: Any) -> Any:
        nonlocal full
        full = full or any(change.entry is not None and change.entry[2] == phase for change in changes[2:] or changes)
        if full and len(simulated_idura.ledger.orders) > 1:
            raise JournalError("there is no room", code="journal_full")
        return apply(store, changes, *arguments)

    results: list[Result] = []
    async with make_ciba_client(scheduler=FairScheduler(rate=2)) as ciba:
        monkeypatch.setattr(Store, "apply", fail)
        with pytest.raises(JournalError) as caught:  # noqa: PT012 - what is raised at its end is meant
            async with journal(ciba) as open_journal:
                async for result in verify_many(
                    ciba, swedes(6), journal=open_journal, max_in_flight=3, clock=virtual_clock()
                ):
                    results.append(result)  # noqa: PERF401 - those before the error count
        assert caught.value.code == "journal_full"
        asked = len(simulated_idura.ledger.orders)
        assert 0 < asked < 6
        assert {result.state for result in results} == {State.APPROVED}
        assert len(by_key(results)) == asked
        monkeypatch.undo()
    async with make_ciba_client(rng=None) as again, journal(again) as open_journal:
        rest = await collected(again, swedes(6), journal=open_journal)
        assert {result.key for result in [*results, *rest]} == {key for key, _ in swedes(6)}
    assert max(Counter(record.person for record in simulated_idura.ledger.orders).values()) == 1


def test_an_entry_says_nothing_of_anybody() -> None:
    """In a crash report."""
    entry = Entry("key", b"\0", Phase.ACCEPTED, 1, 0.0, 0.0)
    entry.token, entry.answer = None, b"secret"
    assert "secret" not in repr(entry)
