"""What was counted, by key: kept within bounds, forgotten slowly, stored, and shared between processes.

Rules:
1. An export holds what this process has counted, and never what it has heard from others: so nothing that was shared
   comes back and counts twice.
2. `merge` makes an export one's own, by addition: once, when a process takes over from another.
3. `consult` puts exports beside one's own, in place of those consulted before: any number of times, while the others go
   on counting. Whose export is no longer passed is no longer listened to.
4. An export is checked as a whole before anything of it is taken.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

from idura_ciba.errors import UsageError
from idura_ciba.polling.life_table import LifeTable, Survival

__all__ = ["Cohort", "Experience"]

#: Of what `export` gives; it fixes the bins, too.
VERSION = 1
#: Transactions after which an experience counts half: enough to notice a redesigned app within days, and it costs a
#: thousandth of the polls where nothing ever changes.
HALF_LIFE = 500.0
KEEP = 2.0 ** (-1.0 / HALF_LIFE)
#: Conclusions are drawn anew after so many transactions, or this share of all where that is more. They cost
#: milliseconds, so not after each; but a change must not go unnoticed for longer than a quarter of the half-life.
REFIT_LEAST, REFIT_SHARE, REFIT_MOST = 20, 0.05, HALF_LIFE / 4
#: Keys are pairs, and those of sub-states hold such a pair.
MOST_NESTED = 4


@define(eq=False)
class Cohort:
    """Logins of one key, as they were counted by this process and by others."""

    own: LifeTable = field(factory=LifeTable)
    others: LifeTable = field(factory=LifeTable)
    _finished: int = 0
    _due_at: float = REFIT_LEAST

    def add(self, pending: float, answered: float | None, curve: Survival | None = None) -> bool:
        """Count one, as `LifeTable.add` does; says whether it is time to draw conclusions anew."""
        self.own.fade(KEEP)
        self.own.add(pending, answered, curve)
        self._finished += 1
        if self._finished < self._due_at:
            return False
        self._due_at = self._finished + max(REFIT_LEAST, min(REFIT_SHARE * self._finished, REFIT_MOST))
        return True

    def total(self) -> LifeTable:
        """All of it."""
        table = LifeTable()
        table.include(self.own)
        table.include(self.others)
        return table


@define(eq=False)
class Experience:
    """Cohorts by key, `most` of them; the key that was counted under longest ago makes room for a new one."""

    most: int
    _cohorts: OrderedDict[Hashable, Cohort] = field(init=False, repr=False, factory=OrderedDict)

    def __getitem__(self, key: Hashable) -> Cohort:
        """The cohort under a key, made where there is none."""
        cohort = self._cohorts.pop(key, None) or Cohort()
        if len(self._cohorts) >= self.most:
            self._cohorts.popitem(last=False)
        self._cohorts[key] = cohort
        return cohort

    def peek(self, key: Hashable) -> Cohort:
        """The cohort under a key, an empty one where there is none; changes nothing, not even the order."""
        return self._cohorts.get(key) or Cohort()

    def __iter__(self) -> Iterator[Hashable]:
        """The keys."""
        return iter(tuple(self._cohorts))

    def __contains__(self, key: object) -> bool:
        return key in self._cohorts

    def export(self) -> dict[str, Any]:
        """What this process has counted, as plain JSON values.

        Raises:
            UsageError: A key that JSON cannot hold; those of this package it can.
        """
        tables = [
            {
                "key": _plain(key),
                "weight": cohort.own.weight,
                "events": list(cohort.own.events),
                "exposure": list(cohort.own.exposure),
            }
            for key, cohort in self._cohorts.items()
            if cohort.own.weight > 0
        ]
        return {"version": VERSION, "tables": tables}

    def merge(self, exported: Mapping[str, Any]) -> None:
        """Add an export to what was counted here.

        Raises:
            UsageError: It is no export of this version; nothing was taken.
        """
        for key, table in read(exported).items():
            self[key].own.include(table)

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Take exports beside what was counted here, in place of those before.

        Raises:
            UsageError: One is no export of this version; nothing was changed.
        """
        tables = [item for exported in exports for item in read(exported).items()]
        for cohort in self._cohorts.values():
            cohort.others = LifeTable()
        for key, table in tables:
            self[key].others.include(table)


def read(exported: Mapping[str, Any]) -> dict[Hashable, LifeTable]:
    """Read an export.

    Raises:
        UsageError: It is none, or not of this version.
    """
    if not isinstance(exported, Mapping) or exported.keys() != {"version", "tables"}:
        raise _unreadable("has other members than version and tables")
    if type(exported["version"]) is not int or exported["version"] != VERSION:
        raise _unreadable("is of another version")
    if not isinstance(exported["tables"], list):
        raise _unreadable("holds no list of tables")
    tables: dict[Hashable, LifeTable] = {}
    for entry in exported["tables"]:
        if not isinstance(entry, Mapping) or entry.keys() != {"key", "weight", "events", "exposure"}:
            raise _unreadable("holds something that is no table")
        if not isinstance(entry["events"], list) or not isinstance(entry["exposure"], list):
            raise _unreadable("holds a table without its lists")
        key = _hashable(entry["key"])
        if key in tables:
            raise _unreadable("holds two tables under one key")
        tables[key] = LifeTable(entry["weight"], list(entry["events"]), list(entry["exposure"]))
        tables[key].check()
    return tables


def _plain(key: Hashable) -> Any:
    """A key as JSON can hold it: a tuple as a list."""
    if isinstance(key, tuple):
        return [_plain(part) for part in key]
    if key is None or isinstance(key, str | int) or (isinstance(key, float) and math.isfinite(key)):
        return key
    raise UsageError(
        "a kind of login has a key that JSON cannot hold",
        code="strategy",
        advice="make it of text, numbers and tuples of them",
    )


def _hashable(key: Any, depth: int = 0) -> Hashable:
    if isinstance(key, list) and depth < MOST_NESTED:
        return tuple(_hashable(part, depth + 1) for part in key)
    if key is None or isinstance(key, str | int) or (isinstance(key, float) and math.isfinite(key)):
        return key
    raise _unreadable("holds a key that is none")


def _unreadable(why: str) -> UsageError:
    return UsageError(
        f"what was to be learned from {why}",
        code="strategy",
        advice="pass what export() gave, of the same version of this package",
    )
