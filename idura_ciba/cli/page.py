"""The report of a batch: one self-contained HTML page without personal data."""

from __future__ import annotations

import html
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from attrs import frozen

from idura_ciba import State
from idura_ciba.batch.tally import Tally
from idura_ciba.cli.files import PUBLIC, replace_file
from idura_ciba.cli.text import say

__all__ = ["BEGIN", "BadRowsLink", "page", "write_report"]

#: With this, each report begins.
BEGIN: Final = '<!doctype html>\n<html lang="en"><!-- idura-ciba batch --><head>'

#: States with a colour of their own.
_COLOURED: Final = frozenset({State.APPROVED, State.DENIED, State.EXPIRED})
#: The colours are those of the pages in `idura_ciba/web`.
_STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #131a26; --quiet: #505c70; --line: #d4dbe7; --accent: #1f4fd8; --median: #b3261e;
  --approved: #0c6b45; --denied: #b3261e; --expired: #8a5200; --other: #6a3fb5;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #0d121b; --ink: #eef2f8; --quiet: #a9b5c7; --line: #2e3a4d; --accent: #8fb0ff; --median: #ff9d95;
    --approved: #6fdcaa; --denied: #ff9d95; --expired: #f5c26b; --other: #c9a6ff;
  }
}
body {
  font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 52rem; padding: 1rem 1rem 3rem;
  background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
a { color: var(--accent); }
table { border-collapse: collapse; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; font-weight: inherit; }
th { color: var(--quiet); } tr { border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.shares { width: 100%; overflow-wrap: normal; }
table.shares td:last-child { width: 40%; padding-right: 0; }
@media (max-width: 30rem) { table.shares td:last-child { width: 25%; } }
svg.share { display: block; width: 100%; height: .75rem; margin-top: .375rem; }
svg.plot { display: block; width: calc(100% - 3.5rem); height: 12rem; margin: 1.75rem 0 3.25rem 3.5rem; }
svg.plot { overflow: visible; }
.approved { fill: var(--approved); } .denied { fill: var(--denied); } .expired { fill: var(--expired); }
.other { fill: var(--other); }
.bar { fill: var(--accent); stroke: var(--paper); }
text { font: .75rem system-ui, sans-serif; fill: var(--quiet); }
line { stroke: var(--line); } line.median { stroke: var(--median); stroke-width: 2; stroke-dasharray: 5 3; }
text.median { fill: var(--median); }
p.small { color: var(--quiet); font-size: .9rem; }
@page { size: A4; margin: 18mm; }
@media print {
  :root { color-scheme: light; print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h1 { margin-top: 0; } h2 { break-after: avoid; margin-top: 1rem; }
  section, table, svg { break-inside: avoid; }
  svg.plot { height: 6rem; margin: 1.5rem 0 2.5rem 3.5rem; } p { margin: .5rem 0; } th, td { padding-block: .1rem; }
}
"""
#: The maximum number of bars of a plot, and of the numbers below them: more do not fit on a phone.
_MOST_BARS, _MOST_MARKS = 60, 8


@frozen
class BadRowsLink:
    """The file that lists the invalid rows.

    Attributes:
        path: The file.
        report: Where the report is written: the link leads from there.
    """

    path: Path
    report: Path

    def html(self) -> str:
        """Return a link, relative where possible, so that both files can be moved together."""
        try:
            target = quote(os.path.relpath(self.path, self.report.parent).replace(os.sep, "/"))
        except ValueError:  # another drive
            target = self.path.absolute().as_uri()
        # Without "./", a colon in a name would make what stands before it a scheme.
        start = "" if target.startswith("file:") else "./"
        return f'<a href="{html.escape(start + target)}">{html.escape(self.path.name)}</a>'


def write_report(path: Path, title: str, facts: Mapping[str, str], tally: Tally, bad_rows: Path | None) -> None:
    """Write the report, and say where it is.

    Args:
        path: The file; one of an earlier run is replaced.
        title: The title of the page.
        facts: Further facts for the table at the top, by name.
        tally: The counted results.
        bad_rows: The file that lists the invalid rows; None if there is none.
    """
    listed = {} if bad_rows is None else {"listed in": BadRowsLink(bad_rows, path)}
    text = page(title, {**facts, **listed}, tally, written_at=datetime.now(UTC).astimezone())
    replace_file(path, text, mode=PUBLIC)
    say(f"Report: {path}", whole=True)


def page(
    title: str,
    facts: Mapping[str, str | BadRowsLink],
    tally: Tally,
    *,
    written_at: datetime,
) -> str:
    """The report as HTML.

    Args:
        title: The title of the page.
        facts: Further facts for the table at the top, by name.
        tally: The counted results.
        written_at: The date of the report, with a time zone; the page states all times in it.
    """
    about = {"report of": _minute(written_at), "asked": _period(tally, written_at), **facts}
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _table(about.items()),
        _section("Outcomes", _outcomes(tally)),
        _section(
            "Time to answer",
            _histogram(tally.seconds, "seconds since the request", "approvals and denials", tally.median()),
            _note(tally),
        ),
        _section(
            "Requests per login",
            _histogram(Counter({polls + 1: count for polls, count in tally.polls.items()}), "requests", "logins"),
            _table(_requests(tally)),
        ),
        _section("Errors", _table(tally.codes.most_common()) if tally.codes else "<p>None.</p>"),
        '<p class="small">This report has counts of logins, but no keys, national numbers or names.</p>',
    ]
    # The page loads nothing, and the policy lets it load nothing: it is safe to mail and to open anywhere.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'{BEGIN}<meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        "<body><main>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )


def _section(heading: str, *parts: str) -> str:
    return "\n".join(["<section>", f"<h2>{heading}</h2>", *parts, "</section>"])


def _minute(instant: datetime) -> str:
    offset = instant.isoformat()[-6:]
    return f"{instant:%Y-%m-%d %H:%M} UTC{'' if offset == '+00:00' else offset}"


def _period(tally: Tally, written_at: datetime) -> str:
    """Say from when to when people were asked, over all runs."""
    if tally.first_at is None or tally.last_at is None:
        return "nobody"
    first, last = (datetime.fromtimestamp(at, written_at.tzinfo) for at in (tally.first_at, tally.last_at))
    end = _minute(last) if first.date() != last.date() else _minute(last).partition(" ")[2]
    return f"{first:%Y-%m-%d %H:%M} to {end}"


def _table(rows: Iterable[tuple[str, object]]) -> str:
    cells = []
    for name, value in rows:
        kind = ' class="number"' if isinstance(value, int) else ""
        text = f"{value:,}" if isinstance(value, int) else str(value)
        shown = value.html() if isinstance(value, BadRowsLink) else html.escape(text)
        cells.append(f'<tr><th scope="row">{html.escape(name)}</th><td{kind}>{shown}</td></tr>')
    return f"<table>{''.join(cells)}</table>"


def _outcomes(tally: Tally) -> str:
    """A table with a bar for each share."""
    total, rows = len(tally), []
    for state in State:
        count = tally.states[state.value]
        if count:
            share = count / total
            kind = state.value if state in _COLOURED else "other"
            # The number beside it says what it shows.
            bar = (
                f'<svg class="share" aria-hidden="true"><rect class="{kind}" width="{share:.2%}" height="100%"/></svg>'
            )
            rows.append(
                f'<tr><th scope="row">{state.value}</th><td class="number">{count:,}</td>'
                f'<td class="number">{share:.1%}</td><td>{bar}</td></tr>'
            )
    return f'<table class="shares">{"".join(rows)}</table>' if rows else "<p>Nobody was asked.</p>"


def _note(tally: Tally) -> str:
    median = tally.median()
    if median is None:
        return '<p class="small">No median: fewer than half of the people have answered.</p>'
    return f'<p class="small">Median time to answer: {median:.1f} s; expired logins count as longer.</p>'


def _requests(tally: Tally) -> Iterator[tuple[str, object]]:
    if tally.requests_each is not None:
        yield "mean", f"{tally.requests_each:.2f}"
    yield "total", tally.requests
    yield "slow_down answers", tally.slow_downs


def _histogram(counts: Mapping[int, int], along: str, up: str, median: float | None = None) -> str:
    """Bars over whole numbers; a bar covers several numbers if there are too many.

    Places and sizes are shares of the plot, so that its text stays as large as the page's on a narrow screen.
    """
    if not counts:
        return "<p>None.</p>"
    width = math.ceil((max(counts) + 1) / _MOST_BARS)
    bars: Counter[int] = Counter()
    for value, count in counts.items():
        bars[value // width] += count
    many, highest = max(bars) + 1, max(bars.values())
    step = 100 / many
    drawn = ['<line x2="100%" y1="100%" y2="100%"/>']
    for place, count in sorted(bars.items()):
        height = 100 * count / highest
        span = f"{place * width}" if width == 1 else f"{place * width} to {place * width + width - 1}"
        drawn.append(
            f'<rect class="bar" x="{place * step:.2f}%" y="{100 - height:.2f}%" width="{step:.2f}%" '
            f'height="{height:.2f}%"><title>{span}: {count:,}</title></rect>'
        )
    every = math.ceil(many / _MOST_MARKS)
    marks = [
        f'<text x="{(place + 0.5) * step:.2f}%" y="100%" dy="1.3em" text-anchor="middle">{place * width}</text>'
        for place in range(0, many, every)
    ]
    axes = (
        f'<text x="-6" dy=".8em" text-anchor="end">{highest:,}</text>'
        '<text x="-6" y="100%" text-anchor="end">0</text>'
        f'<text x="50%" y="100%" dy="2.7em" text-anchor="middle">{along}</text>'
    )
    label = f"{up} by {along}"
    if median is not None:
        at = 100 * median / (width * many)
        side = "end" if at > 50 else "start"  # noqa: PLR2004 - in the right half, the text stands on the left
        axes += (
            f'<line class="median" x1="{at:.2f}%" x2="{at:.2f}%" y1="-8" y2="100%"/>'
            f'<text class="median" x="{at:.2f}%" y="-12" text-anchor="{side}">median {median:.1f} s</text>'
        )
        label += f"; median {median:.1f} s"
    return f'<svg class="plot" role="img" aria-label="{label}">{"".join([*drawn, *marks])}{axes}</svg>'
