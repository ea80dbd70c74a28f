"""The simulated phone of FrejaID.

How FrejaID behaves over CIBA is not published. The lifetime here is Freja's own (two minutes), the tokens are those of
a browser login, and the `error_description` of a pending order is this simulator's choice.

Spec: Idura "FrejaID".
"""

from __future__ import annotations

import re
from typing import Any

from idura_ciba.simulator.eid import SimulatedEid, Wish
from idura_ciba.simulator.people import Person

__all__ = ["FREJAID"]

_COUNTRY = "sub:ssncountry:"


def _claims(wish: Wish, person: Person, shares_number: bool) -> dict[str, object]:
    country = wish.qualifiers.get(_COUNTRY, "SE")
    attributes: dict[str, Any] = {
        "basicUserInfo": {"name": person.given_name, "surname": person.family_name},
        "emailAddress": wish.person if "@" in wish.person else person.email,
    }
    if shares_number:
        attributes["ssn"] = {"ssn": person.number, "country": country}
    reference = person.guid.hex
    return {
        "authRef": reference,
        "status": "APPROVED",
        "userInfoType": "SSN" if wish.is_number else "EMAIL" if "@" in wish.person else "PHONE",
        "registrationLevel": "PLUS",
        "details": {"authRef": reference, "status": "APPROVED", "requestedAttributes": attributes},
        **person.names(),
        "country": country,
    }


FREJAID: SimulatedEid = SimulatedEid(
    name="freja",
    acr_values=("urn:grn:authn:se:frejaid",),
    reached="urn:grn:authn:se:frejaid",
    scheme="sefrejaid",
    expires_in=120,
    pending=("the request waits in the Freja app",) * 3,
    claims=_claims,
    number=re.compile("[0-9]{10,12}|[0-9]{6}[-A][0-9A-Z]{4}"),
    other_hints={
        "sub:email:": re.compile(r"[^@\s]+@[^@\s]+"),
        "sub:phone:": re.compile(r"\+[0-9]{6,15}"),
    },
    qualifiers=(_COUNTRY, "minregistrationlevel:", "userconfirmationmethod:"),
)
