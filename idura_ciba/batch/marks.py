"""Whether an answer may be on its way to a login, for whoever goes on after this process was killed.

A poll whose answer was lost with its process leaves its login in doubt, and one that was over does not. To put each
poll into the journal would cost a commit; four bytes in a file that the kernel keeps cost a microsecond, and a kill
does not touch them. The loss of the whole machine does, so after another boot they say nothing.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from idura_ciba.protocol.machine import State
from idura_ciba.transaction.transaction import Transaction

__all__ = ["Marks", "boot"]

#: A mark in the journal is a place in the file and what stands there while no answer is out: no earlier login's mark
#: can be taken for it.
_BITS: Final = 32
_SIZE: Final = 4
_DOUBT: Final = bytes(_SIZE)
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """The name of this machine's present boot; empty where nobody tells."""
    with suppress(OSError):
        return _BOOT.read_text("ascii").strip()
    return ""


class Marks:
    """The marks of one journal.

    Args:
        path: The file, made for its owner only; None for none, which keeps nothing.
        trusted: Whether what stands in it was written since the machine has started.
    """

    def __init__(self, path: Path | None, *, trusted: bool) -> None:
        # What says nothing now must not say something to the next run of this boot.
        fresh = 0 if trusted else os.O_TRUNC
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | fresh, 0o600)
        self._free: list[int] = []
        self._next = 0

    def recall(self, mark: int | None) -> bool:
        """Whether no answer to the login with this mark was out when its process ended.

        For all logins that an earlier run has left, before the first one is followed: their places are theirs until
        they are released.
        """
        if mark is None or self._file is None:
            return False
        place = mark >> _BITS
        self._next = max(self._next, place + 1)
        return os.pread(self._file, _SIZE, place * _SIZE) == self._word(mark)

    def follow(self, transaction: Transaction, mark: int | None = None) -> int | None:
        """Keep a mark for a transaction of which no poll is out; None where that is impossible, and doubt remains.

        Args:
            transaction: Of a login that has none yet, or was resumed.
            mark: Its mark in the run that has left it, so that journal and file agree at every moment.
        """
        if mark is None:
            place = self._free.pop() if self._free else self._next
            self._next = max(self._next, place + 1)
            mark = (place << _BITS) | secrets.randbelow((1 << _BITS) - 1) + 1
        try:
            # One that was resumed in doubt stays so until the provider says that it is pending.
            self._note(mark, doubt=transaction.state is State.IN_DOUBT)
        except OSError:
            return None
        # Where it raises, no poll leaves.
        transaction.on_doubt = lambda doubt: self._note(mark, doubt=doubt)
        return mark

    def release(self, mark: int | None) -> None:
        """The mark of a transaction that has ended in the journal is not needed any more."""
        if mark is not None:
            self._free.append(mark >> _BITS)

    def _note(self, mark: int, *, doubt: bool) -> None:
        if self._file is not None:
            os.pwrite(self._file, _DOUBT if doubt else self._word(mark), (mark >> _BITS) * _SIZE)

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @staticmethod
    def _word(mark: int) -> bytes:
        return (mark & ((1 << _BITS) - 1)).to_bytes(_SIZE, "little")
