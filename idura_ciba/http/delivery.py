"""How a request is delivered through a transport that may be anybody's: once, or again where that is safe.

Rules:
1. Retried is only what is safe to repeat: reading documents, and any request that never had a connection. A poll is
   never retried, its next slot comes from the floor; an authentication request that may have left is never sent again.
2. A compressed answer is inflated here, whoever carried it, under the bound of a plain one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import TransportError
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport, inflate

__all__ = ["deliver", "fetch", "until_connected"]

#: Seconds after which no new try of making a connection begins: people are waiting on the line.
CONNECT_PATIENCE = 2.0
#: The same for reading a document: a token that is issued only once may be waiting for keys. A little more than the
#: time that one request has, so that a second one follows a request that hung.
FETCH_PATIENCE = 10.5
#: Tries that reading a document has in any case: an event loop that was blocked uses up seconds and asks nobody.
FETCH_TRIES = 2
#: What does not become better by asking again.
_HOPELESS = frozenset({"tls", "session_auth", "session_closed", "too_late", "transport_failed"})

T = TypeVar("T")


async def deliver(transport: Transport, request: HttpRequest) -> HttpResponse:
    """Send once, through a transport that may be somebody else's.

    Returns:
        The answer, not compressed.

    Raises:
        TransportError: As `Transport.send` and `inflate` say. Whatever else it does means that the request may have
            been sent.
    """
    try:
        response = await transport.send(request)
        if isinstance(response, HttpResponse):
            return inflate(response, request.max_body) if "content-encoding" in response.headers else response
        what = f"returned a {type(response).__name__}"
    except TransportError:
        raise
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        what = "cancelled itself"
    except Exception as error:  # noqa: BLE001 - foreign code; what its error says may hold anything
        what = f"failed with {type(error).__name__}"
    raise TransportError(f"the transport {what}", code="transport_failed")


def _is_answer(response: HttpResponse) -> bool:
    # The rest is a gateway without its server behind it: as good as no answer.
    return response.status != 429 and response.status < 500  # noqa: PLR2004 - RFC 6585 4; the class of status codes


async def fetch(
    transport: Transport, request: HttpRequest, *, is_answer: Callable[[HttpResponse], bool] = _is_answer
) -> HttpResponse:
    """Read a document, again if need be: a `GET` changes nothing.

    Args:
        transport: Carries the requests.
        request: The same each time.
        is_answer: Whether this is worth having. What is not is asked for again while the patience lasts.

    Returns:
        The last response, also where it was none of those worth having.

    Raises:
        TransportError: No answer after several tries.
    """
    unanswered = tenacity.retry_if_exception(_unanswered) | tenacity.retry_if_not_result(is_answer)
    give_up_at = asyncio.get_running_loop().time() + FETCH_PATIENCE
    return await _retrying(unanswered, give_up_at, FETCH_TRIES)(deliver, transport, request)


async def until_connected(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat `attempt` while it fails without ever having had a connection; it makes its request anew each time.

    Raises:
        TransportError: The last failure.
    """
    give_up_at = asyncio.get_running_loop().time() + CONNECT_PATIENCE
    failed: list[TransportError] = []
    try:
        # Without tenacity, which costs a third of an authentication request: nearly all need no second try.
        return await attempt()
    except TransportError as error:
        failed.append(error)

    async def once() -> T:
        if failed:
            raise failed.pop()
        return await attempt()

    return await _retrying(tenacity.retry_if_exception(_never_connected), give_up_at)(once)


def _unanswered(error: BaseException) -> bool:
    return isinstance(error, TransportError) and error.code not in _HOPELESS


def _never_connected(error: BaseException) -> bool:
    return _unanswered(error) and not getattr(error, "maybe_sent", True)


def _retrying(worth_it: tenacity.retry_base, give_up_at: float, tries: int = 1) -> tenacity.AsyncRetrying:
    # A new controller for each call: one that is shared loses calls. The loop's clock, because tenacity's own is
    # another one.
    now = asyncio.get_running_loop().time

    def is_over(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= tries and now() + state.upcoming_sleep > give_up_at

    def last(state: tenacity.RetryCallState) -> object:
        # Also the last answer, where it is one that was worth another try.
        assert state.outcome is not None  # noqa: S101 - for type checkers: called after a try
        return state.outcome.result()

    return tenacity.AsyncRetrying(
        retry=worth_it,
        stop=is_over,
        wait=tenacity.wait_exponential(multiplier=0.25, max=4.0),
        retry_error_callback=last,
    )
