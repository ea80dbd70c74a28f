"""The day as a table for a spreadsheet: without numbers, and nothing in it can run as a formula."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from idura_ciba.batch.writing import csv_line, separator
from idura_ciba.desk.entry import Entry
from idura_ciba.protocol.machine import State

__all__ = ["COLUMNS", "listing"]

COLUMNS: Final = (
    "call", "asked_at", "ended_at", "eid", "note", "state", "name", "person_confirmed", "level", "code", "trace_id",
)  # fmt: skip


def listing(entries: Iterable[Entry], *, language: str) -> bytes:
    """A CSV file, in UTF-8 with a byte order mark, which Excel needs to see that.

    Args:
        entries: The logins, in the order of the lines.
        language: That of the agent, of `LANGUAGES`. Where a comma is the decimal sign, Excel wants semicolons.
    """
    delimiter = separator(excel=language != "en")
    lines = [csv_line(COLUMNS, delimiter)]
    for entry in entries:
        confirmed = entry.confirmed if entry.state is State.APPROVED else None
        cells = (
            *(entry.nth, _local(entry.asked_at), _local(entry.ended_at), entry.label, entry.note, entry.state.value),
            *(entry.name, confirmed, entry.level, entry.code, entry.trace_id),
        )
        lines.append(csv_line(cells, delimiter))
    return codecs.BOM_UTF8 + b"".join(lines)


def _local(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")
