"""Tests of whole logins in ping mode, against a simulated provider that pings well or badly."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import parse_qs

import pytest
from attrs import evolve
from joserfc.jwk import ECKey

from idura_ciba import (
    CibaClient,
    ClientSecretPost,
    DPoP,
    EidRequest,
    FinalPoll,
    Fixed,
    HazardAware,
    PrivateKeyJwt,
    State,
    StateError,
    Strategy,
    UsageError,
    WhenPinged,
)
from idura_ciba.ping import PingCounts, PingReceiver
from idura_ciba.polling.strategy import as_strategy
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.scheduling.scheduler import FairScheduler, IndexScheduler
from idura_ciba.simulator import Fault, MemoryTransport, PingSender, Rules, Script, SimPing, SimulatedIdura
from idura_ciba.simulator.pings import PingRule, doubled, early, forged, late, lost, post_to
from idura_ciba.testing import virtual_clock
from tests.logins import OTHER_SWEDE, SWEDE, MakeClient, polls, swedish

CLIENT, SECRET = "urn:my:app", "hush"
#: Seconds each way.
LATENCY = 0.05


@pytest.fixture(name="idura")
def _idura() -> SimulatedIdura:
    """A provider with one client that wants pings."""
    idura = SimulatedIdura(seed=1, interval=5, expires_in=120)
    idura.register_client(CLIENT, secret=SECRET, notification_endpoint="https://rp.example/ping")
    return idura


@asynccontextmanager
async def client(
    idura: SimulatedIdura,
    pings: PingReceiver | None,
    *,
    strategy: Strategy | None = None,
    scheduler: FairScheduler | None = None,
) -> AsyncIterator[CibaClient]:
    """A client in ping mode, whose provider can reach it."""
    clock = virtual_clock()
    transport = MemoryTransport(idura, clock=clock, latency=LATENCY)
    auth = ClientSecretPost(CLIENT, SECRET)
    ciba = CibaClient(
        idura.issuer,
        auth,
        pings=pings,
        strategy=strategy,
        scheduler=scheduler,
        clock=clock,
        transport=transport,
        on_close=lambda _: None,
    )
    if pings is None:
        async with ciba:
            yield ciba
    else:
        async with PingSender(idura.listen_for_pings, post_to(pings), wall=clock.wall), ciba:
            yield ciba


def spacing(idura: SimulatedIdura) -> float:
    """The shortest time between two polls, if there were two; none was too early for a strict provider."""
    record = idura.ledger.orders[-1]
    assert (record.slow_downs, record.overlapping, record.polls_after_final) == (0, 0, 0)
    return math.inf if record.min_spacing is None else record.min_spacing


def decided_for(idura: SimulatedIdura) -> float:
    """Seconds from the person's decision until now."""
    decided_at = idura.ledger.orders[-1].decided_at
    assert decided_at is not None
    return virtual_clock().wall() - decided_at


#: What becomes of the ping of a login that is decided after 58 s: the polls, the seconds from the decision to the login
#: at most, and what is counted.
WAYS: dict[str, tuple[PingRule | None, int, float, PingCounts]] = {
    "in time": (None, 2, 0.2, PingCounts(accepted=1)),
    "lost": (lost, 2, 3.0, PingCounts()),
    "doubled": (doubled, 2, 0.2, PingCounts(accepted=1, repeated=1)),
    "forged": (forged, 2, 3.0, PingCounts(forged=1)),
    "20 s early": (early(20), 6, 5.2, PingCounts(accepted=1)),
    "before its acknowledgement": (early(100), 7, 5.2, PingCounts(unknown=1, early=1)),
    "late": (late(20), 2, 3.0, PingCounts()),
    "early and in time": (
        lambda ping: (evolve(ping, at=ping.at - 20), ping),
        6,
        5.2,
        PingCounts(accepted=1, repeated=1),
    ),
    "forged and in time": (lambda ping: (*forged(ping), ping), 2, 0.2, PingCounts(accepted=1, forged=1)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("decide", "state"), [(Script.approve, State.APPROVED), (Script.deny, State.DENIED)])
async def test_the_outcome_is_right_whatever_becomes_of_the_ping(
    idura: SimulatedIdura, way: str, decide: type[Script], state: State
) -> None:
    """A lost one costs time, a false one costs polls; neither costs the login, nor leads to one."""
    rule, most, within, counts = WAYS[way]
    idura.script(SWEDE, decide(after=58))
    idura.ping_rule = rule
    pings = PingReceiver()
    async with client(idura, pings) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
        waited = decided_for(idura)
    print(f"{way:28} {outcome.state.value:9} {outcome.polls} polls, {waited:.2f} s; {pings.counts}")  # noqa: T201
    assert outcome.state is state
    assert outcome.polls <= most
    assert waited <= within
    assert pings.counts == counts
    assert spacing(idura) >= 5


async def test_a_signed_request_of_a_client_with_bound_tokens_is_pinged_too() -> None:
    """The token stands inside of what is signed, also of what is signed anew for a nonce."""
    idura = SimulatedIdura(seed=1, rules=Rules(dpop=True, dpop_nonces=1000))
    key = ECKey.generate_key("P-256")
    jwks, endpoint = {"keys": [key.as_dict(private=False)]}, "https://rp.example/ping"
    idura.register_client(CLIENT, jwks=jwks, request_alg="ES256", notification_endpoint=endpoint)
    idura.script(SWEDE, Script.approve(after=58))
    pings, clock = PingReceiver(), virtual_clock()
    transport = MemoryTransport(idura, clock=clock, latency=LATENCY)
    ciba = CibaClient(
        idura.issuer,
        DPoP(PrivateKeyJwt(CLIENT, key)),
        pings=pings,
        sign_requests=True,
        clock=clock,
        transport=transport,
    )
    async with PingSender(idura.listen_for_pings, post_to(pings), wall=clock.wall), ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert (outcome.state, outcome.polls) == (State.APPROVED, 2)
    assert pings.counts == PingCounts(accepted=1)
    assert idura.ledger.proofs["nonce demanded"] == 1


@pytest.mark.parametrize("mode", ["poll", "ping"])
async def test_a_provider_that_says_that_it_has_no_such_mode_is_found_out_before_a_phone_rings(mode: str) -> None:
    """Each client by its own mode."""
    idura = SimulatedIdura(seed=1, metadata={"backchannel_token_delivery_modes_supported": [mode]})
    endpoint = "https://rp.example/ping" if mode == "ping" else None
    idura.register_client(CLIENT, secret=SECRET, notification_endpoint=endpoint)
    idura.script(SWEDE, Script.approve(after=4))
    for pings in (None, PingReceiver()):
        async with client(idura, pings) as ciba:
            if (pings is None) is (mode == "poll"):
                assert await ciba.authenticate(swedish())
                continue
            with pytest.raises(StateError) as caught:
                await ciba.start(swedish())
            assert caught.value.code == "delivery_unsupported"
    assert len(idura.ledger.orders) == 1


@pytest.mark.parametrize("after", [58, 60])
async def test_a_ping_saves_ten_of_twelve_polls(idura: SimulatedIdura, after: float) -> None:
    """Beside polling as often as the provider allows, which takes longer to notice."""
    idura.script(SWEDE, Script.approve(after=after))
    async with client(idura, PingReceiver()) as ciba:
        pinged = await (await ciba.start(swedish())).outcome()
        with_ping = decided_for(idura)
    idura.register_client(CLIENT, secret=SECRET)
    async with client(idura, None) as ciba:
        polled = await (await ciba.start(swedish())).outcome()
        without = decided_for(idura)
    print(f"ping {pinged.polls} polls, {with_ping:.2f} s; poll {polled.polls} polls, {without:.2f} s")  # noqa: T201
    assert (pinged.state, polled.state) == (State.APPROVED, State.APPROVED)
    assert (pinged.polls, polled.polls) == (2, 12)
    assert with_ping <= 2 * LATENCY + 0.01 < without


@pytest.mark.parametrize(
    "strategy", [Fixed(50), HazardAware(), FinalPoll(WhenPinged(Fixed(50)))], ids=["Fixed", "HazardAware", "FinalPoll"]
)
@pytest.mark.parametrize("scheduler", [FairScheduler, IndexScheduler])
async def test_a_ping_is_heard_whatever_the_strategy(
    idura: SimulatedIdura, strategy: Strategy, scheduler: type[FairScheduler]
) -> None:
    """The poll after it is not the strategy's to decide."""
    idura.script(SWEDE, Script.approve(after=31))
    async with client(idura, PingReceiver(), strategy=strategy, scheduler=scheduler(rate=10)) as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed
        assert decided_for(idura) <= (5.2 if isinstance(strategy, HazardAware) else 0.25)
    assert spacing(idura) >= 5


async def test_no_storm_of_pings_makes_a_poll_leave_too_soon(idura: SimulatedIdura) -> None:
    """Not even of true ones, by somebody who knows the token and the `auth_req_id`."""
    idura.script(SWEDE, Script.never())
    pings, known = PingReceiver(), list[SimPing]()

    def storm(ping: SimPing) -> tuple[SimPing, ...]:
        known.append(ping)
        return tuple(evolve(ping, at=ping.at - 100 + tenth / 10) for tenth in range(1000))

    idura.script(SWEDE, Script.approve(after=100))
    idura.ping_rule = storm
    async with client(idura, pings) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.state is State.APPROVED
    assert outcome.polls <= 100 / 5
    assert spacing(idura) >= 5
    assert pings.counts.accepted + pings.counts.early == 1


@pytest.mark.parametrize("strategy", [None, FinalPoll(Fixed(30))], ids=["WhenPinged", "Fixed"])
async def test_a_poll_in_flight_is_followed_by_another(idura: SimulatedIdura, strategy: Strategy | None) -> None:
    """It may have been answered before the decision; the next one leaves an interval later, and not half a minute."""
    idura.script(SWEDE, Script.approve(after=31))
    idura.faults.append(polls(Fault.delay(2), 1))
    async with client(idura, PingReceiver(), strategy=strategy) as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed
        assert decided_for(idura) <= 2 + 5
    record = idura.ledger.orders[-1]
    assert (record.polls, record.overlapping, record.slow_downs) == (2, 0, 0)


async def test_a_ping_is_heard_where_the_strategy_has_given_up(idura: SimulatedIdura) -> None:
    """And where nothing comes of it, its end comes as it would have."""
    idura.script(SWEDE, Script.approve(after=31), Script.never())
    given_up = as_strategy(lambda _: None)
    async with client(idura, PingReceiver(), strategy=given_up) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
        assert (outcome.state, outcome.polls) == (State.APPROVED, 1)
        login = await ciba.start(swedish())
        login._driver.pinged()
        outcome = await login.outcome()
        assert outcome.state is not State.APPROVED
        assert outcome.polls == 2
    assert virtual_clock().wall() - idura.ledger.orders[-1].started_at == pytest.approx(121, abs=0.5)


async def test_watchers_see_that_the_next_poll_comes_sooner(idura: SimulatedIdura) -> None:
    """As soon as the ping is here: an interval after the poll that has just been."""
    idura.script(SWEDE, Script.approve(after=32))
    async with client(idura, PingReceiver()) as ciba:
        login = await ciba.start(swedish())
        seen = [update async for update in login.updates(polls=True) if update.next_poll_at is not None]
    order = idura.ledger.orders[-1]
    assert order.first_poll_at is not None
    assert order.last_poll_at is not None
    planned = [round(update.next_poll_at - order.started_at, 2) for update in seen if update.next_poll_at is not None]
    assert planned == [30.05, 60.15, 35.15]
    assert order.last_poll_at - order.started_at == pytest.approx(35.2)


@pytest.mark.parametrize("ping_at", [None, 120.5])
async def test_the_last_word_is_not_asked_for_sooner(idura: SimulatedIdura, ping_at: float | None) -> None:
    """A provider that rounds needs the second after the end, whoever calls."""
    idura.script(SWEDE, Script.never())
    async with client(idura, PingReceiver(), strategy=Fixed(100)) as ciba:
        login = await ciba.start(swedish())
        if ping_at is not None:
            await asyncio.sleep(ping_at)
            login._driver.pinged()
        await login.outcome()
    record = idura.ledger.orders[-1]
    assert record.last_poll_at is not None
    assert record.last_poll_at - record.started_at >= 121


async def test_a_ping_at_the_end_changes_nothing(idura: SimulatedIdura) -> None:
    """Not even where only the last word of the provider is waited for."""
    idura.script(SWEDE, Script.approve(after=119.9))
    idura.ping_rule = late(0.6)
    pings = PingReceiver()
    async with client(idura, pings) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.state is State.EXPIRED
    assert pings.counts == PingCounts(accepted=1)
    assert spacing(idura) >= 1


async def test_a_ping_for_a_login_that_has_ended_is_late(idura: SimulatedIdura) -> None:
    """Whoever abandoned it can still go on with it, and then it is not."""
    idura.script(SWEDE, Script.deny(after=20))
    idura.ping_rule = late(30)
    pings = PingReceiver()
    async with client(idura, pings) as ciba:
        assert (await (await ciba.start(swedish())).outcome()).state is State.DENIED
        await asyncio.sleep(30)
        assert pings.counts == PingCounts(late=1)
        idura.ping_rule = None
        login = await ciba.start(swedish())
        login.abandon()
        await asyncio.sleep(25)
        assert pings.counts == PingCounts(late=1, unknown=1)
        again = await ciba.rejoin(swedish())
        assert (await again.outcome()).state is State.DENIED
        assert pings.counts == PingCounts(late=1, unknown=1, early=1)


@pytest.mark.parametrize("resumed_after", [5, 20])
async def test_a_login_is_found_after_a_restart(idura: SimulatedIdura, resumed_after: float) -> None:
    """By its old token, whether the ping comes after it is resumed or before; the new process makes the token anew."""
    idura.script(SWEDE, Script.approve(after=20))
    planned: list[SimPing] = []
    idura.ping_rule = lambda ping: (planned.append(ping), ping)[1:]
    async with client(idura, PingReceiver()) as ciba:
        await ciba.start(swedish())
        await asyncio.sleep(2)
        (left,) = await ciba.close()
    assert planned[0].token not in str(left.token)
    pings = PingReceiver()
    async with PingSender(lambda listener: listener(planned[0]), post_to(pings), wall=virtual_clock().wall):
        await asyncio.sleep(resumed_after)
        async with client(idura, pings) as ciba:
            # A receiver without its client knows no token. Here both begin together, as in a service that starts.
            if resumed_after > 18:
                assert pings.receive("POST", [f"Bearer {planned[0].token}"], planned[0].body) == 204
            login = await ciba.resume(left)
            assert (await login).person_confirmed
            waited = decided_for(idura)
    print(f"resumed after {resumed_after} s: {waited:.2f} s; {pings.counts}")  # noqa: T201
    assert pings.counts.accepted + pings.counts.early == 1
    assert waited <= (0.25 if resumed_after < 18 else 2.5)  # and not 10 s, when the fallback would poll
    assert spacing(idura) >= 5


async def test_a_ping_that_reaches_another_replica_is_passed_on(idura: SimulatedIdura) -> None:
    """By a hook: the two share the client's credential, and so its tokens."""
    idura.script(SWEDE, Script.approve(after=58))
    home = PingReceiver()
    passed_on: list[bool] = []
    elsewhere = PingReceiver(on_unknown=lambda ping: passed_on.append(home.take(ping)))
    async with client(idura, home) as ciba, client(idura, elsewhere):
        login = await ciba.start(swedish())
        assert (await login.outcome()).polls == 2
        assert decided_for(idura) <= 0.2
    assert (passed_on, home.counts, elsewhere.counts) == ([True], PingCounts(accepted=1), PingCounts(unknown=1))


class Tapped(MemoryTransport):
    """A transport that remembers the tokens of authentication requests."""

    tokens: list[str | None]

    async def send(self, request: HttpRequest) -> HttpResponse:  # type: ignore[override] # that of the client
        """Pass on, and note the token."""
        if request.url.endswith("bc-authorize"):
            self.tokens += parse_qs(request.body.decode()).get("client_notification_token", [None])
        return await super().send(request)


@pytest.mark.parametrize("pings", [PingReceiver(), None], ids=["ping", "poll"])
async def test_each_login_has_a_token_of_its_own(idura: SimulatedIdura, pings: PingReceiver | None) -> None:
    """Sent with its request; a client without a receiver sends none."""
    if pings is None:
        idura.register_client(CLIENT, secret=SECRET)
    clock = virtual_clock()
    transport = Tapped(idura, clock=clock)
    transport.tokens = []
    auth = ClientSecretPost(CLIENT, SECRET)
    async with CibaClient(idura.issuer, auth, pings=pings, clock=clock, transport=transport) as ciba:
        for person in (SWEDE, OTHER_SWEDE):
            (await ciba.start(swedish(person))).abandon()
    one, other = transport.tokens
    assert (one is None, other is None) == ((pings is None,) * 2)
    assert one != other or pings is None


def test_nobody_sends_a_token_by_hand(make_ciba_client: MakeClient) -> None:
    """It would be of no use; nor would anything else in place of a receiver."""
    with pytest.raises(UsageError, match="client_notification_token"):
        EidRequest(login_hint="x", extra={"client_notification_token": "mine"}).parameters()
    with pytest.raises(UsageError) as caught:
        make_ciba_client(pings="receiver")
    assert caught.value.code == "pings"


async def test_a_stranger_cannot_tell_whether_a_login_exists(idura: SimulatedIdura) -> None:
    """Whatever token they make up, and whichever `auth_req_id` they have seen."""
    idura.script(SWEDE, Script.approve(after=58))
    pings, foreign = PingReceiver(), PingReceiver()
    CibaClient(idura.issuer, ClientSecretPost(CLIENT, "another secret"), pings=foreign)
    async with client(idura, pings) as ciba:
        login = await ciba.start(swedish())
        polled = idura.ledger.orders[-1].polls
        for token in (foreign.desk.issue(Random(7))[1], "A" * 48, ""):
            for name in (idura.ledger.orders[-1].auth_req_id, "nobody"):
                body = f'{{"auth_req_id": "{name}"}}'.encode()
                assert pings.receive("POST", [f"Bearer {token}"], body) == 401
        await asyncio.sleep(10)
        assert idura.ledger.orders[-1].polls == polled
        login.abandon()
    assert pings.counts == PingCounts(forged=6)
