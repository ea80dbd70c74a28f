"""Serves pages on this machine."""

from __future__ import annotations

import ipaddress
import logging
import sys
import webbrowser
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from idura_ciba.aio.threads import OwnThreads
from idura_ciba.errors import ArgumentError
from idura_ciba.redaction import Redacted
from idura_ciba.web.guard import Guard

__all__ = ["serving"]

#: Seconds that closing waits for requests in flight; event streams end at once.
_PATIENCE = 2.0
_browsers = OwnThreads("idura_ciba browser", 1)


class _Discreet(logging.LoggerAdapter[logging.Logger]):
    """Logs what kind of error there was. The error and its frames hold the request, and that may hold a number."""

    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        error = kwargs.pop("exc_info", None)
        error = sys.exception() if error is True else error
        return (f"the page: {msg} ({type(error).__name__})" if error else f"the page: {msg}"), kwargs


_logger = _Discreet(logging.getLogger("idura_ciba"))


@asynccontextmanager
async def serving(
    app: web.Application,
    guard: Guard,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    path: str = "/",
    open_browser: bool = False,
) -> AsyncIterator[Redacted]:
    """Serve a guarded application, and yield the address to open, which has the guard's secret in it.

    Args:
        app: From `guard.application()`, with its pages.
        guard: Its guard.
        host: Where to listen; beyond loopback only with a guard that knows `unsafe_hosts`.
        port: 0: any free one.
        path: Of the page to open.
        open_browser: Whether to open it in this machine's browser, too. If there is none, nothing happens.

    Raises:
        ArgumentError: `host` is not loopback (`web_host`), or the port cannot be listened at (`port`).
    """
    if not _is_loopback(host) and not guard.unsafe_hosts:
        raise ArgumentError(
            f"The host {host} can be reached from other machines",
            code="web_host",
            advice="Serve on 127.0.0.1, or name in `unsafe_hosts` under which addresses others may come",
        )
    # Paths have no secrets in them, but an access log would have the address that is opened first.
    runner = web.AppRunner(guard.entrance(app), access_log=None, logger=_logger, shutdown_timeout=_PATIENCE)
    await runner.setup()
    try:
        reason = ""
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            raise ArgumentError(f"Cannot listen on port {port}: {reason}", code="port", advice="Choose another one")
        # Nobody can be sent to "any address"; browsers on this machine come by loopback then.
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        name = f"[{name}]" if ":" in name else name
        origin = f"http://{name}:{runner.addresses[0][1]}"
        if open_browser:
            # In a thread: a browser that runs in the terminal keeps whoever starts it waiting.
            _browsers.submit(_open, guard.address(origin, path, once=True))
        yield guard.address(origin, path)
    finally:
        await runner.cleanup()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _open(address: str) -> None:
    with suppress(webbrowser.Error):
        webbrowser.open(address)
