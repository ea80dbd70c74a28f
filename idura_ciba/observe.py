"""Events, for logs, traces and metrics.

An observer is a function of one event. It is called on the event loop, after the event, and cannot change anything: if
it raises, that is logged once. Events contain nothing that identifies a person and no credential.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from attrs import fields, frozen

from idura_ciba.aio.clock import Clock
from idura_ciba.errors import TransportError
from idura_ciba.protocol.answers import AuthenticationAnswer, TokenAnswer, why
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.protocol.machine import Event, State

__all__ = [
    "AnyEvent",
    "Attached",
    "FleetEvent",
    "Harmless",
    "Observer",
    "Observers",
    "PollEvent",
    "RequestEvent",
    "Snapshots",
    "TransactionEvent",
    "VerificationEvent",
    "log_events",
]

T = TypeVar("T")
R = TypeVar("R")

_logger = logging.getLogger("idura_ciba")

#: RFC 9110 section 15: from here on a status says that there is no such answer.
_REDIRECTION = 300


@frozen
class TransactionEvent:
    """A transaction has changed its state.

    Attributes:
        transaction: Its random name, the same in all its events.
        state: The new state.
        code: The error's code, where the state is a failure.
        polls: Polls so far.
        elapsed: Seconds since the authentication request was sent, or since `start` was called if none was.
        trace_id: The trace id of the provider's latest answer.
        reason: Why, in words, where the state is a failure or a doubt.
        reference: The caller's own, as given to `start`.
        at: When, in seconds since the epoch.
        acr_values: Which eID was asked for, as sent.
        resumed: Whether the transaction begins here for the second time, because it was resumed.
        resumes: The W3C trace context of the login that it resumes, if that one had any.
        noticed_within: Where the person has decided: seconds between the provider's last word that they had not, and
            the end. They waited no longer than that.
    """

    transaction: str
    state: State
    code: str | None
    polls: int
    elapsed: float
    trace_id: str | None
    reason: str | None = None
    reference: str | None = None
    at: float = 0.0
    acr_values: str = ""
    resumed: bool = False
    resumes: str | None = None
    noticed_within: float | None = None


@frozen
class PollEvent:
    """A poll has ended.

    Attributes:
        transaction: As in `TransactionEvent`.
        result: A value of `protocol.machine.Event`.
        elapsed: Seconds from having a connection to the end of the answer.
        trace_id: The provider's trace id of this answer.
        status: The HTTP status of an error or of an answer that cannot be used; None where there was none.
        reason: Why the poll brought nothing, in words; None where it brought an answer.
        reference: The caller's own, as given to `start`.
        at: When, in seconds since the epoch.
    """

    transaction: str
    result: str
    elapsed: float
    trace_id: str | None
    status: int | None = None
    reason: str | None = None
    reference: str | None = None
    at: float = 0.0

    @classmethod
    def of(
        cls,
        transaction: str,
        event: Event,
        answer: TokenAnswer,
        *,
        elapsed: float,
        trace_id: str | None,
        reference: str | None = None,
        at: float = 0.0,
    ) -> Self:
        """Make one of an answer and what it means; the other arguments are the attributes."""
        return cls(transaction, event.value, elapsed, trace_id, _status(answer), why(answer), reference, at)


@frozen
class RequestEvent:
    """A request other than a poll has ended.

    Attributes:
        transaction: Whose authentication request it was; None for a document, which is for everybody.
        endpoint: As the discovery document spells it, or `openid-configuration` for that document itself.
        result: A value of `protocol.machine.Event`; for a document `answered`, `refused`, `not connected` or
            `answer lost`.
        elapsed: Seconds that the request took.
        waited: Seconds before that, since `start` was called: for a place, for discovery, for a connection.
        trace_id: The provider's trace id of this answer.
        status: As in `PollEvent`.
        reason: As in `PollEvent`.
        reference: The caller's own, as given to `start`.
        at: When, in seconds since the epoch.
        acr_values: As in `TransactionEvent`.
        cause: The transaction that was the first to need the document, if any was.
    """

    transaction: str | None
    endpoint: str
    result: str
    elapsed: float
    waited: float = 0.0
    trace_id: str | None = None
    status: int | None = None
    reason: str | None = None
    reference: str | None = None
    at: float = 0.0
    acr_values: str = ""
    cause: str | None = None

    @classmethod
    def of(cls, transaction: str, event: Event, answer: AuthenticationAnswer, **others: Any) -> Self:
        """Make one of the answer to an authentication request; the other arguments are the attributes."""
        named = {"status": _status(answer), "reason": why(answer), **others}
        return cls(transaction, "backchannel_authentication_endpoint", event.value, **named)

    @classmethod
    def of_document(cls, endpoint: str, came: HttpResponse | TransportError, elapsed: float, **others: Any) -> Self:
        """Make one of what came of asking for a document; the other arguments are the attributes."""
        if isinstance(came, HttpResponse):
            result = "answered" if came.status < _REDIRECTION else "refused"
            return cls(None, endpoint, result, elapsed, trace_id=came.trace_id, status=came.status, **others)
        result = "answer lost" if came.maybe_sent else "not connected"
        return cls(None, endpoint, result, elapsed, status=came.status or None, reason=came.what, **others)


@frozen
class VerificationEvent:
    """The provider's tokens were verified, or could not be.

    Attributes:
        transaction: As in `TransactionEvent`.
        code: The error's code; None if they prove the login.
        elapsed: Seconds that it took, waiting for the provider's keys included.
        reference: The caller's own, as given to `start`.
        at: When, in seconds since the epoch.
    """

    transaction: str
    code: str | None
    elapsed: float
    reference: str | None = None
    at: float = 0.0


@frozen
class FleetEvent:
    """Something has happened among replicas that are one client.

    Attributes:
        kind: What: `joined`, a worker has begun; `declared_dead`, the others have not heard of this worker for a lease,
            and its logins are theirs; `buried`, this worker has declared another one dead; `taken_over`, this worker
            goes on with a login that another one has left; `fenced`, this worker was not confirmed in time and asks no
            more; `ended`, a login was left so that nobody can go on with it.
        worker: The random name of the worker; for `buried`, that of the dead one.
        logins: How many logins it concerns.
        login: The id of the login in the fleet, where it concerns one.
        transaction: The login's random name in this process, where it has one.
        reference: The caller's own, as given to `start`.
        code: The error's code, where a login has ended.
        at: When, in seconds since the epoch.
    """

    kind: str
    worker: str
    logins: int = 0
    login: str | None = None
    transaction: str | None = None
    reference: str | None = None
    code: str | None = None
    at: float = 0.0


AnyEvent = TransactionEvent | PollEvent | RequestEvent | VerificationEvent | FleetEvent
Observer = Callable[[AnyEvent], None]


class Snapshots(Protocol):
    """A client, as far as an observer may look at it."""

    def snapshot(self) -> dict[str, Any]:
        """See `CibaClient.snapshot`."""
        ...


@runtime_checkable
class Attached(Protocol):
    """An observer that also wants to know for whom it works."""

    def attach(self, client: Snapshots) -> None:
        """Called once with each client that tells it events. Do not keep the client alive."""
        ...

    def trace_context(self, transaction: str) -> str | None:
        """The W3C `traceparent` of a pending transaction, if it is traced; called after its first event.

        It goes into the resume token, and comes back as `TransactionEvent.resumes`.
        """
        ...


class Harmless:
    """Calls functions of the user that must not break a login. Only the first failure is logged.

    Args:
        what: What they are, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._complained = False

    def call(self, function: Callable[[T], R], value: T) -> R | None:
        """Call one; None if it fails."""
        try:
            return function(value)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - foreign code
            if not self._complained:
                self._complained = True
                # Not the traceback: its frames are not ours to print.
                _logger.warning("%s failed with %s; further failures are not logged", self._what, type(error).__name__)
        return None


class Observers:
    """Calls every observer, whatever each of them raises."""

    def __init__(self, observers: Iterable[Observer] = (), clock: Clock | None = None) -> None:
        self.clock: Clock = clock or Clock()
        self._observers = tuple(observers)
        everybody: tuple[object, ...] = self._observers
        self._attached = tuple(each for each in everybody if isinstance(each, Attached))
        self._harmless = Harmless("an observer")

    def __bool__(self) -> bool:
        """Whether there is any observer; without one no event is made."""
        return bool(self._observers)

    def tell(self, event: AnyEvent) -> None:
        """Pass the event on."""
        for observer in self._observers:
            self._harmless.call(observer, event)

    def document(self, endpoint: str, cause: str | None, came: HttpResponse | TransportError, elapsed: float) -> None:
        """Tell what came of asking for a document; see `RequestEvent`."""
        if self._observers:
            self.tell(RequestEvent.of_document(endpoint, came, elapsed, cause=cause, at=self.clock.wall()))

    def attach(self, client: Snapshots) -> None:
        """Tell those who want to know for whom they work."""
        for observer in self._attached:
            self._harmless.call(observer.attach, client)

    def trace_context(self, transaction: str) -> str | None:
        """The trace context of a transaction, of the first observer that has one."""
        contexts = (self._harmless.call(observer.trace_context, transaction) for observer in self._attached)
        return next(filter(None, contexts), None)


def log_events(event: AnyEvent) -> None:
    """Write events to the logger `idura_ciba`: states and replicas at INFO, everything else at DEBUG.

    That this worker was declared dead is a WARNING.

    Each record also has the event's attributes, with `ciba_` before their names, for handlers that write JSON.
    """
    level = logging.INFO if isinstance(event, TransactionEvent | FleetEvent) else logging.DEBUG
    level = logging.WARNING if isinstance(event, FleetEvent) and event.kind == "declared_dead" else level
    if not _logger.isEnabledFor(level):
        return
    extra = {f"ciba_{field.name}": getattr(event, field.name) for field in fields(type(event))}
    text, values = _in_words(event)
    _logger.log(level, text, *values, extra=extra)


def _in_words(event: AnyEvent) -> tuple[str, tuple[object, ...]]:
    """A text with gaps, by which log readers group, and what stands in them."""
    name = f"{event.transaction}" if event.reference is None else f"{event.transaction} ({event.reference})"
    reason = getattr(event, "reason", None)
    because = "" if reason is None else f": {reason}"
    values: tuple[object, ...]
    match event:
        case TransactionEvent():
            values = (name, event.state.value, event.elapsed, event.polls, event.code, event.trace_id, because)
            return "transaction %s is %s after %.1f s and %d polls (code %s, trace %s)%s", values
        case PollEvent():
            values = (name, event.result, event.elapsed, event.trace_id, because)
            return "transaction %s: poll %s in %.3f s (trace %s)%s", values
        case RequestEvent():
            values = (event.endpoint, event.result, event.elapsed, event.trace_id, because)
            text = "%s %s in %.3f s (trace %s)%s"
            return (text, values) if event.transaction is None else (f"transaction %s: {text}", (name, *values))
        case FleetEvent(login=None):
            values = (event.worker, event.kind.replace("_", " "), event.logins)
            return (
                ("worker %s of the fleet: %s, with %d logins", values)
                if event.logins
                else ("worker %s of the fleet: %s", values[:2])
            )
        case FleetEvent():
            name = f"{event.login}" if event.reference is None else f"{event.login} ({event.reference})"
            values = (name, event.kind.replace("_", " "), event.worker, event.code)
            return "login %s of the fleet: %s by worker %s (code %s)", values
        case VerificationEvent():
            result = "verified" if event.code is None else f"not verified ({event.code})"
            return "transaction %s: tokens %s in %.3f s", (name, result, event.elapsed)


def _status(answer: AuthenticationAnswer | TokenAnswer) -> int | None:
    return getattr(answer, "status", 0) or None
