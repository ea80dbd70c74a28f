"""Encrypted ID tokens: opened here, and then verified like any other.

Encryption proves nothing: anybody can encrypt for this client. So what comes out is a plain token with all rules still
before it, and until then only these count:

1. `alg` and `enc` are from the caller's lists, which name no shared secret, no password (PBES2) and no RSA1_5.
2. Nothing is inflated: a few bytes of `zip` become gigabytes. No member brings a key or rules of its own.
3. Only the caller's keys open it; where the token and the key both have a `kid`, they agree. Why a key does not is told
   to nobody: the difference would be an oracle.
4. Inside is one signed token and nothing else. Claims that the outer header repeats must be those of the inner token.

A token for which there is no key, yet, is not lost: see `jwks.is_for_want_of_keys`.

Spec: RFC 7516; RFC 7518 sections 4 and 5; RFC 7519 sections 5.2 and 5.3; RFC 8725 sections 3.1, 3.2, 3.6 and 3.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwe

from idura_ciba.credentials.decryption_key import DecryptionKey, DecryptionKeys
from idura_ciba.redaction import Redacted
from idura_ciba.trust.compact import MAX_HEADER, decode_part, parse_header
from idura_ciba.trust.refusal import refuse

__all__ = ["DOTS", "opened"]

#: RFC 7516 section 7.1: between five parts.
DOTS = 4
#: Of a signed token (RFC 7515 section 7.1).
_INNER_DOTS = 2
#: That of RSA with 8192 bits.
_MAX_KEY = 1024
#: RFC 7519 section 5.3: claims that the header may repeat.
REPLICATED = ("iss", "sub", "aud")

#: Members with rules or keys of their own, and those of encryptions that are never accepted.
_RULES = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c", "p2s", "p2c", "iv", "tag", "skid", "url", "nonce"})
_KNOWN = frozenset({"alg", "enc", "kid", "typ", "cty", "epk", "apu", "apv", "zip", *REPLICATED})
#: RFC 7515 sections 4.1.9 and 4.1.10: media types, compared without case, whose `application/` may be left out.
_TYPES = {
    "typ": frozenset({"jwt", "jose", "application/jwt", "application/jose"}),
    "cty": frozenset({"jwt", "application/jwt"}),
}


def opened(token: str, keys: DecryptionKeys | None, max_size: int) -> tuple[Redacted, Mapping[str, Any]]:
    """Decrypt a token.

    Args:
        token: Compact JWE: five parts.
        keys: The caller's, or None.
        max_size: Characters of token at most.

    Returns:
        The signed token inside, and the claims that the header repeats.

    Raises:
        IdTokenRejected: A rule of this module failed.
    """
    if len(token) > max_size:
        refuse("oversized", "size", f"it is longer than {max_size} characters")
    if keys is None:
        refuse("id_token_encrypted", "encryption", "it is encrypted for this client, which was given no key")
    header = parse_header(decode_part(token.partition(".")[0]))
    _check(header, keys)
    for key in keys.fitting(header["alg"], header.get("kid")):
        if (content := _decrypted(token, key, header, max_size)) is not None:
            return _signed(content), {name: header[name] for name in REPLICATED if name in header}
    return refuse("id_token_decryption", "encryption", "no key of this client opens it")


def _check(header: Mapping[str, Any], keys: DecryptionKeys) -> None:
    """Rules 1 and 2."""
    for name, accepted in (("alg", keys.alg), ("enc", keys.enc)):
        # As a tuple: a list or an object has no hash.
        if header.get(name) not in tuple(accepted):
            refuse("id_token_encryption", name, "it is not one of the accepted encryptions")
    if "zip" in header:
        refuse("id_token_encryption", "zip", "what is compressed is not inflated")
    for name in header:
        if name in _RULES or name.lower() in (_RULES | _KNOWN) - {name}:
            claim = name if name in _RULES else "header"
            refuse("id_token_malformed", claim, "a member that could change the rules is not accepted")
    for name, types in _TYPES.items():
        kind = header.get(name, "JWT")
        if not isinstance(kind, str) or kind.lower() not in types:
            refuse("id_token_malformed", name, "it is another kind of token")
    if not isinstance(header.get("kid", ""), str):
        refuse("id_token_malformed", "kid", "it is no text")


class _Registry(jwe.JWERegistry):
    """joserfc's limits, which are for small tokens and count characters; what they bound was bounded by `opened`."""

    max_protected_header_length = MAX_HEADER * 2
    max_encrypted_key_length = _MAX_KEY * 2

    def __init__(self, header: Mapping[str, Any], max_size: int) -> None:
        # Members were checked by rule 2, which is stricter.
        super().__init__(algorithms=[header["alg"], header["enc"]], strict_check_header=False)
        self.max_ciphertext_length = max_size


def _decrypted(token: str, key: DecryptionKey, header: Mapping[str, Any], max_size: int) -> bytes | None:
    try:
        return jwe.decrypt_compact(token, key.key, registry=_Registry(header, max_size)).plaintext
    except Exception:  # noqa: BLE001 - joserfc and cryptography raise many kinds; all mean that this key does not open it
        return None


def _signed(content: bytes) -> Redacted:
    """Rule 4. What the inner token says is judged by the verifier."""
    if content.count(b".") != _INNER_DOTS or not content.isascii():
        refuse("id_token_malformed", "encryption", "what it encrypts is no signed token")
    return Redacted(content.decode("ascii"))
