"""Pings: the provider says that somebody has decided, and their login polls at once (CIBA Core section 10.2).

A `PingReceiver` takes pings in any ASGI program, `aiohttp_handler` in aiohttp.web. A ping carries no result: it is a
reason to poll, and nothing else.

May import `protocol` and `observe`, and aiohttp.web in `aiohttp_web`. Never polls, and never tells anybody who has no
token of this client whether a login exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idura_ciba.ping.desk import Ping, PingCounts
from idura_ciba.ping.receiver import PingReceiver

if TYPE_CHECKING:
    from idura_ciba.ping.aiohttp_web import aiohttp_handler

__all__ = ["Ping", "PingCounts", "PingReceiver", "aiohttp_handler"]


def __getattr__(name: str) -> Any:
    """Load the handler on first use: it imports aiohttp.web, which other programs do not need."""
    if name == "aiohttp_handler":
        from idura_ciba.ping.aiohttp_web import aiohttp_handler  # noqa: PLC0415

        return aiohttp_handler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
