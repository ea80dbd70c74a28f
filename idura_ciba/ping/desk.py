"""Which login a ping is for, and what is counted.

Logins are found by the token, and not by the `auth_req_id`: the answer to a ping never says whether a login of another
token exists.

| the token | the `auth_req_id` | the ping is | what happens |
| --- | --- | --- | --- |
| is not this client's | is not looked at | forged | nothing |
| is of a login here | is another one | forged | nothing |
| is of a login here | is that of the login | accepted, then repeated | the first one makes it poll |
| is of a login that has ended here | is that of the login | late | nothing |
| is of no login here | is not known here | unknown | it is remembered, and offered to a hook |

A ping may overtake the acknowledgement, or arrive after a restart and before its login is resumed. So one that is
unknown is kept, and its login polls as soon as it begins here.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any, Literal

from attrs import asdict, define, evolve, frozen

from idura_ciba.errors import ArgumentError
from idura_ciba.observe import Harmless
from idura_ciba.ping.tokens import NotificationTokens
from idura_ciba.redaction import Redacted

__all__ = ["OnUnknown", "Ping", "PingCounts", "PingDesk", "Verdict"]

#: Pings without a login, and logins that have ended, that are remembered. Only the provider can make one: this bounds
#: memory, and not an attack.
REMEMBERED = 4096

Verdict = Literal["accepted", "repeated", "late", "unknown", "forged", "malformed"]


@frozen
class Ping:
    """One ping of the provider's, whose token is this client's.

    Attributes:
        auth_req_id: Whose login has come to a decision, as the ping says.
        token: The token that it came with.
    """

    auth_req_id: Redacted
    token: Redacted


#: Is offered the pings whose login is not here.
OnUnknown = Callable[[Ping], Awaitable[None] | None]


@frozen(kw_only=True)
class PingCounts:
    """How many pings there were of each kind; each is of one kind, and `early` ones are `unknown` too.

    Attributes:
        accepted: They made their login poll.
        repeated: Their login had been pinged before.
        late: Their login had ended here.
        unknown: This client's token, but no login of it here.
        early: Those of them whose login began, or was resumed, here afterwards.
        forged: Without a token of this client, or with that of another login.
        malformed: With a body that is not that of a ping.
    """

    accepted: int = 0
    repeated: int = 0
    late: int = 0
    unknown: int = 0
    early: int = 0
    forged: int = 0
    malformed: int = 0

    def __str__(self) -> str:
        """The counts in one line."""
        return ", ".join(f"{number} {kind}" for kind, number in asdict(self).items())


@define(eq=False)
class _Awaited:
    auth_req_id: str
    wake: Callable[[], None]
    pinged: bool = False


class PingDesk:
    """The logins of one client that await pings. Pings may arrive in any thread; everything else is for its event loop.

    Args:
        on_unknown: Is offered each ping whose login is not here.
    """

    def __init__(self, on_unknown: OnUnknown | None = None) -> None:
        self._on_unknown = on_unknown
        self._harmless = Harmless("on_unknown")
        self._tasks: set[asyncio.Future[None]] = set()
        self._tokens: NotificationTokens | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        # By nonce.
        self._awaited: dict[bytes, _Awaited] = {}
        self._ended: OrderedDict[bytes, str] = OrderedDict()
        self._unknown: OrderedDict[bytes, str] = OrderedDict()
        self._counts = PingCounts()

    # --- for the client ---------------------------------------------------------------------------------------------

    def attach(self, key: bytes) -> None:
        """Serve a client.

        Raises:
            UsageError: Serves another one already.
        """
        if self._tokens is not None:
            raise ArgumentError(
                "this PingReceiver is another client's",
                code="pings",
                advice="make one for each client, and mount them at paths of their own",
            )
        self._tokens = NotificationTokens(key)

    def issue(self, rng: Random) -> tuple[bytes, Redacted]:
        """Draw the nonce of a new login, and make the token that is sent with its request."""
        assert self._tokens is not None  # noqa: S101 - for type checkers: its client calls this
        nonce = self._tokens.nonce(rng)
        return nonce, self._tokens.token(nonce)

    def expect(self, nonce: bytes, auth_req_id: str, wake: Callable[[], None]) -> None:
        """A login begins or goes on; `wake` is called in this event loop, at once if its ping is here already."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._ended.pop(nonce, None)
            awaited = self._awaited[nonce] = _Awaited(auth_req_id, wake)
            known = self._unknown.pop(nonce, None)
            if known is not None:
                awaited.pinged = _same(known, auth_req_id)
                self._count("early" if awaited.pinged else "forged")
        if awaited.pinged:
            wake()

    def ended(self, nonce: bytes, *, over: bool) -> None:
        """A login has ended here; `over` if nobody can go on with it elsewhere either."""
        with self._lock:
            awaited = self._awaited.pop(nonce, None)
            if awaited is not None and over:
                _remember(self._ended, nonce, awaited.auth_req_id)

    # --- for whoever receives pings ---------------------------------------------------------------------------------

    @property
    def counts(self) -> PingCounts:
        """What has arrived so far."""
        return self._counts

    def note(self, verdict: Literal["forged", "malformed"]) -> None:
        """Count what is no ping."""
        with self._lock:
            self._count(verdict)

    def is_genuine(self, token: str) -> bool:
        """Whether a token is this client's; says nothing of any login."""
        return self._tokens is not None and self._tokens.nonce_of(token) is not None

    def arrived(self, ping: Ping) -> Verdict:
        """Take a ping."""
        nonce = None if self._tokens is None else self._tokens.nonce_of(ping.token)
        wake = None
        with self._lock:
            verdict: Verdict = "forged" if nonce is None else self._judge(nonce, ping.auth_req_id)
            self._count(verdict)
            if nonce is not None and verdict == "accepted":
                wake = self._awaited[nonce].wake
        if wake is not None:
            self._call(wake)
        elif verdict == "unknown" and self._on_unknown is not None:
            self._harmless.call(self._offer, ping)
        return verdict

    def _judge(self, nonce: bytes, auth_req_id: str) -> Verdict:
        awaited = self._awaited.get(nonce)
        if awaited is not None:
            if not _same(awaited.auth_req_id, auth_req_id):
                return "forged"
            before, awaited.pinged = awaited.pinged, True
            return "repeated" if before else "accepted"
        if nonce in self._ended:
            return "late" if _same(self._ended[nonce], auth_req_id) else "forged"
        before = _same(self._unknown.get(nonce, ""), auth_req_id)
        _remember(self._unknown, nonce, auth_req_id)
        return "repeated" if before else "unknown"

    def _call(self, wake: Callable[[], None]) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101 - for type checkers: `expect` has set it
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            if _running_loop() is loop:
                wake()
            else:
                loop.call_soon_threadsafe(wake)

    def _offer(self, ping: Ping) -> None:
        assert self._on_unknown is not None  # noqa: S101 - for type checkers: asked before
        told = self._on_unknown(ping)
        if told is not None:
            task = asyncio.ensure_future(self._wait_for(told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wait_for(self, told: Awaitable[None]) -> None:
        try:
            await told
        except Exception as error:  # noqa: BLE001 - foreign code
            self._harmless.call(_raise, error)

    def _count(self, kind: str) -> None:
        number: int = getattr(self._counts, kind)
        changes: dict[str, Any] = {kind: number + 1}
        self._counts = evolve(self._counts, **changes)


def _same(one: str, other: str) -> bool:
    # An `auth_req_id` is foreign text, and may hold half of a surrogate pair.
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))


def _remember(some: OrderedDict[bytes, str], nonce: bytes, auth_req_id: str) -> None:
    some[nonce] = auth_req_id
    some.move_to_end(nonce)
    if len(some) > REMEMBERED:
        some.popitem(last=False)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _raise(error: Exception) -> None:
    raise error
