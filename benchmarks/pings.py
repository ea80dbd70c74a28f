"""What a ping saves, and what a lost one costs: many people, in ping mode beside poll mode.

    python benchmarks/pings.py --people 300

Everybody is asked through the simulator, in memory and on virtual time: an interval of 5 s, a lifetime of 120 s, people
as `idura_ciba.simulator.Crowd` assumes them, 50 ms each way. A part of the pings is lost, and one in ten comes twice.
The column "detected" is the seconds from a person's decision until the login is known here. The program exits with 1 if
an outcome is not what the provider's ledger says, if a poll came too soon, or if pings save less than they should.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Iterable

from attrs import frozen

from idura_ciba import CibaClient, ClientSecretPost, EidRequest
from idura_ciba.ping import PingCounts, PingReceiver
from idura_ciba.simulator import MemoryTransport, PingSender, SimPing, SimulatedIdura
from idura_ciba.simulator.people import dice
from idura_ciba.simulator.pings import post_to
from idura_ciba.testing import run_virtual, virtual_clock

HUSH = "hush"
#: Seconds each way.
LATENCY = 0.05
#: The share of polls that pings must save, where none is lost.
LEAST_SAVED = 0.5


@frozen
class Result:
    """What came of one way.

    Attributes:
        polls: For each login, on average.
        detected: Seconds from each decision to its login.
        wrong: Logins whose outcome is not that of the ledger.
        too_soon: Polls that the provider called too early, or that overlapped.
        counts: The pings, or None in poll mode.
    """

    polls: float
    detected: list[float]
    wrong: int
    too_soon: int
    counts: PingCounts | None


async def ask(people: int, lost: float | None) -> Result:
    """Ask everybody; `lost` is the share of pings that are lost, None for poll mode."""
    idura = SimulatedIdura(seed=7, interval=5, expires_in=120, signing_alg="ES256")
    endpoint = None if lost is None else "https://rp.example/ping"
    idura.register_client("urn:my:app", secret=HUSH, notification_endpoint=endpoint)
    chance, clock = dice(7, "pings"), virtual_clock()

    def rule(ping: SimPing) -> Iterable[SimPing]:
        return () if chance.random() < (lost or 0) else (ping, ping) if chance.random() < 1 / 10 else (ping,)

    idura.ping_rule = rule
    pings = None if lost is None else PingReceiver()
    seen: dict[str, tuple[str, float]] = {}

    async def one(ciba: CibaClient, number: int) -> None:
        ssn = str(209999000000 + number)  # there is no such day
        acr = "urn:grn:authn:se:bankid"
        details = [{"type": "phoneAuth", "callInitiator": "RP"}]
        request = EidRequest(
            login_hint=f"sub:ssn:{ssn}",
            acr_values=acr,
            binding_message="Hello",
            authorization_details=details,
            identity={("ssn",): ssn},
        )
        outcome = await (await ciba.start(request)).outcome()
        seen[ssn] = outcome.state.value, clock.wall()

    transport = MemoryTransport(idura, clock=clock, latency=LATENCY)
    async with (
        PingSender(idura.listen_for_pings, post_to(pings or PingReceiver()), wall=clock.wall),
        CibaClient(
            idura.issuer,
            ClientSecretPost("urn:my:app", HUSH),
            transport=transport,
            clock=clock,
            observers=(),
            pings=pings,
            id_token_algorithms=["ES256"],
        ) as ciba,
    ):
        await asyncio.gather(*(one(ciba, number) for number in range(people)))
    orders = idura.ledger.orders
    decided = [order for order in orders if order.outcome in {"approved", "denied"}]
    detected = [seen[order.person][1] - order.decided_at for order in decided if order.decided_at is not None]
    wrong = sum(seen[order.person][0] != order.outcome for order in orders)
    too_soon = sum(order.slow_downs + order.overlapping for order in orders)
    return Result(
        sum(order.polls for order in orders) / people,
        detected,
        wrong,
        too_soon,
        None if pings is None else pings.counts,
    )


def main() -> int:
    """Ask everybody in each way, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=300)
    people = parser.parse_args().people
    results = {lost: run_virtual(ask(people, lost)) for lost in (None, 0.0, 0.01, 0.1, 1.0)}
    print("pings lost   polls a login   detected: mean   median   slowest   wrong   too soon")
    for lost, result in results.items():
        name = "poll mode" if lost is None else f"{lost:.0%}"
        mean, median, slowest = (f(result.detected) for f in (statistics.mean, statistics.median, max))
        times = f"{mean:16.2f} {median:8.2f} {slowest:9.2f}"
        print(f"{name:10} {result.polls:15.2f} {times} {result.wrong:7} {result.too_soon:10}")
        if result.counts is not None:
            print(f"           {result.counts}")
    polled, pinged = results[None], results[0.0]
    saved = 1 - pinged.polls / polled.polls
    sooner = statistics.mean(polled.detected) - statistics.mean(pinged.detected)
    print(f"pings save {saved:.0%} of the polls, at least {LEAST_SAVED:.0%} required, and {sooner:.2f} s")
    right = not any(result.wrong or result.too_soon for result in results.values())
    return 0 if right and saved >= LEAST_SAVED and sooner > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
