"""Norwegian BankID caller authentication.

Spec: Idura "Caller Authentication", Norwegian BankID.
"""

from __future__ import annotations

from typing import Final, Unpack

from idura_ciba.eids.eid import Eid
from idura_ciba.eids.phase import Phase
from idura_ciba.eids.request import EidOptions, EidRequest, as_text
from idura_ciba.eids.written_number import read_norwegian
from idura_ciba.protocol.answers import LONGEST_PROMPT

__all__ = ["NORWEGIAN_BANKID", "NorwegianBankID"]


class NorwegianBankID(EidRequest):
    """Norwegian BankID caller authentication.

    It takes no message. Idura answers with two words, `Transaction.spoken_words`: read them to the person before
    waiting; the person picks them in the app.

    **The ID token may omit the national number.** It has the number only with the `ssn` scope and the person's consent.
    Without it the login has `person_confirmed = False`: somebody picked the right words, but nothing in the token says
    that it was the person you asked. If that is not enough, pass `require_person=True` and `scope="openid ssn"`, which
    needs dynamic scopes enabled for the application at Idura.

    Args:
        ssn: Eleven digits, in any written form.
        allow_synthetic: Whether to accept the numbers of test persons.
        overrides: Any field of `EidRequest` except `binding_message`.

    Raises:
        UsageError: An argument is invalid; nothing was sent.

    Spec: Idura "Caller Authentication", Norwegian BankID.
    """

    __slots__ = ()

    def __init__(self, ssn: str, *, allow_synthetic: bool = True, **overrides: Unpack[EidOptions]) -> None:
        ssn = as_text("ssn", ssn)
        NORWEGIAN_BANKID.check_message(overrides.get("binding_message"))
        fields = NORWEGIAN_BANKID.fill(ssn=read_norwegian(ssn, allow_synthetic=allow_synthetic))
        super().__init__(**(fields | overrides))


NORWEGIAN_BANKID: Final = Eid(
    name="no",
    label="Norwegian BankID",
    fields={
        "login_hint": "sub:ssn:{ssn}",
        "acr_values": "urn:grn:authn:no:bankid",
        "authorization_details": ({"type": "customerServiceCall.v1"},),
        "identity": {("socialno",): "{ssn}"},
        "identity_elsewhere": {("ssn",): "{ssn}", ("country",): "NO"},
        "prompt_lifetime": LONGEST_PROMPT,
    },
    number=read_norwegian,
    message="forbidden",
    spoken_words=True,
    # It says so from the beginning to the end, and all that time the words are there to be chosen.
    phases={"User has not yet granted authorization": Phase.CHOOSING},
    request=NorwegianBankID,
    # Well formed, but nobody's: the birth date is in the future.
    somebody="01023990128",
)
