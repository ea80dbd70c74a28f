"""What the simulator knows of each eID, and how it reads an authentication request.

Swedish and Norwegian BankID follow Idura's "Caller Authentication" page. How FrejaID behaves over CIBA is not
published: its lifetime is Freja's own (two minutes), its description of a pending order is this simulator's choice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from attrs import field, frozen

from idura_ciba.simulator.messages import Refusal

__all__ = ["EIDS", "Eid", "Wish", "read_wish"]

#: Swedish BankID's `userVisibleData` holds 1500 characters of base64, which is 1125 bytes of text.
MAX_MESSAGE_BYTES = 1125


@frozen
class Eid:
    """One eID as Idura serves it over CIBA.

    Attributes:
        name: Short name, used in the ledger and in settings.
        acr_values: What a request may ask for; the first is the usual one.
        reached: The `authenticationtype` that its tokens state.
        expires_in: Seconds that an order lives, unless the request or a setting says otherwise.
        interval: Seconds between polls.
        pending: `error_description` before the app is opened, until the person agrees, until the person identifies.
        detail: The `type` that `authorization_details` must have; None where nothing is known.
        speaks: The provider makes up a word pair (`bindingMessage`) and takes no `binding_message`.
        number: How an identity number is written after `sub:ssn:`.
        other_hints: Further forms of `login_hint`, by prefix.
        shares_number: Whether tokens carry the number when a script does not say.
    """

    name: str
    acr_values: tuple[str, ...]
    reached: str
    expires_in: int
    interval: int
    pending: tuple[str, str, str]
    detail: str | None
    number: re.Pattern[str]
    speaks: bool = False
    other_hints: Mapping[str, re.Pattern[str]] = field(factory=dict)
    shares_number: bool = True


SWEDISH_BANKID: Eid = Eid(
    name="se",
    acr_values=("urn:grn:authn:se:bankid",),
    reached="urn:grn:authn:se:bankid",
    expires_in=120,
    interval=3,
    pending=(
        "awaiting first user interaction",
        "awaiting user request acknowledgement",
        "awaiting user identification",
    ),
    detail="phoneAuth",
    number=re.compile("[0-9]{12}"),
)
NORWEGIAN_BANKID: Eid = Eid(
    name="no",
    acr_values=("urn:grn:authn:no:bankid", "urn:grn:authn:no:bankid:substantial"),
    reached="urn:grn:authn:no:bankid:substantial",  # the app identifies by biometrics, which reaches this level
    expires_in=900,
    interval=3,
    pending=("User has not yet granted authorization",) * 3,
    detail="customerServiceCall.v1",
    number=re.compile("[0-9]{11}"),
    speaks=True,
    shares_number=False,  # needs the ssn scope and the person's consent
)
FREJA_ID: Eid = Eid(
    name="freja",
    acr_values=("urn:grn:authn:se:frejaid",),
    reached="urn:grn:authn:se:frejaid",
    expires_in=120,
    interval=3,
    pending=("the request waits in the Freja app",) * 3,
    detail=None,
    number=re.compile("[0-9]{10,12}|[0-9]{6}[-A][0-9A-Z]{4}"),
    other_hints={
        "sub:email:": re.compile(r"[^@\s]+@[^@\s]+"),
        "sub:phone:": re.compile(r"\+[0-9]{6,15}"),
    },
)
#: Every eID of the simulated tenant.
EIDS: tuple[Eid, ...] = (SWEDISH_BANKID, NORWEGIAN_BANKID, FREJA_ID)

_BY_ACR = {acr: eid for eid in EIDS for acr in eid.acr_values}
_NUMBER = "sub:ssn:"
#: Parts of a Freja hint that narrow the request and do not say who is meant.
_FREJA_QUALIFIERS = ("sub:ssncountry:", "minregistrationlevel:", "userconfirmationmethod:")


@frozen
class Wish:
    """An authentication request that has been read: who is to be asked, through which eID.

    Attributes:
        eid: The eID that `acr_values` names.
        person: Identity number, e-mail address or phone number, as the hint gave it.
        is_number: `person` is an identity number.
        country: The country that issued the number.
        requested_expiry: The lifetime that the client wishes, in seconds.
    """

    eid: Eid
    person: str = field(repr=False)
    is_number: bool
    country: str
    requested_expiry: int | None


def read_wish(form: Mapping[str, str]) -> Wish:
    """Read the parameters of an authentication request.

    Raises:
        Refusal: With the code of CIBA Core section 13 or RFC 9396 section 5.

    Spec: CIBA Core section 7.1; Idura "Caller Authentication", step 1.
    """
    if "request" in form:
        raise Refusal("request_not_supported", "signed requests are not supported")
    _check_scope(form.get("scope"))
    hint = _only_hint(form)
    eid = _BY_ACR.get(form.get("acr_values", ""))
    if eid is None:
        raise Refusal("invalid_request", "acr_values must name one eID of this tenant")
    person, is_number = _read_hint(eid, hint)
    _check_message(eid, form.get("binding_message"))
    _check_details(eid, form.get("authorization_details"))
    country = "NO" if eid is NORWEGIAN_BANKID else _country(hint)
    return Wish(eid, person, is_number, country, _read_expiry(form.get("requested_expiry")))


def _check_scope(scope: str | None) -> None:
    if scope is None:
        raise Refusal("invalid_request", "scope is missing")
    if "openid" not in scope.split(" "):
        raise Refusal("invalid_scope", "scope must contain openid")


def _only_hint(form: Mapping[str, str]) -> str:
    hints = [name for name in ("login_hint", "login_hint_token", "id_token_hint") if name in form]
    if len(hints) != 1:
        raise Refusal("invalid_request", "exactly one hint is required")
    if hints != ["login_hint"]:
        raise Refusal("unknown_user_id", "people are known by login_hint only")
    return form["login_hint"]


def _read_hint(eid: Eid, hint: str) -> tuple[str, bool]:
    """The person that a hint names, and whether it does so by number."""
    forms = {_NUMBER: eid.number, **eid.other_hints}
    found: list[tuple[str, bool]] = []
    for part in hint.split(" "):
        prefix = next((prefix for prefix in forms if part.startswith(prefix)), None)
        if prefix is not None and forms[prefix].fullmatch(part.removeprefix(prefix)):
            found.append((part.removeprefix(prefix), prefix == _NUMBER))
        elif eid is not FREJA_ID or not part.startswith(_FREJA_QUALIFIERS):
            raise Refusal("invalid_request", "login_hint does not fit the eID")
    if len(found) != 1:
        raise Refusal("invalid_request", "login_hint must name one person")
    return found[0]


def _country(hint: str) -> str:
    marked = [part for part in hint.split(" ") if part.startswith("sub:ssncountry:")]
    return marked[0].removeprefix("sub:ssncountry:") if marked else "SE"


def _check_message(eid: Eid, message: str | None) -> None:
    if message is None:
        return
    if eid.speaks:
        raise Refusal("invalid_binding_message", "this eID makes its own words")
    if len(message.encode()) > MAX_MESSAGE_BYTES:
        raise Refusal("invalid_binding_message", "the message is too long")


def _check_details(eid: Eid, text: str | None) -> None:
    """Check `authorization_details`: one object of the eID's type and no unknown member (RFC 9396 section 5)."""
    if text is None:
        if eid.detail is not None:
            raise Refusal("invalid_request", "authorization_details is missing")
        return
    try:
        details = json.loads(text)
    except (ValueError, RecursionError):
        details = None
    if not isinstance(details, list) or not details:
        raise Refusal("invalid_authorization_details", "a JSON array of objects is required")
    if not all(isinstance(detail, dict) and isinstance(detail.get("type"), str) for detail in details):
        raise Refusal("invalid_authorization_details", "each object needs a type")
    if eid.detail is None:
        return
    if [detail["type"] for detail in details] != [eid.detail]:
        raise Refusal("invalid_authorization_details", "the type does not fit the eID")
    rest = {name: value for name, value in details[0].items() if name != "type"}
    if rest not in ([{"callInitiator": "RP"}, {"callInitiator": "user"}] if eid is SWEDISH_BANKID else [{}]):
        raise Refusal("invalid_authorization_details", "the members do not fit the type")


def _read_expiry(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise Refusal("invalid_request", "requested_expiry must be a positive integer")
    return int(text)
