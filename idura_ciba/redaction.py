"""Text that never shows itself in a repr, a log of locals or a debugger's list of variables."""

from __future__ import annotations

__all__ = ["Redacted"]


class Redacted(str):
    """A string like any other, except that its repr hides it.

    Used for what identifies a person or opens a door: national ids, spoken words, `auth_req_id`, resume tokens.
    Storing, comparing, hashing, encoding and pickling work as for `str`; `str(value)` gives the plain text to whoever
    asks for it by name.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Say that there is something, not what."""
        return "<redacted>"
