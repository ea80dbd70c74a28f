"""Life tables by key: bounded in number, slowly faded, exported, and shared between processes.

Rules:
1. An export holds what this process counted, never what it learned from others. So no shared count comes back and
   counts twice.
2. `merge` adds an export to this process's own counts. Use it once, when one process takes over from another.
3. `consult` keeps exports separate from this process's counts and replaces those consulted before. Use it any number of
   times, while the other processes keep counting. A process whose export is no longer passed no longer counts.
4. An export is checked as a whole before any of it is used.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

from idura_ciba.errors import ArgumentError, UsageError
from idura_ciba.polling.life_table import LifeTable, Survival

__all__ = ["Cohort", "Experience"]

#: Version of the export format, including the bins.
VERSION = 1
#: Transactions after which a count weighs half. Notices a redesigned app within days, and costs 0.1 % of the polls if
#: nothing ever changes.
HALF_LIFE = 500.0
KEEP = 2.0 ** (-1.0 / HALF_LIFE)
#: Curves are refitted after this many transactions, or this share of all, whichever is more. A refit takes
#: milliseconds, so not after each transaction; but a change must show within a quarter of the half-life.
REFIT_LEAST, REFIT_SHARE, REFIT_MOST = 20, 0.05, HALF_LIFE / 4
#: Depth of nested keys: a key is a pair, and the key of a hint holds such a pair.
MOST_NESTED = 4


@define(eq=False)
class Cohort:
    """Counts of the logins of one key, by this process and by others."""

    own: LifeTable = field(factory=LifeTable)
    others: LifeTable = field(factory=LifeTable)
    _finished: int = 0
    _due_at: float = REFIT_LEAST

    def add(self, pending: float, answered: float | None, curve: Survival | None = None) -> bool:
        """Count one login, as `LifeTable.add` does; return whether a refit is due."""
        self.own.fade(KEEP)
        self.own.add(pending, answered, curve)
        self._finished += 1
        if self._finished < self._due_at:
            return False
        self._due_at = self._finished + max(REFIT_LEAST, min(REFIT_SHARE * self._finished, REFIT_MOST))
        return True

    def total(self) -> LifeTable:
        """This process's counts and the others', added up."""
        table = LifeTable()
        table.include(self.own)
        table.include(self.others)
        return table


@define(eq=False)
class Experience:
    """Cohorts by key, `most` of them; the least recently counted is dropped for a new one."""

    most: int
    _cohorts: OrderedDict[Hashable, Cohort] = field(init=False, repr=False, factory=OrderedDict)

    def __getitem__(self, key: Hashable) -> Cohort:
        """The cohort of a key, created if missing."""
        cohort = self._cohorts.pop(key, None) or Cohort()
        if len(self._cohorts) >= self.most:
            self._cohorts.popitem(last=False)
        self._cohorts[key] = cohort
        return cohort

    def peek(self, key: Hashable) -> Cohort:
        """The cohort of a key, or an empty one; changes nothing, not even the order of eviction."""
        return self._cohorts.get(key) or Cohort()

    def __iter__(self) -> Iterator[Hashable]:
        """The keys."""
        return iter(tuple(self._cohorts))

    def __contains__(self, key: object) -> bool:
        return key in self._cohorts

    def export(self) -> dict[str, Any]:
        """Return what this process has counted, as plain JSON values.

        Raises:
            UsageError: A key that JSON cannot hold; this package's own keys are fine.
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
            UsageError: Not an export of this version; nothing was added.
        """
        for key, table in read(exported).items():
            self[key].own.include(table)

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Use exports in addition to what was counted here, in place of those consulted before.

        Raises:
            UsageError: One is not an export of this version; nothing was changed.
        """
        tables = [item for exported in exports for item in read(exported).items()]
        for cohort in self._cohorts.values():
            cohort.others = LifeTable()
        for key, table in tables:
            self[key].others.include(table)


def read(exported: Mapping[str, Any]) -> dict[Hashable, LifeTable]:
    """Read and check an export.

    Raises:
        UsageError: Not an export, or one of another version.
    """
    if not isinstance(exported, Mapping) or exported.keys() != {"version", "tables"}:
        raise _unreadable("must have exactly the members version and tables")
    if type(exported["version"]) is not int or exported["version"] != VERSION:
        raise _unreadable("has another version")
    if not isinstance(exported["tables"], list):
        raise _unreadable("has no list of tables")
    tables: dict[Hashable, LifeTable] = {}
    for entry in exported["tables"]:
        if not isinstance(entry, Mapping) or entry.keys() != {"key", "weight", "events", "exposure"}:
            raise _unreadable("contains something other than a table")
        if not isinstance(entry["events"], list) or not isinstance(entry["exposure"], list):
            raise _unreadable("contains a table without its lists")
        key = _hashable(entry["key"])
        if key in tables:
            raise _unreadable("contains two tables with the same key")
        tables[key] = LifeTable(entry["weight"], list(entry["events"]), list(entry["exposure"]))
        tables[key].check()
    return tables


def _plain(key: Hashable) -> Any:
    """A key as a JSON value: tuples become lists."""
    if isinstance(key, tuple):
        return [_plain(part) for part in key]
    if key is None or isinstance(key, str | int) or (isinstance(key, float) and math.isfinite(key)):
        return key
    raise ArgumentError(
        "the key of a kind of login cannot be written as JSON",
        code="strategy",
        advice="use text, numbers, None, and tuples of them",
    )


def _hashable(key: Any, depth: int = 0) -> Hashable:
    if isinstance(key, list) and depth < MOST_NESTED:
        return tuple(_hashable(part, depth + 1) for part in key)
    if key is None or isinstance(key, str | int) or (isinstance(key, float) and math.isfinite(key)):
        return key
    raise _unreadable("contains an invalid key")


def _unreadable(why: str) -> UsageError:
    return ArgumentError(
        f"the export {why}",
        code="strategy",
        advice="pass the result of export(), from the same version of this package",
    )
