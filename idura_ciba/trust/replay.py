"""A cache of the ID tokens that have proved a login, so that none of them proves another.

A provider, or a connection that mixed up its answers, may bring one login's token as the answer to another. Where the
token names the person who was asked, that is found out by the number; where the eID withholds it, only here.
"""

from __future__ import annotations

import hashlib

from attrs import define, field

__all__ = ["ReplayCache"]

#: As few as this are not worth looking through for those that are over.
SMALL = 1024


@define
class ReplayCache:
    """What the logins of one client were proved with. Holds digests only, each for as long as its token is accepted."""

    _owners: dict[bytes, tuple[bytes, float]] = field(factory=dict, init=False, repr=False)
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
        known, _ = self._owners.get(digest, (owner, until))
        if known != owner:
            return False
        self._owners[digest] = owner, until
        if len(self._owners) > self._look_through_at:
            self._owners = {key: value for key, value in self._owners.items() if value[1] > now}
            self._look_through_at = max(SMALL, 2 * len(self._owners))
        return True


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
