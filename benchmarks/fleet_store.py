"""The parts of `fleet.py` in which the store is away, or holds what not everybody can read."""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from fleet_provider import Plan, person
from fleet_scene import Report, Scene, Worker, all_on_the_first, case, lost, scene
from fleet_worker import LEASE

from idura_ciba.fleet.sealing import LAYOUT
from tests.fleet.cable import cable

if TYPE_CHECKING:
    from tests.fleet.conftest import Postgres


async def cut(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """The line of one worker to PostgreSQL, with all logins on it, passes nothing for three leases."""
    for forgets in (False, True):
        await _cut(report, server, options.logins // 4, forgets=forgets)


async def _cut(report: Report, server: Postgres, number: int, *, forgets: bool) -> None:
    how = "its connections stay dead" if forgets else "what was sent arrives later"
    async with (
        cable(server.port, forgets=forgets) as line,
        scene(Plan(after=40.0, silent=[number]), workers=0, server=server, name=f"cut_{forgets:d}") as made,
    ):
        far = await made.add(dsn=made.role.dsn.replace(f":{server.port}/", f":{line.port}/"))
        await all_on_the_first(made, number)
        line.cut()
        await asyncio.sleep(3 * LEASE)
        line.mend()
        back = await again(made, far, number)
        stopped = await stops(made, made.workers[1], number)
        ended = await made.outcomes(range(number), within=90)
        found = await made.books()
    print(f"  {how}: {len(ended)} of {number} logins ended; the worker could ask again {back:.1f} s after it")
    report.demand(f"{how}: seconds until it stops what another one cancels", 0.5, stopped)
    report.demand(f"{how}: approvals lost", 0, len(lost(found, ended, range(number))))
    report.demand(f"{how}: slow_down answers", 0, found.summary["slow_downs"])
    report.demand(f"{how}: polls while another was under way", 0, found.summary["overlapping"])


async def again(made: Scene, worker: Worker, nth: int) -> float:
    """Seconds until a worker can ask somebody; infinite after a minute."""
    since = time.monotonic()
    for attempt in range(120):
        made.said["failed"].pop(nth, None)
        worker.tell("begin", [(f"again {attempt}", nth)])
        while nth not in made.said["begun"] and nth not in made.said["failed"]:
            await asyncio.sleep(0.05)
            if time.monotonic() > since + 60:
                return math.inf
        if nth in made.said["begun"]:
            return time.monotonic() - since
        await asyncio.sleep(0.2)
    return math.inf


async def stops(made: Scene, by: Worker, nth: int) -> float:
    """Seconds until the owner of a login has stopped because another worker wants it to."""
    login = made.said["begun"][nth]
    by.tell("cancel", [(login, nth)])
    with suppress(TimeoutError):
        await made.hear("seen", 1, within=20)
    stopped_at: float = made.said["stored"].get(login, math.inf)
    return stopped_at - float(made.said["cancels"][nth])


async def restart(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """PostgreSQL stops at once, and returns at once or after ten seconds; people decide meanwhile."""
    number = options.logins // 3
    for away in (0.0, 10.0):
        async with scene(Plan(after=20.0), workers=3, server=server, name=f"restart_{away:.0f}") as made:
            await asyncio.sleep(LEASE)
            for nth, worker in enumerate(made.workers):
                made.ask(worker, range(nth, number, 3))
            await made.hear("begun", number)
            await asyncio.sleep(2 * LEASE)
            gone_at = time.monotonic()
            await asyncio.to_thread(server.stop, "immediate")
            await asyncio.sleep(away)
            await asyncio.to_thread(server.start)
            returned_at = time.monotonic()
            ended = await made.outcomes(range(number), within=120)
            found = await made.books()
        still = [nth for nth in range(number) if found.ended[person(nth)] > returned_at]
        waited = [next((at for at in found.polls[person(nth)] if at > returned_at), math.inf) for nth in still]
        told = sum(gone_at < at <= returned_at for at in found.ended.values())
        how = f"away for {returned_at - gone_at:.1f} s"
        print(f"  {how}: {len(still)} of {number} pending when it returned, {told} had ended meanwhile")
        report.demand(f"{how}: approvals lost", 0, len(lost(found, ended, range(number))))
        report.demand(f"{how}: logins without an end", 0, number - len(ended))
        report.demand(f"{how}: seconds until all are polled again", 12, max(waited, default=0.0) - returned_at)
        report.demand(f"{how}: slow_down answers", 0, found.summary["slow_downs"])


async def mixed(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """Two workers of this format and two of the next, neither of which reads the other; three of them die."""
    half = options.logins // 8
    async with scene(Plan(after=60.0), workers=2, server=server, name="mixed") as made:
        for _ in range(2):
            await made.add(layout=LAYOUT + 1)
        await asyncio.sleep(LEASE)
        old, new = made.workers[:2], made.workers[2:]
        made.ask(old[0], range(half))
        made.ask(new[0], range(half, 2 * half))
        await made.hear("begun", 2 * half)
        await asyncio.sleep(LEASE)
        for worker in (old[0], new[0]):
            made.kill(worker)
        await asyncio.sleep(2 * LEASE)
        taken = len(made.said["taken"])
        made.kill(old[1])
        await asyncio.sleep(2 * LEASE)
        # Those of the old format wait for somebody who can read them.
        await made.add()
        ended = await made.outcomes(range(2 * half), within=120)
        found = await made.books()
    print(f"  {taken} of {2 * half} logins were taken over by another worker of their format")
    report.demand("logins taken by a worker that cannot read them", 0, len(made.said["misread"]))
    report.demand(
        "logins that nobody took over", 0, sum(case(nth) not in made.said["taken"] for nth in range(2 * half))
    )
    report.demand("approvals lost", 0, len(lost(found, ended, range(2 * half))))
    report.demand("logins without an end", 0, 2 * half - len(ended))
