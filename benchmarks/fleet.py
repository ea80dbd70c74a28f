"""Replicas that are killed, paused and stopped: is anybody asked twice, is a login lost, and what does it cost?

    python benchmarks/fleet.py
    python benchmarks/fleet.py --only kills --logins 1000 --kills 20

Workers and provider are processes of their own; the store is a PostgreSQL that this program starts (its programs must
be installed). The provider notes every poll, so that the longest pause of each login is known. What is demanded is
printed beside what was reached, and the program exits with 1 where a demand is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from soak import request_for

from idura_ciba import AlreadyPending, CibaClient, CibaError, ClientSecretBasic
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.postgres import PostgresStore
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.store import Stage, Stored
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura, SimulatorServer

sys.path.insert(0, str(Path(__file__).parents[1]))
import itertools

from tests.fleet.conftest import Postgres, free_port, programs

CLIENT_ID, SECRET, RESUME = "urn:benchmark", "known to the simulator", b"r" * 32
FIRST_NUMBER = 209999000000
INTERVAL = 1
LEASE = 5.0
#: Share of people who say no.
DENIALS = 0.1
#: Logins that a worker begins at once.
TOGETHER = 24
PROCESSES = multiprocessing.get_context("spawn")


def person(nth: int) -> str:
    """A number that belongs to nobody: there is no such day."""
    return str(FIRST_NUMBER + nth)


def client(issuer: str) -> CibaClient:
    """The client of each worker."""
    auth = ClientSecretBasic(CLIENT_ID, SECRET)
    return CibaClient(issuer, auth, id_token_algorithms=("ES256",), observers=(), resume_secret=RESUME)


# --- the provider, in a process of its own ----------------------------------------------------------------------------


@frozen
class Books:
    """What the provider knows at the end.

    Attributes:
        orders: How many each person had.
        outcomes: How the last one of each ended.
        polls: When each person's polls arrived, in monotonic seconds.
        summary: The ledger's counts.
    """

    orders: Mapping[str, int]
    outcomes: Mapping[str, str]
    polls: Mapping[str, Sequence[float]]
    summary: Mapping[str, int]


def provide(pipe: Connection, after: float) -> None:
    """Serve until told to stop; people answer after so many seconds, give or take a half."""

    async def run() -> None:
        dice, polls = random.Random(1), dict[str, list[float]]()

        def answer(_: object) -> Script:
            when = after * dice.uniform(0.5, 1.5)
            return Script.deny(after=when) if dice.random() < DENIALS else Script.approve(after=when)

        def note(arrival: Arrival) -> Fault | None:
            if arrival.endpoint == "token" and arrival.order is not None:
                polls.setdefault(arrival.order.person, []).append(time.monotonic())
            return None

        idura = SimulatedIdura(seed=1, signing_alg="ES256", interval=INTERVAL, people=answer)
        idura.register_client(CLIENT_ID, secret=SECRET)
        idura.faults.append(note)
        async with SimulatorServer(idura) as server:
            pipe.send(server.issuer)
            await asyncio.to_thread(pipe.recv)
        records = idura.ledger.orders
        outcomes = {record.person: record.outcome for record in records}
        pipe.send(Books(Counter(record.person for record in records), outcomes, polls, idura.ledger.summary(math.inf)))

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


# --- a worker, in a process of its own --------------------------------------------------------------------------------


class Counting(PostgresStore):
    """Counts its statements."""

    statements = 0

    async def _run(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        self.statements += 1
        return await super()._run(statement, **values)


def work(pipe: Connection, issuer: str, dsn: str) -> None:
    """Begin what is asked for, and say how that went; on SIGTERM, hand over."""

    async def run() -> None:
        stopping, store = asyncio.Event(), Counting(dsn)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        async with Fleet(client(issuer), store, lease=LEASE) as fleet:
            turns = asyncio.Semaphore(TOGETHER)

            async def begin(nth: int) -> None:
                async with turns:
                    try:
                        await fleet.start(request_for(person(nth)), id=f"case {nth}")
                        pipe.send(("begun", nth, ""))
                    except AlreadyPending as error:
                        pipe.send(("pending", nth, error.login_id))
                    except CibaError as error:
                        pipe.send(("failed", nth, error.code))

            async def listen() -> None:
                while (told := await asyncio.to_thread(pipe.recv)) is not None:
                    what, numbers = told
                    if what == "start":
                        tasks.extend(asyncio.create_task(begin(nth)) for nth in numbers)
                    else:
                        used = resource.getrusage(resource.RUSAGE_SELF)
                        pipe.send(("cost", store.statements, used.ru_utime + used.ru_stime))

            tasks: list[asyncio.Task[Any]] = []
            listening = asyncio.create_task(listen())
            pipe.send(("ready", 0, ""))
            await asyncio.wait({listening, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
        os._exit(0)  # a thread may still be waiting for the pipe

    with suppress(KeyboardInterrupt, EOFError):
        asyncio.run(run())


@define(eq=False)
class Worker:
    """One of them, from outside."""

    process: Any
    pipe: Connection
    asked: set[int] = field(factory=set)

    def heard(self) -> list[tuple[str, int, str]]:
        """What it has said."""
        said = []
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                said.append(self.pipe.recv())
        return said


@define
class Scene:
    """A provider, a store and workers."""

    issuer: str
    dsn: str
    provider: Connection
    workers: list[Worker] = field(factory=list)
    begun: dict[int, str] = field(factory=dict)

    async def add(self) -> Worker:
        """One more worker, once it is ready."""
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=work, args=(theirs, self.issuer, self.dsn), daemon=True)
        process.start()
        theirs.close()
        worker = Worker(process, ours)
        await asyncio.to_thread(ours.recv)
        self.workers.append(worker)
        return worker

    def ask(self, worker: Worker, numbers: Sequence[int]) -> None:
        """Have a worker begin these."""
        worker.asked |= set(numbers)
        worker.pipe.send(("start", list(numbers)))

    def listen(self) -> None:
        """Note what the workers have begun."""
        for worker in self.workers:
            for what, nth, more in worker.heard():
                worker.asked.discard(nth)
                self.begun[nth] = f"{what} {more}".strip()

    def kill(self, worker: Worker) -> set[int]:
        """SIGKILL; returns what it was asked for and has not said anything of."""
        worker.process.kill()
        worker.process.join()
        self.listen()
        self.workers.remove(worker)
        return worker.asked


@asynccontextmanager
async def scene(*, workers: int, after: float, server: Postgres, name: str) -> Any:
    """Everything that is needed."""
    import psycopg  # noqa: PLC0415 - beside its only use

    async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
    ours, theirs = PROCESSES.Pipe()
    provider = PROCESSES.Process(target=provide, args=(theirs, after), daemon=True)
    provider.start()
    issuer = await asyncio.to_thread(ours.recv)
    made = Scene(issuer, f"postgresql://ciba@127.0.0.1:{server.port}/{name}", ours)
    for _ in range(workers):
        await made.add()
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.process.kill()
        provider.kill()


async def books(made: Scene) -> Books:
    """The provider's, at the end."""
    made.provider.send("stop")
    found: Books = await asyncio.to_thread(made.provider.recv)
    return found


async def outcomes(made: Scene, numbers: Sequence[int], *, within: float) -> dict[int, tuple[str, str | None]]:
    """How each login ended, and its code; fetched from the store, as anybody may."""
    store, ciba = PostgresStore(made.dsn), client(made.issuer)
    sealing, found = Sealing.of(ciba), dict[int, tuple[str, str | None]]()
    await store.open()
    until = time.monotonic() + within
    while len(found) < len(numbers) and time.monotonic() < until:
        made.listen()
        for nth in numbers:
            stored: Stored | None = None if nth in found else await store.get(f"case {nth}")
            if stored is not None and stored.stage is Stage.ENDED:
                members = sealing.show(stored.login, await store.deliver(stored.login))
                found[nth] = (stored.state, members.get("code"))
        await asyncio.sleep(0.5)
    await store.aclose()
    await ciba.close()
    return found


# --- what is demanded -------------------------------------------------------------------------------------------------


@define
class Report:
    """What is demanded beside what was reached."""

    missed: int = 0

    def demand(self, what: str, most: float, reached: float) -> None:
        """Print one line."""
        good = reached <= most
        self.missed += not good
        print(f"  {what:<76}{most:>9g}{reached:>10.4g}{'' if good else '   MISSED'}", flush=True)


def pauses(polls: Sequence[float], kept: Callable[[float], bool] = lambda _: True) -> float:
    """The longest time between two polls of a login, of which the later one is looked at."""
    return max((later - earlier for earlier, later in itertools.pairwise(polls) if kept(later)), default=0.0)


async def kills(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """SIGKILL at random moments, also while starting; workers are replaced."""
    dice, people = random.Random(1), range(options.logins)
    async with scene(workers=3, after=25.0, server=server, name="kills") as made:
        await asyncio.sleep(LEASE + 1)
        todo, began = list(people), time.monotonic()
        moments = sorted(dice.uniform(1, 50) for _ in range(options.kills))
        while todo or moments or any(worker.asked for worker in made.workers):
            for worker in made.workers:
                if len(worker.asked) < TOGETHER and todo:
                    made.ask(worker, [todo.pop() for _ in range(min(len(todo), 4))])
            if moments and time.monotonic() - began > moments[0]:
                moments.pop(0)
                todo += made.kill(dice.choice(made.workers))
                await made.add()
            made.listen()
            await asyncio.sleep(0.02)
        ended = await outcomes(made, people, within=120)
        found = await books(made)
    states = Counter(state for state, _ in ended.values())
    lost = [
        nth
        for nth in people
        if found.outcomes.get(person(nth)) == "approved" and ended.get(nth, ("",))[0] != "approved"
    ]
    explained = [nth for nth in lost if ended.get(nth, ("",))[0] == "indeterminate"]
    print(f"  {len(ended)} of {len(people)} ended: {dict(states.most_common())}")
    print(f"  indeterminate: {dict(Counter(str(code) for state, code in ended.values() if state == 'indeterminate'))}")
    report.demand("people asked twice", 0, sum(number > 1 for number in found.orders.values()))
    report.demand("second orders for one person", 0, found.summary["collisions"])
    report.demand("logins without an end", 0, len(people) - len(ended))
    report.demand("approvals lost and not reported as indeterminate", 0, len(lost) - len(explained))
    # An answer that was on its way to a worker when it was killed is lost; whoever goes on cannot know what it said.
    print(f"  approvals that were lost on their way to a worker that was killed: {len(explained)}")
    longest = sorted(pauses(found.polls.get(person(nth), [])) for nth in people)
    print(f"  longest pause of each login in s: median {longest[len(longest) // 2]:.1f}, longest {longest[-1]:.1f}")
    print(f"  slow_down answers: {found.summary['slow_downs']}")


async def takeover(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """Many pending on one worker that dies; two take over."""
    number = 2 * options.logins
    async with scene(workers=1, after=90.0, server=server, name="takeover") as made:
        made.ask(made.workers[0], range(number))
        while len(made.begun) < number:
            made.listen()
            await asyncio.sleep(0.1)
        for _ in range(2):
            await made.add()
        await asyncio.sleep(2 * LEASE)
        made.kill(made.workers[0])
        killed_at = time.monotonic()
        await asyncio.sleep(20)
        found = await books(made)
    polled = (next((at for at in found.polls[person(nth)] if at > killed_at + 0.5), math.inf) for nth in range(number))
    again = [at - killed_at for at in polled]
    print(f"  {number} pending logins polled again: median {sorted(again)[number // 2]:.1f} s, last {max(again):.1f} s")
    report.demand("seconds until all are polled again", 8, max(again))
    report.demand("slow_down answers", 0, found.summary["slow_downs"])


async def all_on_the_first(made: Scene, number: int) -> None:
    """So many pending on the first worker; the second has been there for long enough to judge."""
    made.ask(made.workers[0], range(number))
    while len(made.begun) < number:
        made.listen()
        await asyncio.sleep(0.1)
    await made.add()
    await asyncio.sleep(2 * LEASE)


async def pause(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """SIGSTOP for three leases, then SIGCONT."""
    number = options.logins // 4
    async with scene(workers=1, after=40.0, server=server, name="pause") as made:
        await all_on_the_first(made, number)
        os.kill(made.workers[0].process.pid, signal.SIGSTOP)
        await asyncio.sleep(3 * LEASE)
        os.kill(made.workers[0].process.pid, signal.SIGCONT)
        ended = await outcomes(made, range(number), within=90)
        found = await books(made)
    approved = [nth for nth in range(number) if found.outcomes[person(nth)] == "approved"]
    report.demand("approvals lost", 0, sum(ended.get(nth, ("",))[0] != "approved" for nth in approved))
    report.demand("slow_down answers", 0, found.summary["slow_downs"])
    report.demand("polls while another was under way", 0, found.summary["overlapping"])


async def deploy(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """SIGTERM with everything pending on the one that stops."""
    number = options.logins // 4
    async with scene(workers=1, after=40.0, server=server, name="deploy") as made:
        await all_on_the_first(made, number)
        os.kill(made.workers[0].process.pid, signal.SIGTERM)
        stopped_at = time.monotonic()
        ended = await outcomes(made, range(number), within=90)
        found = await books(made)
    longest = max(pauses(found.polls[person(nth)], lambda at: at >= stopped_at) for nth in range(number))
    report.demand("longest pause of a login over the hand-over, in s", INTERVAL + 1, longest)
    report.demand("logins in doubt", 0, sum(state == "indeterminate" for state, _ in ended.values()))
    report.demand("slow_down answers", 0, found.summary["slow_downs"])


async def cost(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """CPU and statements of a login, over those of a worker that does nothing else."""
    number = options.logins
    async with scene(workers=1, after=15.0, server=server, name="cost") as made:
        (worker,) = made.workers

        async def used() -> tuple[int, float]:
            worker.pipe.send(("cost", []))
            while True:
                for what, statements, seconds in worker.heard():
                    if what == "cost":
                        return statements, float(seconds)
                    made.begun[statements] = what
                await asyncio.sleep(0.02)

        before, began = await used(), time.monotonic()
        made.ask(worker, range(number))
        ended = await outcomes(made, range(number), within=120)
        after, took = await used(), time.monotonic() - began
        await books(made)
    beats = 3 * took * 5 / LEASE
    per_login = (after[0] - before[0] - beats) / number
    spent = (after[1] - before[1]) / number * 1000
    print(f"  {len(ended)} logins in {took:.0f} s, {spent:.2f} ms of CPU each, polls included")
    report.demand("statements for a login, without signs of life and delivery", 4, per_login)


PARTS = {"kills": kills, "takeover": takeover, "pause": pause, "deploy": deploy, "cost": cost}


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=tuple(PARTS), nargs="+", default=tuple(PARTS))
    parser.add_argument("--logins", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    installed = programs()
    if installed is None:
        print("PostgreSQL is missing: apt-get install postgresql")
        return 1
    home, user = Path(tempfile.mkdtemp(prefix="ciba-postgres-")), "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(home, user)
    server, report = Postgres(installed, home / "data", free_port(), user), Report()
    server.run("initdb", "-D", str(server.folder), "-U", "ciba", "-A", "trust", "-E", "UTF8", "--no-sync")
    server.start()
    try:
        for part in options.only:
            print(f"\n{part}: {(PARTS[part].__doc__ or '').strip()}\n{'':<78}{'at most':>9}{'reached':>10}", flush=True)
            asyncio.run(PARTS[part](report, server, options))
    finally:
        server.stop("immediate")
        shutil.rmtree(home)
    print(f"\n{report.missed} demands missed")
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
