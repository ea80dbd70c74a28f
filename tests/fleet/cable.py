"""A line to PostgreSQL that can be cut."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from attrs import define, field


@define(eq=False)
class Cable:
    """A line to PostgreSQL that can be cut: nothing passes, nothing is closed, and nobody is told.

    Attributes:
        forgets: Whether connections that were there when it was cut stay dead, as behind a router that has forgotten
            them; else what was sent meanwhile arrives afterwards, as TCP sends again.
    """

    to: int
    forgets: bool
    port: int = 0
    #: Messages of clients that still pass; then it is cut.
    left: float = math.inf
    _whole: asyncio.Event = field(factory=asyncio.Event)
    _cuts: int = 0
    _over: asyncio.Event = field(factory=asyncio.Event)
    _joined: set[asyncio.Task[None]] = field(factory=set)

    def cut(self) -> None:
        """Nothing passes from now on."""
        self._cuts += 1
        self._whole.clear()

    def mend(self) -> None:
        """It does again."""
        self._whole.set()

    async def aclose(self) -> None:
        """Nobody needs it any more."""
        self._over.set()
        self._whole.set()
        await asyncio.gather(*self._joined)

    def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody wants to connect."""
        self._joined.add(asyncio.create_task(self._join(reader, writer)))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self.to)
            pumps: list[asyncio.Task[Any]] = [
                asyncio.create_task(self._pump(reader, back, self._cuts, counts=True)),
                asyncio.create_task(self._pump(there, writer, self._cuts, counts=False)),
                asyncio.create_task(self._over.wait()),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            back.close()
        writer.close()

    def _count(self) -> None:
        """One message less."""
        self.left -= 1
        if self.left <= 0:
            self.cut()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cuts: int, *, counts: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._pass(cuts)
                writer.write(data)
                await writer.drain()
                if counts:
                    self._count()
            await self._pass(cuts)  # that one end has hung up does not arrive either

    async def _pass(self, cuts: int) -> None:
        """Wait until what has come may go on; for ever where the connection is dead."""
        await self._whole.wait()
        if self.forgets and self._cuts > cuts:
            await self._over.wait()


@asynccontextmanager
async def cable(to: int, *, forgets: bool) -> AsyncIterator[Cable]:
    """One that is whole."""
    made = Cable(to, forgets)
    made.mend()
    serving = await asyncio.start_server(made.join, "127.0.0.1", 0)
    made.port = serving.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        serving.close()
        await made.aclose()
