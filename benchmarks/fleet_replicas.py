"""The parts of `fleet.py` about what replicas see of each other, and when."""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import statistics
from typing import TYPE_CHECKING

from fleet_provider import Plan, person
from fleet_scene import Report, scene
from fleet_worker import LEASE

if TYPE_CHECKING:
    from tests.fleet.conftest import Postgres

#: People who are begun by both.
PEOPLE = 200
#: Those of whose logins the other replica wants to be rid.
STOPPED = 100


def percentile(values: list[float], share: int) -> float:
    """What so many in a hundred stay below."""
    return statistics.quantiles(values, n=100)[share - 1]


async def replicas(report: Report, server: Postgres, _: argparse.Namespace) -> None:
    """The same people on two replicas at once; each end is awaited, and some logins are stopped, on the other one."""
    dice, stopped = random.Random(1), range(PEOPLE, PEOPLE + STOPPED)
    async with scene(Plan(after=15.0, silent=stopped), workers=2, server=server, name="replicas") as made:
        one, two = made.workers
        await asyncio.sleep(LEASE)
        for name, worker in (("one", one), ("two", two)):
            worker.tell("begin", ((f"{name} {nth}", nth) for nth in range(PEOPLE)))
        await made.hear("begun", PEOPLE)
        await made.hear("pending", PEOPLE)
        begun, pending = dict(made.said["begun"]), dict(made.said["pending"])
        for nth, login in begun.items():
            elsewhere = two if login.startswith("one") else one
            elsewhere.tell("follow" if nth % 2 else "watch", [(login, nth)])
        await made.hear("follows", PEOPLE)
        ready = set(made.said["stored"])
        await made.hear("seen", PEOPLE)
        seen = {begun[nth]: at for nth, (at, _) in made.said["seen"].items()}
        # Those that had ended before anybody waited say nothing about how long it takes to be told.
        late = [at - made.said["stored"][login] for login, at in seen.items() if login not in ready]
        made.said["seen"].clear()
        one.tell("begin", ((f"stop {nth}", nth) for nth in stopped))
        await made.hear("begun", PEOPLE + STOPPED)
        for nth in stopped:
            two.tell("cancel", [(f"stop {nth}", nth)])
            await asyncio.sleep(dice.uniform(0.05, 0.15))
        await made.hear("seen", STOPPED)
        called = made.said["cancels"]
        ceased = [made.said["stored"][f"stop {nth}"] - called[nth] for nth in stopped]
        ended = [made.said["seen"][nth][0] - called[nth] for nth in stopped]
        states = {state for _, state in made.said["seen"].values()}
        found = await made.books()
    last = [found.polls.get(person(nth), [-math.inf])[-1] - called[nth] for nth in stopped]
    report.demand("people without one prompt", 0, sum(found.orders.get(person(nth)) != 1 for nth in range(PEOPLE)))
    print(f"  begun by one replica: {sum(login.startswith('one') for login in begun.values())} of {PEOPLE}")
    report.demand("AlreadyPending without the login of the other", 0, sum(pending[nth] != begun[nth] for nth in begun))
    middle, slowest = 1000 * statistics.median(late), 1000 * max(late)
    print(f"  stored to seen elsewhere, {len(late)} logins: median {middle:.0f} ms, last {slowest:.0f} ms")
    report.demand("seconds from stored to seen elsewhere, p95", 0.1, percentile(late, 95))
    print(f"  stopped from elsewhere: median {statistics.median(ceased) * 1000:.0f} ms until its owner has stopped")
    report.demand("seconds from `cancel` until the owner has stopped, at most", 0.5, max(ceased))
    report.demand("seconds from `cancel` until its end is seen, at most", 0.5, max(ended))
    report.demand("seconds from `cancel` until the last poll, at most", 0.5, max(last))
    report.demand("ends other than abandoned", 0, len(states - {"abandoned"}))
