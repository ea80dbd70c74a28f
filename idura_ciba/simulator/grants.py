"""What the tokens of a login open afterwards: userinfo, and new tokens.

Rules:

1. An access token opens userinfo for `TOKEN_LIFETIME` seconds, to whoever proves the keys that it is bound to (RFC 9449
   section 7, RFC 8705 section 3).
2. A refresh token is its client's. One that was exchanged for another is spent; whoever sends it again is a thief, so
   everything that came of it is revoked (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from idura_ciba.simulator.messages import Refusal

__all__ = ["TOKEN_LIFETIME", "Grant", "Grants"]

#: Seconds: the `expires_in` of Idura's sample token answer.
TOKEN_LIFETIME = 120


@define(eq=False)
class Grant:
    """One login, and the tokens that were issued for it.

    Attributes:
        client_id: Whose it is.
        claims: Of its ID token.
        confirmation: The keys that its latest access token is bound to, as `cnf` names them.
        access_until: When its latest access token is over.
        refreshed: How often.
        revoked: Whether its tokens have been misused.
    """

    client_id: str
    claims: Mapping[str, object] = field(repr=False)
    confirmation: Mapping[str, str] = field(factory=dict, repr=False)
    access_until: float = 0.0
    refreshed: int = 0
    revoked: bool = False


@define(eq=False)
class Grants:
    """The logins whose tokens still open something, by token."""

    _access: dict[str, Grant] = field(factory=dict, init=False, repr=False)
    _refresh: dict[str, Grant] = field(factory=dict, init=False, repr=False)
    _spent: dict[str, Grant] = field(factory=dict, init=False, repr=False)

    def issue(self, grant: Grant, *, access_token: str, refresh_token: str | None, now: float) -> None:
        """Note new tokens of a login."""
        grant.access_until = now + TOKEN_LIFETIME
        self._access[access_token] = grant
        if refresh_token is not None:
            self._refresh[refresh_token] = grant

    def opened_by(self, authorization: str, confirmation: Mapping[str, str], now: float) -> Grant:
        """The login whose userinfo is asked for, by whoever has proved these keys.

        Raises:
            Refusal: No, another or an old access token, or one that is bound to a key that was not proved.
        """
        scheme, _, token = authorization.partition(" ")
        grant = self._access.get(token)
        wanted = "dpop" if grant is not None and "jkt" in grant.confirmation else "bearer"
        if (
            grant is None
            or grant.revoked
            or now >= grant.access_until
            or scheme.lower() != wanted
            or not grant.confirmation.items() <= confirmation.items()
        ):
            challenge = {"WWW-Authenticate": f'{"DPoP" if wanted == "dpop" else "Bearer"} error="invalid_token"'}
            raise Refusal("invalid_token", "no such access token", status=401, headers=challenge)
        return grant

    def refreshed_by(self, refresh_token: str, client_id: str, *, rotates: bool) -> Grant:
        """The login that gets new tokens.

        Raises:
            Refusal: `invalid_grant`: another client's, unknown, spent or revoked.
        """
        if (stolen := self._spent.get(refresh_token)) is not None:
            stolen.revoked = True
        grant = self._refresh.get(refresh_token)
        if grant is None or grant.revoked or grant.client_id != client_id:
            raise Refusal("invalid_grant", "no such refresh token")
        if rotates:
            self._spent[refresh_token] = self._refresh.pop(refresh_token)
        grant.refreshed += 1
        return grant
