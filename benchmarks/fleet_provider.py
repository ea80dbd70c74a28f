"""The provider of `fleet.py`, in a process of its own."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from attrs import define, field, frozen

from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.tokens import SigningAlg

CLIENT_ID, SECRET = "urn:benchmark", "known to the simulator"
FIRST_NUMBER = 209999000000
INTERVAL = 1
#: Share of people who say no.
DENIALS = 0.1


def person(nth: int) -> str:
    """A number that belongs to nobody: there is no such day."""
    return str(FIRST_NUMBER + nth)


@frozen(kw_only=True)
class Plan:
    """What provider and people do.

    Attributes:
        after: Seconds until people answer, give or take a half; infinite: they never do.
        silent: Those who never answer, whatever `after` says.
        interval: Seconds between polls.
        expires_in: Seconds that a prompt lives; None: as usual.
        signing_alg: Of ID tokens.
        limit: Requests that are answered in any second; further ones are refused (429).
    """

    after: float = math.inf
    silent: Sequence[int] = ()
    interval: int = INTERVAL
    expires_in: int | None = None
    signing_alg: SigningAlg = "ES256"
    limit: float = math.inf


@frozen
class Books:
    """What the provider knows at the end. Instants are monotonic seconds, which are the same for all processes.

    Attributes:
        orders: How many each person had.
        outcomes: How the last one of each ended.
        ended: When each person's first final answer left.
        polls: When each person's polls arrived.
        arrivals: When requests of both kinds arrived, answered or refused.
        refused: When those that were refused arrived.
        summary: The ledger's counts.
    """

    orders: Mapping[str, int]
    outcomes: Mapping[str, str]
    ended: Mapping[str, float]
    polls: Mapping[str, Sequence[float]]
    arrivals: Sequence[float]
    refused: Sequence[float]
    summary: Mapping[str, int]


@define(eq=False)
class Gate:
    """A fault rule: notes what arrives, and refuses what is above the limit; the lists are those of `Books`."""

    limit: float
    polls: dict[str, list[float]] = field(factory=lambda: defaultdict(list))
    arrivals: list[float] = field(factory=list)
    refused: list[float] = field(factory=list)
    _answered: deque[float] = field(factory=deque)

    def __call__(self, arrival: Arrival) -> Fault | None:
        """Let pass what may."""
        if arrival.endpoint not in {"token", "bc-authorize"}:
            return None
        now = time.monotonic()
        self.arrivals.append(now)
        if arrival.endpoint == "token" and arrival.order is not None:
            self.polls[arrival.order.person].append(now)
        while self._answered and self._answered[0] <= now - 1:
            self._answered.popleft()
        if len(self._answered) >= self.limit:
            self.refused.append(now)
            return Fault.answer(429)
        self._answered.append(now)
        return None


def provide(pipe: Connection, plan: Plan) -> None:
    """Serve until told to stop; asked for anything else, say how many people were asked so far."""

    async def run() -> None:
        dice, gate = random.Random(1), Gate(plan.limit)

        def answer(_: object) -> Script:
            if plan.after == math.inf:
                return Script.never()
            when = plan.after * dice.uniform(0.5, 1.5)
            return Script.deny(after=when) if dice.random() < DENIALS else Script.approve(after=when)

        idura = SimulatedIdura(
            seed=1, signing_alg=plan.signing_alg, interval=plan.interval, expires_in=plan.expires_in, people=answer
        )
        idura.register_client(CLIENT_ID, secret=SECRET)
        idura.faults.append(gate)
        for nth in plan.silent:
            idura.script(person(nth), Script.never())
        async with SimulatorServer(idura) as server:
            pipe.send(server.issuer)
            while await asyncio.to_thread(pipe.recv) != "stop":
                pipe.send(len(idura.ledger.orders))
        since, records, summary = time.monotonic() - time.time(), idura.ledger.orders, idura.ledger.summary(math.inf)
        pipe.send(
            Books(
                Counter(record.person for record in records),
                {record.person: record.outcome for record in records},
                {record.person: record.ended_at + since for record in records if record.ended_at is not None},
                dict(gate.polls),
                gate.arrivals,
                gate.refused,
                summary,
            )
        )

    with suppress(KeyboardInterrupt):
        asyncio.run(run())
