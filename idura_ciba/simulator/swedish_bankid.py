"""The simulated phone of Swedish BankID.

Spec: Idura "Caller Authentication", Swedish BankID.
"""

from __future__ import annotations

import re

from idura_ciba.simulator.eid import SimulatedEid, Wish
from idura_ciba.simulator.people import Person

__all__ = ["SWEDISH_BANKID"]


def _claims(_wish: Wish, person: Person, shares_number: bool) -> dict[str, object]:
    number = {"ssn": person.number} if shares_number else {}
    return {**number, **person.names(), "ipaddress": person.address, "country": "SE"}


SWEDISH_BANKID: SimulatedEid = SimulatedEid(
    name="se",
    acr_values=("urn:grn:authn:se:bankid",),
    reached="urn:grn:authn:se:bankid",
    scheme="sebankid",
    expires_in=120,
    pending=(
        "awaiting first user interaction",
        "awaiting user request acknowledgement",
        "awaiting user identification",
    ),
    claims=_claims,
    number=re.compile("[0-9]{12}"),
    details=(
        {"type": "phoneAuth", "callInitiator": "RP"},
        {"type": "phoneAuth", "callInitiator": "user"},
    ),
    message_bytes=1125,  # `userVisibleData` holds 1500 characters of base64
)
