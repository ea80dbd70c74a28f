"""The transport over aiohttp: the rules, and the choice between two carriers that keep them.

Rules:
1. One request, one answer. Redirects are not followed: a 307 would carry the form, with credentials and a national
   number, to another host. Our own pool keeps no cookies, and reads nothing from the environment unless asked to.
2. An answer is complete and within its size limit, or it is an error. It is not inflated here, because aiohttp would
   inflate a bomb before the limit applies; `delivery.py` inflates under the same limit.
3. Error messages are our own (`failures.py`). aiohttp's contain headers, `Authorization` among them.
4. `maybe_sent` is False only if nothing has left that a provider could act on.
5. Nothing is sent twice. `delivery.py` says what may be retried, and when.
6. No answer of another request: a connection on which data arrived while no request was in flight is not used again.

A session that the caller passes is used through its documented interface (`session.py`, which says what holds rule 6
there). Without one, requests are written to the connections of a pool of our own (`pool.py`), at three fifths of the
cost. That needs undocumented parts of aiohttp: if they are not as expected, one warning is logged, and the documented
interface is used from then on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from types import TracebackType
from typing import ClassVar, Self

import aiohttp
from attrs import asdict, evolve

from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import ArgumentError, TransportError, TransportTimeout
from idura_ciba.http.exchange import Carrier, Exchange, UnexpectedAiohttp
from idura_ciba.http.failures import describe, describe_timeout
from idura_ciba.http.proxies import Proxies
from idura_ciba.http.resolver import OwnResolver
from idura_ciba.http.session import Session
from idura_ciba.protocol.http import HttpRequest, HttpResponse

__all__ = ["AiohttpTransport", "trusting"]

#: Seconds for name lookup, TCP and TLS together.
CONNECT_TIMEOUT = 10.0
#: Seconds an idle connection is kept. Below 5, the shortest default of common servers (Node.js): a connection that the
#: server closes just as a poll leaves would cost that poll's answer.
KEEP_ALIVE = 4.0

_logger = logging.getLogger("idura_ciba")


class AiohttpTransport:
    """Sends requests over aiohttp.

    Args:
        session: Carries the requests, through its documented interface, and is never closed; everything configured on
            it works (headers, cookies, proxies, tracing, middlewares, a connector). None: a pool of the transport's
            own.
        ca_file: File of PEM with the certificate of an authority of your own, trusted beside those of the system. Not
            with `session`, whose connector has a TLS of its own. A client certificate has one too: `auth.tls`.
        trust_env: Read proxies from the environment, and their credentials also from netrc. Not with `session`, which
            has its own `trust_env`.
        connect_timeout: Seconds for name lookup, TCP and TLS together.
        keep_alive: Seconds the transport's own pool keeps an idle connection; keep it below the server's value.
        persistent: Use the connections of a session for more than one request. Cheaper by a handshake for each, but a
            server that answers twice may then give one person's answer to another's poll (rule 6). Leave it out where
            an eID may omit the national number. The pool's connections always persist: it can tell.

    Raises:
        UsageError: Both a session and `trust_env` or `ca_file`, or a file that cannot be read.
    """

    #: Whether the installed aiohttp is as `pool.py` expects; None before the first check.
    _as_expected: ClassVar[bool | None] = None

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        trust_env: bool = False,
        connect_timeout: float = CONNECT_TIMEOUT,
        keep_alive: float = KEEP_ALIVE,
        persistent: bool = False,
    ) -> None:
        if session is not None and trust_env:
            raise ArgumentError(
                "trust_env does not apply to a session that you pass",
                advice="pass trust_env=True to aiohttp.ClientSession instead",
            )
        if session is not None and ca_file is not None:
            raise ArgumentError(
                "ca_file does not apply to a session that you pass",
                advice="pass ssl= to its aiohttp.TCPConnector instead",
            )
        self._lent = session
        self._tls = None if ca_file is None else trusting(ssl.create_default_context(), ca_file)
        self._trust_env = trust_env
        self._connect_timeout = connect_timeout
        self._keep_alive = keep_alive
        self._persistent = persistent
        self._carrier: Carrier | None = None
        self._replaced: list[Carrier] = []

    async def __aenter__(self) -> Self:
        """Return the transport; it connects with the first request."""
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
        """Close the transport's own connections. A later request opens new ones."""
        carriers = [*self._replaced, *([self._carrier] if self._carrier else [])]
        self._replaced, self._carrier = [], None
        for carrier in carriers:
            await carrier.aclose()

    def connections(self) -> list[dict[str, str | int]]:
        """The open connections of its own pool by server, as plain data; see `exchange.Connections`."""
        return [asdict(each) for each in (self._carrier.connections() if self._carrier else ())]

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send once; see `idura_ciba.protocol.http.Transport`.

        Raises:
            TransportTimeout: No connection or no complete answer in time.
            TransportError: Any other failure; its `code` says which.
        """
        loop = asyncio.get_running_loop()
        failure: TransportError
        if self._tls is not None and request.tls is None:
            request = evolve(request, tls=self._tls)
        exchange = Exchange(request, self._connect_timeout, loop.time())
        try:
            with exchange.limit():
                return await self._carry(exchange)
        except TimeoutError:
            failure = TransportTimeout(describe_timeout(request.url, sent=exchange.sent_at is not None))
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            # aiohttp cancels a shared lookup when the session's owner closes the session.
            failure = TransportError("the owner of the session closed it", code="connection")
        except TransportError as error:
            # Without the frames below, which hold the body.
            failure = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - from aiohttp, the network, or a hook of the session
            failure = describe(error, request.url, sent=exchange.sent_at is not None)
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
                # Other requests may still be waiting for their answers on it.
                self._replaced.append(carrier)
                self._carrier = None
            if exchange.sent_at is not None:
                raise
        return await self._carry(exchange)

    def _open(self) -> Carrier:
        if self._lent is not None:
            return Session(self._lent, persistent=self._persistent)
        if not self._trust_env and AiohttpTransport._as_expected is not False:
            try:
                return self._open_pool()
            except Exception as error:  # noqa: BLE001 - anything a new release of aiohttp may raise
                self._expect_no_more(error)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keep_alive, resolver=OwnResolver()),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        proxies = Proxies() if self._trust_env else None
        return Session(session, owned=True, proxies=proxies, persistent=self._persistent)

    def _open_pool(self) -> Carrier:
        # Imported only here, and guarded: names that it needs may be gone.
        from idura_ciba.http import pool  # noqa: PLC0415

        if AiohttpTransport._as_expected is None:
            pool.rehearse()
            AiohttpTransport._as_expected = True
        return pool.Pool(connect_timeout=self._connect_timeout, keep_alive=self._keep_alive)

    @staticmethod
    def _expect_no_more(error: Exception) -> None:
        """Use the documented interface from now on, and log that once."""
        if AiohttpTransport._as_expected is not False:
            AiohttpTransport._as_expected = False
            _logger.warning(
                "aiohttp %s differs from what this release of idura_ciba expects (%s: %s); using aiohttp's documented "
                "interface instead: everything works, but a poll costs more CPU",
                aiohttp.__version__,
                type(error).__name__,
                error,
            )


def trusting(context: ssl.SSLContext, ca_file: str | os.PathLike[str]) -> ssl.SSLContext:
    """Let a context trust the authorities in a file of PEM, too; returns it.

    Raises:
        UsageError: The file cannot be read, or holds no certificate.
    """
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # of which `ssl.SSLError` is a kind
        unreadable = not isinstance(error, ssl.SSLError)
        raise ArgumentError(
            f"The file of the certificate authority cannot be {'read' if unreadable else 'used'}: {os.fspath(ca_file)}",
            code="ca_file",
            advice="Pass a file that can be read" if unreadable else "Pass PEM with -----BEGIN CERTIFICATE-----",
        ) from None
    return context
