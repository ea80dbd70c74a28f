"""Read a JSON array of objects, one object at a time, however its lines are broken."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, Final

from idura_ciba.batch.rows import BadRow
from idura_ciba.batch.sources import MAX_LINE, Source
from idura_ciba.protocol.strict_json import load_object

__all__ = ["is_array", "objects"]

_SPACE: Final = " \t\r\n"
_DECODER: Final = json.JSONDecoder()


def is_array(start: str) -> bool:
    """Whether a text that begins so is an array of objects, and not a table with a strange name in its header."""
    opened, _, rest = start.lstrip().partition("[")
    return not opened and "[" in start and rest.strip()[:1] in {"{", "]", ""}


def objects(source: Source) -> Iterator[tuple[int, dict[str, Any]] | BadRow]:
    """The members of each object with the line on which it begins. Nothing is read behind what is damaged."""
    text = _Text(source)
    is_first = True
    text.skip("[")
    while True:
        text.skip(_SPACE)
        begins = text.line
        if text.next() == "]":
            text.skip("]")
            text.skip(_SPACE)
            if text.next():
                yield BadRow(text.line, "json", "stands after the end of the array")
            return
        if not is_first:
            if text.next() != ",":
                yield _damaged(begins, ends=not text.next())
                return
            text.take(1)
            text.skip(_SPACE)
            begins = text.line
        is_first = False
        taken = text.value()
        if not taken:
            yield _damaged(begins, ends=not text.next())
            return
        try:
            yield begins, load_object(taken.encode())
        except ValueError:
            yield BadRow(begins, "json", "is not a JSON object")


def _damaged(line: int, *, ends: bool) -> BadRow:
    why = "is where the array ends early" if ends else "is not valid JSON; nothing after it is read"
    return BadRow(line, "json", why, remedy="Get the whole file, or correct the line")


class _Text:
    """The text of a file, of which as much is in memory as one object may take."""

    def __init__(self, source: Source) -> None:
        self.line = 1
        self._stream = source.stream
        self._decoder = codecs.getincrementaldecoder(source.encoding)("replace")
        self._text = ""
        self._place = 0
        self._is_over = False

    def next(self) -> str:
        """The next character; empty at the end."""
        self._fill()
        return self._text[self._place : self._place + 1]

    def take(self, count: int) -> str:
        """So many characters."""
        taken = self._text[self._place : self._place + count]
        self._place += count
        self.line += taken.count("\n")
        return taken

    def skip(self, letters: str) -> None:
        """Pass over some characters."""
        while (letter := self.next()) and letter in letters:
            self.take(1)

    def value(self) -> str:
        """One JSON value; empty if there is none, or one that is too long."""
        self._fill()
        try:
            _, end = _DECODER.raw_decode(self._text, self._place)
        except (ValueError, RecursionError):
            return ""
        return self.take(end - self._place) if end - self._place <= MAX_LINE else ""

    def _fill(self) -> None:
        while not self._is_over and len(self._text) - self._place <= MAX_LINE:
            data = self._stream.read(MAX_LINE)
            self._is_over = not data
            self._text = self._text[self._place :] + self._decoder.decode(data, final=self._is_over)
            self._place = 0
