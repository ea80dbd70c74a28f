"""Whether tokens are bound to this client's key or certificate, where it has one to bind them to.

Rules:
1. With DPoP, `token_type` is `DPoP` in any case, where there is an access token at all (RFC 9449 section 5).
2. Where the access token or the ID token is a JWT with `cnf`, the key that it names is ours (RFC 7800 section 3.1, RFC
   9449 section 6.1, RFC 8705 section 3.1). An access token that is no JWT is the provider's own business.

The signature of an access token is not checked: it is for others, and what it says here can only lose a login.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from idura_ciba.errors import IdTokenRejected
from idura_ciba.protocol.answers import Tokens
from idura_ciba.protocol.strict_json import load_object

__all__ = ["check_binding"]

_PHONE: Final = "The prompt on the phone was approved, and nobody is logged in"


def check_binding(tokens: Tokens, claims: Mapping[str, Any], confirmation: Mapping[str, str]) -> None:
    """Apply both rules.

    Args:
        tokens: The provider's answer.
        claims: Those of its ID token, verified.
        confirmation: The members of `cnf` that name what this client has: `jkt`, `x5t#S256`.

    Raises:
        IdTokenRejected: `token_unbound` or `token_other_key`.
    """
    if "jkt" in confirmation and tokens.access_token is not None and (tokens.token_type or "").lower() != "dpop":
        _refuse("token_type", "the access token is not bound to this client's key", "token_unbound", _SETTING)
    for name, members in (("ID token", claims), ("access token", _claims_of(tokens.access_token or ""))):
        cnf = members.get("cnf")
        named = cnf if isinstance(cnf, Mapping) else {}
        if any(named.get(member, ours) != ours for member, ours in confirmation.items()):
            _refuse("cnf", f"the {name} is bound to another key than this client's", "token_other_key", _KEYS)


_SETTING: Final = "have the provider bind this client's tokens by DPoP, or leave DPoP out"
_KEYS: Final = (
    "see that each process of this client has the same key and certificate, and that they did not change while the "
    "person was asked; if so, do not trust this login; report it to the provider with the trace id"
)


def _refuse(claim: str, reason: str, code: str, advice: str) -> NoReturn:
    error = IdTokenRejected(reason, code=code, phone=_PHONE, advice=advice)
    error.claim, error.reason = claim, reason
    raise error


def _claims_of(token: str) -> Mapping[str, Any]:
    """What a token says if it is a JWT."""
    parts = token.split(".", 3)
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515: three parts make a JWS
        return {}
    try:
        return load_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
