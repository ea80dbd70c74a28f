"""What a fleet writes about people, made unreadable: keyed tags, encrypted progress and outcomes."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest

__all__ = ["LAYOUT", "Sealing"]

#: The layout of what is written here and of resume tokens. A worker takes only logins whose layout it can read.
LAYOUT: Final = 1
#: NIST SP 800-38D section 8.2: the usual length for AES-GCM.
_NONCE: Final = 12
#: What a ping is encrypted for, as anything else is for its login.
_PING: Final = "a ping"
#: Bytes of a tag.
_TAG: Final = 16


@frozen
class Sealing:
    """Hides what one client writes."""

    _people: bytes = field(repr=False)
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def of(cls, client: CibaClient) -> Sealing:
        """Derive the keys from the secret that all replicas have."""
        return cls(client.derive_key(b"fleet people"), AESGCM(client.derive_key(b"fleet")))

    def tag(self, request: EidRequest) -> bytes:
        """A person's tag: equal for equal hints, and meaningless without the key."""
        return hmac.digest(self._people, request.person_key.encode(), "sha256")[:_TAG]

    def mark(self, purpose: bytes, value: bytes) -> bytes:
        """A mark of anything else: equal for equal values, and nobody can try values out."""
        return hmac.digest(hmac.digest(self._people, purpose, "sha256"), value, "sha256")[:_TAG]

    def hide(self, login: str, members: Mapping[str, Any]) -> bytes:
        """Encrypt, for this login only."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, json.dumps(members).encode(), login.encode())

    def hide_token(self, login: str, token: str | None) -> str:
        """Encrypt a resume token: the words that are read to the person stand in it."""
        return self.hide(login, {"token": token}).hex()

    def show_token(self, login: str, text: str) -> str | None:
        """Decrypt one; None if it cannot be read here."""
        token: str | None = self.show(login, bytes.fromhex(text)).get("token")
        return token

    def hide_ping(self, notice: bytes) -> str:
        """Encrypt what is passed on of a ping."""
        return self.hide(_PING, {"ping": notice.hex()}).hex()

    def show_ping(self, text: str) -> bytes | None:
        """Decrypt it; None if no replica of this client has written it."""
        try:
            said: str = self.show(_PING, bytes.fromhex(text))["ping"]
        except (ValueError, KeyError):
            return None
        return bytes.fromhex(said)

    def show(self, login: str, blob: bytes | None) -> dict[str, Any]:
        """Decrypt; nothing if there is nothing, or if it was not made for this login and by this client."""
        if blob is None:
            return {}
        try:
            members: dict[str, Any] = json.loads(self._cipher.decrypt(blob[:_NONCE], blob[_NONCE:], login.encode()))
        except (InvalidTag, ValueError):
            return {}
        return members
