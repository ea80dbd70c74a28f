"""Tools for testing programs that use this package: an event loop with a virtual clock, and pytest fixtures.

`run_virtual` runs a coroutine on a `VirtualLoop`: two minutes of waiting take no time, and every run is bit-for-bit the
same. pytest finds these fixtures by itself; if plugin autoloading is off, put `pytest_plugins = ["idura_ciba.testing"]`
into the outermost `conftest.py`:

    virtual_clock       wall-clock time of the virtual loop
    simulated_idura     a provider where the client of `make_ciba_client` is registered; script its people
    make_ciba_client    makes clients that talk to it in memory; takes the arguments of `CibaClient`

    def test_a_login(simulated_idura, make_ciba_client):
        simulated_idura.script("209801011231", Script.approve(after=8))

        async def log_in() -> str:
            async with make_ciba_client() as ciba:
                login = await ciba.authenticate(SwedishBankID("209801011231", call_initiator="RP", message="Hello"))
                return login.claims["ssn"]

        assert run_virtual(log_in()) == "209801011231"

Rules of the virtual clock:

1. Time stands still while anything can run. Otherwise it jumps to the exact instant of the next timer. Timers less than
   a nanosecond apart run together, as in asyncio.
2. Nothing real may be awaited, because time would jump in the meantime: sockets, pipes, subprocesses and name lookups
   are refused, and `run_in_executor` runs its function on the loop instead of in a thread.
3. If nothing can ever run again, the run ends with `DeadlockError` instead of hanging.

PYTEST_DONT_REWRITE: a `conftest.py` may import from here before pytest does.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from idura_ciba.aio.clock import Clock

__all__ = ["VIRTUAL_EPOCH", "DeadlockError", "VirtualLoop", "run_virtual", "virtual_clock"]

#: Plugins that pytest loads with this module. One that it has loaded under this name is not loaded again.
pytest_plugins: list[str] = ["idura_ciba.pytest_plugin"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

#: Wall time at the virtual instant 0: 2026-01-01T00:00:00Z.
VIRTUAL_EPOCH: float = 1_767_225_600.0

#: Seconds. asyncio runs a timer up to this long before its instant (`BaseEventLoop._run_once`).
_RESOLUTION = time.get_clock_info("monotonic").resolution


class DeadlockError(RuntimeError):
    """Everything waits and there is no timer: on a real clock the program would hang for ever."""


class _VirtualSelector(selectors.BaseSelector):
    """The selector in which an event loop sleeps; this one advances the clock instead.

    Attributes:
        now: The virtual time in seconds.
        timers: A heap of the loop's timers, including those that have run or were cancelled.
    """

    def __init__(self, start: float) -> None:
        self.now = start
        self.timers: list[asyncio.TimerHandle] = []
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is and the loop would sleep, advance the clock."""
        # Signals and other threads wake this loop too through a real pipe.
        ready = self._real.select(0)
        if not ready and (timeout is None or timeout > 0):
            self._advance()
        return ready

    def _advance(self) -> None:
        # Not `now + timeout`: that sum is rounded, so a timer would not run at exactly its instant.
        timers = self.timers
        while timers and (timers[0].cancelled() or timers[0].when() <= self.now):
            heapq.heappop(timers)
        instant = timers[0].when() if timers else math.inf
        if instant == math.inf:
            raise DeadlockError(_describe_waiting())
        if instant + _RESOLUTION <= instant:
            msg = f"asyncio cannot tell timers apart at {instant:g} virtual seconds; start the loop at an earlier time"
            raise OverflowError(msg)
        self.now = instant

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        """Watch a real file."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Stop watching a real file."""
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return the real files that are watched."""
        return self._real.get_map()

    def close(self) -> None:
        """Release the real selector."""
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time: it never sleeps, and timers run at exactly their instant.

    `asyncio.sleep`, `asyncio.timeout`, `call_later`, `asyncio.to_thread` and `asyncio.Runner` work as usual; anything
    that would wait for something real raises `RuntimeError`. The loop does not wait for threads of your own.

    Args:
        start: The virtual time at the start, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._virtual = _VirtualSelector(start)
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual.now

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a virtual instant. All timers of the loop are set here."""
        handle = super().call_at(when, callback, *args, context=context)
        heapq.heappush(self._virtual.timers, handle)
        return handle

    def run_in_executor(self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        """Run `func` on the loop's own thread, after everything that is ready now; `executor` is not used."""
        del executor
        future: asyncio.Future[_T] = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as exc:  # noqa: BLE001 - handed to whoever awaits, as an executor does
                future.set_exception(exc)

        self.call_soon(run)
        return future


def _describe_waiting() -> str:
    waiting = (f"{task.get_name()} in {getattr(task.get_coro(), '__qualname__', '?')}" for task in asyncio.all_tasks())
    return f"nothing is ready and no timer is set; waiting for ever: {', '.join(sorted(waiting)) or 'the loop itself'}"


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        msg = f"{name}: the virtual clock would jump during real I/O; use a real event loop"
        raise RuntimeError(msg)

    return refuse


for _name in (
    "add_reader",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
):
    setattr(VirtualLoop, _name, _refusal(_name))


def virtual_clock() -> Clock:
    """Return a clock whose wall time is `VIRTUAL_EPOCH` plus the running loop's time."""
    return Clock(wall=lambda: VIRTUAL_EPOCH + asyncio.get_running_loop().time())


def run_virtual(main: Coroutine[Any, Any, _T], *, start: float = 0.0) -> _T:
    """Run a coroutine to its end on a fresh `VirtualLoop`, as `asyncio.run` does on a real one.

    Where another loop is running already, as in a notebook, it runs in a thread, and that loop waits.

    Args:
        main: What to run.
        start: The virtual time at the start, in seconds.

    Returns:
        What `main` returns.

    Raises:
        DeadlockError: `main` waits for something that can no longer happen.

    Example:
        >>> async def two_minutes() -> float:
        ...     await asyncio.sleep(120)
        ...     return asyncio.get_running_loop().time()
        >>> run_virtual(two_minutes())
        120.0
    """

    def run() -> _T:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
            return runner.run(main)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass  # and run below: what `main` raises would drag this error along
    else:
        with ThreadPoolExecutor(1, "run_virtual") as threads:
            return threads.submit(copy_context().run, run).result()
    return run()
