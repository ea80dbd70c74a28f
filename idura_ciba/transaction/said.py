"""What was said when a login began, besides what each of them needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from attrs import field, frozen

from idura_ciba.protocol.answers import NO_MEMBERS
from idura_ciba.redaction import Redacted

__all__ = ["Said"]


@frozen
class Said:
    """All of it; most logins have none and share one object, because there may be tens of thousands.

    Attributes:
        spoken_words: To be read to the person, or None.
        members: What else the provider's acknowledgement said.
        nonce: That of the login's notification token, or None.
    """

    spoken_words: Redacted | None = None
    members: Mapping[str, Any] = field(default=NO_MEMBERS, repr=False)
    nonce: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, spoken_words: Redacted | None, nonce: bytes | None, members: Mapping[str, Any] = NO_MEMBERS) -> Self:
        """Keep what there is."""
        return _NOTHING if not (spoken_words or nonce or members) else cls(spoken_words, members, nonce)


_NOTHING: Final[Any] = Said()
