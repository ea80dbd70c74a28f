"""What makes a journal trustworthy: its entries are sealed under the client's credential.

A seal tells a bit that flipped, and an entry that somebody changed, from what this package wrote. What a person's login
said is also encrypted: it waits in the journal until it has been handed over, and nobody is to read it there.
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

#: NIST SP 800-38D section 8.2: what AES-GCM is made for. Random ones are safe for 2**32 messages under one key.
_NONCE: Final = 12
#: Bytes kept of each MAC: 128 bits are beyond guessing, and there may be millions of them.
_LENGTH: Final = 16


@frozen
class Sealing:
    """Seals and opens what belongs to one client at one provider."""

    _seals: bytes = field(repr=False)
    _people: bytes = field(repr=False)
    _answers: AESGCM = field(repr=False)

    @classmethod
    def of(cls, client: CibaClient) -> Sealing:
        """With keys of the client's credential."""
        return cls(
            client.derive_key(b"batch seals"),
            client.derive_key(b"batch people"),
            AESGCM(client.derive_key(b"batch answers")),
        )

    def seal(self, kind: str, values: Sequence[object]) -> bytes:
        """A seal on some values. What is bytes in them counts as its hexadecimal digits."""
        return hmac.digest(self._seals, _encode([kind, *values]).encode(), "sha256")[:_LENGTH]

    def fits(self, kind: str, values: Sequence[object], seal: object) -> bool:
        """Whether a seal was made for these values."""
        return isinstance(seal, bytes) and hmac.compare_digest(seal, self.seal(kind, values))

    def tag(self, request: EidRequest) -> bytes:
        """What stands for a person: equal for equal hints, and nothing without the key."""
        return hmac.digest(self._people, request.person_key.encode(), "sha256")[:_LENGTH]

    def encrypt(self, key: str, members: Mapping[str, Any]) -> bytes:
        """Encrypt what a login said, for the entry with this key."""
        nonce = os.urandom(_NONCE)
        text = json.dumps(members, separators=(",", ":")).encode()
        return nonce + self._answers.encrypt(nonce, text, key.encode())

    def decrypt(self, key: str, blob: bytes) -> dict[str, Any] | None:
        """Read it again; None where it is not what `encrypt` made for this entry."""
        try:
            text = self._answers.decrypt(blob[:_NONCE], blob[_NONCE:], key.encode())
        except (InvalidTag, ValueError):
            return None
        members: dict[str, Any] = json.loads(text)
        return members


def _digits(value: object) -> str:
    assert isinstance(value, bytes)  # noqa: S101 - all else that stands in entries is JSON
    return value.hex()


_encode = json.JSONEncoder(default=_digits, separators=(",", ":")).encode
