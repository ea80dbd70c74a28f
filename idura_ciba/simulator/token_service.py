"""Token answers and userinfo, as this provider writes them.

Rules:

1. Access tokens are opaque, or JWTs that say which keys they are bound to (RFC 9449 section 6.1, RFC 8705 section 3.1).
2. Refreshed tokens are bound to the keys that the request for them has proved.
3. ID tokens, and userinfo where it is signed, are encrypted for the clients that want it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from idura_ciba.simulator.grants import TOKEN_LIFETIME, Grant, Grants
from idura_ciba.simulator.messages import json_bytes
from idura_ciba.simulator.orders import Rules
from idura_ciba.simulator.people import dice, invent_uuid
from idura_ciba.simulator.tokens import EncryptionAlg, SigningKeys, encrypted

__all__ = ["TokenService"]


@define(eq=False)
class TokenService:
    """Issues the tokens of all logins.

    Args:
        keys: Sign them.
        rules: Tells how the provider behaves at present.
        seed: What is made up follows from it.
    """

    _keys: SigningKeys
    _rules: Callable[[], Rules]
    _seed: int
    _grants: Grants = field(factory=Grants, init=False)
    _encryption: dict[str, tuple[Mapping[str, object], EncryptionAlg]] = field(factory=dict, init=False, repr=False)

    def encrypt_for(self, client_id: str, key: Mapping[str, object] | None, algorithms: EncryptionAlg) -> None:
        """Encrypt a client's ID tokens from now on; with None no longer."""
        self._encryption.pop(client_id, None)
        if key is not None:
            self._encryption[client_id] = key, algorithms

    def issue(self, grant: Grant, name: str, issuer: str, now: float, *, again: bool = False) -> bytes:
        """Write a token answer.

        Args:
            grant: The login.
            name: What its access token is called.
            issuer: The tenant's.
            now: The provider's wall clock.
            again: Whether the refresh token stays as it was.
        """
        bound = grant.confirmation
        access_token = self._keys.sign({"iss": issuer, "jti": name, "cnf": {**bound}}) if bound else name
        answer: dict[str, object] = {
            "token_type": "DPoP" if "jkt" in bound else "Bearer",
            "expires_in": str(TOKEN_LIFETIME) if self._rules().expires_in_as_text else TOKEN_LIFETIME,
            "id_token": self._sealed(self._keys.sign(grant.claims), grant.client_id),
            "access_token": access_token,
        }
        refresh_token = None
        if self._rules().refresh_tokens != "none" and not again:
            refresh_token = answer["refresh_token"] = f"refresh-{name}"
        # Only where they open anything: a crowd's tokens would be many.
        if (self._rules().userinfo, self._rules().refresh_tokens) != ("none", "none"):
            self._grants.issue(grant, access_token=access_token, refresh_token=refresh_token, now=now)
        return json_bytes(answer)

    def refresh(
        self, refresh_token: str, client_id: str, confirmation: Mapping[str, str], issuer: str, now: float
    ) -> bytes:
        """Issue new tokens (RFC 6749 section 6): the same claims, at another time.

        Args:
            refresh_token: As it came.
            client_id: Who has authenticated.
            confirmation: The keys that were proved.
            issuer: The tenant's.
            now: The provider's wall clock.

        Raises:
            Refusal: `invalid_grant`.
        """
        rotates = self._rules().refresh_tokens == "rotated"
        grant = self._grants.refreshed_by(refresh_token, client_id, rotates=rotates)
        lived = int(now) - int(str(grant.claims["iat"]))
        grant.claims = {
            name: value + lived if name in {"iat", "nbf", "exp"} and isinstance(value, int) else value
            for name, value in grant.claims.items()
        }
        grant.confirmation = confirmation
        made_up = dice(self._seed, "refresh", str(grant.claims["sub"]), str(grant.refreshed))
        return self.issue(grant, invent_uuid(made_up), issuer, now, again=not rotates)

    def userinfo(
        self, authorization: str, confirmation: Mapping[str, str], issuer: str, now: float
    ) -> tuple[bytes, Mapping[str, str]]:
        """Tell what is known of a person (OpenID Connect Core section 5.3): the body, and further header fields.

        Args:
            authorization: The header field.
            confirmation: The keys that were proved.
            issuer: The tenant's.
            now: The provider's wall clock.

        Raises:
            Refusal: `invalid_token`.
        """
        grant = self._grants.opened_by(authorization, confirmation, now)
        told = {name: grant.claims[name] for name in grant.claims if name not in {"iss", "aud", "exp", "iat", "nbf"}}
        if self._rules().userinfo == "plain":
            return json_bytes(told), {}
        signed = self._keys.sign({**told, "iss": issuer, "aud": grant.client_id})
        return self._sealed(signed, grant.client_id).encode(), {"Content-Type": "application/jwt"}

    def _sealed(self, token: str, client_id: str) -> str:
        """A token as its client wants it: encrypted or not."""
        return encrypted(token, *self._encryption[client_id]) if client_id in self._encryption else token
