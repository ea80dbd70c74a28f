"""Who is to be asked, and through which eID."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import typer

from idura_ciba import EidRequest, FrejaID, NorwegianBankID, SwedishBankID, UsageError
from idura_ciba.cli.files import read_secret
from idura_ciba.eids.request import EidOptions
from idura_ciba.redaction import Redacted

__all__ = [
    "LABELS",
    "PANEL",
    "CallInitiator",
    "CallInitiatorOption",
    "Country",
    "CountryOption",
    "EidName",
    "EidOption",
    "MessageOption",
    "RequirePersonOption",
    "ScopeOption",
    "build_request",
    "joined",
    "read_person",
]

EidName = Literal["se", "no", "freja"]
CallInitiator = Literal["RP", "user"]
Country = Literal["SE", "NO", "DK", "FI"]

LABELS: Final[Mapping[str, str]] = {"se": "Swedish BankID", "no": "Norwegian BankID", "freja": "FrejaID"}
PERSON_VARIABLE: Final = "IDURA_CIBA_SSN"
PANEL: Final = "Person"

EidOption = Annotated[EidName | None, typer.Option("--eid", rich_help_panel=PANEL, help="The eID to use.")]
CallInitiatorOption = Annotated[
    CallInitiator | None,
    typer.Option(
        "--call-initiator",
        rich_help_panel=PANEL,
        help="Swedish BankID: RP if you called the person, user if they called you.",
    ),
]
MessageOption = Annotated[
    str | None,
    typer.Option("--message", rich_help_panel=PANEL, help="Text to show in the app; not for Norwegian BankID."),
]
CountryOption = Annotated[
    Country, typer.Option("--country", rich_help_panel=PANEL, help="FrejaID: country of the national number.")
]
ScopeOption = Annotated[
    str,
    typer.Option("--scope", rich_help_panel=PANEL, help="OAuth scopes, such as 'openid ssn' if the tenant allows it."),
]
RequirePersonOption = Annotated[
    bool,
    typer.Option("--require-person", rich_help_panel=PANEL, help="Fail unless the ID token confirms the person."),
]


#: How other programs show numbers: a Swedish one with its century, a Norwegian one. Nothing else has these lengths; the
#: hyphen of a Finnish number is a part of it.
_WITH_A_BREAK: Final = re.compile(r"([0-9]{8})[- ]([0-9]{4})|([0-9]{6}) ([0-9]{5})")


def joined(number: str) -> Redacted:
    """The number of a person without the hyphen or space before its last digits."""
    written = _WITH_A_BREAK.fullmatch(number)
    return Redacted("".join(written.groups("")) if written else number)


def read_person(ssn: str | None, ssn_file: str | None) -> Redacted:
    """Return the number of the person: from the argument, a file, the environment, or a prompt that does not echo.

    Raises:
        UsageError: It is given twice, cannot be read, or there is nobody to prompt.
    """
    if ssn and ssn_file:
        raise UsageError("Both --ssn and --ssn-file are given", code="one_person", advice="Pass only one of them")
    if ssn_file:
        return joined(read_secret(ssn_file, what="national number"))
    given = Redacted(ssn or os.environ.get(PERSON_VARIABLE, ""))
    if given:
        return joined(given.strip())
    if not sys.stdin.isatty():
        raise UsageError(
            "No national number given, and there is no terminal to prompt on",
            code="missing",
            advice=f"Pass --ssn-file FILE (- for standard input), or set {PERSON_VARIABLE}",
        )
    return joined(typer.prompt("National number (not shown)", hide_input=True, err=True).strip())


def build_request(
    eid: EidName,
    person: Redacted,
    *,
    call_initiator: CallInitiator | None = None,
    message: str | None = None,
    country: Country = "SE",
    scope: str = "openid",
    require_person: bool = False,
) -> EidRequest:
    """Return the request for one person.

    Args:
        eid: Through which eID.
        person: The national number; with FrejaID also an e-mail address or a phone number.
        call_initiator: Swedish BankID needs it and no other takes it.
        message: What the person reads in the app.
        country: Whose number it is, with FrejaID.
        scope: What to ask the provider for.
        require_person: Refuse a login that does not say who it was.

    Raises:
        UsageError: Something is missing, does not fit the eID, or is no such number.
    """
    options: EidOptions = {"scope": scope, "require_person": require_person}
    if (eid == "se") != (call_initiator is not None):
        raise UsageError(
            "Swedish BankID needs --call-initiator, and no other eID accepts it",
            code="call_initiator",
            advice="For Swedish BankID, pass RP if you called the person, or user if the person called you",
        )
    if call_initiator is not None:
        return SwedishBankID(person, call_initiator=call_initiator, message=message or "", **options)
    if message is not None:
        options["binding_message"] = message
    if eid == "no":
        return NorwegianBankID(person, **options)
    if "@" in person:
        return FrejaID(email=person, **options)
    if person.startswith("+"):
        return FrejaID(phone=person, **options)
    return FrejaID(person, country=country, **options)
