"""The value that a login ends in. `id_token` alone makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import field, fields, frozen

from idura_ciba.errors import ArgumentError, StateError
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted

__all__ = ["AfterLogin", "Authentication", "proved"]


class AfterLogin(Protocol):
    """What a client does for a login that it has proved."""

    async def userinfo(self, login: Authentication, *, require_signature: bool) -> Mapping[str, Any]:
        """See `Authentication.userinfo`."""
        ...

    async def refresh(self, login: Authentication) -> Authentication:
        """See `Authentication.refresh`."""
        ...


@frozen(init=False)
class Authentication:
    """A person who has proved who they are. Made by verification only, so holding one means that all rules held.

    Attributes:
        subject: `sub`: the person's stable pseudonym at this issuer and client.
        claims: All claims of the ID token.
        id_token: The verified token itself, for those who must archive the proof.
        tokens: The whole token response.
        person_confirmed: True when the token named the person who was asked for. False when the eID delivered no
            number, as Norwegian BankID and FrejaID may: then somebody approved, and *who* is known by `subject` only.
        acr: The level reached, as the token spells it; None when it names none.
        issuer: Who vouches for it.
        trace_id: The provider's trace id of the answer that brought it.

    A pickle or a copy holds the login, and not the client that proved it: `userinfo` and `refresh` need the original.
    """

    subject: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    id_token: Redacted
    tokens: Tokens = field(repr=False)
    person_confirmed: bool
    acr: str | None
    issuer: str
    trace_id: str | None
    _after: AfterLogin | None = field(repr=False, eq=False)

    def __init__(self) -> None:
        raise ArgumentError(
            "an Authentication cannot be made by hand",
            code="authentication",
            advice="in tests, let the simulator approve one",
        )

    async def userinfo(self, *, require_signature: bool = False) -> Mapping[str, Any]:
        """Ask the provider what else it knows of this person, with the access token of this login.

        Args:
            require_signature: Whether an answer that is not signed is refused.

        Returns:
            The claims, whose `sub` is this login's. Those of a signed answer are from this issuer and for this client.
            Nothing of it is kept.

        Raises:
            ProviderError: The access token is not accepted (`access_token_refused`).
            RemoteProtocolError: No endpoint to ask, or the answer breaks a rule (`userinfo_refused`).
            TransportError: No answer.
            StateError: There is no access token that this client can use, or the client is closed.

        Spec: OpenID Connect Core 1.0 section 5.3.
        """
        return await self._reach().userinfo(self, require_signature=require_signature)

    async def refresh(self) -> Authentication:
        """Ask for new tokens with the refresh token of this login; nobody's phone rings.

        Use what it returns from then on. Where the provider has changed the refresh token, the old one is spent, and so
        is this object (`refreshed`). Callers at the same time get the same result, and cancelling one of them costs
        nothing.

        Returns:
            The login with its new tokens. A new ID token was verified, and is of the same issuer, person and audience.

        Raises:
            ProviderError: The provider refuses, for example because it was revoked (`.error` is `invalid_grant`).
            IdTokenRejected: The new ID token proves nothing, or something else.
            TransportError: No answer. The tokens may have been issued; calling it again is right at most providers.
            StateError: There is no refresh token (`no_refresh_token`), it is spent, or the client is closed.

        Spec: OpenID Connect Core 1.0 section 12; RFC 6749 section 6.
        """
        return await self._reach().refresh(self)

    def _reach(self) -> AfterLogin:
        if self._after is None:
            raise StateError(
                "this login was pickled or copied, and has no client",
                code="no_client",
                advice="call it on the login that the client returned",
            )
        return self._after

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the client."""
        return {**_members(self), "after": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The way back."""
        self.__attrs_init__(**state)


def proved(login: Authentication | None = None, **members: Any) -> Authentication:
    """Make a login, or one like another; for those who have verified it.

    Args:
        login: The other one.
        members: Its attributes, or those that are other.
    """
    made = Authentication.__new__(Authentication)
    made.__attrs_init__(**{"after": None, **({} if login is None else _members(login)), **members})
    return made


def _members(login: Authentication) -> dict[str, Any]:
    return {each.alias or each.name: getattr(login, each.name) for each in fields(Authentication)}
