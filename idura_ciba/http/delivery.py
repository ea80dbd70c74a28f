"""Sends a request through any transport: once, or again where that is safe.

Rules:
1. Only what is safe to repeat is retried: reading documents, and requests that never had a connection. A poll is never
   retried, because the floor sets the time of the next one. An authentication request that may have left is never sent
   again.
2. A compressed answer is inflated here, for every transport, under the size limit of a plain one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import TransportError
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport, inflate

__all__ = ["Told", "deliver", "fetch", "is_served", "until_connected"]

#: Seconds after which no new connection is attempted: people are waiting on the line.
CONNECT_PATIENCE = 2.0
#: The same for reading a document, where a token that is issued only once may be waiting for the keys. Slightly more
#: than the timeout of one request, so that a request that hung gets a second try.
FETCH_PATIENCE = 10.5
#: Least number of tries to read a document: a blocked event loop uses up the seconds without sending anything.
FETCH_TRIES = 2
#: Codes of errors that a retry cannot fix.
_HOPELESS = frozenset({"tls", "session_auth", "session_closed", "too_late", "transport_failed"})

T = TypeVar("T")

#: Is told what came of one request, and after how many seconds.
Told = Callable[[HttpResponse | TransportError, float], None]


async def deliver(transport: Transport, request: HttpRequest) -> HttpResponse:
    """Send once, through a transport that may be the caller's own.

    Returns:
        The answer, inflated.

    Raises:
        TransportError: As `Transport.send` and `inflate` say. If the transport does anything else, the request may have
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
    except Exception as error:  # noqa: BLE001 - third-party code; its message may contain anything
        what = f"failed with {type(error).__name__}"
    raise TransportError(f"the transport {what}", code="transport_failed")


def is_served(response: HttpResponse) -> bool:
    """Whether an answer is the server's own."""
    # The rest comes from a gateway whose server is down or busy: as good as no answer.
    return response.status != 429 and response.status < 500  # noqa: PLR2004 - RFC 6585 4; the class of status codes


def _nobody(_: HttpResponse | TransportError, __: float) -> None:
    """Nobody need be told."""


async def fetch(
    transport: Transport,
    request: HttpRequest | Callable[[], Awaitable[HttpRequest]],
    *,
    is_answer: Callable[[HttpResponse], bool] = is_served,
    told: Told = _nobody,
) -> HttpResponse:
    """Read a document, with retries: a `GET` changes nothing.

    Args:
        transport: Carries the requests.
        request: Sent each time; or makes a new one for each try.
        is_answer: Whether a response is usable; others are retried for `FETCH_PATIENCE` seconds.
        told: Called after each try.

    Returns:
        The last response, usable or not.

    Raises:
        TransportError: No answer after several tries.
    """
    now = asyncio.get_running_loop().time

    async def attempt() -> HttpResponse:
        began_at = now()
        try:
            sent = request if isinstance(request, HttpRequest) else await request()
            response = await deliver(transport, sent)
        except TransportError as error:
            told(error, now() - began_at)
            raise
        told(response, now() - began_at)
        return response

    unanswered = tenacity.retry_if_exception(_unanswered) | tenacity.retry_if_not_result(is_answer)
    return await _retrying(unanswered, now() + FETCH_PATIENCE, FETCH_TRIES)(attempt)


async def until_connected(attempt: Callable[[], Awaitable[T]]) -> T:
    """Call `attempt` again as long as it fails without a connection; it must make a new request each time.

    Raises:
        TransportError: The last failure.
    """
    give_up_at = asyncio.get_running_loop().time() + CONNECT_PATIENCE
    failed: list[TransportError] = []
    try:
        # The first try without tenacity, which costs a third of an authentication request: few need a second one.
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
    # A new controller for each call, because a shared one loses calls; and the event loop's clock, because tenacity
    # uses another one.
    now = asyncio.get_running_loop().time

    def is_over(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= tries and now() + state.upcoming_sleep > give_up_at

    def last(state: tenacity.RetryCallState) -> object:
        # Returns the last response too, if it was the reason to retry.
        assert state.outcome is not None  # noqa: S101 - for type checkers: called after a try
        return state.outcome.result()

    return tenacity.AsyncRetrying(
        retry=worth_it,
        stop=is_over,
        wait=tenacity.wait_exponential(multiplier=0.25, max=4.0),
        retry_error_callback=last,
    )
