"""Minutes of random logins with faults over sockets: does anything grow, and is every outcome the provider's own?

    python benchmarks/soak.py --minutes 5

The simulated provider runs in a process of its own, because it keeps all orders for ever; its ledger comes over a
pipe at the end. Every login without a fault must have ended as the ledger says. One with a fault may instead be
`indeterminate`, `failed`, or not have started; it may not be another answer. Memory, open files, tasks and sockets
are read in the client's process. The program prints what is demanded beside what was reached, and exits with 1 where
a bound is broken. It reads `/proc`, so it needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from attrs import define, evolve, field, frozen

from idura_ciba import CibaClient, CibaError, ClientSecretBasic, EidRequest, State, UsageError
from idura_ciba.simulator import Arrival, Crowd, Fault, SimReply, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.messages import Refusal, read_form

CLIENT_ID, SECRET = "urn:benchmark", "known to the simulator"
#: Counted up from no such day, so that they belong to nobody.
FIRST_NUMBER = 209999000000
#: Seconds that an order lives: short, so that the number of those that wait is steady within the first minute.
EXPIRES_IN = 15
#: Share of callers that stop asking.
IMPATIENT = 0.02
WARM_UP = 60.0
GROWTH = 0.10
PAGE = os.sysconf("SC_PAGE_SIZE")

#: How a login can end for its caller. The place in this tuple is what the soak remembers of it: one byte.
ENDS = (*(state.value for state in State if state.is_final), "not started")


# --- the provider's side, in a process of its own ---------------------------------------------------------------------


def cut_short(reply: SimReply) -> SimReply:
    """The provider's answer without its second half."""
    return evolve(reply, body=reply.body[: len(reply.body) // 2])


FAULTS = (
    Fault.answer(500),
    Fault.answer(502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"),
    Fault.answer(503, {"Retry-After": "1"}),
    Fault.answer(503),
    Fault.answer(429, {"Retry-After": "2"}),
    Fault.answer(403, {"Content-Type": "text/html"}, b"<html>Blocked</html>"),
    Fault.answer(307, {"Location": "http://127.0.0.1:1/elsewhere"}),
    Fault.answer(200, {"Content-Type": "text/html"}, b"<html>Maintenance</html>"),
    Fault.answer(400, {}, b"[" * 50_000),
    Fault.answer(200, {}, b" " * 2_000_000),
    Fault.answer(200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
    Fault.lose_request(),
    Fault.lose_answer(),
    Fault.delay(2.5),
    Fault.change(cut_short),
)


@define
class Trouble:
    """A fault rule: by the dice, one of `FAULTS`; remembers whom it met."""

    share: float
    dice: random.Random = field(factory=lambda: random.Random(1))
    met: set[str] = field(factory=set)
    count: int = 0

    def __call__(self, arrival: Arrival) -> Fault | None:
        """Let most pass."""
        if self.dice.random() >= self.share:
            return None
        self.count += 1
        if arrival.order is not None:
            self.met.add(arrival.order.person)
        elif arrival.endpoint == "bc-authorize":
            with suppress(Refusal):
                self.met.add(read_form(arrival.request)["login_hint"].removeprefix("sub:ssn:"))
        return self.dice.choice(FAULTS)


@frozen
class Books:
    """What the provider knows at the end.

    Attributes:
        outcomes: By person, how the order ended; nobody is here twice.
        troubled: Whose exchanges met a fault.
        summary: The ledger's counts.
        faults: How many exchanges went wrong.
    """

    outcomes: Mapping[str, str]
    troubled: set[str]
    summary: Mapping[str, int]
    faults: int


def provide(pipe: Connection, share: float) -> None:
    """Serve until told to stop; sends the issuer first and the books last."""

    async def run() -> None:
        crowd = Crowd(opening=(1.0, 0.6), acknowledging=(0.7, 0.5), identifying=(0.7, 0.5))
        idura = SimulatedIdura(seed=1, signing_alg="ES256", interval=1, expires_in=EXPIRES_IN, people=crowd)
        idura.register_client(CLIENT_ID, secret=SECRET)
        trouble = Trouble(share)
        idura.faults.append(trouble)
        async with SimulatorServer(idura) as server:
            pipe.send(server.issuer)
            await asyncio.to_thread(pipe.recv)
        summary = idura.ledger.summary(math.inf)
        outcomes = {record.person: record.outcome for record in idura.ledger.orders}
        pipe.send(Books(outcomes, trouble.met, summary, trouble.count))

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


# --- the client's side ------------------------------------------------------------------------------------------------


@frozen
class Usage:
    """What this process holds."""

    rss: int
    files: int
    sockets: int
    tasks: int

    @classmethod
    def now(cls) -> Usage:
        """Read it, without what is only waiting to be collected."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        targets = []
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # the one that lists the folder is gone by now
                targets.append(str(entry.readlink()))
        return cls(
            rss=pages * PAGE,
            files=len(targets),
            sockets=sum(target.startswith("socket:") for target in targets),
            tasks=len(asyncio.all_tasks()),
        )

    def __str__(self) -> str:
        """One line."""
        return f"RSS {self.rss / 2**20:.1f} MB, {self.files} files, {self.sockets} sockets, {self.tasks} tasks"


def request_for(ssn: str) -> EidRequest:
    """Swedish BankID for a number that `SwedishBankID` would refuse, being nobody's."""
    return EidRequest(
        login_hint=f"sub:ssn:{ssn}",
        acr_values="urn:grn:authn:se:bankid",
        binding_message="Hello",
        authorization_details=({"type": "phoneAuth", "callInitiator": "RP"},),
        identity={("ssn",): ssn},
        identity_guaranteed=True,
    )


async def log_in(ciba: CibaClient, nth: int, ends: bytearray, dice: random.Random) -> None:
    """One login; its end goes to the nth place."""
    ssn = str(FIRST_NUMBER + nth)
    try:
        transaction = await ciba.start(request_for(ssn))
    except UsageError:
        raise
    except CibaError:
        ends[nth] = ENDS.index("not started")
        return
    if dice.random() < IMPATIENT:
        await asyncio.sleep(dice.uniform(0, EXPIRES_IN))
        transaction.abandon()
    outcome = await transaction.outcome()
    if outcome.authentication is not None and outcome.authentication.claims["ssn"] != ssn:
        raise AssertionError("an approval of another person")
    ends[nth] = ENDS.index(outcome.state.value)


async def soak(issuer: str, seconds: float, rate: float) -> tuple[bytearray, Usage, Usage, Usage]:
    """Log people in for a while; returns their ends, and what was held at the start, after the warm-up, at the end."""
    dice, ends = random.Random(2), bytearray()
    start, warm = Usage.now(), None
    began = time.monotonic()
    print(f"{'at the start':>20}: {start}")
    auth = ClientSecretBasic(CLIENT_ID, SECRET)
    async with (
        CibaClient(issuer, auth, id_token_algorithms=("ES256",), observers=()) as ciba,
        asyncio.TaskGroup() as group,
    ):
        while (passed := time.monotonic() - began) < seconds:
            if warm is None and passed >= min(WARM_UP, seconds / 2):
                warm = Usage.now()
                print(f"{f'after {passed:.0f} s':>20}: {warm}", flush=True)
            ends.append(0)
            group.create_task(log_in(ciba, len(ends) - 1, ends, dice))
            await asyncio.sleep(dice.expovariate(rate))
        # Under the same load as after the warm-up: an idle process would compare too well.
        loaded = Usage.now()
        print(f"{f'after {passed:.0f} s':>20}: {loaded}", flush=True)
    assert warm is not None
    end = Usage.now()
    print(f"{'after close':>20}: {end}")
    return ends, start, warm, evolve(end, rss=max(end.rss, loaded.rss))


def compare(ends: bytearray, books: Books) -> tuple[Counter[str], Counter[str]]:
    """How the logins ended, and those whose end the ledger does not bear out."""
    ended: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for nth, place in enumerate(ends):
        person, end = str(FIRST_NUMBER + nth), ENDS[place]
        ended[end] += 1
        truth = books.outcomes.get(person, "no order")
        excused = person in books.troubled and end in {"indeterminate", "failed", "not started"}
        # Abandoned is what the caller said, not what the provider did; an approval may never be invented.
        if end != truth and not excused and end != "abandoned":
            wrong[f"{end} for {truth}{', with a fault' * (person in books.troubled)}"] += 1
    return ended, wrong


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=60.0, help="logins a second")
    parser.add_argument("--share", type=float, default=0.05, help="of the exchanges that go wrong")
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    pipe, other_end = processes.Pipe()
    provider = processes.Process(target=provide, args=(other_end, options.share), daemon=True)
    provider.start()
    ends, start, warm, end = asyncio.run(soak(pipe.recv(), options.minutes * 60, options.rate))
    pipe.send("stop")
    books: Books = pipe.recv()
    provider.join()
    ended, wrong = compare(ends, books)
    print(f"\n{len(ends)} logins ended: {dict(ended.most_common())}")
    print(f"the provider's ledger, {books.faults} faults: {dict(books.summary)}")
    for what, count in wrong.items():
        print(f"  {count} x {what}")
    rows = [
        ("outcomes that the ledger does not bear out", 0, wrong.total()),
        ("polls while another was under way", 0, books.summary["overlapping"]),
        ("second orders for one person", 0, books.summary["collisions"]),
        ("RSS in MB", round(warm.rss * (1 + GROWTH) / 2**20, 1), round(end.rss / 2**20, 1)),
        ("open files", start.files, end.files),
        ("sockets", start.sockets, end.sockets),
        ("tasks", start.tasks, end.tasks),
    ]
    print(f"\n{'':<44}{'at most':>10}{'reached':>10}")
    for name, most, reached in rows:
        print(f"{name:<44}{most:>10}{reached:>10}{'' if reached <= most else '   WRONG'}")
    return int(any(reached > most for _, most, reached in rows))


if __name__ == "__main__":
    sys.exit(main())
