"""Tests of the page on telemetry: its examples run, and tables, dashboard and alerts name what is recorded."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

import idura_ciba
from idura_ciba import ClientSecretBasic, State
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.protocol.machine import Event
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.logins import SWEDE, swedish
from tests.otel.recorded import Recorded
from tests.pages import DOCS, example, program

PAGE = (DOCS / "telemetry.md").read_text(encoding="utf-8")
SCENE = program("site/telemetry_scene.py")
METRICS = (Path(idura_ciba.__file__).parent / "otel" / "metrics.py").read_text(encoding="utf-8")
DASHBOARD = DOCS / "telemetry" / "dashboard.json"


def table(heading: str) -> dict[str, tuple[str, ...]]:
    """The rows of the table below a heading, by the name in their first cell."""
    rows: dict[str, tuple[str, ...]] = {}
    for line in PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0].startswith("`"):
            before = next(reversed(rows.values()), ("",))
            rows[cells[0].strip("`")] = tuple(before[-1] if cell == "the same" else cell for cell in cells[1:])
    assert rows
    return rows


# --- the examples -----------------------------------------------------------------------------------------------------


async def test_the_observer_finds_the_programs_sdk(
    simulated_idura: SimulatedIdura, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is set up after the observer was made."""
    simulated_idura.register_client("urn:a", secret="hush")
    simulated_idura.script(SWEDE, Script.deny(after=3))
    transport = MemoryTransport(simulated_idura, clock=virtual_clock())
    monkeypatch.setattr("idura_ciba.client.AiohttpTransport", lambda: transport)
    connect, recorded = example("telemetry")["connect"], Recorded()
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", recorded.tracer_provider)
    async with connect(simulated_idura.issuer, ClientSecretBasic("urn:a", "hush")) as ciba:
        await (await ciba.start(swedish())).outcome()
    assert len(recorded.named("ciba login")) == 1


async def test_whoever_asks_for_it_sends_the_trace_context(simulated_idura: SimulatedIdura) -> None:
    """With every request of the login."""
    simulated_idura.register_client("urn:a", secret="hush")
    simulated_idura.script(SWEDE, Script.deny(after=3))
    sent: dict[str, bool] = {}

    class Noting(MemoryTransport):
        def __init__(self) -> None:
            super().__init__(simulated_idura, clock=virtual_clock())

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def send(self, request: HttpRequest) -> HttpResponse:
            sent[request.url.rpartition("/")[2]] = "traceparent" in request.headers
            return await super().send(request)

    names = example("propagation")
    names["AiohttpTransport"] = Noting
    with Recorded().tracer_provider.get_tracer("tests").start_as_current_span("call"):
        outcome = await names["verify"](simulated_idura.issuer, ClientSecretBasic("urn:a", "hush"), swedish())
    assert outcome.state is State.DENIED
    assert sent == {"openid-configuration": False, "jwks": False, "bc-authorize": True, "token": True}


# --- the tables -------------------------------------------------------------------------------------------------------


def test_the_table_of_spans_names_what_is_recorded() -> None:
    """Every span, and what begins and ends it."""
    recorded = SCENE.spans()
    assert set(table("Traces")) == set(recorded)
    assert {"ciba.state", "error.type", "ciba.reference"} <= set(recorded["ciba login"])


def test_the_table_of_metrics_is_what_is_recorded() -> None:
    """Each metric that there is has a row, with its unit and whatever tells its points apart."""
    shown = program("site/generated.py").GENERATED["metrics"]()
    rows = {row.split(" | ")[0].strip("| `"): row for row in shown.splitlines()[2:]}
    created = re.findall(r'"((?:ciba|http)\.client\.[a-z_.]+|ciba\.fleet\.events)",', METRICS)
    scheduler = re.findall(r'^            \("(\w+)", "', METRICS, re.MULTILINE)
    assert set(rows) == {*created, *(f"ciba.scheduler.{name}" for name in scheduler)}
    assert len(rows) > 14
    assert " | counter, `{login}` | " in rows["ciba.client.logins"]
    assert rows["ciba.client.logins"].endswith("| `ciba.acr_values`, `ciba.state`, `error.type` |")


# --- picture and files ------------------------------------------------------------------------------------------------


def without_names(exported: str) -> list[dict[str, Any]]:
    """Exported spans, as far as they are the same each time, whatever the release of the SDK."""
    kept = ("name", "context", "parent_id", "start_time", "end_time", "status", "events")
    spans = [json.loads(line) for line in exported.splitlines()]
    about = [{**span["attributes"], "ciba.transaction": ""} for span in spans]
    return [{**{key: span[key] for key in kept}, "attributes": a} for span, a in zip(spans, about, strict=True)]


def test_the_trace_in_the_picture_is_what_the_sdk_exports() -> None:
    """Record and draw it again with `python docs/telemetry/draw_trace.py --record` when this fails."""
    drawing = program("telemetry/draw_trace.py")
    exported = (DOCS / "telemetry" / "trace.json").read_text(encoding="utf-8")
    assert without_names(drawing.record()) == without_names(exported)
    assert drawing.picture(exported) == (DOCS / "telemetry" / "trace.svg").read_text(encoding="utf-8")
    assert SWEDE not in exported


def test_the_dashboard_is_what_its_script_gives_and_its_panels_are_listed() -> None:
    """Write it again with `python docs/telemetry/draw_dashboard.py` when this fails."""
    drawing = program("telemetry/draw_dashboard.py")
    assert DASHBOARD.read_text(encoding="utf-8") == drawing.text()
    section = PAGE.partition("## Dashboard")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| (\w[\w ]*) \| (.+?) \|$", section, re.MULTILINE)
    shown = {row: "; ".join(panel.title for panel in panels) for row, panels in drawing.ROWS.items()}
    assert {row: panels for row, panels in listed if row != "row"} == shown


def test_no_panel_covers_another() -> None:
    """Each has its own place in the grid, and a number of its own."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    taken = [(at["x"] + x, at["y"] + y) for at in places for x in range(at["w"]) for y in range(at["h"])]
    assert len(taken) == len(set(taken))
    assert all(0 <= x < 24 for x, _ in taken)


# --- what the queries ask for -----------------------------------------------------------------------------------------


def library(name: str) -> Any:
    """A library that only the group `companions` brings."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if "IDURA_CIBA_COMPANIONS" in os.environ:
            raise
        pytest.skip(f"{name} is not installed; the dependency group `companions` brings it")


def queries() -> dict[str, str]:
    """Every query of the dashboard and of the alerts, by its title."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    found = {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel.get("targets", ())
    }
    alerts = library("yaml").safe_load((DOCS / "telemetry" / "alerts.yml").read_text(encoding="utf-8"))
    (group,) = alerts["groups"]
    found |= {rule["alert"]: rule["expr"] for rule in group["rules"]}
    assert len(found) > 25
    # Grafana fills these in; Prometheus knows neither.
    return {title: query.replace("$__rate_interval", "5m").replace("$eid", ".*") for title, query in found.items()}


def selectors(expression: Any) -> Iterator[Any]:
    """The selectors of metrics in a parsed query."""
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (part := getattr(expression, name, None)) is not None:
            yield from selectors(part)
    for part in getattr(expression, "args", None) or ():
        yield from selectors(part)
    if hasattr(expression, "matchers"):
        yield expression


def groupings(expression: Any) -> Iterator[str]:
    """The labels that a parsed query groups by."""
    for name in ("expr", "lhs", "rhs", "param"):
        if (part := getattr(expression, name, None)) is not None:
            yield from groupings(part)
    for part in getattr(expression, "args", None) or ():
        yield from groupings(part)
    modifier = getattr(expression, "modifier", None)
    yield from getattr(modifier, "labels", None) or ()


#: What a label may be compared with.
VALUES: Mapping[str, frozenset[str]] = {
    "ciba_kind": frozenset(SCENE.FLEET_KINDS),
    "ciba_state": frozenset(state.value for state in State),
    "ciba_result": frozenset({event.value for event in Event} | {"answered", "refused"}),
    "error_type": frozenset(re.findall(r"`(\w+)`", (DOCS / "errors.md").read_text(encoding="utf-8"))),
}


def test_every_query_asks_for_what_there_is() -> None:
    """By the names that Prometheus gets from its own exporter: metrics, labels, and the values compared with."""
    parser, exporter = library("promql_parser"), library("opentelemetry.exporter.prometheus")
    prometheus = library("prometheus_client")
    reader = exporter.PrometheusMetricReader()
    recorded, busy = Recorded(reader=reader), SCENE.Busy()
    try:
        recorded.telemetry.attach(busy)
        SCENE.live_through(recorded.telemetry)
        labels: dict[str, set[str]] = {}
        for metric in prometheus.REGISTRY.collect():
            for sample in metric.samples:
                labels.setdefault(sample.name, set()).update(sample.labels)
    finally:
        reader.shutdown()
    for title, query in queries().items():
        tree = parser.parse(query)
        asked = list(selectors(tree))
        assert asked, title
        for selector in asked:
            assert selector.name in labels, f"{title}: there is no {selector.name}"
            for matcher in selector.matchers.matchers:
                assert matcher.name in labels[selector.name], f"{title}: {selector.name} has no {matcher.name}"
                wanted = matcher.value.replace("id_token_(", "(")
                values = set(re.findall(r"[\w ]+", matcher.value)) - {"id_token_"}
                values = {f"id_token_{value}" for value in values} if wanted != matcher.value else values
                if matcher.name in VALUES:
                    assert values <= VALUES[matcher.name], f"{title}: {values}"
        # Prometheus adds these itself: the bucket, and where it has scraped.
        known = set[str]().union(*(labels[selector.name] for selector in asked)) | {"le", "instance"}
        assert set(groupings(tree)) <= known, title


def test_a_query_for_something_else_would_be_noticed() -> None:
    """The parts of a query that the test above looks at are found."""
    parser = library("promql_parser")
    query = 'histogram_quantile(0.9, sum by (le, nobody) (rate(other_bucket{which="x"}[5m])))'
    tree = parser.parse(f'{query} / topk(3, third{{a!="b"}}) > 1')
    assert {selector.name for selector in selectors(tree)} == {"other_bucket", "third"}
    assert {matcher.name for each in selectors(tree) for matcher in each.matchers.matchers} == {"which", "a"}
    assert set(groupings(tree)) == {"le", "nobody"}
