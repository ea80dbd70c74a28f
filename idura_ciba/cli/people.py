"""People from a file: each row becomes a request, or is set aside with a reason."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final, cast, get_args

from attrs import define, evolve, field, frozen

from idura_ciba import EidRequest, UsageError
from idura_ciba.batch.reading import BadRow, Row
from idura_ciba.cli.person import CallInitiator, Country, EidName, build_request, joined
from idura_ciba.eids.identity_number import check_norwegian, check_swedish
from idura_ciba.redaction import Redacted

__all__ = ["Choices", "People", "Seen"]

#: Rules of numbers by eID; that of FrejaID depends on more than the number.
_RULES: Final = {"se": check_swedish, "no": check_norwegian}
#: Rows that are checked together: twice as fast as a thousand, and some MiB.
_TOGETHER: Final = 8000
#: Bytes of what is kept of each.
_DIGEST: Final = 12
#: One statement for all of them costs half of one each.
_INSERT: Final = """
    WITH RECURSIVE digest(begins) AS (
        SELECT 0 WHERE length(:digests) UNION ALL
        SELECT begins + :size FROM digest WHERE begins + :size < length(:digests)
    )
    INSERT OR IGNORE INTO seen SELECT substr(:digests, begins + 1, :size), :first + begins / :size FROM digest
"""
#: What rows may choose for themselves.
_OWN: Final = ("eid", "call_initiator", "message", "country")
#: Rows that differ in nothing but their people are looked at once. There may be as many others as messages, so not all
#: of them can be kept.
_MOST_KEPT: Final = 1000


@frozen(kw_only=True, cache_hash=True)
class Choices:
    """What holds for all rows that do not say otherwise."""

    eid: EidName | None = None
    call_initiator: CallInitiator | None = None
    message: str | None = None
    country: Country = "SE"
    scope: str = "openid"
    require_person: bool = False


#: A row's key, its person, and the request where one was made.
Made = tuple[str, Redacted, EidRequest | None]
#: Makes a request, or sees that one could be made.
Maker = Callable[[Choices, Redacted], EidRequest | None]


class Seen:
    """What has been in the file. On disk, under a secret of this run: there may be millions."""

    def __init__(self) -> None:
        self._secret = hashlib.blake2b(key=os.urandom(32), digest_size=_DIGEST)
        self._count = 0
        # SQLite removes a file without a name by itself.
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "PRAGMA cache_size = -32768",
            "CREATE TABLE seen (what BLOB PRIMARY KEY, nth INTEGER) WITHOUT ROWID",
            "BEGIN",
        ):
            self._database.execute(statement)

    def add(self, values: Sequence[str]) -> Collection[int]:
        """Which of some values are not new, by their places among them."""
        digests = []
        for value in values:
            digest = self._secret.copy()
            digest.update(value.encode())
            digests.append(digest.digest())
        # Neighbours go to the same page. Of equal ones the first stays the first.
        order = sorted(range(len(digests)), key=digests.__getitem__)
        first, self._count = self._count, self._count + len(order)
        together = b"".join(map(digests.__getitem__, order))
        self._database.execute(_INSERT, {"digests": together, "size": _DIGEST, "first": first})
        if self._database.execute("SELECT changes()").fetchone() == (len(order),):
            return ()
        find = "SELECT nth FROM seen WHERE what = ?"
        places = enumerate(order, first)
        return {nth for place, nth in places if self._database.execute(find, (digests[nth],)).fetchone() != (place,)}

    def close(self) -> None:
        """Forget all."""
        self._database.close()


@define(eq=False)
class People:
    """Goes through rows and makes requests of them.

    Args:
        choices: What holds for all.

    Attributes:
        good: Rows of people who can be asked.
        bad: Rows by which nobody can be asked.
        again: People among the good ones who had been named before.
    """

    choices: Choices
    good: int = 0
    bad: int = 0
    again: int = 0
    _keys: Seen = field(init=False, factory=Seen, repr=False)
    _people: Seen = field(init=False, factory=Seen, repr=False)
    # What was made of the same words before.
    _chosen: dict[tuple[str | None, ...], Choices] = field(init=False, factory=dict, repr=False)
    _tried: set[Choices] = field(init=False, factory=set, repr=False)

    def request(self, row: Row | BadRow) -> tuple[str, EidRequest] | BadRow:
        """The key and the request of a row, or why there is none."""
        (made,) = self._all([row], _build)
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
        for nth in self._keys.add([key for _, (key, _, _) in good]):
            place, (key, _, _) = good[nth]
            made[place] = BadRow(rows[place].line, "key_twice", "repeats the key of an earlier row", "key", key)
        numbers = [each[1] for each in made if isinstance(each, tuple)]
        self.again += len(self._people.add(numbers))
        self.good += len(numbers)
        self.bad += len(rows) - len(numbers)
        return made

    def _make(self, row: Row, make: Maker) -> Made | BadRow:
        values = row.values
        key = values.get("key", str(row.line))
        number = values.get("ssn")
        if number is None:
            return BadRow(row.line, "missing", "is empty", "ssn", key)
        if _tells(key, number):
            why = "holds the national number, and a key must not identify the person"
            return BadRow(row.line, "key", why, "key")
        try:
            own = self._own_choices(row, key)
            number = joined(number)
            return own if isinstance(own, BadRow) else (key, number, make(own, number))
        except UsageError as error:
            column = "ssn" if error.code.startswith("national_number_") else None
            why = f"is invalid: {error.what}"
            return BadRow(row.line, error.code, why, column, key)

    def _own_choices(self, row: Row, key: str) -> Choices | BadRow:
        """What holds for one row."""
        words = tuple(map(row.values.get, _OWN))
        known = self._chosen.get(words)
        if known is not None:
            return known
        own: dict[str, Any] = {name: word for name, word in zip(_OWN, words, strict=True) if word is not None}
        for name, kind in (("eid", EidName), ("call_initiator", CallInitiator), ("country", Country)):
            if name in own and own[name] not in get_args(kind):
                return BadRow(row.line, name, f"must be one of {', '.join(get_args(kind))}", name, key)
        choices = evolve(self.choices, **own) if own else self.choices
        if choices.eid is None:
            return BadRow(row.line, "eid", "names no eID, and --eid is not given", "eid", key)
        # Swedish BankID alone takes it; a file may be of several eIDs.
        if choices.eid != "se" and "call_initiator" not in own and choices.call_initiator is not None:
            choices = evolve(choices, call_initiator=None)
        if choices.eid == "no" and "message" not in own and choices.message is not None:
            choices = evolve(choices, message=None)
        if len(self._chosen) < _MOST_KEPT:
            self._chosen[words] = choices
        return choices

    def _check(self, choices: Choices, number: Redacted) -> None:
        """See whether a request could be built."""
        rule = _RULES.get(cast("EidName", choices.eid))
        if rule is None or choices not in self._tried:
            _build(choices, number)
            if len(self._tried) < _MOST_KEPT:
                self._tried.add(choices)
        else:
            rule(number)


def _tells(key: str, number: str) -> bool:
    """Whether a key has the number in it, with or without the century and whatever stands between its digits."""
    if number[-4:] not in key:
        return False  # whatever stands between the others, the last four are written together
    digits = "".join(filter(str.isdigit, number))[-10:]
    return (len(number) > len("12345") and number in key) or (
        len(digits) == len("YYMMDDNNNC") and digits in "".join(filter(str.isdigit, key))
    )


def _build(choices: Choices, number: Redacted) -> EidRequest:
    assert choices.eid is not None  # noqa: S101 - for type checkers: it was looked at
    return build_request(
        choices.eid,
        number,
        call_initiator=choices.call_initiator,
        message=choices.message,
        country=choices.country,
        scope=choices.scope,
        require_person=choices.require_person,
    )
