"""Text that is hidden in a repr, and so in tracebacks with locals and in debuggers."""

from __future__ import annotations

__all__ = ["Redacted"]


class Redacted(str):
    """A `str` whose repr hides it.

    Used for national ids, spoken words, `auth_req_id`, secrets and tokens. Comparing, hashing, encoding and pickling
    work as for `str`; `str(value)` returns the plain text.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Only that there is a value."""
        return "<redacted>"
