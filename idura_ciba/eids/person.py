"""Tags that identify a person without revealing the national number.

A transaction lives for minutes, in memory and in resume tokens, and needs the national number for one comparison only.
So the number itself is dropped once the request has left. What stays is a tag, keyed from the client's credential: an
unkeyed hash would be no protection, because there are few national numbers to try.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

__all__ = ["TAG_LENGTH", "ClaimPath", "PersonTags", "find_claim"]

#: Names that lead into nested claims.
ClaimPath = tuple[str, ...]

#: Bytes of a tag: half of an HMAC-SHA-256, which NIST SP 800-107 section 5.3.4 allows. Each login keeps several tags.
TAG_LENGTH: Final = 16


@frozen
class PersonTags:
    """Makes and compares tags. `key` is derived from the client's credential."""

    key: bytes = field(repr=False)

    def tag(self, path: Sequence[str], value: str) -> bytes:
        """Return the tag of a value at a path; equal for equal pairs, otherwise unrelated."""
        # JSON, because a plain separator may also occur in a claim and make different pairs look alike.
        message = json.dumps([*path, value]).encode()
        return hmac.digest(self.key, message, "sha256")[:TAG_LENGTH]

    def matches(self, path: Sequence[str], value: str, tag: bytes) -> bool:
        """Whether the tag was made from `value` at `path`."""
        return hmac.compare_digest(self.tag(path, value), tag)


def find_claim(claims: Mapping[str, Any], path: Sequence[str]) -> object:
    """Return the value at `path`, or None if any step is missing.

    If a step leads to something other than an object, that is not missing: it may well name somebody. It is returned in
    a list, which equals no expected value.
    """
    value: object = claims
    for name in path:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            return [value]
        value = value.get(name)
    return value
