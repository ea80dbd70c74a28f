"""What all transactions of one client share."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from attrs import field, frozen

from idura_ciba import explain
from idura_ciba.aio.clock import Clock, SharedFloat
from idura_ciba.errors import UsageError
from idura_ciba.http.backchannel import Answered, Backchannel
from idura_ciba.observe import Harmless, Observers, PollEvent
from idura_ciba.ping.desk import PingDesk
from idura_ciba.polling.strategy import Indexed, Record, Strategy, learns_decisions, next_poll
from idura_ciba.protocol.answers import TokenAnswer
from idura_ciba.protocol.machine import Event
from idura_ciba.protocol.timing import Timing
from idura_ciba.redaction import Redacted
from idura_ciba.scheduling.scheduler import ClientQueue
from idura_ciba.transaction.caller import Callers
from idura_ciba.transaction.ending import DECISIONS, EXPIRIES
from idura_ciba.transaction.history import History
from idura_ciba.transaction.resume import Sealer
from idura_ciba.trust.id_token import IdTokenVerifier

__all__ = ["OVERSLEPT", "Context"]

#: Seconds of suspension that count; the two clocks that show it are not read at one instant.
OVERSLEPT = 1.0


@frozen
class Context:
    """One for each client, so that each of many pending transactions has one reference instead of twelve."""

    backchannel: Backchannel
    verifier: IdTokenVerifier
    queue: ClientQueue
    strategy: Strategy
    sealer: Sealer
    observers: Observers
    clock: Clock
    rng: Random = field(repr=False)
    grace_poll: bool
    #: Where pings arrive, if the provider is to send any.
    pings: PingDesk | None
    #: Called once with the `auth_req_id` of each transaction that has ended.
    ended: Callable[[Redacted], None]
    #: Whether the caller is in the client's event loop, where alone a transaction may be changed.
    is_at_home: Callable[[], bool]
    #: Raises `StateError` once the client is closed.
    check_open: Callable[[], None]
    #: What may not be cut off when the client closes: requests in flight whose answer comes once.
    tasks: set[asyncio.Task[Any]] = field(init=False, factory=set, repr=False)
    callers: Callers = field(init=False, factory=Callers)
    wall_offset: SharedFloat = field(init=False, factory=lambda: SharedFloat(0.001))
    suspended: SharedFloat = field(init=False, factory=lambda: SharedFloat(OVERSLEPT / 10))
    #: The strategy, if it can say what a poll is worth.
    priced: Indexed | None = field(init=False)
    #: Called with the record of each transaction that has ended, if the strategy learns; never raises.
    _learn: Callable[[Record], None] | None = field(init=False)
    #: Whether it learns how long people take.
    _learns_decisions: bool = field(init=False)
    #: The key that transactions' random names are derived with.
    names: bytes = field(init=False, repr=False)

    def check_home(self) -> None:
        """Make sure that the caller is in the client's event loop.

        Raises:
            StateError: It is in another one, or in another thread. Nothing has been changed.
        """
        if not self.is_at_home():
            raise explain.other_loop("transaction")

    def forget(self, task: asyncio.Task[Any]) -> None:
        """One of `tasks` has ended. Whoever waited for it may be gone; asyncio would complain of a lost exception."""
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def next_poll(self, history: History, timing: Timing) -> float | None:
        """The monotonic instant of a login's next poll, None for no more: the strategy's, unless a ping calls for one.

        Raises:
            CibaError: The strategy has failed, or wants what no instant is.
        """
        # The property costs a call for each poll, and few clients are pinged.
        if history.pinged_at is not None and history.is_called:
            return timing.not_before
        try:
            return next_poll(self.strategy, history.view(timing, now=self.clock.monotonic(), rng=self.rng))
        except UsageError:
            raise
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a strategy is foreign code
            raise explain.strategy_failed(error) from None

    def poll_due(self, history: History, timing: Timing, price: float) -> float | None:
        """From when on a poll is worth `price`; None if the strategy does not know what polls are worth."""
        if self.priced is None or history.is_called:
            return None
        return self.priced.due(history.view(timing, now=self.clock.monotonic(), rng=self.rng), price)

    def learn_from(self, history: History, timing: Timing, event: Event, *, certain: bool) -> None:
        """Let the strategy learn, if it does, from a login that has ended with this event.

        `certain` unless the provider may have spoken of an answer that was lost, or began to count by another clock.
        """
        if self._learn is None:
            return
        decided = event in DECISIONS
        said_at = self.clock.monotonic() if certain and event in EXPIRIES else None
        self._learn(history.record(timing, decided=decided, expired_at=said_at))
        self.queue.note(learned=decided and self._learns_decisions)

    def tell_poll(self, name: str, event: Event, answered: Answered[TokenAnswer], *, reference: str | None) -> None:
        """Tell the observers of a poll of the transaction of this name."""
        elapsed, trace_id, wall = answered.received_at - answered.sent_at, answered.trace_id, self.clock.wall()
        self.observers.tell(
            PollEvent.of(name, event, answered.answer, elapsed=elapsed, trace_id=trace_id, reference=reference, at=wall)
        )

    def name_of(self, what: str) -> str:
        """A name for logs that says nothing of what it names, the same each time."""
        return hashlib.blake2b(what.encode(), key=self.names, digest_size=8).hexdigest()

    @priced.default
    def _priced(self) -> Indexed | None:
        return self.strategy if isinstance(self.strategy, Indexed) else None

    @_learn.default
    def _find_learn(self) -> Callable[[Record], None] | None:
        # A wrapper has None here if the strategy inside does not learn.
        finished: Callable[[Record], None] | None = getattr(self.strategy, "finished", None)
        return None if finished is None else partial(Harmless("a strategy that learns").call, finished)

    @_learns_decisions.default
    def _find_learns_decisions(self) -> bool:
        return learns_decisions(self.strategy)

    @names.default
    def _names(self) -> bytes:
        return self.rng.randbytes(16)
