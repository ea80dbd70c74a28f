"""Swedish BankID phone authentication.

Spec: Idura "Caller Authentication", Swedish BankID; BankID RP API v6, `/phone/auth`.
"""

from __future__ import annotations

from datetime import date
from typing import Final, Literal, Unpack

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.phase import Phase
from idura_ciba.eids.request import EidOptions, EidRequest, as_text
from idura_ciba.eids.written_number import read_swedish
from idura_ciba.errors import ArgumentError

__all__ = ["SWEDISH_BANKID", "SwedishBankID"]


class SwedishBankID(EidRequest):
    """Swedish BankID phone authentication.

    The app asks whether the person is on the phone with you, and shows `message`. The ID token always has the person's
    number, so a login without it is refused.

    Args:
        ssn: Twelve digits with the century, or ten with the sign before the last four; in any written form.
        call_initiator: `RP` if you called the person, `user` if the person called you; the app says which.
        message: What the person reads in the app, at most 1125 bytes in UTF-8. Idura lists it as required. Pass
            `binding_message` instead to override that, or `binding_message=None` to send none.
        today: The date by which the sign of ten digits tells the century; by default the present date in Sweden.
        overrides: Any field of `EidRequest`.

    Raises:
        UsageError: An argument is invalid; nothing was sent.

    Example:
        ::

            SwedishBankID("196802020575", call_initiator="user", message="Your call to Acme, reference 4711")

    Spec: Idura "Caller Authentication", Swedish BankID; BankID RP API v6, `/phone/auth`.
    """

    __slots__ = ()

    def __init__(
        self,
        ssn: str,
        *,
        call_initiator: Literal["RP", "user"],
        message: str = "",
        today: date | None = None,
        **overrides: Unpack[EidOptions],
    ) -> None:
        ssn, message = as_text("ssn", ssn), as_text("message", message)
        if call_initiator not in ("RP", "user"):
            raise ArgumentError(
                "The call_initiator of Swedish BankID must be RP or user",
                code="call_initiator",
                advice="Pass RP if you called the person, user if the person called you",
            )
        if bool(message.strip()) == ("binding_message" in overrides):
            raise ArgumentError(
                "Swedish BankID needs exactly one message to show in the app",
                code="message_required",
                advice="Pass message='...'; Idura lists binding_message as required for this eID",
            )
        fields = SWEDISH_BANKID.fill(ssn=read_swedish(ssn, today=today), call_initiator=call_initiator)
        fields["binding_message"] = message
        super().__init__(**(fields | overrides))
        # Only now: `EidRequest` has refused a message that UTF-8 cannot encode, which cannot be measured.
        SWEDISH_BANKID.check_message(self.binding_message)


SWEDISH_BANKID: Final = Eid(
    name="se",
    label="Swedish BankID",
    fields={
        "login_hint": "sub:ssn:{ssn}",
        "acr_values": "urn:grn:authn:se:bankid",
        "authorization_details": ({"type": "phoneAuth", "callInitiator": "{call_initiator}"},),
        "identity": {("ssn",): "{ssn}"},
        "identity_elsewhere": {("socialno",): "{ssn}", ("country",): "SE", ("identityscheme",): "sebankid"},
        "identity_guaranteed": True,
        # Idura's sample says 120, but at BankID an order can be picked up for three minutes (RP API v6).
        "prompt_lifetime": 180.0,
    },
    number=read_swedish,
    message="required",
    # BankID accepts at most 1500 characters of base64 (RP API v6, `userVisibleData`), which is this many bytes.
    message_bytes=1125,
    phases={
        "awaiting first user interaction": Phase.WAITING,
        "awaiting user request acknowledgement": Phase.OPENED,
        "awaiting user identification": Phase.IDENTIFYING,
    },
    options=(
        Option(
            name="call_initiator",
            help="RP if you called the person, user if they called you",
            choices=("RP", "user"),
            required=True,
        ),
    ),
    request=SwedishBankID,
    # Well formed, but nobody's: the birth date is in the future.
    somebody="209801011231",
)
