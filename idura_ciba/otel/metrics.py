"""Metrics, over all clients that tell their events to one `Telemetry`.

Names follow the semantic conventions of OpenTelemetry where there is one: `http.client.open_connections`, `error.type`,
`http.response.status_code`. Requests have a metric of their own, and not `http.client.request.duration`: a session that
is instrumented counts them there already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from idura_ciba.observe import AnyEvent, FleetEvent, PollEvent, RequestEvent, Snapshots, TransactionEvent

__all__ = ["Metrics"]

#: Seconds: the buckets of the semantic conventions for HTTP.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
#: Seconds: people take between a few and the lifetime of a prompt.
LOGIN_BUCKETS = (2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
#: Seconds: about an interval, unless something is wrong.
DELAY_BUCKETS = (0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 20, 30, 60)
POLL_BUCKETS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)


class Metrics:
    """Counts and measures events, and looks at clients when it is asked to."""

    def __init__(self, meter: Meter) -> None:
        self._clients: tuple[ref[Snapshots], ...] = ()
        self._logins = meter.create_counter(
            "ciba.client.logins", "{login}", "Logins that have ended, failed starts included, by eID, outcome and code"
        )
        self._duration = meter.create_histogram(
            "ciba.client.login.duration",
            "s",
            "From the authentication request to the end; of approved and denied logins, the time to the decision",
            explicit_bucket_boundaries_advisory=LOGIN_BUCKETS,
        )
        self._polls = meter.create_histogram(
            "ciba.client.login.polls",
            "{poll}",
            "Polls of a login",
            explicit_bucket_boundaries_advisory=POLL_BUCKETS,
        )
        self._delay = meter.create_histogram(
            "ciba.client.login.detection_delay",
            "s",
            "How late a decision can have been noticed: the time since the provider last said that there was none",
            explicit_bucket_boundaries_advisory=DELAY_BUCKETS,
        )
        self._requests = meter.create_histogram(
            "ciba.client.request.duration",
            "s",
            "Requests to the provider, by endpoint and result",
            explicit_bucket_boundaries_advisory=REQUEST_BUCKETS,
        )
        self._fleet = meter.create_counter(
            "ciba.fleet.events",
            "{event}",
            "What happened among replicas: logins taken over or fenced, workers that joined or were declared dead",
        )
        meter.create_observable_up_down_counter(
            "ciba.client.pending", [self._count_pending], "{login}", "Logins that have begun and not ended"
        )
        meter.create_observable_up_down_counter(
            "http.client.open_connections",
            [self._count_connections],
            "{connection}",
            "Connections of the pools",
        )
        for name, unit, text in (
            ("due", "{request}", "Polls that are due and wait for a place"),
            ("in_flight", "{request}", "Polls in flight"),
            ("starting", "{request}", "Authentication requests that wait for a place or are in flight"),
        ):
            meter.create_observable_up_down_counter(f"ciba.scheduler.{name}", [self._look_at(name)], unit, text)
        for name, unit, text in (
            ("late", "s", "For how long the poll that has waited longest has been due"),
            ("allowed", "{request}/s", "Rate that the provider allows, as learned from refusals; none without a limit"),
        ):
            meter.create_observable_gauge(f"ciba.scheduler.{name}", [self._look_at(name)], unit, text)
        for name, unit, text in (
            ("served", "{request}", "Polls sent"),
            ("refused", "{request}", "Requests refused because of too many"),
            ("slow_downs", "{request}", "Polls answered slow_down"),
        ):
            meter.create_observable_counter(f"ciba.scheduler.{name}", [self._look_at(name)], unit, text)

    def attach(self, client: Snapshots) -> None:
        """Look at this client too, as long as it lives."""
        # A new tuple each time: the thread that gathers metrics may be looking through the old one.
        self._clients = (*(known for known in self._clients if known() is not None), ref(client))

    def record(self, event: AnyEvent) -> None:
        """Count an event."""
        match event:
            case PollEvent():
                self._record_request("token_endpoint", event)
            case RequestEvent():
                self._record_request(event.endpoint, event)
            case FleetEvent():
                self._fleet.add(1, {"ciba.kind": event.kind})
            case TransactionEvent() if event.state.is_final:
                which: dict[str, str] = {"ciba.acr_values": event.acr_values, "ciba.state": event.state.value}
                self._duration.record(event.elapsed, which)
                if event.polls:
                    self._polls.record(event.polls, which)
                if event.noticed_within is not None:
                    self._delay.record(event.noticed_within, which)
                self._logins.add(1, which if event.code is None else {**which, "error.type": event.code})

    def _record_request(self, endpoint: str, event: PollEvent | RequestEvent) -> None:
        which: dict[str, str | int] = {"ciba.endpoint": endpoint, "ciba.result": event.result}
        if event.status is not None:
            which["http.response.status_code"] = event.status
        self._requests.record(event.elapsed, which)

    def _snapshots(self) -> list[dict[str, Any]]:
        clients = filter(None, (known() for known in self._clients))
        return [shot for shot in (client.snapshot() for client in clients) if not shot["closed"]]

    def _count_pending(self, _: CallbackOptions) -> Iterator[Observation]:
        yield Observation(sum(shot["pending"] for shot in self._snapshots()))

    def _count_connections(self, _: CallbackOptions) -> Iterator[Observation]:
        found = Counter[tuple[str, int, str]]()
        for shot in self._snapshots():
            for each in shot["connections"]:
                for state in ("active", "idle"):
                    found[each["host"], each["port"], state] += each[state]
        for (host, port, state), number in found.items():
            which: dict[str, str | int] = {
                "server.address": host,
                "server.port": port,
                "http.connection.state": state,
            }
            yield Observation(number, which)

    def _look_at(self, name: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def look(_: CallbackOptions) -> Iterator[Observation]:
            # Clients may share a scheduler, which is then looked at once.
            found = {shot["scheduler"]["number"]: shot["scheduler"][name] for shot in self._snapshots()}
            for number, value in found.items():
                if value is not None:
                    yield Observation(value, {"ciba.scheduler.number": number})

        return look
