"""A transport to a simulated provider in the same process: no sockets, and the event loop's clock, real or virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol, TypeVar

from idura_ciba.aio.clock import Clock
from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.simulator.messages import SimRequest
from idura_ciba.simulator.people import dice
from idura_ciba.simulator.provider import SimulatedIdura

__all__ = ["Latency", "MemoryTransport"]

#: Draws the seconds that one request takes to the provider, and those that its answer takes back.
Latency = Callable[[Random], tuple[float, float]]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Request(Protocol[R_co]):
    """What a client passes to its transport. It builds its own answer, so nothing of the client is imported here."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def max_body(self) -> int: ...
    @property
    def timeout(self) -> float: ...
    @property
    def not_after(self) -> float | None: ...

    def answered(
        self, status: int, headers: Mapping[str, str], body: bytes, *, sent_at: float, received_at: float
    ) -> R_co:
        """Return the answer as the client's own type."""
        ...


class MemoryTransport:
    """A `Transport` in memory, whose network is a pause.

    Args:
        idura: The provider; requests to any other origin get no connection.
        latency: Seconds each way, or a function that draws them.
        seed: Seeds the random numbers for `latency`.
        clock: The provider's wall clock, and the source of `sent_at` and `received_at`.
    """

    def __init__(
        self,
        idura: SimulatedIdura,
        *,
        latency: float | Latency = 0.0,
        seed: int = 0,
        clock: Clock = Clock(),  # noqa: B008 - frozen
    ) -> None:
        self._idura = idura
        self._latency: Latency = latency if callable(latency) else lambda _: (latency, latency)
        self._dice = dice(seed, "latency")
        self._clock = clock

    async def aclose(self) -> None:
        """Nothing to release."""

    async def send(self, request: Request[R]) -> R:
        """Send one request, as the client's `Transport` specifies.

        Raises:
            TransportTimeout: The answer takes longer than the request's timeout.
            TransportError: No such provider, an answer above the size limit, or a fault.
        """
        path = request.url.removeprefix(self._idura.issuer)
        if path == request.url or not path.startswith("/"):
            await asyncio.sleep(0)
            raise self._broken("nothing listens at this address, nothing was sent", None)
        up, down = self._latency(self._dice)
        sent_at = self._clock.monotonic()
        if request.not_after is not None and sent_at >= request.not_after:
            raise self._marked(TransportError("it was too late to send it", code="too_late"), None)
        with self._idura.exchange(SimRequest(request.method, path, request.headers, request.body)) as exchange:
            # A request that travels longer than its timeout still arrives; here, at the timeout.
            await asyncio.sleep(min(up, request.timeout))
            reply = exchange.process(self._clock.wall())
            fault = exchange.fault
            if fault.refused:
                raise self._broken("the connection was refused, nothing was sent", None)
            size = 0 if reply is None else len(reply.body[: fault.cut])
            left, rest = request.timeout - up, fault.hold + fault.drip * size + down
            if rest > left:
                await asyncio.sleep(left)
                raise self._marked(TransportTimeout("no complete answer arrived in time"), sent_at)
            if rest > 0:
                await asyncio.sleep(rest)
            if reply is None or size < len(reply.body):
                raise self._broken("the connection broke", sent_at)
            headers = {name.lower(): value for name, value in reply.headers.items()}
            if len(reply.body) > request.max_body:
                error = TransportError(f"the answer is longer than {request.max_body} bytes", code="oversized")
                error.status = reply.status
                raise self._marked(error, sent_at)
            exchange.delivered()
            return request.answered(
                reply.status, headers, reply.body, sent_at=sent_at, received_at=self._clock.monotonic()
            )

    def _broken(self, what: str, sent_at: float | None) -> TransportError:
        return self._marked(TransportError(what, code="connection"), sent_at)

    def _marked(self, error: TransportError, sent_at: float | None) -> TransportError:
        """Set on an error when its request got a connection, as a real transport does."""
        error.sent_at = sent_at
        error.maybe_sent = sent_at is not None
        error.ended_at = self._clock.monotonic()
        return error
