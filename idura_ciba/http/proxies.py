"""Proxies from the environment, and their credentials.

aiohttp's own `trust_env` would also send netrc credentials to servers, and then refuse the client's own.
"""

from __future__ import annotations

import asyncio
import base64
import netrc
import os
import urllib.request

from yarl import URL

from idura_ciba.http.resolver import LOOK_UPS

__all__ = ["MAX_ORIGINS", "Proxies", "encode_credentials"]

#: Origins cached; a client has one to four.
MAX_ORIGINS = 64


class Proxies:
    """Finds proxies, and caches them: some systems look each host up over the network."""

    def __init__(self) -> None:
        self._found: dict[URL, URL | None] = {}

    async def find(self, url: URL) -> URL | None:
        """The proxy for a URL, with its credentials in it; None for a direct connection."""
        origin = url.origin()
        if origin not in self._found:
            # In a thread, because this may use the network.
            found = await asyncio.get_running_loop().run_in_executor(LOOK_UPS, _look_up, origin)
            if len(self._found) >= MAX_ORIGINS:
                self._found.clear()
            self._found[origin] = found
        return self._found[origin]


def encode_credentials(proxy: URL) -> str:
    """The value of `Proxy-Authorization` (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()


def _look_up(origin: URL) -> URL | None:
    address = urllib.request.getproxies().get(origin.scheme)
    if not address or urllib.request.proxy_bypass(origin.host or ""):
        return None
    proxy = URL(address)
    if proxy.user is None and (known := _credentials(proxy.host or "")):
        proxy = proxy.with_user(known[0]).with_password(known[1])
    return proxy


def _credentials(host: str) -> tuple[str, str] | None:
    """User and password for a host from netrc."""
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return found and (found[0], found[2])
