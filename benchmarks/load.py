"""What a login costs, beside a bare loop and beside other clients: CPU, memory, lateness, and how that grows.

    nox -s bench

Every measurement is a process of its own (`load_clients.py`) against a provider that costs next to nothing in another
one (`load_provider.py`). CPU is that of the client's process, threads included. What is compared is measured by turns:
the machine may be busy with other things, and so may its neighbours. What is demanded is printed beside what was
reached; `--json` writes every figure, `--plot` draws the picture of the documentation. The program exits with 1 where a
demand is missed. It reads `/proc`: Linux.

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

    def measure(self, what: str, who: str, signing: str, count: int, **options: int) -> dict[str, float]:
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
        measured: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
        self.report.figures.setdefault(what, []).append(
            {"who": who, "signing": signing, "count": count, **measured, **counted}
        )
        return {**measured, **counted}


# --- the parts --------------------------------------------------------------------------------------------------------


def poll(bench: Bench, *, rounds: int, **_: object) -> None:
    """CPU of one poll."""
    for alg, count in (("none", 10_000), ("ES256", 10_000), ("RS256", 5_000)):
        spent: dict[str, list[float]] = {"library": [], "aiohttp": []}
        for nth in range(rounds):
            for who in sorted(spent, reverse=bool(nth % 2)):
                spent[who].append(bench.measure("poll", who, alg, count)["cpu"])
        streams = bench.measure("poll", "streams", alg, count)["cpu"]
        # Neighbours only ever make a run dearer: the cheapest of each is what it costs.
        ours, bare = (min(spent[who]) for who in ("library", "aiohttp"))
        bench.report.tell(
            f"{alg}: {ours * 1e6:.0f} us of CPU for each poll; a bare aiohttp loop {bare * 1e6:.0f}, "
            f"bare streams {streams * 1e6:.0f}"
        )
        bench.report.demand(f"CPU of a poll by that of the bare aiohttp loop, {alg}", "at most", 1.25, ours / bare)


def logins(bench: Bench, *, whole: bool, **_: object) -> None:
    """Whole logins, beside the peers."""
    peers = ["openid-client"] if NODE_MODULES and shutil.which("node") else []
    peers += ["requests_oauth2client"] if importlib.util.find_spec("requests_oauth2client") else []
    for count, interval in ((300, 2), (1000, 2), (5000, 5), (20_000, 20)) if whole else ((1000, 2),):
        found = {
            who: bench.measure("logins", who, "none", count, interval=interval, polls=4)
            for who in ("library", *(peers if count <= 1000 else ()))  # noqa: PLR2004 - enough to compare
        }
        for who, each in found.items():
            bench.report.tell(
                f"{count} logins, {who}: {each['completed']:.0f} complete, {each['wall']:.1f} s, "
                f"CPU {each['cpu']:.2f} s, {each['rss'] / 2**20:.0f} MiB above idle, "
                f"{each['connections']:.0f} connections"
            )
        ours = found["library"]
        bench.report.tell(
            f"  loop lag p99 {ours['lag_p99'] * 1e3:.1f} ms, at most {ours['lag_max'] * 1e3:.0f} ms; "
            f"polls late by {ours['late_p99'] * 1e3:.0f} ms at p99"
        )
        if count != 1000:  # noqa: PLR2004 - the demand
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
    ratios, lags = [], []
    for nth in range(rounds):
        rates = {}
        for who in ("library", "one thread")[:: 1 if nth % 2 else -1]:
            measured = bench.measure("signing", who.replace(" ", "-"), "RS256", 3000)
            rates[who] = 1 / measured["wall"]
            if who == "library":
                lags.append(measured["lag_max"])
        ratios.append(rates["library"] / rates["one thread"])
    bench.report.tell(f"RS256: {rates['library']:.0f} signed polls a second, {rates['one thread']:.0f} in one thread")
    bench.report.demand("RS256: rate by that of one thread", "at least", 1.6, statistics.median(ratios))
    bench.report.demand("RS256: longest that one signature held the loop up, ms", "at most", 5, min(lags) * 1e3)


def verify(bench: Bench, **_: object) -> None:
    """ID tokens."""
    for alg in ("RS256", "ES256"):
        measured = bench.measure("verify", "library", alg, 2000)
        bench.report.tell(f"{alg}: {1 / measured['cpu']:.0f} ID tokens verified a second, keys cached")


def cancel(bench: Bench, *, rounds: int, **_: object) -> None:
    """A thousand that nobody wants any more."""
    found = [bench.measure("cancel", "library", "none", 1000, interval=30) for _ in range(rounds)]
    for name, what in (("abandon", "abandoning"), ("cancel", "cancelling the callers of")):
        reached = statistics.median(each[name] for each in found)
        bench.report.demand(f"{what} 1,000 logins, ms", "at most", 50, reached * 1e3)
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
    for axes, name, factor, title in (
        (poll, "cpu", 1e6, "µs of CPU for a poll"),
        (memory, "each", 1, "bytes for a login"),
    ):
        # With a thousand most of it is what the process takes once.
        found = [(row["count"], row[name] * factor) for row in rows if name == "cpu" or row["count"] > 1000]  # noqa: PLR2004
        axes.plot(*zip(*found, strict=True), "o-")
        axes.set(xscale="log", ylim=(0, 1.2 * max(y for _, y in found)), xlabel="logins that pend", title=title)
    for who, style in (("library", "o-"), ("openid-client", "s--"), ("requests_oauth2client", "^:")):
        found = sorted((row["count"], row["cpu"]) for row in figures["logins"] if row["who"] == who)
        whole.plot(*zip(*found, strict=True), style, label="idura_ciba" if who == "library" else who)
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
