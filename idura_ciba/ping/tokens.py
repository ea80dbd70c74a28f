"""The `client_notification_token` of each login.

It has to be sent before the provider has named the login, so it cannot be made of the `auth_req_id`. It is a random
nonce with a MAC under a key of the client's:

1. Only the nonce has to be kept. It is in the resume token, so a login that is resumed elsewhere is still found by the
   token that the provider has. Whoever reads a resume token and has no credential cannot make a ping of it.
2. Whether a token is this client's is known without looking anything up. Whoever has none learns nothing of any login.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from random import Random

from idura_ciba.redaction import Redacted

__all__ = ["NONCE", "NotificationTokens"]

#: Bytes: CIBA Core section 7.1 demands 128 bits of entropy and advises 160.
NONCE = 20
#: Bytes of the MAC: 128 bits, as demanded of the token.
_MAC = 16
#: Characters of a token: 36 bytes in base64, which needs no padding.
_LENGTH = 48


class NotificationTokens:
    """Makes and recognises the tokens of one client.

    Args:
        key: 32 secret bytes, the same wherever the client's logins are resumed.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @staticmethod
    def nonce(rng: Random) -> bytes:
        """Draw the nonce of one login."""
        return rng.randbytes(NONCE)

    def token(self, nonce: bytes) -> Redacted:
        """The token with this nonce, in the syntax of bearer tokens (RFC 6750 section 2.1)."""
        return Redacted(urlsafe_b64encode(nonce + hmac.digest(self._key, nonce, "sha256")[:_MAC]).decode())

    def mark(self, nonce: bytes, auth_req_id: str) -> bytes:
        """Stands for an `auth_req_id` among the replicas of this client, and says nothing of it or of the token."""
        # An `auth_req_id` is foreign text, and may hold half of a surrogate pair. What a token is made of is shorter.
        named = b"ping" + nonce + auth_req_id.encode(errors="surrogatepass")
        return hmac.digest(self._key, named, "sha256")[:_MAC]

    def nonce_of(self, token: str) -> bytes | None:
        """The nonce of one of this client's tokens; None for everything else. Takes the same time for each."""
        text = token.encode("ascii", "replace")
        # Of the right length even if it is not: then it fails the comparison, as any other forgery.
        nonce = urlsafe_b64decode(text.translate(_SAFE)[:_LENGTH].ljust(_LENGTH, b"A"))[:NONCE]
        return nonce if hmac.compare_digest(text, self.token(nonce).encode()) else None


#: Each byte that base64 does not have becomes one that it has.
_SAFE = bytes(
    byte if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "-_") else ord("A") for byte in range(256)
)
