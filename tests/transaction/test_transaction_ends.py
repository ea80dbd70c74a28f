"""A transaction at its end: the last poll, the grace poll, and what comes too late."""

from __future__ import annotations

import asyncio

import pytest

from idura_ciba import Abandoned, Expired, FairScheduler, Fixed, State, SwedishBankID
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH
from tests.fakes import block, swedish_number
from tests.logins import SWEDE, MakeClient, Recorder, polls, swedish


async def test_the_last_poll_leaves_just_before_the_end_and_one_after_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A provider that expires late is asked for its own word; then there is silence."""
    simulated_idura.script(SWEDE, Script.never())
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
        await asyncio.sleep(300)
    assert isinstance(outcome.error, Expired)
    assert outcome.error.detected_by == "server"
    assert recorder.times[-2] == pytest.approx(119.8)
    assert recorder.times[-1] == pytest.approx(122.8)


async def test_without_a_grace_poll_the_clock_decides(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nothing leaves after the end."""
    simulated_idura.script(SWEDE, Script.never())
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder, grace_poll=False, strategy=Fixed()) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert isinstance(outcome.error, Expired)
    assert outcome.error.detected_by == "deadline"
    assert recorder.times[-1] < 120
    assert asyncio.get_running_loop().time() == 120


async def test_a_provider_that_still_says_pending_after_the_end_is_not_asked_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The grace poll is one."""
    simulated_idura.faults.append(polls(Fault.answer(400, body=b'{"error":"authorization_pending"}')))
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert isinstance(outcome.error, Expired)
    assert outcome.error.detected_by == "deadline"


async def test_an_approval_in_the_last_second_is_fetched(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """What the final poll is for."""
    simulated_idura.script(SWEDE, Script.approve(after=119.5))
    async with make_ciba_client() as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed


async def test_the_callers_timeout_adds_to_the_end_and_is_no_expiry(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A last poll just before it, then abandoned with a token; a longer one than the provider's changes nothing."""
    simulated_idura.script(SWEDE, Script.never())
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder) as ciba:
        with pytest.raises(Abandoned) as caught:
            await ciba.authenticate(swedish(), timeout=20)
        assert caught.value.code == "caller_timeout"
        assert caught.value.resume_token is not None
        assert recorder.times[-1] == pytest.approx(19.8)
        assert asyncio.get_running_loop().time() == 20
        await asyncio.sleep(200)
        with pytest.raises(Expired):
            await ciba.authenticate(swedish(), timeout=1000)


@pytest.mark.parametrize(
    ("approves_after", "blocked_at", "seconds", "polled"),
    [(8, 5.5, 40, 1), (8, 28, 5, 1), (8, 29.5, 85, 1), (8, 5.5, 120, 0), (None, 5.5, 40, 1), (60, 28, 5, 1)],
)
async def test_a_loop_that_was_blocked_across_the_callers_limit_asks_once_more(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    approves_after: float | None,
    blocked_at: float,
    seconds: float,
    polled: int,
) -> None:
    """The poll that was due is late, and not the person: whoever had approved is logged in. Then it ends."""
    loop = asyncio.get_running_loop()
    simulated_idura.script(SWEDE, Script.never() if approves_after is None else Script.approve(after=approves_after))
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder, strategy=lambda view: 29.9 if view.attempt > 1 else 5) as ciba:
        transaction = await ciba.start(swedish(), timeout=30)
        loop.call_at(blocked_at, block, seconds)
        outcome = await transaction.outcome()
    ended_at = loop.time()
    assert [at > 30 for at in recorder.times].count(True) == polled
    if approves_after == 8 and polled:
        assert outcome.state is State.APPROVED
    else:
        assert outcome.state is State.ABANDONED
        assert outcome.error is not None
        assert outcome.error.resume_token
    assert ended_at <= blocked_at + seconds + 1


async def test_what_a_blocked_loop_has_put_off_keeps_to_the_cap_and_the_rate(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Everybody's timeout has passed at once: whoever is asked in time is logged in, and all end soon."""
    loop = asyncio.get_running_loop()
    numbers = [swedish_number(nth) for nth in range(40)]
    for number in numbers:
        simulated_idura.script(number, Script.approve(after=8))
    simulated_idura.faults.append(polls(Fault.delay(0.5)))
    recorder = Recorder(simulated_idura)
    scheduler = FairScheduler(max_in_flight=4, rate=5)
    async with make_ciba_client(transport=recorder, scheduler=scheduler, strategy=lambda _: 29.0) as ciba:
        requests = [SwedishBankID(number, call_initiator="RP", message="x") for number in numbers]
        started = await asyncio.gather(*(ciba.start(request, timeout=30) for request in requests))
        loop.call_at(20, block, 40)
        outcomes = await asyncio.gather(*(transaction.outcome() for transaction in started))
    late = [at for at in recorder.times if at > 30]
    assert 35 <= len(late) <= 40
    assert all(sum(at <= other < at + 0.99 for other in late) <= 5 for at in late)
    assert all(sum(at <= other < at + 0.49 for other in late) <= 4 for at in late)
    states = [outcome.state for outcome in outcomes]
    assert states.count(State.APPROVED) == len(late)
    assert states.count(State.ABANDONED) == 40 - len(late)
    assert loop.time() <= 60 + 10 + 35


@pytest.mark.parametrize("pause", [0, 3], ids=["as early as may be", "later"])
@pytest.mark.parametrize(("held", "polled"), [(1, 1), (40, 0)], ids=["by the loop", "by the provider"])
async def test_an_answer_that_was_read_late_is_not_the_last_word(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, held: float, polled: int, pause: float
) -> None:
    """It is as old as it may be: whoever approved after it is logged in. One that the provider held is new."""
    loop = asyncio.get_running_loop()
    simulated_idura.script(SWEDE, Script.approve(after=8))
    simulated_idura.faults.append(polls(Fault.delay(held), 1))
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder, strategy=lambda view: max(5, view.now + pause)) as ciba:
        transaction = await ciba.start(swedish(), timeout=30)
        if held == 1:
            loop.call_at(5.5, block, 40)
        outcome = await transaction.outcome()
    assert [at > 30 for at in recorder.times].count(True) == polled
    assert outcome.state is (State.APPROVED if polled else State.ABANDONED)


async def test_an_answer_in_flight_at_the_end_still_counts(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The end stops asking, not listening."""
    simulated_idura.script(SWEDE, Script.approve(after=100))
    simulated_idura.faults.append(
        lambda arrival: Fault.delay(30) if arrival.endpoint == "token" and arrival.now > VIRTUAL_EPOCH + 100 else None
    )
    async with make_ciba_client() as ciba:
        assert (await ciba.authenticate(swedish(), timeout=105)).person_confirmed


async def test_abandoned_in_the_middle_of_a_poll_the_answer_is_dropped(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A final state has no way out, also for good news."""
    simulated_idura.script(SWEDE, Script.approve(after=1))
    simulated_idura.faults.append(polls(Fault.delay(5)))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        await asyncio.sleep(4)
        transaction.abandon()
        await asyncio.sleep(10)
        assert transaction.state is State.ABANDONED
        # The approval was used up and thrown away, and whoever resumes must not hear anything else of it.
        resumed = await ciba.resume(str(transaction.resume_token))
        assert (await resumed.outcome()).state is State.INDETERMINATE


async def test_abandoned_while_keys_are_fetched_it_stays_abandoned(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whether the proof would have held or not."""
    simulated_idura.script(SWEDE, Script.approve(after=1), Script.approve(after=1, answered_by="209602294564"))
    simulated_idura.faults.append(lambda a: Fault.delay(5) if a.endpoint == "jwks" else None)
    for _ in range(2):
        async with make_ciba_client() as ciba:
            transaction = await ciba.start(swedish())
            await asyncio.sleep(4)
            transaction.abandon()
            await asyncio.sleep(10)
            assert transaction.state is State.ABANDONED


async def test_kept_waiting_past_the_end_by_the_cap_it_ends_without_a_poll_too_many(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """One poll at a time, and the first one hangs: the others end in time all the same."""
    simulated_idura.faults.append(polls(Fault.delay(34), 1, 2, 3, 4, 5))
    people = ["209602294564", "209712310011", SWEDE]
    for person in people:
        simulated_idura.script(person, Script.never())
    async with make_ciba_client(scheduler=FairScheduler(max_in_flight=1)) as ciba:
        started = [await ciba.start(SwedishBankID(ssn, call_initiator="RP", message="x")) for ssn in people]
        outcomes = await asyncio.gather(*(transaction.outcome() for transaction in started))
    # Of whom nobody could ask, nobody says that they did not answer.
    assert {outcome.error.code for outcome in outcomes if outcome.error} <= {"expired", "unheard"}
    # The promise: the end, and one request's patience.
    assert asyncio.get_running_loop().time() <= 120 + 35
    assert simulated_idura.ledger.summary()["overlapping"] == 0
