"""What comes after a login: refreshed ID tokens and userinfo, held to the login that they belong to.

1. A refreshed ID token passes the rules of `id_token`, and is of the same issuer, person and audience as the first one,
   issued no earlier. What it leaves out stays as it was; what it says of level and person must be what was asked for.
2. Userinfo is of the same `sub`: without that check, a stolen access token would make one person look like another.
3. Signed userinfo is from the issuer, for this client and not over; it may be encrypted like an ID token.

Errors leave with the frames that they came through, which hold claims: `transaction.after_login` takes those away.

Spec: OpenID Connect Core 1.0 sections 5.3.2, 5.3.4 and 12.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.trust.authentication import AfterLogin, Authentication, proved
from idura_ciba.trust.compact import parse_object
from idura_ciba.trust.expectation import Expectation
from idura_ciba.trust.id_token import AUTH_REQ_ID_CLAIM, MAX_TIME, IdTokenVerifier
from idura_ciba.trust.refusal import refuse

__all__ = ["refreshed", "told"]


async def refreshed(
    verifier: IdTokenVerifier,
    tokens: Tokens,
    *,
    before: Authentication,
    expected: Expectation,
    trace_id: str | None,
    after: AfterLogin,
) -> Authentication:
    """Turn the answer to a refresh into the login with its new tokens.

    Args:
        verifier: The client's.
        tokens: The answer; without a new ID token it has the earlier one.
        before: The login so far.
        expected: What its ID token had to say.
        trace_id: The trace id of the answer.
        after: What the new login is refreshed with.

    Raises:
        IdTokenRejected: A rule failed.
        TransportError: The issuer's keys could not be fetched.
        RemoteProtocolError: The issuer's key set cannot be read.
    """
    if tokens.id_token == before.tokens.id_token:
        return proved(before, tokens=tokens, trace_id=trace_id, after=after)
    token, alg, claims = await verifier.read(tokens.id_token, None)
    if claims.get("sub") != before.subject:
        refuse("id_token_other_login", "sub", "it is another person's than before")
    named = any(name in claims for name in ("acr", "authenticationtype"))
    demand = evolve(
        expected.demand,
        require_acr=False,
        pin_acr=expected.demand.pin_acr if named else None,
        identity_guaranteed=False,
        require_person=False,
    )
    expected = evolve(expected, demand=demand, issued_from=before.claims["iat"])
    acr, _ = verifier.check(claims, alg, tokens.access_token, expected)
    _compare(claims, before.claims)
    acr = acr or before.acr
    return proved(before, claims=claims, id_token=token, tokens=tokens, acr=acr, trace_id=trace_id, after=after)


def _compare(claims: Mapping[str, Any], earlier: Mapping[str, Any]) -> None:
    """What OIDC Core section 12.2 wants to be the same; `iss` and `sub` are by now."""
    # As texts: an audience is a text or a list of them, in any order.
    if sorted(_listed(claims["aud"])) != sorted(_listed(earlier["aud"])):
        refuse("id_token_audience", "aud", "it is for others than before")
    if claims.get("azp") != earlier.get("azp"):
        refuse("id_token_audience", "azp", "it was issued to another party than before")
    for name in ("auth_time", AUTH_REQ_ID_CLAIM):
        if name in claims and name in earlier and claims[name] != earlier[name]:
            refuse("id_token_other_login", name, "it is of another login than before")


async def told(verifier: IdTokenVerifier, body: bytes, *, signed: bool, before: Authentication) -> Mapping[str, Any]:
    """Read what the provider tells of a person.

    Args:
        verifier: The client's.
        body: A JWT, or a JSON object.
        signed: Whether it is a JWT.
        before: The login with whose access token was asked.

    Raises:
        IdTokenRejected: A rule failed; for the caller to say that it was no ID token.
        TransportError: The issuer's keys could not be fetched.
        RemoteProtocolError: The issuer's key set cannot be read.
    """
    if signed:
        # What is no ASCII is no JWT either way.
        _, _, claims = await verifier.read(Redacted(body.decode("ascii", "replace").strip()), None)
        _check_origin(verifier, claims)
    else:
        claims = parse_object(body, "payload")
    if claims.get("sub") != before.subject:
        refuse("id_token_other_login", "sub", "it is another person's than this login's")
    return claims


def _check_origin(verifier: IdTokenVerifier, claims: Mapping[str, Any]) -> None:
    if claims.get("iss") != verifier.issuer:
        refuse("id_token_issuer", "iss", "it is another issuer's")
    if verifier.client_id not in _listed(claims.get("aud")):
        refuse("id_token_audience", "aud", "it is not for this client")
    now = verifier.clock.wall()
    for name, worst in (("exp", now - verifier.leeway), ("nbf", now + verifier.leeway), ("iat", now + verifier.leeway)):
        value = claims.get(name, worst + 1 if name == "exp" else 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_TIME:
            refuse("id_token_malformed", name, "it is no instant")
        if value <= worst if name == "exp" else value > worst:
            refuse("id_token_clock", name, "it is over, or not yet valid")


def _listed(audience: object) -> list[str]:
    return [each for each in audience if isinstance(each, str)] if isinstance(audience, list) else [str(audience)]
