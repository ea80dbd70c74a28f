"""The report of a batch: one self-contained HTML page without personal data."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from idura_ciba import State
from idura_ciba.batch.tally import Tally

__all__ = ["BEGIN", "page"]

#: With this, each report begins.
BEGIN: Final = '<!doctype html>\n<html lang="en"><!-- idura-ciba batch --><head>'

_COLOURS: Final = {State.APPROVED: "#2e7d32", State.DENIED: "#c62828", State.EXPIRED: "#f9a825"}
_OTHERS: Final = "#6a1b9a"
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 52rem; padding: 0 1rem; color: #1b1b1b; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem .2rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } tr { border-bottom: 1px solid #ddd; }
svg { width: 100%; height: auto; } text { font: 11px system-ui, sans-serif; fill: #444; }
p.small { color: #555; font-size: .9rem; }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #eee; } tr { border-color: #444; } text { fill: #bbb; } p.small { color: #aaa; }
}
"""
#: The size of a plot, its margins, and the maximum number of bars.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _MOST_BARS = 800, 240, 44, 36, 60


def page(title: str, facts: Mapping[str, str], tally: Tally) -> str:
    """The report as HTML.

    Args:
        title: The title of the page.
        facts: Further facts for the table at the top, by name.
        tally: The counted results.
    """
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _table(facts.items()),
        "<h2>Outcomes</h2>",
        _outcomes(tally),
        "<h2>Time to answer</h2>",
        _histogram(tally.seconds, "seconds since the request", "approvals and denials"),
        _note(tally),
        "<h2>Requests per login</h2>",
        _histogram(Counter({polls + 1: count for polls, count in tally.polls.items()}), "requests", "logins"),
        _table(_requests(tally)),
        "<h2>Errors</h2>",
        _table(tally.codes.most_common()) if tally.codes else "<p>None.</p>",
        '<p class="small">This report has counts of logins, but no keys, national numbers or names.</p>',
    ]
    # The page loads nothing, and the policy lets it load nothing: it is safe to mail and to open anywhere.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'{BEGIN}<meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(rows: Iterable[tuple[str, object]]) -> str:
    cells = []
    for name, value in rows:
        kind = ' class="number"' if isinstance(value, int) else ""
        text = f"{value:,}" if isinstance(value, int) else str(value)
        cells.append(f"<tr><th>{html.escape(name)}</th><td{kind}>{html.escape(text)}</td></tr>")
    return f"<table>{''.join(cells)}</table>"


def _outcomes(tally: Tally) -> str:
    """A table with a bar for each share."""
    total, rows = len(tally), []
    for state in State:
        count = tally.states[state.value]
        if count:
            share = count / total
            bar = (
                f'<svg viewBox="0 0 200 12" role="img" aria-label="{share:.1%}" style="width:12rem">'
                f'<rect width="{200 * share:.1f}" height="12" fill="{_COLOURS.get(state, _OTHERS)}"/></svg>'
            )
            rows.append(
                f'<tr><th>{state.value}</th><td class="number">{count:,}</td>'
                f'<td class="number">{share:.1%}</td><td>{bar}</td></tr>'
            )
    return f"<table>{''.join(rows)}</table>" if rows else "<p>Nobody was asked.</p>"


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


def _histogram(counts: Mapping[int, int], along: str, up: str) -> str:
    """Bars over whole numbers; a bar covers several numbers if there are too many."""
    if not counts:
        return "<p>None.</p>"
    width = math.ceil((max(counts) + 1) / _MOST_BARS)
    bars: Counter[int] = Counter()
    for value, count in counts.items():
        bars[value // width] += count
    many, highest = max(bars) + 1, max(bars.values())
    step, room = (_WIDTH - _LEFT) / many, _HEIGHT - _BOTTOM - 10
    drawn = []
    for place, count in sorted(bars.items()):
        height = room * count / highest
        span = f"{place * width}" if width == 1 else f"{place * width} to {place * width + width - 1}"
        drawn.append(
            f'<rect x="{_LEFT + place * step:.1f}" y="{10 + room - height:.1f}" width="{max(1.0, step - 1):.1f}" '
            f'height="{height:.1f}" fill="#1565c0"><title>{span}: {count:,}</title></rect>'
        )
    every = math.ceil(many / 10)
    marks = [
        f'<text x="{_LEFT + (place + 0.5) * step:.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{place * width}</text>'
        for place in range(0, many, every)
    ]
    axes = (
        f'<text x="{_LEFT - 6}" y="16" text-anchor="end">{highest:,}</text>'
        f'<text x="{_LEFT - 6}" y="{10 + room}" text-anchor="end">0</text>'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{along}</text>'
    )
    label = f"{up} by {along}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join([*drawn, *marks])}{axes}</svg>'
    )
