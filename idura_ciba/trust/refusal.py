"""Why an ID token is refused: a code for each outcome that a program must treat differently, and what to do about it.

"Do not trust this login" is said where somebody may be cheating, and not where a clock or a setting explains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NoReturn

from idura_ciba.errors import IdTokenRejected

__all__ = ["DISTRUSTED", "REMEDIES", "Code", "refuse"]

#: What a program can tell apart. One of the answer's size is the transport's too: one situation, one code.
Code = Literal[
    "id_token_algorithm",
    "id_token_audience",
    "id_token_clock",
    "id_token_decryption",
    "id_token_encrypted",
    "id_token_encryption",
    "id_token_issuer",
    "id_token_key",
    "id_token_level",
    "id_token_level_missing",
    "id_token_malformed",
    "id_token_other_login",
    "id_token_person",
    "id_token_person_missing",
    "id_token_replayed",
    "id_token_signature",
    "oversized",
]

_DISTRUST = "do not trust this login; report it to the provider with the trace id"

#: What is to be done, by code.
REMEDIES: Mapping[Code, str] = {
    # Settings: of this client, of this machine, of the application at the provider.
    "id_token_algorithm": "if the provider means to sign so, name the algorithm in id_token_algorithms",
    "id_token_clock": "see that this machine's clock is right; if it is, ask the provider, with the trace id, about "
    "its own clock and about tokens of earlier logins",
    "id_token_decryption": "pass the private key whose public half the provider encrypts under as decryption_keys of "
    "CibaClient, and resume with this error's resume_token",
    "id_token_encrypted": "the provider encrypts ID tokens for this client; pass the private key as decryption_keys of "
    "CibaClient and resume with this error's resume_token, or have the provider stop: the setting is the client's "
    "id_token_encrypted_response_alg, at Idura the application's id_token response strategy",
    "id_token_encryption": "if the provider means to encrypt so, name the algorithm in DecryptionKeys; if it cannot be "
    "named there, have the provider use another one, and no compression",
    "id_token_level_missing": "if the provider never names a level, pass require_acr=False",
    "id_token_person_missing": "have the provider put the number into its ID tokens, or do without it: without "
    "require_person or identity_guaranteed the login says person_confirmed=False",
    "oversized": "if the provider sends photos, raise max_token_size of CibaClient",
    # Perhaps a setting, perhaps not.
    "id_token_audience": "see that client_id is this client's, and that trusted_audiences names each further one that "
    f"the provider means; if so, {_DISTRUST}",
    "id_token_issuer": f"see that the issuer is spelled as the provider spells it; if it is, {_DISTRUST}",
    "id_token_key": f"see that jwks_uri is this provider's; if it is, {_DISTRUST}",
    # Somebody may be cheating.
    "id_token_level": _DISTRUST,
    "id_token_malformed": _DISTRUST,
    "id_token_other_login": _DISTRUST,
    "id_token_person": _DISTRUST,
    "id_token_replayed": _DISTRUST,
    "id_token_signature": _DISTRUST,
}
#: The codes with which somebody may be cheating.
DISTRUSTED: frozenset[str] = frozenset(code for code, remedy in REMEDIES.items() if remedy.endswith(_DISTRUST))


def refuse(code: Code, claim: str, reason: str) -> NoReturn:
    """Refuse a token.

    Args:
        code: What it means to a program.
        claim: The claim or header member at fault.
        reason: Why; quotes nothing of the token.

    Raises:
        IdTokenRejected: Always.
    """
    error = IdTokenRejected(
        f"the ID token was refused: {claim}, {reason}",
        code=code,
        phone="The prompt on the phone was approved, and nobody is logged in",
        advice=REMEDIES[code],
    )
    error.claim, error.reason = claim, reason
    raise error
