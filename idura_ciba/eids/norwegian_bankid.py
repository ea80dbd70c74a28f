"""Norwegian BankID caller authentication.

Spec: Idura "Caller Authentication", Norwegian BankID.
"""

from __future__ import annotations

from typing import Final, Unpack

from idura_ciba.eids.eid import Eid
from idura_ciba.eids.request import LONGEST_PROMPT, EidOptions, EidRequest, as_text
from idura_ciba.eids.written_number import read_norwegian

__all__ = ["NORWEGIAN_BANKID", "NorwegianBankID"]


class NorwegianBankID(EidRequest):
    """Norwegian BankID caller authentication.

    There is no message to pass: Idura answers with two words, `Transaction.spoken_words`, which you read to the
    person before waiting, and which the person picks in the app.

    **The ID token may omit the national number.** It stands there only with the `ssn` scope and the person's consent.
    Without it the login has `person_confirmed = False`: somebody picked the right words, and nothing in the token says
    that it was the person you asked for. Where that is not enough, pass `scope="openid ssn"`, which needs dynamic
    scopes enabled for the application at Idura, and `require_person=True`.

    Args:
        ssn: Eleven digits, in any written form.
        allow_synthetic: Whether the numbers of test persons pass.
        overrides: Any field of `EidRequest` but `binding_message`.

    Raises:
        UsageError: A rule is broken; nothing was sent.

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
    phases=("User has not yet granted authorization",),
    request=NorwegianBankID,
    # Well formed, and nobody's: the date of birth lies in the future.
    somebody="01023990128",
)
