"""Write results to files so that, even after a crash, each result is there once."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from idura_ciba.batch.journal import Journal
from idura_ciba.batch.reading import Format
from idura_ciba.batch.results import Result
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.batch.system import BINARY
from idura_ciba.errors import ArgumentError
from idura_ciba.protocol.machine import State

__all__ = ["ResultFile", "csv_line", "header", "render", "separator"]

_COLUMNS: Final = (
    "key", "state", "code", "explanation", "subject", "person_confirmed", "acr", "trace_id", "asked_at", "ended_at",
    "polls", "waited",
)  # fmt: skip
#: The states of results in the file.
_FINAL: Final = frozenset(state.value for state in State if state.is_final)
#: With this, each line of JSON begins.
_LINE: Final = b'{"key": "'
#: Text that a spreadsheet would read as a formula, also in full width. Signed numbers are none.
_SIGNS: Final = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_FORMULA: Final = re.compile(rf"\s*{_SIGNS}(?![\d .]*$)|[\t\r]")
#: The same within a cell: a spreadsheet may split at another delimiter than that of the file.
_INNER: Final = re.compile(rf"(?<=[;,|\t])(?=\s*{_SIGNS}(?![\d .]*($|[;,|\t])))")


def render(
    result: Result,
    output_format: Format,
    claims: Sequence[str],
    kept: Mapping[str, str] | None = None,
    *,
    delimiter: str = ",",
) -> bytes:
    """Return a result as one line.

    Args:
        result: The result.
        output_format: The format of the line.
        claims: Names of the claims that are columns in CSV; JSON Lines has all claims of the result.
        kept: The caller's own columns, by name; None for none.
        delimiter: The delimiter of CSV.
    """
    members: dict[str, Any] = {name: getattr(result, name) for name in _COLUMNS}
    for name in ("asked_at", "ended_at"):
        members[name] = _instant(members[name])
    members["state"] = result.state.value
    if output_format == "jsonl":
        # In ASCII, so that no terminal interprets anything in it.
        rest = {"claims": dict(result.claims), **({} if kept is None else {"kept": dict(kept)})}
        return json.dumps({**members, **rest}).encode() + b"\n"
    cells = [*members.values(), *(result.claims.get(name) for name in claims), *(kept or {}).values()]
    return csv_line(cells, delimiter)


def header(claims: Sequence[str], keep: Sequence[str] = (), *, excel: bool = False) -> bytes:
    """Return the first line of a CSV file of results.

    Args:
        claims: Names of the claims that are columns.
        keep: Names of the caller's own columns.
        excel: As for `ResultFile`.
    """
    taken = {*_COLUMNS, *claims}
    kept = [f"input_{name}" if name in taken else name for name in keep]
    mark = codecs.BOM_UTF8 if excel else b""
    return mark + csv_line([*_COLUMNS, *claims, *kept], separator(excel=excel))


def separator(*, excel: bool) -> str:
    """Return what separates the columns of a CSV file."""
    return ";" if excel else ","


def _instant(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def csv_line(cells: Sequence[object], delimiter: str) -> bytes:
    """Return one line of CSV, of whose cells no spreadsheet runs any as a formula."""
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter).writerow(map(_cell, cells))
    return line.getvalue().encode()


def _cell(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # One row is one line, whatever a claim holds, and no spreadsheet may run a claim as a formula.
    text = " ".join(text.splitlines())
    rest = text.lstrip()
    text = text[: len(text) - len(rest)] + _INNER.sub("'", rest)
    return f"'{text}" if _FORMULA.match(text) else text


class ResultFile:
    """A file of results that a journal accounts for; see `idura_ciba.batch.Output`.

    Args:
        path: The file, created for its owner only.
        output_format: The format of the file.
        claims: Names of the claims that are columns in CSV.
        keep: Names of the caller's own columns.
        excel: Write CSV as Excel reads it wherever a comma is the decimal sign: semicolons, and a byte order mark.
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
        self._format: Format = output_format
        self._claims = tuple(claims)
        self._keep = tuple(keep)
        self._excel = excel
        self._delimiter = separator(excel=excel)
        self._file: int | None = None
        self._position = 0

    async def open(self, journal: Journal) -> None:
        """Open the file, and continue after the last complete result.

        An incomplete line is removed. Complete lines that the journal does not have yet are added to it.

        Raises:
            UsageError: The file does not match the journal.
            JournalError: The journal cannot be used.
        """
        settings = json.dumps(
            {
                "format": self._format,
                "claims": self._claims,
                **({"keep": self._keep} if self._keep else {}),
                **({"excel": True} if self._excel else {}),
            }
        )
        former, position = await journal.fact("output"), await journal.fact("position") or 0
        if former not in {None, settings}:
            raise ArgumentError(
                f"The results in {self._path} have another format, other claims or other columns",
                code="output_settings",
                advice="Pass the same --claim, --keep, --excel and --out as before, or a new journal and a new file",
            )
        self._open(is_new=former is None, position=position)
        await journal.note("output", settings)
        await self._take_over(journal, position)
        if not self._position:
            self._begin()

    def _open(self, *, is_new: bool, position: int) -> None:
        reason = ""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
            size = os.fstat(self._file).st_size
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            raise ArgumentError(
                f"The file {self._path} cannot be written: {reason}", code="file", advice="Choose another path"
            )
        if is_new and size:
            self.close()
            raise ArgumentError(
                f"The file {self._path} already exists, but the journal is new",
                code="file_exists",
                advice="Choose another path, move the file away, or pass the journal that belongs to it",
            )
        if size < position:
            self.close()
            raise ArgumentError(
                f"The file {self._path} has lost results: it is shorter than the journal says",
                code="output_changed",
                advice="Restore it, or pass the file of earlier runs: the journal does not keep delivered results",
            )

    async def _take_over(self, journal: Journal, position: int) -> None:
        """Read the lines that a crash has left after the last journaled position."""
        with os.fdopen(os.dup(self._descriptor()), "rb") as file:
            file.seek(position)
            tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if not self._is_ours(position) or not self._may_be_cut(tail[len(whole) :], position + len(whole)):
            self._refuse("does not hold the results of this batch")
        if not position and self._format == "csv" and whole.startswith(self._header()):
            position, whole = len(self._header()), whole[len(self._header()) :]
        found: list[Entry] = []
        waiting = {self._written(entry.key): entry for entry in await journal.unfinished()}
        for line in whole.splitlines(keepends=True):
            members = self._parse(line)
            if members.get("code") == "key_twice":
                continue
            entry, state = waiting.pop(str(members.get("key")), None), str(members.get("state"))
            if entry is None or state not in _FINAL or entry.state not in {None, state}:
                self._refuse("ends with lines that do not belong to this batch")
            entry.state, entry.code = state, members.get("code") or None
            entry.ended_at = entry.ended_at or entry.asked_at
            entry.phase, entry.token, entry.answer = Phase.DELIVERED, None, None
            found.append(entry)
        self._position = position + len(whole)
        os.ftruncate(self._descriptor(), self._position)
        os.lseek(self._descriptor(), self._position, os.SEEK_SET)
        await journal.account(found, self._position)

    def _is_ours(self, position: int) -> bool:
        """Return whether the file begins with results, if the journal says that some were written."""
        if not position:
            return True
        with os.fdopen(os.dup(self._descriptor()), "rb") as file:
            file.seek(0)
            first = file.readline()
        return first == self._header() if self._format == "csv" else self._parse(first).get("state") in _FINAL

    def _may_be_cut(self, rest: bytes, position: int) -> bool:
        """Return whether what follows the last whole line may be the beginning of a line that was cut off."""
        if self._format == "csv" and position:
            return True
        begin = self._header() if self._format == "csv" else _LINE
        # A power failure may leave zeros.
        rest = rest.rstrip(b"\0")
        return rest.startswith(begin) or begin.startswith(rest)

    def _refuse(self, why: str) -> NoReturn:
        self.close()
        raise ArgumentError(
            f"The file {self._path} {why}",
            code="output_changed",
            advice="Restore the file, and write other data elsewhere",
        )

    def _written(self, key: str) -> str:
        """Return a key as it is written in the file."""
        return _cell(key) if self._format == "csv" else key

    def _parse(self, line: bytes) -> Mapping[str, Any]:
        try:
            if self._format == "jsonl":
                members: dict[str, Any] = json.loads(line)
                return members if isinstance(members, dict) else {}
            return dict(zip(_COLUMNS, next(csv.reader([line.decode()], delimiter=self._delimiter)), strict=False))
        except (ValueError, StopIteration, csv.Error):
            return {}

    def _header(self) -> bytes:
        return header(self._claims, self._keep, excel=self._excel)

    def _begin(self) -> None:
        if self._format == "csv":
            self._write(self._header())

    def write(self, result: Result, kept: Mapping[str, str] | None = None) -> None:
        """Write one result.

        Args:
            result: The result.
            kept: The caller's own columns, by name.

        Raises:
            UsageError: It cannot be written; the journal keeps it.
        """
        own = {name: (kept or {}).get(name, "") for name in self._keep} if self._keep else None
        self._write(render(result, self._format, self._claims, own, delimiter=self._delimiter))

    def _write(self, line: bytes) -> None:
        reason, rest = "", line
        try:
            while rest:
                rest = rest[os.write(self._descriptor(), rest) :]
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            raise ArgumentError(
                f"The results cannot be written to {self._path}: {reason}",
                code="output",
                advice="Free space on the disk, then run the same command again: the journal keeps the results",
            )
        # Only now, so that the position never covers half a line.
        self._position += len(line)

    def position(self) -> int:
        """Return the number of bytes written so far."""
        return self._position

    def sync(self) -> None:
        """Return once they are on disk."""
        os.fsync(self._descriptor())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _descriptor(self) -> int:
        assert self._file is not None  # noqa: S101 - for type checkers: it is open
        return self._file
