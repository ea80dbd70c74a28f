"""Hangs up on a server that says nothing: a connection that is cut gives no error, for minutes or for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

__all__ = ["SILENCE", "hanging_up"]

#: Seconds without an answer after which a connection is taken for dead: no statement takes long. Less than the usual
#: lease, because psycopg asks the server to stop a statement that is cancelled, and waits for it again.
SILENCE: Final = 4.0


class Line(Protocol):
    """A connection."""

    def fileno(self) -> int:
        """Its socket."""
        ...


@contextmanager
def hanging_up(line: Line) -> Iterator[None]:
    """Hang up if what is done within takes longer than `SILENCE`; whoever waits for an answer gets an error then."""
    timer = asyncio.get_running_loop().call_later(SILENCE, _hang_up, line)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(line: Line) -> None:
    # If it is closed already, it says so with an error of its library's own.
    with suppress(Exception):
        # A copy, because the connection closes its own. They are the same line, whatever its family is.
        copy = socket.fromfd(line.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with copy:
            copy.shutdown(socket.SHUT_RDWR)
