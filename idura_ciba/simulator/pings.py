"""The pings of the simulated provider (CIBA Core section 10.2), and what can become of them on the way.

A client that is registered with a notification endpoint must send a `client_notification_token` with each request. Once
the person has decided, either way, its endpoint gets a ping. A rule says what really leaves:

    idura.ping_rule = doubled

`PingSender` sends them when they are due; without one, every ping is lost.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self

from attrs import evolve, field, frozen

from idura_ciba.simulator.ledger import OrderRecord
from idura_ciba.simulator.messages import JSON, Refusal, json_bytes

__all__ = ["PingRule", "PingSender", "Pings", "SimPing", "doubled", "early", "forged", "late", "lost", "post_to"]

#: CIBA Core section 7.1: at most 1024 characters; RFC 6750 section 2.1 has the syntax.
_TOKEN = re.compile(r"(?=.{1,1024}\Z)[A-Za-z0-9._~+/-]+=*")


@frozen
class SimPing:
    """One ping that leaves.

    Attributes:
        url: The client's notification endpoint.
        token: The bearer token.
        auth_req_id: Whose login has come to a decision.
        at: Wall-clock instant at which it leaves.
    """

    url: str
    token: str = field(repr=False)
    auth_req_id: str = field(repr=False)
    at: float

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields of the POST."""
        return {"Content-Type": JSON, "Authorization": f"Bearer {self.token}"}

    @property
    def body(self) -> bytes:
        """The body of the POST."""
        return json_bytes({"auth_req_id": self.auth_req_id})


#: Says what leaves instead of a ping.
PingRule = Callable[[SimPing], Iterable[SimPing]]

#: Delivers a ping and returns the HTTP status of the answer.
Post = Callable[[SimPing], Awaitable[int]]


def lost(_: SimPing) -> Iterable[SimPing]:
    """Nothing leaves."""
    return ()


def doubled(ping: SimPing) -> Iterable[SimPing]:
    """It leaves twice."""
    return (ping, ping)


def forged(ping: SimPing) -> Iterable[SimPing]:
    """Somebody who knows the `auth_req_id` and not the token sends one, and the true one is lost."""
    return (evolve(ping, token="x" * len(ping.token)),)


def early(seconds: float) -> PingRule:
    """It leaves so long before the person has decided."""
    return lambda ping: (evolve(ping, at=ping.at - seconds),)


def late(seconds: float) -> PingRule:
    """It leaves so long after the person has decided."""
    return lambda ping: (evolve(ping, at=ping.at + seconds),)


class Pings:
    """Who wants pings, and who hears of them."""

    def __init__(self) -> None:
        self._endpoints: dict[str, str] = {}
        self._listener: Callable[[SimPing], None] = lambda _: None

    def register(self, client_id: str, endpoint: str | None) -> None:
        """Note a client's notification endpoint; None: it wants no pings."""
        self._endpoints.pop(client_id, None)
        if endpoint is not None:
            self._endpoints[client_id] = endpoint

    def listen(self, listener: Callable[[SimPing], None]) -> None:
        """See `SimulatedIdura.listen_for_pings`."""
        self._listener = listener

    def token_of(self, client_id: str, form: Mapping[str, str]) -> str | None:
        """The token that a request of a client with pings must have; None for other clients.

        Raises:
            Refusal: `invalid_request`.
        """
        if client_id not in self._endpoints:
            return None
        token = form.get("client_notification_token", "")
        if not _TOKEN.fullmatch(token):
            raise Refusal("invalid_request", "client_notification_token is missing or cannot be one")
        return token

    def plan(self, token: str, record: OrderRecord, rule: PingRule | None) -> None:
        """Tell the listener of what leaves when the person has decided, if they ever do."""
        if record.decided_at is not None:
            ping = SimPing(self._endpoints[record.client_id], token, record.auth_req_id, record.decided_at)
            for leaving in (ping,) if rule is None else rule(ping):
                self._listener(leaving)


class PingSender:
    """Sends the pings of a simulated provider at their instants, as an async context manager.

    Args:
        listen: Is given the function that takes each ping as soon as it is planned: `idura.listen_for_pings`.
        post: Delivers a ping; what it raises counts as status 0, and nothing is sent again.
        wall: The provider's clock.

    Attributes:
        statuses: The status of each answer, in order.
    """

    def __init__(
        self, listen: Callable[[Callable[[SimPing], None]], None], post: Post, *, wall: Callable[[], float] = time.time
    ) -> None:
        self.statuses: list[int] = []
        self._listen, self._post, self._wall = listen, post, wall
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to send."""
        self._listen(self._plan)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop what has not left yet."""
        self._listen(lambda _: None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _plan(self, ping: SimPing) -> None:
        task = asyncio.get_running_loop().create_task(self._send(ping))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, ping: SimPing) -> None:
        await asyncio.sleep(max(0.0, ping.at - self._wall()))
        try:
            status = await self._post(ping)
        except OSError:
            status = 0
        self.statuses.append(status)


def post_to(app: Callable[..., Awaitable[None]]) -> Post:
    """Deliver pings to an ASGI program in this process."""

    async def post(ping: SimPing) -> int:
        statuses: list[int] = []
        headers = [(name.lower().encode(), value.encode()) for name, value in ping.headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": ping.body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await app(scope, receive, send)
        return statuses[0]

    return post
