"""What workers say and learn, in PostgreSQL: statements for `Store.beat`, `publish`, `consult` and `purge`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from idura_ciba.fleet.store import EXPERIENCE_KEPT, MOST_SOURCES, REMEMBERED, WINDOW, Others, Report
from idura_ciba.scheduling.budget import Throttle

__all__ = ["CLOSED", "EXPERIENCE", "FORGOTTEN", "KEPT", "THROTTLE", "beat", "consult", "publish"]

#: Carries out one statement with named values, and returns its rows.
Run = Callable[..., Awaitable[list[tuple[Any, ...]]]]

#: A step of the tables: what workers say of themselves.
THROTTLE: Final = """
    ALTER TABLE ciba_worker ADD COLUMN late float8 NOT NULL DEFAULT 0, ADD COLUMN taken_over int NOT NULL DEFAULT 0;
    CREATE TABLE ciba_throttle (
        worker text PRIMARY KEY, cuts bigint NOT NULL, part float8, allowed float8, closed timestamptz NOT NULL,
        said timestamptz NOT NULL
    );
"""
#: And what their strategies have learned.
EXPERIENCE: Final = """
    CREATE TABLE ciba_experience (
        source text, kind text, experience bytea NOT NULL, published timestamptz NOT NULL, PRIMARY KEY (source, kind)
    );
"""
#: For how long nothing may leave, in seconds.
CLOSED: Final = "SELECT coalesce(greatest(0, extract(epoch FROM max(closed) - now())), 0)::float8 FROM ciba_throttle"
#: What a purge forgets of all this, and its values.
FORGOTTEN: Final = (
    "throttles AS (DELETE FROM ciba_throttle WHERE said <= now() - make_interval(secs => %(remembered)s)), "
    "experience AS (DELETE FROM ciba_experience e USING (SELECT source, kind, row_number() OVER "
    "(PARTITION BY kind ORDER BY published DESC) AS nth FROM ciba_experience) n "
    "WHERE e.source = n.source AND e.kind = n.kind "
    "AND (n.nth > %(most)s OR e.published <= now() - make_interval(secs => %(kept)s))) "
)
KEPT: Final[Mapping[str, float]] = {"remembered": REMEMBERED, "kept": EXPERIENCE_KEPT, "most": MOST_SOURCES}


async def beat(run: Run, worker: str, *, lease: float, report: Report) -> Others | None:
    """See `Store.beat`. What is said in the statement is not heard in it; whoever says it knows it."""
    told = report.throttle
    rows = await run(
        "WITH alive AS (UPDATE ciba_worker SET heard = now(), late = %(late)s, taken_over = %(taken_over)s "
        "WHERE name = %(worker)s RETURNING name), "
        "prolonged AS (UPDATE ciba_share s SET until = now() + make_interval(secs => %(seconds)s) "
        "FROM alive a WHERE s.worker = a.name), "
        "said AS (INSERT INTO ciba_throttle (worker, cuts, part, allowed, closed, said) "
        "SELECT name, %(cuts)s, %(part)s::float8, %(allowed)s::float8, "
        "now() + make_interval(secs => %(closed)s), now() FROM alive WHERE %(cuts)s > 0 OR %(closed)s > 0 "
        "ON CONFLICT (worker) DO UPDATE SET cuts = excluded.cuts, "
        "part = excluded.part, allowed = excluded.allowed, closed = excluded.closed, "
        "said = excluded.said) "
        f"SELECT (SELECT count(*) FROM ciba_worker), ({CLOSED}), t.cuts, t.part, t.allowed FROM alive "
        "LEFT JOIN (SELECT cuts, max(part) AS part, avg(allowed) AS allowed FROM ciba_throttle "
        "WHERE said > now() - make_interval(secs => %(remembered)s) GROUP BY cuts ORDER BY cuts DESC LIMIT 1) t "
        "ON true",
        worker=worker,
        seconds=lease + WINDOW,
        late=report.late,
        taken_over=report.taken_over,
        cuts=told.cuts,
        part=told.part,
        allowed=None if told.allowed == math.inf else told.allowed,
        closed=told.closed,
        remembered=REMEMBERED,
    )
    if not rows:
        return None
    workers, closed, cuts, part, allowed = rows[0]
    return Others(workers, Throttle(cuts or 0, part, math.inf if allowed is None else allowed, closed))


async def publish(run: Run, source: str, kind: str, experience: bytes) -> None:
    """See `Store.publish`."""
    await run(
        "INSERT INTO ciba_experience VALUES (%(source)s, %(kind)s, %(experience)s, now()) "
        "ON CONFLICT (source, kind) DO UPDATE SET experience = excluded.experience, published = excluded.published",
        source=source,
        kind=kind,
        experience=experience,
    )


async def consult(run: Run, source: str, kind: str) -> Sequence[bytes]:
    """See `Store.consult`."""
    rows = await run(
        "SELECT experience FROM ciba_experience WHERE kind = %(kind)s AND source <> %(source)s "
        "AND published > now() - make_interval(secs => %(kept)s) ORDER BY published DESC LIMIT %(most)s",
        source=source,
        kind=kind,
        kept=EXPERIENCE_KEPT,
        most=MOST_SOURCES,
    )
    return [bytes(experience) for (experience,) in rows]
