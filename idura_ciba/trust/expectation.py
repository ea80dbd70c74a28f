"""What the ID token of a login must say, as it is kept while the login is pending: of the person only tags."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from attrs import field, frozen

from idura_ciba.eids.person import TAG_LENGTH, ClaimPath, PersonTags
from idura_ciba.eids.request import EidRequest

__all__ = ["Demand", "Expectation", "shared"]


@frozen(weakref_slot=False)
class Demand:
    """What an ID token must say, whoever is asked; one object for all who are asked alike, because so many may wait.

    Attributes:
        acr_values: What was asked for; any one of them will do.
        pin_acr: The exact value demanded, where the caller wants no other.
        require_acr: Whether a token that names no level is refused.
        identity: Paths into the claims at which the person's own values must stand.
        identity_guaranteed: Tokens of this eID always carry these claims.
        require_person: The caller insists on them.
        identity_elsewhere: Like `identity`, for claims that may always be missing and may never say something else.
    """

    acr_values: tuple[str, ...]
    pin_acr: str | None
    require_acr: bool
    identity: tuple[ClaimPath, ...]
    identity_guaranteed: bool
    require_person: bool
    identity_elsewhere: tuple[ClaimPath, ...] = ()


@lru_cache(maxsize=64)
def shared(demand: Demand) -> Demand:
    """The one object for all equal ones."""
    return demand


@frozen(weakref_slot=False)
class Expectation:
    """What the ID token of one transaction must say.

    Attributes:
        demand: Whoever is asked.
        tags: Of the person's own values at the paths of `identity` and `identity_elsewhere`, one after the other.
        issued_from: Seconds since the epoch; a token issued earlier belongs to something else.
    """

    demand: Demand
    tags: bytes = field(repr=False)
    issued_from: float

    @classmethod
    def of(cls, request: EidRequest, *, tags: PersonTags, issued_from: float) -> Expectation:
        """What a request demands of its answer, with the person's own values tagged away."""
        demand = Demand(
            acr_values=tuple((request.acr_values or "").split()),
            pin_acr=request.pin_acr,
            require_acr=request.require_acr,
            identity=tuple(request.identity),
            identity_guaranteed=request.identity_guaranteed,
            require_person=request.require_person,
            identity_elsewhere=tuple(request.identity_elsewhere),
        )
        values = (*request.identity.items(), *request.identity_elsewhere.items())
        return cls(shared(demand), b"".join(tags.tag(path, value) for path, value in values), issued_from)

    def tagged(self) -> Iterator[tuple[ClaimPath, bytes]]:
        """Each path with its tag."""
        for nth, path in enumerate(self.demand.identity + self.demand.identity_elsewhere):
            yield path, self.tags[nth * TAG_LENGTH : (nth + 1) * TAG_LENGTH]
