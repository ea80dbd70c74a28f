"""The simulated phone of Norwegian BankID.

Spec: Idura "Caller Authentication", Norwegian BankID.
"""

from __future__ import annotations

import re
from random import Random

from idura_ciba.simulator.eid import SimulatedEid, Wish
from idura_ciba.simulator.people import Person

__all__ = ["NORWEGIAN_BANKID", "invent_words"]

_ADJECTIVES = (
    "Blid", "Djerv", "Flink", "Fornøyd", "Frossen", "Glad", "Grønn", "Høflig", "Ivrig", "Kvikk", "Lur", "Lykkelig",
    "Modig", "Munter", "Nysgjerrig", "Rask", "Rolig", "Rund", "Rød", "Sindig", "Snill", "Stolt", "Søvnig", "Tålmodig",
    "Våken", "Vennlig", "Vill",
)  # fmt: skip
_NOUNS = (
    "Badeand", "Bjørk", "Brygge", "Elg", "Fjære", "Fyrtårn", "Gulrot", "Humle", "Hvalross", "Kajakk", "Kanelbolle",
    "Klippfisk", "Lampe", "Lundefugl", "Måke", "Nisselue", "Orrfugl", "Pannekake", "Reinsdyr", "Sekk", "Skjære",
    "Snøfnugg", "Sykkel", "Teltplugg", "Tranebær", "Ugle", "Vaffel", "Ørret", "Ås",
)  # fmt: skip
#: D-numbers add 40 to the day; synthetic numbers add 80 (Skatteetaten), 65 (Norsk helsenett) or 40 (NAV) to the month.
_DAY_SHIFTS, _MONTH_SHIFTS = (40,), (80, 65, 40)
#: Serials from 500 up mean 2000-2039 if the year is below this; older centuries are not supported.
_FIRST_YEAR_OF_1900S = 40


def invent_words(made_up: Random) -> str:
    """Make up a word pair for the person to recognise in the app."""
    return f"{made_up.choice(_ADJECTIVES)} {made_up.choice(_NOUNS)}"


def _claims(_wish: Wish, person: Person, shares_number: bool) -> dict[str, object]:
    birthdate = _birthdate(person.number)
    return {
        "uniqueuserid": person.unique_id,
        "certissuer": "CN=BankID - Simulator - Bank CA,O=Simulator,C=NO",
        # No certsubject: only logins with the code device have it.
        "birthdate": birthdate,
        "dateofbirth": birthdate,
        "emailaddress": person.email,
        "email": person.email,
        "mobilephone": person.phone,
        "phone_number": person.phone,
        **({"socialno": person.number} if shares_number else {}),
        **person.names(),
        "country": "NO",
    }


def _birthdate(number: str) -> str:
    """The birth date in a number, also in synthetic numbers and D-numbers; not checked to be a valid date."""
    day, month, year = int(number[:2]), int(number[2:4]), int(number[4:6])
    day -= next((shift for shift in _DAY_SHIFTS if day > shift), 0)
    month -= next((shift for shift in _MONTH_SHIFTS if month > shift), 0)
    century = "20" if number[6] >= "5" and year < _FIRST_YEAR_OF_1900S else "19"
    return f"{century}{year:02}-{month:02}-{day:02}"


NORWEGIAN_BANKID: SimulatedEid = SimulatedEid(
    name="no",
    acr_values=("urn:grn:authn:no:bankid", "urn:grn:authn:no:bankid:substantial"),
    reached="urn:grn:authn:no:bankid:substantial",  # the app identifies by biometrics, which reaches this level
    scheme="nobankid-oidc",
    expires_in=900,
    pending=("User has not yet granted authorization",) * 3,
    claims=_claims,
    number=re.compile("[0-9]{11}"),
    details=({"type": "customerServiceCall.v1"},),
    words=invent_words,
    shares_number=False,  # needs the ssn scope and the person's consent
)
