"""What a row of a file is, and why one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

__all__ = ["REMEDIES", "BadRow", "Row"]

#: What to do about a refused row, by its code. Errors of requests bring their own.
REMEDIES: Final[Mapping[str, str]] = {
    "cells": "Give the row as many cells as the header; a cell with a separator in it belongs in quotes",
    "column": "Name each member of an object like a column, and only once",
    "csv": 'Put the cell in quotes, and write each quote within it twice: ""',
    "encoding": "Save the file as UTF-8, or pass --encoding",
    "json": "Write one JSON object with text values per line",
    "key": "Use a key that is not the person's number",
    "key_twice": "Give each row a key of its own, or delete one of the two rows",
    "missing": "Fill in the number, or delete the row",
    "other_number": "Take the number out of this cell, and see whether cells of another row got into this one",
    "person_twice": "Delete one of the two rows, or pass --skip-duplicates to ask once",
    "quote": 'Correct the quotes, from the line on which the cell begins: a quote within a cell is written twice, ""',
    "spans_lines": "Write the cell in one line, and see whether a quote is missing or too many",
    "text": "Write the value in quotes",
    "too_long": "Shorten the line, or see whether a line end is missing",
    "truncated": "Get the whole file. If it is whole, add a line end",
}
_GENERAL: Final = "Correct the cell, or delete the row"


@frozen
class Row:
    """One person of a file.

    Attributes:
        line: The line on which the row begins, from 1.
        values: The values by field, without empty ones.
    """

    line: int
    values: Mapping[str, str] = field(repr=False)


@frozen
class BadRow:
    """A refused row, or a line of one.

    Attributes:
        line: The line on which it begins, from 1.
        code: A stable code for the problem.
        why: The problem, as the rest of a sentence that begins with the line and the column; no full stop.
        column: The name of the invalid column, if it is a single one.
        key: The caller's key of the row, if it could be read.
        remedy: What to do about it, a sentence without its full stop.
    """

    line: int
    code: str
    why: str
    column: str | None = None
    key: str | None = None
    remedy: str = field()

    @remedy.default
    def _remedy(self) -> str:
        return REMEDIES.get(self.code, _GENERAL)
