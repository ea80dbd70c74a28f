"""Name lookups on threads of our own.

aiohttp uses the event loop's default executor, which belongs to the application: once that is full, no poll gets a
connection. A lookup that hangs here blocks its own thread only.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from idura_ciba.aio.threads import OwnThreads

__all__ = ["LOOK_UPS", "OwnResolver"]

#: Shared by all clients of the process. A client has one to three hosts, and aiohttp caches their addresses.
LOOK_UPS: Final = OwnThreads("idura-ciba-look-up", 64)


class OwnResolver(AbstractResolver):
    """Asks the operating system, as aiohttp's own resolver does."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: The lookup failed.
        """
        look_up = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(LOOK_UPS, look_up)
        return [
            ResolveResult(
                hostname=host,
                # `getnameinfo` keeps the zone of a link-local address.
                host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
            if kind in {socket.AF_INET, socket.AF_INET6}
        ]

    async def close(self) -> None:
        """Nothing to release."""
