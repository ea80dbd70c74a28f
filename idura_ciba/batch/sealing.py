"""Seals and encryption of journal entries, with keys derived from the client's credential.

A seal (a MAC) reveals a flipped bit and an entry that somebody changed. The answer of a login is also encrypted: it
stays in the journal until it is delivered, and nobody may read it there.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba.client import CibaClient
from idura_ciba.eids.request import EidRequest

__all__ = ["Sealing"]

#: NIST SP 800-38D section 8.2: the usual length for AES-GCM. Random nonces are safe for 2**32 messages per key.
_NONCE: Final = 12
#: Bytes kept of each MAC: 128 bits cannot be guessed, and there may be millions of MACs.
_LENGTH: Final = 16


@frozen
class Sealing:
    """Seals and encrypts for one client at one provider."""

    _seals: bytes = field(repr=False)
    _people: bytes = field(repr=False)
    _answers: AESGCM = field(repr=False)

    @classmethod
    def of(cls, client: CibaClient) -> Sealing:
        """Derive the keys from the client's credential."""
        return cls(
            client.derive_key(b"batch seals"),
            client.derive_key(b"batch people"),
            AESGCM(client.derive_key(b"batch answers")),
        )

    def seal(self, kind: str, values: Sequence[object]) -> bytes:
        """Return a seal on values. Bytes among them are sealed as their hexadecimal digits."""
        return hmac.digest(self._seals, _encode([kind, *values]).encode(), "sha256")[:_LENGTH]

    def fits(self, kind: str, values: Sequence[object], seal: object) -> bool:
        """Return whether a seal was made for these values."""
        return isinstance(seal, bytes) and hmac.compare_digest(seal, self.seal(kind, values))

    def tag(self, request: EidRequest) -> bytes:
        """Return a person's tag: equal for equal hints, and meaningless without the key."""
        return hmac.digest(self._people, request.person_key.encode(), "sha256")[:_LENGTH]

    def encrypt(self, key: str, members: Mapping[str, Any]) -> bytes:
        """Encrypt the answer of a login, for the entry with this key."""
        nonce = os.urandom(_NONCE)
        text = json.dumps(members, separators=(",", ":")).encode()
        return nonce + self._answers.encrypt(nonce, text, key.encode())

    def decrypt(self, key: str, blob: bytes) -> dict[str, Any] | None:
        """Decrypt an answer; None if `encrypt` did not make it for this entry."""
        try:
            text = self._answers.decrypt(blob[:_NONCE], blob[_NONCE:], key.encode())
        except (InvalidTag, ValueError):
            return None
        members: dict[str, Any] = json.loads(text)
        return members


def _digits(value: object) -> str:
    assert isinstance(value, bytes)  # noqa: S101 - everything else in an entry is JSON
    return value.hex()


_encode = json.JSONEncoder(default=_digits, separators=(",", ":")).encode
