"""A file of results that is whole, or is not there under its name: several machines may be at work on them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from idura_ciba import ArgumentError
from idura_ciba.batch import Result
from idura_ciba.batch.reading import Format
from idura_ciba.batch.system import BINARY
from idura_ciba.batch.writing import header, render, separator
from idura_ciba.cli.files import PRIVATE

__all__ = ["WholeFile"]


class WholeFile:
    """Results, beside their place until all of them are there.

    Args:
        path: The file; `.part` is appended to its name until it is whole.
        output_format: The format of the file.
        claims: Names of the claims that are columns in CSV.
        keep: Names of the caller's own columns.
        excel: As for `ResultFile`.
    """

    def __init__(
        self,
        path: Path,
        output_format: Format,
        claims: Sequence[str] = (),
        *,
        keep: Sequence[str] = (),
        excel: bool = False,
    ) -> None:
        # Resolved once: a program may change its folder.
        self._path = path.resolve()
        self._part = self._path.with_name(f"{self._path.name}.part")
        self._format: Format = output_format
        self._claims = tuple(claims)
        self._keep = tuple(keep)
        self._excel = excel
        self._file: int | None = None

    def begin(self) -> None:
        """Begin, or begin anew.

        Raises:
            UsageError: It cannot be written.
        """
        self._close()
        reason = ""
        try:
            # Not truncated: on a shared disk, a machine that was paused may still write to the old one.
            self._part.unlink(missing_ok=True)
            self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, PRIVATE)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        self._raise(reason)
        if self._format == "csv":
            self._write(header(self._claims, self._keep, excel=self._excel))

    def write(self, result: Result, kept: Mapping[str, str]) -> None:
        """Write one result, with the caller's own columns.

        Raises:
            UsageError: It cannot be written.
        """
        own = {name: kept.get(name, "") for name in self._keep} if self._keep else None
        self._write(render(result, self._format, self._claims, own, delimiter=separator(excel=self._excel)))

    def publish(self) -> None:
        """All results are there: give it its name.

        Raises:
            UsageError: It cannot be written, or is another machine's by now.
        """
        reason = ""
        try:
            descriptor = self._descriptor()
            os.fsync(descriptor)
            if os.fstat(descriptor).st_ino != self._part.stat().st_ino:
                reason = "another machine writes it"
            self._close()  # Windows renames no file that is open
            if not reason:
                self._part.replace(self._path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        self._raise(reason)

    def discard(self) -> None:
        """Another machine writes the results; leave nothing of them here."""
        if self._file is not None:
            is_ours = os.fstat(self._file).st_ino
            self._close()
            with suppress(OSError):
                if self._part.stat().st_ino == is_ours:
                    self._part.unlink()

    def _write(self, line: bytes) -> None:
        reason = ""
        try:
            while line:
                line = line[os.write(self._descriptor(), line) :]
        except OSError as error:
            reason = error.strerror or type(error).__name__
        self._raise(reason)

    def _raise(self, reason: str) -> None:
        if reason:
            raise ArgumentError(
                f"The results cannot be written to {self._part}: {reason}",
                code="output",
                advice="Free space or choose another path, then run the same command again: the store has the results",
            )

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _descriptor(self) -> int:
        assert self._file is not None  # noqa: S101 - for type checkers: it has begun
        return self._file
