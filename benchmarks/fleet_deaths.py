"""The parts of `fleet.py` in which a worker is killed, paused or stopped."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from fleet_provider import INTERVAL, Plan, person
from fleet_scene import Report, all_on_the_first, lost, pauses, scene
from fleet_worker import LEASE, TOGETHER

if TYPE_CHECKING:
    from tests.fleet.conftest import Postgres


async def kills(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """SIGKILL at random moments, also while starting; workers are replaced."""
    dice, people = random.Random(1), range(options.logins)
    async with scene(Plan(after=25.0), workers=3, server=server, name="kills") as made:
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
            await asyncio.sleep(0.02)
        ended = await made.outcomes(people, within=120)
        found = await made.books()
    states, gone = Counter(state for state, _ in ended.values()), lost(found, ended, people)
    explained = [nth for nth in gone if ended.get(nth, ("",))[0] == "indeterminate"]
    print(f"  {len(ended)} of {len(people)} ended: {dict(states.most_common())}")
    print(f"  indeterminate: {dict(Counter(str(code) for state, code in ended.values() if state == 'indeterminate'))}")
    report.demand("people asked twice", 0, sum(number > 1 for number in found.orders.values()))
    report.demand("second orders for one person", 0, found.summary["collisions"])
    report.demand("logins without an end", 0, len(people) - len(ended))
    report.demand("approvals lost and not reported as indeterminate", 0, len(gone) - len(explained))
    # An answer that was on its way to a worker when it was killed is lost; whoever goes on cannot know what it said.
    print(f"  approvals that were lost on their way to a worker that was killed: {len(explained)}")
    longest = sorted(pauses(found.polls.get(person(nth), [])) for nth in people)
    print(f"  longest pause of each login in s: median {longest[len(longest) // 2]:.1f}, longest {longest[-1]:.1f}")
    print(f"  slow_down answers: {found.summary['slow_downs']}")


async def takeover(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """Many pending on one worker that dies; two take over."""
    number = 2 * options.logins
    async with scene(Plan(after=90.0), workers=1, server=server, name="takeover") as made:
        made.ask(made.workers[0], range(number))
        await made.hear("begun", number)
        for _ in range(2):
            await made.add()
        await asyncio.sleep(2 * LEASE)
        made.kill(made.workers[0])
        killed_at = time.monotonic()
        await asyncio.sleep(20)
        found = await made.books()
    polled = (next((at for at in found.polls[person(nth)] if at > killed_at + 0.5), math.inf) for nth in range(number))
    again = [at - killed_at for at in polled]
    print(f"  {number} pending logins polled again: median {sorted(again)[number // 2]:.1f} s, last {max(again):.1f} s")
    report.demand("seconds until all are polled again", 8, max(again))
    report.demand("slow_down answers", 0, found.summary["slow_downs"])


async def pause(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """SIGSTOP for three leases, then SIGCONT."""
    number = options.logins // 4
    async with scene(Plan(after=40.0), workers=1, server=server, name="pause") as made:
        await all_on_the_first(made, number)
        os.kill(made.workers[0].process.pid, signal.SIGSTOP)
        await asyncio.sleep(3 * LEASE)
        os.kill(made.workers[0].process.pid, signal.SIGCONT)
        ended = await made.outcomes(range(number), within=90)
        found = await made.books()
    report.demand("approvals lost", 0, len(lost(found, ended, range(number))))
    report.demand("slow_down answers", 0, found.summary["slow_downs"])
    report.demand("polls while another was under way", 0, found.summary["overlapping"])


async def deploy(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """SIGTERM with everything pending on the one that stops."""
    number = options.logins // 4
    async with scene(Plan(after=40.0), workers=1, server=server, name="deploy") as made:
        await all_on_the_first(made, number)
        os.kill(made.workers[0].process.pid, signal.SIGTERM)
        stopped_at = time.monotonic()
        ended = await made.outcomes(range(number), within=90)
        found = await made.books()
    longest = max(pauses(found.polls[person(nth)], lambda at: at >= stopped_at) for nth in range(number))
    report.demand("longest pause of a login over the hand-over, in s", INTERVAL + 1, longest)
    report.demand("logins in doubt", 0, sum(state == "indeterminate" for state, _ in ended.values()))
    report.demand("slow_down answers", 0, found.summary["slow_downs"])
