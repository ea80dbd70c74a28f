"""Tests of the client: resuming in this process or another."""

from __future__ import annotations

import asyncio
import json
from typing import Literal

import pytest

from idura_ciba import (
    Abandoned,
    AlreadyPending,
    CibaClient,
    ClientSecretPost,
    HandedOver,
    Handover,
    NorwegianBankID,
    ProviderError,
    ResumeError,
    State,
    UsageError,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.simulator import Fault, MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH, virtual_clock
from tests.logins import NORWEGIAN, OTHER_SWEDE, SWEDE, MakeClient, on, swedish


async def test_closing_hands_back_tokens_that_another_client_resumes(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The person answers between two processes, and the answer is not lost."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=30, shares_number=True))
    first = make_ciba_client()
    transaction = await first.start(NorwegianBankID(NORWEGIAN))
    await asyncio.sleep(10)
    (left,) = await first.close()
    token = left.token
    assert await first.close() == []
    with pytest.raises(HandedOver) as caught:
        await transaction
    assert caught.value.code == "handed_over"
    assert caught.value.resume_token == token
    assert left == Handover(None, transaction.id, token, State.PENDING)
    assert NORWEGIAN not in str(token)
    await asyncio.sleep(40)
    async with make_ciba_client() as second:
        resumed = await second.resume(left)
        assert resumed.spoken_words == transaction.spoken_words
        with pytest.raises(AlreadyPending):
            await second.start(NorwegianBankID(NORWEGIAN))
        login = await resumed
    assert login.person_confirmed
    record = simulated_idura.ledger.orders[0]
    assert (record.slow_downs, record.polls_after_final) == (0, 0)


async def test_a_resumed_transaction_keeps_its_floor_and_its_person(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Resumed at once it polls no earlier than it would have, and another person's approval is still refused."""
    simulated_idura.script(SWEDE, Script.approve(after=20, answered_by=OTHER_SWEDE))
    first = make_ciba_client()
    await first.start(swedish())
    await asyncio.sleep(7)  # one second after a poll
    (left,) = await first.close()
    token = left.token
    async with make_ciba_client() as second:
        outcome = await (await second.resume(token)).outcome()
    assert outcome.state is State.FAILED
    assert simulated_idura.ledger.orders[0].min_spacing == pytest.approx(3.0, abs=1e-6)


async def test_what_was_abandoned_can_be_resumed_by_the_same_client(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The advice of the error holds: its token goes on where the timeout stopped, with a timeout of its own."""
    simulated_idura.script(SWEDE, Script.approve(after=40))
    async with make_ciba_client() as ciba:
        with pytest.raises(Abandoned) as caught:
            await ciba.authenticate(swedish(), timeout=10)
        assert caught.value.resume_token is not None
        once = await ciba.resume(caught.value.resume_token, timeout=10)
        with pytest.raises(Abandoned) as again:
            await once
        assert again.value.resume_token is not None
        resumed = await ciba.resume(again.value.resume_token)
        # In a log they are two: one of them has ended, the other has not.
        assert resumed.id != once.id
        with pytest.raises(AlreadyPending):
            await ciba.resume(again.value.resume_token)
        assert (await resumed).person_confirmed
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_a_slow_discovery_does_not_cost_the_last_seconds(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The end counts from when the request had its connection, not from when `start` was called."""
    simulated_idura.script(SWEDE, Script.approve(after=119))
    simulated_idura.faults.append(on("discovery", Fault.delay(9)))
    async with make_ciba_client() as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed


async def test_a_poll_under_way_at_close_leaves_its_doubt_in_the_token(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The answer that the cancelled poll may have used up is not reported as anything else."""
    simulated_idura.script(SWEDE, Script.approve(after=2))
    simulated_idura.faults.append(on("token", Fault.delay(30), nth=1))
    first = make_ciba_client()
    transaction = await first.start(swedish())
    await asyncio.sleep(4)
    assert json.loads(str(transaction.resume_token))["in_doubt"] is True
    (left,) = await first.close(patience=0.5)
    token = left.token
    assert json.loads(token)["in_doubt"] is True
    async with make_ciba_client() as second:
        outcome = await (await second.resume(token)).outcome()
    assert outcome.state is State.INDETERMINATE


async def test_a_token_of_a_live_transaction_leaves_in_doubt_what_came_after_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Its process was killed after the answer had come: that is no failure, and no poll comes too soon either."""
    simulated_idura.script(SWEDE, Script.approve(after=7))
    simulated_idura.script(NORWEGIAN, Script.approve(after=30))
    async with make_ciba_client() as first:
        swede, norwegian = await first.start(swedish()), await first.start(NorwegianBankID(NORWEGIAN))
        spent, fresh = swede.resume_token, norwegian.resume_token
        assert (await swede).person_confirmed
    assert spent
    assert fresh
    async with make_ciba_client(rng=None) as second:
        known, unknown = await second.resume(fresh), await second.resume(spent)
        assert (await unknown.outcome()).state is State.INDETERMINATE
        assert (await known.outcome()).state is State.APPROVED
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_whoever_knows_of_a_doubt_that_the_token_does_not_polls_no_earlier_for_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Somebody else went on with the same token meanwhile, and was killed just after a poll."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    first = make_ciba_client()
    await first.start(swedish())
    await asyncio.sleep(7)
    (left,) = await first.close()
    second = make_ciba_client()
    await second.resume(left)
    while simulated_idura.ledger.orders[0].polls < 3:  # noqa: ASYNC110 - the provider has no event for it
        await asyncio.sleep(0.1)
    await second.close()
    async with make_ciba_client(rng=None) as third:
        resumed = await third.resume(left, doubt=True)
        assert resumed.state is State.IN_DOUBT
        assert (await resumed.outcome()).state is State.APPROVED
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_a_login_that_comes_back_goes_on_from_where_others_left_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """And not from where this client was when it gave it up: that poll is long ago, and theirs is not."""
    simulated_idura.script(SWEDE, Script.approve(after=60))
    async with make_ciba_client(rng=None) as first:
        begun = await first.start(swedish())
        await asyncio.sleep(7)
        begun.abandon()
        second = make_ciba_client()
        await second.resume((await begun.outcome()).error.resume_token)  # type: ignore[union-attr]
        polled = simulated_idura.ledger.orders[0].polls
        while simulated_idura.ledger.orders[0].polls < polled + 3:  # noqa: ASYNC110 - the provider has no event for it
            await asyncio.sleep(0.1)
        (left,) = await second.close()
        back = await first.resume(left)
        assert (await back.outcome()).state is State.APPROVED
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_resuming_waits_for_the_last_poll_of_the_abandoned_one(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Two polls for one id must never be under way together."""
    simulated_idura.script(SWEDE, Script.approve(after=50))
    simulated_idura.faults.append(on("token", Fault.delay(30), nth=1))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        await asyncio.sleep(4)
        transaction.abandon()
        assert transaction.resume_token is not None
        with pytest.raises(AlreadyPending) as caught:
            await ciba.resume(transaction.resume_token)
        assert caught.value.resume_token == transaction.resume_token
        await asyncio.sleep(30)
        assert (await (await ciba.resume(transaction.resume_token))).person_confirmed
    assert simulated_idura.ledger.summary()["overlapping"] == 0


async def test_a_poll_cut_off_by_close_counts_for_who_resumes(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The provider has seen it, so the next one keeps its distance from it."""
    simulated_idura.faults.append(on("token", Fault.delay(30), nth=1))
    first = make_ciba_client()
    await first.start(swedish())
    await asyncio.sleep(4)
    (left,) = await first.close(patience=0)
    token = left.token
    async with make_ciba_client() as second:
        await second.resume(token)
        await asyncio.sleep(10)
    summary = simulated_idura.ledger.summary()
    assert (summary["polls"] > 2, summary["slow_downs"]) == (True, 0)


@pytest.mark.parametrize("behind", [1.0, 3600.0, 1e6])
async def test_a_clock_that_is_behind_keeps_nobody_waiting(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, behind: float
) -> None:
    """Resumed where the clock says that the login has not begun yet, it is polled at once and ends as it would have."""
    loop = asyncio.get_running_loop()
    simulated_idura.script(SWEDE, Script.never())
    first = make_ciba_client()
    await first.start(swedish())
    await asyncio.sleep(10)
    (left,) = await first.close()
    token = left.token
    polls = simulated_idura.ledger.summary()["polls"]
    async with make_ciba_client(clock=Clock(wall=lambda: VIRTUAL_EPOCH + loop.time() - behind)) as second:
        transaction = await second.resume(token)
        await asyncio.sleep(15)
        assert simulated_idura.ledger.summary()["polls"] >= polls + 3
        assert (await transaction.outcome()).state is State.EXPIRED
    assert loop.time() < 125
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


@pytest.mark.parametrize("throttle", ["off", "ttl", "reset"])
async def test_two_processes_with_one_token_get_one_login_at_most(
    make_ciba_client: MakeClient, throttle: Literal["off", "ttl", "reset"]
) -> None:
    """What the documentation says of it: the provider ends it for one, and a strict one hears both too often."""
    idura = SimulatedIdura(seed=1, rules=Rules(throttle=throttle))
    idura.register_client("urn:my:application:identifier:0001", secret="known to the simulator")
    idura.script(SWEDE, Script.approve(after=20))
    transport = MemoryTransport(idura, clock=virtual_clock())
    async with make_ciba_client(transport=transport) as first, make_ciba_client(transport=transport) as second:
        one = await first.start(swedish())
        await asyncio.sleep(1)
        other = await second.resume(str(one.resume_token))
        outcomes = await asyncio.gather(one.outcome(), other.outcome())
    states = sorted(outcome.state for outcome in outcomes)
    summary = idura.ledger.summary()
    if throttle == "off":
        assert states == [State.APPROVED, State.FAILED]
        (loser,) = (outcome.error for outcome in outcomes if outcome.error)
        assert isinstance(loser, ProviderError)
        assert loser.error == "invalid_grant"
    else:
        assert states.count(State.APPROVED) == summary["delivered"] <= 1
        assert summary["slow_downs"] > 2


async def test_resume_refuses_what_is_over_or_not_ours(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nothing is sent for a token that cannot work."""
    ciba = make_ciba_client()
    await ciba.start(swedish())
    (left,) = await ciba.close()
    token = left.token
    requests = simulated_idura.ledger.totals.requests
    other: ClientAuth = ClientSecretPost("urn:my:application:identifier:0001", "another secret")
    clock = virtual_clock()
    transport = MemoryTransport(simulated_idura, clock=clock)
    async with CibaClient(simulated_idura.issuer, other, transport=transport, clock=clock) as stranger:
        with pytest.raises(ResumeError) as caught:
            await stranger.resume(token)
        assert caught.value.code == "resume_seal"
    await asyncio.sleep(121)
    async with make_ciba_client() as late:
        with pytest.raises(ResumeError) as caught:
            await late.resume(token)
        assert caught.value.code == "resume_expired"
    assert simulated_idura.ledger.totals.requests == requests


async def test_a_secret_of_ones_own_lets_tokens_outlive_a_change_of_credential(
    simulated_idura: SimulatedIdura,
) -> None:
    """`resume_secret` seals instead of the credential; the person is recognised all the same."""
    simulated_idura.register_client("urn:my:application:identifier:0001", secret="rotated")
    simulated_idura.script(SWEDE, Script.approve(after=10))
    clock = virtual_clock()

    def client(secret: str) -> CibaClient:
        return CibaClient(
            simulated_idura.issuer,
            ClientSecretPost("urn:my:application:identifier:0001", secret),
            transport=MemoryTransport(simulated_idura, clock=clock),
            clock=clock,
            resume_secret=b"0123456789abcdef0123456789abcdef",
        )

    first = client("rotated")
    await first.start(swedish())
    (left,) = await first.close()
    token = left.token
    simulated_idura.register_client("urn:my:application:identifier:0001", secret="rotated again")
    async with client("rotated again") as second:
        assert (await (await second.resume(token))).person_confirmed


async def test_a_short_resume_secret_is_refused(make_ciba_client: MakeClient) -> None:
    """It would seal nothing."""
    with pytest.raises(UsageError):
        make_ciba_client(resume_secret=b"short")
