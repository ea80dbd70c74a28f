"""ID tokens made to order: the sample that Idura publishes, with whatever changes a test wants, and their verifier."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve, field, frozen

from idura_ciba.aio.clock import Clock
from idura_ciba.credentials.decryption_key import DecryptionKeys
from idura_ciba.eids.person import PersonTags
from idura_ciba.errors import CibaError
from idura_ciba.http.provider import Endpoints, Provider
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.trust.authentication import Authentication
from idura_ciba.trust.expectation import Demand, Expectation
from idura_ciba.trust.id_token import IdTokenVerifier
from idura_ciba.trust.jwks import JwksCache
from tests.fakes import FakeTransport, PrivateKey, compact, encrypt, json_bytes, private_key, public_jwk, sign, unb64

#: The sample is signed anew: the key of its own signature is not known.
ISSUER = "https://natalia-dev-test.criipto.io"
CLIENT = "urn:ciba"
KID = "827D9A3E98616495AC6FE171AE6DA3B3CA141921"
SSN = "196802020575"
#: Idura's other published sample person.
OTHER_SSN = "195002229598"
SUBJECT = "{bb9c2364-dfae-44f3-bcfd-999053d94f9e}"
ISSUED, EXPIRES = 1716374501, 1716375701
ACCESS_TOKEN = "cf1ce646-7fbe-4740-9c56-fe3f0891f6c6"
AUTH_REQ_ID = "3857f8ff-21b9-48ae-a732-a3bd8128a7ae"
SWEDISH = "urn:grn:authn:se:bankid"
NORWEGIAN = "urn:grn:authn:no:bankid"
HEADER = {"typ": "JWT", "alg": "RS256", "kid": KID}
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": CLIENT,
    "identityscheme": "sebankid",
    "authenticationtype": SWEDISH,
    "authenticationmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:SoftwarePKI",
    "authenticationinstant": "2024-05-22T10:41:41.361Z",
    "nameidentifier": "bb9c2364dfae44f3bcfd999053d94f9e",
    "sub": SUBJECT,
    "sessionindex": "b65f11b6-eba7-4882-900a-5f2d93a38dba",
    "ssn": SSN,
    "name": "Terne Paulsen",
    "givenname": "Terne",
    "given_name": "Terne",
    "surname": "Paulsen",
    "family_name": "Paulsen",
    "country": "SE",
    "iat": ISSUED,
    "nbf": ISSUED,
    "exp": EXPIRES,
}
#: The hash of each algorithm that can be configured.
HASHED = {
    "RS256": "sha256",
    "RS384": "sha384",
    "RS512": "sha512",
    "PS256": "sha256",
    "PS384": "sha384",
    "PS512": "sha512",
    "ES256": "sha256",
    "ES384": "sha384",
    "ES512": "sha512",
    "EdDSA": "sha512",
    "Ed25519": "sha512",
}
#: What must not be seen of a token that was refused, beside its own parts.
CANARIES = (SSN, OTHER_SSN, SUBJECT, SUBJECT[1:9], "Paulsen", "Terne", ACCESS_TOKEN, AUTH_REQ_ID, KID)
TAGS = PersonTags(b"k" * 32)
#: Stands for a claim or header member that is not there.
ABSENT: Any = ...

FREJA_CLAIMS = {
    "ssn": ABSENT,
    "authenticationtype": "urn:grn:authn:se:frejaid",
    "details": {"requestedAttributes": {"ssn": {"ssn": SSN, "country": "SE"}}},
}
FREJA_IDENTITY: Mapping[tuple[str, ...], str] = {
    ("details", "requestedAttributes", "ssn", "ssn"): SSN,
    ("details", "requestedAttributes", "ssn", "country"): "SE",
}


@frozen(kw_only=True, repr=False)
class Case:
    """A token and what surrounds it. What is not said is as in the sample; `claims` and `header` are changes to it.

    Attributes:
        claims: Members of the payload that are other, or ABSENT.
        header: Members of the header that are other, or ABSENT.
        payload: The whole payload instead.
        header_text: The whole header instead.
        alg: Signs by this algorithm, and the header says so.
        key: Signs with this key; by default the one that the issuer publishes.
        signer: Makes the signature instead.
        twist: Changes the finished token.
        keys: What the issuer publishes; by default the signing key under the sample's `kid`.
        algorithms: What the client accepts; by default `alg`.
        expected: Changes to what is expected.
        identity: What was asked of the person, in clear.
        access_token: What came beside it.
        now: The wall clock.
        leeway: As configured.
        max_size: As configured.
        trusted_audiences: As configured.
        decryption: What the client opens encrypted tokens with.
    """

    claims: Mapping[str, Any] = field(factory=dict)
    header: Mapping[str, Any] = field(factory=dict)
    payload: bytes | None = None
    header_text: bytes | None = None
    alg: str = "RS256"
    key: PrivateKey | bytes | None = None
    signer: Callable[[bytes], bytes] | None = None
    twist: Callable[[str], str] = str
    keys: Callable[[], list[dict[str, Any]]] | None = None
    algorithms: frozenset[str] | None = None
    expected: Mapping[str, Any] = field(factory=dict)
    identity: Mapping[tuple[str, ...], str] = field(factory=lambda: {("ssn",): SSN})
    access_token: str | None = ACCESS_TOKEN
    now: float = ISSUED + 1.0
    leeway: float = 60.0
    max_size: int = 1024 * 1024
    trusted_audiences: frozenset[str] = frozenset()
    decryption: DecryptionKeys | None = None

    @property
    def token(self) -> Redacted:
        """The compact token."""
        header = self.header_text
        if header is None:
            header = json_bytes(changed({**HEADER, "alg": self.alg}, self.header))
        payload = json_bytes(changed(CLAIMS, self.claims)) if self.payload is None else self.payload
        key = self.key or issuer_key(self.alg)
        return Redacted(self.twist(compact(header, payload, self.signer or (lambda data: sign(self.alg, key, data)))))

    @property
    def tokens(self) -> Tokens:
        """The token response around it."""
        return Tokens(self.token, Redacted(self.access_token) if self.access_token else None, "Bearer", 120.0, {})

    @property
    def expectation(self) -> Expectation:
        """What it must say."""
        usual: dict[str, Any] = {
            "acr_values": (SWEDISH,),
            "pin_acr": None,
            "require_acr": True,
            "identity": self.identity,
        }
        usual |= {"identity_guaranteed": False, "require_person": False, "identity_elsewhere": {}}
        demand = {**usual, **self.expected}
        values = (*demand["identity"].items(), *demand["identity_elsewhere"].items())
        issued_from = demand.pop("issued_from", ISSUED - 10.0)
        demand |= {name: tuple(demand[name]) for name in ("identity", "identity_elsewhere")}
        return Expectation(Demand(**demand), b"".join(TAGS.tag(path, value) for path, value in values), issued_from)

    @property
    def verifier(self) -> IdTokenVerifier:
        """A new verifier, with an empty cache of keys."""
        published = self.keys() if self.keys else [public_jwk(issuer_key(self.alg), kid=KID)]
        transport = FakeTransport().on(f"{ISSUER}/jwks", {"keys": published})
        return make_verifier(
            transport,
            now=self.now,
            algorithms=frozenset({self.alg}) if self.algorithms is None else self.algorithms,
            leeway=self.leeway,
            max_size=self.max_size,
            trusted_audiences=self.trusted_audiences,
            decryption=self.decryption,
        )

    async def verify(self) -> Authentication:
        """The login."""
        return await self.verifier.verify(
            self.tokens, expected=self.expectation, auth_req_id=Redacted(AUTH_REQ_ID), trace_id="trace-1"
        )


def make_verifier(transport: FakeTransport, *, now: float = ISSUED + 1.0, **options: Any) -> IdTokenVerifier:
    """A verifier of the sample's client, at a wall-clock time that stands still."""
    provider = Provider(
        ISSUER,
        transport=transport,
        endpoints=Endpoints(
            backchannel_authentication_endpoint=f"{ISSUER}/start",
            token_endpoint=f"{ISSUER}/token",
            jwks_uri=f"{ISSUER}/jwks",
        ),
    )
    clock = Clock(wall=lambda: now)
    return IdTokenVerifier(
        ISSUER, CLIENT, JwksCache(provider, transport=transport, clock=clock), TAGS, clock, **options
    )


def issuer_key(alg: str, nth: int = 0) -> PrivateKey:
    """The issuer's key for an algorithm; higher ones are somebody else's."""
    kinds = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
    return private_key(kinds.get(alg, "RSA"), nth)


def encrypted_case(
    alg: str = "RSA-OAEP-256",
    enc: str = "A128CBC-HS256",
    header: Mapping[str, Any] | None = None,
    *,
    kind: str = "",
    keys: Callable[[], DecryptionKeys | None] | None = None,
    inner: Case | None = None,
    **twists: Any,
) -> Case:
    """A token that is encrypted for the client, whose key opens it.

    Args:
        alg: How the key is encrypted, as the header says.
        enc: How the content is, likewise.
        header: Members of the outer header that are other, or ABSENT.
        kind: The client's key; by default RSA, or P-256 for key agreement.
        keys: What the client was given instead.
        inner: The token inside.
        twists: `content`, what is encrypted instead; `twist`, which changes the whole; `cek`, the content's key.
    """
    kind = kind or ("P-256" if alg.startswith("ECDH") else "RSA")
    inner = inner or Case()
    content, twist, cek = twists.get("content"), twists.get("twist", str), twists.get("cek")

    def wrap(token: str) -> str:
        text = token.encode() if content is None else content(token)
        # Number 5: nobody signs with it.
        return str(twist(encrypt(text, private_key(kind, 5), alg, enc, header, cek)))

    given = keys() if keys else DecryptionKeys(private_key(kind, 5))  # type: ignore[arg-type]  # not Ed448
    return evolve(inner, twist=wrap, decryption=given)


def changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Members with some other, some more and some gone."""
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


async def refusal(case: Case) -> CibaError:
    """The error of a token that must not pass. No frame from here on shows the token by its own fault."""
    verifier, tokens, expectation = case.verifier, case.tokens, case.expectation
    del case
    with pytest.raises(CibaError) as caught:
        await verifier.verify(tokens, expected=expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    return caught.value


def leaks(error: BaseException, token: str) -> Iterator[str]:
    """What an error shows of the token, in any of the ways in which errors end up in logs."""
    shown = "\n".join(
        [
            str(error),
            repr(error),
            repr(error.args),
            repr(vars(error)),
            *traceback.TracebackException.from_exception(error, capture_locals=True).format(),
        ]
    )
    parts = [part for part in token.split(".") if len(part) > 16]
    decoded: list[str] = []
    for part in parts[:2]:
        with suppress(ValueError):
            decoded.append(str(unb64(part))[2:40])
    for canary in (*CANARIES, *(part[:16] for part in parts), *(part[-16:] for part in parts), *decoded):
        if canary in shown:
            yield canary
    if error.__context__ or error.__cause__:
        yield "a chained error"


def header_of(size: int) -> dict[str, Any]:
    """What makes a header this many bytes long, and changes nothing else."""
    return {"x5t": "x" * (size - len(json_bytes({**HEADER, "x5t": ""})))}
