"""The client's notification endpoint: reads pings, and answers them (CIBA Core section 10.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from idura_ciba.errors import ArgumentError
from idura_ciba.ping.desk import OnUnknown, Ping, PingCounts, PingDesk
from idura_ciba.protocol.strict_json import load_object
from idura_ciba.redaction import Redacted

__all__ = ["ANSWERS", "MAX_BODY", "PingReceiver", "attached"]

#: Bytes of a body: an `auth_req_id` and its braces, with much room. What is longer is not read to its end.
MAX_BODY = 16 * 1024

#: Header fields of the answers, by status. None has a body, and none redirects (CIBA Core section 10.2).
ANSWERS: Mapping[int, Mapping[str, str]] = {
    204: {},
    400: {"Content-Length": "0"},
    401: {"Content-Length": "0", "WWW-Authenticate": "Bearer"},
    405: {"Content-Length": "0", "Allow": "POST"},
    413: {"Content-Length": "0"},
}

_Message = MutableMapping[str, Any]


class PingReceiver:
    """Receives the pings of one client: an ASGI program, to be served at the path that the provider knows.

    Pass it to `CibaClient(pings=...)`, which then sends a token of its own with each request. A ping makes its login
    poll as soon as the interval allows; it is never taken for an answer. With aiohttp.web, use `aiohttp_handler`.

    It answers 204 at once, 401 to a wrong or missing token whatever else the request says, 400 to a body that is no
    ping, 413 to one that is too long, and 405 to another method than POST.

    Args:
        on_unknown: Is offered each ping with a token of this client whose login is not here: a function of a `Ping`,
            which may be a coroutine function. The replica that has the login calls `take` with it. What it raises is
            logged once.

    Example:
        >>> pings = PingReceiver()
        >>> ciba = CibaClient("https://acme.example", auth, pings=pings)
        >>> app.add_route("/ciba/ping", pings)  # Starlette and FastAPI, whose `mount` would redirect
    """

    def __init__(self, *, on_unknown: OnUnknown | None = None) -> None:
        self.desk: PingDesk = PingDesk(on_unknown)  # for the client; it has no use for others

    def __repr__(self) -> str:
        """What has arrived so far."""
        return f"<PingReceiver: {self.counts}>"

    @property
    def counts(self) -> PingCounts:
        """What has arrived so far; `print(receiver.counts)` shows it in one line."""
        return self.desk.counts

    def take(self, ping: Ping) -> bool:
        """Take a ping that another replica was sent; returns whether it made a login poll here.

        It is checked again, and may come in any thread.
        """
        return self.desk.arrived(ping) == "accepted"

    def refusal(self, method: str, authorization: Iterable[str]) -> int | None:
        """The status with which a request is refused without reading its body; None if it is to be read.

        Args:
            method: The HTTP method.
            authorization: The values of all `Authorization` header fields.
        """
        if method != "POST":
            return 405
        if self._token(authorization) is None:
            self.desk.note("forged")
            return 401
        return None

    def receive(self, method: str, authorization: Iterable[str], body: bytes) -> int:
        """Take a request and return the status to answer with; `ANSWERS` has the header fields. For other frameworks.

        Call it in an event loop if `on_unknown` is a coroutine function; otherwise in any thread.

        Args:
            method: The HTTP method.
            authorization: The values of all `Authorization` header fields.
            body: The body; more than `MAX_BODY` bytes need not be read.
        """
        fields = tuple(authorization)
        refused = self.refusal(method, fields)
        if refused is not None:
            return refused
        auth_req_id = None if len(body) > MAX_BODY else _auth_req_id(body)
        if auth_req_id is None:
            self.desk.note("malformed")
            return 413 if len(body) > MAX_BODY else 400
        token = self._token(fields)
        assert token is not None  # noqa: S101 - for type checkers: not refused
        return 401 if self.desk.arrived(Ping(auth_req_id, token)) == "forged" else 204

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Serve one connection of ASGI 3; of what is not HTTP, only the `lifespan` of a server with nothing else."""
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": f"{scope['type']}.close"})
            return
        fields = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
        status = self.refusal(scope["method"], fields)
        if status is None:
            body = b""
            more = True
            while more and len(body) <= MAX_BODY:
                message = await receive()
                if message["type"] != "http.request":
                    return  # the provider has gone
                body += message.get("body", b"")
                more = message.get("more_body", False)
            status = self.receive(scope["method"], fields, body)
        headers = [(name.lower().encode(), value.encode()) for name, value in ANSWERS[status].items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _token(self, authorization: Iterable[str]) -> Redacted | None:
        """This client's token, from the one `Authorization` header field."""
        fields = tuple(authorization)
        scheme, _, token = (fields[0] if len(fields) == 1 else "").partition(" ")
        known = self.desk.is_genuine(token) and scheme.lower() == "bearer"
        return Redacted(token) if known else None


def attached(pings: PingReceiver, key: bytes) -> PingDesk:
    """Have a receiver serve the client with this key; returns where its logins are known.

    Raises:
        UsageError: Not a receiver, or another client's.
    """
    if not isinstance(pings, PingReceiver):
        raise ArgumentError("this is not a PingReceiver", code="pings", advice="pass PingReceiver() or None")
    pings.desk.attach(key)
    return pings.desk


def _auth_req_id(body: bytes) -> Redacted | None:
    """The `auth_req_id` of a ping; other members are ignored (CIBA Core section 10.2)."""
    try:
        value = load_object(body).get("auth_req_id")
    except ValueError:
        return None
    return Redacted(value) if isinstance(value, str) and value else None
