"""What observers hear of one login, in which order, and how it adds up to its time."""

from __future__ import annotations

import asyncio
import json

import pytest

from idura_ciba import CibaError, Denied, FairScheduler, Fixed, State
from idura_ciba.observe import AnyEvent, PollEvent, RequestEvent, TransactionEvent, VerificationEvent
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede
from tests.logins import SWEDE, MakeClient, on, swedish

ASK = "backchannel_authentication_endpoint"
REFUSAL = Fault.answer(400, {"content-type": "application/json"}, json.dumps({"error": "access_denied"}).encode())


def kinds(events: list[AnyEvent]) -> list[str]:
    """Each event in a word."""
    return list(map(kind, events))


def kind(event: AnyEvent) -> str:
    """An event in a word."""
    match event:
        case RequestEvent():
            return f"{event.endpoint}: {event.result}"
        case TransactionEvent():
            return event.state.value
        case PollEvent():
            return f"poll: {event.result}"
        case VerificationEvent():
            return f"tokens: {event.code}"


async def test_the_story_of_a_login(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """In the order of time, from discovery to the end; each event says when, and all of the login bear its name."""
    simulated_idura.script(SWEDE, Script.approve(after=5.5))
    heard: list[AnyEvent] = []
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.125)
    async with make_ciba_client(observers=[heard.append], transport=transport, strategy=Fixed()) as ciba:
        login = await ciba.start(swedish(), reference="call 7")
        await login
    assert kinds(heard) == [
        "openid-configuration: answered",
        f"{ASK}: acknowledged",
        "pending",
        "jwks_uri: answered",
        "poll: still pending",
        "poll: approved",
        "tokens: None",
        "approved",
    ]
    assert [event.at for event in heard] == sorted(event.at for event in heard)
    keys = heard.pop(3)
    discovery = heard.pop(0)
    assert isinstance(keys, RequestEvent)
    assert isinstance(discovery, RequestEvent)
    assert (discovery.transaction, discovery.cause) == (None, None)
    assert (keys.transaction, keys.cause, keys.status) == (None, login.id, 200)
    assert {event.transaction for event in heard} == {login.id}
    assert {event.reference for event in heard} == {"call 7"}
    asked, end = heard[0], heard[-1]
    assert isinstance(asked, RequestEvent)
    assert isinstance(end, TransactionEvent)
    assert asked.acr_values == end.acr_values == swedish().acr_values
    assert (asked.elapsed, asked.waited) == pytest.approx((0.25, 0.25))
    # They have waited no longer than since the last time that the provider said that they had not answered.
    first, last = (event for event in heard if isinstance(event, PollEvent))
    assert end.noticed_within == pytest.approx(last.at - (first.at - first.elapsed))
    assert end.elapsed == pytest.approx(end.at - (asked.at - asked.elapsed))
    assert not end.resumed


async def test_waiting_for_a_place_is_no_part_of_the_request(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """But of the start: whoever looks for the seconds finds them."""
    del simulated_idura
    heard: list[RequestEvent] = []

    def hear(event: AnyEvent) -> None:
        if isinstance(event, RequestEvent) and event.endpoint == ASK:
            heard.append(event)

    async with make_ciba_client(observers=[hear], scheduler=FairScheduler(rate=0.2)) as ciba:
        await asyncio.gather(*(ciba.start(swede(nth)) for nth in range(3)))
        await ciba.close()
    assert [round(event.waited) for event in heard] == [0, 10, 20]  # in turns with polls
    assert [event.elapsed for event in heard] == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (REFUSAL, [f"{ASK}: turned away", "rejected"]),
        (Fault.lose_answer(), [f"{ASK}: acknowledgement lost", "indeterminate"]),
        (Fault.answer(200, body=b"{"), [f"{ASK}: acknowledgement broken", "failed"]),
        (Fault.refuse_connection(), [f"{ASK}: not connected", "failed"]),
    ],
)
async def test_a_start_that_fails_has_one_name_in_both_events(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, fault: Fault, told: list[str]
) -> None:
    """That of the request, and the end; `elapsed` covers all of it."""
    simulated_idura.faults += [on("bc-authorize", fault)]
    heard: list[AnyEvent] = []
    async with make_ciba_client(observers=[heard.append]) as ciba:
        with pytest.raises(CibaError):
            await ciba.start(swedish(), reference="call 7")
    asked, end = heard[1:]
    assert kinds([asked, end]) == told
    assert asked.transaction == end.transaction is not None
    assert isinstance(asked, RequestEvent)
    assert isinstance(end, TransactionEvent)
    assert end.elapsed == pytest.approx(asked.waited + asked.elapsed)
    assert (asked.reference, end.reference) == ("call 7", "call 7")
    assert asked.acr_values == end.acr_values == swedish().acr_values


async def test_a_start_that_nobody_waits_for_any_more_is_told_all_the_same(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """It goes on in the background, where it may be refused."""
    simulated_idura.faults += [on("bc-authorize", REFUSAL)]
    heard: list[AnyEvent] = []
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=1)
    async with make_ciba_client(observers=[heard.append], transport=transport) as ciba:
        starting = asyncio.create_task(ciba.start(swedish(), reference="call 7"))
        await asyncio.sleep(3)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await asyncio.sleep(2)
        assert kinds(heard)[-2:] == [f"{ASK}: turned away", "rejected"]
        assert heard[-1].reference == "call 7"


async def test_a_start_that_closing_cuts_short_is_told_once(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The phone may ring, and nobody will know."""
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=4)
    heard: list[AnyEvent] = []
    ciba = make_ciba_client(observers=[heard.append], transport=transport)
    starting = asyncio.create_task(ciba.start(swedish()))
    await asyncio.sleep(10)
    await ciba.close(patience=0)
    with pytest.raises(CibaError):
        await starting
    assert kinds(heard) == ["openid-configuration: answered", "indeterminate"]


async def test_a_token_that_proves_nothing_is_told_before_the_end(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """With the code that the login ends with."""
    simulated_idura.script(SWEDE, Script.approve(after=4, answered_by="197810128222"))
    heard: list[AnyEvent] = []
    async with make_ciba_client(observers=[heard.append]) as ciba:
        login = await ciba.start(swedish())
        outcome = await login.outcome()
    assert outcome.error is not None
    assert kinds(heard)[-2:] == [f"tokens: {outcome.error.code}", "failed"]
    end = heard[-1]
    assert isinstance(end, TransactionEvent)
    assert end.noticed_within is not None


async def test_nobody_has_decided_where_the_time_ran_out(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """There is nothing to notice then."""
    simulated_idura.script(SWEDE, Script.never())
    heard: list[AnyEvent] = []
    async with make_ciba_client(observers=[heard.append]) as ciba:
        login = await ciba.start(swedish())
        await login.outcome()
    end = heard[-1]
    assert isinstance(end, TransactionEvent)
    assert (end.state, end.noticed_within) == (State.EXPIRED, None)


class Tracing:
    """An observer that gives each transaction a trace context."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.heard: list[TransactionEvent] = []

    def __call__(self, event: AnyEvent) -> None:
        """Hear states."""
        if isinstance(event, TransactionEvent):
            self.heard.append(event)

    def attach(self, client: object) -> None:
        """Not needed."""

    def trace_context(self, transaction: str) -> str | None:
        """Its name; it has been heard of before."""
        assert transaction in {event.transaction for event in self.heard}
        return f"{self.place}: {transaction}"


async def test_a_resumed_login_says_which_one_it_goes_on_with(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Sealed in the token; a process that traces nothing passes it on."""
    simulated_idura.script(SWEDE, Script.deny(after=20))
    places = [Tracing("here"), None, Tracing("there")]
    clients = [make_ciba_client(observers=[tracing or (lambda _: None)]) for tracing in places]
    began = await clients[0].start(swedish())
    (left,) = await clients[0].close()
    assert "here" in left.token
    await clients[1].resume(left)
    (left,) = await clients[1].close()
    login = await clients[2].resume(left)
    with pytest.raises(Denied):
        await login
    await clients[2].close()
    here, _, there = places
    assert here is not None
    assert there is not None
    assert [(event.state, event.resumed, event.resumes) for event in here.heard] == [
        (State.PENDING, False, None),
        (State.HANDED_OVER, False, None),
    ]
    assert [(event.state, event.resumed, event.resumes) for event in there.heard] == [
        (State.PENDING, True, f"here: {began.id}"),
        (State.DENIED, False, None),
    ]


async def test_an_abandoned_login_keeps_its_trace_for_whoever_rejoins_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Its token is made after its end."""
    simulated_idura.script(SWEDE, Script.deny(after=20))
    tracing = Tracing("here")
    async with make_ciba_client(observers=[tracing]) as ciba:
        began = await ciba.start(swedish())
        began.abandon()
        await (await ciba.rejoin(swedish())).outcome()
    assert [event.resumes for event in tracing.heard if event.resumed] == [f"here: {began.id}"]
