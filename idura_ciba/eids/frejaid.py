"""FrejaID caller authentication, as far as it is known.

Spec: Idura "FrejaID", `login_hint` and tokens; the sentence stands in Idura's "CIBA".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Unpack

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.identity_number import check_danish, check_finnish, check_norwegian, check_swedish
from idura_ciba.eids.request import EidOptions, EidRequest, as_text
from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted

__all__ = ["FREJAID", "FrejaID"]

_NUMBER_RULES: Final[Mapping[str, Callable[[str], Redacted]]] = {
    "SE": check_swedish,
    "NO": check_norwegian,
    "DK": check_danish,
    "FI": check_finnish,
}
#: ITU-T E.164: a country code, and at most 15 digits in all.
_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}")
#: Hints are separated by spaces, so none may hold one; whether the address exists is for Freja to say.
_EMAIL: Final = re.compile(r"[^\s\x00-\x1f\x7f@]+@[^\s\x00-\x1f\x7f@]+")


class FrejaID(EidRequest):
    """FrejaID caller authentication, as far as it is known.

    **FrejaID over CIBA is documented in one sentence, which says that Idura supports it.** Everything here is
    assumed from Idura's description of FrejaID in the browser: the `acr_values`, the notation of the hints, that
    there are no `authorization_details`, that a message is optional, and where the ID token has the number. Idura
    may want something else; every field can be overridden, so no new release is needed when it does.

    The ID token may omit the national number: see `NorwegianBankID`. Here the scope is `frejaid:ssn`.
    Who is asked by phone number or e-mail address is not confirmed at all unless you pass `identity`.

    Args:
        ssn: National number; exactly one of `ssn`, `phone` and `email` is given.
        country: Whose number it is: `SE`, `NO`, `DK` or `FI`. The rules of the first two are checked in full.
        phone: With the country code: `+46701740605`.
        email: An address registered with Freja.
        overrides: Any field of `EidRequest`.

    Raises:
        UsageError: A rule is broken; nothing was sent.

    Spec: Idura "FrejaID", `login_hint` and tokens; the sentence stands in Idura's "CIBA".
    """

    __slots__ = ()

    def __init__(
        self,
        ssn: str | None = None,
        *,
        country: Literal["SE", "NO", "DK", "FI"] = "SE",
        phone: str | None = None,
        email: str | None = None,
        **overrides: Unpack[EidOptions],
    ) -> None:
        ssn, phone, email = as_text("ssn", ssn or ""), as_text("phone", phone or ""), as_text("email", email or "")
        if sum(map(bool, (ssn, phone, email))) != 1:
            raise UsageError(
                "FrejaID asks by exactly one of ssn, phone and email",
                code="one_hint",
                advice="Say in one way who is to be asked",
            )
        if ssn:
            fields = FREJAID.fill(ssn=_checked(ssn, country), country=country)
        elif phone:
            _match(_PHONE, phone, "phone", "+ and the country code, then digits only")
            fields = _unconfirmed(Redacted(f"sub:phone:{phone}"))
        else:
            _match(_EMAIL, email, "email", "it without spaces, with one @")
            fields = _unconfirmed(Redacted(f"sub:email:{email}"))
        super().__init__(**(fields | overrides))


def _checked(number: Redacted, country: object) -> Redacted:
    rule = _NUMBER_RULES.get(country) if isinstance(country, str) else None
    if rule is None:
        raise UsageError(
            "FrejaID knows no national numbers of that country",
            code="country",
            advice=f"Pass one of {', '.join(_NUMBER_RULES)}",
        )
    return rule(number)


def _match(pattern: re.Pattern[str], value: Redacted, name: str, form: str) -> None:
    if not pattern.fullmatch(value):
        raise UsageError(f"The {name} for FrejaID is not written as it must be", code=name, advice=f"Write {form}")


def _unconfirmed(hint: Redacted) -> EidOptions:
    """Who is asked without a number has none to compare."""
    fields = FREJAID.fields
    return {
        "login_hint": hint,
        "acr_values": fields["acr_values"],
        "prompt_lifetime": fields["prompt_lifetime"],
    }


def _ask(ssn: str, *, country: Any, message: str | None = None, **overrides: Any) -> FrejaID:
    """Whoever is asked, by what is typed or stands in a file: an address has an @, a phone number begins with +."""
    if message is not None:
        overrides = {"binding_message": message, **overrides}
    if "@" in ssn:
        return FrejaID(email=ssn, **overrides)
    if ssn.startswith("+"):
        return FrejaID(phone=ssn, **overrides)
    return FrejaID(ssn, country=country, **overrides)


#: Idura describes where the token has it only for logins in a browser.
_NUMBER: Final = ("details", "requestedAttributes", "ssn")

FREJAID: Final = Eid(
    name="freja",
    label="FrejaID",
    fields={
        # Idura describes the country's hint only together with the number's, so they are never sent apart.
        "login_hint": "sub:ssncountry:{country} sub:ssn:{ssn}",
        "acr_values": "urn:grn:authn:se:frejaid",
        "identity": {(*_NUMBER, "ssn"): "{ssn}", (*_NUMBER, "country"): "{country}"},
        "identity_elsewhere": {("ssn",): "{ssn}", ("socialno",): "{ssn}"},
        # Freja: an authentication lives two minutes at most.
        "prompt_lifetime": 120.0,
    },
    options=(
        Option(
            name="country",
            help="whose national number it is",
            choices=tuple(_NUMBER_RULES),
            default="SE",
            elsewhere="ignored",
        ),
    ),
    request=_ask,
    person="National number, e-mail address or phone number",
    # Well formed, and nobody's: the date of birth lies in the future.
    somebody="209602294564",
)
