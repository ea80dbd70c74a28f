"""Requests through aiohttp's front door: what its documentation names, and nothing else of it.

Whatever somebody has put on a session works: tracing, middlewares, mocks, recorders, proxies, a resolver, trust in an
authority of one's own. How the rules of `transport.py` are kept here:

- *What may have been sent* (rules 4 and 5). aiohttp does not say when a request has its connection. But a body may be
  an asynchronous iterator ("Streaming uploads"), and the first step of that is taken once there is a connection to
  write to. A form is such an iterator: as long as it was not asked for, nothing has left that a provider could act on.
  aiohttp sends idempotent requests again by itself, a `POST` never; and an iterator gives its form once only, also
  where a middleware tries again.
- *No answer of another request* (rule 6). What arrives on an idle connection can be neither seen nor ruled out from
  here. A form is held back for some turns of the event loop, so that what is there already is read first: an answer
  that comes before the form has left is not taken for the answer to it, and a connection that the server has closed
  meanwhile costs nothing. A server that was caught at this is asked to close each connection from then on. Hooks of the
  session that wait, and bytes that arrive in the last turn, get past all that. What holds then: the person in the ID
  token is the one who was asked (`trust/id_token.py`), and for eIDs that may omit the number a session with
  `TCPConnector(force_close=True)`, where no connection is ever idle.
- A document is read with `GET`, which has no body: whether its request has left is told by the kind of error, and its
  time counts from the beginning. It may be asked for again in any case.
- A mock or a recorder reads the form before there is a connection, or not at all. Then it is as for a document.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import aiohttp
from yarl import URL

from idura_ciba.errors import TransportError
from idura_ciba.http.exchange import LIMITS, USER_AGENT, Exchange, parse_url, read_body, read_fields, write_fields
from idura_ciba.http.proxies import Proxies, encode_credentials
from idura_ciba.protocol.http import HttpResponse

__all__ = ["Session"]

#: Turns of the event loop: one in which what has arrived is read, one in which aiohttp hears of it, one in which we do.
_TURNS = 3
#: aiohttp's word for it that there was no connection.
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
#: What aiohttp would add to a request, and what a request says itself where it is wanted.
_UNASKED_FOR = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class _Form:
    """A body that notes when it leaves.

    Attributes:
        taken: Whether somebody means to read it.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.taken = False
        self._exchange = exchange
        self._asked_by = asyncio.current_task()
        self._given = False

    def __aiter__(self) -> _Form:
        self.taken = True
        return self

    async def __anext__(self) -> bytes:
        if self._given:
            raise StopAsyncIteration
        self._given = True
        if asyncio.current_task() is self._asked_by:
            # aiohttp writes in a task of its own: this is a mock, a recorder or a middleware that wants to know it.
            self._exchange.leave_unseen()
        else:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            self._exchange.leave()
        return self._exchange.request.body


class Session:
    """Carries requests through a session.

    Args:
        session: Of aiohttp.
        owned: Whether it is closed together with this.
        proxies: Finds the proxy for each request; None: the session does as it was told.
    """

    def __init__(self, session: aiohttp.ClientSession, *, owned: bool = False, proxies: Proxies | None = None) -> None:
        self._session = session
        self._owned = owned
        self._proxies = proxies
        # Until the server has spoken out of turn.
        self._trusted = True
        # Newer releases bound the number of fields too, and say so in the signature that they document.
        known = {"max_line_size", "max_field_size", *inspect.signature(aiohttp.ClientSession).parameters}
        self._limits = {name: limit for name, limit in LIMITS.items() if name in known}

    async def aclose(self) -> None:
        """Close the session if it is our own."""
        if self._owned:
            await self._session.close()

    async def carry(self, exchange: Exchange) -> HttpResponse:
        """Send once; see `Carrier`."""
        session, request = self._session, exchange.request
        if session.closed:
            raise TransportError("the session that was lent is closed", code="session_closed")
        if getattr(session, "auth", None) is not None and "Authorization" in request.headers:
            # aiohttp refuses to choose, in words that do not help. Its next major release has no `auth` any more.
            raise TransportError(
                "the session that was lent has credentials of its own (auth=), and the client too",
                code="session_auth",
                advice="lend a session without auth=",
            )
        url = parse_url(request.url)
        write_fields(request.headers)
        options = await self._options(exchange, url)
        form = None
        if request.method == "POST":
            options["data"] = form = _Form(exchange)
            options["headers"]["Content-Length"] = str(len(request.body))
        else:
            exchange.leave_unseen()
        try:
            async with session.request(request.method, url, **options) as response:
                try:
                    self._check_turns(exchange, form)
                    body = await read_body(response.content, request.max_body)
                except BaseException:
                    # What was not read to its end must not become the beginning of somebody else's answer.
                    response.close()
                    raise
        except _NEVER_CONNECTED:
            if exchange.sent_at == exchange.asked_at:
                exchange.sent_at = None
            raise
        sent_at = exchange.asked_at if exchange.sent_at is None else exchange.sent_at
        received_at = asyncio.get_running_loop().time()
        return HttpResponse(response.status, read_fields(response.headers), body, sent_at, received_at)

    def _check_turns(self, exchange: Exchange, form: _Form | None) -> None:
        """Rule 6, as far as it can be held from here."""
        if exchange.sent_at is None and form is not None and form.taken:
            self._trusted = False
            raise TransportError("the server spoke before it was asked", code="connection")

    async def _options(self, exchange: Exchange, url: URL) -> dict[str, Any]:
        headers = dict(exchange.request.headers)
        if "User-Agent" not in self._session.headers:
            headers.setdefault("User-Agent", USER_AGENT)
        if not self._trusted:
            headers["Connection"] = "close"
        options: dict[str, Any] = {
            "headers": headers,
            "skip_auto_headers": [name for name in _UNASKED_FOR if name not in headers],
            "allow_redirects": False,
            "raise_for_status": False,
            "auto_decompress": False,
            # What the session was told about time is about other requests. A form's own time is the exchange's.
            "timeout": aiohttp.ClientTimeout(
                total=None,
                connect=exchange.connect_timeout,
                sock_read=exchange.request.timeout if exchange.request.method == "GET" else None,
            ),
            **self._limits,
        }
        if self._proxies is not None and (proxy := await self._proxies.find(url)):
            options["proxy"] = proxy
            if url.scheme == "http" and proxy.user is not None:
                # aiohttp tells them once for each connection: right for a tunnel, and not for requests of their own.
                headers["Proxy-Authorization"] = encode_credentials(proxy)
        return options
