"""Text for the terminal. Foreign text cannot move the cursor, change colours or reverse the writing direction."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from idura_ciba.redaction import clean

__all__ = ["ERR", "OUT", "clean", "counted", "discard", "listeners", "say"]


#: Called when nobody reads any more what is printed; without any, printing raises `BrokenPipeError`.
listeners: list[Callable[[], None]] = []

#: What writing to a closed pipe or a closed terminal ends with.
_CLOSED: Final = frozenset({errno.EPIPE, errno.EIO})


class _Console(Console):
    """A console that outlives its reader: whoever closes a pipe or a terminal ends the command, not its clean end."""

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print nothing more, and tell the listeners."""
        self.quiet = True
        discard(sys.stderr if self.stderr else sys.stdout)
        for listener in listeners:
            listener()
        if not listeners:
            raise BrokenPipeError(errno.EPIPE, "nobody reads")


def discard(stream: TextIO) -> None:
    """Discard what is written to a stream from now on, so that flushing it at the end does not fail."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


#: Results. Neither console interprets markup or emoji codes in what it prints.
OUT: Console = _Console(markup=False, highlight=False, emoji=False)
#: Everything else: progress, instructions, errors.
ERR: Console = _Console(stderr=True, markup=False, highlight=False, emoji=False)


def counted(count: int, noun: str) -> str:
    """Return a count with its digits grouped and the noun in its number: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def say(text: str, *, to: Console = ERR, style: str = "", whole: bool = False) -> None:
    """Print one line, whatever it contains; on a narrow terminal it breaks between words.

    Args:
        text: The line.
        to: The console.
        style: Its style on a terminal.
        whole: Break it nowhere, so that the command or the path in it can be copied.
    """
    to.print(Text(clean(text, limit=len(text)), style), soft_wrap=whole or not to.is_terminal)
