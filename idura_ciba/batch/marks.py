"""Marks that tell, after this process was killed, whether a poll of a login was in flight.

If the process dies during a poll, the poll's answer may be lost and the login is in doubt; otherwise it is not.
Journaling every poll would cost a commit each. Four bytes in a file that the kernel holds cost a microsecond, and they
survive the death of the process, though not of the machine: after a reboot they tell nothing. Nor do they on systems
that have no id for a boot, Windows and macOS: there every login that a kill has left is in doubt.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from idura_ciba.batch.system import BINARY, read_at, write_at
from idura_ciba.protocol.machine import State
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Marks", "boot"]

#: A mark in the journal is a place in the file and the random word that stands there while no poll is in flight, so
#: that the mark of an earlier login cannot be mistaken for it.
_BITS: Final = 32
_SIZE: Final = 4
_DOUBT: Final = bytes(_SIZE)
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """Return the id of this machine's current boot; empty if unavailable."""
    with suppress(OSError):
        return _BOOT.read_text("ascii").strip()
    return ""


class Marks:
    """The marks of one journal.

    Args:
        path: The file, created for its owner only; None for no file.
        trusted: Whether its content was written since the machine booted.
    """

    def __init__(self, path: Path | None, *, trusted: bool) -> None:
        # Content from before the boot must not mislead the next run of this boot.
        fresh = 0 if trusted else os.O_TRUNC
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | BINARY | fresh, 0o600)
        self._free: list[int] = []
        self._next = 0

    def recall(self, mark: int | None) -> bool:
        """Return whether certainly no poll of the login with this mark was in flight when its process ended.

        Call it for all logins that an earlier run has left before you follow the first: their places stay theirs until
        they are released.
        """
        if mark is None or self._file is None:
            return False
        place = mark >> _BITS
        self._next = max(self._next, place + 1)
        return read_at(self._file, _SIZE, place * _SIZE) == self._word(mark)

    def follow(self, transaction: Transaction, mark: int | None = None) -> int | None:
        """Keep a mark for a transaction; None if the file cannot be written, and then doubt remains.

        Args:
            transaction: A new or resumed transaction with no poll in flight.
            mark: Its mark from the run that left it, so that journal and file always agree.
        """
        if mark is None:
            place = self._free.pop() if self._free else self._next
            self._next = max(self._next, place + 1)
            mark = (place << _BITS) | secrets.randbelow((1 << _BITS) - 1) + 1
        try:
            # One that was resumed in doubt stays in doubt until the provider says that it is pending.
            self._note(mark, doubt=transaction.state is State.IN_DOUBT)
        except OSError:
            return None
        # If it raises, the poll does not leave.
        transaction.on_doubt = lambda doubt: self._note(mark, doubt=doubt)
        return mark

    def release(self, mark: int | None) -> None:
        """Free the mark of a transaction whose end is in the journal."""
        if mark is not None:
            self._free.append(mark >> _BITS)

    def _note(self, mark: int, *, doubt: bool) -> None:
        if self._file is not None:
            write_at(self._file, _DOUBT if doubt else self._word(mark), (mark >> _BITS) * _SIZE)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @staticmethod
    def _word(mark: int) -> bytes:
        return (mark & ((1 << _BITS) - 1)).to_bytes(_SIZE, "little")
