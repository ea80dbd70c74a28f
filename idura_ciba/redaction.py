"""Text that is hidden in a repr, and so in tracebacks with locals and in debuggers; and foreign text made harmless."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Redacted", "clean", "redact"]

#: Characters of foreign text that are shown; a longer text is no message for a person.
LIMIT = 300


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


def clean(text: str, *, limit: int = LIMIT) -> str:
    r"""Return foreign text as one bounded line, with `\x1b` and the like for whatever is not printable."""
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text[:limit]
    )
    return shown + "…" if len(text) > limit else shown
