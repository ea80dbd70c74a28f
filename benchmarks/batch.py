"""A batch of 20,000: is every outcome the provider's own, are the limits kept, does anything grow, what does it cost?

    python benchmarks/batch.py

Four parts. The first two run on a virtual clock, with a simulated provider in the same process: 20,000 people with a
journal in a file, and the 6,000 of demand A8, asked by a strategy that knows them, as in that demand's own figures. The
third asks some thousands over real sockets of a provider in another process, by turns with `client.start` in a loop and
through `verify_many` with a journal and the display of the command, and compares the CPU seconds of this process. The
last checks a file of a million rows with the command. What is demanded is printed beside what was reached; the program
exits with 1 where it is missed. It reads `/proc`: Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from attrs import define, field
from rich.console import Console
from soak import FIRST_NUMBER, request_for

from idura_ciba import (
    CibaClient,
    ClientSecretPost,
    EidRequest,
    FinalPoll,
    HazardAware,
    IndexScheduler,
    PrivateKeyJwt,
    State,
    Strategy,
    Transaction,
)
from idura_ciba.batch import Journal, verify_many
from idura_ciba.cli.keys import generate_key
from idura_ciba.cli.progress import Progress, reporting
from idura_ciba.simulator import (
    Arrival,
    Crowd,
    MemoryTransport,
    OrderRecord,
    Population,
    Script,
    SimulatedIdura,
    SimulatorServer,
)
from idura_ciba.testing import run_virtual, virtual_clock

CLIENT_ID, SECRET = "urn:benchmark", "known to the simulator"
#: The limits: requests a second, and people at once, `1.8 * rate * interval`.
RATE, PLACES = 200.0, 1080
#: People at once in demand A8, which bounds both how late each is heard of and how long all take: more places make the
#: one longer and the other shorter.
A8_PLACES = 1130
MIB = 2**20


def people(count: int) -> Iterator[tuple[str, EidRequest]]:
    """So many of them, made as they are asked for."""
    return ((str(nth), request_for(str(FIRST_NUMBER + nth))) for nth in range(count))


def med18(dice: Random) -> Script:
    """The people of demand A8: log-normal with a median of 18 s and a sigma of 0.6; 15 % never answer."""
    return Script.never() if dice.random() < 0.15 else Script.approve(dice.lognormvariate(math.log(18.0), 0.6))  # noqa: PLR2004 - above


def rss() -> int:
    """Bytes that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Table:
    """What is demanded beside what was reached."""

    def __init__(self) -> None:
        self.missed = 0

    def at_most(self, what: str, demanded: float, reached: float, unit: str = "") -> None:
        """Print one line."""
        good = reached <= demanded
        self.missed += not good
        print(f"{what:<62}{demanded:>9g}{reached:>11.4g}{unit}{'' if good else '   MISSED'}", flush=True)


# --- on the virtual clock ---------------------------------------------------------------------------------------------


@define
class Watch:
    """Looks at what arrives at the provider: how many in any second."""

    most: int = 0
    _recent: deque[float] = field(factory=deque)

    def __call__(self, arrival: Arrival) -> None:
        """A fault rule that never has a fault."""
        if arrival.endpoint in {"bc-authorize", "token"}:
            self._recent.append(arrival.now)
            # Instants are sums of floats, so a millionth of a second is no difference.
            while self._recent[0] <= arrival.now - 1 + 1e-6:
                self._recent.popleft()
            self.most = max(self.most, len(self._recent))


@define
class Truth:
    """The provider's books, folded together as they are compared, so that they do not grow."""

    idura: SimulatedIdura
    orders: dict[str, OrderRecord] = field(factory=dict)
    wrong: int = 0
    delays: list[float] = field(factory=list)
    slow_downs: int = 0

    def compare(self, key: str, state: State) -> None:
        """One result with the book's page, which is torn out then."""
        ledger = self.idura.ledger
        for record in ledger.orders:
            self.wrong += self.orders.setdefault(record.person, record) is not record
        ledger.orders.clear()
        person = str(FIRST_NUMBER + int(key))
        record = self.orders.pop(person)
        self.wrong += record.outcome != state.value
        self.slow_downs += record.slow_downs
        if record.decided_at is not None:
            # Nobody heard of an answer: it has waited until the end.
            ended_at = record.expires_at if record.outcome == "expired" else record.ended_at
            assert ended_at is not None
            self.delays.append(ended_at - record.decided_at)
        self.idura._orders.pop(record.auth_req_id)  # noqa: SLF001 - a provider never forgets by itself
        self.idura._latest.pop(("se", person))  # noqa: SLF001
        del self.idura._ordered["se", person]  # noqa: SLF001


async def verify_virtually(
    count: int, crowd: Population, strategy: Strategy, folder: Path, table: Table, *, places: int, is_a8: bool
) -> None:
    """All of them."""
    idura = SimulatedIdura(seed=1, signing_alg="ES256", interval=3, expires_in=120, people=crowd)
    idura.register_client(CLIENT_ID, secret=SECRET)
    watch, truth, clock, scheduler = Watch(), Truth(idura), virtual_clock(), IndexScheduler(rate=RATE)
    idura.faults.append(watch)
    states: Counter[State] = Counter()
    most, held_then, held_most = 0, 0, 0
    async with (
        CibaClient(
            idura.issuer,
            ClientSecretPost(CLIENT_ID, SECRET),
            transport=MemoryTransport(idura, clock=clock, latency=0.06),
            clock=clock,
            strategy=strategy,
            scheduler=scheduler,
            id_token_algorithms=("ES256",),
            observers=(),
        ) as ciba,
        Journal(folder / f"{count}.journal", ciba) as journal,
    ):

        def look(_key: str, _transaction: Transaction) -> None:
            nonlocal most
            most = max(most, scheduler.snapshot().pending)

        asking = verify_many(ciba, people(count), journal=journal, max_in_flight=places, accepted=look, clock=clock)
        async for result in asking:
            states[result.state] += 1
            truth.compare(result.key, result.state)
            if states.total() == 2000:  # noqa: PLR2004 - the demand
                held_then = rss()
            elif not states.total() % 500:
                held_most = max(held_most, rss())
    took = asyncio.get_running_loop().time()
    print(f"\n{count} people, {places} at once, {RATE:g} requests/s: {dict(states.most_common())}, {took:.0f} s")
    table.at_most("people without a result", 0, count - states.total())
    table.at_most("outcomes that are not the ledger's", 0, truth.wrong)
    table.at_most("pending at once", places, most)
    table.at_most("requests in any second", RATE, watch.most)
    table.at_most("slow_down answers", 0, truth.slow_downs)
    if is_a8:
        lost = sum(delay > 30 for delay in truth.delays)  # noqa: PLR2004 - none that was fetched waits so long
        table.at_most("A8: mean seconds from the decision to its arrival", 2.6, sum(truth.delays) / len(truth.delays))
        table.at_most("A8: answers missed", 0, lost)
        table.at_most("A8: seconds of virtual time", 300, took)
    else:
        table.at_most("RSS after all beside that after 2,000, MiB", 30, (held_most - held_then) / MIB)


# --- over sockets -----------------------------------------------------------------------------------------------------


def provide(pipe: Connection) -> None:
    """Serve until told to stop, signing as Idura does.

    Everything goes three times as fast as there, so a login takes as many polls.
    """

    async def run() -> None:
        real = Crowd()
        steps = ((median / 3, sigma) for median, sigma in (real.opening, real.acknowledging, real.identifying))
        crowd = Crowd(real.never, real.deny, *steps)
        idura = SimulatedIdura(seed=1, interval=1, expires_in=40, people=crowd)
        idura.register_client(CLIENT_ID, jwks=await asyncio.to_thread(pipe.recv))
        async with SimulatorServer(idura) as server:
            pipe.send(server.issuer)
            await asyncio.to_thread(pipe.recv)

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


def make_client(issuer: str, auth: PrivateKeyJwt, scheduler: IndexScheduler) -> CibaClient:
    """One with the settings of the command."""
    return CibaClient(issuer, auth, strategy=FinalPoll(HazardAware()), scheduler=scheduler)


async def in_a_loop(issuer: str, auth: PrivateKeyJwt, numbers: range, places: int) -> None:
    """What everybody writes first."""
    limit = asyncio.Semaphore(places)

    async def one(nth: int) -> None:
        async with limit:
            await (await ciba.start(request_for(str(FIRST_NUMBER + nth)))).outcome()

    async with make_client(issuer, auth, IndexScheduler()) as ciba:
        await asyncio.gather(*(one(nth) for nth in numbers))


async def in_a_batch(issuer: str, auth: PrivateKeyJwt, numbers: range, places: int, folder: Path) -> None:
    """The same with a journal and the display of the command."""
    loop, scheduler = asyncio.get_running_loop(), IndexScheduler()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:  # noqa: ASYNC230 - nothing is written
        terminal = Console(file=nowhere, force_terminal=True, width=100, _environ={})
        async with (
            make_client(issuer, auth, scheduler) as ciba,
            Journal(folder / f"cost-{numbers.start}.journal", ciba) as journal,
        ):
            progress = Progress("people.csv", loop.time(), scheduler.snapshot, total=len(numbers))
            pairs = ((str(nth), request_for(str(FIRST_NUMBER + nth))) for nth in numbers)
            async with reporting(progress, terminal):
                async for result in verify_many(ciba, pairs, journal=journal, max_in_flight=places):
                    progress.tally.add(result)


def cost(table: Table, count: int, rounds: int, folder: Path) -> None:
    """CPU for each login, by turns."""
    processes = multiprocessing.get_context("spawn")
    pipe, other_end = processes.Pipe()
    provider = processes.Process(target=provide, args=(other_end,), daemon=True)
    provider.start()
    # What Idura recommends, and what the command does with a key file.
    auth = PrivateKeyJwt(CLIENT_ID, generate_key("RS256"))
    pipe.send(auth.public_jwks())
    issuer, spent, first = pipe.recv(), {"loop": 0.0, "batch": 0.0}, 0
    for nth in range(rounds + 1):
        for name in ("loop", "batch") if nth % 2 else ("batch", "loop"):
            began = time.process_time()
            if name == "loop":
                asyncio.run(in_a_loop(issuer, auth, range(first, first + count), 400))
            else:
                asyncio.run(in_a_batch(issuer, auth, range(first, first + count), 400, folder))
            # The first round warms up.
            spent[name] += (time.process_time() - began) if nth else 0.0
            first += count
    pipe.send("stop")
    provider.join()
    each = {name: seconds / (count * rounds) * 1000 for name, seconds in spent.items()}
    print(f"\nover sockets, {rounds} x {count} logins each, CPU ms for each login: {each}")
    table.at_most("CPU more than client.start in a loop, %", 10, 100 * (each["batch"] / each["loop"] - 1))


# --- a million rows ---------------------------------------------------------------------------------------------------


def write_million(path: Path, rows: int) -> None:
    """A file of people who do not exist: their birthdays lie in the future."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write("key;Personnummer;message\r\n")
        for nth in range(rows):
            rest, serial = divmod(nth, 999)
            rest, day = divmod(rest, 28)
            year, month = divmod(rest, 12)
            digits = f"{90 + year:02}{month + 1:02}{day + 1:02}{serial + 1:03}"
            doubled = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(digits))
            file.write(f'customer-{nth};20{digits}{-doubled % 10};"Hello; {nth % 5}"\r\n')


def dry_run(table: Table, rows: int, folder: Path) -> None:
    """The command looks at each row."""
    path = folder / "million.csv"
    write_million(path, rows)
    command = [sys.executable, "-m", "idura_ciba.cli", "batch", str(path), "--dry-run", "--column", "ssn=Personnummer"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    began = time.monotonic()
    ran = subprocess.run(
        [*command, "--eid", "se", "--call-initiator", "RP"], capture_output=True, text=True, check=False
    )
    took = time.monotonic() - began
    print(f"\na dry run over {rows} rows, {path.stat().st_size / MIB:.0f} MiB: exit {ran.returncode}, {ran.stderr}")
    held = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    table.at_most("seconds", 30, took)
    table.at_most("MiB at most", 150, held)


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=("virtual", "cost", "rows"), help="one part")
    options = parser.parse_args()
    table = Table()
    print(f"{'':<62}{'demanded':>9}{'reached':>11}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only in {None, "rows"}:
            dry_run(table, 1_000_000, folder)
        if options.only in {None, "cost"}:
            cost(table, 1000, 2, folder)
        if options.only in {None, "virtual"}:
            from frontier_fleet import known  # noqa: PLC0415 - needs numpy, which the other parts do not

            everyday = Crowd(), FinalPoll(HazardAware())
            run_virtual(verify_virtually(20_000, *everyday, folder, table, places=PLACES, is_a8=False))
            run_virtual(verify_virtually(6_000, med18, known("med18"), folder, table, places=A8_PLACES, is_a8=True))
    print(f"\n{table.missed} demands missed")
    return int(table.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
