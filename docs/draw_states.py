"""Draws `docs/states.svg` from the table in `idura_ciba.protocol.machine`: `python docs/draw_states.py`.

Only where the boxes stand is decided here. Which arrows there are, and what is written on them, comes from the table; a
test fails when the picture is not what the table gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from pathlib import Path

from idura_ciba.protocol.machine import TRANSITIONS, Event, State

WIDTH, HEIGHT, BOX, TALL, LINE = 1120, 720, 128, 40, 14
PLACES = {
    State.SUBMITTING: (110, 250),
    State.PENDING: (470, 190),
    State.IN_DOUBT: (470, 420),
    State.APPROVED: (1010, 60),
    State.DENIED: (1010, 140),
    State.EXPIRED: (1010, 220),
    State.FAILED: (1010, 320),
    State.ABANDONED: (1010, 410),
    State.HANDED_OVER: (1010, 490),
    State.INDETERMINATE: (1010, 580),
    State.REJECTED: (110, 60),
}
#: Colours of the boxes: waiting, good, bad, unknown.
COLOURS = {
    State.SUBMITTING: "#e8eef7",
    State.PENDING: "#e8eef7",
    State.IN_DOUBT: "#fdf1d8",
    State.APPROVED: "#dff2e1",
    State.INDETERMINATE: "#fdf1d8",
}
#: How far along an arrow its words stand, where the middle is taken.
LABELS_AT = {
    (State.PENDING, State.APPROVED): 0.72,
    (State.PENDING, State.DENIED): 0.72,
    (State.PENDING, State.EXPIRED): 0.72,
    (State.PENDING, State.FAILED): 0.76,
    (State.PENDING, State.ABANDONED): 0.8,
    (State.PENDING, State.HANDED_OVER): 0.86,
    (State.PENDING, State.INDETERMINATE): 0.63,
    (State.IN_DOUBT, State.APPROVED): 0.2,
    (State.IN_DOUBT, State.FAILED): 0.24,
    (State.IN_DOUBT, State.ABANDONED): 0.35,
    (State.IN_DOUBT, State.HANDED_OVER): 0.27,
    (State.IN_DOUBT, State.INDETERMINATE): 0.5,
    (State.SUBMITTING, State.FAILED): 0.25,
    (State.SUBMITTING, State.INDETERMINATE): 0.3,
    (State.PENDING, State.IN_DOUBT): 0.4,
    (State.IN_DOUBT, State.PENDING): 0.6,
}
#: Arrows that would cross a box go round it: what their middle is moved by.
BENDS = {
    (State.SUBMITTING, State.FAILED): (-90, 45),
    (State.SUBMITTING, State.INDETERMINATE): (-160, 240),
    (State.PENDING, State.IN_DOUBT): (-44, 0),
    (State.IN_DOUBT, State.PENDING): (44, 0),
}


#: States whose arrow to themselves hangs below, because others need the room above.
LOOP_BELOW = {State.IN_DOUBT}


def arrows() -> dict[tuple[State, State], list[Event]]:
    """Every arrow of the table with its events, in the table's order."""
    found: dict[tuple[State, State], list[Event]] = {}
    for source, row in TRANSITIONS.items():
        for event, target in row.items():
            found.setdefault((source, target), []).append(event)
    return found


def border(state: State, towards: tuple[float, float]) -> tuple[float, float]:
    """Where a line from a box's middle towards a point leaves the box."""
    (x, y), (dx, dy) = PLACES[state], (towards[0] - PLACES[state][0], towards[1] - PLACES[state][1])
    scale = min(
        (BOX / 2 + 3) / abs(dx) if dx else math.inf,
        (TALL / 2 + 3) / abs(dy) if dy else math.inf,
    )
    return x + dx * scale, y + dy * scale


def words(x: float, y: float, lines: list[str]) -> Iterator[str]:
    """Text on a white ground, around a point."""
    top = y - (len(lines) - 1) * LINE / 2
    wide = max(map(len, lines)) * 6.2 + 6
    yield (
        f'<rect x="{x - wide / 2:.1f}" y="{top - 11:.1f}" width="{wide:.1f}" height="{len(lines) * LINE + 2}" '
        'fill="#ffffff" opacity="0.92"/>'
    )
    for index, line in enumerate(lines):
        yield f'<text x="{x:.1f}" y="{top + index * LINE:.1f}" class="event">{escape(line)}</text>'


def picture() -> str:
    """The whole picture as SVG."""
    lines: list[str] = []
    texts: list[str] = []
    for (source, target), events in arrows().items():
        names = [event.value for event in events]
        if source is target:
            x, y = PLACES[source]
            side = 1 if source in LOOP_BELOW else -1
            edge, far = y + side * 23, y + side * 80
            lines.append(f'<path d="M {x - 40} {edge} C {x - 70} {far}, {x + 70} {far}, {x + 40} {edge}"/>')
            texts += words(x, y + side * (84 + len(names) * LINE / 2) + 4, names)
            continue
        bend = BENDS.get((source, target), (0, 0))
        (x1, y1), (x2, y2) = PLACES[source], PLACES[target]
        middle = ((x1 + x2) / 2 + 2 * bend[0], (y1 + y2) / 2 + 2 * bend[1])
        start, end = border(source, middle), border(target, middle)
        lines.append(
            f'<path d="M {start[0]:.1f} {start[1]:.1f} Q {middle[0]:.1f} {middle[1]:.1f}, {end[0]:.1f} {end[1]:.1f}"/>'
        )
        at = LABELS_AT.get((source, target), 0.5)
        point = [
            (1 - at) ** 2 * s + 2 * at * (1 - at) * m + at**2 * e for s, m, e in zip(start, middle, end, strict=True)
        ]
        texts += words(point[0], point[1], names)
    boxes: list[str] = []
    for state, (x, y) in PLACES.items():
        colour = COLOURS.get(state, "#f7e3e1")
        width = 3 if state.is_final else 1.2
        boxes.append(
            f'<rect x="{x - BOX / 2}" y="{y - TALL / 2}" width="{BOX}" height="{TALL}" rx="8" fill="{colour}" '
            f'stroke="#334155" stroke-width="{width}"/>'
        )
        boxes.append(f'<text x="{x}" y="{y + 5}" class="state">{escape(state.value)}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            "<title>The states of a transaction; a thick border means final</title>",
            "<style>",
            "path{fill:none;stroke:#64748b;stroke-width:1.4;marker-end:url(#head)}",
            "text{font-family:Helvetica,Arial,sans-serif;text-anchor:middle;fill:#0f172a}",
            ".state{font-size:15px;font-weight:600}.event{font-size:11.5px;fill:#334155}",
            "</style>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"',
            'orient="auto">',
            '<path d="M 0 0 L 10 5 L 0 10 z" style="fill:#64748b;marker-end:none"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *lines,
            *texts,
            *boxes,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_name("states.svg").write_text(picture(), encoding="utf-8")
