"""What workers say and learn, in SQLite: statements for `Store.beat`, `consult`, `census` and `purge`."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from idura_ciba.fleet.store import EXPERIENCE_KEPT, MOST_SOURCES, REMEMBERED, WINDOW, Others, Report
from idura_ciba.scheduling.budget import Throttle

__all__ = ["EXPERIENCE", "THROTTLE", "beat", "closed", "consult", "forget"]

#: Carries out one statement with these values.
Run = Callable[..., sqlite3.Cursor]

#: A step of the tables: what workers say of themselves.
THROTTLE: Final = """
    ALTER TABLE worker ADD COLUMN late REAL NOT NULL DEFAULT 0;
    ALTER TABLE worker ADD COLUMN taken_over INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE throttle (
        worker TEXT PRIMARY KEY, cuts INTEGER NOT NULL, part REAL, allowed REAL, closed REAL NOT NULL,
        said REAL NOT NULL
    ) WITHOUT ROWID
"""
#: And what their strategies have learned.
EXPERIENCE: Final = """
    CREATE TABLE experience (
        source TEXT, kind TEXT, experience BLOB NOT NULL, published REAL NOT NULL, PRIMARY KEY (source, kind)
    )
"""


def beat(run: Run, worker: str, *, now: float, lease: float, report: Report) -> Others | None:
    """See `Store.beat`."""
    alive = "UPDATE worker SET heard = ?, late = ?, taken_over = ? WHERE name = ?"
    if run(alive, now, report.late, report.taken_over, worker).rowcount != 1:
        return None
    run("UPDATE share SET until = ? WHERE worker = ?", now + lease + WINDOW, worker)
    if (told := report.throttle).cuts or told.closed:
        allowed = None if told.allowed == math.inf else told.allowed
        values = (worker, told.cuts, told.part, allowed, now + told.closed, now)
        run("INSERT OR REPLACE INTO throttle VALUES (?, ?, ?, ?, ?, ?)", *values)
    (workers,) = run("SELECT count(*) FROM worker").fetchone()
    last = run(
        "SELECT cuts, max(part), avg(allowed) FROM throttle WHERE said > ? GROUP BY cuts ORDER BY cuts DESC LIMIT 1",
        now - REMEMBERED,
    ).fetchone()
    cuts, part, allowed = last or (0, None, None)
    return Others(workers, Throttle(cuts, part, math.inf if allowed is None else allowed, closed(run, now=now)))


def closed(run: Run, *, now: float) -> float:
    """For how long nothing may leave, in seconds."""
    (until,) = run("SELECT max(closed) FROM throttle").fetchone()
    return max(0.0, (until or now) - now)


def consult(run: Run, source: str, kind: str, *, now: float) -> Sequence[bytes]:
    """See `Store.consult`."""
    rows = run(
        "SELECT experience FROM experience WHERE kind = ? AND source <> ? AND published > ? "
        "ORDER BY published DESC LIMIT ?",
        *(kind, source, now - EXPERIENCE_KEPT, MOST_SOURCES),
    )
    return [experience for (experience,) in rows]


def forget(run: Run, *, now: float) -> None:
    """See `Store.purge`."""
    run("DELETE FROM throttle WHERE said <= ?", now - REMEMBERED)
    run(
        "DELETE FROM experience WHERE published <= ? OR (source, kind) IN (SELECT source, kind FROM (SELECT "
        "source, kind, row_number() OVER (PARTITION BY kind ORDER BY published DESC) AS nth FROM experience) "
        "WHERE nth > ?)",
        *(now - EXPERIENCE_KEPT, MOST_SOURCES),
    )
