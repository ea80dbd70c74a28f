"""The parts of a compact JWS or JWE: base64url in its one canonical spelling, and JSON with one reading only.

Spec: RFC 7515 section 3.1, RFC 7516 section 3.1.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from idura_ciba.protocol.strict_json import load_object
from idura_ciba.trust.refusal import refuse

__all__ = ["MAX_HEADER", "decode_part", "parse_header", "parse_object"]

MAX_HEADER = 2048
_PART = re.compile(r"[A-Za-z0-9_-]*")


def decode_part(part: str) -> bytes:
    """The bytes of one part.

    Raises:
        IdTokenRejected: It is no base64url, or not the canonical one.
    """
    if not _PART.fullmatch(part):
        refuse("id_token_malformed", "format", "a part is not canonical base64url")
    data = b""
    if len(part) % 4 != 1:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    # Spare bits that are not zero are a second spelling of the same token.
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        refuse("id_token_malformed", "format", "a part is not canonical base64url")
    return data


def parse_object(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object of a part, whose name is told where it is none.

    Raises:
        IdTokenRejected: It is none, or not one that can be read in one way only.
    """
    try:
        return load_object(data)
    except ValueError as error:
        problem = str(error)
    return refuse("id_token_malformed", name, f"it is {problem}")


def parse_header(data: bytes) -> dict[str, Any]:
    """The members of a header; which of them may be there is for others to say.

    Raises:
        IdTokenRejected: It is too long, or as for `parse_object`.
    """
    if len(data) > MAX_HEADER:
        refuse("id_token_malformed", "header", f"it is longer than {MAX_HEADER} bytes")
    return parse_object(data, "header")
