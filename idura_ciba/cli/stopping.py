"""What stops a command from outside: SIGTERM, SIGHUP, and the end of whoever reads what it prints."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from idura_ciba.cli import text

__all__ = ["stoppable"]

#: SIGKILL follows soon after these. Only POSIX has SIGHUP; on Windows, Ctrl-Break and a console window that is closed
#: send SIGBREAK.
_AT_ONCE: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


@contextmanager
def stoppable(stop: Callable[[], object], interrupt: Callable[[], object] | None = None) -> Iterator[None]:
    """Stop what the running loop does, as long as the context is open.

    Args:
        stop: Called once, at the first SIGTERM or SIGHUP, or when a pipe that the command writes to was closed. A
            terminal that is closed sends more than one, and a second call would cut short what the first has begun.
        interrupt: Called at each SIGINT; None leaves that to asyncio.
    """
    loop, is_stopped = asyncio.get_running_loop(), False

    def stop_once() -> None:
        nonlocal is_stopped
        if not is_stopped:
            is_stopped = True
            stop()

    handlers: dict[signal.Signals, Callable[[], object]] = dict.fromkeys(_AT_ONCE, stop_once)
    if interrupt is not None:
        handlers[signal.SIGINT] = interrupt
    # `nohup` and a shell's `&` have signals ignored, and mean it.
    handlers = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    former = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, _told(loop, handler))
    text.listeners.append(stop_once)
    try:
        yield
    finally:
        text.listeners.remove(stop_once)
        for number, before in former.items():
            # What was stopped is over. A late second one must not take its exit code.
            signal.signal(number, signal.SIG_IGN if is_stopped and number in _AT_ONCE else before)


def _told(loop: asyncio.AbstractEventLoop, handler: Callable[[], object]) -> Callable[[int, FrameType | None], object]:
    """A handler of the interpreter that has the loop call another one.

    Not `loop.add_signal_handler`: Windows has none, and its counterpart lets a second signal kill the process for an
    instant before it can be ignored.
    """
    return lambda _number, _frame: loop.call_soon_threadsafe(handler)
