"""Things that go wrong between the provider and a client, on demand.

A rule is any callable that looks at what arrives and returns a `Fault`, or None to let it pass:

    def second_answer_is_lost(arrival: Arrival) -> Fault | None:
        return Fault.lose_answer() if arrival.endpoint == "token" and arrival.nth == 2 else None

    idura.faults.append(second_answer_is_lost)

Rules are asked in order; the first that answers decides. Both transports of the simulator act alike on a fault.
`idura_ciba.simulator.catalogue` has faults by name, and a rule for the usual cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Self

from attrs import field, frozen

from idura_ciba.simulator.ledger import OrderRecord
from idura_ciba.simulator.messages import SimReply, SimRequest

__all__ = ["Arrival", "Endpoint", "Fault", "FaultRule"]

Endpoint = Literal["discovery", "jwks", "bc-authorize", "token", "other"]


@frozen
class Arrival:
    """One request, as a fault rule sees it before the provider does.

    Attributes:
        endpoint: Where it arrives.
        nth: 1 for the first request to this endpoint.
        request: The request.
        order: For a poll of a known order, its page in the ledger as it stands before this poll.
        person: Whom an order or a poll is about, by the identity number or address of the hint; None elsewhere.
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
    """What happens to one exchange. Made with the class methods, or member by member.

    Attributes:
        reaches_provider: Whether the provider sees the request, and with it burns assertions and spends orders.
        rewrite: Makes another answer out of the provider's; of an empty one where the provider saw nothing.
        hold: Seconds by which the answer is held back.
        dropped: The client gets no answer.
        refused: It never even got a connection. A server that listens cannot do that for one request; it drops it.
        cut: Bytes of the answer's body after which the connection breaks; 0 is right after the headers.
        drip: Seconds before each byte of the body.
        reset: A connection that breaks does so with a reset, not with an orderly end.
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
        """Something in front of the provider answers in its stead."""
        reply = SimReply(status, headers or {}, body)
        return cls(reaches_provider=False, rewrite=lambda _: reply)

    @classmethod
    def change(cls, rewrite: Callable[[SimReply], SimReply]) -> Self:
        """The provider does its work, and its answer is altered on the way."""
        return cls(rewrite=rewrite)

    @classmethod
    def delay(cls, seconds: float) -> Self:
        """The provider does its work, and its answer comes late."""
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
        """The provider does its work, and the connection breaks before its answer leaves."""
        return cls(dropped=True, reset=reset)

    @classmethod
    def cut_answer(cls, after: int, *, reset: bool = False) -> Self:
        """The provider does its work, and the connection breaks after so many bytes of its answer's body."""
        return cls(cut=after, reset=reset)

    @classmethod
    def trickle(cls, seconds: float) -> Self:
        """The provider does its work, and each byte of its answer's body takes so long."""
        return cls(drip=seconds)


#: Looks at what arrives; None lets it pass.
FaultRule = Callable[[Arrival], Fault | None]
