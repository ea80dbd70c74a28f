"""Writes `dashboard.json` for Grafana: `python docs/telemetry/draw_dashboard.py`.

A dashboard is a long file of few decisions; the decisions stand here. A test fails when the file is not what this
gives, or when a query names a metric or an attribute that does not exist.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import frozen

#: Panels side by side, and the height of each; Grafana's grid is 24 wide.
COLUMNS, HEIGHT = 3, 8
EIDS = 'ciba_acr_values=~"$eid"'


def share(of: str, among: str, by: str = "") -> str:
    """A share over the interval of the dashboard."""
    return f"sum{by} (increase({of}[$__rate_interval])) / sum{by} (increase({among}[$__rate_interval]))"


def quantile(q: float, histogram: str, by: str, which: str = "") -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({histogram}_bucket{which}[$__rate_interval])))"


@frozen
class Panel:
    """One picture of the dashboard.

    Attributes:
        title: Above it.
        text: What to look for, for whoever hovers over the title.
        unit: A unit of Grafana's.
        queries: PromQL by legend.
    """

    title: str
    text: str
    unit: str
    queries: dict[str, str]


LOGINS, LOGIN = "ciba_client_logins_total", "ciba_client_login_duration_seconds"
DECIDED = f'{{{EIDS}, ciba_state=~"approved|denied"}}'
REQUESTS = "ciba_client_request_duration_seconds"
UNANSWERED = 'ciba_result=~"not connected|answer lost|acknowledgement lost|put off"'

ROWS: dict[str, tuple[Panel, ...]] = {
    "People": (
        Panel(
            "Logins by outcome",
            "Ends per minute. Denied and expired belong to everyday life; failed and indeterminate do not.",
            "short",
            {"{{ciba_state}}": f"60 * sum by (ciba_state) (rate({LOGINS}{{{EIDS}}}[$__rate_interval]))"},
        ),
        Panel(
            "Approved, of all that were asked",
            "A sudden drop for one eID is a change of its app or of its agreement with you.",
            "percentunit",
            {
                "{{ciba_acr_values}}": share(
                    f'{LOGINS}{{{EIDS}, ciba_state="approved"}}', f"{LOGINS}{{{EIDS}}}", " by (ciba_acr_values)"
                )
            },
        ),
        Panel(
            "Why logins did not end in an approval",
            "By code; docs/errors.md says what each means and what to do.",
            "short",
            {"{{error_type}}": f'sum by (error_type) (increase({LOGINS}{{{EIDS}, error_type!=""}}[$__rate_interval]))'},
        ),
        Panel(
            "Time to the decision",
            "From the authentication request until the person had approved or denied: half of them, and 95 in 100.",
            "s",
            {
                "half, {{ciba_acr_values}}": quantile(0.5, LOGIN, "ciba_acr_values", DECIDED),
                "95 in 100, {{ciba_acr_values}}": quantile(0.95, LOGIN, "ciba_acr_values", DECIDED),
            },
        ),
        Panel(
            "How late decisions are noticed",
            "Time since the provider last said that nobody had decided, for 95 in 100: about one interval of polls.",
            "s",
            {
                "{{ciba_acr_values}}": quantile(
                    0.95, "ciba_client_login_detection_delay_seconds", "ciba_acr_values", f"{{{EIDS}}}"
                )
            },
        ),
        Panel(
            "Polls for a login",
            "On average, by outcome. A polling strategy is what makes it smaller.",
            "short",
            {
                "{{ciba_state}}": f"sum by (ciba_state) (rate(ciba_client_login_polls_sum{{{EIDS}}}[$__rate_interval]))"
                f" / sum by (ciba_state) (rate(ciba_client_login_polls_count{{{EIDS}}}[$__rate_interval]))"
            },
        ),
    ),
    "Provider": (
        Panel(
            "Requests by endpoint",
            "Per second.",
            "reqps",
            {"{{ciba_endpoint}}": f"sum by (ciba_endpoint) (rate({REQUESTS}_count[$__rate_interval]))"},
        ),
        Panel(
            "Requests without an answer",
            "Share by endpoint: not connected, answer lost, or put off by a gateway.",
            "percentunit",
            {
                "{{ciba_endpoint}}": share(
                    f"{REQUESTS}_count{{{UNANSWERED}}}", f"{REQUESTS}_count", " by (ciba_endpoint)"
                )
            },
        ),
        Panel(
            "Duration of requests",
            "95 in 100 are faster.",
            "s",
            {"{{ciba_endpoint}}": quantile(0.95, REQUESTS, "ciba_endpoint")},
        ),
        Panel(
            "HTTP statuses of errors",
            "Per second, of requests whose status says that something is wrong.",
            "reqps",
            {
                "{{http_response_status_code}} {{ciba_endpoint}}": "sum by (http_response_status_code, ciba_endpoint) "
                f'(rate({REQUESTS}_count{{http_response_status_code=~"[345].."}}[$__rate_interval]))'
            },
        ),
        Panel(
            "The rate that is allowed, and refusals",
            "Requests per second as learned from refusals, where there is a limit; requests refused; slow_down.",
            "reqps",
            {
                "allowed": "sum(ciba_scheduler_allowed_per_second)",
                "refused": "sum(rate(ciba_scheduler_refused_total[$__rate_interval]))",
                "slow_down": "sum(rate(ciba_scheduler_slow_downs_total[$__rate_interval]))",
            },
        ),
        Panel(
            "Open connections",
            "Of the clients' own pools.",
            "short",
            {
                "{{http_connection_state}} {{server_address}}": "sum by (http_connection_state, server_address) "
                "(http_client_open_connections)"
            },
        ),
    ),
    "This service": (
        Panel("Pending logins", "People who are being asked now.", "short", {"pending": "sum(ciba_client_pending)"}),
        Panel(
            "Requests of the scheduler",
            "Due: polls that wait for a place. Starting: authentication requests that wait or are in flight.",
            "short",
            {
                "due": "sum(ciba_scheduler_due)",
                "in flight": "sum(ciba_scheduler_in_flight)",
                "starting": "sum(ciba_scheduler_starting)",
            },
        ),
        Panel(
            "Lateness of polls",
            "For how long the poll that has waited longest has been due. More than a few seconds: too many logins for "
            "the rate, or an event loop that is blocked.",
            "s",
            {"{{instance}}": "max by (instance) (ciba_scheduler_late_seconds)"},
        ),
        Panel(
            "Among the replicas",
            "Taken over: logins that another replica had left, as at each deploy. Declared dead: a replica that was "
            "not heard of for a lease. Ended: logins with which nobody could go on.",
            "short",
            {"{{ciba_kind}}": "sum by (ciba_kind) (increase(ciba_fleet_events_total[$__rate_interval]))"},
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels: list[dict[str, Any]] = []
    y = 0
    for row, shown in ROWS.items():
        panels.append({"type": "row", "title": row, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "panels": []})
        y += 1
        for nth, panel in enumerate(shown):
            place = {"x": nth % COLUMNS * 24 // COLUMNS, "y": y + nth // COLUMNS * HEIGHT}
            panels.append(
                {
                    "type": "timeseries",
                    "title": panel.title,
                    "description": panel.text,
                    "datasource": source,
                    "gridPos": {**place, "w": 24 // COLUMNS, "h": HEIGHT},
                    "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                    "targets": [
                        {"refId": chr(ord("A") + at), "datasource": source, "expr": query, "legendFormat": legend}
                        for at, (legend, query) in enumerate(panel.queries.items())
                    ],
                }
            )
        y += -(-len(shown) // COLUMNS) * HEIGHT
    for number, each in enumerate(panels, start=1):
        each["id"] = number
    variables = [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "eid",
            "label": "eID",
            "type": "query",
            "datasource": source,
            "query": f"label_values({LOGINS}, ciba_acr_values)",
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "refresh": 2,
        },
    ]
    return {
        "uid": "idura-ciba",
        "title": "Logins by CIBA (idura_ciba)",
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": variables},
        "panels": panels,
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("dashboard.json").write_text(text(), encoding="utf-8")
