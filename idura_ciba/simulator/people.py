"""Made-up people. Every detail follows from a seed and the identity number; none belongs to a real person."""

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
    """A made-up person.

    Attributes:
        number: The identity number.
        guid: A pseudonym, the same for all logins of this person.
        given_name: A name that nobody has.
        family_name: Likewise.
        unique_id: The `uniqueuserid` of Norwegian BankID.
        address: The phone's IP address, from a documentation range (RFC 5737).
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
        """Return the name claims, in every spelling that Idura uses."""
        return {
            "name": f"{self.given_name} {self.family_name}",
            "givenname": self.given_name,
            "given_name": self.given_name,
            "surname": self.family_name,
            "family_name": self.family_name,
        }


def dice(*seed: object) -> Random:
    """Return a random generator that is the same in every run for equal seeds."""
    return Random("/".join(map(str, seed)))  # predictable on purpose


def invent_person(seed: int, eid: str, number: str) -> Person:
    """Make up the person with this number, always the same one for the same seed and eID."""
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
    """Make up a number for a person known by e-mail or phone: well formed, with a birth date in the future."""
    made_up = dice(seed, "number", key)
    digits = f"98{made_up.randrange(1, 13):02}{made_up.randrange(1, 29):02}{made_up.randrange(1, 1000):03}"
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(digits))
    return f"20{digits}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


def invent_uuid(made_up: Random) -> str:
    """Make up a version 4 UUID."""
    return str(UUID(int=made_up.getrandbits(128), version=4))
