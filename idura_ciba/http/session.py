"""The documented carrier: sends through an aiohttp session, using only what aiohttp documents.

Everything configured on the session works: tracing, middlewares, mocks, recorders, proxies, a resolver, a private CA.
How the rules of `transport.py` are kept here:

- *Whether something was sent* (rules 4 and 5). aiohttp does not say when a request gets its connection. But a body may
  be an asynchronous iterator ("Streaming uploads"), which is first advanced when there is a connection to write to. The
  form is such an iterator: until it is read, nothing has left that a provider could act on. aiohttp itself retries
  idempotent requests, never a `POST`; and the iterator yields its form only once, even if a middleware retries.
- *No answer of another request* (rule 6). Data on an idle connection can be neither seen nor ruled out from here. So
  the server is asked to close each connection after its answer, and none lies idle. If the caller wants connections
  that persist (`persistent`), or a server ignores that, two things are left: the form is held back for a few turns of
  the event loop, and an answer that is read before it has left is not taken for its answer; and the ID token must name
  the person who was asked (`trust/id_token.py`). Session hooks that wait, and bytes that arrive in the last turn, get
  past the first; eIDs that may omit the national number get past the second.
- A document is read with `GET`, which has no body. The type of the error tells whether the request left, and its
  timeout runs from the start. It may be retried in any case.
- A mock or a recorder reads the form before there is a connection, or not at all. Then the same applies as to a
  document.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import aiohttp
from yarl import URL

from idura_ciba.errors import TransportError
from idura_ciba.http.exchange import (
    LIMITS,
    USER_AGENT,
    Connections,
    Exchange,
    parse_url,
    read_body,
    read_fields,
    write_fields,
)
from idura_ciba.http.proxies import Proxies, encode_credentials
from idura_ciba.protocol.http import HttpResponse

__all__ = ["Session"]

#: Turns of the event loop for which a form is held back. Data is read in one; TLS, the end of a connection, aiohttp and
#: we take one each to hear of it; one is to spare.
_TURNS = 6
#: Errors of aiohttp that mean there was no connection.
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
#: Header fields that aiohttp would add; our requests set them themselves if needed.
_UNASKED_FOR = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class _Form:
    """A request body that notes when it leaves.

    Attributes:
        taken: Whether iteration over it has begun.
        refusal: Why it did not leave, if it was too late. aiohttp would make another error of it.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.taken = False
        self.refusal: TransportError | None = None
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
            # aiohttp writes in a task of its own, so the reader is a mock, a recorder or a middleware.
            self._exchange.leave_unseen()
        else:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            try:
                self._exchange.leave()
            except TransportError as error:
                self.refusal = error
                raise
        return self._exchange.request.body


class Session:
    """The carrier that sends through an aiohttp session.

    Args:
        session: The session.
        owned: Whether `aclose` closes the session.
        persistent: Do not ask the server to close each connection.
        proxies: Finds the proxy for each request. None: as the session is configured.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        owned: bool = False,
        proxies: Proxies | None = None,
        persistent: bool = False,
    ) -> None:
        self._session = session
        self._owned = owned
        self._proxies = proxies
        # Until the server sends something before it is asked.
        self._persistent = persistent
        # Newer releases also limit the number of fields, as their documented signature shows.
        known = {"max_line_size", "max_field_size", *inspect.signature(aiohttp.ClientSession).parameters}
        self._limits = {name: limit for name, limit in LIMITS.items() if name in known}

    def connections(self) -> list[Connections]:
        """None known: they are the session's."""
        return []

    async def aclose(self) -> None:
        """Close the session if it is our own."""
        if self._owned:
            await self._session.close()

    async def carry(self, exchange: Exchange) -> HttpResponse:
        """Send once; see `Carrier`."""
        session, request = self._session, exchange.request
        if session.closed:
            raise TransportError("the session passed to AiohttpTransport is closed", code="session_closed")
        if getattr(session, "auth", None) is not None and "Authorization" in request.headers:
            # aiohttp would refuse both with an unhelpful message. Its next major release drops `auth`.
            raise TransportError(
                "the session passed to AiohttpTransport has credentials (auth=), and so does the client",
                code="session_auth",
                advice="pass a session without auth=",
            )
        url = parse_url(request.url)
        write_fields(request.headers)
        options = await self._options(exchange, url)
        form = None
        if request.body:
            options["data"] = form = _Form(exchange)
            options["headers"]["Content-Length"] = str(len(request.body))
        else:
            exchange.leave_unseen()
        try:
            async with session.request(request.method, url, **options) as response:
                try:
                    self._check_turns(exchange, form)
                    body = await read_body(response.content, request.max_body, response.status)
                except BaseException:
                    # The unread rest must not become the beginning of another request's answer.
                    response.close()
                    raise
        except _NEVER_CONNECTED:
            if exchange.sent_at == exchange.asked_at:
                exchange.sent_at = None
            raise
        except Exception:
            if form is None or form.refusal is None:
                raise
        if form is not None and form.refusal is not None:
            # Here, so that aiohttp's error, which knows the request, does not hang on it.
            raise form.refusal
        sent_at = exchange.asked_at if exchange.sent_at is None else exchange.sent_at
        received_at = asyncio.get_running_loop().time()
        return HttpResponse(response.status, read_fields(response.headers), body, sent_at, received_at)

    def _check_turns(self, exchange: Exchange, form: _Form | None) -> None:
        """Refuse an answer that came before the form left: rule 6, as far as it can be kept here."""
        if exchange.sent_at is None and form is not None and form.taken:
            self._persistent = False
            raise TransportError("the server answered before the request was sent", code="connection")

    async def _options(self, exchange: Exchange, url: URL) -> dict[str, Any]:
        headers = dict(exchange.request.headers)
        if "User-Agent" not in self._session.headers:
            headers.setdefault("User-Agent", USER_AGENT)
        if not self._persistent:
            headers["Connection"] = "close"
        options: dict[str, Any] = {
            "headers": headers,
            "skip_auto_headers": [name for name in _UNASKED_FOR if name not in headers],
            "allow_redirects": False,
            "raise_for_status": False,
            "auto_decompress": False,
            # The session's own timeout is meant for other requests. For a form, the exchange keeps the time.
            "timeout": aiohttp.ClientTimeout(
                total=None,
                connect=exchange.connect_timeout,
                sock_read=None if exchange.request.body else exchange.request.timeout,
            ),
            **self._limits,
        }
        if self._owned and exchange.request.tls is not None:
            # A session that was lent has its own TLS, a private authority perhaps.
            options["ssl"] = exchange.request.tls
        if self._proxies is not None and (proxy := await self._proxies.find(url)):
            options["proxy"] = proxy
            if url.scheme == "http" and proxy.user is not None:
                # aiohttp sends them once per connection: right for a tunnel, but plain HTTP needs them per request.
                headers["Proxy-Authorization"] = encode_credentials(proxy)
        return options
