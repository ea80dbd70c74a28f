"""Made-up people to ask. Their numbers fit the eIDs' forms and belong to nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from attrs import field, frozen

from idura_ciba.simulator import Phones

__all__ = ["TestPerson", "people_to_ask"]

#: eID and number: Swedish ones have birth dates that are to come, Norwegian ones are of a year that has none yet.
_NUMBERS: Final = (
    ("se", "209801011231"),
    ("se", "209712310011"),
    ("no", "01023990128"),
    ("no", "31123990199"),
    ("freja", "209602294564"),
)


@frozen
class TestPerson:
    """Somebody to ask.

    Attributes:
        eid: Short name of the eID.
        number: The number to ask for.
        name: The name that a login will have.
    """

    __test__ = False  # for pytest, whose tests have such names

    eid: str
    number: str = field(repr=False)
    name: str


def people_to_ask(eids: Collection[str], phones: Phones) -> Iterator[TestPerson]:
    """The made-up people who have one of these eIDs, by short names."""
    for eid, number in _NUMBERS:
        if eid in eids:
            person = phones.person(eid, number)
            yield TestPerson(eid, number, f"{person.given_name} {person.family_name}")
