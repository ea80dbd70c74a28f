"""Tests of the people who can be asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from idura_ciba import CibaClient, FrejaID, NorwegianBankID, SwedishBankID
from idura_ciba.eids import EIDS
from idura_ciba.phone.people import TestPerson, people_to_ask
from idura_ciba.simulator import Script, SimulatedIdura

PEOPLE = list(people_to_ask(EIDS, SimulatedIdura().phones))


def test_there_are_two_for_each_way_of_being_called() -> None:
    """Only with eIDs that there are, and their numbers are in no repr."""
    assert [person.eid for person in PEOPLE] == ["se", "se", "no", "no", "freja"]
    assert [person.eid for person in people_to_ask(["no"], SimulatedIdura().phones)] == ["no", "no"]
    assert not any(person.number in repr(PEOPLE) for person in PEOPLE)


@pytest.mark.parametrize("person", PEOPLE)
async def test_each_can_be_asked_and_is_who_they_are_said_to_be(
    person: TestPerson, simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]
) -> None:
    """The client takes the number, and the login has the name."""
    requests = {
        "se": lambda: SwedishBankID(person.number, call_initiator="RP", message="Hello"),
        "no": lambda: NorwegianBankID(person.number),
        "freja": lambda: FrejaID(person.number),
    }
    simulated_idura.script(person.number, Script.approve(after=5))
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(requests[person.eid]())
    assert login.claims["name"] == simulated_idura.phones.person(person.eid, person.number).names()["name"]
    assert person.name == SimulatedIdura().phones.person(person.eid, person.number).names()["name"]
