"""What the simulator knows of an eID, and how it reads an authentication request.

Each eID has its own file: what it is asked with, what the phone goes through, and what its tokens say. It is written
from the provider's documentation and not from the client's half of this package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from random import Random

from attrs import field, frozen

from idura_ciba.errors import UsageError
from idura_ciba.simulator.messages import Refusal
from idura_ciba.simulator.people import Person, invent_swedish_number

__all__ = ["SimulatedEid", "Wish", "by_acr", "read_wish"]


@frozen(kw_only=True, eq=False)
class SimulatedEid:
    """One eID as the provider serves it over CIBA: a declaration for `SimulatedIdura(eids=...)`.

    Attributes:
        name: Short name, used in the ledger and in settings.
        acr_values: What a request may ask for; the first is the usual one.
        reached: The `authenticationtype` that its tokens state.
        scheme: The `identityscheme` that they state.
        expires_in: Seconds that an order lives, unless the request or a setting says otherwise.
        interval: Seconds between polls.
        pending: `error_description` before the app is opened, until the person agrees, until the person identifies.
        claims: What its tokens say besides, of what was asked for, of whoever answered, and with the identity number
            or without it.
        number: How an identity number is written in a hint.
        prefix: What stands before it there.
        other_hints: Further forms of `login_hint`, by prefix.
        qualifiers: Prefixes of further parts of a hint, which do not say who is meant.
        details: What the one object in `authorization_details` may be; None where nothing is known.
        words: Makes up the word pair that is read to the person (`bindingMessage`); such an eID takes no
            `binding_message`.
        message_bytes: Of a `binding_message` in UTF-8 at most.
        shares_number: Whether tokens carry the number when a script does not say.
        invent_number: Makes up the number of somebody who is known otherwise, of a seed and the hint.
    """

    name: str
    acr_values: tuple[str, ...]
    reached: str
    scheme: str
    expires_in: int
    pending: tuple[str, str, str]
    claims: Callable[[Wish, Person, bool], Mapping[str, object]]
    number: re.Pattern[str]
    interval: int = 3
    prefix: str = "sub:ssn:"
    other_hints: Mapping[str, re.Pattern[str]] = field(factory=dict)
    qualifiers: tuple[str, ...] = ()
    details: tuple[Mapping[str, object], ...] | None = None
    words: Callable[[Random], str] | None = None
    message_bytes: int = 1125
    shares_number: bool = True
    invent_number: Callable[[int, str], str] = invent_swedish_number


@frozen
class Wish:
    """An authentication request that has been read: who is to be asked, through which eID.

    Attributes:
        eid: The eID that `acr_values` names.
        person: Identity number, e-mail address or phone number, as the hint gave it.
        is_number: `person` is an identity number.
        qualifiers: What else the hint said, by prefix.
        requested_expiry: The lifetime that the client wishes, in seconds.
    """

    eid: SimulatedEid
    person: str = field(repr=False)
    is_number: bool = True
    qualifiers: Mapping[str, str] = field(factory=dict)
    requested_expiry: int | None = None


def by_acr(eids: Iterable[SimulatedEid]) -> Mapping[str, SimulatedEid]:
    """The eIDs of a tenant by what a request may ask for.

    Raises:
        UsageError: Two of them have one name, or are asked for in the same words.
    """
    eids = tuple(eids)
    found = {acr: eid for eid in eids for acr in eid.acr_values}
    if len({eid.name for eid in eids}) < len(eids) or len(found) < sum(len(eid.acr_values) for eid in eids):
        raise UsageError(
            "Two simulated eIDs have one name or one acr value",
            code="eid_twice",
            advice="Give each a name and acr_values of its own",
        )
    return found


def read_wish(form: Mapping[str, str], eids: Mapping[str, SimulatedEid]) -> Wish:
    """Read the parameters of an authentication request.

    Args:
        form: The parameters.
        eids: Those of the tenant, by `acr_values`.

    Raises:
        Refusal: With the code of CIBA Core section 13 or RFC 9396 section 5.

    Spec: CIBA Core section 7.1; Idura "Caller Authentication", step 1.
    """
    if "request" in form:
        raise Refusal("request_not_supported", "signed requests are not supported")
    _check_scope(form.get("scope"))
    hint = _only_hint(form)
    eid = eids.get(form.get("acr_values", ""))
    if eid is None:
        raise Refusal("invalid_request", "acr_values must name one eID of this tenant")
    person, is_number, qualifiers = _read_hint(eid, hint)
    _check_message(eid, form.get("binding_message"))
    _check_details(eid, form.get("authorization_details"))
    return Wish(eid, person, is_number, qualifiers, _read_expiry(form.get("requested_expiry")))


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


def _read_hint(eid: SimulatedEid, hint: str) -> tuple[str, bool, dict[str, str]]:
    """The person that a hint names, whether it does so by number, and what else it says."""
    forms = {eid.prefix: eid.number, **eid.other_hints}
    people: list[tuple[str, bool]] = []
    qualifiers: dict[str, str] = {}
    for part in hint.split(" "):
        prefix = next((prefix for prefix in (*forms, *eid.qualifiers) if part.startswith(prefix)), None)
        value = part.removeprefix(prefix or "")
        if prefix in forms and forms[prefix].fullmatch(value):
            people.append((value, prefix == eid.prefix))
        elif prefix in eid.qualifiers:
            qualifiers[prefix] = value
        else:
            raise Refusal("invalid_request", "login_hint does not fit the eID")
    if len(people) != 1:
        raise Refusal("invalid_request", "login_hint must name one person")
    return *people[0], qualifiers


def _check_message(eid: SimulatedEid, message: str | None) -> None:
    if message is None:
        return
    if eid.words is not None:
        raise Refusal("invalid_binding_message", "this eID makes its own words")
    if len(message.encode()) > eid.message_bytes:
        raise Refusal("invalid_binding_message", "the message is too long")


def _check_details(eid: SimulatedEid, text: str | None) -> None:
    """Check `authorization_details`: one object of the eID's type and no unknown member (RFC 9396 section 5)."""
    if text is None:
        if eid.details is not None:
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
    if eid.details is None:
        return
    if len(details) != 1 or details[0]["type"] not in {detail["type"] for detail in eid.details}:
        raise Refusal("invalid_authorization_details", "the type does not fit the eID")
    if details[0] not in eid.details:
        raise Refusal("invalid_authorization_details", "the members do not fit the type")


def _read_expiry(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise Refusal("invalid_request", "requested_expiry must be a positive integer")
    return int(text)
