"""The eID behind `--eid raw`: not declared, but described by options.

Meant for a first try, and for an eID used in one place only. For repeated use, declare an `Eid`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final, cast

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.person import ClaimPath
from idura_ciba.eids.request import EidOptions
from idura_ciba.errors import ArgumentError
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
    """Return the eID that the options describe.

    Raises:
        UsageError: An option is malformed.
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
    return Eid(name=RAW.name, label=RAW.label, fields=cast("EidOptions", fields), person=RAW.person)


def _claim(text: str) -> tuple[ClaimPath, Redacted]:
    path, equals, value = text.partition("=")
    names: object = path.split(".")
    if path.startswith("["):
        # As JSON, because a claim's name may contain dots or an equals sign.
        names = None
        with suppress(ValueError, RecursionError):
            names, end = json.JSONDecoder().raw_decode(text)
            equals, value = text[end : end + 1], text[end + 1 :]
    if equals != "=" or not value or not isinstance(names, list) or not names or not all(map(_is_name, names)):
        raise ArgumentError(
            "An --identity must be PATH=VALUE",
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
        raise ArgumentError(
            "The authorization_details must be a JSON array",
            code="authorization_details",
            advice='Write for example [{"type": "caller"}]',
        )
    return details


def _parameter(text: str) -> tuple[str, Redacted]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentError(
            "A --parameter must be NAME=VALUE", code="parameter", advice="Write for example language=da"
        )
    return name, Redacted(value)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < len("1000000000") and int(text)):
        raise ArgumentError(
            "The requested_expiry must be a positive whole number of seconds",
            code="requested_expiry",
            advice="Write for example 300",
        )
    return int(text)


RAW: Final = Eid(
    name="raw",
    label="raw request",
    options=(
        Option(name="acr", help="the acr_values to ask for; without it, any eID and any level is accepted"),
        Option(
            name="login_hint",
            help="whom to ask, as the provider spells it, such as 'cpr:{ssn}'; {ssn} stands for the value of --ssn",
            default="{ssn}",
            secret=True,
        ),
        Option(name="hint_parameter", help="how the hint is sent", choices=_HINTS, default="login_hint"),
        Option(name="authorization_details", help="RFC 9396, as a JSON array", secret=True),
        Option(
            name="identity",
            help="PATH=VALUE that the ID token must contain, such as 'cpr={ssn}'",
            repeatable=True,
        ),
        Option(
            name="missing_acr",
            help="what to do with an ID token that names no level",
            choices=("refuse", "accept"),
            default="refuse",
        ),
        Option(name="requested_expiry", help="how long the request should live, in seconds"),
        Option(name="parameter", help="a further form parameter, as NAME=VALUE", repeatable=True),
    ),
    build=_describe,
    person="Whom to ask, as the provider spells it",
)
