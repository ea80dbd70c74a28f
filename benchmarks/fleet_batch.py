"""The part of `fleet.py` in which several processes of the command work on one file, and are killed."""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import random
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_provider import CLIENT_ID, SECRET, Plan
from fleet_scene import Report, scene
from fleet_worker import RESUME
from kill_loop import write_people

if TYPE_CHECKING:
    from tests.fleet.conftest import Postgres

#: Processes that work on the file.
PROCESSES = 3


def command(folder: Path, dsn: str, nth: int) -> list[str]:
    """What is killed; it is started again with the same words."""
    return [
        *(sys.executable, "-m", "idura_ciba.cli", "batch", str(folder / "people.csv"), "--store", dsn),
        *("--out", str(folder / f"out-{nth}.csv"), "--eid", "se", "--call-initiator", "RP", "--message", "Hello"),
        *("--max-in-flight", "500"),
    ]


async def batch(report: Report, server: Postgres, options: argparse.Namespace) -> None:
    """One file, three processes of the command, ten kills (SIGKILL)."""
    dice = random.Random(1)
    plan = Plan(after=3.0, signing_alg="RS256")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        people = write_people(folder / "people.csv", options.people)
        async with scene(plan, workers=0, server=server, name="batch") as made:
            began = time.monotonic()
            environment = {
                **os.environ,
                "IDURA_CIBA_ISSUER": made.role.issuer,
                "IDURA_CIBA_CLIENT_ID": CLIENT_ID,
                "IDURA_CIBA_CLIENT_SECRET": SECRET,
                "IDURA_CIBA_RESUME_SECRET": RESUME.hex(),
            }

            async def start(nth: int) -> Process:
                with (folder / "log.txt").open("ab") as log:
                    words = command(folder, made.role.dsn, nth)
                    return await asyncio.create_subprocess_exec(*words, env=environment, stdout=log, stderr=log)

            running = [await start(nth) for nth in range(PROCESSES)]
            # Spread over all people, whatever time it takes.
            moments = deque(sorted(dice.uniform(0.02, 0.98) * len(people) for _ in range(options.deaths)))
            while moments and any(process.returncode is None for process in running):
                await asyncio.sleep(0.2)
                if await made.orders() < moments[0]:
                    continue
                moments.popleft()
                nth = dice.choice([nth for nth, process in enumerate(running) if process.returncode is None])
                running[nth].kill()
                await running[nth].wait()
                running[nth] = await start(nth)
            codes = [await process.wait() for process in running]
            took = time.monotonic() - began
            found = await made.books()
        outs = [path for nth in range(PROCESSES) if (path := folder / f"out-{nth}.csv").exists()]
        rows = [row for path in outs for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
        log = (folder / "log.txt").read_text(encoding="utf-8")
    lines = Counter(row["key"] for row in rows)
    states = Counter(row["state"] for row in rows)
    kills = options.deaths - len(moments)
    print(f"  {len(people)} people in {took:.0f} s, {kills} kills; the processes exited with {codes}")
    print(f"  results: {dict(states.most_common())}")
    if set(codes) - {0, 7}:
        print(log[-2000:])
    wrong = sum(
        row["state"] not in {"indeterminate", found.outcomes.get(people.get(row["key"], ""), "nobody asked")}
        for row in rows
    )
    report.demand("kills that came too late", 0, len(moments))
    report.demand("people asked twice", 0, sum(number > 1 for number in found.orders.values()))
    report.demand("second orders for one person", 0, found.summary["collisions"])
    report.demand("files of results but the one that is whole", 0, abs(len(outs) - 1))
    report.demand("people without a line, or with several", 0, sum(lines[key] != 1 for key in people))
    report.demand("lines for nobody", 0, len(set(lines) - set(people)))
    report.demand("lines that the provider does not bear out", 0, wrong)
    report.demand("people in doubt, besides those under way at a kill", 60 * options.deaths, states["indeterminate"])
    report.demand("tracebacks", 0, log.count("Traceback"))
