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
        resumed: Whether it was said to another process, or earlier: then all instants are those of another clock.
    """

    spoken_words: Redacted | None = None
    members: Mapping[str, Any] = field(default=NO_MEMBERS, repr=False)
    nonce: bytes | None = field(default=None, repr=False)
    resumed: bool = False

    @classmethod
    def of(
        cls,
        spoken_words: Redacted | None,
        nonce: bytes | None,
        members: Mapping[str, Any] = NO_MEMBERS,
        *,
        resumed: bool = False,
    ) -> Self:
        """Keep what there is."""
        nothing = _RESUMED if resumed else _NOTHING
        return cls(spoken_words, members, nonce, resumed) if spoken_words or nonce or members else nothing


_NOTHING: Final[Any] = Said()
_RESUMED: Final[Any] = Said(resumed=True)
