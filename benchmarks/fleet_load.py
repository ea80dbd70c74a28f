"""The parts of `fleet.py` about what a fleet costs, and what it makes of one rate for all."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import resource
import statistics
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from attrs import define, field
from fleet_provider import Plan, person
from fleet_scene import Report, Scene, Worker, case, scene
from fleet_worker import LEASE, TOGETHER, Role, Tell, client, obey
from soak import request_for

from idura_ciba import CibaClient

if TYPE_CHECKING:
    from tests.fleet.conftest import Postgres

#: Turns of each that is compared.
ROUNDS = 6
#: Seconds for which nothing happens.
QUIET = 20.0
#: Requests in any second of all workers together.
RATE = 60
#: Seconds by which requests may arrive closer together than they were admitted, when a worker counts them: after that
#: a beginning asks the store, and on a machine with more processes than cores worker and provider wait for one.
JITTER = 0.05


# --- cost -------------------------------------------------------------------------------------------------------------


@define(eq=False)
class Alone:
    """A client without a fleet, told as `Replica` is."""

    ciba: CibaClient
    tell: Tell
    turns: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(TOGETHER))

    async def finish(self, _: str, nth: int) -> None:
        """Ask a person, and wait for their answer."""
        async with self.turns:
            begun = await self.ciba.start(request_for(person(nth)))
        self.tell("seen", nth, (await begun.outcome()).state.value)

    async def cost(self, _: str, nth: int) -> None:
        """No statements, and seconds of CPU."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.tell("cost", nth, (0, used.ru_utime + used.ru_stime))


def work_alone(pipe: Connection, role: Role) -> None:
    """Do as told."""

    async def run() -> None:
        async with client(role.issuer) as ciba:
            await obey(pipe, lambda tell: Alone(ciba, tell), asyncio.Event())
        os._exit(0)  # a thread may still be waiting for the pipe

    with suppress(KeyboardInterrupt, EOFError):
        asyncio.run(run())


async def cost(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """CPU and statements of a login with its answer, by turns with a client without a fleet at the same provider."""
    number = options.logins // 4
    fleet, alone, idle = list[float](), list[float](), list[float]()
    ours_said, signs = list[int](), list[float]()
    async with scene(Plan(after=3.0), workers=1, server=server, name="cost") as made:
        plain, ours = await made.add(work_alone), made.workers[0]
        await asyncio.sleep(LEASE)
        for nth in range(2 * ROUNDS):
            worker = (ours, plain)[nth % 2]
            before, resting, began = await made.cost(worker), await made.cost(ours), time.monotonic()
            made.said["seen"].clear()
            worker.tell("finish", (("", each) if worker is plain else (case(each), each)
                                   for each in range(nth * number, (nth + 1) * number)))  # fmt: skip
            await made.hear("seen", number)
            after, rested, took = await made.cost(worker), await made.cost(ours), time.monotonic() - began
            spent = (after[1] - before[1]) / number * 1000
            if worker is ours:
                fleet.append(spent)
                ours_said.append(after[0] - before[0])
                signs.append(took)
            elif nth > 1:
                alone.append(spent)
                idle.append((rested[0] - resting[0]) / took)
        await made.books()
    beats = statistics.median(idle)
    each = min((said - beats * took) / number for said, took in zip(ours_said[1:], signs[1:], strict=True))
    for who, spent in (("in a fleet", fleet[1:]), ("alone", alone)):
        told = ", ".join(f"{one:.2f}" for one in sorted(spent))
        print(f"  ms of CPU for a login with its polls and its answer, {who}: {told}")
    # What neighbours of this machine do makes everything dearer and nothing cheaper.
    report.demand(
        "ms of CPU of a login over the client alone, the cheapest turn of each", 2, min(fleet[1:]) - min(alone)
    )
    report.demand("statements of a login with its answer, without signs of life", 5, each)
    print(f"  signs of life: {beats:.1f} statements a second")


async def idle(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """Thousands pending on three workers, and nothing happens."""
    number = options.pending
    async with scene(Plan(interval=1200, expires_in=3600), workers=3, server=server, name="idle") as made:
        began = time.monotonic()
        for nth, worker in enumerate(made.workers):
            made.ask(worker, range(nth, number, 3))
        await made.hear("begun", number, within=1200)
        print(f"  {number} logins begun in {time.monotonic() - began:.0f} s")
        await asyncio.sleep(2 * LEASE)
        before, first = [await made.cost(worker) for worker in made.workers], await statements(server, "idle")
        await asyncio.sleep(QUIET)
        after, last = [await made.cost(worker) for worker in made.workers], await statements(server, "idle")
        found = await made.books()
    cores = [(late[1] - early[1]) / QUIET for early, late in zip(before, after, strict=True)]
    print(f"  {len(found.orders)} orders; {max(cores):.1%} of a core for each worker")
    report.demand("statements per second and worker while nothing happens", 5, (last - first) / QUIET / len(after))


async def statements(server: Postgres, database: str) -> int:
    """How many PostgreSQL has counted, of whomever; each is a transaction of its own."""
    import psycopg  # noqa: PLC0415 - beside its only use

    async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as connection:
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
        found = await (await connection.execute(query, (database,))).fetchone()
    assert found is not None
    return int(found[0])


# --- one rate for all -------------------------------------------------------------------------------------------------


def most(instants: Sequence[float], width: float) -> int:
    """The greatest number of them in any window of this width."""
    first = best = 0
    for last, at in enumerate(instants):
        while instants[first] <= at - width:
            first += 1
        best = max(best, last - first + 1)
    return best


def between(instants: Sequence[float], begin: float, end: float) -> int:
    """How many of them there are, the first instant included."""
    return bisect_left(instants, end) - bisect_left(instants, begin)


def in_use_again(instants: Sequence[float], since: float) -> float:
    """Seconds from an instant until nearly the whole rate is used in a second that began after it."""
    later = instants[bisect_left(instants, since + 1) :]
    return next((at - since for at in later if between(instants, at - 1, at) >= 0.95 * RATE), math.inf)


async def busy(made: Scene, number: int) -> None:
    """So many pending, whoever refuses them at first."""
    for nth, worker in enumerate(made.workers):
        made.ask(worker, range(nth, number, len(made.workers)))
    while len(made.said["begun"]) < number:
        await asyncio.sleep(0.5)
        for nth in [nth for nth in made.said["failed"] if nth not in made.said["begun"]]:
            del made.said["failed"][nth]
            made.workers[nth % len(made.workers)].tell("begin", [(f"again {nth} {time.monotonic():.3f}", nth)])


async def rate(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """One rate for all, more than enough to do, and workers that join and are killed."""
    killed = list[float]()
    async with scene(Plan(expires_in=3600), workers=3, server=server, name="rate", rate=RATE) as made:
        each = options.logins // 12
        await busy(made, 3 * each)
        for nth in range(3, 7):
            # It needs people of its own: its share is for nobody else.
            made.ask(await made.add(), range(nth * each, (nth + 1) * each))
            await asyncio.sleep(12)
            made.kill(made.workers[0])
            killed.append(time.monotonic())
            await asyncio.sleep(12)
        found = await made.books()
    arrivals, begin = found.arrivals, killed[0] - 12
    share = between(arrivals, begin, killed[-1] + 12) / (killed[-1] + 12 - begin) / RATE
    print(f"  {share:.0%} of the rate was used; most arrivals in any second: {most(arrivals, 1)}")
    report.demand("most requests admitted in any second", RATE, most(sorted(made.said["admitted"].values()), 1))
    late = f"{JITTER * 1000:.0f} ms"
    report.demand(f"most arrivals in any second, requests late by up to {late}", RATE, most(arrivals, 1 - JITTER))
    report.demand(
        "seconds until the share of a dead worker is used again", 10, max(in_use_again(arrivals, at) for at in killed)
    )
    report.demand("slow_down answers", 0, found.summary["slow_downs"])


async def limit(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """A provider that allows two thirds of the rate, and refuses what is above it (429)."""
    allowed = RATE * 2 / 3
    async with scene(Plan(expires_in=3600, limit=allowed), workers=3, server=server, name="refused", rate=RATE) as made:
        await busy(made, options.logins // 4)
        await asyncio.sleep(90)
        paces = [await pace(made, worker) for worker in made.workers]
        found = await made.books()
    begin, end = found.refused[0] + 30, found.arrivals[-1]
    came, refused = between(found.arrivals, begin, end), between(found.refused, begin, end)
    early = between(found.refused, begin - 30, begin)
    print(f"  refused: {early} in the first 30 s, {refused} in {end - begin:.0f} s after them")
    print(f"  {(came - refused) / (end - begin) / allowed:.0%} of what the provider allows was used after them")
    print(f"  the workers ask at most {', '.join(f'{each:.1f}' for each in paces)} a second at the end")
    report.demand("refused of all requests after the first 30 s, in %", 3, 100 * refused / came)


async def pace(made: Scene, worker: Worker) -> float:
    """How many requests a second a worker allows itself."""
    made.said["pace"].clear()
    worker.tell("pace", [("", 0)])
    await made.hear("pace", 1)
    found: float = made.said["pace"][0]
    return found
