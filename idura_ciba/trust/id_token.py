"""Verification of ID tokens; the only maker of an `Authentication`.

Rules, in the order in which they are applied; the first that fails names the claim or header member:
1. Shape: what is encrypted is opened first (`encryption`). Three canonical base64url parts, bounded, strict JSON
   objects; no second reading of any byte is possible.
2. Header: `alg` from the client's own list, which is never empty and never holds a symmetric algorithm; `typ` absent or
   the media type of a JWT; no member through which a token could bring its own key or its own rules. What nobody here
   knows is ignored (RFC 7515 section 4).
3. Signature: by a key that the configured issuer publishes, of the kind that `alg` needs.
4. Registered claims: `iss`, `aud`, `azp`, `exp`, `iat`, `nbf`, `sub`, `nonce`; issued for this request and not before
   it.
5. Belonging: `at_hash` and the `auth_req_id` claim where present.
6. eID and level: what was asked for, compared by whole `:` segments.
7. Person: what the request said of the person is what the token says.
8. One token, one login: what has proved a login proves no other one.

There is no switch that turns the signature off.

What each refusal means to a program, and to the person, stands in `refusal.py`.

Spec: OpenID Connect Core 1.0 section 3.1.3.7, CIBA Core 1.0 section 10.3.1, RFC 8725.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from attrs import field, frozen
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped] # authlib ships no types
from joserfc import jws
from joserfc.jwa import JWSAlgModel

from idura_ciba.aio.clock import Clock
from idura_ciba.aio.slices import Slices
from idura_ciba.credentials.decryption_key import DecryptionKeys
from idura_ciba.eids.person import PersonTags, find_claim
from idura_ciba.eids.request import extends
from idura_ciba.errors import ArgumentError, CibaError, RemoteProtocolError, TransportError
from idura_ciba.protocol.answers import MAX_EXPIRES_IN, Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.trust.authentication import Authentication, proved
from idura_ciba.trust.compact import MAX_HEADER, decode_part, parse_header, parse_object
from idura_ciba.trust.encryption import DOTS, opened
from idura_ciba.trust.expectation import Demand, Expectation
from idura_ciba.trust.jwks import JwksCache, VerificationKey
from idura_ciba.trust.refusal import Code, refuse
from idura_ciba.trust.replay import ReplayCache

__all__ = ["IdTokenVerifier"]

#: OIDC Core section 2: usually no more than a few minutes.
DEFAULT_LEEWAY = 60.0
#: The same. More would be a switch that turns the times off.
MAX_LEEWAY = 600.0
#: CIBA Core section 10.3.1 and OP practice.
AUTH_REQ_ID_CLAIM = "urn:openid:params:jwt:claim:auth_req_id"
#: That of RSA with 8192 bits.
MAX_SIGNATURE = 1024
#: OIDC Core section 2.
MAX_SUB = 255
#: Tokens verified in one turn of the event loop, each some tenths of a millisecond. Not on threads: nine tenths of that
#: need the interpreter's lock, and the signature is the least of it.
SLICE = 4
#: The year 5138. Larger numbers are noise, and arithmetic on them is a way to be slow.
MAX_TIME = 10**11

#: What an algorithm needs of a key. Symmetric ones are not here and cannot be configured.
_KEY_OF_ALG: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None), "RS384": ("RSA", None), "RS512": ("RSA", None),
    "PS256": ("RSA", None), "PS384": ("RSA", None), "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", None), "Ed25519": ("OKP", "Ed25519"),
}  # fmt: skip

_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: Members that say which key or type is meant and nothing more.
_HEADER_MEMBERS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
#: Members that bring a key, or other rules for reading or verifying the rest. RFC 8725 sections 3.8 and 3.10 let one
#: ignore a key that a token brings; refused is what nobody's ID token needs and a forger's does. An ID token has no
#: `url` or `nonce` in its header either: those are of ACME and DPoP.
_RULES = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "cty", "url", "nonce"})
#: RFC 7515 section 4.1.9: a media type, compared without case, whose `application/` may be left out.
_TYPES = frozenset({"jwt", "application/jwt"})


@frozen
class IdTokenVerifier:
    """Turns a token response into an `Authentication`, or refuses it.

    Attributes:
        issuer: Whose tokens are accepted.
        client_id: For whom they must be.
        keys: The issuer's keys.
        tags: Recognises the person asked for.
        algorithms: Accepted signature algorithms.
        leeway: Seconds by which the two clocks may disagree.
        max_size: Bytes of token at most.
        trusted_audiences: Others for whom a token may be too.
        decryption: What opens encrypted tokens; None: such tokens are refused.
        replay_cache: What earlier logins were proved with.
    """

    issuer: str
    client_id: str
    keys: JwksCache
    tags: PersonTags
    clock: Clock
    algorithms: frozenset[str] = frozenset({"RS256"})
    leeway: float = DEFAULT_LEEWAY
    max_size: int = 1024 * 1024
    trusted_audiences: frozenset[str] = frozenset()
    decryption: DecryptionKeys | None = None
    replay_cache: ReplayCache = field(factory=ReplayCache, repr=False, eq=False)
    _slices: Slices = field(init=False, factory=lambda: Slices(SLICE), repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if not self.algorithms or not self.algorithms <= set(_KEY_OF_ALG):
            raise ArgumentError(
                "id_token_algorithms is empty or names an algorithm that is not asymmetric",
                code="id_token_algorithms",
                advice=f"choose from {', '.join(_KEY_OF_ALG)}",
            )
        if not isinstance(self.decryption, DecryptionKeys | None):
            raise ArgumentError(
                "decryption_keys is no DecryptionKeys", code="decryption_keys", advice="pass DecryptionKeys(key)"
            )
        # Spelled so that NaN is refused too: nothing is ever later than NaN.
        leeway: object = self.leeway
        if isinstance(leeway, bool) or not isinstance(leeway, int | float) or not 0 <= leeway <= MAX_LEEWAY:
            raise ArgumentError(
                f"the leeway is not between 0 and {MAX_LEEWAY:.0f} seconds",
                code="leeway",
                advice="leave it at a minute, and set the clock",
            )

    async def verify(
        self,
        tokens: Tokens,
        *,
        expected: Expectation,
        auth_req_id: str,
        trace_id: str | None = None,
        name: str | None = None,
    ) -> Authentication:
        """Apply every rule of this module.

        Args:
            tokens: The provider's answer.
            expected: What it must say.
            auth_req_id: The login's id at the provider.
            trace_id: The trace id of the answer.
            name: That of the transaction, for observers.

        Raises:
            IdTokenRejected: A rule failed; `claim` and `reason` say which and never quote the token.
            TransportError: The issuer's keys could not be fetched.
            RemoteProtocolError: The issuer's key set cannot be read.
        """
        failure: CibaError
        await self._slices.step()
        try:
            return await self._verify(tokens, expected, auth_req_id, trace_id, name)
        except CibaError as error:
            failure = error
        # Raised here, without the frames it came through: they hold the claims.
        raise failure.with_traceback(None)

    async def _verify(
        self, tokens: Tokens, expected: Expectation, auth_req_id: str, trace_id: str | None, name: str | None
    ) -> Authentication:
        token, alg, claims = await self.read(tokens.id_token, name)
        acr, confirmed = self.check(claims, alg, tokens.access_token, expected)
        auth_req_id_claim = claims.get(AUTH_REQ_ID_CLAIM, auth_req_id)
        if auth_req_id_claim != auth_req_id:
            refuse("id_token_other_login", AUTH_REQ_ID_CLAIM, "it belongs to another transaction")
        # No login that began before the token was issued lasts longer than this.
        until = min(claims["exp"] + self.leeway, claims["iat"] + 2 * MAX_EXPIRES_IN)
        if not self.replay_cache.use(token, auth_req_id=auth_req_id, now=self.clock.wall(), until=until):
            refuse("id_token_replayed", "replay", "it has proved another login already")
        return proved(
            subject=claims["sub"],
            claims=claims,
            id_token=token,
            tokens=tokens,
            person_confirmed=confirmed,
            acr=acr,
            issuer=self.issuer,
            trace_id=trace_id,
        )

    async def read(self, token: Redacted, name: str | None) -> tuple[Redacted, str, dict[str, Any]]:
        """Apply rules 1 to 3 to a token of the issuer; returns the signed one, its algorithm and its claims."""
        outer = _NOTHING
        if token.count(".") == DOTS:
            token, outer = opened(token, self.decryption, self.max_size)
        parts = _split(token, self.max_size)
        header = _parse_header(parts[0], self.algorithms)
        await self._check_signature(token, header, name)
        claims = parse_object(parts[1], "payload")
        for repeated, value in outer.items():
            if value != claims.get(repeated):
                refuse("id_token_malformed", repeated, "the header of the encryption says something else")
        return token, header["alg"], claims

    def check(
        self, claims: Mapping[str, Any], alg: str, access_token: str | None, expected: Expectation
    ) -> tuple[str | None, bool]:
        """Apply rules 4 to 7; returns the level, and whether the token names the person who was asked for."""
        self._check_registered_claims(claims, expected.issued_from)
        self._check_with_authlib(claims, alg, access_token)
        return _check_level(claims, expected.demand), self._check_person(claims, expected)

    async def _check_signature(self, token: str, header: Mapping[str, Any], name: str | None) -> None:
        """Rule 3."""
        alg, met = header["alg"], False

        def signed(key: VerificationKey) -> bool:
            nonlocal met
            fits = _fits(key, alg)
            met = met or fits
            return fits and _signed_by(key, token, alg, self.max_size)

        try:
            if await self.keys.find(header.get("kid"), signed, cause=name):
                return
        except (TransportError, RemoteProtocolError):
            # The issuer's key is known and says no; that newer ones cannot be had does not make it a yes.
            if not met:
                raise
        if met:
            refuse("id_token_signature", "signature", "it was not made by the issuer's key")
        refuse("id_token_key", "kid", "the issuer publishes no key of this name for this algorithm")

    def _check_registered_claims(self, claims: Mapping[str, Any], issued_from: float) -> None:
        """Rule 4. authlib checks most of this too; here stands what it, or an older joserfc, takes too lightly."""
        if claims.get("iss") != self.issuer:
            refuse("id_token_issuer", "iss", "it is another issuer's")
        self._check_audience(claims)
        subject = claims.get("sub")
        if not isinstance(subject, str) or len(subject) > MAX_SUB or not _is_printable(subject):
            reason = "it is missing or no text of at most 255 printable ASCII characters"
            refuse("id_token_malformed", "sub", reason)
        if not isinstance(claims.get("jti", ""), str):
            refuse("id_token_malformed", "jti", "it is no text")
        if "nonce" in claims:
            # OIDC section 2: it must equal what was sent, and CIBA sends none.
            refuse("id_token_other_login", "nonce", "nobody asked for one")
        self._check_times(claims, issued_from)

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        """The parties of rule 4 (OIDC Core section 3.1.3.7, rules 3 to 5)."""
        audience: Any = claims.get("aud")
        several = audience not in (self.client_id, [self.client_id])
        if several:
            # A further audience could use the token against us, so the caller has to trust it by name.
            trusted = (self.client_id, *self.trusted_audiences)
            named = audience if isinstance(audience, list) and self.client_id in audience else ()
            if not named or not all(each in trusted and named.count(each) == 1 for each in named):
                refuse("id_token_audience", "aud", "it is not for this client alone")
        # With several audiences it says to which of them the token was issued.
        if ("azp" in claims or several) and claims.get("azp") != self.client_id:
            refuse("id_token_audience", "azp", "it was issued to another party")

    def _check_times(self, claims: Mapping[str, Any], issued_from: float) -> None:
        """The instants of rule 4."""
        for name in ("exp", "iat", "nbf"):
            value = claims.get(name, 0 if name == "nbf" else None)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_TIME:
                refuse("id_token_malformed", name, "it is missing or no instant")
        if claims["exp"] <= claims["iat"]:
            refuse("id_token_malformed", "exp", "it had expired when it was issued")
        now = self.clock.wall()
        if claims["exp"] <= now - self.leeway:
            # OIDC section 2: the time must be *before* exp; joserfc lets the very second pass.
            refuse("id_token_clock", "exp", "it has expired")
        for name in ("iat", "nbf"):
            if claims.get(name, 0) > now + self.leeway:
                refuse("id_token_clock", name, "it lies in the future")
        if claims["iat"] < math.floor(issued_from) - self.leeway:
            refuse("id_token_clock", "iat", "it was issued before this login was asked for")

    def _check_with_authlib(self, claims: Mapping[str, Any], alg: str, access_token: str | None) -> None:
        """Rules 4 and 5 once more by authlib, whose knowledge of OIDC and of `at_hash` is not written again here."""
        at_hash = claims.get("at_hash")
        if "at_hash" in claims and (not isinstance(at_hash, str) or not at_hash or access_token is None):
            refuse("id_token_malformed", "at_hash", "it is no text, or there is no access token to compare")
        options = {
            "iss": {"essential": True, "value": self.issuer},
            "sub": {"essential": True},
            "aud": {"essential": True, "value": self.client_id},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        params = {"client_id": self.client_id, "access_token": access_token}
        # authlib knows the hash of EdDSA by its old name only, and would let any other name pass unchecked.
        header = {"alg": "EdDSA" if alg == "Ed25519" else alg}
        failure: Exception | None = None
        try:
            # A copy: authlib's claims object is a dict that it feels free to change.
            CodeIDToken(dict(claims), header, options, params).validate(now=self.clock.wall(), leeway=self.leeway)
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the token is refused
            failure = error
        if failure is not None:
            # The name is all that may be told: authlib's texts can quote values.
            claim = str(getattr(failure, "claim", "claims"))
            code: Code = "id_token_other_login" if claim == "at_hash" else "id_token_malformed"
            refuse(code, claim, "it does not hold what it must")

    def _check_person(self, claims: Mapping[str, Any], expected: Expectation) -> bool:
        """Rule 7. Returns whether the token names the person who was asked for."""
        demand = expected.demand
        for path, tag in expected.tagged():
            value = find_claim(claims, path)
            if value is not None and not (isinstance(value, str) and self.tags.matches(path, value, tag)):
                refuse("id_token_person", ".".join(path), "it names another person or eID than was asked")
        missing = [path for path in demand.identity if find_claim(claims, path) is None]
        if missing and (demand.identity_guaranteed or demand.require_person):
            reason = "it is missing, so the token does not say who approved"
            refuse("id_token_person_missing", ".".join(missing[0]), reason)
        return bool(demand.identity) and not missing


def _split(token: str, max_size: int) -> list[bytes]:
    if len(token) > max_size:
        refuse("oversized", "size", f"it is longer than {max_size} characters")
    # At most one more than a JWS has: a megabyte of dots must not become a million strings.
    segments = token.split(".", 3)
    if len(segments) != 3 or not all(segments):  # noqa: PLR2004 - RFC 7515
        refuse("id_token_malformed", "format", "it is not three parts of base64url")
    return [decode_part(segment) for segment in segments]


def _parse_header(data: bytes, algorithms: frozenset[str]) -> dict[str, Any]:
    header = parse_header(data)
    for name in header:
        # Names are compared with case, and a reader that does not do so must not see another token.
        if name in _RULES or name.lower() in (_RULES | _HEADER_MEMBERS) - {name}:
            claim = name if name in _RULES else "header"
            refuse("id_token_malformed", claim, "a member that could change the rules is not accepted")
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in algorithms:
        # Without a signature, with one by a shared secret, or with one that could be meant.
        meant = isinstance(alg, str) and alg in _KEY_OF_ALG
        code: Code = "id_token_algorithm" if meant else "id_token_signature"
        refuse(code, "alg", "it is not one of the accepted algorithms")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        refuse("id_token_malformed", "typ", "it is another kind of token")
    for name in ("kid", "x5t", "x5t#S256"):
        if not isinstance(header.get(name, ""), str):
            refuse("id_token_malformed", name, "it is no text")
    return header


def _fits(key: VerificationKey, alg: str) -> bool:
    kty, crv = _KEY_OF_ALG[alg]
    names = {alg, "EdDSA"} if alg == "Ed25519" else {alg, "Ed25519"} if alg == "EdDSA" else {alg}
    return key.kty == kty and crv in {key.crv, None} and (key.alg is None or key.alg in names)


class _Registry(jws.JWSRegistry):
    """joserfc's limits, widened: a photo from Freja does not fit into its 128 kB. It counts base64url, not bytes."""

    max_header_length = MAX_HEADER * 2
    max_signature_length = MAX_SIGNATURE * 2

    def __init__(self, alg: str, max_size: int) -> None:
        # Members were checked by rule 2, which is stricter.
        super().__init__(algorithms=[alg], strict_check_header=False)
        self.max_payload_length = max_size
        self._alg = alg

    def get_alg(self, name: str) -> JWSAlgModel:  # noqa: ARG002 - what the token says was judged by rule 2
        """The algorithm decided on. joserfc's own would warn of EdDSA, and refuse it where warnings are errors."""
        return self.algorithms[self._alg]


def _signed_by(key: VerificationKey, token: str, alg: str, max_size: int) -> bool:
    try:
        jws.deserialize_compact(token, key.key, algorithms=[alg], registry=_Registry(alg, max_size))
    except Exception:  # noqa: BLE001 - joserfc also raises TypeError and others; none of them means "signed"
        return False
    return True


def _check_level(claims: Mapping[str, Any], demand: Demand) -> str | None:
    """Rule 6. Idura says it in `authenticationtype`, the standard in `acr`; where both are there they must agree."""
    reached: str | None = None
    for name in ("authenticationtype", "acr"):
        if name not in claims:
            continue
        value = claims[name]
        if not isinstance(value, str):
            refuse("id_token_malformed", name, "it is no text")
        if demand.pin_acr is not None:
            if value != demand.pin_acr:
                refuse("id_token_level", name, "it is not exactly the level that was demanded")
        elif demand.acr_values and not any(extends(value, asked) for asked in demand.acr_values):
            refuse("id_token_level", name, "it is another eID or level than was asked for")
        if reached is None or (demand.acr_values and extends(value, reached)):
            reached = value
        elif demand.acr_values and not extends(reached, value):
            refuse("id_token_level", name, "it contradicts authenticationtype")
    if reached is None and (demand.pin_acr is not None or (demand.acr_values and demand.require_acr)):
        refuse("id_token_level_missing", "acr", "the token does not say which eID or level was used")
    return reached


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text.strip())
