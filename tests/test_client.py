"""Starting, resuming and closing: what a caller of `CibaClient` can rely on."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import pytest

from idura_ciba import (
    Abandoned,
    AlreadyPending,
    CibaClient,
    CibaError,
    ClientRejected,
    ClientSecretPost,
    Denied,
    EidRequest,
    Expired,
    FairScheduler,
    FinalPoll,
    FrejaID,
    HazardAware,
    Indeterminate,
    IndexScheduler,
    NorwegianBankID,
    ProviderError,
    RemoteProtocolError,
    ResumeError,
    State,
    SwedishBankID,
    Transaction,
    TransportError,
    UsageError,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.credentials.client_auth import ClientAuth, Credentials
from idura_ciba.errors import LocalProtocolError
from idura_ciba.observe import TransactionEvent
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.scheduling.engine import SLICE
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.simulator.catalogue import edit
from idura_ciba.testing import VIRTUAL_EPOCH, run_virtual, virtual_clock
from idura_ciba.transaction.pending import ENDED_IN_A_TURN

SWEDE, OTHER_SWEDE, NORWEGIAN = "209801011231", "209602294564", "01023990128"
MakeClient = Callable[..., CibaClient]


def swedish(number: str = SWEDE) -> SwedishBankID:
    """A request for a Swede."""
    return SwedishBankID(number, call_initiator="RP", message="Hello from the tests")


def on(endpoint: str, fault: Fault, *, nth: int | None = None) -> Callable[[Arrival], Fault | None]:
    """A rule: this fault at this endpoint, for the nth request or for all."""
    return lambda arrival: fault if arrival.endpoint == endpoint and nth in {None, arrival.nth} else None


async def test_a_login_names_the_person_who_was_asked(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The ten lines of the README: asked, approved, verified."""
    simulated_idura.script(SWEDE, Script.approve(after=8))
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swedish())
    assert login.claims["ssn"] == SWEDE
    assert login.person_confirmed
    assert login.acr == "urn:grn:authn:se:bankid"
    assert login.trace_id
    assert simulated_idura.ledger.summary()["delivered"] == 1


@pytest.mark.parametrize(
    ("script", "error", "state"),
    [
        (Script.deny(after=4), Denied, State.DENIED),
        (Script.wrong_words(after=4), Denied, State.DENIED),
        (Script.never(), Expired, State.EXPIRED),
    ],
)
async def test_no_login_raises_and_is_a_value_too(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    script: Script,
    error: type[CibaError],
    state: State,
) -> None:
    """`await tx` raises for each awaiter an error of its own; `outcome()` returns the same as a value."""
    simulated_idura.script(SWEDE, script)
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())

        async def wait() -> None:
            await transaction

        first, second = await asyncio.gather(wait(), wait(), return_exceptions=True)
        outcome = await transaction.outcome()
    assert isinstance(first, error)
    assert first is not second
    assert outcome.state is transaction.state is state
    assert outcome.authentication is None
    assert transaction.resume_token is None
    assert first.trace_id == transaction.trace_id


@pytest.mark.parametrize(
    "request_",
    [swedish(), NorwegianBankID(NORWEGIAN), FrejaID(SWEDE), FrejaID(email="someone@example.com")],
    ids=["se", "no", "freja by number", "freja by e-mail"],
)
async def test_every_eid_logs_in(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, request_: EidRequest
) -> None:
    """Each eID's request is accepted by a provider that checks it, and its token by us."""
    for person in (SWEDE, NORWEGIAN, "someone@example.com"):
        simulated_idura.script(person, Script.approve(after=5))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(request_)
        assert bool(transaction.spoken_words) == isinstance(request_, NorwegianBankID)
        login = await transaction
    assert login.acr is not None
    assert login.acr.startswith(request_.acr_values or "?")


@pytest.mark.parametrize(("shares", "confirmed"), [(True, True), (False, False)])
async def test_person_confirmed_says_whether_the_token_had_the_number(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, *, shares: bool, confirmed: bool
) -> None:
    """A Norwegian token without the number logs in and says so."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=5, shares_number=shares))
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(NorwegianBankID(NORWEGIAN))
    assert login.person_confirmed is confirmed


@pytest.mark.parametrize(
    ("request_", "script"),
    [
        (swedish(), Script.approve(after=5, answered_by=OTHER_SWEDE)),
        (NorwegianBankID(NORWEGIAN, require_person=True), Script.approve(after=5, shares_number=False)),
        (swedish(), Script.approve(after=5, claims={"authenticationtype": "urn:grn:authn:no:bankid"})),
    ],
    ids=["another person", "number withheld and required", "another eID"],
)
async def test_a_token_that_proves_something_else_is_no_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, request_: EidRequest, script: Script
) -> None:
    """The phone approved, and still nobody is logged in."""
    simulated_idura.script(SWEDE, script)
    simulated_idura.script(NORWEGIAN, script)
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(request_)).outcome()
    assert outcome.state is State.FAILED
    assert outcome.error is not None
    assert outcome.error.code == "id_token_rejected"


# --- one ring ---------------------------------------------------------------------------------------------------------


async def test_a_second_start_for_one_person_is_refused_with_the_first(make_ciba_client: MakeClient) -> None:
    """The error holds the live transaction and leads back to it; pickled, it holds none."""
    async with make_ciba_client() as ciba:
        first = await ciba.start(swedish())
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert caught.value.transaction is first
        assert caught.value.resume_token == first.resume_token
        assert pickle.loads(pickle.dumps(caught.value)).transaction is None  # noqa: S301 - our own
        other = await ciba.start(swedish(OTHER_SWEDE))
        assert ciba.pending == (first, other)


async def test_a_second_start_at_the_same_time_is_refused_too(make_ciba_client: MakeClient) -> None:
    """Also before the first one has its acknowledgement."""
    async with make_ciba_client() as ciba:
        results = await asyncio.gather(ciba.start(swedish()), ciba.start(swedish()), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyPending", "Transaction"]


async def test_a_person_is_free_again_when_the_provider_has_finished(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """After a denial the next start goes through; so does one that the caller insists on."""
    simulated_idura.script(SWEDE, Script.deny(after=1), Script.never())
    async with make_ciba_client() as ciba:
        with pytest.raises(Denied):
            await ciba.authenticate(swedish())
        await ciba.start(swedish())
        with pytest.raises(ProviderError):  # the simulator cancels both, as BankID does
            await ciba.start(swedish(), even_if_pending=True)
    assert simulated_idura.ledger.summary()["collisions"] == 1


async def test_abandoning_keeps_the_person_held_until_the_prompt_is_gone(make_ciba_client: MakeClient) -> None:
    """The prompt stays on the phone, so a new order would still collide."""
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        transaction.abandon()
        transaction.abandon()
        with pytest.raises(Abandoned) as abandoned:
            await transaction
        assert abandoned.value.resume_token is not None
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())
        await asyncio.sleep(121)
        await ciba.start(swedish())


async def test_a_cancelled_start_does_not_ring_twice(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The request is out: it goes on in the background and whoever starts again finds its transaction."""
    clock = virtual_clock()
    simulated_idura.script(SWEDE, Script.approve(after=10))
    transport = MemoryTransport(simulated_idura, clock=clock, latency=0.5)
    async with make_ciba_client(transport=transport) as ciba:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.2):  # discovery takes 1 s, the request is on its way
                await ciba.start(swedish())
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert caught.value.transaction is None
        await asyncio.sleep(2)
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert (await caught.value.transaction).claims["ssn"] == SWEDE  # type: ignore[misc]
    assert len(simulated_idura.ledger.orders) == 1


async def test_cancelling_authenticate_abandons(make_ciba_client: MakeClient) -> None:
    """Nobody else can be waiting for it."""
    async with make_ciba_client() as ciba:
        task = asyncio.create_task(ciba.authenticate(swedish()))
        await asyncio.sleep(5)
        (transaction,) = ciba.pending
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transaction.state is State.ABANDONED
        assert ciba.pending == ()


# --- refused, unreachable, lost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "code", "held"),
    [
        (Fault.answer(400, body=b'{"error": "unknown_user_id"}'), ProviderError, "provider_error", False),
        (Fault.answer(401, body=b'{"error": "invalid_client"}'), ClientRejected, "invalid_client", False),
        (Fault.answer(403), ProviderError, "turned_away", False),
        (Fault.answer(429), ProviderError, "busy", False),
        (Fault.answer(503, {"Retry-After": "3"}), ProviderError, "busy", False),
        (Fault.answer(503), Indeterminate, "start_unknown", True),
        (Fault.answer(502, body=b"<html>"), Indeterminate, "start_unknown", True),
        (Fault.lose_answer(), Indeterminate, "start_unknown", True),
        (Fault.lose_request(), Indeterminate, "start_unknown", True),
        (Fault.delay(40), Indeterminate, "start_unknown", True),
        (Fault.answer(200, body=b"{}"), RemoteProtocolError, "bad_answer", True),
        (Fault.answer(200, body=b"<html>"), RemoteProtocolError, "bad_answer", True),
        (Fault.answer(302, {"Location": "https://elsewhere.example"}), RemoteProtocolError, "redirect", True),
        (Fault.refuse_connection(), TransportError, "never_connected", False),
    ],
)
async def test_a_start_that_fails_says_whether_the_phone_may_ring(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    fault: Fault,
    error: type[CibaError],
    code: str,
    *,
    held: bool,
) -> None:
    """Each failure has its own error; the request is never repeated; and the person is held where it may have rung."""
    simulated_idura.faults.append(on("bc-authorize", fault))
    async with make_ciba_client() as ciba:
        with pytest.raises(error) as caught:
            await ciba.start(swedish())
        assert type(caught.value) is error
        assert caught.value.code == code
        assert "phone" in str(caught.value).lower() or "prompt" in str(caught.value).lower()
        simulated_idura.faults.clear()
        if held:
            with pytest.raises(AlreadyPending):
                await ciba.start(swedish())
            await asyncio.sleep(swedish().prompt_lifetime - 1)
            with pytest.raises(AlreadyPending):
                await ciba.start(swedish())
            await asyncio.sleep(1)
        await ciba.start(swedish())


async def test_a_start_that_never_connected_is_tried_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nothing left this machine, so trying again rings nobody twice."""
    simulated_idura.faults.append(on("bc-authorize", Fault.refuse_connection(), nth=1))
    simulated_idura.script(SWEDE, Script.approve(after=1))
    async with make_ciba_client() as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed
    assert len(simulated_idura.ledger.orders) == 1


@pytest.mark.parametrize("fault", [Fault.answer(200, body=b'{"issuer": "https://other"}'), Fault.answer(500)])
async def test_an_unusable_discovery_document_stops_before_anything_is_sent(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, fault: Fault
) -> None:
    """Nobody is held either."""
    simulated_idura.faults.append(on("discovery", fault))
    async with make_ciba_client() as ciba:
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                await ciba.start(swedish())
    assert not simulated_idura.ledger.orders


@pytest.mark.parametrize(
    ("begun", "expected", "error", "rings"),
    [
        # by the path of the request at which the transport breaks: discovery, and the order itself
        (True, "transport_failed", TransportError, False),
        (False, "start_unknown", Indeterminate, True),
    ],
    ids=["before", "after"],
)
async def test_a_transport_that_breaks_is_an_error_of_ours(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    *,
    begun: bool,
    expected: str,
    error: type[CibaError],
    rings: bool,
) -> None:
    """No third-party exception crosses the package's edge, and who may have been asked is not asked again."""
    inner = MemoryTransport(simulated_idura, clock=virtual_clock())

    class Broken:
        async def send(self, request: HttpRequest) -> HttpResponse:
            if begun or request.url.endswith("bc-authorize"):
                raise KeyError(SWEDE)
            return await inner.send(request)

        async def aclose(self) -> None: ...

    async with make_ciba_client(transport=Broken()) as ciba:
        with pytest.raises(error) as caught:
            await ciba.start(swedish())
        assert caught.value.code == expected
        assert SWEDE not in str(caught.value)
        assert ("has not rung" in caught.value.phone) is not rings
        with pytest.raises(AlreadyPending if rings else error):
            await ciba.start(swedish())


@pytest.mark.parametrize("cancels", [False, True])
async def test_credentials_that_break_ring_nobody(simulated_idura: SimulatedIdura, *, cancels: bool) -> None:
    """What breaks before the request leaves says so, and the person is free again."""

    class Broken(ClientSecretPost):
        def credentials(self, **_: object) -> Credentials:
            raise asyncio.CancelledError if cancels else KeyError(SWEDE)

    clock = virtual_clock()
    transport = MemoryTransport(simulated_idura, clock=clock)
    auth = Broken("urn:my:application:identifier:0001", "known to the simulator")
    async with CibaClient(simulated_idura.issuer, auth, transport=transport, clock=clock) as ciba:
        for _ in range(2):
            with pytest.raises(LocalProtocolError) as caught:
                await ciba.start(swedish())
            assert caught.value.code == "internal"
            assert "has not rung" in caught.value.phone
            assert SWEDE not in str(caught.value)
    assert not simulated_idura.ledger.orders


async def test_what_breaks_after_the_acknowledgement_holds_the_person(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The phone rings, so nobody is asked again before the prompt is gone, and nobody is held for ever."""

    class HalfAClock(Clock):
        @property
        def suspended(self) -> Callable[[], float]:  # type: ignore[override]
            raise AttributeError(SWEDE)

    clock = HalfAClock.__new__(HalfAClock)
    object.__setattr__(clock, "wall", virtual_clock().wall)
    async with make_ciba_client(clock=clock) as ciba:
        with pytest.raises(LocalProtocolError) as caught:
            await ciba.start(swedish())
        assert caught.value.code == "internal"
        assert "may stay" in caught.value.phone
        assert SWEDE not in str(caught.value)
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())
        await asyncio.sleep(swedish().prompt_lifetime)
        with pytest.raises(LocalProtocolError):
            await ciba.start(swedish())
    assert len(simulated_idura.ledger.orders) == 2


async def test_a_second_prompt_on_purpose_does_not_free_the_first(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Refused or over, it says nothing of the prompt that was there before."""
    simulated_idura.faults.append(on("bc-authorize", Fault.answer(400, body=b'{"error":"unknown_user_id"}'), nth=2))
    async with make_ciba_client() as ciba:
        first = await ciba.start(swedish())
        with pytest.raises(ProviderError):
            await ciba.start(swedish(), even_if_pending=True)
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert caught.value.transaction is first


async def test_no_phone_rings_for_a_login_whose_timeout_has_passed(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whether discovery took too long or no connection could be made; and the person is free."""
    simulated_idura.faults.append(on("discovery", Fault.delay(5)))
    async with make_ciba_client() as ciba:
        with pytest.raises(Abandoned) as caught:
            await ciba.authenticate(swedish(), timeout=1)
        assert caught.value.code == "caller_timeout"
        assert "has not rung" in caught.value.phone
        assert caught.value.resume_token is None
        simulated_idura.faults.append(on("bc-authorize", Fault.refuse_connection(), nth=1))
        with pytest.raises(Abandoned):
            await ciba.authenticate(swedish(), timeout=0.2)
        assert not simulated_idura.ledger.orders
        await ciba.start(swedish())


async def test_one_handle_for_two_people_is_nobody_s(
    make_ciba_client: MakeClient, simulated_idura: SimulatedIdura
) -> None:
    """Whoever polled first would get whatever comes, so the second login does not begin, and may ring."""
    async with make_ciba_client() as ciba:
        first = await ciba.start(NorwegianBankID(NORWEGIAN))
        simulated_idura.faults.append(on("bc-authorize", edit(auth_req_id=str(first._driver.auth_req_id))))
        with pytest.raises(RemoteProtocolError) as caught:
            await ciba.start(swedish())
        assert caught.value.code == "bad_answer"
        assert ciba.pending == (first,)
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())


def test_a_client_belongs_to_one_event_loop(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """In another one its connections are dead: it says so before a phone rings, and closing saves what can be saved."""
    ciba = make_ciba_client()
    transaction = run_virtual(ciba.start(swedish()))
    with pytest.raises(UsageError) as caught:
        run_virtual(ciba.start(swedish(OTHER_SWEDE)))
    assert caught.value.code == "other_loop"
    with pytest.raises(UsageError):
        run_virtual(ciba.resume(str(transaction.resume_token)))
    assert run_virtual(ciba.close()) == [transaction.resume_token]
    assert run_virtual(ciba.close()) == []
    assert len(simulated_idura.ledger.orders) == 1


async def test_an_observer_that_ends_others_does_not_disturb_closing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Each pending transaction's token is handed back, whoever ended it first."""
    del simulated_idura

    def end_all(event: object) -> None:
        if isinstance(event, TransactionEvent) and event.state is State.ABANDONED:
            for transaction in transactions:
                transaction.abandon()

    async with make_ciba_client(observers=[end_all]) as ciba:
        transactions = [await ciba.start(swedish(number)) for number in (SWEDE, OTHER_SWEDE, "209712310011")]
        assert len(await ciba.close()) == 3


@pytest.mark.parametrize("request_", [None, "209801011231", b"x", {}, 7])
async def test_only_a_request_can_be_started(make_ciba_client: MakeClient, request_: Any) -> None:
    """Anything else is refused by name, before anything is sent."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError) as caught:
            await ciba.start(request_)
    assert caught.value.code == "request"


@pytest.mark.parametrize(
    "timeout", [0, -1, 0.0, True, "5", b"5", float("nan"), float("inf"), 10**400, 1e9, ...], ids=repr
)
async def test_a_timeout_is_a_number_of_seconds(make_ciba_client: MakeClient, timeout: Any) -> None:
    """What comes from a configuration may be anything."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError) as caught:
            await ciba.start(swedish(), timeout=timeout)
    assert caught.value.code == "timeout"
    assert caught.value.phone
    assert caught.value.advice


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("resume_secret", ["x" * 32, bytes(31), 7]),
        ("max_token_size", [0, -1, "x", 1.5, True, None]),
        ("leeway", ["x", None, -1, 601, float("nan"), True]),
        ("id_token_algorithms", [None, [], "RS256", ["HS256"], [7], 7]),
        ("observers", [None, print, [None], ["x"]]),
        ("endpoints", ["https://x.example", {"token_endpoint": "https://x.example"}, 7]),
        ("scheduler", [7, "fair", FairScheduler, False]),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_by_name(
    make_ciba_client: MakeClient, name: str, values: list[Any]
) -> None:
    """A client that was made works; what cannot work says so where it is made."""
    for value in values:
        with pytest.raises(UsageError) as caught:
            make_ciba_client(**{name: value})
        assert caught.value.code == name, value


# --- a budget of requests ---------------------------------------------------------------------------------------------

PEOPLE = ("209801011231", "209602294564", "209712310011", "209801611246", "209807917894", "209602894579")


@pytest.mark.parametrize("kind", [FairScheduler, IndexScheduler])
async def test_two_clients_share_one_budget(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, kind: type[FairScheduler]
) -> None:
    """In no second leave more requests than the rate, orders and polls of both clients together; and all log in."""
    sent: list[float] = []
    loop = asyncio.get_running_loop()

    def note(arrival: Arrival) -> None:
        if arrival.endpoint in {"bc-authorize", "token"}:
            sent.append(loop.time())

    simulated_idura.faults.append(note)
    for person in PEOPLE:
        simulated_idura.script(person, Script.approve(after=20))
    scheduler = kind(rate=2)
    async with make_ciba_client(scheduler=scheduler) as one, make_ciba_client(scheduler=scheduler) as other:
        clients = [one, other] * 3
        requests = [client.authenticate(swedish(person)) for client, person in zip(clients, PEOPLE, strict=True)]
        logins = await asyncio.gather(*requests)
        shot = scheduler.snapshot()
    assert [login.claims["ssn"] for login in logins] == list(PEOPLE)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in zip(sent, sent[2:], strict=False))
    assert shot.pending == shot.refused == shot.slow_downs == 0
    assert shot.served == len(sent) - len(PEOPLE)
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_refusals_teach_all_clients_to_ask_less(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A 429 to one is heard by the other; what the provider asks for holds for both."""
    loop = asyncio.get_running_loop()
    sent: list[float] = []

    def limit(arrival: Arrival) -> Fault | None:
        if arrival.endpoint != "token":
            return None
        sent.append(loop.time())
        return Fault.answer(429, {"Retry-After": "20"}) if len(sent) == 1 else None

    simulated_idura.faults.append(limit)
    scheduler = FairScheduler()
    async with make_ciba_client(scheduler=scheduler) as one, make_ciba_client(scheduler=scheduler) as other:
        await one.start(swedish())
        await other.start(swedish(OTHER_SWEDE))
        await asyncio.sleep(60)
        assert scheduler.snapshot().refused == 1
        # The other poll of the same instant had left already.
        assert sent[:2] == [3.0, 3.0]
        assert sent[2] >= 23.0


async def test_orders_wait_for_a_place_and_end_with_their_timeout(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Beyond `max_pending` nobody's phone rings before somebody else's login is over."""
    simulated_idura.script(SWEDE, Script.approve(after=10))
    async with make_ciba_client(scheduler=FairScheduler(max_pending=1)) as ciba:
        await ciba.start(swedish())
        with pytest.raises(Abandoned) as caught:
            await ciba.start(swedish(OTHER_SWEDE), timeout=2)
        assert caught.value.code == "caller_timeout"
        assert "has not rung" in caught.value.phone
        assert asyncio.get_running_loop().time() == 2
        second = await ciba.start(swedish(OTHER_SWEDE))
        assert 10 <= asyncio.get_running_loop().time() < 14
        assert ciba.pending == (second,)


async def test_many_that_begin_at_once_take_turns(make_ciba_client: MakeClient) -> None:
    """A few in each turn of the loop, from the first that is done for them on; the others find a closed client."""
    async with make_ciba_client() as ciba:
        calls = [asyncio.create_task(ciba.start(FrejaID(email=f"{nth}@example.com"))) for nth in range(100)]
        held = [0]
        while held[-1] < 60:
            await asyncio.sleep(0)
            held.append(len(ciba._starter.holds._held))
        assert max(later - earlier for earlier, later in pairwise(held)) <= 2 * SLICE
        await ciba.close(patience=0)
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert len(ciba._starter.holds._held) < 100 - SLICE
    assert {type(end) for end in ends} <= {UsageError, Indeterminate, Transaction}
    assert [end.code for end in ends[-SLICE:] if isinstance(end, UsageError)] == ["closed"] * SLICE


async def test_who_has_not_had_a_turn_when_the_client_is_closed_asks_for_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Not for discovery either: a closed client would open connections that nobody closes."""
    asked: list[str] = []
    simulated_idura.faults.append(lambda arrival: asked.append(arrival.endpoint))
    ciba = make_ciba_client()
    calls = [asyncio.create_task(ciba.start(FrejaID(email=f"{nth}@example.com"))) for nth in range(100)]
    await asyncio.sleep(0)
    await ciba.close(patience=0)
    before = len(asked)
    for call in calls:
        with pytest.raises(UsageError) as caught:
            await call
        assert caught.value.code == "closed"
    assert len(asked) == before


async def test_closing_gives_no_order_a_place_any_more(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Those that wait end at once, with an error that says that nothing was sent, and the people are free."""
    scheduler = FairScheduler(max_pending=1)
    ciba = make_ciba_client(scheduler=scheduler)
    await ciba.start(swedish())
    waiting = [asyncio.create_task(ciba.start(swedish(person))) for person in PEOPLE[1:]]
    await asyncio.sleep(1)
    assert scheduler.snapshot().starting == 5
    assert len(await ciba.close()) == 1
    for task in waiting:
        with pytest.raises(UsageError) as caught:
            await task
        assert caught.value.code == "closed"
    assert asyncio.get_running_loop().time() == 1
    assert len(simulated_idura.ledger.orders) == 1
    assert scheduler.snapshot().pending == scheduler.snapshot().starting == 0
    async with make_ciba_client(scheduler=scheduler) as another:
        await another.start(swedish(OTHER_SWEDE))


async def test_the_index_scheduler_asks_the_strategy_whose_turn_it_is(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """With a third of the requests that all would like, everybody is still heard of, and nobody too early."""
    for nth, person in enumerate(PEOPLE):
        simulated_idura.script(person, Script.approve(after=10 + 5 * nth))
    scheduler = IndexScheduler(rate=1, guard=1.2)
    async with make_ciba_client(scheduler=scheduler, strategy=FinalPoll(HazardAware(price=0.0))) as ciba:
        logins = await asyncio.gather(*(ciba.authenticate(swedish(person)) for person in PEOPLE))
        shot = scheduler.snapshot()
    assert all(login.person_confirmed for login in logins)
    assert (shot.learned, shot.slow_downs) == (6, 0)
    assert shot.price is not None


# --- resume and close -------------------------------------------------------------------------------------------------


async def test_closing_hands_back_tokens_that_another_client_resumes(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The person answers between two processes, and the answer is not lost."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=30, shares_number=True))
    first = make_ciba_client()
    transaction = await first.start(NorwegianBankID(NORWEGIAN))
    await asyncio.sleep(10)
    (token,) = await first.close()
    assert await first.close() == []
    with pytest.raises(Abandoned) as caught:
        await transaction
    assert caught.value.code == "closed"
    assert caught.value.resume_token == token
    assert NORWEGIAN not in str(token)
    await asyncio.sleep(40)
    async with make_ciba_client() as second:
        resumed = await second.resume(str(token))
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
    (token,) = await first.close()
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
    (token,) = await first.close(patience=0.5)
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


async def test_what_must_be_noted_before_the_phone_rings_is(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The note is made when the request has its place, and before it leaves."""
    noted: list[tuple[float, int]] = []

    async def note() -> None:
        await asyncio.sleep(0.25)
        noted.append((asyncio.get_running_loop().time(), len(simulated_idura.ledger.orders)))

    async with make_ciba_client(scheduler=FairScheduler(rate=1)) as ciba:
        await ciba.start(swedish(), before_sending=note)
        await ciba.start(swedish(OTHER_SWEDE), before_sending=note)
    assert noted[0] == (0.25, 0)
    assert noted[1][0] >= 1.25
    assert noted[1][1] == 1


@pytest.mark.parametrize("error", [UsageError("full", code="full"), ValueError("a number: 4711")])
async def test_a_note_that_cannot_be_made_stops_the_request(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, error: Exception
) -> None:
    """No phone rings, the person is free again, and only errors of ours are passed on."""

    async def note() -> None:
        raise error

    async with make_ciba_client() as ciba:
        with pytest.raises(CibaError) as caught:
            await ciba.start(swedish(), before_sending=note)
        assert caught.value.code == ("full" if isinstance(error, UsageError) else "internal")
        assert "4711" not in str(caught.value)
        assert simulated_idura.ledger.orders == []
        await ciba.start(swedish())
    assert len(simulated_idura.ledger.orders) == 1


async def test_keys_for_callers_follow_from_the_credential_and_the_provider(make_ciba_client: MakeClient) -> None:
    """The same in each process, another for each purpose, secret and client."""
    clients = [
        make_ciba_client(),
        make_ciba_client(),
        make_ciba_client(resume_secret=b"s" * 32),
        CibaClient("https://other.idura.broker", ClientSecretPost("a", "b"), resume_secret=b"s" * 32),
        CibaClient("https://other.idura.broker", ClientSecretPost("c", "b"), resume_secret=b"s" * 32),
    ]
    keys = [client.derive_key(b"one") for client in clients]
    assert keys[0] == keys[1]
    assert len({*keys, clients[0].derive_key(b"two")}) == 5
    assert all(len(key) == 32 for key in keys)
    for client in clients:
        await client.close()


async def test_closing_waits_for_polls_under_way(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """An answer that is on its way is taken, not thrown away."""
    simulated_idura.script(SWEDE, Script.approve(after=2))
    simulated_idura.faults.append(on("token", Fault.delay(3), nth=1))
    ciba = make_ciba_client()
    transaction = await ciba.start(swedish())
    await asyncio.sleep(4)
    assert await ciba.close() == []
    assert (await transaction).person_confirmed


async def test_closing_waits_for_a_start_under_way(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Its acknowledgement is the only key to a phone that rings."""
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.5)
    ciba = make_ciba_client(transport=transport)
    task = asyncio.create_task(ciba.start(swedish()))
    await asyncio.sleep(1.2)
    (token,) = await ciba.close()
    assert (await task).resume_token == token
    with pytest.raises(UsageError):
        await ciba.start(swedish())
    with pytest.raises(UsageError):
        await ciba.resume(token)


@pytest.mark.parametrize("patience", [5.0, 0.1])
async def test_nothing_is_left_after_close(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, patience: float
) -> None:
    """No task and no timer, also when a poll and a start are cancelled in the middle."""
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.5)
    ciba = make_ciba_client(transport=transport)
    transaction = await ciba.start(swedish())
    await asyncio.sleep(3.2)
    task = asyncio.create_task(ciba.start(swedish(OTHER_SWEDE)))
    await asyncio.sleep(0.1)
    await ciba.close(patience=patience)
    await asyncio.wait([task])
    assert transaction.state.is_final
    assert asyncio.all_tasks() == {asyncio.current_task()}
    loop = asyncio.get_running_loop()
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    gc.collect()  # an exception that nobody retrieved would complain now, and warnings are errors


@pytest.mark.parametrize(
    ("endpoint", "error", "code"),
    [("discovery", UsageError, "closed"), ("bc-authorize", Indeterminate, "start_unknown")],
)
async def test_who_starts_while_the_client_is_closed_gets_an_error(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, endpoint: str, error: type[CibaError], code: str
) -> None:
    """It says whether the phone may ring. Nobody cancelled the caller, and no task group may come to think so."""
    simulated_idura.faults.append(on(endpoint, Fault.delay(8)))
    ciba = make_ciba_client()
    async with asyncio.TaskGroup() as group:

        async def start() -> None:
            with pytest.raises(error) as caught:
                await ciba.start(swedish())
            assert caught.value.code == code

        starting = group.create_task(start())
        sibling = group.create_task(asyncio.sleep(20, "undisturbed"))
        await asyncio.sleep(1)
        await ciba.close(patience=1)
        await starting
    assert sibling.result() == "undisturbed"


async def test_who_resumes_while_the_client_is_closed_gets_an_error(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The token is still good for the next client."""
    first, second = make_ciba_client(), make_ciba_client()
    await first.start(swedish())
    (token,) = await first.close()
    simulated_idura.faults.append(on("discovery", Fault.delay(8), nth=2))
    resuming = asyncio.create_task(second.resume(token))
    await asyncio.sleep(1)
    await second.close()
    with pytest.raises(UsageError) as caught:
        await resuming
    assert caught.value.code == "closed"
    async with make_ciba_client() as third:
        assert (await third.resume(token)).state is State.PENDING


async def test_a_cancelled_start_stays_cancelled_when_the_client_is_closed_too(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whatever happens to the request, a cancellation is never turned into anything else."""
    simulated_idura.faults.append(on("bc-authorize", Fault.delay(8)))
    ciba = make_ciba_client()
    starting = asyncio.create_task(ciba.start(swedish()))
    await asyncio.sleep(1)
    starting.cancel()
    await ciba.close(patience=0)
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_a_close_that_is_cancelled_still_leaves_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """It stops waiting, cancels what is under way, and everything else ends as it should."""
    simulated_idura.faults.append(on("token", Fault.delay(30)))
    ciba = make_ciba_client()
    transaction = await ciba.start(swedish())
    await asyncio.sleep(4)
    closing = asyncio.create_task(ciba.close(patience=60))
    await asyncio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert asyncio.get_running_loop().time() == 5
    assert transaction.state is State.ABANDONED
    assert json.loads(str(transaction.resume_token))["in_doubt"] is True
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_many_that_end_with_the_client_take_turns(make_ciba_client: MakeClient) -> None:
    """The event loop has others to serve meanwhile; who else closes the client gets no token a second time."""
    ciba = make_ciba_client()
    started = [await ciba.start(FrejaID(email=f"{nth}@example.com")) for nth in range(150)]
    closers = [asyncio.create_task(ciba.close()) for _ in range(2)]
    left = [150]
    while left[-1]:
        await asyncio.sleep(0)
        left.append(len(ciba.pending))
    assert max(earlier - later for earlier, later in pairwise(left)) <= 2 * ENDED_IN_A_TURN
    tokens = [token for each in await asyncio.gather(*closers) for token in each]
    assert len(tokens) == 150
    assert set(tokens) == {transaction.resume_token for transaction in started}


async def test_a_close_that_is_cancelled_while_many_end_ends_them_all(make_ciba_client: MakeClient) -> None:
    """At once, because nobody would end them later."""
    ciba = make_ciba_client()
    started = [await ciba.start(FrejaID(email=f"{nth}@example.com")) for nth in range(150)]
    closing = asyncio.create_task(ciba.close())
    left = 150
    while left == 150:
        await asyncio.sleep(0)
        left = len(ciba.pending)
    assert left  # in the midst of it
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert {transaction.state for transaction in started} == {State.ABANDONED}


@pytest.mark.parametrize("turns", range(6))
async def test_a_close_that_is_cancelled_at_the_end_of_its_patience_leaves_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, turns: int
) -> None:
    """Also while it waits for a start that it has cancelled itself: nobody waits for a transaction for ever."""
    simulated_idura.faults.append(on("bc-authorize", Fault.delay(5), nth=2))
    ciba = make_ciba_client()
    transaction = await ciba.start(swedish())
    starting = asyncio.create_task(ciba.start(swedish(OTHER_SWEDE)))
    await asyncio.sleep(2)
    closing = asyncio.create_task(ciba.close(patience=1))
    await asyncio.sleep(1)
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing, starting])
    assert (await transaction.outcome()).state is State.ABANDONED
    assert ciba.pending == ()


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
    (token,) = await first.close(patience=0)
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
    (token,) = await first.close()
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
    (token,) = await ciba.close()
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
    (token,) = await first.close()
    simulated_idura.register_client("urn:my:application:identifier:0001", secret="rotated again")
    async with client("rotated again") as second:
        assert (await (await second.resume(token))).person_confirmed


async def test_a_short_resume_secret_is_refused(make_ciba_client: MakeClient) -> None:
    """It would seal nothing."""
    with pytest.raises(UsageError):
        make_ciba_client(resume_secret=b"short")


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
async def test_a_timeout_must_be_a_positive_number(make_ciba_client: MakeClient, timeout: float) -> None:
    """None means none."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError):
            await ciba.start(swedish(), timeout=timeout)


async def test_a_client_shows_whose_it_is_and_nothing_else(make_ciba_client: MakeClient) -> None:
    """Issuer, client id and a count."""
    async with make_ciba_client() as ciba:
        await ciba.start(swedish())
        assert repr(ciba) == (
            "<CibaClient https://simulator.idura.broker as urn:my:application:identifier:0001, 1 pending>"
        )


async def test_a_transport_that_is_lent_is_not_closed(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Who opens it closes it."""
    closed = []

    class Watched(MemoryTransport):
        async def aclose(self) -> None:
            closed.append(self)

    async with make_ciba_client(transport=Watched(simulated_idura, clock=virtual_clock())) as ciba:
        await ciba.start(swedish())
    assert not closed
