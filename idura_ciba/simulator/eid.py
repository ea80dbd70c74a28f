"""Declarations of simulated eIDs, and the parser of authentication requests.

Each eID has its own file: its request parameters, the phases on the phone, and its token claims. They are written from
the provider's documentation, not from the client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from attrs import field, frozen

from idura_ciba.errors import ArgumentError
from idura_ciba.simulator.messages import Refusal
from idura_ciba.simulator.people import Person, invent_swedish_number

__all__ = ["SimulatedEid", "Wish", "by_acr", "read_wish"]


@frozen(kw_only=True, eq=False)
class SimulatedEid:
    """One eID as the provider serves it over CIBA: a declaration for `SimulatedIdura(eids=...)`.

    Attributes:
        name: Short name, used in the ledger and in settings.
        acr_values: Values that a request may ask for; the usual one first.
        reached: The `authenticationtype` in its tokens.
        scheme: The `identityscheme` in its tokens.
        expires_in: Seconds that an order lives, unless the request or a setting says otherwise.
        interval: Seconds between polls.
        pending: The `error_description` before the app is open, then before the person agrees, then before the person
            identifies.
        claims: Returns the eID's own claims, given the request, the person who answered, and whether to include the
            identity number.
        number: The form of an identity number in a hint.
        prefix: The prefix of an identity number in a hint.
        other_hints: Further forms of `login_hint`, by prefix.
        qualifiers: Prefixes of further parts of a hint, which do not name the person.
        details: Allowed objects in `authorization_details`, of which there must be one; None: anything goes.
        words: Makes up the word pair that is read to the person (`bindingMessage`); such an eID takes no
            `binding_message`.
        message_bytes: Most bytes of a `binding_message` in UTF-8.
        shares_number: Whether tokens carry the number, unless a script says otherwise.
        invent_number: Makes up the number of a person known by another hint, from a seed and the hint.
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
    """A parsed authentication request: whom to ask, through which eID.

    Attributes:
        eid: The eID that `acr_values` names.
        person: Identity number, e-mail address or phone number, as in the hint.
        is_number: Whether `person` is an identity number.
        qualifiers: Further parts of the hint, by prefix.
        requested_expiry: The lifetime that the client asks for, in seconds.
        message: The `binding_message`.
        detail: The first object in `authorization_details`.
    """

    eid: SimulatedEid
    person: str = field(repr=False)
    is_number: bool = True
    qualifiers: Mapping[str, str] = field(factory=dict)
    requested_expiry: int | None = None
    message: str | None = field(default=None, repr=False)
    detail: Mapping[str, Any] = field(factory=dict, repr=False)


def by_acr(eids: Iterable[SimulatedEid]) -> Mapping[str, SimulatedEid]:
    """The eIDs of a tenant, by acr value.

    Raises:
        UsageError: Two of them share a name or an acr value.
    """
    eids = tuple(eids)
    found = {acr: eid for eid in eids for acr in eid.acr_values}
    if len({eid.name for eid in eids}) < len(eids) or len(found) < sum(len(eid.acr_values) for eid in eids):
        raise ArgumentError(
            "Two simulated eIDs share a name or an acr value",
            code="eid_twice",
            advice="Give each a name and acr_values of its own",
        )
    return found


def read_wish(form: Mapping[str, str], eids: Mapping[str, SimulatedEid]) -> Wish:
    """Parse the parameters of an authentication request.

    Args:
        form: The parameters.
        eids: The tenant's eIDs, by acr value.

    Raises:
        Refusal: The request is not valid; the code is from CIBA Core section 13 or RFC 9396 section 5.

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
    message = form.get("binding_message")
    _check_message(eid, message)
    detail = _read_detail(eid, form.get("authorization_details"))
    return Wish(eid, person, is_number, qualifiers, _read_expiry(form.get("requested_expiry")), message, detail)


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
    """The person that a hint names, whether by number, and the hint's qualifiers."""
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


def _read_detail(eid: SimulatedEid, text: str | None) -> Mapping[str, Any]:
    """Read `authorization_details`: one object of the eID's type and no unknown member (RFC 9396 section 5)."""
    if text is None:
        if eid.details is not None:
            raise Refusal("invalid_request", "authorization_details is missing")
        return {}
    try:
        details = json.loads(text)
    except (ValueError, RecursionError):
        details = None
    if not isinstance(details, list) or not details:
        raise Refusal("invalid_authorization_details", "a JSON array of objects is required")
    if not all(isinstance(detail, dict) and isinstance(detail.get("type"), str) for detail in details):
        raise Refusal("invalid_authorization_details", "each object needs a type")
    first: Mapping[str, Any] = details[0]
    if eid.details is None:
        return first
    if len(details) != 1 or first["type"] not in {detail["type"] for detail in eid.details}:
        raise Refusal("invalid_authorization_details", "the type does not fit the eID")
    if first not in eid.details:
        raise Refusal("invalid_authorization_details", "the members do not fit the type")
    return first


def _read_expiry(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise Refusal("invalid_request", "requested_expiry must be a positive integer")
    return int(text)
