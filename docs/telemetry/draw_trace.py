"""Draws `trace.svg`, one login as a trace, from `trace.json`: `python docs/telemetry/draw_trace.py`.

With `--record` it first logs somebody in at the simulator, on a virtual clock, and has OpenTelemetry's SDK export the
spans to that file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import use_span

from idura_ciba import CibaClient, ClientSecretPost, SwedishBankID
from idura_ciba.otel import Telemetry
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock

HERE = Path(__file__).parent
#: Nobody's: there is no such day.
NUMBER = "209801011231"
SECRET = "known to both"  # noqa: S105 - opens nothing
#: RFC 9110 section 15: from here on a status is an error.
ERRORS = 400
WIDTH, LEFT, RIGHT, TOP, ROW = 1000, 270, 30, 40, 26
STYLE = """
text { fill: #1f2933; font-size: 13px }
.axis { stroke: #d9e0e6 }
.tick { fill: #616e7c; font-size: 11px }
.words { fill: #3e4c59; font-size: 12px }
.span { fill: #2f6fb0 }
.outer { fill: #c5d5e5 }
.failed { fill: #c2553a }
"""


class Numbered(IdGenerator):
    """Ids that are the same each time."""

    def __init__(self) -> None:
        self._dice = Random(1)  # noqa: S311 - only names

    def generate_span_id(self) -> int:
        """One of 64 bits."""
        return self._dice.getrandbits(64)

    def generate_trace_id(self) -> int:
        """One of 128 bits."""
        return self._dice.getrandbits(128)


async def log_in(provider: TracerProvider) -> None:
    """A call during which somebody is asked; one answer of the provider is slow, and one comes from a gateway."""
    clock, idura = virtual_clock(), SimulatedIdura(seed=1)
    idura.register_client("urn:desk", secret=SECRET)
    idura.script(NUMBER, Script.approve(after=16, opened_after=5, acknowledged_after=9))
    gateway = Fault.answer(502, {"Content-Type": "text/html"}, b"<html>")
    idura.faults.append(lambda arrival: gateway if (arrival.endpoint, arrival.nth) == ("token", 3) else None)
    transport = MemoryTransport(idura, clock=clock, latency=0.12)
    telemetry = Telemetry(polls="spans", tracer_provider=provider)
    tracer = provider.get_tracer("desk")
    async with CibaClient(
        idura.issuer,
        ClientSecretPost("urn:desk", SECRET),
        transport=transport,
        clock=clock,
        observers=[telemetry],
    ) as ciba:
        call = tracer.start_span("POST /calls/4711/verify", start_time=int(clock.wall() * 1e9))
        request = SwedishBankID(NUMBER, call_initiator="user", message="Log in at Acme")
        with use_span(call):
            login = await ciba.start(request, reference="call-4711")
        call.end(int(clock.wall() * 1e9))
        await login


def record() -> str:
    """Log in, and return what the SDK has exported: one span in each line."""
    provider = TracerProvider(
        id_generator=Numbered(), resource=Resource({"service.name": "desk"}), shutdown_on_exit=False
    )
    lines: list[str] = []

    class Lines:
        """As much of a file as the exporter needs."""

        def write(self, text: str) -> None:
            """Keep it."""
            lines.append(text)

        def flush(self) -> None:
            """Nothing to do."""

    exporter = ConsoleSpanExporter(out=Lines(), formatter=lambda span: span.to_json(indent=None) + "\n")  # type: ignore[arg-type]
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    run_virtual(log_in(provider))
    return "".join(lines)


@frozen
class Bar:
    """A span, ready to be drawn.

    Attributes:
        label: At its left.
        depth: How many spans it lies in.
        begin: Seconds after the first.
        end: The same.
        words: What came of it.
        failed: Whether it brought nothing.
    """

    label: str
    depth: int
    begin: float
    end: float
    words: str
    failed: bool


def bars(exported: str) -> list[Bar]:
    """The spans of the login's trace, each below the one it lies in, in the order of their beginning."""
    spans = [json.loads(line) for line in exported.splitlines()]
    login = next(span for span in spans if span["name"] == "ciba login")
    trace = login["context"]["trace_id"]
    mine = [span for span in spans if span["context"]["trace_id"] == trace]
    zero = min(_at(span["start_time"]) for span in mine)

    def below(parent: str | None, depth: int) -> list[Bar]:
        found: list[Bar] = []
        children = [span for span in mine if span["parent_id"] == parent]
        for span in sorted(children, key=lambda span: _at(span["start_time"])):
            found.append(_bar(span, depth, zero))
            found += below(span["context"]["span_id"], depth + 1)
        return found

    return below(None, 0)


def _bar(span: dict[str, Any], depth: int, zero: float) -> Bar:
    about = span["attributes"]
    status = about.get("http.response.status_code")
    words = [str(about[name]) for name in ("ciba.state", "ciba.result") if name in about]
    words += [f"HTTP {status}"] if status is not None and status >= ERRORS else []
    words += [f"noticed within {about['ciba.noticed_within']:.1f} s"] if "ciba.noticed_within" in about else []
    failed = about.get("ciba.result") in {"put off", "answer lost", "not connected"}
    begin, end = _at(span["start_time"]) - zero, _at(span["end_time"]) - zero
    return Bar(span["name"], depth, begin, end, ", ".join(words), failed)


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def picture(exported: str | None = None) -> str:
    """The picture as SVG."""
    rows = bars(exported if exported is not None else (HERE / "trace.json").read_text(encoding="utf-8"))
    return _svg(rows, max(row.end for row in rows))


def _svg(rows: Sequence[Bar], longest: float) -> str:
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + ROW * len(rows) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        "<title>One login as a trace</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for second in range(0, int(longest) + 1, 2):
        x = LEFT + second * scale
        lines.append(f'<path class="axis" d="M {x:.1f} {TOP - 8} V {height - 12}"/>')
        lines.append(f'<text class="tick" x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{second} s</text>')
    for nth, row in enumerate(rows):
        y = TOP + ROW * nth
        x, wide = LEFT + row.begin * scale, max((row.end - row.begin) * scale, 3)
        kind = "failed" if row.failed else "span" if row.depth > 1 else "outer"
        lines.append(f'<text x="{16 + 16 * row.depth}" y="{y + 17}">{escape(row.label)}</text>')
        lines.append(f'<rect class="{kind}" x="{x:.1f}" y="{y + 5}" width="{wide:.1f}" height="16" rx="2"/>')
        if row.words and row.depth == 1:
            lines.append(f'<text class="words" x="{x + 8:.1f}" y="{y + 17}">{escape(row.words)}</text>')
        elif row.words:
            room = WIDTH - (x + wide) > 8 * len(row.words)
            at, anchor = (x + wide + 6, "start") if room else (x - 6, "end")
            lines.append(
                f'<text class="words" x="{at:.1f}" y="{y + 17}" text-anchor="{anchor}">{escape(row.words)}</text>'
            )
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    if "--record" in sys.argv:
        (HERE / "trace.json").write_text(record(), encoding="utf-8")
    (HERE / "trace.svg").write_text(picture(), encoding="utf-8")
