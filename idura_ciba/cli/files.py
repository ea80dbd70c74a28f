"""Files that this command writes and reads: secrets are never readable by others, and nothing is overwritten."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from idura_ciba import UsageError
from idura_ciba.redaction import Redacted

__all__ = ["PRIVATE", "PUBLIC", "read_secret", "refuse_existing", "replace_file", "write_new"]

#: Modes: for the owner only, and for everybody to read.
PRIVATE, PUBLIC = 0o600, 0o644


def refuse_existing(path: Path) -> None:
    """Make sure that nothing stands where a file is to be written.

    Raises:
        UsageError: Something does.
    """
    if path.exists():
        raise _refused(f"There is a file {path} already", "file_exists", "Name another one, or move it away")


def write_new(path: Path, text: str, *, mode: int) -> None:
    """Write a file that does not exist yet.

    Raises:
        UsageError: It does exist, or cannot be written.
    """
    refuse_existing(path)
    reason = ""
    try:
        # O_EXCL: whoever puts a file or a link here at the last moment gets nothing.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise _refused(f"The file {path} cannot be written: {reason}", "file", "Name another one")


def replace_file(path: Path, text: str, *, mode: int) -> None:
    """Put a text in the place of a file's content, at once or not at all.

    Raises:
        UsageError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_new(beside, text, mode=mode)
    reason = ""
    try:
        beside.replace(path)
    except OSError as error:
        beside.unlink()
        reason = error.strerror or type(error).__name__
    if reason:
        raise _refused(f"The file {path} cannot be written: {reason}", "file", "Name another one")


def read_secret(path: str, *, what: str) -> Redacted:
    """Return the text of a file, or of the standard input for `-`, without the line break at its end.

    Args:
        path: The file.
        what: Its name in the error.

    Raises:
        UsageError: It cannot be read, is not UTF-8, or is empty. Its content is not in the error.
    """
    reason, text = "It is empty", Redacted()
    try:
        text = Redacted((sys.stdin.read() if path == "-" else Path(path).read_text("utf-8-sig")).strip())
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError:  # not UTF-8, or a path that no file system can have
        reason = "It is not text in UTF-8"
    if not text:
        raise _refused(f"The {what} cannot be read: {reason}", "file", "Check the path")
    return text


def _refused(what: str, code: str, advice: str) -> UsageError:
    return UsageError(what, code=code, advice=advice)
