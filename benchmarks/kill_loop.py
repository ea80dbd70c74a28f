"""Kill a batch at random moments until its file is done: is anybody asked twice, is any answer lost?

    python benchmarks/kill_loop.py --kills 100

The command `idura-ciba batch` asks the people of a file over real sockets; the simulated provider is a process of its
own, whose ledger says what really happened. Journal and results are links to another folder. Most kills are SIGKILL,
some SIGTERM or SIGHUP, after which no answer may be lost. The command is killed and started again until it has come to
its end by itself. Then nobody may have been asked twice, every answer that the provider gave must stand in the results
once, and whoever is reported as indeterminate must have been between being sent and being stored when a kill came, or
have had a prompt near whose end a kill left nobody to listen. The program prints what is demanded beside what was
reached, and exits with 1 where it is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from idura_ciba.batch.store import Phase
from idura_ciba.simulator import Crowd, OrderRecord, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.people import invent_swedish_number

CLIENT_ID, SECRET = "urn:benchmark", "known to the simulator"
#: Seconds that a process lives; some are killed while they start, some while they settle what the last one left.
LIVES = (0.2, 4.0)
#: People that are dealt with between two kills, about: the file must outlast the kills.
EACH = 22
#: Seconds between being sent and being stored: a commit, on a busy machine.
WINDOW = 1.0
#: Seconds that a poll which was sent before a kill needs to be read.
ARRIVAL = 0.25
#: How the processes end.
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
#: Seconds that an order lives; longer than the pauses between two processes.
EXPIRES_IN = 25
#: Seconds between two polls.
INTERVAL = 1


# --- the provider's side, in a process of its own ---------------------------------------------------------------------


@frozen
class Books:
    """What the provider knows at the end."""

    orders: Sequence[OrderRecord]
    summary: Mapping[str, int]


def provide(pipe: Connection) -> None:
    """Serve until told to stop; sends the issuer first and the books last."""

    async def run() -> None:
        crowd = Crowd(opening=(1.2, 0.6), acknowledging=(0.8, 0.5), identifying=(0.8, 0.5))
        idura = SimulatedIdura(seed=1, interval=INTERVAL, expires_in=EXPIRES_IN, people=crowd)
        idura.register_client(CLIENT_ID, secret=SECRET)
        async with SimulatorServer(idura) as server:
            pipe.send(server.issuer)
            await asyncio.to_thread(pipe.recv)
        summary = idura.ledger.summary(math.inf)
        pipe.send(Books(idura.ledger.orders, summary))

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


# --- the batch and its killer -----------------------------------------------------------------------------------------


@define
class Run:
    """All lives of one batch. Instants are seconds since the epoch.

    Attributes:
        kills: When each process was killed with SIGKILL.
        stops: The same with SIGTERM or SIGHUP.
        polling: Keys of logins of which a poll was under way at a kill, by what the process has left on the disk.
        stolen: Keys of logins whose mark another login has overwritten.
        code: What the last one exited with.
    """

    kills: list[float] = field(factory=list)
    stops: list[float] = field(factory=list)
    polling: set[str] = field(factory=set)
    stolen: set[str] = field(factory=set)
    code: int | None = None

    def look(self, folder: Path) -> None:
        """Look at what a killed process has left; at copies, because opening a journal changes it."""
        folder /= "disk"
        journal, marks = folder / "results.jsonl.journal", folder / "results.jsonl.journal-marks"
        if not marks.exists():
            return
        with tempfile.TemporaryDirectory() as name:
            for path in (journal, folder / "results.jsonl.journal-wal"):
                if path.exists():
                    shutil.copy(path, name)
            with closing(sqlite3.connect(Path(name) / journal.name)) as database:
                query = "SELECT key, mark >> 32, mark & 0xffffffff FROM entry WHERE phase = ? AND mark IS NOT NULL"
                found = database.execute(query, (Phase.ACCEPTED,)).fetchall()
        content = marks.read_bytes()
        for key, place, word in found:
            stands = int.from_bytes(content[4 * place : 4 * place + 4], "little")
            if stands != word:
                (self.stolen if stands else self.polling).add(key)


def write_people(path: Path, count: int) -> dict[str, str]:
    """Make a file of people who do not exist; returns their numbers by key."""
    drawn = (invent_swedish_number(7, str(nth)) for nth in itertools.count())
    # Some are drawn twice.
    numbers = itertools.islice(dict.fromkeys(itertools.islice(drawn, 2 * count)), count)
    people = {f"customer-{nth}": number for nth, number in enumerate(numbers)}
    lines = [f"{key},{number}" for key, number in people.items()]
    path.write_text("\n".join(["key,ssn", *lines, ""]), encoding="utf-8")
    return people


def command(folder: Path) -> list[str]:
    """What is killed."""
    return [
        *(sys.executable, "-m", "idura_ciba.cli", "batch", str(folder / "people.csv")),
        *("--out", str(folder / "results.jsonl"), "--eid", "se", "--call-initiator", "RP", "--message", "Hello"),
        *("--max-in-flight", "60", "--budget", "150"),
    ]


def kill_until_done(folder: Path, issuer: str, dice: random.Random) -> Run:
    """Start, kill, and start again."""
    run = Run()
    environment = {
        **os.environ,
        "IDURA_CIBA_ISSUER": issuer,
        "IDURA_CIBA_CLIENT_ID": CLIENT_ID,
        "IDURA_CIBA_CLIENT_SECRET": SECRET,
    }
    while run.code is None:
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            process = subprocess.Popen(command(folder), env=environment, stdout=log, stderr=log)
            try:
                run.code = process.wait(dice.uniform(*LIVES))
            except subprocess.TimeoutExpired:
                number = dice.choice(SIGNALS)
                process.send_signal(number)
                if number is signal.SIGKILL:
                    run.kills.append(time.time())
                    process.wait()
                    run.look(folder)
                else:
                    run.stops.append(time.time())
                    process.wait()
        if (len(run.kills) + len(run.stops)) % 10 == 0 and run.code is None:
            done = (folder / "results.jsonl").read_bytes().count(b"\n") if (folder / "results.jsonl").exists() else 0
            print(f"{len(run.kills) + len(run.stops):>5} kills, {done} results", flush=True)
    return run


# --- the verdict ------------------------------------------------------------------------------------------------------


def instant(text: str) -> float:
    """An instant of the results, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def unexplained(result: Mapping[str, Any], order: OrderRecord | None, run: Run) -> str:
    """Why no kill explains that nobody knows an answer; nothing where one does."""
    if result["key"] in run.polling:
        return ""
    if result["code"] == "interrupted":
        # Cut to milliseconds.
        since, sooner = instant(result["asked_at"]), 0.001
    elif order is None or order.ended_at is None:
        return f"{result['code']}, and the provider gave no answer"
    elif order.outcome == "expired":
        # A process that lives until the end has heard the provider shortly before it, if it was not just starting.
        deaf_since = order.expires_at - 2 * INTERVAL - LIVES[1]
        deaf = any(deaf_since <= end <= order.expires_at + WINDOW for end in (*run.kills, *run.stops))
        return "" if deaf else f"{result['code']}, and no process ended near the end"
    else:
        since, sooner = order.ended_at, ARRIVAL
    gap = min((kill - since for kill in run.kills if kill >= since - sooner), default=math.inf)
    return "" if gap <= WINDOW else f"{result['code']}, and the next kill came {gap:.2f} s later"


def judge(results: Sequence[Mapping[str, Any]], people: Mapping[str, str], books: Books, run: Run) -> Iterator[str]:
    """Say everything that is wrong."""
    yield from (f"the mark of {key} was overwritten" for key in run.stolen)
    orders: dict[str, list[OrderRecord]] = {}
    for record in books.orders:
        orders.setdefault(record.person, []).append(record)
    lines = Counter(result["key"] for result in results)
    for key, count in lines.items():
        if count > 1:
            yield f"{key} stands in the results {count} times"
        if key not in people:
            yield f"{key} stands in the results and in no file"
    yield from (f"{key} is missing in the results" for key in people if key not in lines)
    yield from (f"somebody was asked {len(found)} times" for found in orders.values() if len(found) > 1)
    for result in results:
        (order,) = orders.get(people.get(result["key"], ""), [None])[:1]
        if result["state"] == "indeterminate":
            why = unexplained(result, order, run)
            if why:
                yield f"{result['key']} is {why}"
        elif order is None:
            yield f"{result['key']} is {result['state']}, and nobody was asked"
        elif result["state"] != order.outcome:
            yield f"{result['key']} is {result['state']}, and at the provider {order.outcome}"


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # Under `nohup` the command would have it ignored, and run to its end.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    processes = multiprocessing.get_context("spawn")
    pipe, other_end = processes.Pipe()
    provider = processes.Process(target=provide, args=(other_end,), daemon=True)
    provider.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "disk").mkdir()
        for file in ("results.jsonl", "results.jsonl.journal"):
            (folder / file).symlink_to(folder / "disk" / file)
        people = write_people(folder / "people.csv", EACH * options.kills)
        began = time.monotonic()
        run = kill_until_done(folder, pipe.recv(), random.Random(options.seed))
        took = time.monotonic() - began
        text = (folder / "results.jsonl").read_text(encoding="utf-8")
        log = (folder / "log.txt").read_text(encoding="utf-8")
    pipe.send("stop")
    books: Books = pipe.recv()
    provider.join()
    results = [json.loads(line) for line in text.splitlines()]
    faults = list(judge(results, people, books, run))
    states = Counter(result["state"] for result in results)
    codes = Counter(result["code"] for result in results if result["state"] == "indeterminate")
    lives = f"{len(run.kills)} kills and {len(run.stops)} stops"
    print(f"\n{len(people)} people, {lives} in {took:.0f} s; the last process exited with {run.code}")
    print(f"results: {dict(states.most_common())}; indeterminate by code: {dict(codes)}")
    print(f"the provider's ledger: {dict(books.summary)}")
    if run.code not in {0, 7}:
        print(log[-2000:])
    for fault in faults[:20]:
        print(f"  {fault}")
    ends = len(run.kills) + len(run.stops)
    rows = [
        ("kills", "at least", options.kills, ends, ends >= options.kills),
        ("second orders for one person", "at most", 0, books.summary["collisions"], not books.summary["collisions"]),
        ("faults in the results", "at most", 0, len(faults), not faults),
        ("tracebacks", "at most", 0, log.count("Traceback"), "Traceback" not in log),
        ("national ids in the log", "at most", 0, sum(map(log.count, people.values())), True),
    ]
    print(f"\n{'':<34}{'':<9}{'demanded':>9}{'reached':>9}")
    for what, bound, demanded, reached, good in rows:
        print(f"{what:<34}{bound:<9}{demanded:>9}{reached:>9}{'' if good else '   WRONG'}")
    return int(not all(row[-1] for row in rows) or any(number in log for number in people.values()))


if __name__ == "__main__":
    sys.exit(main())
