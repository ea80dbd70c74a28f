"""Pings in aiohttp.web."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from idura_ciba.ping.receiver import ANSWERS, MAX_BODY, PingReceiver

__all__ = ["aiohttp_handler"]


def aiohttp_handler(receiver: PingReceiver) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that gives its requests to a receiver.

    Example:
        >>> app.router.add_post("/ciba/ping", aiohttp_handler(pings))
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        fields = request.headers.getall("Authorization", [])
        status = receiver.refusal(request.method, fields)
        if status is None:
            # Where a middleware has read it, aiohttp has kept it, and there is nothing left to read.
            body = await request.read() if request.content.at_eof() else b""
            while len(body) <= MAX_BODY and (part := await request.content.readany()):
                body += part
            status = receiver.receive(request.method, fields, body)
        return web.Response(status=status, headers=ANSWERS[status])

    return handle
