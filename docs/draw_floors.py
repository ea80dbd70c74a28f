"""Draws `docs/floors.svg` from the imports of the package: `python docs/draw_floors.py`.

Which room stands on which floor comes from the table in `tests/test_architecture.py`, and the arrows from the imports.
Only where a room stands on its floor, and the few words about it, are decided here. A test fails when the picture is
not what table and imports give.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
WIDTH, MARGIN, STEP, TALL, BESIDE = 1060, 24, 98, 50, 8
#: How far from a room an arrow passes that goes elsewhere.
PASS = 16
#: How wide a character of a room's name and of the words below it is.
NAME_WIDE, WORDS_WIDE = 8.6, 6.1
#: Where the middle of each room is, and what it is for.
ROOMS: Mapping[str, tuple[int, str]] = {
    "": (200, "the public names"),
    "cli": (570, "the command"),
    "__main__": (900, "python -m idura_ciba"),
    "desk": (570, "the agent's page"),
    "phone": (800, "the simulated phone"),
    "web": (664, "what pages share"),
    "batch": (385, "a file of people"),
    "pytest_plugin": (802, "fixtures"),
    "testing": (985, "the virtual clock"),
    "sync": (102, "without an event loop"),
    "otel": (535, "spans and metrics"),
    "fleet": (385, "many replicas"),
    "client": (300, "puts the rooms together"),
    "transaction": (300, "one person being asked"),
    "checks": (560, "can people be asked?"),
    "trust": (150, "who is it?"),
    "http": (250, "one request, one answer"),
    "scheduling": (560, "whose turn it is"),
    "eids": (150, "whom to ask, and how"),
    "observe": (445, "events and log"),
    "explain": (300, "errors in sentences"),
    "ping": (660, "the provider calls"),
    "simulator": (905, "an Idura to try"),
    "protocol": (140, "messages, states, intervals"),
    "credentials": (835, "proofs of the client"),
    "options": (545, "checks"),
    "polling": (680, "when to ask again"),
    "aio": (990, "asyncio helpers"),
    "errors": (520, "what can go wrong"),
    "redaction": (520, "what must not be shown"),
}


def architecture() -> ModuleType:
    """The test that holds the floors; it knows how to read imports, too."""
    spec = importlib.util.spec_from_file_location("test_architecture", ROOT / "tests" / "test_architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def imports(rules: ModuleType) -> dict[str, set[str]]:
    """Which rooms each room imports."""
    found: dict[str, set[str]] = {room: set() for room in sorted(rules.RANKS)}
    for module, source in rules.SOURCES.items():
        room = rules.room_of(module)
        targets = (rules.own_module(each.target, rules.SOURCES) for each in rules.imports(source))
        found[room] |= {rules.room_of(target) for target in targets if target is not None} - {room}
    return found


def without_shortcuts(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out each arrow whose end is reached by others, too."""

    def below(room: str) -> set[str]:
        return set().union(arrows[room], *(below(each) for each in arrows[room]))

    return {room: targets - set().union(*(below(each) for each in targets)) for room, targets in arrows.items()}


def box(room: str, rank: int, floors: int) -> tuple[float, float, float]:
    """Left edge, top edge and width of a room."""
    middle, words = ROOMS[room]
    wide = max(len(room or "idura_ciba") * NAME_WIDE, len(words) * WORDS_WIDE) + 2 * BESIDE
    return middle - wide / 2, MARGIN + (floors - 1 - rank) * STEP, wide


def aside(x: float, taken: list[tuple[float, float]]) -> float:
    """Where an arrow to `x` passes a floor on its way down: there, or where it goes behind no room."""
    for left, right in sorted(taken):
        if left - PASS < x < right + PASS:
            x = left - PASS if x - left < right - x else right + PASS
    return x


def ports(rooms: list[str], left: float, wide: float) -> dict[str, float]:
    """Where the arrows to or from other rooms touch an edge: side by side, in the order of where they come from."""
    ordered = sorted(rooms, key=lambda room: ROOMS[room][0])
    return {room: left + wide * (nth + 1) / (len(ordered) + 1) for nth, room in enumerate(ordered)}


def lines(arrows: Mapping[str, set[str]], boxes: Mapping[str, tuple[float, float, float]]) -> Iterator[str]:
    """Every arrow, from below a room to the top of another; a room beside it is reached from the side."""
    leaves, enters = {}, {}
    floors: dict[float, list[tuple[float, float]]] = {}
    for room, (left, top, wide) in boxes.items():
        leaves[room] = ports([each for each in arrows[room] if boxes[each][1] > top], left, wide)
        enters[room] = ports([each for each in arrows if room in arrows[each] and boxes[each][1] < top], left, wide)
        floors.setdefault(top, []).append((left, left + wide))
    for room, targets in arrows.items():
        left, top, wide = boxes[room]
        for target in sorted(targets):
            to_left, to_top, to_wide = boxes[target]
            if to_top == top:
                start, end = (left + wide, to_left) if to_left > left else (left, to_left + to_wide)
                yield f'<path class="arrow" d="M {start:.1f} {top + TALL / 2:.1f} H {end:.1f}"/>'
                continue
            start, end = leaves[room][target], enters[target][room]
            between = sorted(floor for floor in floors if top < floor < to_top)
            path, x, y = [f"M {start:.1f} {top + TALL:.1f}"], start, top + TALL
            for floor in between:
                to_x = aside(end, floors[floor])
                path += [curve(x, y, to_x, floor), f"V {floor + TALL:.1f}"]
                x, y = to_x, floor + TALL
            yield f'<path class="arrow" d="{" ".join([*path, curve(x, y, end, to_top)])}"/>'


def curve(x: float, y: float, to_x: float, to_y: float) -> str:
    """From one point down to another; upright at both."""
    middle = (y + to_y) / 2
    return f"C {x:.1f} {middle:.1f}, {to_x:.1f} {middle:.1f}, {to_x:.1f} {to_y:.1f}"


def picture() -> str:
    """The whole picture as SVG."""
    rules = architecture()
    every = imports(rules)
    floors = len(rules.FLOORS)
    boxes = {room: box(room, rules.RANKS[room], floors) for room in every}
    height = 2 * MARGIN + (floors - 1) * STEP + TALL
    rooms: list[str] = []
    for room, (left, top, wide) in boxes.items():
        middle, words = ROOMS[room]
        rooms += [
            f'<rect class="room" x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{TALL}" rx="8"/>',
            f'<text class="name" x="{middle}" y="{top + 23}">{room or "idura_ciba"}</text>',
            f'<text class="words" x="{middle}" y="{top + 41}">{escape(words)}</text>',
        ]
    bands = [
        f'<rect class="floor" x="0" y="{MARGIN + nth * STEP - 10}" width="{WIDTH}" height="{TALL + 20}"/>'
        for nth in range(floors)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>The rooms of idura_ciba on their floors; an arrow means that one imports the other</title>",
            "<style>",
            ".ground{fill:#ffffff}.floor{fill:#f1f5f9}.room{fill:#ffffff;stroke:#475569;stroke-width:1.3}",
            ".arrow{fill:none;stroke:#64748b;stroke-width:1.3;marker-end:url(#head)}.head{fill:#64748b}",
            "text{font-family:Helvetica,Arial,sans-serif;text-anchor:middle;fill:#0f172a}",
            ".name{font-size:15px;font-weight:600}.words{font-size:12px;fill:#475569}",
            "@media(prefers-color-scheme:dark){",
            ".ground{fill:#0d1117}.floor{fill:#161d27}.room{fill:#1f2937;stroke:#94a3b8}",
            ".arrow{stroke:#94a3b8}.head{fill:#94a3b8}text{fill:#f1f5f9}.words{fill:#cbd5e1}}",
            "</style>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"',
            'orient="auto"><path class="head" d="M 0 0 L 10 5 L 0 10 z"/></marker></defs>',
            f'<rect class="ground" width="{WIDTH}" height="{height}" rx="10"/>',
            *bands,
            *lines(without_shortcuts(every), boxes),
            *rooms,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_name("floors.svg").write_text(picture(), encoding="utf-8")
