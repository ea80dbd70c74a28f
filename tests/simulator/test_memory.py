"""Tests of the transport that needs no network, on virtual time."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from idura_ciba.aio.clock import Clock
from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.protocol.http import HttpRequest, Transport
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimReply, SimulatedIdura
from idura_ciba.testing import VirtualLoop, run_virtual, virtual_clock

if TYPE_CHECKING:
    from conftest import Wire

ANNA = "209801011231"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def carrier(wire: Wire, **options: Any) -> MemoryTransport:
    """A transport to the provider behind a hand that writes requests."""
    return MemoryTransport(wire.idura, clock=virtual_clock(), **options)


def start(wire: Wire, **options: Any) -> HttpRequest:
    """An authentication request."""
    return HttpRequest("POST", f"{wire.idura.issuer}/ciba/bc-authorize", FORM, wire.body().encode(), **options)


def poll(wire: Wire, auth_req_id: str, **options: Any) -> HttpRequest:
    """A poll."""
    return HttpRequest(
        "POST", f"{wire.idura.issuer}/oauth2/token", FORM, wire.poll_body(auth_req_id).encode(), **options
    )


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


async def test_it_carries_a_login(wire: Wire) -> None:
    """From the request to the tokens, in the provider's time, which is the loop's."""
    transport: Transport = carrier(wire)
    wire.idura.script(ANNA, Script.approve(8))
    auth_req_id = json.loads((await transport.send(start(wire))).body)["auth_req_id"]
    told = []
    for _ in range(3):
        await asyncio.sleep(3)
        told.append(json.loads((await transport.send(poll(wire, auth_req_id))).body))
    assert ["id_token" in answer for answer in told] == [False, False, True]
    assert wire.idura.ledger.orders[0].delivered == 1
    await transport.aclose()


async def test_latency_is_one_way_and_then_the_other(wire: Wire) -> None:
    """The provider sees the request after the way up; the instants are the loop's; header names are lower case."""
    response = await carrier(wire, latency=0.25).send(start(wire))
    assert (response.sent_at, response.received_at) == (0.0, 0.5)
    assert wire.idura.ledger.orders[0].started_at == virtual_clock().wall() - 0.25
    assert response.headers["cache-control"] == "no-store"


async def test_latency_can_be_drawn(wire: Wire) -> None:
    """From dice of its own, alike in every run."""

    def draw(dice: Random) -> tuple[float, float]:
        return dice.uniform(0.1, 0.2), 1.0

    taken = []
    for seed in (1, 1, 2):
        began = now()
        await carrier(wire, latency=draw, seed=seed).send(HttpRequest("GET", f"{wire.idura.issuer}/.well-known/jwks"))
        taken.append(round(now() - began, 9))
    assert taken[0] == taken[1] != taken[2]
    assert 1.1 < taken[0] < 1.2


async def test_without_latency_others_still_get_their_turn(wire: Wire) -> None:
    """A loop of requests does not starve the rest."""
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    task = asyncio.create_task(other())
    await carrier(wire).send(HttpRequest("GET", f"{wire.idura.issuer}/.well-known/jwks"))
    turns.append("answer")
    assert turns == ["other", "answer"]
    await task


@pytest.mark.parametrize("url", ["https://elsewhere.idura.broker/oauth2/token", "https://simulator.idura.broker.evil/"])
async def test_nobody_else_can_be_reached(url: str, wire: Wire) -> None:
    """Only the issuer's own origin listens, and nothing is sent anywhere else."""
    with pytest.raises(TransportError) as failure:
        await carrier(wire).send(HttpRequest("GET", url))
    assert failure.value.maybe_sent is False
    assert (failure.value.sent_at, failure.value.ended_at) == (None, 0.0)
    assert failure.value.code == "connection"


async def test_an_answer_that_takes_too_long_is_a_timeout(wire: Wire) -> None:
    """At the very instant; the provider has done its work, and nothing counts as delivered."""
    wire.idura.script(ANNA, Script.deny())
    auth_req_id = wire.begin()
    with pytest.raises(TransportTimeout) as failure:
        await carrier(wire, latency=3).send(poll(wire, auth_req_id, timeout=5))
    assert (failure.value.sent_at, failure.value.ended_at, failure.value.maybe_sent) == (0.0, 5.0, True)
    record = wire.idura.ledger.orders[0]
    assert (record.polls, record.delivered) == (1, 0)


async def test_a_request_on_the_way_when_its_sender_gives_up_arrives(wire: Wire) -> None:
    """Giving up does not call bytes back."""
    with pytest.raises(TransportTimeout) as failure:
        await carrier(wire, latency=60).send(start(wire, timeout=5))
    assert failure.value.ended_at == 5.0
    assert len(wire.idura.ledger.orders) == 1


async def test_an_answer_just_in_time_counts(wire: Wire) -> None:
    """The limit itself is allowed."""
    assert (await carrier(wire, latency=2.5).send(start(wire, timeout=5))).status == 200


async def test_a_held_answer_comes_late_or_never(wire: Wire) -> None:
    """The hold adds to the way back, and may be for ever."""
    wire.idura.faults.append(lambda arrival: Fault.delay(30 if arrival.nth == 1 else math.inf))
    transport = carrier(wire, latency=0.5)
    url = f"{wire.idura.issuer}/.well-known/jwks"
    assert (await transport.send(HttpRequest("GET", url, timeout=35))).received_at == 31.0
    with pytest.raises(TransportTimeout):
        await transport.send(HttpRequest("GET", url, timeout=35))
    assert now() == 66.0


@pytest.mark.parametrize(
    ("fault", "maybe_sent", "orders"),
    [
        (Fault.refuse_connection(), False, 0),
        (Fault.lose_request(), True, 0),
        (Fault.lose_answer(), True, 1),
        (Fault(dropped=True, hold=2), True, 1),
        (Fault.cut_answer(0), True, 1),
        (Fault.cut_answer(9, reset=True), True, 1),
    ],
    ids=["refused", "request lost", "answer lost", "answer lost late", "cut at once", "cut later"],
)
async def test_a_broken_connection_says_whether_anything_was_sent(
    fault: Fault, maybe_sent: bool, orders: int, wire: Wire
) -> None:
    """As the real transport does: no connection, nothing sent."""
    wire.idura.faults.append(lambda _: fault)
    with pytest.raises(TransportError) as failure:
        await carrier(wire, latency=0.25).send(start(wire))
    error = failure.value
    assert (error.code, error.maybe_sent) == ("connection", maybe_sent)
    assert error.sent_at == (0.0 if maybe_sent else None)
    assert error.ended_at == now() >= 0.25
    assert len(wire.idura.ledger.orders) == orders


async def test_an_answer_shorter_than_the_cut_arrives(wire: Wire) -> None:
    """The connection breaks after the answer, and nobody looks any more."""
    wire.idura.faults.append(lambda _: Fault.cut_answer(100_000))
    assert (await carrier(wire).send(start(wire))).status == 200


async def test_an_answer_that_drips_takes_its_time_for_each_byte(wire: Wire) -> None:
    """Until the patience of the request is over."""
    wire.idura.faults.append(lambda _: Fault.trickle(0.01))
    response = await carrier(wire, latency=0.5).send(start(wire))
    assert response.received_at == pytest.approx(1 + len(response.body) * 0.01)
    with pytest.raises(TransportTimeout):
        await carrier(wire).send(start(wire, timeout=0.5))


async def test_a_compressed_answer_arrives_as_it_was_sent(wire: Wire) -> None:
    """Whoever asked inflates it, as with the real transport; on the way its length counts."""
    body = gzip.compress(bytes(10_000))
    wire.idura.faults.append(lambda _: Fault.change(lambda _: SimReply(200, {"Content-Encoding": "gzip"}, body)))
    response = await carrier(wire).send(start(wire, max_body=len(body)))
    assert (response.headers["content-encoding"], response.body) == ("gzip", body)
    with pytest.raises(TransportError) as failure:
        await carrier(wire).send(start(wire, max_body=len(body) - 1))
    assert (failure.value.code, failure.value.status) == ("oversized", 200)


async def test_an_altered_answer_travels_like_any_other(wire: Wire) -> None:
    """Status, headers and body are the fault's."""
    wire.idura.faults.append(lambda _: Fault.change(lambda _: SimReply(503, {"Retry-After": "3"}, b"busy")))
    response = await carrier(wire).send(start(wire))
    assert (response.status, response.headers, response.body) == (503, {"retry-after": "3"}, b"busy")


async def test_an_answer_longer_than_allowed_is_refused(wire: Wire) -> None:
    """The bound is the request's."""
    transport = carrier(wire)
    size = len((await transport.send(HttpRequest("GET", f"{wire.idura.issuer}/.well-known/jwks"))).body)
    request = HttpRequest("GET", f"{wire.idura.issuer}/.well-known/jwks", max_body=size - 1)
    with pytest.raises(TransportError) as failure:
        await transport.send(request)
    assert (failure.value.code, failure.value.maybe_sent) == ("oversized", True)


async def test_polls_under_way_together_are_noticed(wire: Wire) -> None:
    """From the sending of one to the receipt of its answer."""
    auth_req_id = wire.begin()
    transport = carrier(wire, latency=0.25)
    await asyncio.gather(*(transport.send(poll(wire, auth_req_id)) for _ in range(2)))
    assert wire.idura.ledger.orders[0].overlapping == 1
    await transport.send(poll(wire, auth_req_id))
    assert wire.idura.ledger.orders[0].overlapping == 1


async def test_a_cancelled_poll_is_no_longer_under_way(wire: Wire) -> None:
    """Its successor overlaps with nothing."""
    auth_req_id = wire.begin()
    transport = carrier(wire, latency=0.25)
    task = asyncio.create_task(transport.send(poll(wire, auth_req_id)))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await transport.send(poll(wire, auth_req_id))
    assert wire.idura.ledger.orders[0].overlapping == 0


async def test_the_provider_may_have_a_clock_of_its_own(wire: Wire) -> None:
    """To see what a client makes of a clock that is off."""
    transport = MemoryTransport(wire.idura, clock=Clock(wall=lambda: 1_000_000_000.0))
    assert (await transport.send(start(wire))).headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"


def _rush_hour(make: Callable[..., Wire], logins: int) -> SimulatedIdura:
    wire = make(seed=5)
    transport = carrier(wire, latency=lambda dice: (dice.uniform(0.02, 0.1), dice.uniform(0.02, 0.1)))

    async def login(number: int) -> None:
        await asyncio.sleep(number * 0.01)
        request = HttpRequest(
            "POST",
            f"{wire.idura.issuer}/ciba/bc-authorize",
            FORM,
            wire.body(login_hint=f"sub:ssn:{number:012}").encode(),
        )
        auth_req_id = json.loads((await transport.send(request)).body)["auth_req_id"]
        error = "authorization_pending"
        while error == "authorization_pending":
            await asyncio.sleep(3)
            error = json.loads((await transport.send(poll(wire, auth_req_id))).body).get("error")

    async def everybody() -> None:
        await asyncio.gather(*map(login, range(logins)))

    run_virtual(everybody())
    return wire.idura


@pytest.mark.unmeasured
def test_a_rush_hour_runs_alike_twice(make: Callable[..., Wire]) -> None:
    """Hundreds of logins with thousands of polls, all polite, and to the last millisecond the same in both runs."""
    idura = _rush_hour(make, 300)
    summary = idura.ledger.summary()
    assert summary["orders"] == summary["delivered"] == 300
    assert summary["open"] == summary["slow_downs"] == summary["overlapping"] == summary["polls_after_final"] == 0
    assert summary["approved"] > summary["expired"] > 0
    assert summary["denied"] > 0
    assert _rush_hour(make, 300).ledger.lines() == idura.ledger.lines()


async def test_these_tests_run_on_virtual_time() -> None:
    """Else they would take minutes."""
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)
