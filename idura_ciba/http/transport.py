"""HTTP as this client wants it, over aiohttp: the rules, and the choice between two ways of keeping them.

Rules:
1. One request, one answer. No redirect is followed: a 307 would carry the form, and with it credentials and a national
   id, to another host. Nothing of ours is kept as a cookie or read from the environment unless asked for.
2. An answer is complete and bounded, or it is an error. It is left compressed: aiohttp inflates a bomb before anyone
   can count. `delivery.py` inflates under the same bound.
3. What an error says was put together here. aiohttp's own errors hold headers, and with them `Authorization`.
4. `maybe_sent` is False only where nothing that a provider could act on has left.
5. Nothing is sent twice. Who may ask again, and when, stands in `delivery.py`.
6. No answer of another request: a connection on which something arrived while nobody waited for it is not used again.

A session that somebody lends is used through its documented interface (`session.py`, which says what holds rule 6
there). Without one, requests are written onto the connections of a pool of our own (`pool.py`), at three fifths of the
cost. That needs parts of aiohttp that are not documented: where they are not as expected, one warning is logged, and
requests take the documented way from then on.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import ClassVar, Self

import aiohttp

from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import TransportError, TransportTimeout, UsageError
from idura_ciba.http.exchange import Carrier, Exchange, UnexpectedAiohttp
from idura_ciba.http.proxies import Proxies
from idura_ciba.http.resolver import OwnResolver
from idura_ciba.http.session import Session
from idura_ciba.protocol.http import HttpRequest, HttpResponse

__all__ = ["AiohttpTransport"]

#: Seconds for name look-up, TCP and TLS together.
CONNECT_TIMEOUT = 10.0
#: Seconds an idle connection is kept. Below 5, the shortest default among common servers (Node.js): a connection that
#: the server closes just as a poll leaves would cost the answer of that poll.
KEEP_ALIVE = 4.0

_logger = logging.getLogger("idura_ciba")


class AiohttpTransport:
    """Sends over aiohttp.

    Args:
        session: Carries the requests, through its documented interface: what was put on it works (headers, cookies,
            proxies, tracing, middlewares, a connector of one's own), and it is never closed. None: a pool of our own.
        trust_env: Read proxies from the environment, and their credentials also from netrc. A session that is lent
            was told itself.
        connect_timeout: Seconds for name look-up, TCP and TLS together.
        keep_alive: Seconds an idle connection of our own pool is kept; keep it below the server's own.

    Raises:
        UsageError: Both a session and `trust_env`.
    """

    #: Whether this process's aiohttp is as `pool.py` expects it; None before the first look.
    _as_expected: ClassVar[bool | None] = None

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        trust_env: bool = False,
        connect_timeout: float = CONNECT_TIMEOUT,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        if session is not None and trust_env:
            raise UsageError(
                "a session that is lent decides itself whether it trusts the environment",
                advice="pass trust_env=True to aiohttp.ClientSession instead",
            )
        self._lent = session
        self._trust_env = trust_env
        self._connect_timeout = connect_timeout
        self._keep_alive = keep_alive
        self._carrier: Carrier | None = None
        self._replaced: list[Carrier] = []

    async def __aenter__(self) -> Self:
        """Nothing to prepare; connections are made with the first request."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections of our own. A later request opens new ones."""
        carriers = [*self._replaced, *([self._carrier] if self._carrier else [])]
        self._replaced, self._carrier = [], None
        for carrier in carriers:
            await carrier.aclose()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send once; see `idura_ciba.protocol.http.Transport`.

        Raises:
            TransportTimeout: No connection, or no complete answer in time.
            TransportError: Everything else, with a `code` that says what.
        """
        loop = asyncio.get_running_loop()
        failure: TransportError
        exchange = Exchange(request, self._connect_timeout, loop.time())
        try:
            async with exchange.limit():
                return await self._carry(exchange)
        except TimeoutError:
            failure = TransportTimeout("no complete answer arrived in time")
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            # aiohttp stops a look-up that others share, when the owner of a session that was lent closes it.
            failure = TransportError("the connection was given up by its owner", code="connection")
        except TransportError as error:
            # Without the frames below: they hold the body.
            failure = error.with_traceback(None)
        except aiohttp.ClientSSLError:
            failure = TransportError("the server's certificate or TLS was not acceptable", code="tls")
        except Exception as error:  # noqa: BLE001 - of aiohttp, of the network, or of what somebody put on a session
            # Only the kind is told, see rule 3.
            failure = TransportError(f"the connection failed ({type(error).__name__})", code="connection")
        finally:
            exchange.over = True
        failure.sent_at = exchange.sent_at
        failure.maybe_sent = failure.sent_at is not None
        failure.ended_at = loop.time()
        if not failure.maybe_sent:
            failure.what += ", nothing was sent"
        raise failure

    async def _carry(self, exchange: Exchange) -> HttpResponse:
        carrier = self._carrier
        if carrier is None:
            carrier = self._carrier = self._open()
        try:
            return await carrier.carry(exchange)
        except UnexpectedAiohttp as error:
            self._expect_no_more(error)
            if self._carrier is carrier:
                # Others may still be waiting for answers over it.
                self._replaced.append(carrier)
                self._carrier = None
            if exchange.sent_at is not None:
                raise
        return await self._carry(exchange)

    def _open(self) -> Carrier:
        if self._lent is not None:
            return Session(self._lent)
        if not self._trust_env and AiohttpTransport._as_expected is not False:
            try:
                return self._open_pool()
            except Exception as error:  # noqa: BLE001 - whatever a release of aiohttp may come up with
                self._expect_no_more(error)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keep_alive, resolver=OwnResolver()),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return Session(session, owned=True, proxies=Proxies() if self._trust_env else None)

    def _open_pool(self) -> Carrier:
        # Only here, and guarded: what it imports may be gone.
        from idura_ciba.http import pool  # noqa: PLC0415

        if AiohttpTransport._as_expected is None:
            pool.rehearse()
            AiohttpTransport._as_expected = True
        return pool.Pool(connect_timeout=self._connect_timeout, keep_alive=self._keep_alive)

    @staticmethod
    def _expect_no_more(error: Exception) -> None:
        """Take the documented way from now on, and say so once."""
        if AiohttpTransport._as_expected is not False:
            AiohttpTransport._as_expected = False
            _logger.warning(
                "aiohttp %s is not as this release of idura_ciba expects it (%s: %s), so requests take aiohttp's "
                "documented way: all works, and a poll costs more CPU",
                aiohttp.__version__,
                type(error).__name__,
                error,
            )
