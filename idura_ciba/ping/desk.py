"""Which login a ping is for, and what is counted.

Logins are found by the token, and not by the `auth_req_id`: the answer to a ping never says whether a login of another
token exists.

| the token | the `auth_req_id` | the ping is | what happens |
| --- | --- | --- | --- |
| is not this client's | is not looked at | forged | nothing |
| is of a login here | is another one | forged | nothing |
| is of a login here | is that of the login | accepted, then repeated | the first one makes it poll |
| is of a login that has ended here | is that of the login | late | nothing |
| is of no login here | is not known here | unknown | it is remembered, offered to a hook, and passed on |

A ping may overtake the acknowledgement, or arrive after a restart and before its login is resumed. So one that is
unknown is kept, and its login polls as soon as it begins here.

What is kept, and passed on to replicas, is a notice: the nonce, and a mark of the `auth_req_id`. It makes no ping.
It is passed on once for each token, so that nobody can have the others told of more than there are logins.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Literal, TypeVar

from attrs import asdict, define, evolve, frozen

from idura_ciba.errors import ArgumentError
from idura_ciba.observe import Harmless
from idura_ciba.ping.tokens import NONCE, NotificationTokens
from idura_ciba.redaction import Redacted

__all__ = ["OnUnknown", "PassOn", "Ping", "PingCounts", "PingDesk", "Verdict"]

#: Pings without a login, and logins that have ended, that are remembered. Only the provider can make one: this bounds
#: memory, and not an attack.
REMEMBERED = 4096

T = TypeVar("T")

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
#: Is given the notices of pings whose login is not here, in the event loop of the client.
PassOn = Callable[[bytes], None]


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
        self._pass_on: PassOn | None = None
        self._harmless = Harmless("on_unknown")
        self._tasks: set[asyncio.Future[None]] = set()
        self._tokens: NotificationTokens | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        # By nonce.
        self._awaited: dict[bytes, _Awaited] = {}
        self._ended: OrderedDict[bytes, str] = OrderedDict()
        self._unknown: OrderedDict[bytes, bytes] = OrderedDict()  # to marks
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
                awaited.pinged = self._is_of(auth_req_id, nonce, known)
                self._count("early" if awaited.pinged else "forged")
        if awaited.pinged:
            wake()

    def ended(self, nonce: bytes, *, over: bool) -> None:
        """A login has ended here; `over` if nobody can go on with it elsewhere either."""
        with self._lock:
            awaited = self._awaited.pop(nonce, None)
            if awaited is not None and over:
                _remember(self._ended, nonce, awaited.auth_req_id)

    # --- among replicas ---------------------------------------------------------------------------------------------

    def share(self, pass_on: PassOn | None) -> None:
        """Have pings whose login is not here passed on to the other replicas of this client; None: no longer."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._pass_on = pass_on

    def heard(self, notice: bytes) -> bool:
        """Take a notice that another replica has passed on; returns whether it made a login poll here."""
        nonce, mark = notice[:NONCE], notice[NONCE:]
        wake = None
        with self._lock:
            if nonce in self._awaited or nonce in self._ended:
                verdict = self._judge(nonce, mark)
                self._count(verdict)
                if verdict == "accepted":
                    wake = self._awaited[nonce].wake
            else:
                # Its login may come here, when its replica has died. Whoever was sent the ping has counted it.
                _remember(self._unknown, nonce, mark)
        if wake is not None:
            self._call(wake)
        return wake is not None

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
        if self._tokens is None or nonce is None:
            self.note("forged")
            return "forged"
        mark = self._tokens.mark(nonce, ping.auth_req_id)
        act: Callable[[], None] | None = None
        with self._lock:
            is_new = nonce not in self._unknown
            verdict = self._judge(nonce, mark)
            self._count(verdict)
            if verdict == "accepted":
                act = self._awaited[nonce].wake
            elif verdict == "unknown" and is_new and self._pass_on is not None:
                act = partial(self._pass_on, nonce + mark)
        if act is not None:
            self._call(act)
        if verdict == "unknown" and self._on_unknown is not None:
            self._harmless.call(self._offer, ping)
        return verdict

    def _judge(self, nonce: bytes, mark: bytes) -> Verdict:
        awaited = self._awaited.get(nonce)
        if awaited is not None:
            if not self._is_of(awaited.auth_req_id, nonce, mark):
                return "forged"
            before, awaited.pinged = awaited.pinged, True
            return "repeated" if before else "accepted"
        if nonce in self._ended:
            return "late" if self._is_of(self._ended[nonce], nonce, mark) else "forged"
        before = hmac.compare_digest(self._unknown.get(nonce, b""), mark)
        _remember(self._unknown, nonce, mark)
        return "repeated" if before else "unknown"

    def _is_of(self, auth_req_id: str, nonce: bytes, mark: bytes) -> bool:
        assert self._tokens is not None  # noqa: S101 - for type checkers: there is a nonce
        return hmac.compare_digest(self._tokens.mark(nonce, auth_req_id), mark)

    def _call(self, act: Callable[[], None]) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101 - for type checkers: `expect` or `share` has set it
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            if _running_loop() is loop:
                act()
            else:
                loop.call_soon_threadsafe(act)

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


def _remember(some: OrderedDict[bytes, T], nonce: bytes, what: T) -> None:
    some[nonce] = what
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
