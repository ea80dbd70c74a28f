"""Files that the command reads and writes: secrets are readable only by their owner, and new files replace none."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from idura_ciba import ArgumentError, UsageError
from idura_ciba.redaction import Redacted

__all__ = [
    "PRIVATE",
    "PUBLIC",
    "read_secret",
    "refuse_existing",
    "refuse_shared",
    "refuse_unrelated",
    "replace_file",
    "write_new",
]

#: Modes: owner only, and readable by everybody.
PRIVATE, PUBLIC = 0o600, 0o644


def refuse_existing(path: Path) -> None:
    """Make sure that a file does not exist yet.

    Raises:
        UsageError: It exists.
    """
    # A link that leads nowhere exists too.
    if os.path.lexists(path):
        raise _refused(f"The file {path} already exists", "file_exists", "Choose another path, or move the file away")


def write_new(path: Path, text: str, *, mode: int) -> None:
    """Write a file that does not exist yet.

    Raises:
        UsageError: It exists, or cannot be written.
    """
    refuse_existing(path)
    reason = ""
    try:
        # O_EXCL: a file or link that somebody creates here at the last moment is not written to.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise _refused(f"The file {path} cannot be written: {reason}", "file", "Choose another path")


def replace_file(path: Path, text: str, *, mode: int) -> None:
    """Replace the content of a file atomically.

    Raises:
        UsageError: It cannot be written.
    """
    # What a link leads to is replaced, not the link.
    path = path.resolve()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_new(beside, text, mode=mode)
    reason = ""
    try:
        beside.replace(path)
    except OSError as error:
        beside.unlink()
        reason = error.strerror or type(error).__name__
    if reason:
        raise _refused(f"The file {path} cannot be written: {reason}", "file", "Choose another path")


def refuse_shared(roles: Mapping[str, Path | int | None]) -> None:
    """Make sure that no file has two roles: one of them would destroy what the other one needs.

    Args:
        roles: A path, or the number of a standard stream, by what stands on the command line.

    Raises:
        UsageError: Two of them are the same file, by whatever names.
    """
    seen: dict[object, str] = {}
    for role, where in roles.items():
        if where is None:
            continue
        marks: set[object] = set() if isinstance(where, int) else {where.resolve()}
        with suppress(OSError):
            found = os.fstat(where) if isinstance(where, int) else where.stat()
            # A terminal, a pipe or the null device may have any number of roles.
            marks = marks if stat.S_ISREG(found.st_mode) or isinstance(where, int) else set()
            if stat.S_ISREG(found.st_mode):
                marks.add((found.st_dev, found.st_ino))
        for mark in marks:
            if mark in seen:
                raise _refused(f"{seen[mark]} and {role} are the same file", "same_file", "Pass different files")
        seen.update(dict.fromkeys(marks, role))


def refuse_unrelated(path: Path, role: str, begins: tuple[bytes, ...]) -> None:
    """Make sure that a file which is written anew is missing, empty, or the one of an earlier run.

    Args:
        path: The file.
        role: What stands on the command line.
        begins: Beginnings of such files.

    Raises:
        UsageError: It is something else.
    """
    head = b""
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(max(map(len, begins)))
    if head and not head.startswith(begins):
        what = f"The file {path} exists, and is not what {role} has written"
        raise _refused(what, "file_exists", "Choose another path, or move the file away")


def read_secret(path: str, *, what: str) -> Redacted:
    """Return the text of a file, or of standard input for `-`, without surrounding whitespace.

    Args:
        path: The file.
        what: What the file holds, for the error message.

    Raises:
        UsageError: It cannot be read, is not UTF-8, or is empty. Its content is not in the error.
    """
    reason, text = "it is empty", Redacted()
    try:
        text = Redacted((sys.stdin.read() if path == "-" else Path(path).read_text("utf-8-sig")).strip())
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError:  # not UTF-8, or an impossible path
        reason = "it is not UTF-8 text"
    if not text:
        raise _refused(f"The {what} cannot be read: {reason}", "file", "Check the path")
    return text


def _refused(what: str, code: str, advice: str) -> UsageError:
    return ArgumentError(what, code=code, advice=advice)
