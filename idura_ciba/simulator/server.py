"""Serves a simulated provider over HTTP on this machine, for clients in any language."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiohttp import web

from idura_ciba.simulator.faults import Fault
from idura_ciba.simulator.messages import SimReply, SimRequest
from idura_ciba.simulator.provider import SimulatedIdura

__all__ = ["SimulatorServer"]

_HOST = "127.0.0.1"
#: Seconds that closing waits for delayed answers; 0 would mean for ever.
_PATIENCE = 0.1
_WELCOME = """\
This is a simulated Idura Verify. It asks no real person and proves nothing: people, names and tokens are made up.

    issuer      {issuer}
    discovery   GET  /.well-known/openid-configuration
    keys        GET  /.well-known/jwks
    start       POST /ciba/bc-authorize
    poll        POST /oauth2/token
"""


class SimulatorServer:
    """A simulated provider on a port of 127.0.0.1, as an async context manager.

    Args:
        idura: The provider; its issuer becomes this server's address.
        port: 0: any free port.
        wall: The provider's clock.
        tls: Makes it HTTPS.
        mtls: Serves the same on a second port, to clients with a certificate as this context wants it; discovery names
            that port in `mtls_endpoint_aliases`. Whoever presents one gets tokens that are bound to it.

    Example:
        >>> async def show() -> str:
        ...     async with SimulatorServer(SimulatedIdura()) as server:
        ...         return server.issuer
    """

    def __init__(
        self,
        idura: SimulatedIdura,
        *,
        port: int = 0,
        wall: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
        mtls: ssl.SSLContext | None = None,
    ) -> None:
        self.idura: SimulatedIdura = idura
        self._port = port
        self._wall = wall
        self._tls, self._mtls = tls, mtls
        self._runner: web.ServerRunner | None = None

    @property
    def issuer(self) -> str:
        """The issuer identifier, which is also the server's address."""
        return self.idura.issuer

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def start(self) -> None:
        """Listen, and set the provider's issuer."""
        # Handlers are cancelled, because a poll whose client has gone is no longer in flight.
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=_PATIENCE)
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, self._port, ssl_context=self._tls).start()
        self.idura.issuer = f"http{'s' if self._tls else ''}://{_HOST}:{self._runner.addresses[0][1]}"
        if self._mtls is not None:
            await web.TCPSite(self._runner, _HOST, 0, ssl_context=self._mtls).start()
            self.idura.mtls_address = f"https://{_HOST}:{self._runner.addresses[1][1]}"

    async def aclose(self) -> None:
        """Stop listening and close all connections."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(text=_WELCOME.format(issuer=self.issuer))
        tls = request.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        message = SimRequest(request.method, request.path_qs, request.headers, await request.read(), certificate)
        with self.idura.exchange(message) as exchange:
            reply = exchange.process(self._wall())
            fault = exchange.fault
            if fault.hold:
                await asyncio.sleep(fault.hold)
            if reply is None:
                return _hang_up(request, fault)
            if fault.drip or fault.cut is not None:
                await _write(request, reply, fault)
                if fault.cut is None:
                    exchange.delivered()
                return _hang_up(request, fault)
            response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
            # The client may have gone: then the answer is not delivered, and that is not an error.
            with suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
                exchange.delivered()
            return response


async def _write(request: web.BaseRequest, reply: SimReply, fault: Fault) -> None:
    """Write an answer byte by byte, or only its beginning, which aiohttp cannot do."""
    transport = request.transport
    assert transport is not None  # noqa: S101 - for type checkers: whose connection is gone is cancelled
    fields = {**reply.headers, "Content-Length": str(len(reply.body)), "Connection": "close"}
    head = [f"HTTP/1.1 {reply.status} Fault", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    transport.write("\r\n".join(head).encode())
    body = reply.body[: fault.cut]
    step = 1 if fault.drip else max(1, len(body))
    for start in range(0, len(body), step):
        await asyncio.sleep(fault.drip)
        transport.write(body[start : start + step])


def _hang_up(request: web.BaseRequest, fault: Fault) -> web.Response:
    """Break the connection."""
    connection = request.get_extra_info("socket")
    if fault.reset and connection is not None:
        # With a linger time of 0, closing makes the kernel send a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.protocol.force_close()
    # aiohttp writes this to a closed connection, where it is lost.
    return web.Response()
