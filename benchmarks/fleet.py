"""Replicas that are killed, cut off and stopped: is anybody asked twice, is a login lost, and what does it cost?

    python benchmarks/fleet.py
    python benchmarks/fleet.py --only kills --logins 1000 --kills 20

Workers and provider are processes of their own; the store is a PostgreSQL that this program starts (its programs must
be installed). The provider notes every request, so that the longest pause of each login and the rate are known. What is
demanded is printed beside what was reached, and the program exits with 1 where a demand is missed. The parts are in
`fleet_deaths.py`, `fleet_store.py`, `fleet_replicas.py`, `fleet_load.py` and `fleet_batch.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from fleet_batch import batch
from fleet_deaths import deploy, kills, pause, takeover
from fleet_load import cost, idle, limit, rate
from fleet_replicas import replicas
from fleet_scene import Report
from fleet_store import cut, mixed, restart

from tests.fleet.conftest import Postgres, free_port, programs

PARTS = {
    part.__name__: part
    for part in (kills, takeover, pause, deploy, cut, restart, mixed, replicas, cost, idle, rate, limit, batch)
}
#: Parts that take long, and so run only if they are named.
LONG = frozenset({"batch"})


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", choices=tuple(PARTS), nargs="+", default=tuple(part for part in PARTS if part not in LONG)
    )
    parser.add_argument("--logins", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pending", type=int, default=10_000, help="logins of the part idle")
    parser.add_argument("--people", type=int, default=100_000, help="rows of the file of the part batch")
    parser.add_argument("--deaths", type=int, default=10, help="kills of the part batch")
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
            began = time.monotonic()
            asyncio.run(PARTS[part](report, server, options))
            print(f"  took {time.monotonic() - began:.0f} s", flush=True)
    finally:
        server.stop("immediate")
        shutil.rmtree(home)
    print(f"\n{report.missed} demands missed")
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
