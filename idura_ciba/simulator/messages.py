"""HTTP messages as plain values, forms and JSON, as the simulator reads and writes them.

None of this is shared with the client, so that the two cannot share a misreading of the specifications.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from attrs import field, frozen

__all__ = ["FORM", "JSON", "Refusal", "SimReply", "SimRequest", "error_body", "json_bytes", "read_form"]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@frozen
class SimRequest:
    """One request as it reaches the provider.

    Attributes:
        method: The HTTP method, upper case.
        path: Path and, after a `?`, the query.
        headers: Header fields; stored by lower-case name.
        body: The raw body.
        certificate: That of the client's TLS in DER, verified; None without one.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(factory=dict, converter=_lower, repr=False)
    body: bytes = field(default=b"", repr=False)
    certificate: bytes | None = field(default=None, repr=False)


@frozen
class SimReply:
    """One answer as the provider sends it.

    Attributes:
        status: The HTTP status code.
        headers: Header fields, spelled as on the wire.
        body: The encoded body.
    """

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Refusal(Exception):  # noqa: N818 - an answer of the provider, not an error of the simulator
    """An OAuth error to be sent (RFC 6749 section 5.2).

    Args:
        error: The error code.
        description: A constant text that quotes nothing of the request: it may be cached and shown.
        status: The HTTP status.
        headers: Further header fields.
    """

    def __init__(
        self, error: str, description: str, *, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error, description)
        self.error: str = error
        self.description: str = description
        self.status: int = status
        self.headers: Mapping[str, str] = headers or {}


def json_bytes(value: object) -> bytes:
    """Encode as compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@functools.cache
def error_body(error: str, description: str) -> bytes:
    """The JSON of an OAuth error. Both texts are constants, so the cache stays small."""
    return json_bytes({"error": error, "error_description": description})


def read_form(request: SimRequest) -> dict[str, str]:
    """Parse a form body.

    Raises:
        Refusal: `invalid_request`: another content type, not UTF-8, or a repeated parameter.

    Spec: RFC 6749 section 3.2: a parameter without a value counts as absent, and none may occur twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Refusal("invalid_request", "the body must be a form")
    try:
        pairs = parse_qsl(request.body.decode(), errors="strict", max_num_fields=100)
    except ValueError:
        raise Refusal("invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refusal("invalid_request", "a parameter occurs twice")
    return form
