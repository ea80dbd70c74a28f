"""Whether SQLite loses commits in its write-ahead log.

SQLite reads a log up to the first frame whose checksum is wrong and forgets the rest without a word: right after a loss
of power, when the rest was never promised, and wrong where a bit has flipped in what was. Then a person whose intent
stood there would be asked again. What was promised ends with a commit, so commits behind the last frame that SQLite
accepts give it away.

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
    """Whether commits in a log are lost to SQLite; reads the log and changes nothing. A missing one loses nothing.

    Raises:
        OSError: It cannot be read.
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
                # Left of an older log, or a bit has flipped here: then what follows tells.
                is_good = False
                continue
            if is_good:
                sums = _add(_add(sums, frame[:8], order), frame[_FRAME_HEADER:], order)
                is_good = struct.unpack_from(">2I", frame, 16) == sums
            # The size of the database stands in the frame that ends a commit.
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
