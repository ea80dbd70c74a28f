"""Tests of the people that the simulator makes up."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest

from idura_ciba.simulator.people import dice, invent_person, invent_swedish_number, invent_uuid


def test_a_person_is_always_the_same_one() -> None:
    """Seed, eID and number make the person; each of them tells people apart."""
    person = invent_person(1, "se", "209801011231")
    assert person == invent_person(1, "se", "209801011231")
    others = [
        invent_person(2, "se", "209801011231"),
        invent_person(1, "freja", "209801011231"),
        invent_person(1, "se", "209602294564"),
    ]
    assert len({person.guid, *(other.guid for other in others)}) == 4


def test_a_person_cannot_be_reached() -> None:
    """Addresses and numbers are of kinds that nobody has."""
    person = invent_person(1, "no", "01023990128")
    assert person.address.startswith("192.0.2.")
    assert person.email.endswith(".invalid")
    assert not person.phone.isdigit()
    assert "01023990128" not in repr(person)


def test_a_name_is_told_in_each_spelling() -> None:
    """Idura's tokens have both."""
    person = invent_person(1, "se", "209801011231")
    names = person.names()
    assert names["name"] == f"{names['given_name']} {names['family_name']}"
    assert (names["givenname"], names["surname"]) == (names["given_name"], names["family_name"])


@pytest.mark.parametrize("key", ["a@simulator.invalid", "b@simulator.invalid", "+4600000000", "+4600000001"])
def test_an_invented_number_is_well_formed_and_unborn(key: str) -> None:
    """Twelve digits, a real date in the future, and the check digit of the ten-digit form."""
    number = invent_swedish_number(1, key)
    assert number == invent_swedish_number(1, key)
    assert len(number) == 12
    assert date(int(number[:4]), int(number[4:6]), int(number[6:8])).year == 2098
    doubled = "".join(str(int(digit) * (2 if place % 2 == 0 else 1)) for place, digit in enumerate(number[2:11]))
    assert (sum(map(int, doubled)) + int(number[11])) % 10 == 0


def test_dice_fall_alike_for_equal_seeds() -> None:
    """And differently for others."""
    assert dice(1, "a").random() == dice(1, "a").random() != dice(1, "b").random()


def test_an_invented_uuid_is_one() -> None:
    """Version 4 by its looks."""
    assert UUID(invent_uuid(dice(1))).version == 4
