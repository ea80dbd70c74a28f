"""What a login costs, beside a bare loop and beside other clients: CPU, memory, lateness, and how that grows.

    nox -s bench

Every measurement is a process of its own (`load_clients.py`) against a provider that costs next to nothing in another
one (`load_provider.py`). CPU is that of the client's process, threads included. What is compared is measured by turns:
the machine may be busy with other things, and so may its neighbours, who make everything dearer and nothing cheaper.
So polls are timed in spells of half a second, and cost what they do in the cheapest quarter of all spells; logins, and
giving them up, cost what the cheapest of several runs says. The medians stand beside it. What is demanded is printed
beside what was reached; `--json` writes every figure, `--plot` draws the picture of the documentation. The program
exits with 1 where a demand is missed. It reads `/proc`: Linux.

The other clients are measured where they are there: requests_oauth2client in this environment, openid-client under the
`node_modules` that IDURA_CIBA_LOAD_NODE_MODULES names.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from idura_ciba.cli.keys import generate_key

HERE = Path(__file__).parent
NODE_MODULES = os.environ.get("IDURA_CIBA_LOAD_NODE_MODULES", "")
#: Polls under way at once; the default of the library's schedulers.
CAP = 256
#: Logins of which something is demanded.
COMPARED = 1000


@define
class Report:
    """What is demanded beside what was reached, and all figures."""

    figures: dict[str, Any] = field(factory=dict)
    missed: int = 0

    def demand(self, what: str, bound: str, demanded: float, reached: float) -> None:
        """Print one line."""
        good = reached <= demanded if bound == "at most" else reached >= demanded
        self.missed += not good
        print(f"  {what:<66}{bound:<9}{demanded:>8g}{reached:>10.4g}{'' if good else '   MISSED'}", flush=True)

    def tell(self, what: str) -> None:
        """Print a figure that nothing is demanded of."""
        print(f"  {what}", flush=True)


@define
class Bench:
    """Starts the processes."""

    keys: Path
    report: Report

    @contextmanager
    def provider(self, **options: int) -> Iterator[tuple[str, dict[str, int]]]:
        """Its issuer, and what it counted once it is over."""
        named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        process = subprocess.Popen(
            [sys.executable, str(HERE / "load_provider.py"), *named],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        counted: dict[str, int] = {}
        yield process.stdout.readline().strip(), counted
        out, _ = process.communicate("")
        counted.update(json.loads(out))

    def measure(self, what: str, who: str, signing: str, count: int, **options: int) -> dict[str, Any]:
        """One process, and what it says."""
        with self.provider(**options) as (issuer, counted):
            if who == "openid-client":
                script = Path(NODE_MODULES) / "load_openid_client.mjs"
                shutil.copy(HERE / script.name, script)
                command = ["node", "--expose-gc", str(script), issuer, str(count)]
            else:
                command = [sys.executable, str(HERE / "load_clients.py"), what, who, signing, issuer, str(count)]
            environment = {**os.environ, "IDURA_CIBA_LOAD_KEY": str(self.keys / f"{signing}.pem")}
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
        if ran.returncode:
            raise SystemExit(f"{' '.join(command)}\n{ran.stderr[-3000:]}")
        measured: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        self.report.figures.setdefault(what, []).append(
            {"who": who, "signing": signing, "count": count, **measured, **counted}
        )
        return {**measured, **counted}


def cheap(spells: list[float]) -> float:
    """What the cheapest quarter of them stays below."""
    return statistics.quantiles(spells, n=4)[0]


# --- the parts --------------------------------------------------------------------------------------------------------


def poll(bench: Bench, *, rounds: int, **_: object) -> None:
    """CPU of one poll: on our own pool, over a lent session that is closed or persists, and of bare loops."""
    for alg, count in (("none", 20_000), ("ES256", 15_000), ("RS256", 5_000)):
        spent: dict[str, list[float]] = {who: [] for who in ("library", "session", "persistent", "aiohttp", "streams")}
        for nth in range(rounds):
            for who in sorted(spent, reverse=bool(nth % 2)):
                spent[who] += bench.measure("poll", who, alg, count)["cpu"]
        cost = {who: cheap(spells) for who, spells in spent.items()}
        told = (f"{who} {cost[who] * 1e6:.0f} ({statistics.median(spells) * 1e6:.0f})" for who, spells in spent.items())
        bench.report.tell(f"{alg}: us of CPU for each poll, and the median: {', '.join(told)}")
        for who in ("session", "persistent"):
            bench.report.tell(f"{alg}: {who} {cost[who] / cost['aiohttp']:.2f} times the bare aiohttp loop")
        ours = cost["library"] / cost["aiohttp"]
        bench.report.demand(f"CPU of a poll by that of the bare aiohttp loop, {alg}", "at most", 1.25, ours)


def telemetry(bench: Bench, *, rounds: int, **_: object) -> None:
    """CPU of one poll with events for the log as usual, with telemetry that nobody records, and with all of it."""
    spent: dict[str, list[float]] = {who: [] for who in ("logged", "telemetry", "events", "spans")}
    for nth in range(rounds):
        for who in sorted(spent, reverse=bool(nth % 2)):
            spent[who] += bench.measure("poll", who, "ES256", 10_000)["cpu"]
    cost = {who: cheap(spells) for who, spells in spent.items()}
    told = (f"{who} {cost[who] * 1e6:.0f} ({statistics.median(spells) * 1e6:.0f})" for who, spells in spent.items())
    bench.report.tell(f"us of CPU for each poll, and the median: {', '.join(told)}")
    for who in ("events", "spans"):
        bench.report.tell(f"recorded, polls as {who}: {cost[who] / cost['logged']:.3f} times a poll without telemetry")
    silent = cost["telemetry"] / cost["logged"]
    bench.report.demand("CPU of a poll with telemetry and no SDK by that without", "at most", 1.03, silent)


def logins(bench: Bench, *, rounds: int, whole: bool, **_: object) -> None:
    """Whole logins, beside the peers."""
    peers = ["openid-client"] if NODE_MODULES and shutil.which("node") else []
    peers += ["requests_oauth2client"] if importlib.util.find_spec("requests_oauth2client") else []
    for count, interval in ((300, 2), (1000, 2), (5000, 5), (20_000, 20)) if whole else ((1000, 2),):
        found: dict[str, dict[str, Any]] = {}
        all_cpu: dict[str, list[float]] = {}
        for nth in range(rounds if count == COMPARED else 1):
            # The one with threads takes a minute, and more than anybody could mistake for the machine's.
            beside = [peer for peer in peers if count <= COMPARED and (nth == 0 or peer == "openid-client")]
            for who in ("library", *beside):
                measured = bench.measure("logins", who, "none", count, interval=interval, polls=4)
                found[who] = min(measured, found.get(who, measured), key=lambda each: each["cpu"])
                all_cpu.setdefault(who, []).append(measured["cpu"])
        for who, each in found.items():
            bench.report.tell(
                f"{count} logins, {who}: {each['completed']:.0f} complete, {each['wall']:.1f} s, "
                f"CPU {each['cpu']:.2f} s (median {statistics.median(all_cpu[who]):.2f}), "
                f"{each['rss'] / 2**20:.0f} MiB above idle, {each['connections']:.0f} connections"
            )
        ours = found["library"]
        bench.report.tell(
            f"  loop lag p99 {ours['lag_p99'] * 1e3:.1f} ms, at most {ours['lag_max'] * 1e3:.0f} ms; "
            f"polls late by {ours['late_p99'] * 1e3:.0f} ms at p99"
        )
        if count != COMPARED:
            continue
        bench.report.demand("1,000 logins: not complete", "at most", 0, count - ours["completed"])
        bench.report.demand("1,000 logins: CPU seconds, without signatures", "at most", 2.0, ours["cpu"])
        bench.report.demand("1,000 logins: MiB above idle", "at most", 15, ours["rss"] / 2**20)
        bench.report.demand("1,000 logins: loop lag at p99, ms", "at most", 20, ours["lag_p99"] * 1e3)
        bench.report.demand("1,000 logins: connections", "at most", CAP, ours["connections"])
        for who, times in (("openid-client", 2), ("requests_oauth2client", 3)):
            if who in found:
                bench.report.demand(f"CPU of {who} by ours", "at least", times, found[who]["cpu"] / ours["cpu"])


def pending(bench: Bench, *, whole: bool, **_: object) -> None:
    """People who do not answer."""
    counts = (1000, 10_000, 50_000, 100_000, 200_000) if whole else (1000, 100_000)
    found = {count: bench.measure("pending", "library", "none", count, expires_in=7200) for count in counts}
    for count, each in found.items():
        each["cpu"] = cheap(each["cpu"])
        bench.report.tell(
            f"{count} pending: {each['each']:.0f} B each, "
            f"{each['cpu'] * 1e6:.0f} us of CPU for each poll at 400 a second, "
            f"late by {each['late_p99'] * 1e3:.1f} ms at p99, idle {each['idle_cpu']:.2%} of a core, "
            f"begun in {each['start_wall']:.1f} s, closed in {each['close']:.2f} s"
        )
    many, few = found[100_000], found[1000]
    bench.report.demand("100,000 pending: bytes each", "at most", 1500, many["each"])
    bench.report.demand("100,000 pending: CPU of a poll by that at 1,000", "at most", 1.2, many["cpu"] / few["cpu"])
    bench.report.demand("100,000 pending: late at p99, ms", "at most", 100, many["late_p99"] * 1e3)
    bench.report.demand("100,000 pending: the machine's idle share meanwhile", "at least", 0.3, many["machine_idle"])
    bench.report.demand("100,000 pending: seconds to close them", "at most", 5, many["close"])
    bench.report.demand("100,000 pending: resume tokens", "at least", 100_000, many["tokens"])


def signing(bench: Bench, *, rounds: int, **_: object) -> None:
    """RSA signatures beside the loop, and in it."""
    found = [bench.measure("signing", "library", "RS256", 60) for _ in range(rounds)]
    pool, alone = ([taken for each in found for taken in each[how]] for how in ("pool", "alone"))
    times = [one / ours for ours, one in zip(pool, alone, strict=True)]
    low, middle, high = statistics.quantiles(times, n=4)
    bench.report.tell(
        f"RS256: {1 / statistics.median(pool):.0f} signed polls a second, {1 / statistics.median(alone):.0f} in one "
        f"thread; turn by turn {low:.2f} to {high:.2f} times as many in half of {len(times)}"
    )
    bench.report.demand("RS256: rate by that of one thread", "at least", 1.6, middle)
    held = min(each["lag_max"] for each in found)
    bench.report.demand("RS256: longest that one signature held the loop up, ms", "at most", 5, held * 1e3)


def verify(bench: Bench, **_: object) -> None:
    """ID tokens."""
    for alg in ("RS256", "ES256"):
        measured = bench.measure("verify", "library", alg, 2000)
        bench.report.tell(f"{alg}: {1 / measured['cpu']:.0f} ID tokens verified a second, keys cached")


def cancel(bench: Bench, *, rounds: int, **_: object) -> None:
    """A thousand that nobody wants any more."""
    # Twice as many: one takes three seconds, and fifty milliseconds have no spells.
    found = [bench.measure("cancel", "library", "none", 1000, interval=30) for _ in range(2 * rounds)]
    for name, what in (
        ("await_", "who awaits 1,000 transactions cancelled, ms"),
        ("abandon", "1,000 transactions abandoned, ms"),
        ("authenticate", "1,000 calls of authenticate cancelled, which is both, ms"),
    ):
        taken = [each[name] * 1e3 for each in found]
        bench.report.tell(f"{what}: {statistics.median(taken):.0f} in the median")
        bench.report.demand(what, "at most", 50, min(taken))
    bench.report.demand("what is left of them", "at most", 0, max(each["left"] for each in found))


def import_time(bench: Bench, *, rounds: int, **_: object) -> None:
    """What `import` costs."""
    modules = ("aiohttp", "idura_ciba", "idura_ciba.client")
    spent: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(3 * rounds):
        for name in modules:
            program = f"import time; began = time.process_time(); import {name}; print(time.process_time() - began)"
            ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            spent[name].append(float(ran.stdout))
    least = {name: min(times) for name, times in spent.items()}
    bench.report.figures["import"] = least
    told = ", ".join(f"{name} {seconds * 1e3:.0f} ms" for name, seconds in least.items())
    bench.report.tell(f"CPU of importing: {told}")
    bench.report.demand("import idura_ciba by import aiohttp", "at most", 1.2, least["idura_ciba"] / least["aiohttp"])


# --- the picture ------------------------------------------------------------------------------------------------------


def plot(figures: dict[str, Any], path: Path) -> None:
    """Cost against the number of people who pend, and whole logins beside the peers."""
    import matplotlib as mpl  # noqa: PLC0415 - not everybody who measures wants a picture

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "idura_ciba", "font.size": 9})
    import matplotlib.pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    drawing, (poll, memory, whole) = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    rows = sorted(figures["pending"], key=lambda row: row["count"])
    # Of the memory with a thousand most is what the process takes once.
    for axes, found, title in (
        (poll, [(row["count"], cheap(row["cpu"]) * 1e6) for row in rows], "µs of CPU for a poll"),
        (memory, [(row["count"], row["each"]) for row in rows[1:]], "bytes for a login"),
    ):
        axes.plot(*zip(*found, strict=True), "o-")
        axes.set(xscale="log", ylim=(0, 1.2 * max(y for _, y in found)), xlabel="logins that pend", title=title)
    for who, style in (("library", "o-"), ("openid-client", "s--"), ("requests_oauth2client", "^:")):
        spent: dict[int, float] = {}
        for row in figures["logins"]:
            if row["who"] == who:
                spent[row["count"]] = min(row["cpu"], spent.get(row["count"], row["cpu"]))
        whole.plot(*zip(*sorted(spent.items()), strict=True), style, label="idura_ciba" if who == "library" else who)
    whole.set(xscale="log", yscale="log", ylim=(0.5, 200), xlabel="logins at once, four polls each")
    whole.set_title("CPU seconds for whole logins")
    whole.legend(frameon=False, loc="lower right")
    whole.set_yticks([1, 10, 100])
    for axis in (poll.xaxis, memory.xaxis, whole.xaxis, whole.yaxis):
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter("")
    drawing.savefig(path, metadata={"Date": None})


PARTS: Mapping[str, Callable[..., None]] = {
    "import": import_time,
    "poll": poll,
    "telemetry": telemetry,
    "logins": logins,
    "cancel": cancel,
    "verify": verify,
    "signing": signing,
    "pending": pending,
}


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=tuple(PARTS), nargs="+", default=tuple(PARTS), help="some parts")
    parser.add_argument("--rounds", type=int, default=5, help="of what is compared")
    parser.add_argument("--quick", action="store_true", help="only the numbers of people that something is demanded of")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--plot", type=Path, help="draw the picture; needs the parts logins and pending whole")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        keys = Path(name)
        for alg in ("RS256", "ES256"):
            (keys / f"{alg}.pem").write_text(generate_key(alg), encoding="utf-8")
        bench = Bench(keys, report)
        for part in options.only:
            print(f"\n{part}", flush=True)
            PARTS[part](bench, rounds=options.rounds, whole=not options.quick)
            if options.json:
                options.json.write_text(json.dumps(report.figures, indent=1), encoding="utf-8")
    if options.plot:
        plot(report.figures, options.plot)
    print(f"\n{report.missed} demands missed")
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
