"""Faults on demand, between the provider and a client.

A rule is any callable that takes an `Arrival` and returns a `Fault`, or None to let the request pass:

    def second_answer_is_lost(arrival: Arrival) -> Fault | None:
        return Fault.lose_answer() if arrival.endpoint == "token" and arrival.nth == 2 else None

    idura.faults.append(second_answer_is_lost)

Rules are tried in order; the first to return a fault decides. `MemoryTransport` and `SimulatorServer` apply faults
alike. `idura_ciba.simulator.catalogue` has faults by name, and a rule for the usual cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Self

from attrs import field, frozen

from idura_ciba.simulator.ledger import OrderRecord
from idura_ciba.simulator.messages import SimReply, SimRequest

__all__ = ["Arrival", "Endpoint", "Fault", "FaultRule"]

Endpoint = Literal["discovery", "jwks", "bc-authorize", "token", "userinfo", "other"]


@frozen
class Arrival:
    """One request, as a fault rule sees it before the provider does.

    Attributes:
        endpoint: Where it arrives.
        nth: 1 for the first request to this endpoint.
        request: The request.
        order: For a poll of a known order, its record in the ledger before this poll.
        person: The person of an order or a poll, by the hint's identity number, e-mail address or phone number;
            otherwise None.
        now: The provider's wall clock.
    """

    endpoint: Endpoint
    nth: int
    request: SimRequest
    order: OrderRecord | None
    now: float
    person: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Fault:
    """What happens to one exchange. Made with the class methods, or attribute by attribute.

    Attributes:
        reaches_provider: Whether the provider sees the request, and so uses up its assertion and its order.
        rewrite: Changes the provider's answer; gets an empty one if the provider saw nothing.
        hold: Seconds by which the answer is delayed.
        dropped: The client gets no answer.
        refused: The client does not even get a connection. A listening server cannot do that for one request, so it
            drops the request instead.
        cut: Bytes of the answer's body after which the connection breaks; 0: right after the headers.
        drip: Seconds before each byte of the body.
        reset: Whether a broken connection ends with a reset instead of an orderly close.
    """

    reaches_provider: bool = True
    rewrite: Callable[[SimReply], SimReply] | None = field(default=None, repr=False)
    hold: float = 0.0
    dropped: bool = False
    refused: bool = False
    cut: int | None = None
    drip: float = 0.0
    reset: bool = False

    @classmethod
    def answer(cls, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Self:
        """A gateway answers instead of the provider."""
        reply = SimReply(status, headers or {}, body)
        return cls(reaches_provider=False, rewrite=lambda _: reply)

    @classmethod
    def change(cls, rewrite: Callable[[SimReply], SimReply]) -> Self:
        """The provider handles the request, and its answer is changed on the way."""
        return cls(rewrite=rewrite)

    @classmethod
    def delay(cls, seconds: float) -> Self:
        """The provider handles the request, and its answer comes late."""
        return cls(hold=seconds)

    @classmethod
    def refuse_connection(cls) -> Self:
        """No connection is made; nothing is sent."""
        return cls(reaches_provider=False, dropped=True, refused=True)

    @classmethod
    def lose_request(cls, *, reset: bool = False) -> Self:
        """The connection breaks before the provider has read the request."""
        return cls(reaches_provider=False, dropped=True, reset=reset)

    @classmethod
    def lose_answer(cls, *, reset: bool = False) -> Self:
        """The provider handles the request, and the connection breaks before its answer leaves."""
        return cls(dropped=True, reset=reset)

    @classmethod
    def cut_answer(cls, after: int, *, reset: bool = False) -> Self:
        """The provider handles the request, and the connection breaks after `after` bytes of the answer's body."""
        return cls(cut=after, reset=reset)

    @classmethod
    def trickle(cls, seconds: float) -> Self:
        """The provider handles the request, and each byte of the answer's body takes `seconds`."""
        return cls(drip=seconds)


#: Returns the fault of an arriving request, or None to let it pass.
FaultRule = Callable[[Arrival], Fault | None]
