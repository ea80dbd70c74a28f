"""The eIDs by name, and how to add those of other modules."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.frejaid import FREJAID
from idura_ciba.eids.norwegian_bankid import NORWEGIAN_BANKID
from idura_ciba.eids.raw import RAW
from idura_ciba.eids.swedish_bankid import SWEDISH_BANKID
from idura_ciba.errors import ArgumentError, UsageError

__all__ = ["EIDS", "Eids", "declared"]

T = TypeVar("T")


class Eids(Mapping[str, Eid]):
    """An immutable mapping of short names to eIDs.

    Args:
        eids: The eIDs, in the order in which they are listed.

    Raises:
        UsageError: Two of them have the same name.

    Example:
        ::

            eids = EIDS.plus(MITID)
            request = eids.find("mitid").ask("0101010101", message="Your call to Acme")
    """

    __slots__ = ("_eids",)

    def __init__(self, *eids: Eid) -> None:
        self._eids: Mapping[str, Eid] = {eid.name: eid for eid in eids}
        if len(self._eids) < len(eids):
            names = [eid.name for eid in eids]
            twice = next(name for name in names if names.count(name) > 1)
            raise ArgumentError(
                f"There are two eIDs called {twice}", code="eid_twice", advice="Give one of them another name"
            )

    def __getitem__(self, name: str) -> Eid:
        return self._eids[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._eids)

    def __len__(self) -> int:
        return len(self._eids)

    def plus(self, *eids: Eid) -> Eids:
        """Return these eIDs and more; one that is already here is not added twice.

        Raises:
            UsageError: Two different eIDs have the same name.
        """
        return Eids(*dict.fromkeys((*self.values(), *eids)))

    def find(self, name: str) -> Eid:
        """Return the eID of this name.

        Raises:
            UsageError: There is none.
        """
        if name not in self._eids:
            raise ArgumentError(
                f"There is no eID called {name[:40]!r}",
                code="eid",
                advice=f"Use one of {', '.join(self)}; add your own with --eid-module",
            )
        return self._eids[name]

    def options(self) -> Mapping[str, tuple[tuple[Eid, Option], ...]]:
        """Their options by name, each with the eIDs that take it."""
        found: dict[str, tuple[tuple[Eid, Option], ...]] = {}
        for eid in self.values():
            for option in eid.options:
                found[option.name] = (*found.get(option.name, ()), (eid, option))
        return found

    def columns(self, default: str | None = None) -> tuple[str, ...]:
        """Return the columns that a file may have.

        Args:
            default: The eID of rows that name none. Only if it is `raw` are the columns read that describe an eID,
                because their names are common ones, such as `acr`.
        """
        described = RAW.name if default != RAW.name else None
        own = {
            name: None
            for name, takers in self.options().items()
            if any(eid.name != described and not option.repeatable for eid, option in takers)
        }
        return ("key", "ssn", "eid", "message", *own)


#: The eIDs of this package.
EIDS: Final = Eids(SWEDISH_BANKID, NORWEGIAN_BANKID, FREJAID, RAW)


def declared(module: str, kind: type[T]) -> tuple[T, ...]:
    """Return the objects of a type that a module declares, in order. The working directory is searched last.

    Args:
        module: Its dotted name.
        kind: `Eid`, or the simulator's counterpart.

    Raises:
        UsageError: There is no such module, it cannot be imported, or its declarations cannot work.
    """
    folder, reason = os.getcwd(), ""  # noqa: PTH109 - `sys.path` holds strings
    found: tuple[object, ...] = ()
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        found = tuple(vars(importlib.import_module(module)).values())
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - it may raise anything, with any message
        reason = type(error).__name__
    if reason:
        raise ArgumentError(
            f"The module {module[:80]!r} cannot be imported: {reason}",
            code="eid_module",
            advice="Name it as in an import statement, and try python -c 'import MODULE' in this folder",
        )
    return tuple(dict.fromkeys(value for value in found if isinstance(value, kind)))
