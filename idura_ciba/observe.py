"""Events, for logs and metrics.

An observer is a function of one event. It is called on the event loop, after the event, and cannot change anything: if
it raises, that is logged once. Events contain nothing that identifies a person and no credential.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Self, TypeVar

from attrs import fields, frozen

from idura_ciba.protocol.answers import TokenAnswer, why
from idura_ciba.protocol.machine import Event, State

__all__ = ["Harmless", "Observer", "Observers", "PollEvent", "TransactionEvent", "log_events"]

T = TypeVar("T")

_logger = logging.getLogger("idura_ciba")


@frozen
class TransactionEvent:
    """A transaction has changed its state.

    Attributes:
        transaction: Its random name, the same in all its events.
        state: The new state.
        code: The error's code, where the state is a failure.
        polls: Polls so far.
        elapsed: Seconds since the authentication request was sent.
        trace_id: The trace id of the provider's latest answer.
        reason: Why, in words, where the state is a failure or a doubt.
        reference: The caller's own, as given to `start`.
    """

    transaction: str
    state: State
    code: str | None
    polls: int
    elapsed: float
    trace_id: str | None
    reason: str | None = None
    reference: str | None = None


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
    """

    transaction: str
    result: str
    elapsed: float
    trace_id: str | None
    status: int | None = None
    reason: str | None = None
    reference: str | None = None

    @classmethod
    def of(
        cls,
        transaction: str,
        event: Event,
        answer: TokenAnswer,
        elapsed: float,
        trace_id: str | None,
        *,
        reference: str | None = None,
    ) -> Self:
        """Make one of an answer and what it means; the other arguments are the attributes."""
        status = getattr(answer, "status", 0) or None
        return cls(transaction, event.value, elapsed, trace_id, status, why(answer), reference)


Observer = Callable[[TransactionEvent | PollEvent], None]


class Harmless:
    """Calls functions of the user that must not break a login. Only the first failure is logged.

    Args:
        what: What they are, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._complained = False

    def call(self, function: Callable[[T], object], value: T) -> None:
        """Call one."""
        try:
            function(value)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - foreign code
            if not self._complained:
                self._complained = True
                # Not the traceback: its frames are not ours to print.
                _logger.warning("%s failed with %s; further failures are not logged", self._what, type(error).__name__)


class Observers:
    """Calls every observer, whatever each of them raises."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._harmless = Harmless("an observer")

    def __bool__(self) -> bool:
        """Whether there is any observer; without one no event is made."""
        return bool(self._observers)

    def tell(self, event: TransactionEvent | PollEvent) -> None:
        """Pass the event on."""
        for observer in self._observers:
            self._harmless.call(observer, event)


def log_events(event: TransactionEvent | PollEvent) -> None:
    """Write events to the logger `idura_ciba`: states at INFO, polls at DEBUG.

    Each record also has the event's attributes, with `ciba_` before their names, for handlers that write JSON.
    """
    level = logging.INFO if isinstance(event, TransactionEvent) else logging.DEBUG
    if not _logger.isEnabledFor(level):
        return
    name = event.transaction if event.reference is None else f"{event.transaction} ({event.reference})"
    because = "" if event.reason is None else f": {event.reason}"
    extra = {f"ciba_{field.name}": getattr(event, field.name) for field in fields(type(event))}
    if isinstance(event, TransactionEvent):
        _logger.info(
            "transaction %s is %s after %.1f s and %d polls (code %s, trace %s)%s",
            name, event.state.value, event.elapsed, event.polls, event.code, event.trace_id, because,
            extra=extra,
        )  # fmt: skip
    else:
        _logger.debug(
            "transaction %s: poll %s in %.3f s (trace %s)%s",
            name, event.result, event.elapsed, event.trace_id, because,
            extra=extra,
        )  # fmt: skip
