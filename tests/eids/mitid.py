"""Danish MitID, as somebody would add it who uses this package and cannot change it.

Nothing of it is anybody's interface: what providers want for MitID differs, and this one is made up.
"""

from __future__ import annotations

import re

from idura_ciba.eids import Eid, Option, Phase
from idura_ciba.eids.identity_number import check_danish
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Person, SimulatedEid, Wish

ACR = "urn:example:mitid:substantial"


def check_cpr(number: str) -> Redacted:
    """Ten digits, also with a hyphen before the last four."""
    return check_danish(re.sub(r"([0-9]{6})-([0-9]{4})", r"\1\2", number))


MITID = Eid(
    name="mitid",
    label="Danish MitID",
    fields={
        "login_hint": "cpr:{ssn}",
        "acr_values": ACR,
        "authorization_details": ({"type": "caller", "reference": "{reference}"},),
        "identity": {("cpr",): "{ssn}"},
        "identity_elsewhere": {("country",): "DK"},
        "prompt_lifetime": 300.0,
    },
    number=check_cpr,
    message_bytes=130,
    phases={"waiting for the MitID app": Phase.WAITING, "waiting for the swipe": Phase.IDENTIFYING},
    options=(Option(name="reference", help="your own number for the case", required=True),),
    person="CPR number",
    somebody="9999999999",  # 99 is no day
)


def _claims(_wish: Wish, person: Person, shares_number: bool) -> dict[str, object]:
    number = {"cpr": person.number} if shares_number else {}
    return {**number, **person.names(), "country": "DK"}


MITID_PHONE = SimulatedEid(
    name="mitid",
    acr_values=(ACR,),
    reached=ACR,
    scheme="dkmitid",
    expires_in=300,
    pending=("waiting for the MitID app", "waiting for the MitID app", "waiting for the swipe"),
    claims=_claims,
    number=re.compile("[0-9]{10}"),
    prefix="cpr:",
    message_bytes=130,
)
