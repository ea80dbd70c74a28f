"""An eID that nobody has declared, described where it is asked: what `--eid raw` means.

It is for a first try and for an eID that is asked in one place only. What is asked for again deserves an `Eid`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final, cast

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.person import ClaimPath
from idura_ciba.eids.request import EidOptions
from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted

__all__ = ["RAW"]

_HINTS: Final = ("login_hint", "login_hint_token", "id_token_hint")


def _describe(
    *,
    login_hint: str,
    hint_parameter: str,
    missing_acr: str,
    acr: str | None = None,
    identity: tuple[str, ...] = (),
    authorization_details: str | None = None,
    parameter: tuple[str, ...] = (),
    requested_expiry: str | None = None,
) -> Eid:
    """The eID that some options describe.

    Raises:
        UsageError: One of them cannot be read.
    """
    fields: dict[str, Any] = {hint_parameter: Redacted(login_hint), "require_acr": missing_acr == "refuse"}
    if acr is not None:
        fields["acr_values"] = acr
    if identity:
        fields["identity"] = dict(map(_claim, identity))
    if authorization_details is not None:
        fields["authorization_details"] = _details(authorization_details)
    if parameter:
        fields["extra"] = dict(map(_parameter, parameter))
    if requested_expiry is not None:
        fields["requested_expiry"] = _seconds(requested_expiry)
    return Eid(name=RAW.name, label=RAW.label, fields=cast("EidOptions", fields), person=RAW.person, verbatim=True)


def _claim(text: str) -> tuple[ClaimPath, Redacted]:
    path, equals, value = text.partition("=")
    names: object = path.split(".")
    if path.startswith("["):
        # A claim may have dots in its name, or an equals sign.
        names = None
        with suppress(ValueError, RecursionError):
            names, end = json.JSONDecoder().raw_decode(text)
            equals, value = text[end : end + 1], text[end + 1 :]
    if equals != "=" or not value or not isinstance(names, list) or not names or not all(map(_is_name, names)):
        raise UsageError(
            "An --identity is not PATH=VALUE",
            code="identity",
            advice='Write for example cpr={ssn} or details.person.cpr={ssn}; or ["urn:x.y","cpr"]={ssn}',
        )
    return tuple(names), Redacted(value)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name)


def _details(text: str) -> list[object]:
    details: object = None
    with suppress(ValueError, RecursionError):
        details = json.loads(text)
    if not isinstance(details, list):
        raise UsageError(
            "The authorization_details are no JSON array",
            code="authorization_details",
            advice='Write for example [{"type": "caller"}]',
        )
    return details


def _parameter(text: str) -> tuple[str, Redacted]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError("A --parameter is not NAME=VALUE", code="parameter", advice="Write for example language=da")
    return name, Redacted(value)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < len("1000000000") and int(text)):
        raise UsageError(
            "The requested_expiry is no positive whole number of seconds", code="requested_expiry", advice="Write 300"
        )
    return int(text)


RAW: Final = Eid(
    name="raw",
    label="raw request",
    options=(
        Option(name="acr", help="the acr_values to ask for; without it any eID and any level will do"),
        Option(
            name="login_hint",
            help="whom to ask, in the provider's notation, such as 'cpr:{ssn}'; {ssn} is what --ssn says",
            default="{ssn}",
            secret=True,
        ),
        Option(name="hint_parameter", help="how the hint is sent", choices=_HINTS, default="login_hint"),
        Option(name="authorization_details", help="RFC 9396, as a JSON array", secret=True),
        Option(
            name="identity",
            help="PATH=VALUE that the ID token must say of the person, such as 'cpr={ssn}'",
            repeatable=True,
        ),
        Option(
            name="missing_acr",
            help="what becomes of an ID token that names no level",
            choices=("refuse", "accept"),
            default="refuse",
        ),
        Option(name="requested_expiry", help="the seconds for which the request should live"),
        Option(name="parameter", help="NAME=VALUE of a further form parameter", repeatable=True),
    ),
    build=_describe,
    person="Whom to ask, in the provider's notation",
    verbatim=True,
)
