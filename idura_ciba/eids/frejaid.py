"""FrejaID caller authentication, as far as it is known.

Spec: Idura "FrejaID", `login_hint` and tokens; Idura "CIBA" says only that FrejaID is supported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any, Final, Literal, Unpack

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.request import EidOptions, EidRequest, as_text
from idura_ciba.eids.written_contact import looks_like_phone, read_email, read_phone
from idura_ciba.eids.written_number import read_danish, read_finnish, read_norwegian, read_swedish
from idura_ciba.errors import ArgumentError
from idura_ciba.redaction import Redacted

__all__ = ["FREJAID", "FrejaID"]

_READERS: Final[Mapping[str, Callable[[str], Redacted]]] = {
    "SE": read_swedish,
    "NO": read_norwegian,
    "DK": read_danish,
    "FI": read_finnish,
}


class FrejaID(EidRequest):
    """FrejaID caller authentication, as far as it is known.

    **FrejaID is provisional: Idura's documentation only says, in one sentence, that CIBA supports it.** The rest is
    assumed from Idura's description of FrejaID in the browser: the `acr_values`, the form of the hints, that there are
    no `authorization_details`, that a message is optional, and where the ID token has the number. If Idura expects
    something else, override the field; no new release is needed.

    The ID token may omit the national number: see `NorwegianBankID`. Here the scope is `frejaid:ssn`.
    A person asked by phone number or e-mail address is not confirmed at all unless you pass `identity`.

    Args:
        ssn: National number in any written form. Pass exactly one of `ssn`, `phone` and `email`.
        country: The country of the number: `SE`, `NO`, `DK` or `FI`. The rules of Danish numbers are not checked.
        phone: Phone number with the country code: `+46701740605`, also with spaces, hyphens and brackets.
        email: An address registered with Freja.
        today: See `SwedishBankID`.
        overrides: Any field of `EidRequest`.

    Raises:
        UsageError: An argument is invalid; nothing was sent.

    Spec: Idura "FrejaID", `login_hint` and tokens; Idura "CIBA" says only that FrejaID is supported.
    """

    __slots__ = ()

    def __init__(
        self,
        ssn: str | None = None,
        *,
        country: Literal["SE", "NO", "DK", "FI"] = "SE",
        phone: str | None = None,
        email: str | None = None,
        today: date | None = None,
        **overrides: Unpack[EidOptions],
    ) -> None:
        ssn, phone, email = as_text("ssn", ssn or ""), as_text("phone", phone or ""), as_text("email", email or "")
        if sum(map(bool, (ssn, phone, email))) != 1:
            raise ArgumentError(
                "FrejaID needs exactly one of ssn, phone and email",
                code="one_hint",
                advice="Pass one of them",
            )
        if ssn:
            fields = FREJAID.fill(ssn=_reader(country, today)(ssn), country=country)
        elif phone:
            fields = _unconfirmed(Redacted(f"sub:phone:{read_phone(phone)}"))
        else:
            fields = _unconfirmed(Redacted(f"sub:email:{read_email(email)}"))
        super().__init__(**(fields | overrides))


def _reader(country: object, today: date | None = None) -> Callable[[str], Redacted]:
    reader = _READERS.get(country) if isinstance(country, str) else None
    if reader is None:
        raise ArgumentError(
            "FrejaID does not support national numbers of that country",
            code="country",
            advice=f"Pass one of {', '.join(_READERS)}",
        )
    return partial(read_swedish, today=today) if reader is read_swedish else reader


def _unconfirmed(hint: Redacted) -> EidOptions:
    """The fields of a request without a number, and so without anything to compare in the ID token."""
    fields = FREJAID.fields
    return {
        "login_hint": hint,
        "acr_values": fields["acr_values"],
        "prompt_lifetime": fields["prompt_lifetime"],
    }


def _kind(person: str) -> Literal["ssn", "phone", "email"]:
    """How somebody is named, by what is typed or stands in a file."""
    if "@" in person:
        return "email"
    return "phone" if looks_like_phone(person) else "ssn"


def _read(person: str, *, country: str) -> Redacted:
    """Whoever is named, as they are sent."""
    person = Redacted(person)
    readers = {"email": read_email, "phone": read_phone, "ssn": _reader(country)}
    return readers[_kind(person)](person)


def _ask(ssn: str, *, country: Any, message: str | None = None, **overrides: Any) -> FrejaID:
    """Make a request from what was typed or read from a file: an @ means e-mail, a leading + means phone number."""
    if message is not None:
        overrides = {"binding_message": message, **overrides}
    named: dict[str, Any] = {_kind(ssn): ssn}
    return FrejaID(**named, country=country, **overrides)


#: The number's claim path, as Idura describes it for browser logins.
_NUMBER: Final = ("details", "requestedAttributes", "ssn")

FREJAID: Final = Eid(
    name="freja",
    label="FrejaID",
    fields={
        # Idura describes the country hint only together with the number hint, so they are always sent together.
        "login_hint": "sub:ssncountry:{country} sub:ssn:{ssn}",
        "acr_values": "urn:grn:authn:se:frejaid",
        "identity": {(*_NUMBER, "ssn"): "{ssn}", (*_NUMBER, "country"): "{country}"},
        "identity_elsewhere": {("ssn",): "{ssn}", ("socialno",): "{ssn}"},
        # Freja: an authentication lives at most two minutes.
        "prompt_lifetime": 120.0,
    },
    options=(
        Option(
            name="country",
            help="country of the national number",
            choices=tuple(_READERS),
            default="SE",
            elsewhere="ignored",
        ),
    ),
    number=_read,
    number_options=("country",),
    request=_ask,
    person="National number, e-mail address or phone number",
    # Well formed, but nobody's: the birth date is in the future.
    somebody="209602294564",
)
