"""A transaction while it waits: answers and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from idura_ciba import (
    AlreadyPending,
    CibaClient,
    ClientSecretPost,
    Expired,
    FairScheduler,
    Fixed,
    PollView,
    ResumeError,
    State,
    SwedishBankID,
    Transaction,
    UsageError,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.credentials.client_auth import Credentials
from idura_ciba.observe import TransactionEvent
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.simulator.catalogue import CATALOGUE
from idura_ciba.testing import VIRTUAL_EPOCH, virtual_clock
from tests.logins import SWEDE, MakeClient, Recorder, polls, swedish

BUSY = b'{"error": "temporarily_unavailable"}'


# --- answers and faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "times", "state", "code"),
    [
        # A lost answer backs off, doubles, and recovers when the provider still knows the id.
        (polls(Fault.lose_request(), 1), [3, 9], State.APPROVED, None),
        (polls(Fault.lose_request(), 1, 2), [3, 9, 21], State.APPROVED, None),
        (polls(Fault.refuse_connection(), 1), [3, 9], State.APPROVED, None),
        (polls(Fault.answer(500), 1), [3, 9], State.APPROVED, None),
        (polls(Fault.answer(503, {"Retry-After": "10"}), 1), [3, 13], State.APPROVED, None),
        (polls(Fault.answer(429), 1), [3, 9], State.APPROVED, None),
        (polls(Fault.answer(200, body=b"<html>hello</html>"), 1), [3, 9], State.APPROVED, None),
        # An answer that was final and got lost is never guessed.
        (polls(Fault.lose_answer(), 2), [3, 6, 12], State.INDETERMINATE, "indeterminate"),
        (polls(Fault.delay(40), 2), [3, 6, 41], State.INDETERMINATE, "indeterminate"),
        # A held poll may be followed at once.
        (polls(Fault.delay(30), 1), [3, 33], State.APPROVED, None),
        # One refusal of our credentials is forgiven, because the next request proves itself anew; two are not.
        (polls(Fault.answer(401, body=b'{"error":"invalid_client"}'), 1), [3, 6], State.APPROVED, None),
        (polls(Fault.answer(401, body=b'{"error":"invalid_client"}'), 1, 2), [3, 6], State.FAILED, "invalid_client"),
        (polls(Fault.answer(403), 1), [3, 6], State.APPROVED, None),
        (polls(Fault.answer(403, body=b'{"error":"forbidden"}'), 1), [3, 6], State.APPROVED, None),
        (polls(Fault.answer(403, body=b'{"error":"forbidden"}')), [3, 6], State.FAILED, "provider_error"),
        (polls(Fault.answer(400), 1), [3, 6], State.APPROVED, None),
        (polls(Fault.answer(400)), [3, 6], State.FAILED, "turned_away"),
        (polls(Fault.answer(403)), [3, 6], State.FAILED, "turned_away"),
        # Final whatever it says.
        (polls(Fault.answer(400, body=b'{"error":"invalid_request"}')), [3], State.FAILED, "provider_error"),
        (polls(Fault.answer(400, body=b'{"error":"made_up"}')), [3], State.FAILED, "provider_error"),
        (polls(Fault.answer(400, body=b'{"error":"invalid_grant"}')), [3], State.FAILED, "provider_error"),
        (polls(Fault.answer(400, body=b'{"error":"expired_token"}')), [3], State.EXPIRED, "expired"),
        (polls(Fault.answer(403, body=b'{"error":"access_denied"}')), [3], State.DENIED, "denied"),
        (polls(Fault.answer(307, {"Location": "https://elsewhere.example"})), [3], State.FAILED, "redirect"),
        (polls(Fault.answer(200, body=b'{"token_type":"Bearer"}')), [3], State.FAILED, "bad_answer"),
        (polls(Fault.answer(200, body=b'{"error":"access_denied","id_token":"x"}')), [3], State.DENIED, "denied"),
    ],
)
async def test_each_answer_and_fault_leads_where_the_table_says(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    fault: Callable[[Arrival], Fault | None],
    times: list[float],
    state: State,
    code: str | None,
) -> None:
    """The person approves at 4 s; when polls leave and how it ends follows from the fault alone."""
    simulated_idura.script(SWEDE, Script.approve(after=3.5))
    simulated_idura.faults.append(fault)
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert (outcome.state, outcome.error and outcome.error.code) == (state, code)
    assert recorder.times == times
    assert simulated_idura.ledger.summary()["polls_after_final"] == 0


async def test_no_poll_leaves_after_abandoning(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Not even one whose turn had come already; so the token does not miss an answer that it knows nothing of."""
    simulated_idura.script(SWEDE, Script.approve(after=1))
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder) as ciba:
        transaction = await ciba.start(swedish())
        due = transaction._driver._next_at
        assert due is not None
        # Behind the scheduler's own timer for the same instant, before the poll takes its first step.
        asyncio.get_running_loop().call_at(due, transaction.abandon)
        await transaction.outcome()
        await asyncio.sleep(1)
        assert recorder.times == []
        assert transaction.resume_token is not None
        assert (await (await ciba.resume(transaction.resume_token))).person_confirmed


async def test_pending_after_a_lost_answer_clears_the_doubt(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A later denial is then what it says."""
    simulated_idura.script(SWEDE, Script.deny(after=15))
    simulated_idura.faults.append(polls(Fault.lose_answer(), 1))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        await asyncio.sleep(4)
        assert transaction.state is State.IN_DOUBT
        assert (await transaction.outcome()).state is State.DENIED


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (None, True),
        (Fault.answer(503), False),
        (Fault.refuse_connection(), False),
        (Fault.answer(429, {"Retry-After": "600"}), False),
    ],
)
async def test_nobody_says_expired_who_did_not_hear_the_provider_at_last(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, fault: Fault | None, *, heard: bool
) -> None:
    """Nobody says that a person did not answer who could not ask."""
    simulated_idura.script(SWEDE, Script.never())
    if fault:
        simulated_idura.faults.append(polls(fault))
    async with make_ciba_client(grace_poll=False) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.error is not None
    if heard:
        assert isinstance(outcome.error, Expired)
        assert outcome.error.detected_by == "deadline"
    else:
        assert (outcome.state, outcome.error.code) == (State.INDETERMINATE, "unheard")
    assert ("nobody answered" in outcome.error.what) is heard
    assert ("may have approved or declined" in outcome.error.phone) is not heard


@pytest.mark.parametrize(("slept", "timeout"), [(50.0, None), (600.0, None), (600.0, 3600.0), (50.0, 40.0)])
async def test_a_machine_that_slept_counts_the_time(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, slept: float, timeout: float | None
) -> None:
    """The loop's clock stands still meanwhile, the provider's does not: nothing is asked for after the end."""
    loop = asyncio.get_running_loop()
    sleeping = [0.0]
    clock = Clock(wall=lambda: VIRTUAL_EPOCH + loop.time() + sleeping[0], suspended=lambda: sleeping[0])
    transport = MemoryTransport(simulated_idura, clock=clock)
    recorder = Recorder(simulated_idura)
    recorder._inner = transport
    simulated_idura.script(SWEDE, Script.never())
    async with make_ciba_client(clock=clock, transport=recorder) as ciba:
        transaction = await ciba.start(swedish(), timeout=timeout)
        expires_at = transaction._driver._update().expires_at
        await asyncio.sleep(10)
        sleeping[0] = slept
        outcome = await transaction.outcome()
    if timeout == 40:
        assert outcome.state is State.ABANDONED
    else:
        assert outcome.state is (State.EXPIRED if slept < 120 else State.INDETERMINATE)
    assert transaction._driver._update().expires_at == pytest.approx(expires_at)
    asked_at = [at + (slept if at > 10 else 0) for at in recorder.times]
    assert max(asked_at) < 120 + 10
    if slept > 120:
        # Woken after the end: whoever could not ask does not say that nobody answered.
        assert max(recorder.times) < 10
        assert outcome.error is not None
        assert outcome.error.code == "unheard"
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_a_clock_put_right_while_the_person_is_asked_costs_no_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """It was an hour ahead, so by it the answer is older than the question."""
    loop = asyncio.get_running_loop()
    ahead = [3600.0]
    simulated_idura.script(SWEDE, Script.approve(after=8))
    async with make_ciba_client(clock=Clock(wall=lambda: VIRTUAL_EPOCH + loop.time() + ahead[0])) as ciba:
        transaction = await ciba.start(swedish())
        await asyncio.sleep(5)
        ahead[0] = 0.0
        assert (await transaction).person_confirmed


async def test_a_crowd_before_it_delays_no_end(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """With one poll at a time and a provider that holds each for ever, a login still ends when its caller says so."""
    simulated_idura.faults.append(polls(Fault.delay(10_000)))
    async with make_ciba_client(scheduler=FairScheduler(max_in_flight=1)) as ciba:
        for number in ("209602294564", "209712310011", "209801611246", "209807917894"):
            await ciba.start(SwedishBankID(number, call_initiator="RP", message="Hello"))
        transaction = await ciba.start(swedish(), timeout=10)
        assert (await transaction.outcome()).state is State.ABANDONED
        assert asyncio.get_running_loop().time() == 10
        outcomes = await asyncio.gather(*(each.outcome() for each in ciba.pending))
    assert {outcome.state for outcome in outcomes} <= {State.EXPIRED, State.INDETERMINATE}
    # The provider's own end, the grace poll's patience, and one poll that was under way.
    assert asyncio.get_running_loop().time() <= 120 + 10 + 35


async def test_an_end_in_doubt_is_indeterminate(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Silence from some moment on: nobody can know, so nobody says expired."""
    simulated_idura.faults.append(polls(Fault.lose_answer()))
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.state is State.INDETERMINATE
    # The grace poll comes last, and that is all.
    assert asyncio.get_running_loop().time() < 125


@pytest.mark.parametrize("afterwards", [Fault.answer(503), Fault.answer(400, body=b'{"error":"invalid_grant"}')])
async def test_a_denial_that_cannot_be_read_is_not_reported_as_something_else(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, afterwards: Fault
) -> None:
    """What comes under 400 may have been final; with no readable answer after it nobody says expired, or refused."""
    simulated_idura.script(SWEDE, Script.deny(after=1))
    simulated_idura.faults += [polls(CATALOGUE["token"]["cut short without a sign"], 1), polls(afterwards)]
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.state is State.INDETERMINATE


async def test_slow_down_is_kept_for_good(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Five more seconds each time, and no decay."""
    simulated_idura.script(SWEDE, Script.approve(after=60))
    simulated_idura.faults.append(polls(Fault.answer(400, body=b'{"error":"slow_down"}'), 1, 3))
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder, strategy=Fixed()) as ciba:
        await (await ciba.start(swedish()))
    assert recorder.times == [3, 11, 19, 32, 45, 58, 71]


async def test_a_verification_that_cannot_reach_the_keys_keeps_trying_for_a_while(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The token can be had once only, so a key endpoint that is away for some seconds must not cost it."""
    simulated_idura.script(SWEDE, Script.approve(after=1))
    simulated_idura.faults.append(
        lambda arrival: Fault.lose_answer() if arrival.endpoint == "jwks" and arrival.now < VIRTUAL_EPOCH + 7 else None
    )
    async with make_ciba_client() as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed
        assert simulated_idura.ledger.orders[0].polls == 1


async def test_without_keys_the_login_fails_with_the_reason(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Unverified is not verified, however good the reason."""
    simulated_idura.script(SWEDE, Script.approve(after=1))
    simulated_idura.faults.append(lambda a: Fault.lose_answer() if a.endpoint == "jwks" else None)
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.state is State.FAILED
    assert outcome.error is not None
    assert outcome.error.code == "connection"


@pytest.mark.parametrize("bug", [KeyError(SWEDE), asyncio.CancelledError(SWEDE)])
async def test_a_bug_ends_the_transaction_and_tells_nothing_but_its_kind(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    bug: BaseException,
) -> None:
    """Hanging for ever would be worse than any error; the resume token saves what can be saved."""

    def broken(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr("idura_ciba.transaction.driver.judge", broken)
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    del simulated_idura
    assert outcome.state is State.ABANDONED
    assert outcome.error is not None
    assert outcome.error.code == "internal"
    assert outcome.error.resume_token is not None
    assert type(bug).__name__ in str(outcome.error)
    assert SWEDE not in str(outcome.error)


@pytest.mark.parametrize("bug", [KeyError(SWEDE), asyncio.CancelledError(SWEDE)])
async def test_a_bug_in_the_proof_is_no_proof(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    bug: BaseException,
) -> None:
    """The token was had once and proved nothing; there is nothing to go on with."""

    async def broken(*_: object, **__: object) -> None:
        raise bug

    simulated_idura.script(SWEDE, Script.approve(after=1))
    monkeypatch.setattr("idura_ciba.trust.id_token.IdTokenVerifier.verify", broken)
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        outcome = await transaction.outcome()
        assert outcome.state is State.FAILED
        assert outcome.error is not None
        assert outcome.error.code == "internal"
        assert "has answered" in outcome.error.phone
        assert transaction.resume_token is None
        await ciba.start(swedish())


async def test_a_transport_that_breaks_while_polling_leaves_doubt(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nobody knows what became of the request, so it is asked again, and the end is no denial and no expiry."""

    class Breaking(MemoryTransport):
        async def send(self, request: object) -> object:  # type: ignore[override]
            answer = await super().send(request)  # type: ignore[arg-type]
            if request.url.endswith("token"):  # type: ignore[attr-defined]
                raise KeyError(SWEDE)
            return answer

    simulated_idura.script(SWEDE, Script.deny(after=1))
    async with make_ciba_client(transport=Breaking(simulated_idura, clock=virtual_clock())) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.state is State.INDETERMINATE


@pytest.mark.parametrize("code", ["403", "redirect", "invalid_client"])
async def test_what_something_in_front_said_can_be_gone_on_from(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, code: str
) -> None:
    """The provider has not spoken: the person stays held, and the resume token of the error leads on to the login."""
    fault = {
        "403": Fault.answer(403),
        "redirect": Fault.answer(302, {"Location": "https://elsewhere.example"}),
        "invalid_client": Fault.answer(401, body=b'{"error":"invalid_client"}'),
    }[code]
    simulated_idura.script(SWEDE, Script.approve(after=20))
    simulated_idura.faults.append(polls(fault, 1) if code == "redirect" else polls(fault, 1, 2))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        outcome = await transaction.outcome()
        assert outcome.state is State.FAILED
        assert outcome.error is not None
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())
        assert outcome.error.resume_token == transaction.resume_token is not None
        await asyncio.sleep(5)
        assert (await (await ciba.resume(str(outcome.error.resume_token)))).person_confirmed
    assert len(simulated_idura.ledger.orders) == 1


@pytest.mark.parametrize("body", [b'{"error":"invalid_request"}', b'{"error":"invalid_grant"}', b'{"error":"made_up"}'])
async def test_a_refusal_leaves_the_prompt_on_the_phone(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, body: bytes
) -> None:
    """The provider's last word is no way to go on, and no reason to ring again while the phone may still ask."""
    simulated_idura.faults.append(polls(Fault.answer(400, body=body)))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        earlier = str(transaction.resume_token)
        assert (await transaction.outcome()).state is State.FAILED
        assert transaction.resume_token is None
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())
        with pytest.raises(ResumeError) as caught:
            await ciba.resume(earlier)
        assert caught.value.code == "resume_ended"
        await asyncio.sleep(120)
        await ciba.start(swedish())


async def test_an_older_token_knows_no_more_than_the_client_does(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A resumed transaction keeps the grown interval and the doubt that came after its token was taken."""
    simulated_idura.script(SWEDE, Script.deny(after=30))
    simulated_idura.faults += [
        polls(Fault.answer(400, body=b'{"error":"slow_down"}'), 1),
        polls(Fault.lose_answer(), 2),
    ]
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder) as ciba:
        transaction = await ciba.start(swedish())
        earlier = str(transaction.resume_token)
        await asyncio.sleep(12)
        assert transaction.state is State.IN_DOUBT
        transaction.abandon()
        resumed = await ciba.resume(earlier)
        assert resumed.state is State.IN_DOUBT
        await asyncio.sleep(40)
        assert recorder.times[:2] == [3, 11]
        assert recorder.times[2] >= 11 + 8


@pytest.mark.parametrize("at", ["plan", "observer"])
async def test_abandoned_from_inside_nobody_else_is_disturbed(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, at: str
) -> None:
    """A strategy or an observer that ends a transaction leaves nothing in the scheduler that others could fall over."""
    victims: list[Transaction] = []
    simulated_idura.script(SWEDE, Script.never())
    simulated_idura.script("209602294564", Script.approve(after=115))

    def strategy(view: PollView) -> float:
        if at == "plan" and view.attempt == 2 and victims:
            victims[0].abandon()
        return view.not_before

    def observer(event: object) -> None:
        if at == "observer" and isinstance(event, TransactionEvent) and event.state is State.IN_DOUBT:
            victims[0].abandon()

    simulated_idura.faults.append(
        lambda a: (
            Fault.lose_answer() if a.endpoint == "token" and a.person == SWEDE and a.now > VIRTUAL_EPOCH + 7 else None
        )
    )
    scheduler = FairScheduler(max_in_flight=1)
    async with make_ciba_client(strategy=strategy, observers=[observer], scheduler=scheduler) as ciba:
        victims.append(await ciba.start(swedish(), timeout=10))
        other = await ciba.start(SwedishBankID("209602294564", call_initiator="RP", message="Hello"))
        assert (await victims[0].outcome()).state is State.ABANDONED
        assert (await other).person_confirmed
        assert victims[0]._driver._update().next_poll_at is None


@pytest.mark.parametrize("abandoned", [False, True])
async def test_credentials_that_break_between_polls_end_the_transaction(
    simulated_idura: SimulatedIdura, *, abandoned: bool
) -> None:
    """An HSM that is away, say: the error is its own, the token leads on; abandoned before, it stays abandoned."""
    inner = ClientSecretPost("urn:my:application:identifier:0001", "known to the simulator")
    transactions: list[Transaction] = []

    class Flaky:
        client_id = inner.client_id
        signing_threads = 0
        derive_key = staticmethod(inner.derive_key)

        def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:
            if endpoint.endswith("token"):
                if abandoned:
                    transactions[0].abandon()
                raise UsageError("the key cannot be reached", code="hsm")
            return inner.credentials(issuer=issuer, endpoint=endpoint, now=now, jti=jti)

    clock = virtual_clock()
    transport = MemoryTransport(simulated_idura, clock=clock)
    async with CibaClient(simulated_idura.issuer, Flaky(), transport=transport, clock=clock) as ciba:
        transactions.append(await ciba.start(swedish()))
        outcome = await transactions[0].outcome()
    assert outcome.state is State.ABANDONED
    assert outcome.error is not None
    assert outcome.error.code == ("abandoned" if abandoned else "hsm")
    assert outcome.error.resume_token is not None


async def test_a_poll_of_an_abandoned_transaction_is_cancelled_with_the_client(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """And changes nothing any more."""
    simulated_idura.faults.append(polls(Fault.delay(30)))
    ciba = make_ciba_client()
    transaction = await ciba.start(swedish())
    await asyncio.sleep(4)
    transaction.abandon()
    assert await ciba.close(patience=0.1) == []
    assert transaction.state is State.ABANDONED


async def test_a_provider_that_counts_whole_seconds_and_stamps_the_issuance_never_slows_us_down(
    make_ciba_client: MakeClient,
) -> None:
    """The strictest rules that real providers have, over a network that jitters."""
    idura = SimulatedIdura(seed=4, rules=Rules())
    idura.register_client("urn:my:application:identifier:0001", secret="known to the simulator")
    clock = virtual_clock()
    transport = MemoryTransport(
        idura, clock=clock, latency=lambda dice: (dice.lognormvariate(-2.9, 0.5), dice.lognormvariate(-2.9, 0.5))
    )
    async with make_ciba_client(transport=transport) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.state.is_final
    assert idura.ledger.summary()["slow_downs"] == 0
