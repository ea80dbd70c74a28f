"""What stands around a client authentication: something beside it, by which tokens are bound."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping

from idura_ciba.credentials.client_auth import ClientAuth, Credentials

__all__ = ["Around", "innermost", "layers"]


class Around:
    """A client authentication with something around it. Whatever a subclass does not change is the inner one's.

    Attributes:
        auth: The inner one.
    """

    __slots__ = ("auth",)

    def __init__(self, auth: ClientAuth) -> None:
        self.auth: ClientAuth = auth

    def __repr__(self) -> str:
        """Show the inner one."""
        return f"{type(self).__name__}({self.auth!r})"

    @property
    def client_id(self) -> str:
        """As registered at the provider."""
        return self.auth.client_id

    @property
    def method(self) -> str | None:
        """How the client authenticates, as the provider's metadata spells it, where that is known."""
        return getattr(self.auth, "method", None)

    @property
    def alg(self) -> str | None:
        """What it signs assertions with, if it does."""
        return getattr(self.auth, "alg", None)

    @property
    def signing_threads(self) -> int:
        """See `ClientAuth.signing_threads`."""
        return self.auth.signing_threads

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How the client connects to the endpoints that want a certificate, where it presents one."""
        return getattr(self.auth, "tls", None)

    @property
    def confirmation(self) -> Mapping[str, str]:
        """The members of `cnf` by which tokens name what they are bound to (RFC 7800 section 3.1)."""
        return getattr(self.auth, "confirmation", {})

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:
        """See `ClientAuth.credentials`."""
        return self.auth.credentials(issuer=issuer, endpoint=endpoint, now=now, jti=jti)

    def derive_key(self, label: bytes) -> bytes:
        """Derive 32 bytes from the client's own credential; see `ClientAuth.derive_key`."""
        return self.auth.derive_key(label)


def layers(auth: ClientAuth) -> Iterator[ClientAuth]:
    """The client authentication and what is inside it, its `auth`, from the outside in; a caller's own layers too."""
    found: ClientAuth | None = auth
    while found is not None:
        yield found
        found = getattr(found, "auth", None)


def innermost(auth: ClientAuth) -> ClientAuth:
    """What proves the client itself."""
    return [*layers(auth)][-1]
