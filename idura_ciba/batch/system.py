"""What systems do differently with files: this package uses nothing of POSIX without another way.

Windows opens files as text unless told otherwise, has no reading and writing at a place, and never replaces a file by
`rename`. Some file systems have no links.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["BINARY", "put_new", "read_at", "write_at"]

#: For `os.open`: bytes are written as they are.
BINARY: Final[int] = getattr(os, "O_BINARY", 0)


def read_at(descriptor: int, size: int, place: int) -> bytes:
    """Read at a place in a file that only this process uses."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, place)
    os.lseek(descriptor, place, os.SEEK_SET)
    return os.read(descriptor, size)


def write_at(descriptor: int, data: bytes, place: int) -> None:
    """Write at a place in a file that only this process uses, and one thread of it."""
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, data, place)
    else:
        os.lseek(descriptor, place, os.SEEK_SET)
        os.write(descriptor, data)


def put_new(beside: Path, path: Path) -> None:
    """Give a complete file its name, unless another process was faster; then its file stays. `beside` is gone after it.

    Raises:
        OSError: It cannot be done.
    """
    try:
        # A link, not a rename: that would replace the file of the other one.
        with suppress(FileExistsError):
            os.link(beside, path)
    except (AttributeError, OSError):
        # No links here. On Windows a rename replaces nothing; elsewhere the other process has an instant for it.
        with suppress(FileExistsError):
            if not path.exists():
                beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
