"""Whatever a strategy does: the core keeps the floor, the end and one poll at a time, and nobody else has to wait."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idura_ciba import CibaClient, ClientSecretPost, FairScheduler, FinalPoll, Fixed, IndexScheduler, SwedishBankID
from idura_ciba.errors import CibaError
from idura_ciba.polling.strategy import PollView, Record
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.protocol.machine import State
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock

pytestmark = pytest.mark.unmeasured

INTERVAL, EXPIRES_IN, LATENCY = 2, 60, 0.05
#: The first two are asked by the client with the strategy under test, the third by another one on the same scheduler.
WILD, TAME = ("209801011231", "209602294564"), "209712310011"
#: Of the two clocks, where floats stop telling instants apart.
GRAIN = 0.001


class Wild:
    """Answers each question with the next of its answers, over and over; some of them are exceptions to raise."""

    def __init__(self, answers: list[Callable[[PollView], Any]]) -> None:
        self._answers = itertools.cycle(answers)

    def next_poll(self, view: PollView) -> Any:
        """When to poll."""
        return next(self._answers)(view)

    def due(self, view: PollView, price: float) -> Any:
        """When a poll is worth it."""
        del price
        return next(self._answers)(view)

    def index(self, view: PollView, at: float) -> Any:
        """How much one is worth."""
        del at
        return next(self._answers)(view)

    def finished(self, record: Record) -> None:
        """What there is to learn."""
        del record
        raise LookupError


def raising(kind: type[BaseException]) -> Callable[[PollView], Any]:
    """An answer that is none."""

    def answer(view: PollView) -> Any:
        raise kind(view)

    return answer


answers = st.one_of(
    st.floats(-100, 100).map(lambda seconds: lambda view: view.now + seconds),
    st.floats(0, 30).map(lambda seconds: lambda view: view.not_before + seconds),
    st.floats(-2, 2).map(lambda seconds: lambda view: view.earliest_end + seconds),
    st.sampled_from([0, 0.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 10**400, True, None, "soon", [1.0], 1j]).map(
        lambda value: lambda _: value
    ),
    st.sampled_from([ValueError, ZeroDivisionError, RecursionError, asyncio.CancelledError, StopIteration]).map(
        raising
    ),
)
decisions = st.one_of(
    st.builds(Script.approve, st.floats(0, 45)), st.builds(Script.deny, st.floats(0, 45)), st.just(Script.never())
)
schedulers = st.sampled_from(
    [
        FairScheduler,
        IndexScheduler,
        lambda: FairScheduler(rate=20),
        lambda: IndexScheduler(rate=20, guard=1.5),
        lambda: IndexScheduler(rate=3, max_in_flight=2),
    ]
)


class Wire(MemoryTransport):
    """Notes when each poll leaves."""

    def __init__(self, idura: SimulatedIdura) -> None:
        super().__init__(idura, latency=LATENCY, clock=virtual_clock())
        self.polls: dict[str, list[float]] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Carry one request."""
        for name in parse_qs(request.body.decode()).get("auth_req_id", ()):
            self.polls.setdefault(name, []).append(asyncio.get_running_loop().time())
        return await super().send(request)


async def login(client: CibaClient, person: str) -> tuple[State | None, float]:
    """How it ended, and when; None for an error instead of an end."""
    try:
        transaction = await client.start(SwedishBankID(person, call_initiator="user", message="Log in to Acme"))
        state = (await transaction.outcome()).state
    except CibaError:
        state = None
    return state, asyncio.get_running_loop().time()


@settings(max_examples=150)
@given(
    st.lists(answers, min_size=1, max_size=8),
    schedulers,
    st.tuples(decisions, decisions),
    st.floats(0, 45),
)
def test_no_strategy_can_do_harm(
    wild: list[Callable[[PollView], Any]],
    scheduler: Callable[[], FairScheduler],
    scripts: tuple[Script, Script],
    decided_after: float,
) -> None:
    """No poll below the floor, none after the end but one, no two at once, and another login is heard of in time."""
    idura = SimulatedIdura(seed=1, signing_alg="ES256", expires_in=EXPIRES_IN, interval=INTERVAL)
    idura.register_client("urn:my:app", secret="known to the simulator")
    for person, script in zip((*WILD, TAME), (*scripts, Script.approve(decided_after)), strict=True):
        idura.script(person, script)
    wire = Wire(idura)
    # After its end nobody learns that a login is over: whoever polls on is on his own.
    idura.faults.append(
        lambda arrival: Fault.lose_answer() if arrival.order and arrival.now >= arrival.order.expires_at else None
    )

    async def main() -> list[tuple[State | None, float]]:
        shared = scheduler()

        def client(strategy: Any) -> CibaClient:
            return CibaClient(
                idura.issuer,
                ClientSecretPost("urn:my:app", "known to the simulator"),
                transport=wire,
                clock=virtual_clock(),
                rng=Random(1),
                id_token_algorithms=("ES256",),
                strategy=strategy,
                scheduler=shared,
            )

        async with client(Wild(wild)) as theirs, client(FinalPoll(Fixed())) as ours:
            return await asyncio.gather(*(login(theirs, person) for person in WILD), login(ours, TAME))

    *_, (state, heard_at) = run_virtual(main())
    assert state is State.APPROVED
    # Discovery and the order take two messages each; a rate of three requests a second is enough for three logins.
    assert heard_at <= 4 * LATENCY + decided_after + INTERVAL + 4 * LATENCY + 1.0
    assert idura.ledger.totals.collisions == 0
    for record in idura.ledger.orders:
        assert record.overlapping == record.slow_downs == record.polls_after_final == 0
        assert record.min_spacing is None or record.min_spacing >= INTERVAL - GRAIN
        # The acknowledgement of one that was first may arrive a little later than that of the first of all.
        begun_at = record.started_at - idura.ledger.orders[0].started_at + 3 * LATENCY
        polls = wire.polls.get(record.auth_req_id, [])
        assert sum(at > begun_at + EXPIRES_IN + 1.0 for at in polls) <= 1, "more than one grace poll"
