"""Made-up people. Every detail follows from a seed and the number asked for; none of it is anybody's."""

from __future__ import annotations

from random import Random
from uuid import NAMESPACE_URL, UUID, uuid5

from attrs import field, frozen

__all__ = ["Person", "dice", "invent_person", "invent_swedish_number", "invent_uuid"]

_GIVEN = (
    "Attrapp", "Blindskrift", "Dummy", "Exempel", "Fantasi", "Fiktiva", "Figurant", "Kuliss", "Liksom", "Modell",
    "Nonsens", "Oppdiktet", "Platshållare", "Påhitta", "Sagolik", "Simulant", "Skuggan", "Testina", "Tenkt", "Utkast",
)  # fmt: skip
_FAMILY = (
    "Dataløs", "Fiktivsson", "Hittepålund", "Ingensted", "Kodesen", "Låtsasberg", "Maskinmark", "Nullstrand",
    "Provholm", "Prøvestad", "Sandlåda", "Seedström", "Simulsen", "Slumpgren", "Testander", "Testvik", "Tomrumsdal",
)  # fmt: skip


@frozen
class Person:
    """Somebody who does not exist.

    Attributes:
        number: The identity number.
        guid: A pseudonym that stays the same over all logins of this person.
        given_name: A name nobody has.
        family_name: Likewise.
        unique_id: What `uniqueuserid` of Norwegian BankID states.
        address: The telephone's IP address, from the networks for documentation (RFC 5737).
        phone: A number with a letter in it, so that nobody can be called.
        email: An address in a domain that cannot exist (RFC 2606).
    """

    number: str = field(repr=False)
    guid: UUID
    given_name: str
    family_name: str
    unique_id: str
    address: str
    phone: str
    email: str

    def names(self) -> dict[str, object]:
        """The claims that name somebody, spelt in each of the ways in which Idura spells them."""
        return {
            "name": f"{self.given_name} {self.family_name}",
            "givenname": self.given_name,
            "given_name": self.given_name,
            "surname": self.family_name,
            "family_name": self.family_name,
        }


def dice(*seed: object) -> Random:
    """Dice that fall alike in every run for equal seeds."""
    return Random("/".join(map(str, seed)))  # predictable on purpose


def invent_person(seed: int, eid: str, number: str) -> Person:
    """The one person that a number stands for in a simulation with this seed."""
    guid = uuid5(NAMESPACE_URL, f"urn:idura-ciba:simulator:{seed}:{eid}:{number}")
    made_up = dice(guid)
    given_name, family_name = made_up.choice(_GIVEN), made_up.choice(_FAMILY)
    return Person(
        number=number,
        guid=guid,
        given_name=given_name,
        family_name=family_name,
        unique_id=f"9578-0000-4-{made_up.randrange(10**6):06}",
        address=f"192.0.2.{made_up.randrange(1, 255)}",
        phone=f"0000X{made_up.randrange(1000):03}",
        email=f"person{made_up.randrange(10**6)}@simulator.invalid",
    )


def invent_swedish_number(seed: int, key: str) -> str:
    """A number for somebody known by e-mail or phone: well formed, with a birth date that lies in the future."""
    made_up = dice(seed, "number", key)
    digits = f"98{made_up.randrange(1, 13):02}{made_up.randrange(1, 29):02}{made_up.randrange(1, 1000):03}"
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(digits))
    return f"20{digits}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


def invent_uuid(made_up: Random) -> str:
    """A random-looking UUID."""
    return str(UUID(int=made_up.getrandbits(128), version=4))
