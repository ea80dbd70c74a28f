"""Detect commits in SQLite's write-ahead log that SQLite would skip silently.

SQLite reads a log up to the first frame with a wrong checksum and silently drops the rest. That is right after a power
loss, when the rest was never reported as committed, and wrong if a bit has flipped in a committed frame: a person whose
intent was there would be asked again. Committed data ends with a commit frame, so commit frames after the last frame
that SQLite accepts reveal the loss.

Spec: https://sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

__all__ = ["loses_commits"]

_MAGIC: Final = 0x377F0682
_HEADER, _FRAME_HEADER = 32, 24
_MASK: Final = 0xFFFFFFFF


def loses_commits(path: Path) -> bool:
    """Return whether SQLite would skip commits in a log; False if there is no log. Changes nothing.

    Raises:
        OSError: The log cannot be read.
    """
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        header = file.read(_HEADER)
        if len(header) < _HEADER:
            return True
        (magic, _, page) = struct.unpack_from(">3I", header)
        order = ">" if magic & 1 else "<"
        sums = _add((0, 0), header[:24], order)
        if magic & ~1 != _MAGIC or struct.unpack_from(">2I", header, 24) != sums:
            return True
        is_good = True
        while len(frame := file.read(_FRAME_HEADER + page)) == _FRAME_HEADER + page:
            if frame[8:16] != header[16:24]:
                # A remainder of an older log, or a flipped bit: the following frames tell which.
                is_good = False
                continue
            if is_good:
                sums = _add(_add(sums, frame[:8], order), frame[_FRAME_HEADER:], order)
                is_good = struct.unpack_from(">2I", frame, 16) == sums
            # Only a frame that ends a commit holds the size of the database.
            if not is_good and frame[4:8] != bytes(4):
                return True
    return False


def _add(sums: tuple[int, int], content: bytes, order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second
