"""Who was asked, kept so that it can be recognised and not read.

A transaction lives for minutes, in memory and in resume tokens, and needs a national number for one comparison only.
So the number itself is dropped once the request has left; what stays is a tag under a key that only holders of the
client's credential have. Without the key a tag would be no protection: there are few national numbers to try.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

__all__ = ["TAG_LENGTH", "ClaimPath", "PersonTags", "find_claim"]

#: Names to follow into nested claims.
ClaimPath = tuple[str, ...]

#: Bytes kept of each tag: NIST SP 800-107 section 5.3.4 finds no fault with half of an HMAC-SHA-256, and several of
#: them are kept for each login.
TAG_LENGTH: Final = 16


@frozen
class PersonTags:
    """Makes and compares tags. `key` comes from the client's credential."""

    key: bytes = field(repr=False)

    def tag(self, path: Sequence[str], value: str) -> bytes:
        """The tag of a value at a path; equal for equal pairs, otherwise unrelated."""
        # JSON keeps pairs apart that read alike when joined: any separator may stand in a claim too.
        message = json.dumps([*path, value]).encode()
        return hmac.digest(self.key, message, "sha256")[:TAG_LENGTH]

    def matches(self, path: Sequence[str], value: str, tag: bytes) -> bool:
        """Whether `value` at `path` is what the tag was made of."""
        return hmac.compare_digest(self.tag(path, value), tag)


def find_claim(claims: Mapping[str, Any], path: Sequence[str]) -> object:
    """The value at `path`; None where any step is missing. A step that leads through no object is not missing.

    What is found there instead may well name somebody, so it is returned wrapped: it equals nothing that was asked for.
    """
    value: object = claims
    for name in path:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            return [value]
        value = value.get(name)
    return value
