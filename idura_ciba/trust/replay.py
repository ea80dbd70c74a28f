"""A cache of the ID tokens that have proved a login, so that none of them proves another.

A provider, or a connection that mixed up its answers, may bring one login's token as the answer to another. Where the
token names the person who was asked, that is found out by the number; where the eID withholds it, only here.
"""

from __future__ import annotations

import hashlib
import math

from attrs import define, field

__all__ = ["ReplayCache"]

#: As few as this are not worth looking through for those that are over.
SMALL = 1024
#: Bytes of a digest: nobody finds a second text for one of 128 bits. A busy service holds as many as it logs people in
#: while a token is valid, so they are as short as that allows.
DIGEST = 16
#: Bytes of an instant in seconds. The largest that a token may name has 37 bits.
INSTANT = 5


@define
class ReplayCache:
    """What the logins of one client were proved with. Holds digests only, each for as long as its token is accepted."""

    # By the digest of a token: that of its login, and from when on the token is refused for its age.
    _owners: dict[bytes, bytes] = field(factory=dict, init=False, repr=False)
    _look_through_at: int = field(default=SMALL, init=False)

    def use(self, token: str, *, auth_req_id: str, now: float, until: float) -> bool:
        """Whether a token may prove this login; if so it proves no other one from now on.

        Args:
            token: Compact JWS. Its signature does not count: for some algorithms a second one is easily made.
            auth_req_id: Whose login it is to prove. The same login may be proved again.
            now: Seconds since the epoch.
            until: From then on the token is refused for its age.
        """
        digest, owner = _digest(token.rpartition(".")[0]), _digest(auth_req_id)
        known = self._owners.get(digest)
        if known is not None and known[:DIGEST] != owner:
            return False
        self._owners[digest] = owner + _instant(math.ceil(until))
        if len(self._owners) > self._look_through_at:
            present = _instant(math.floor(now))
            self._owners = {key: value for key, value in self._owners.items() if value[DIGEST:] > present}
            self._look_through_at = max(SMALL, 2 * len(self._owners))
        return True


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()


def _instant(seconds: int) -> bytes:
    """Seconds since the epoch as bytes that are ordered like them."""
    return max(0, seconds).to_bytes(INSTANT, "big")
