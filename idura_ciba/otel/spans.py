"""Spans: one for each login, and within it one for the authentication request, the key fetch and the verification.

They are made after the event, of the times that it names. A login's span is a child of the span that was current where
`start` or `resume` was called; that of a resumed login is linked to the one it goes on with.

| span | from, to |
| --- | --- |
| `ciba login` | the call of `start`, or of `resume`, to the end |
| `ciba authentication request` | the connection, the provider's acknowledgement |
| `ciba poll`, or an event of this name | the connection, the answer |
| `ciba key fetch` | the same; in the login that needed the keys first |
| `ciba discovery` | the same; in no login, because it is for all |
| `ciba verification` | the tokens' arrival, their verdict |
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from idura_ciba.observe import AnyEvent, FleetEvent, PollEvent, RequestEvent, TransactionEvent, VerificationEvent
from idura_ciba.protocol.machine import State

__all__ = ["Spans"]

#: How a login ends that nobody need look into: that somebody did not want to, or came too late, is no error.
_USUAL = frozenset({State.APPROVED, State.DENIED, State.EXPIRED, State.ABANDONED, State.HANDED_OVER})
_NAMES = {
    "backchannel_authentication_endpoint": "ciba authentication request",
    "jwks_uri": "ciba key fetch",
    "openid-configuration": "ciba discovery",
}
_W3C = TraceContextTextMapPropagator()

Attributes = dict[str, AttributeValue]


class Spans:
    """Makes spans of events.

    Args:
        tracer: Starts them.
        polls_are_spans: Whether each poll is a span; else it is an event of the login's span.
    """

    def __init__(self, tracer: Tracer, *, polls_are_spans: bool) -> None:
        self._tracer = tracer
        self._polls_are_spans = polls_are_spans
        # By the name of the transaction. Without an SDK there are none.
        self._open: dict[str, Span] = {}

    def trace_context(self, transaction: str) -> str | None:
        """The `traceparent` of a login's span."""
        span, carrier = self._open.get(transaction), dict[str, str]()
        if span is not None:
            _W3C.inject(carrier, set_span_in_context(span, Context()))
        return carrier.get("traceparent")

    def record(self, event: AnyEvent) -> None:
        """Add an event to the trace of its login."""
        match event:
            case PollEvent():
                self._record_poll(event)
            case TransactionEvent():
                self._record_state(event)
            case RequestEvent():
                self._record_request(event)
            case FleetEvent():
                login = self._open.get(event.transaction or "")
                if login is not None:
                    attributes = _known({"ciba.login": event.login, "ciba.worker": event.worker})
                    login.add_event(f"ciba {event.kind.replace('_', ' ')}", attributes, _nanoseconds(event.at))
            case VerificationEvent():
                attributes = _known({"error.type": event.code})
                self._add("ciba verification", event, self._open.get(event.transaction), attributes, SpanKind.INTERNAL)

    def _record_poll(self, event: PollEvent) -> None:
        login = self._open.get(event.transaction)
        if login is None or not login.is_recording():
            return
        attributes = _answered(event)
        if self._polls_are_spans:
            self._add("ciba poll", event, login, attributes)
        else:
            login.add_event("ciba poll", {**attributes, "ciba.elapsed": event.elapsed}, _nanoseconds(event.at))

    def _record_request(self, event: RequestEvent) -> None:
        name, attributes = _NAMES.get(event.endpoint, event.endpoint), _answered(event)
        if event.transaction is None:
            login = None if event.cause is None else self._open.get(event.cause)
            # What is fetched for all belongs to no trace but that of the login that needed it first.
            self._add(name, event, login, attributes, alone=True)
            return
        login = self._begin(event.transaction, event, event.acr_values, event.at - event.elapsed - event.waited)
        self._add(name, event, login, attributes)

    def _record_state(self, event: TransactionEvent) -> None:
        login = self._open.get(event.transaction)
        if event.resumed:
            login = self._begin(event.transaction, event, event.acr_values, event.at, event.resumes)
        elif login is None and event.state.is_final:
            # A start that came to nothing before anything was sent.
            login = self._begin(event.transaction, event, event.acr_values, event.at - event.elapsed)
        elif login is not None and not event.state.is_final and event.polls:
            attributes = _known({"ciba.reason": event.reason})
            login.add_event(f"ciba {event.state.value}", attributes, _nanoseconds(event.at))
        if login is not None and event.state.is_final:
            self._open.pop(event.transaction, None)
            _end(login, event)

    def _begin(
        self,
        transaction: str,
        event: RequestEvent | TransactionEvent,
        acr_values: str,
        began_at: float,
        resumes: str | None = None,
    ) -> Span:
        """Start the span of a login, in the context of whoever began it, in which observers are called."""
        attributes = _known(
            {"ciba.transaction": transaction, "ciba.reference": event.reference, "ciba.acr_values": acr_values or None}
        )
        links: list[Link] = []
        if resumes is not None:
            before = get_current_span(_W3C.extract({"traceparent": resumes}, Context())).get_span_context()
            links = [Link(before)] if before.is_valid else []
        login = self._tracer.start_span(
            "ciba login", attributes=attributes, links=links, start_time=_nanoseconds(began_at)
        )
        if login.get_span_context().is_valid:
            self._open[transaction] = login
        return login

    def _add(
        self,
        name: str,
        event: PollEvent | RequestEvent | VerificationEvent,
        login: Span | None,
        attributes: Attributes,
        kind: SpanKind = SpanKind.CLIENT,
        *,
        alone: bool = False,
    ) -> None:
        """Make the span of something that has just ended."""
        context = Context()
        if login is not None and login.is_recording():
            context = set_span_in_context(login, context)
        elif not alone:
            return
        span = self._tracer.start_span(
            name, context, kind, attributes, start_time=_nanoseconds(event.at - event.elapsed)
        )
        if "error.type" in attributes:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(event.at))


def _end(login: Span, event: TransactionEvent) -> None:
    login.set_attributes(
        _known(
            {
                "ciba.state": event.state.value,
                "ciba.polls": event.polls,
                "ciba.noticed_within": event.noticed_within,
                "ciba.provider.trace_id": event.trace_id,
                "error.type": event.code,
            }
        )
    )
    if event.state not in _USUAL:
        login.set_status(Status(StatusCode.ERROR, event.reason))
    login.end(_nanoseconds(event.at))


def _answered(event: PollEvent | RequestEvent) -> Attributes:
    # An error of a request is that it brought no answer; what the answer says is its result.
    broken = event.result in {"answer lost", "acknowledgement lost", "acknowledgement broken", "not connected"}
    return _known(
        {
            "ciba.result": event.result,
            "ciba.reason": event.reason,
            "ciba.provider.trace_id": event.trace_id,
            "http.response.status_code": event.status,
            "error.type": event.result if broken else None,
        }
    )


def _known(attributes: dict[str, AttributeValue | None]) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
