"""Text that is hidden in a repr, and so in tracebacks with locals and in debuggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Redacted", "redact"]


class Redacted(str):
    """A `str` whose repr hides it.

    Used for national ids, spoken words, `auth_req_id`, secrets and tokens. Comparing, hashing, encoding and pickling
    work as for `str`; `str(value)` returns the plain text.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Only that there is a value."""
        return "<redacted>"


def redact(value: Any) -> Any:
    """A JSON value whose texts are hidden, however deep; names and numbers are not."""
    if isinstance(value, str):
        return Redacted(value)
    if isinstance(value, Mapping):
        return {name: redact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    return value
