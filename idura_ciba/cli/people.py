"""People from a file: each row becomes a request, or is set aside with a reason."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from attrs import define, field, frozen

from idura_ciba import EidRequest, UsageError
from idura_ciba.batch.reading import BadRow, Row
from idura_ciba.cli.eids import fitting
from idura_ciba.eids import EIDS, Eid, Eids
from idura_ciba.redaction import Redacted

__all__ = ["Choices", "People", "Seen"]

#: How the codes of errors begin that the column `ssn` is to blame for.
_WRONG_PERSON: Final = ("national_number_", "phone", "email")
#: Rows that are checked together: twice as fast as a thousand, and some MiB.
_TOGETHER: Final = 8000
#: Bytes of what is kept of each.
_DIGEST: Final = 12
#: Bytes of a line's number.
_LINE: Final = 6
#: One statement for all of them costs half of one each.
_DIGESTS: Final = """
    WITH RECURSIVE digest(begins) AS (
        SELECT 0 WHERE length(:digests) UNION ALL
        SELECT begins + :size FROM digest WHERE begins + :size < length(:digests)
    ), new(nth, what, line) AS (
        SELECT begins / :size, substr(:digests, begins + 1, :size), substr(:lines, begins / :size * :line + 1, :line)
        FROM digest
    )
"""
_INSERT: Final = f"{_DIGESTS} INSERT OR IGNORE INTO seen SELECT what, line FROM new"  # noqa: S608 - our own words
_FIND: Final = f"{_DIGESTS} SELECT nth, seen.line FROM new JOIN seen USING (what) WHERE seen.line != new.line"  # noqa: S608
#: Rows that differ in nothing but their people are looked at once. There may be as many others as messages, so not all
#: of them can be kept.
_MOST_KEPT: Final = 1000


@frozen(kw_only=True)
class Choices:
    """What holds for all rows that do not say otherwise.

    Attributes:
        eid: The name of the eID that asks.
        options: What eIDs take, by name, and `message`. Each row's eID gets those that it takes.
        fields: Of `EidRequest`, for all.
    """

    eid: str | None = None
    options: Mapping[str, Any] = field(factory=dict, repr=False)
    fields: Mapping[str, Any] = field(factory=dict)


@define(eq=False)
class _Way:
    """How rows are asked that differ in nothing but their people.

    Attributes:
        eid: Asks them.
        given: What it is asked with.
        own: What tells them apart where no number does.
        tried: One of them could be asked.
    """

    eid: Eid
    given: Mapping[str, Any] = field(repr=False)
    own: Redacted
    tried: bool = False


#: A row's key, its person, and the request where one was made.
Made = tuple[str, Redacted, EidRequest | None]
#: Makes a request, or sees that one could be made.
Maker = Callable[[_Way, Redacted], EidRequest | None]


class Seen:
    """What has been in the file. On disk, under a secret of this run: there may be millions."""

    def __init__(self) -> None:
        self._secret = hashlib.blake2b(key=os.urandom(32), digest_size=_DIGEST)
        # SQLite removes a file without a name by itself.
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "PRAGMA cache_size = -32768",
            "CREATE TABLE seen (what BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID",
            "BEGIN",
        ):
            self._database.execute(statement)

    def add(self, values: Sequence[str], lines: Sequence[int]) -> Mapping[int, int]:
        """Which of some values are not new.

        Args:
            values: The values.
            lines: The line of each; no two are the same.

        Returns:
            By the place among the values, the line on which the value was first.
        """
        digests = []
        for value in values:
            digest = self._secret.copy()
            digest.update(value.encode())
            digests.append(digest.digest())
        # Neighbours go to the same page. Of equal ones the first stays the first.
        order = sorted(range(len(digests)), key=digests.__getitem__)
        given = {
            "digests": b"".join(map(digests.__getitem__, order)),
            "size": _DIGEST,
            "lines": b"".join([lines[nth].to_bytes(_LINE) for nth in order]),
            "line": _LINE,
        }
        self._database.execute(_INSERT, given)
        if self._database.execute("SELECT changes()").fetchone() == (len(order),):
            return {}
        return {order[place]: int.from_bytes(line) for place, line in self._database.execute(_FIND, given)}

    def close(self) -> None:
        """Forget all."""
        self._database.close()


@define(eq=False)
class People:
    """Goes through rows and makes requests of them.

    Args:
        choices: What holds for all.
        eids: Those that a row may name.
        repeated: Told of each good row whose person has been named before.

    Attributes:
        good: Rows of people who can be asked.
        bad: Rows by which nobody can be asked.
        again: People among the good ones who had been named before.
    """

    choices: Choices
    eids: Eids = field(default=EIDS, repr=False)
    repeated: Callable[[BadRow], None] = field(default=lambda _row: None, repr=False)
    good: int = 0
    bad: int = 0
    again: int = 0
    _keys: Seen = field(init=False, factory=Seen, repr=False)
    _people: Seen = field(init=False, factory=Seen, repr=False)
    # What a row may choose for itself, and of which words; any where there are none.
    _columns: Mapping[str, Collection[str]] = field(init=False, repr=False)
    # What was made of the same words before.
    _ways: dict[tuple[str | None, ...], _Way] = field(init=False, factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        """Find out what a row can say."""
        names = [name for name in self.eids.columns(self.choices.eid) if name not in {"key", "ssn"}]
        takers = self.eids.options()
        choices = {
            name: dict.fromkeys(choice for _, option in takers[name] for choice in option.choices) for name in takers
        }
        self._columns = {name: self.eids if name == "eid" else choices.get(name, {}) for name in names}

    def request(self, row: Row | BadRow) -> tuple[str, EidRequest] | BadRow:
        """The key and the request of a row, or why there is none."""
        (made,) = self._all([row], _ask)
        if isinstance(made, BadRow):
            return made
        key, _, request = made
        assert request is not None  # noqa: S101 - for type checkers: it was built
        return key, request

    def check(self, rows: Iterator[Row | BadRow]) -> Iterator[BadRow]:
        """Yield the bad rows. Requests that differ in nothing but the number are not all built."""
        while some := list(islice(rows, _TOGETHER)):
            yield from (made for made in self._all(some, self._check) if isinstance(made, BadRow))

    def close(self) -> None:
        """Forget who was in the file."""
        self._keys.close()
        self._people.close()

    def _all(self, rows: Sequence[Row | BadRow], make: Maker) -> Sequence[Made | BadRow]:
        """What is made of each row, or why nothing is. Together, because looking up each costs the most."""
        made = [row if isinstance(row, BadRow) else self._make(row, make) for row in rows]
        good = [(place, each) for place, each in enumerate(made) if isinstance(each, tuple)]
        again = self._keys.add([key for _, (key, _, _) in good], [rows[place].line for place, _ in good])
        for nth, earlier in again.items():
            place, (key, _, _) = good[nth]
            made[place] = BadRow(rows[place].line, "key_twice", f"repeats the key of line {earlier}", "key", key)
        people = [(row.line, *each[:2]) for row, each in zip(rows, made, strict=True) if isinstance(each, tuple)]
        again = self._people.add([person for _, _, person in people], [line for line, _, _ in people])
        for nth, earlier in sorted(again.items()):
            line, key, _ = people[nth]
            self.repeated(BadRow(line, "person_twice", f"names the same person as line {earlier}", None, key))
        self.again += len(again)
        self.good += len(people)
        self.bad += len(rows) - len(people)
        return made

    def _make(self, row: Row, make: Maker) -> Made | BadRow:
        values = row.values
        key = values.get("key", str(row.line))
        try:
            way = self._way(row, key)
            made = way if isinstance(way, BadRow) else _made(row, key, way, make)
        except UsageError as error:
            column = "ssn" if error.code.startswith(_WRONG_PERSON) else None
            why = f"is invalid: {error.what}"
            made = BadRow(row.line, error.code, why, column, key, remedy=error.advice.rstrip("."))
        number = values.get("ssn", "")
        if number:
            # Of a bad row the number was not read, and its key is reported.
            number = "".join(filter(str.isalnum, number)) if isinstance(made, BadRow) else made[1]
        if _tells(key, number) or _tells(key, values.get("login_hint", "")):
            why = "holds the national number, and a key must not identify the person"
            return BadRow(row.line, "key", why, "key")
        return made

    def _way(self, row: Row, key: str) -> _Way | BadRow:
        """How one row is asked."""
        words = tuple(map(row.values.get, self._columns))
        known = self._ways.get(words)
        if known is not None:
            return known
        own: dict[str, Any] = {name: word for name, word in zip(self._columns, words, strict=True) if word is not None}
        for name, word in own.items():
            if self._columns[name] and word not in self._columns[name]:
                return BadRow(row.line, name, f"must be one of {', '.join(self._columns[name])}", name, key)
        name = own.pop("eid", self.choices.eid)
        if name is None:
            return BadRow(row.line, "eid", "names no eID, and --eid is not given", "eid", key)
        eid = self.eids[name]
        # A file may be of several eIDs: what was said for all is for those who take it.
        options = {name: value for name, value in self.choices.options.items() if eid.takes(name)}
        asked, given = eid.resolve({**options, **fitting(eid, own, self.eids)})
        told = "\n".join(word for name, word in own.items() if name != "message")
        way = _Way(asked, {**given, **self.choices.fields}, Redacted(told))
        if asked.needs_ssn and len(self._ways) < _MOST_KEPT:
            self._ways[words] = way
        return way

    def _check(self, way: _Way, number: Redacted) -> None:
        """See whether a request could be made, by a person who has been read."""
        if not way.tried or way.eid.number is None:
            _ask(way, number)
            way.tried = True


def _made(row: Row, key: str, way: _Way, make: Maker) -> Made | BadRow:
    """A row by its person: the number, or where none is needed what else the row says."""
    number = row.values.get("ssn")
    if way.eid.needs_ssn:
        if number is None:
            return BadRow(row.line, "missing", "is empty", "ssn", key)
        # One form for each person, so that two spellings are one duplicate.
        person = way.eid.check_ssn(number, **way.given)
        return key, person, make(way, person)
    if not way.own:
        return BadRow(row.line, "one_person", "says nothing by which to tell who is asked", None, key)
    return key, way.own, make(way, Redacted())


def _tells(key: str, number: str) -> bool:
    """Whether a key has the number in it, with or without the century and whatever stands between its digits."""
    if not number or number[-4:].casefold() not in key.casefold():
        return False  # whatever stands between the others, the last four are written together
    written, keyed = ("".join(filter(str.isalnum, text)).casefold() for text in (number, key))
    told = written if "@" in number else written[-len("YYMMDDNNNC") :]
    return len(told) > len("12345") and told in keyed


def _ask(way: _Way, number: Redacted) -> EidRequest:
    return way.eid.ask(number, **way.given)
