"""Phone numbers and e-mail addresses as people and programs write them, brought into the form in which they are sent.

The rules are those of `written_number`: a form that loses nothing is read, and what has lost something is refused.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from idura_ciba.eids.written_number import EXPONENT
from idura_ciba.eids.written_text import SOFT_HYPHEN, bare, typed
from idura_ciba.errors import ArgumentError
from idura_ciba.redaction import Redacted

__all__ = ["looks_like_phone", "read_email", "read_phone"]

_Damage = Literal["phone", "phone_country_code", "phone_exponent"]
_DAMAGES: Final[dict[_Damage, tuple[str, str]]] = {
    "phone": ("is not in any accepted form", "Write + and the country code, then digits"),
    "phone_country_code": (
        "does not begin with + and the country code, as if a spreadsheet had dropped the +",
        "Add them, such as +46 for Sweden",
    ),
    "phone_exponent": (
        "is in scientific notation, in which digits are lost",
        "Get it from the source again, into a column formatted as text",
    ),
}

#: ITU-T E.164: a country code, and at most 15 digits in all.
_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}")
_INTERNATIONAL: Final = re.compile(r"\(?\s*(?:\+|00)")
#: Separators in a phone number. A slash is not one of them: it may separate two numbers.
_BREAKS: Final = re.compile("[- .()]")
#: Either the point is a separator, or a program took the number for one with decimals.
_DECIMALS: Final = re.compile(r"\+?[0-9]{7,}[.,]0+")
#: The zero that is dialled only within a country. In Italy and its neighbours it is part of the number.
_TRUNK_PREFIX: Final = re.compile(r"(?!\+(?:39|37[89]))(?P<country>\+[1-9][0-9]{0,2})\(0\)")
#: In Sweden and Finland no number begins with 0 after the country code, so this is the same zero without brackets.
_KEPT_PREFIX: Final = re.compile(r"(?P<country>\+(?:46|358))0")
#: Spaces separate hints, and the other characters separate and surround addresses in lists (RFC 5322 section 3.2.3).
_SPECIAL: Final = r"""\s\x00-\x1f\x7f@()<>\[\],;:\\\""""
_EMAIL: Final = re.compile(rf"(?P<mailbox>[^{_SPECIAL}]+)@(?P<domain>[^{_SPECIAL}]+)")
#: What a spreadsheet puts before an address that it turns into a link.
_LINK: Final = re.compile("^(?:mailto|tel):", re.IGNORECASE)


def looks_like_phone(text: str) -> bool:
    """Whether a text begins like a phone number, as no national number does."""
    return _INTERNATIONAL.match(_LINK.sub("", typed(text))) is not None


def read_phone(phone: str) -> Redacted:
    """Read a phone number.

    Args:
        phone: `+` or `00`, the country code and digits, with any spaces, hyphens, dots and brackets, such as
            `+46 (0)70-174 06 05`.

    Returns:
        `+` and digits, hidden from every repr.

    Raises:
        UsageError: It is not a phone number; `code` is `phone`, `phone_country_code` or `phone_exponent`.

    Spec: ITU-T E.164.
    """
    phone = Redacted(phone)  # first, because crash reports show the variables of frames
    phone, damage = _understood(phone)
    if damage is not None:
        what, remedy = _DAMAGES[damage]
        raise ArgumentError(f"The phone number {what}", code=damage, advice=remedy)
    return phone


def read_email(email: str) -> Redacted:
    """Read an e-mail address.

    Args:
        email: An address. Upper and lower case differ before the `@`, not after it.

    Returns:
        The address with its domain in lower case, hidden from every repr.

    Raises:
        UsageError: It is not an e-mail address; `code` is `email`.

    Spec: RFC 5321 section 2.4.
    """
    email = Redacted(email)
    email = _address(email)
    if not email:
        raise ArgumentError(
            "The e-mail address is not in any accepted form",
            code="email",
            advice="Write it without spaces, with one @",
        )
    return email


def _understood(text: str) -> tuple[Redacted, _Damage | None]:
    text = _LINK.sub("", typed(text).replace(SOFT_HYPHEN, ""))
    if EXPONENT.fullmatch(text):
        return Redacted(), "phone_exponent"
    if _DECIMALS.fullmatch(text):
        return Redacted(), "phone"
    # Brackets around the country code go first, so that those around a zero are recognised.
    digits = re.sub(r"^\(([^()]*)\)", r"\1", text)
    digits = re.sub("^00", "+", re.sub("[- .]", "", digits))
    digits = _TRUNK_PREFIX.sub(r"\g<country>", digits, count=1)
    digits = _KEPT_PREFIX.sub(r"\g<country>", _BREAKS.sub("", digits), count=1)
    if _PHONE.fullmatch(digits):
        return Redacted(digits), None
    return Redacted(), "phone_country_code" if re.fullmatch("[0-9]{5,15}", digits) else "phone"


def _address(text: str) -> Redacted:
    parts = _EMAIL.fullmatch(_LINK.sub("", bare(text).replace(SOFT_HYPHEN, "")))
    return Redacted() if parts is None else Redacted(f"{parts['mailbox']}@{parts['domain'].lower()}")
