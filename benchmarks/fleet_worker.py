"""A worker of `fleet.py`, in a process of its own, which does as it is told over a pipe."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from attrs import define, field, frozen
from fleet_provider import CLIENT_ID, SECRET, person
from soak import request_for

from idura_ciba import AlreadyPending, CibaClient, CibaError, ClientSecretBasic
from idura_ciba.fleet import Fleet, worker, writing
from idura_ciba.fleet.postgres import PostgresStore
from idura_ciba.fleet.sealing import LAYOUT, Sealing
from idura_ciba.fleet.store import Owned, Stored
from idura_ciba.scheduling.budget import Budget

RESUME = b"r" * 32
LEASE = 5.0
#: Logins that a worker begins at once.
TOGETHER = 24
#: How a worker says something of something, and more.
Tell = Callable[[str, Any, Any], None]


def client(issuer: str) -> CibaClient:
    """The client of each worker."""
    auth = ClientSecretBasic(CLIENT_ID, SECRET)
    return CibaClient(issuer, auth, id_token_algorithms=("ES256",), observers=(), resume_secret=RESUME)


def note_admissions(tell: Tell) -> None:
    """Tell when a request is admitted, which is when it counts."""
    take = Budget.take

    def noting(self: Budget, now: float, *, queued: bool) -> None:
        tell("admitted", (os.getpid(), now), now)
        take(self, now, queued=queued)

    Budget.take = noting  # type: ignore[method-assign]


@frozen(kw_only=True)
class Role:
    """What a worker is.

    Attributes:
        issuer: Whom it asks.
        dsn: How it reaches the store.
        rate: That of the fleet.
        layout: The format that it writes, and the only one that it can read.
    """

    issuer: str
    dsn: str
    rate: float | None = None
    layout: int = LAYOUT


class Watched(PostgresStore):
    """Counts its statements, and tells what is stored and taken."""

    def __init__(self, role: Role) -> None:
        super().__init__(role.dsn)
        self.statements = 0
        self.tell: Tell = lambda *_: None
        self._layout = role.layout

    async def _run(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        self.statements += 1
        return await super()._run(statement, **values)

    async def share(self, worker: str, *, wanted: float, rate: float, lease: float) -> float:
        """It takes two more."""
        self.statements += 2
        return await super().share(worker, wanted=wanted, rate=rate, lease=lease)

    async def end(self, owned: Owned, *, state: str, outcome: bytes, gone: bool) -> bool:
        """Tells first, so that whoever measures from here counts this statement too."""
        self.tell("stored", owned.login, time.monotonic())
        return await super().end(owned, state=state, outcome=outcome, gone=gone)

    async def take(self, worker: str, *, most: int, layouts: Sequence[int]) -> Sequence[Stored]:
        """Tells whether each can be read here."""
        taken = await super().take(worker, most=most, layouts=layouts)
        for stored in taken:
            self.tell("taken" if stored.layout in {0, self._layout} else "misread", stored.login, stored.layout)
        return taken


def write_layout(layout: int) -> None:
    """Write tokens as another release might: in a format that this one cannot read, and does not read this one's."""
    worker.LAYOUT = writing.LAYOUT = layout  # type: ignore[misc,assignment] # constants, until the next release
    hide, show, mark = Sealing.hide_token, Sealing.show_token, f"layout {layout}: "

    def hide_token(self: Sealing, login: str, token: str | None) -> str:
        return mark + hide(self, login, token)

    def show_token(self: Sealing, login: str, text: str) -> str | None:
        return show(self, login, text.removeprefix(mark)) if text.startswith(mark) else None

    Sealing.hide_token, Sealing.show_token = hide_token, show_token  # type: ignore[method-assign]


@define(eq=False)
class Replica:
    """A worker from inside: its methods are what it can be told; each is called with the id and number of a login."""

    fleet: Fleet
    store: Watched
    tell: Tell
    turns: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(TOGETHER))

    async def begin(self, login: str, nth: int) -> None:
        """Ask a person, and say how that went."""
        async with self.turns:
            try:
                await self.fleet.start(request_for(person(nth)), id=login)
                self.tell("begun", nth, login)
            except AlreadyPending as error:
                self.tell("pending", nth, error.login_id)
            except CibaError as error:
                self.tell("failed", nth, error.code)

    async def finish(self, login: str, nth: int) -> None:
        """Ask a person, and wait for their answer."""
        async with self.turns:
            begun = await self.fleet.start(request_for(person(nth)), id=login)
        self.tell("seen", nth, (time.monotonic(), (await begun.outcome()).state.value))

    async def follow(self, login: str, nth: int) -> None:
        """Wait for the answer to another one's login."""
        found = await self.fleet.get(login)
        self.tell("follows", nth, login)
        state = (await found.outcome()).state.value
        self.tell("seen", nth, (time.monotonic(), state))

    async def watch(self, login: str, nth: int) -> None:
        """See another one's login until it has ended."""
        found = await self.fleet.get(login)
        self.tell("follows", nth, login)
        states = [update.state.value async for update in found.updates()]
        self.tell("seen", nth, (time.monotonic(), states[-1]))

    async def cancel(self, login: str, nth: int) -> None:
        """Stop another one's login."""
        found = await self.fleet.get(login)
        self.tell("cancels", nth, time.monotonic())
        await found.cancel()
        state = (await found.outcome()).state.value
        self.tell("seen", nth, (time.monotonic(), state))

    async def cost(self, _: str, nth: int) -> None:
        """Statements, and seconds of CPU."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.tell("cost", nth, (self.store.statements, used.ru_utime + used.ru_stime))

    async def pace(self, _: str, nth: int) -> None:
        """How many requests a second it allows itself."""
        self.tell("pace", nth, self.fleet._ciba.queue.snapshot().allowed)  # noqa: SLF001 - nobody else need know


async def obey(pipe: Connection, make: Callable[[Tell], object], stopping: asyncio.Event) -> None:
    """Have what is made do as the pipe says, until it is closed or the process is to stop."""

    def tell(what: str, of: Any, more: Any) -> None:
        pipe.send((what, of, more))

    async def listen() -> None:
        while True:
            what, logins = await asyncio.to_thread(pipe.recv)
            tasks.extend(asyncio.create_task(getattr(told, what)(*login)) for login in logins)

    told, tasks = make(tell), list[asyncio.Task[None]]()
    tell("ready", 0, "")
    waiting = {asyncio.create_task(listen()), asyncio.create_task(stopping.wait())}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


def work(pipe: Connection, role: Role) -> None:
    """A replica that does as told; on SIGTERM, it hands over."""

    async def run() -> None:
        stopping, store = asyncio.Event(), Watched(role)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        async with Fleet(client(role.issuer), store, lease=LEASE, rate=role.rate) as joined:

            def replica(tell: Tell) -> Replica:
                store.tell = tell
                if role.rate is not None:
                    note_admissions(tell)
                return Replica(joined, store, tell)

            await obey(pipe, replica, stopping)
        os._exit(0)  # a thread may still be waiting for the pipe

    # That the store is away is what the parts are about; what is wrong with the fleet must be seen.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    logging.getLogger("idura_ciba").setLevel(logging.ERROR)
    if role.layout != LAYOUT:
        write_layout(role.layout)
    with suppress(KeyboardInterrupt, EOFError):
        asyncio.run(run())
