"""What the parts of `fleet.py` play on: a provider, a store and workers, and what is known of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from fleet_provider import Books, Plan, person, provide
from fleet_worker import LEASE, Role, client, work

from idura_ciba.errors import StoreError
from idura_ciba.fleet.postgres import PostgresStore
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.store import Stage, Stored

if TYPE_CHECKING:
    from tests.fleet.conftest import Postgres

PROCESSES = multiprocessing.get_context("spawn")
#: What a worker says of a login that it was asked to begin.
BEGINNINGS = frozenset({"begun", "pending", "failed"})


def case(nth: int) -> str:
    """The id of a login, where nothing else is said."""
    return f"case {nth}"


@define(eq=False)
class Worker:
    """One of them, from outside."""

    process: Any
    pipe: Connection
    asked: set[int] = field(factory=set)

    def tell(self, what: str, logins: Iterable[tuple[str, int]]) -> None:
        """Have it do something with these; see `Replica`."""
        self.pipe.send((what, list(logins)))

    def heard(self) -> list[tuple[str, Any, Any]]:
        """What it has said."""
        said = []
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                said.append(self.pipe.recv())
        return said


# --- everything together ----------------------------------------------------------------------------------------------


@define
class Scene:
    """A provider, a store and workers.

    Attributes:
        said: What the workers have said, by kind and by what it is said of.
    """

    role: Role
    provider: Connection
    workers: list[Worker] = field(factory=list)
    said: dict[str, dict[Any, Any]] = field(factory=lambda: defaultdict(dict))

    async def add(self, target: Callable[[Connection, Any], None] = work, **changes: Any) -> Worker:
        """One more worker, once it is ready."""
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=target, args=(theirs, evolve(self.role, **changes)), daemon=True)
        process.start()
        theirs.close()
        worker = Worker(process, ours)
        await asyncio.to_thread(ours.recv)
        self.workers.append(worker)
        return worker

    def ask(self, worker: Worker, numbers: Sequence[int]) -> None:
        """Have a worker begin these."""
        worker.asked |= set(numbers)
        worker.tell("begin", ((case(nth), nth) for nth in numbers))

    def listen(self) -> None:
        """Note what the workers have said."""
        for worker in self.workers:
            for what, of, more in worker.heard():
                self.said[what][of] = more
                if what in BEGINNINGS:
                    worker.asked.discard(of)

    async def hear(self, what: str, number: int, *, within: float = 300.0) -> None:
        """Wait until so much of a kind was said.

        Raises:
            TimeoutError: It was not.
        """
        async with asyncio.timeout(within):
            while len(self.said[what]) < number:  # noqa: ASYNC110 - `listen` looks at pipes, and has no event
                await asyncio.sleep(0.05)

    def kill(self, worker: Worker) -> set[int]:
        """SIGKILL; returns what it was asked for and has not said anything of."""
        worker.process.kill()
        worker.process.join()
        self.listen()
        self.workers.remove(worker)
        return worker.asked

    async def books(self) -> Books:
        """The provider's, at the end."""
        self.provider.send("stop")
        found: Books = await asyncio.to_thread(self.provider.recv)
        return found

    async def orders(self) -> int:
        """How many people the provider has asked so far."""
        self.provider.send("orders")
        found: int = await asyncio.to_thread(self.provider.recv)
        return found

    async def cost(self, worker: Worker) -> tuple[int, float]:
        """How many statements a worker has had, and how many seconds of CPU."""
        self.said["cost"].clear()
        worker.tell("cost", [("", 0)])
        await self.hear("cost", 1)
        found: tuple[int, float] = self.said["cost"][0]
        return found

    async def outcomes(self, numbers: Sequence[int], *, within: float) -> dict[int, tuple[str, str | None]]:
        """How each login ended, and its code; fetched from the store, as anybody may."""
        store, ciba = PostgresStore(self.role.dsn), client(self.role.issuer)
        sealing, found = Sealing.of(ciba), dict[int, tuple[str, str | None]]()
        await store.open()
        until = time.monotonic() + within
        while len(found) < len(numbers) and time.monotonic() < until:
            for nth in numbers:
                with suppress(StoreError):
                    stored: Stored | None = None if nth in found else await store.get(case(nth))
                    if stored is not None and stored.stage is Stage.ENDED:
                        members = sealing.show(stored.login, await store.deliver(stored.login))
                        found[nth] = (stored.state, members.get("code"))
            await asyncio.sleep(0.5)
        await store.aclose()
        await ciba.close()
        return found


@asynccontextmanager
async def scene(plan: Plan, *, workers: int, server: Postgres, name: str, **changes: Any) -> AsyncIterator[Scene]:
    """Everything that is needed; `changes` are those of `Role`."""
    import psycopg  # noqa: PLC0415 - beside its only use

    async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
    ours, theirs = PROCESSES.Pipe()
    provider = PROCESSES.Process(target=provide, args=(theirs, plan), daemon=True)
    provider.start()
    issuer = await asyncio.to_thread(ours.recv)
    dsn = f"postgresql://ciba@127.0.0.1:{server.port}/{name}"
    made = Scene(Role(issuer=issuer, dsn=dsn, **changes), ours)

    async def listen() -> None:
        # A worker that nobody listens to stops when its pipe is full.
        while True:
            made.listen()
            await asyncio.sleep(0.02)

    listening = asyncio.create_task(listen())
    try:
        for _ in range(workers):
            await made.add()
        yield made
    finally:
        listening.cancel()
        for each in made.workers:
            each.process.kill()
        provider.kill()


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
    return max((later - earlier for earlier, later in pairwise(polls) if kept(later)), default=0.0)


def lost(found: Books, ended: Mapping[int, tuple[str, str | None]], numbers: Iterable[int]) -> list[int]:
    """Whose approval did not arrive."""
    approved = (nth for nth in numbers if found.outcomes.get(person(nth)) == "approved")
    return [nth for nth in approved if ended.get(nth, ("",))[0] != "approved"]


async def all_on_the_first(made: Scene, number: int) -> None:
    """So many pending on the first worker; a second has been there for long enough to judge."""
    made.ask(made.workers[0], range(number))
    await made.hear("begun", number)
    await made.add()
    await asyncio.sleep(2 * LEASE)
