"""One request and its answer, in flight between client and provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from idura_ciba.simulator.faults import Endpoint, Fault
from idura_ciba.simulator.messages import Refusal, SimReply, SimRequest, read_form
from idura_ciba.simulator.orders import Order, Verdict

__all__ = ["Exchange"]

_NO_FAULT = Fault()

_PATHS: dict[str, tuple[Endpoint, str]] = {
    "/.well-known/openid-configuration": ("discovery", "GET"),
    "/.well-known/jwks": ("jwks", "GET"),
    "/ciba/bc-authorize": ("bc-authorize", "POST"),
    "/oauth2/token": ("token", "POST"),
    "/oauth2/userinfo": ("userinfo", "GET"),
}


class Exchange:
    """One request, from when it leaves the client until its answer has arrived or is lost.

    A context manager: while it is open, its poll counts as in flight.

    Args:
        request: The request.
        orders: The provider's orders by `auth_req_id`.
        process: Makes the provider's answer.

    Attributes:
        request: The request.
        endpoint: Where it goes.
        method: The HTTP method that this endpoint takes.
        form: The parameters of a `POST`.
        refusal: Why the form is invalid, or None.
        order: The order that a poll asks for, or None.
        verdict: The provider's decision on a poll, or None.
        confirmation: The keys that the client has proved, as `cnf` of its tokens names them.
        fault: What the transport or server must do to the exchange; by default nothing.
        intact: Whether the answer is the provider's own.
    """

    __slots__ = (
        "_process", "confirmation", "endpoint", "fault", "form", "intact", "method", "order", "refusal", "request",
        "verdict",
    )  # fmt: skip

    def __init__(
        self,
        request: SimRequest,
        orders: Mapping[str, Order],
        process: Callable[[Exchange, float], SimReply | None],
    ) -> None:
        self._process = process
        self.request: SimRequest = request
        endpoint, method = _PATHS.get(request.path.partition("?")[0], ("other", ""))
        self.endpoint: Endpoint = endpoint
        self.method: str = method
        self.form: Mapping[str, str] = {}
        self.refusal: Refusal | None = None
        self.order: Order | None = None
        self.verdict: Verdict | None = None
        self.confirmation: dict[str, str] = {}
        self.fault: Fault = _NO_FAULT
        self.intact: bool = True
        if method == request.method == "POST":
            try:
                self.form = read_form(request)
            except Refusal as refusal:
                self.refusal = refusal
        if endpoint == "token":
            self.order = orders.get(self.form.get("auth_req_id", ""))

    def __enter__(self) -> Self:
        """Note that the request leaves."""
        if self.order is not None:
            self.order.in_flight += 1
            if self.order.in_flight > 1:
                self.order.record.overlapping += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Note that the answer has arrived, or that nobody waits for it any more."""
        if self.order is not None:
            self.order.in_flight -= 1

    def process(self, now: float) -> SimReply | None:
        """Hand the request to the provider; call it once.

        Args:
            now: Wall-clock seconds at the request's arrival.

        Returns:
            The answer, to be treated as `fault` says; None if the connection breaks before it.
        """
        return self._process(self, now)

    def delivered(self) -> None:
        """Note that the client got the whole answer."""
        if self.order is None or not self.intact or self.verdict in {None, "pending", "slow_down"}:
            return
        self.order.record.told = True
        if self.verdict != "spent":
            self.order.record.delivered += 1
