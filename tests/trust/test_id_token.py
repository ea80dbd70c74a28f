"""Tests of the verification of ID tokens: what is let through, and the forgeries that are not."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve, field, fields_dict, frozen
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped] # authlib ships no types
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from idura_ciba.aio.clock import Clock
from idura_ciba.eids.person import PersonTags
from idura_ciba.eids.request import EidRequest, FrejaID, NorwegianBankID, SwedishBankID
from idura_ciba.errors import CibaError, IdTokenRejected, RemoteProtocolError, TransportError, UsageError
from idura_ciba.http.provider import Endpoints, Provider
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.testing import run_virtual
from idura_ciba.trust.id_token import (
    AUTH_REQ_ID_CLAIM,
    MAX_SIGNATURE,
    Authentication,
    Demand,
    Expectation,
    IdTokenVerifier,
    _decode,
    _Registry,
    _split,
)
from idura_ciba.trust.jwks import JwksCache
from idura_ciba.trust.replay import UsedTokens
from tests.fakes import (
    FakeTransport,
    PrivateKey,
    at_hash,
    b64,
    compact,
    json_bytes,
    outage,
    private_key,
    public_jwk,
    sign,
    unb64,
)

# --- the sample token that Idura publishes, signed anew: the key of its own signature is not known --------------------

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


# --- what is let through ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [ISSUED, ISSUED + 600, EXPIRES - 1])
async def test_the_sample_token_passes_while_it_lives(now: int) -> None:
    """Idura's published sample says what a login says, from its first second to its last."""
    login = await Case(now=now, leeway=0).verify()
    assert login.subject == SUBJECT
    assert login.claims == CLAIMS
    assert login.acr == SWEDISH
    assert login.issuer == ISSUER
    assert login.person_confirmed
    assert login.trace_id == "trace-1"
    assert login.tokens.access_token == ACCESS_TOKEN
    assert login.id_token == Case().token


@pytest.mark.parametrize(
    ("case", "claim"),
    [
        (Case(now=EXPIRES, leeway=0), "exp"),
        (Case(now=ISSUED - 1, leeway=0), "iat"),
        (Case(now=ISSUED - 1, leeway=0, claims={"iat": ISSUED - 1}), "nbf"),
        (Case(claims={"aud": "urn:other"}), "aud"),
        (Case(claims={"iss": f"{ISSUER}/"}), "iss"),
    ],
)
async def test_the_sample_token_is_refused_where_the_facts_say_so(case: Case, claim: str) -> None:
    """The expected results that stand beside the sample."""
    error = await refusal(case)
    assert isinstance(error, IdTokenRejected)
    assert error.claim == claim


def header_of(size: int) -> dict[str, Any]:
    """What makes a header this many bytes long, and changes nothing else."""
    return {"x5t": "x" * (size - len(json_bytes({**HEADER, "x5t": ""})))}


ACCEPTED: Mapping[str, Case] = {
    "no kid and one key": Case(header={"kid": ABSENT}, keys=lambda: [public_jwk(issuer_key("RS256"))]),
    "no kid and several keys": Case(
        header={"kid": ABSENT},
        keys=lambda: [
            public_jwk(private_key("P-256")),
            public_jwk(issuer_key("RS256", 1)),
            public_jwk(issuer_key("RS256")),
        ],
    ),
    "two keys with one kid": Case(
        keys=lambda: [public_jwk(issuer_key("RS256", 1), kid=KID), public_jwk(issuer_key("RS256"), kid=KID)]
    ),
    "two keys with one kid, of which one is for encryption": Case(
        keys=lambda: [
            public_jwk(issuer_key("RS256", 1), kid=KID, use="enc"),
            public_jwk(issuer_key("RS256"), kid=KID, use="sig"),
        ]
    ),
    "one kid for two kinds of key": Case(
        alg="ES256",
        keys=lambda: [public_jwk(issuer_key("RS256"), kid=KID), public_jwk(issuer_key("ES256"), kid=KID)],
    ),
    "a kid, and a key without one": Case(keys=lambda: [public_jwk(issuer_key("RS256"))]),
    "a key that names its algorithm": Case(keys=lambda: [public_jwk(issuer_key("RS256"), kid=KID, alg="RS256")]),
    "a broken key beside it": Case(
        keys=lambda: [{"kty": "RSA", "kid": KID, "n": "!", "e": []}, public_jwk(issuer_key("RS256"), kid=KID)]
    ),
    "no typ": Case(header={"typ": ABSENT}),
    "a header as long as allowed": Case(header=header_of(2048)),
    "thumbprints in the header": Case(header={"x5t": "abc", "x5t#S256": "def"}),
    "aud as a list of one": Case(claims={"aud": [CLIENT]}),
    "azp": Case(claims={"azp": CLIENT}),
    "its own auth_req_id": Case(claims={AUTH_REQ_ID_CLAIM: AUTH_REQ_ID}),
    "no nbf": Case(claims={"nbf": ABSENT}),
    "times with fractions": Case(claims={"iat": ISSUED + 0.5, "exp": EXPIRES + 0.25, "nbf": ISSUED - 0.5}),
    "the last second of leeway after exp": Case(now=EXPIRES + 59.999),
    "the last second of leeway before iat and nbf": Case(now=ISSUED - 60.0),
    "issued at the end of the leeway before the request": Case(expected={"issued_from": ISSUED + 60.9}),
    "sub of 255 characters": Case(claims={"sub": "s" * 255}),
    "no access token and no at_hash": Case(access_token=None),
    "claims that nobody knows": Case(claims={"amr": ["mfa"], "auth_time": ISSUED, "x": {"y": [None]}, "": 0}),
    "a level below what was asked for": Case(claims={"authenticationtype": f"{SWEDISH}:substantial"}),
    "acr alone": Case(claims={"authenticationtype": ABSENT, "acr": SWEDISH}),
    "acr and authenticationtype": Case(claims={"acr": f"{SWEDISH}:high"}),
    "any of several levels": Case(expected={"acr_values": (NORWEGIAN, SWEDISH)}),
    "the pinned level": Case(expected={"pin_acr": SWEDISH, "acr_values": ()}),
    "no level where none is required": Case(claims={"authenticationtype": ABSENT}, expected={"require_acr": False}),
    "any level where none was asked for": Case(expected={"acr_values": ()}),
    "no level where none was asked for": Case(claims={"authenticationtype": ABSENT}, expected={"acr_values": ()}),
    "the guaranteed and required person": Case(expected={"identity_guaranteed": True, "require_person": True}),
    "Freja's person": Case(
        claims=FREJA_CLAIMS,
        identity=FREJA_IDENTITY,
        expected={"acr_values": ("urn:grn:authn:se:frejaid",), "require_person": True},
    ),
    "a token as long as allowed": Case(max_size=len(Case().token)),
    "a photo of three quarters of a megabyte": Case(claims={"photo": "A" * 750_000}),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_good_token_passes(name: str) -> None:
    """What the specifications leave to the provider makes no difference."""
    assert (await ACCEPTED[name].verify()).person_confirmed


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


@pytest.mark.parametrize("alg", HASHED)
async def test_each_algorithm_verifies_with_its_hash(alg: str) -> None:
    """A token of each algorithm that can be configured passes, `at_hash` is checked by that algorithm's hash."""
    good = Case(alg=alg, claims={"at_hash": at_hash(ACCESS_TOKEN, HASHED[alg])})
    assert (await good.verify()).subject == SUBJECT
    other = next(name for name in ("sha256", "sha384") if name != HASHED[alg])
    for wrong in (at_hash("another", HASHED[alg]), at_hash(ACCESS_TOKEN, other), good.claims["at_hash"] + "="):
        error = await refusal(evolve(good, claims={"at_hash": wrong}))
        assert isinstance(error, IdTokenRejected)
        assert error.claim == "at_hash"


@pytest.mark.parametrize(("named", "used"), [("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")])
async def test_both_names_of_ed25519_mean_one_algorithm(named: str, used: str) -> None:
    """A key that is published under the old name signs under the new one and the other way round."""
    case = Case(alg=used, keys=lambda: [public_jwk(private_key("Ed25519"), kid=KID, alg=named)])
    assert (await case.verify()).subject == SUBJECT


@pytest.mark.parametrize(("first", "second"), [("", ":high"), (":high", ""), (":high", ":high"), (":a", ":a:b")])
async def test_of_two_levels_that_agree_the_exacter_one_was_reached(first: str, second: str) -> None:
    """`acr` and `authenticationtype` may both be there, and one may say more than the other."""
    login = await Case(claims={"authenticationtype": SWEDISH + first, "acr": SWEDISH + second}).verify()
    assert login.acr == SWEDISH + max(first, second, key=len)


async def test_claims_that_confirm_the_person_elsewhere_are_welcome_and_not_needed() -> None:
    """What may be missing is missed by nobody."""
    elsewhere = {("country",): "SE", ("socialno",): SSN}
    for claims in ({}, {"socialno": SSN}, {"socialno": None, "country": ABSENT}):
        case = Case(claims=claims, expected={"identity_elsewhere": elsewhere, "require_person": True})
        assert (await case.verify()).person_confirmed


@pytest.mark.parametrize(
    ("access_token", "expected"),
    [("G5kXH2wHvUra0sHlDy1iTkDJgsgUO1bN", "Wt0kVFXMacqvnHeyU0001w"), (ACCESS_TOKEN, "45R57qeVSXoptMFsX7qfyA")],
)
async def test_published_hashes_are_accepted(access_token: str, expected: str) -> None:
    """The `at_hash` of CIBA Core section 10.3.1 and that of the sample's own access token."""
    assert (await Case(access_token=access_token, claims={"at_hash": expected}).verify()).subject == SUBJECT


@pytest.mark.parametrize(
    ("claims", "identity"),
    [
        ({"authenticationtype": f"{NORWEGIAN}:substantial", "ssn": ABSENT}, {("socialno",): "01023990128"}),
        ({"authenticationtype": NORWEGIAN, "ssn": ABSENT, "socialno": None}, {("socialno",): "01023990128"}),
        ({"authenticationtype": NORWEGIAN}, {}),
        ({**FREJA_CLAIMS, "authenticationtype": NORWEGIAN, "details": {}}, FREJA_IDENTITY),
        ({**FREJA_CLAIMS, "authenticationtype": NORWEGIAN, "details": None}, FREJA_IDENTITY),
        (
            {
                **FREJA_CLAIMS,
                "authenticationtype": NORWEGIAN,
                "details": {"requestedAttributes": {"ssn": {"ssn": SSN}}},
            },
            FREJA_IDENTITY,
        ),
    ],
    ids=["no number", "null", "nobody named", "Freja without attributes", "Freja with null", "half of the identity"],
)
async def test_an_eid_that_names_nobody_confirms_nobody(
    claims: Mapping[str, Any], identity: Mapping[tuple[str, ...], str]
) -> None:
    """Where the number may be withheld the login says that the person was not confirmed."""
    login = await Case(claims=claims, identity=identity, expected={"acr_values": (NORWEGIAN,)}).verify()
    assert login.person_confirmed is False
    assert login.subject == SUBJECT


# --- forgeries --------------------------------------------------------------------------------------------------------


def spelled_otherwise(part: int) -> Callable[[str], str]:
    """Sets spare bits at the end of a part: the same bytes, another text."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    def twist(token: str) -> str:
        parts = token.split(".")
        assert len(parts[part]) % 4
        parts[part] = parts[part][:-1] + alphabet[alphabet.index(parts[part][-1]) + 1]
        assert unb64(parts[part]) == unb64(token.split(".")[part])
        return ".".join(parts)

    return twist


def twisted_signature(change: Callable[[bytes], bytes]) -> Callable[[str], str]:
    """Changes the bytes of the signature."""

    def twist(token: str) -> str:
        message, _, signature = token.rpartition(".")
        return f"{message}.{b64(change(unb64(signature)))}"

    return twist


def as_der(signature: bytes) -> bytes:
    """How everybody but JOSE writes an ECDSA signature."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def plus_modulus(signature: bytes) -> bytes:
    """The same number modulo n, and no RSA signature."""
    key = issuer_key("RS256").public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return (int.from_bytes(signature, "big") + key.public_numbers().n).to_bytes(257, "big")


def public_pem(form: PublicFormat, encoding: Encoding = Encoding.PEM) -> bytes:
    """The issuer's public key as a file, which an attacker has too."""
    return issuer_key("RS256").public_key().public_bytes(encoding, form)


def hmac_with(secret: Callable[[], bytes], alg: str = "HS256") -> Case:
    """The old trick: the public key, known to everybody, as the secret of an HMAC."""
    return Case(
        header={"alg": alg}, signer=lambda data: sign(alg, secret(), data), algorithms=frozenset({"RS256", "ES256"})
    )


def payload_with(text: bytes) -> Case:
    """A payload that is good but for the text of one more member."""
    return Case(payload=json_bytes(CLAIMS)[:-1] + b"," + text + b"}")


def deep(depth: int) -> bytes:
    """JSON that is all brackets."""
    return b'{"x":' + b"[" * depth + b"]" * depth + b"}"


def one_key(key: PrivateKey, **members: object) -> Callable[[], list[dict[str, Any]]]:
    """A key set of one key."""
    return lambda: [public_jwk(key, **{"kid": KID, **members})]


FORMAT: Mapping[str, Case] = {
    "no dots": Case(twist=lambda token: token.replace(".", "")),
    "two parts": Case(twist=lambda token: token.rpartition(".")[0]),
    "stripped of its signature": Case(twist=lambda token: token.rpartition(".")[0] + "."),
    "four parts": Case(twist=lambda token: f"{token}.AAAA"),
    "six parts": Case(twist=lambda token: f"{token}.AAAA.AAAA.AAAA"),
    "a hundred thousand parts": Case(twist=lambda token: token + "." * 100_000),
    "empty payload": Case(payload=b""),
    "detached payload": Case(twist=lambda token: ".".join([token.split(".")[0], "", token.split(".")[2]])),
    "empty": Case(twist=lambda _: "."),
    "JSON serialisation": Case(twist=lambda token: f'{{"payload":"{token}"}}'),
    "padded header": Case(twist=lambda token: token.replace(".", "=.", 1)),
    "padded signature": Case(twist=lambda token: f"{token}=="),
    "spare bits in the payload": Case(claims={"pad": "x"}, twist=spelled_otherwise(1)),
    "spare bits in the signature": Case(twist=spelled_otherwise(2)),
    "spare bits in the header": Case(header={"typ": ABSENT}, twist=spelled_otherwise(0)),
    "a length that base64 does not have": Case(twist=lambda token: token[:-1]),
    "the standard alphabet": Case(twist=lambda token: f"{token[:-4]}+/A="),
    "line break at the end": Case(twist=lambda token: f"{token}\n"),
    "space at the beginning": Case(twist=lambda token: f" {token}"),
    "line break inside": Case(twist=lambda token: f"{token[:-4]}\r\n{token[-4:]}"),
    "NUL": Case(twist=lambda token: f"{token[:-1]}\0"),
    "a letter beyond ASCII": Case(twist=lambda token: f"{token[:-1]}é"),
    "a digit beyond ASCII": Case(twist=lambda token: f"{token[:-1]}\u0661"),
    "a lone surrogate": Case(twist=lambda token: f"{token[:-1]}\ud800"),
}
HEADERS: Mapping[str, Case] = {
    "not JSON": Case(header_text=b"alg=RS256"),
    "a list": Case(header_text=b'["alg","RS256"]'),
    "a string": Case(header_text=b'"RS256"'),
    "null": Case(header_text=b"null"),
    "alg twice": Case(header_text=b'{"alg":"none","alg":"RS256"}'),
    "kid twice": Case(header_text=b'{"alg":"RS256","kid":"1","kid":"%s"}' % KID.encode()),
    "byte order mark": Case(header_text=b"\xef\xbb\xbf" + json_bytes(HEADER)),
    "UTF-16": Case(header_text=json_bytes(HEADER).decode().encode("utf-16")),
    "bad UTF-8": Case(header_text=b'{"alg":"RS256","kid":"\xff"}'),
    "too long": Case(header={"kid": "k" * 2048}),
    "too long by one": Case(header=header_of(2049)),
    "too deep": Case(header_text=deep(40_000)[:2000]),
    "nested": Case(header_text=deep(500)),
    "an unknown member": Case(header={"foo": "bar"}),
    "an empty name": Case(header={"": ""}),
    "alg in capitals": Case(header={"ALG": "none"}),
}
MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "crit": {"known": ["exp"], "empty": [], "number": 1, "nested": [[]], "numbers": [1], "b64": ["b64"]},
    "b64": {"false": False, "true": True},
    "jwk": {"its own": public_jwk(issuer_key("RS256", 1)), "null": None},
    "jku": {"elsewhere": "https://evil.example/jwks", "its own": f"{ISSUER}/jwks"},
    "x5u": {"elsewhere": "https://evil.example/cert"},
    "x5c": {"its own": ["MIIB"], "empty": []},
    "zip": {"deflate": "DEF"},
    "enc": {"gcm": "A128GCM"},
    "cty": {"nested": "JWT"},
    "url": {"of ACME": "https://evil.example"},
    "nonce": {"of DPoP": "n"},
    "typ": {"access token": "at+jwt", "logout token": "logout+jwt", "lower case": "jwt", "list": ["JWT"], "null": None},
    "kid": {"number": 1, "list": [KID], "null": None, "object": {}, "another": "other", "lower case": KID.lower()},
    "alg": {
        "none": "none",
        "None": "None",
        "NONE": "NONE",
        "nOnE": "nOnE",
        "empty": "",
        "missing": ABSENT,
        "null": None,
        "list": ["RS256"],
        "number": 256,
        "object": {"RS256": 1},
        "with a space": "RS256 ",
        "lower case": "rs256",
        **{alg: alg for alg in HASHED if alg != "RS256"},
        **{alg: alg for alg in ("HS256", "HS384", "HS512", "ES256K", "Ed448", "RSA-OAEP", "dir", "RS1")},
    },
}
SIGNATURES: Mapping[str, Case] = {
    "of somebody else": Case(key=issuer_key("RS256", 1)),
    "of another token": Case(
        twist=lambda token: f"{token.rpartition('.')[0]}.{Case().token.rpartition('.')[2]}", claims={"ssn": OTHER_SSN}
    ),
    "for another payload": Case(
        twist=lambda token: ".".join(
            [token.split(".")[0], b64(json_bytes({**CLAIMS, "ssn": OTHER_SSN})), token.split(".")[2]]
        )
    ),
    "for another header": Case(
        twist=lambda token: ".".join([b64(json_bytes({"alg": "RS256", "kid": KID})), *token.split(".")[1:]])
    ),
    "of the payload without its header": Case(
        signer=lambda data: sign("RS256", issuer_key("RS256"), data.split(b".")[1])
    ),
    "one bit off": Case(twist=twisted_signature(lambda data: bytes([data[0] ^ 1]) + data[1:])),
    "cut short": Case(twist=twisted_signature(lambda data: data[:-1])),
    "with a zero in front": Case(twist=twisted_signature(lambda data: b"\0" + data)),
    "with a zero behind": Case(twist=twisted_signature(lambda data: data + b"\0")),
    "plus the modulus": Case(twist=twisted_signature(plus_modulus)),
    "all zeros": Case(signer=lambda _: bytes(256)),
    "one": Case(signer=lambda _: bytes(255) + b"\1"),
    "one byte": Case(signer=lambda _: b"\0"),
    "as long as a novel": Case(signer=lambda _: bytes(100_000)),
    "by the other padding": Case(signer=lambda data: sign("PS256", issuer_key("RS256"), data)),
    "by the other padding the other way round": Case(
        alg="PS256", signer=lambda data: sign("RS256", issuer_key("RS256"), data)
    ),
    "by the other hash": Case(signer=lambda data: sign("RS512", issuer_key("RS256"), data)),
    "an HMAC": Case(signer=lambda data: sign("HS256", public_pem(PublicFormat.SubjectPublicKeyInfo), data)),
    "EC of somebody else": Case(alg="ES256", key=issuer_key("ES256", 1)),
    "EC as DER": Case(alg="ES256", twist=twisted_signature(as_der)),
    "EC of zeros": Case(alg="ES256", signer=lambda _: bytes(64)),
    "EC with its halves swapped": Case(alg="ES256", twist=twisted_signature(lambda data: data[32:] + data[:32])),
    "EC with a zero in each half": Case(
        alg="ES256", twist=twisted_signature(lambda data: b"\0" + data[:32] + b"\0" + data[32:])
    ),
    "EC with ones": Case(alg="ES256", signer=lambda _: b"\xff" * 64),
    "Ed25519 of somebody else": Case(alg="EdDSA", key=issuer_key("EdDSA", 1)),
    "Ed25519 of zeros": Case(alg="EdDSA", signer=lambda _: bytes(64)),
    "Ed25519 cut short": Case(alg="EdDSA", twist=twisted_signature(lambda data: data[:-1])),
    # The group order added to the scalar: the same to a verifier that does not look.
    "Ed25519 malleated": Case(
        alg="EdDSA",
        twist=twisted_signature(
            lambda data: (
                data[:32]
                + (int.from_bytes(data[32:], "little") + 2**252 + 27742317777372353535851937790883648493).to_bytes(
                    32, "little"
                )
            )
        ),
    ),
}
KEYS: Mapping[str, Case] = {
    "none published": Case(keys=list),
    "of another name": Case(keys=lambda: [public_jwk(issuer_key("RS256"), kid="other")]),
    "for encryption": Case(keys=one_key(issuer_key("RS256"), use="enc")),
    "of no known use": Case(keys=one_key(issuer_key("RS256"), use=["sig"])),
    "for signing only": Case(keys=one_key(issuer_key("RS256"), key_ops=["sign"])),
    "for another algorithm": Case(keys=one_key(issuer_key("RS256"), alg="PS256")),
    "for the other name of an Edwards curve": Case(keys=one_key(issuer_key("RS256"), alg="Ed25519")),
    "for key transport": Case(keys=one_key(issuer_key("RS256"), alg="RSA-OAEP")),
    "too weak": Case(key=private_key("RSA-1024"), keys=one_key(private_key("RSA-1024"))),
    "of another kind": Case(keys=one_key(issuer_key("ES256"))),
    "of another kind the other way round": Case(alg="ES256", keys=one_key(issuer_key("RS256"))),
    "on another curve": Case(alg="ES256", key=private_key("P-384"), keys=one_key(private_key("P-384"))),
    "on a curve of Bitcoin": Case(alg="ES256", key=private_key("secp256k1"), keys=one_key(private_key("secp256k1"))),
    "on another Edwards curve": Case(alg="Ed25519", key=private_key("Ed448"), keys=one_key(private_key("Ed448"))),
    "for key agreement": Case(
        alg="EdDSA", keys=lambda: [{**public_jwk(issuer_key("EdDSA"), kid=KID), "crv": "X25519"}]
    ),
    "of the other kind of Edwards": Case(alg="Ed25519", keys=one_key(issuer_key("Ed25519"), alg="Ed448")),
    "symmetric": Case(
        keys=lambda: [{"kty": "oct", "k": b64(b"s" * 32), "kid": KID}],
        signer=lambda data: sign("HS256", b"s" * 32, data),
    ),
}
SECRETS: Mapping[str, Case] = {
    "PEM": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo)),
    "PEM without its last line break": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo).strip()),
    "PEM of PKCS1": hmac_with(lambda: public_pem(PublicFormat.PKCS1)),
    "DER": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo, Encoding.DER)),
    "JWK": hmac_with(lambda: json_bytes(public_jwk(issuer_key("RS256"), kid=KID))),
    "modulus": hmac_with(lambda: unb64(public_jwk(issuer_key("RS256"))["n"])),
    "nothing": hmac_with(lambda: b""),
    "PEM for HS512": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo), "HS512"),
}
#: JSON values that are nothing where a text or an instant should be.
JUNK: Mapping[str, Any] = {"null": None, "list": [], "object": {}, "true": True, "false": False}
INSTANTS: Mapping[str, Any] = {
    **JUNK,
    "text": str(EXPIRES),
    "text of a date": "2024-05-22T11:01:41Z",
    "list of one": [EXPIRES],
    "negative": -1,
    "of four thousand digits": 10**4000,
    "in the year 5138": 10**11,
    "huge and no integer": 1e300,
}
VALUES: Mapping[str, Mapping[str, Any]] = {
    "iss": {
        **JUNK,
        "missing": ABSENT,
        "other": "https://evil.example",
        "slash": f"{ISSUER}/",
        "capitals": ISSUER.upper(),
        "http": ISSUER.replace("https", "http"),
        "port": f"{ISSUER}:443",
        "below": f"{ISSUER}.evil.example",
        "list of one": [ISSUER],
        "space": f"{ISSUER} ",
        "empty": "",
    },
    "aud": {
        **JUNK,
        "missing": ABSENT,
        "other": "urn:other",
        "empty": "",
        "list of another": ["urn:other"],
        "list with another": [CLIENT, "urn:other"],
        "list with another first": ["urn:other", CLIENT],
        "list with itself twice": [CLIENT, CLIENT],
        "nested list": [[CLIENT]],
        "object": {CLIENT: 1},
        "beginning": CLIENT[:-1],
        "longer": f"{CLIENT}:x",
        "capitals": CLIENT.upper(),
        "number": 1,
    },
    "azp": {**JUNK, "other": "urn:other", "empty": "", "list of one": [CLIENT]},
    "sub": {
        **JUNK,
        "missing": ABSENT,
        "empty": "",
        "of 256 characters": "s" * 256,
        "not ASCII": "Å",
        "number": 1,
        "list of one": [SUBJECT],
    },
    "exp": {
        **INSTANTS,
        "missing": ABSENT,
        "zero": 0,
        "at the leeway's end": ISSUED + 1 - 60,
        "a second ago": 1716374400,
    },
    "iat": {
        **INSTANTS,
        "missing": ABSENT,
        "zero": 0,
        "beyond the leeway": ISSUED + 1 + 61,
        "a week ago": ISSUED - 7 * 86400,
        "before the request": ISSUED - 10 - 61,
    },
    "nbf": {**INSTANTS, "beyond the leeway": ISSUED + 1 + 61},
    "nonce": {**JUNK, "text": "n-0S6_WzA2Mj", "empty": ""},
    "at_hash": {
        **JUNK,
        "empty": "",
        "another": "Wt0kVFXMacqvnHeyU0001w",
        "list of it": ["45R57qeVSXoptMFsX7qfyA"],
        "a part": "45R57qeVSXop",
        "padded": "45R57qeVSXoptMFsX7qfyA==",
        "not ASCII": "é",
        "the whole hash": b64(b"\0" * 32),
    },
    AUTH_REQ_ID_CLAIM: {
        **JUNK,
        "another": "3857f8ff-21b9-48ae-a732-a3bd8128a7af",
        "list of it": [AUTH_REQ_ID],
        "empty": "",
    },
    "authenticationtype": {
        **JUNK,
        "another eID": NORWEGIAN,
        "a segment that only begins alike": f"{SWEDISH}x",
        "another separator": f"{SWEDISH}.substantial",
        "shorter": SWEDISH.rpartition(":")[0],
        "capitals": SWEDISH.upper(),
        "empty": "",
        "list of it": [SWEDISH],
        "hidden in front": f"x:{SWEDISH}",
        "line break": f"{SWEDISH}\n",
    },
    "acr": {
        **JUNK,
        "another eID": NORWEGIAN,
        "a segment that only begins alike": f"{SWEDISH}x",
        "empty": "",
        "number": 3,
    },
    "ssn": {
        "another person": OTHER_SSN,
        "ten digits": SSN[2:],
        "hyphen": f"{SSN[:8]}-{SSN[8:]}",
        "space": f"{SSN} ",
        "line break": f"{SSN}\n",
        "number": int(SSN),
        "list of it": [SSN],
        "object with it": {"ssn": SSN},
        "empty": "",
        "true": True,
        "zero": 0,
        "Arabic-Indic digits": SSN.translate({ord("0") + n: 0x0660 + n for n in range(10)}),
        "full-width digits": SSN.translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
        "NUL": f"{SSN}\0",
    },
    "amr": {"text": "mfa", "number": 1},
    "auth_time": {"text": "yesterday", "list": [1]},
    "jti": {"number": 1, "null": None},
}
PAYLOADS: Mapping[str, Case] = {
    "not JSON": Case(payload=b"sub=1"),
    "a list": Case(payload=b"[%s]" % json_bytes(CLAIMS)),
    "a string": Case(payload=b'"x"'),
    "a number": Case(payload=b"1"),
    "null": Case(payload=b"null"),
    "cut short": Case(payload=json_bytes(CLAIMS)[:-1]),
    "with something behind": Case(payload=json_bytes(CLAIMS) + b"{}"),
    "ssn twice": payload_with(b'"ssn":"%s"' % OTHER_SSN.encode()),
    "aud twice": payload_with(b'"aud":"urn:other"'),
    "sub twice by an escape": payload_with(rb'"s\u0075b":"x"'),
    "twice in depth": payload_with(b'"x":{"y":1,"y":2}'),
    "NaN": payload_with(b'"x":NaN'),
    "Infinity": payload_with(b'"x":-Infinity'),
    "a number without end": payload_with(b'"x":1e400'),
    "a number of five thousand digits": payload_with(b'"x":' + b"9" * 5000),
    "too deep": payload_with(deep(40_000)[1:-1]),
    "byte order mark": Case(payload=b"\xef\xbb\xbf" + json_bytes(CLAIMS)),
    "UTF-16": Case(payload=json_bytes(CLAIMS).decode().encode("utf-16")),
    "a lone surrogate": Case(claims={"sub": "\ud800"}),
    "a lone surrogate in depth": Case(claims={"x": [{"\udfff": 1}]}),
    "Latin-1": payload_with(b'"x":"\xe9"'),
    "compressed": Case(payload=zlib.compress(json_bytes(CLAIMS))),
    "a JWS within": Case(payload=Case().token.encode()),
}
FREJA = Case(claims=FREJA_CLAIMS, identity=FREJA_IDENTITY, expected={"acr_values": ("urn:grn:authn:se:frejaid",)})


def freja(**changes: object) -> Case:
    """A Freja token with other details."""
    return evolve(FREJA, claims={**FREJA_CLAIMS, "details": {"requestedAttributes": changes}})


def forgeries() -> Iterator[tuple[str, str, Case]]:
    """Of form, key and standing: a name, the claim or header member at fault, the case."""
    tables = {
        "format": FORMAT,
        "header": HEADERS,
        "signature": SIGNATURES,
        "kid": KEYS,
        "alg": SECRETS,
        "payload": PAYLOADS,
    }
    for claim, table in tables.items():
        for name, case in table.items():
            yield f"{claim}: {name}", claim, case
    for claim, values in MEMBERS.items():
        for name, value in values.items():
            yield f"header {claim}: {name}", claim, Case(header={claim: value})
    for claim, values in VALUES.items():
        for name, value in values.items():
            yield f"{claim}: {name}", claim, Case(claims={claim: value})
    yield "five parts", "encryption", Case(twist=lambda token: f"{token}.AAAA.AAAA")
    yield "none without a signature", "format", Case(header={"alg": "none"}, signer=lambda _: b"")
    yield "too long by one", "size", Case(max_size=len(Case().token) - 1)
    yield "a megabyte of dots", "size", Case(twist=lambda _: "." * (1024 * 1024 + 1))
    yield (
        "at_hash without an access token",
        "at_hash",
        Case(claims={"at_hash": "45R57qeVSXoptMFsX7qfyA"}, access_token=None),
    )
    for name in ("x5t", "x5t#S256"):
        yield f"{name} that is no text", name, Case(header={name: None})
    yield "expired when it was issued", "exp", Case(claims={"exp": ISSUED, "nbf": ABSENT})
    yield "expired before it was issued", "exp", Case(claims={"exp": ISSUED - 5, "nbf": ABSENT})
    for name in (" ", "a\nb", "a\x00", "\x7f"):
        yield f"sub that is {name!r}", "sub", Case(claims={"sub": name})


def contradictions() -> Iterator[tuple[str, str, Case]]:
    """Of level, eID and person."""
    yield "no level", "acr", Case(claims={"authenticationtype": ABSENT})
    for tail in (":", "::x", ":\n", ":a b", ":é"):
        yield f"level extended by {tail!r}", "authenticationtype", Case(claims={"authenticationtype": SWEDISH + tail})
    for first, second in (("high", "low"), ("high", "higher")):
        yield (
            f"two levels that contradict each other: {first}, {second}",
            "acr",
            Case(claims={"authenticationtype": f"{SWEDISH}:{first}", "acr": f"{SWEDISH}:{second}"}),
        )
    yield (
        "two eIDs at once, both asked for",
        "acr",
        Case(expected={"acr_values": (SWEDISH, NORWEGIAN)}, claims={"acr": NORWEGIAN}),
    )
    yield (
        "no level where one is pinned",
        "acr",
        Case(
            claims={"authenticationtype": ABSENT}, expected={"pin_acr": SWEDISH, "acr_values": (), "require_acr": False}
        ),
    )
    pinned = {"pin_acr": f"{SWEDISH}:substantial"}
    yield "less than the pinned level", "authenticationtype", Case(expected=pinned)
    yield (
        "more than the pinned level",
        "authenticationtype",
        Case(expected={"pin_acr": SWEDISH}, claims={"authenticationtype": f"{SWEDISH}:substantial"}),
    )
    yield (
        "two levels of which one is pinned",
        "acr",
        Case(expected={"pin_acr": SWEDISH}, claims={"acr": f"{SWEDISH}:high"}),
    )
    yield (
        "the trick with the segment",
        "authenticationtype",
        Case(expected={"acr_values": (NORWEGIAN,)}, claims={"authenticationtype": f"{NORWEGIAN}x"}),
    )
    for demand in ("identity_guaranteed", "require_person"):
        yield f"nobody where {demand}", "ssn", Case(claims={"ssn": ABSENT}, expected={demand: True})
        yield f"null where {demand}", "ssn", Case(claims={"ssn": None}, expected={demand: True})
    place = "details.requestedAttributes.ssn"
    yield "Freja: another person", f"{place}.ssn", freja(ssn={"ssn": OTHER_SSN, "country": "SE"})
    yield "Freja: another country", f"{place}.country", freja(ssn={"ssn": SSN, "country": "NO"})
    yield "Freja: a list", f"{place}.ssn", freja(ssn={"ssn": [SSN], "country": "SE"})
    for other in (OTHER_SSN, SSN, [{"ssn": SSN, "country": "SE"}], 1, False):
        yield f"Freja: {other!r} where an object belongs", f"{place}.ssn", freja(ssn=other)
    elsewhere = {("socialno",): SSN, ("country",): "SE", ("identityscheme",): "sebankid"}
    for claim, value in (
        ("socialno", OTHER_SSN),
        ("country", "NO"),
        ("identityscheme", "nobankid-oidc"),
        ("country", 1),
    ):
        yield (
            f"{claim} contradicts the rest with {value}",
            claim,
            Case(claims={claim: value}, expected={"identity_elsewhere": elsewhere}),
        )
    yield "Freja: nobody", f"{place}.ssn", evolve(freja(), expected={**FREJA.expected, "require_person": True})


FORGERIES = {name: (claim, case) for name, claim, case in (*forgeries(), *contradictions())}

_NO_JSON = tuple(
    f"it is {rule}"
    for rule in (
        *("not JSON", "not a JSON object", "not UTF-8", "a member stands twice", "nested too deeply"),
        *("NaN or Infinity", "a number that is too large"),
    )
)
_OTHER_RULES = "a member that could change the rules is not accepted"
_NO_INSTANT, _FUTURE = "it is missing or no instant", "it lies in the future"
_AUTHLIB = "it does not hold what it must"
_LEVEL = ("it is no text", "it is another eID or level than was asked for")
_PIN = "it is not exactly the level that was demanded"
_PERSON = "it names another person or eID than was asked"
_NOBODY = "it is missing, so the token does not say who approved"
#: What a refusal says of each claim; members of the header that are not here have `_OTHER_RULES`.
REASONS: Mapping[str, tuple[str, ...]] = {
    "format": ("it is not three parts of base64url", "a part is not canonical base64url"),
    "size": tuple(f"it is longer than {size} characters" for size in (len(Case().token) - 1, 1024 * 1024)),
    "encryption": ("it is encrypted, which was not agreed",),
    "header": ("it is longer than 2048 bytes", _OTHER_RULES, *_NO_JSON),
    "payload": _NO_JSON,
    "alg": ("it is not one of the accepted algorithms",),
    "typ": ("it is another kind of token",),
    "x5t": ("it is no text",),
    "x5t#S256": ("it is no text",),
    "kid": ("the issuer publishes no key of this name for this algorithm", "it is no text"),
    "signature": ("it was not made by the issuer's key",),
    "iss": ("it is another issuer's",),
    "aud": ("it is not for this client alone",),
    "azp": ("it was issued to another party",),
    "sub": ("it is missing or no text of at most 255 printable ASCII characters",),
    "jti": ("it is no text",),
    "nonce": (_OTHER_RULES, "nobody asked for one"),
    "exp": (_NO_INSTANT, "it has expired", "it had expired when it was issued"),
    "iat": (_NO_INSTANT, _FUTURE, "it was issued before this login was asked for"),
    "nbf": (_NO_INSTANT, _FUTURE),
    "at_hash": ("it is no text, or there is no access token to compare", _AUTHLIB),
    "amr": (_AUTHLIB,),
    "auth_time": (_AUTHLIB,),
    AUTH_REQ_ID_CLAIM: ("it belongs to another transaction",),
    "authenticationtype": (*_LEVEL, _PIN),
    "acr": (
        *(*_LEVEL, _PIN, "it contradicts authenticationtype"),
        "the token does not say which eID or level was used",
    ),
    "socialno": (_PERSON,),
    "country": (_PERSON,),
    "identityscheme": (_PERSON,),
    "ssn": (_PERSON, _NOBODY),
    "details.requestedAttributes.ssn.ssn": (_PERSON, _NOBODY),
    "details.requestedAttributes.ssn.country": (_PERSON,),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forgery_is_refused_by_name_and_shows_nothing(name: str) -> None:
    """Each forgery fails by the rule it breaks, and nothing of the token is in the error, its chain or its frames."""
    claim, case = FORGERIES[name]
    error = await refusal(case)
    assert isinstance(error, IdTokenRejected)
    assert error.claim == claim
    assert error.reason in REASONS.get(claim, (_OTHER_RULES,))
    whole = (
        f"The ID token was refused: {claim}, {error.reason}. The prompt on the phone was approved, and nobody is "
        f"logged in. {error.advice[0].upper()}{error.advice[1:]}. [id_token_rejected]"
    )
    assert str(error) == whole
    assert error.advice.endswith("do not trust this login; report it to the provider with the trace id")
    assert list(leaks(error, case.token)) == []


@pytest.mark.parametrize(
    ("case", "remedy"),
    [
        (Case(now=EXPIRES + 61), "see that this machine's clock is right"),
        (Case(now=ISSUED - 61), "see that this machine's clock is right"),
        (Case(expected={"issued_from": ISSUED + 62}), "see that this machine's clock is right"),
        (Case(alg="ES256", algorithms=frozenset({"RS256"})), "if the provider means to sign so, name the algorithm in"),
        (Case(header={"alg": "none"}), ""),
        (Case(header={"alg": "HS256"}), ""),
        (Case(max_size=100), "if the provider sends photos, raise max_token_size"),
        (Case(claims={"authenticationtype": ABSENT}), "if the provider never names a level, pass require_acr=False"),
        (Case(claims={"aud": "urn:other"}), ""),
    ],
)
async def test_a_refusal_names_what_may_be_wrong_on_our_own_side(case: Case, remedy: str) -> None:
    """The clock, the list of algorithms, the bounds; and nothing that would open a door to forgeries."""
    error = await refusal(case)
    assert error.advice.startswith(remedy or "do not trust")
    assert ("; otherwise do not trust" in error.advice) is bool(remedy)


async def test_the_standing_of_a_token_does_not_hang_on_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issuer, audience, subject and times are refused without authlib's help, whose checks differ by version."""
    monkeypatch.setattr(CodeIDToken, "validate", lambda *_args, **_kwargs: None)
    own = {"iss", "aud", "azp", "sub", "jti", "nonce", "exp", "iat", "nbf"}
    rows = [(claim, case) for claim, case in FORGERIES.values() if claim in own]
    assert {claim for claim, _ in rows} == own
    for claim, case in rows:
        error = await refusal(case)
        assert isinstance(error, IdTokenRejected)
        assert error.claim == claim


async def test_whatever_the_library_stumbles_over_the_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that names no claim is told without its own words, which could quote the token."""

    def stumble(self: CodeIDToken, **_: object) -> None:
        raise TypeError(self["ssn"])

    monkeypatch.setattr(CodeIDToken, "validate", stumble)
    error = await refusal(Case())
    assert isinstance(error, IdTokenRejected)
    assert (error.claim, error.reason) == ("claims", "it does not hold what it must")
    assert list(leaks(error, Case().token)) == []


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *((claim, value) for claim in ("iss", "sub", "aud", "exp", "iat") for value in (ABSENT, None, "")),
        ("iss", f"{ISSUER}/"),
        ("aud", "urn:other"),
        ("aud", []),
        ("azp", "urn:other"),
        ("exp", 0),
    ],
    ids=repr,
)
def test_the_library_does_not_hang_on_our_own_checks(claim: str, value: object) -> None:
    """Authlib, which looks a second time, finds by itself what a token without standing lacks."""
    verifier = make_verifier(FakeTransport())
    verifier._check_claims(CLAIMS, "RS256", ACCESS_TOKEN)
    with pytest.raises(IdTokenRejected) as caught:
        verifier._check_claims(changed(CLAIMS, {claim: value}), "RS256", ACCESS_TOKEN)
    assert caught.value.claim in {claim, "claims"}


def test_there_are_enough_forgeries() -> None:
    """No two rows have one name, so that none of them hides another."""
    assert len(FORGERIES) == len([*forgeries(), *contradictions()]) > 380


def test_the_hunt_for_leaks_can_fail() -> None:
    """An error that quotes the token, or has seen it in a frame, is found."""
    token = Case().token
    assert list(leaks(ValueError(token), token))
    assert list(leaks(ValueError(SUBJECT), token))

    def careless() -> None:
        claims = dict(CLAIMS)
        raise ValueError(str(len(claims)))

    with pytest.raises(ValueError, match=str(len(CLAIMS))) as caught:
        careless()
    assert list(leaks(caught.value, token))


def test_a_megabyte_of_dots_does_not_become_a_million_strings() -> None:
    """A token that is all dots costs little more memory than its own length before it is refused."""
    size = 1024 * 1024
    dots = "." * size
    tracemalloc.start()
    try:
        with pytest.raises(IdTokenRejected):
            _split(dots, size)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size


@pytest.mark.parametrize("before", [b"", b"\0", b"\0\0"])
def test_a_part_may_end_in_any_byte(before: bytes) -> None:
    """Whatever letter its base64url ends in, and however much padding that lacks, it is read back as it was."""
    for last in range(256):
        data = before + bytes([last])
        assert _decode(b64(data)) == data


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_no_change_of_one_character_passes(alg: str) -> None:
    """Every character of a token matters: each one is exchanged, left out and doubled."""
    case = Case(alg=alg)
    token, verifier, expectation = str(case.token), case.verifier, case.expectation
    draw = random.Random(alg)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0é"

    async def main() -> None:
        for at, old in enumerate(token):
            new = draw.choice(alphabet.replace(old, ""))
            for changed_token in (
                token[:at] + new + token[at + 1 :],
                token[:at] + token[at + 1 :],
                token[:at] + old + token[at:],
            ):
                if changed_token == token:
                    continue
                with pytest.raises(IdTokenRejected):
                    await verifier.verify(
                        evolve(case.tokens, id_token=Redacted(changed_token)),
                        expected=expectation,
                        auth_req_id=AUTH_REQ_ID,
                    )

    run_virtual(main())


#: Whatever JSON can say.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*CLAIMS, "azp", "nonce", "at_hash", "acr", "amr", "auth_time", "jti", AUTH_REQ_ID_CLAIM, ""])


async def attempt(case: Case) -> Authentication | None:
    """Verify; None when it was refused in the one way in which it may be."""
    try:
        return await case.verify()
    except IdTokenRejected:
        return None


@settings(max_examples=60)
@given(st.binary(max_size=200) | JSON.map(json_bytes), st.binary(max_size=60))
def test_junk_is_refused_and_never_breaks_anything(payload: bytes, header: bytes) -> None:
    """Junk with a good signature, in payload, header and in both, ends in a refusal and in nothing else."""

    async def main() -> None:
        for case in (
            Case(alg="ES256", payload=payload),
            Case(alg="ES256", header_text=header),
            Case(alg="ES256", header_text=payload, payload=header),
        ):
            assert await attempt(case) is None

    run_virtual(main())


@settings(max_examples=100)
@given(
    st.dictionaries(NAMES, JSON, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from([*HEADER, "crit", "jwk"]), JSON),
)
def test_junk_in_a_claim_never_makes_another_login(claims: dict[str, Any], header: dict[str, Any]) -> None:
    """With junk in some claims a token is refused, or says the same of whatever is checked."""
    login = run_virtual(attempt(Case(alg="ES256", claims=claims, header=header)))
    if login is not None:
        assert not set(header) - {"kid", "typ"}
        for name in ("iss", "aud", "authenticationtype"):
            assert login.claims[name] in (CLAIMS[name], [CLAIMS[name]])
        assert login.claims["ssn"] == SSN or (login.claims["ssn"] is None and not login.person_confirmed)
        assert login.claims["iat"] <= ISSUED + 61
        assert login.claims["exp"] > ISSUED - 59
        assert login.subject.isascii()
        assert not {"nonce", "at_hash"} & set(login.claims)


# --- one token, one login ---------------------------------------------------------------------------------------------


async def test_a_token_proves_one_login_only() -> None:
    """The answer to one login is none to another, also where it names nobody; to the same one it may come twice."""
    case = Case(claims={"ssn": ABSENT})
    verifier, tokens = case.verifier, case.tokens
    for _ in range(2):
        login = await verifier.verify(tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
        assert not login.person_confirmed
    with pytest.raises(IdTokenRejected) as caught:
        await verifier.verify(tokens, expected=case.expectation, auth_req_id=Redacted("another"))
    assert (caught.value.claim, caught.value.reason) == ("replay", "it has proved another login already")
    assert list(leaks(caught.value, tokens.id_token)) == []
    other = evolve(case, claims={**case.claims, "sessionindex": "another"})
    await verifier.verify(other.tokens, expected=case.expectation, auth_req_id=Redacted("another"))


@pytest.mark.parametrize(
    ("claims", "until"),
    [({}, EXPIRES + 60.0), ({"exp": 10**10}, ISSUED + 2 * 86_400.0)],
    ids=["by its end", "by the longest login"],
)
async def test_a_token_is_remembered_while_it_could_be_accepted(claims: dict[str, Any], until: float) -> None:
    """Up to its end and the leeway, or as long as any login lives that began before it was issued."""
    told: dict[str, Any] = {}

    class Spy(UsedTokens):
        def use(self, token: str, **rest: Any) -> bool:
            told.update(rest, token=token)
            return True

    case = Case(claims=claims)
    await evolve(case.verifier, used=Spy()).verify(
        case.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID)
    )
    assert told == {"token": case.token, "auth_req_id": AUTH_REQ_ID, "now": case.now, "until": until}


@pytest.mark.parametrize(("now", "leeway"), [(EXPIRES, 0.0), (EXPIRES + 60.0, 60.0), (EXPIRES + 1e6, 60.0)])
async def test_a_token_that_has_expired_says_so(now: float, leeway: float) -> None:
    """From the very second of its end on; what is refused is refused here and not by a library."""
    error = await refusal(Case(now=now, leeway=leeway))
    assert isinstance(error, IdTokenRejected)
    assert (error.claim, error.reason) == ("exp", "it has expired")


async def test_a_token_that_was_refused_has_proved_nothing() -> None:
    """Who was refused another's token does not take it from the one whom it belongs to."""
    case = Case()
    verifier, tokens = case.verifier, case.tokens
    nobodys = evolve(case, identity={("ssn",): OTHER_SSN}).expectation
    with pytest.raises(IdTokenRejected):
        await verifier.verify(tokens, expected=nobodys, auth_req_id=Redacted("another"))
    assert await verifier.verify(tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"), [(outage, TransportError), (b"<html>", RemoteProtocolError), (404, RemoteProtocolError)]
)
async def test_without_keys_the_token_is_neither_good_nor_forged(answer: object, error: type[CibaError]) -> None:
    """Where the issuer's keys cannot be had the error says so, and shows no more of the token than a refusal."""
    verifier, tokens = make_verifier(FakeTransport().on(f"{ISSUER}/jwks", answer)), Case().tokens
    with pytest.raises(error) as caught:
        await verifier.verify(tokens, expected=Case().expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    assert list(leaks(caught.value, tokens.id_token)) == []


@pytest.mark.parametrize("kid", [KID, None])
async def test_a_key_that_changed_under_its_name_costs_no_login(kid: str | None) -> None:
    """An issuer that rotates and keeps the `kid`, or uses none, is asked for its keys once more."""
    old, new = (public_jwk(issuer_key("RS256", nth), kid=kid) for nth in (1, 0))
    transport = FakeTransport().on(f"{ISSUER}/jwks", {"keys": [old]}, {"keys": [new]})
    verifier, case = make_verifier(transport), Case(header={} if kid else {"kid": ABSENT})
    earlier = evolve(case, key=issuer_key("RS256", 1), claims={"sub": "somebody"})
    for each in (earlier, case):
        login = await verifier.verify(each.tokens, expected=each.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
        assert login.id_token == each.token
        await asyncio.sleep(1)
    assert len(transport.requests) == 2


async def test_a_forgery_stays_one_while_newer_keys_cannot_be_had() -> None:
    """The issuer's known key says no; an outage does not make that an error of the network."""
    keys = {"keys": [public_jwk(issuer_key("RS256"), kid=KID)]}
    transport = FakeTransport().on(f"{ISSUER}/jwks", keys, outage)
    verifier, case = make_verifier(transport), Case()
    await verifier.verify(case.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    await asyncio.sleep(1)
    forged = Case(key=issuer_key("RS256", 1))
    with pytest.raises(IdTokenRejected) as caught:
        await verifier.verify(forged.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    assert caught.value.claim == "signature"
    assert len(transport.requests) > 2
    unknown = Case(header={"kid": "new"})
    with pytest.raises(TransportError):
        await verifier.verify(unknown.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))


async def test_a_bad_header_costs_no_request() -> None:
    """A token that names no acceptable algorithm is refused before the issuer is asked for keys."""
    transport = FakeTransport()
    with pytest.raises(IdTokenRejected):
        await make_verifier(transport).verify(
            Case(header={"alg": "none"}).tokens, expected=Case().expectation, auth_req_id=AUTH_REQ_ID
        )
    assert transport.requests == []


def test_signatures_of_the_longest_rsa_key_fit() -> None:
    """A signature is counted in characters by joserfc, and those of 8192 bits are more than its own limit."""
    _Registry("RS256", 100).validate_signature_size(b64(bytes(MAX_SIGNATURE)).encode())


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithms", [[], ["HS256"], ["none"], ["RS256", "HS256"], ["rs256"], ["ES256K"]])
def test_no_configuration_lets_a_symmetric_algorithm_in(algorithms: list[str]) -> None:
    """The list of algorithms is never empty and holds signatures by key pairs only."""
    with pytest.raises(UsageError) as caught:
        make_verifier(FakeTransport(), algorithms=frozenset(algorithms))
    assert str(caught.value) == (
        "Id_token_algorithms is empty or names an algorithm that is not asymmetric. "
        f"Choose from {', '.join(HASHED)}. [id_token_algorithms]"
    )


@pytest.mark.parametrize("leeway", [-1.0, 601.0, float("inf"), float("nan"), True, "60", None])
def test_no_leeway_turns_the_times_off(leeway: float) -> None:
    """A leeway is a few minutes at most."""
    with pytest.raises(UsageError) as caught:
        make_verifier(FakeTransport(), leeway=leeway)
    assert str(caught.value) == (
        "The leeway is not between 0 and 600 seconds. Leave it at a minute, and set the clock. [leeway]"
    )


@pytest.mark.parametrize("leeway", [0.0, 600.0])
def test_the_bounds_themselves_may_be_configured(leeway: float) -> None:
    """No leeway at all, the longest that there is, and every algorithm at once."""
    verifier = make_verifier(FakeTransport(), algorithms=frozenset(HASHED), leeway=leeway)
    assert (verifier.algorithms, verifier.leeway) == (set(HASHED), leeway)


def test_the_sample_algorithm_is_the_default() -> None:
    """Who says nothing gets RS256 alone, and a minute of leeway."""
    verifier = make_verifier(FakeTransport())
    assert verifier.algorithms == {"RS256"}
    assert verifier.leeway == 60.0


@pytest.mark.parametrize(
    "request_",
    [
        SwedishBankID(SSN, call_initiator="RP", message="Hello", pin_acr=f"{SWEDISH}:x", require_acr=False),
        NorwegianBankID("01023990128", require_person=True),
        FrejaID(SSN, acr_values="urn:a urn:b"),
        FrejaID(email="someone@example.com", acr_values=None),
    ],
)
def test_a_request_says_what_its_answer_must_say(request_: EidRequest) -> None:
    """Each demand is taken over, and of the person only tags are kept."""
    expected = Expectation.of(request_, tags=TAGS, issued_from=5.0)
    demand = expected.demand
    assert demand.acr_values == tuple((request_.acr_values or "").split())
    assert demand.identity == tuple(request_.identity)
    assert demand.identity_elsewhere == tuple(request_.identity_elsewhere)
    values = {**request_.identity, **request_.identity_elsewhere}
    tagged = dict(expected.tagged())
    assert tagged.keys() == values.keys()
    assert all(TAGS.matches(path, value, tagged[path]) for path, value in values.items())
    assert expected.issued_from == 5.0
    for name in ("pin_acr", "require_acr", "identity_guaranteed", "require_person"):
        assert getattr(demand, name) == getattr(request_, name)
    assert not [number for number in values.values() if len(number) > 2 and number in repr(expected)]
    assert not [tag for tag in tagged.values() if tag.hex() in repr(expected) or repr(tag)[2:-1] in repr(expected)]
    # So many may wait that what they have in common must be there once.
    assert Expectation.of(request_, tags=TAGS, issued_from=6.0).demand is demand
    assert not hasattr(expected, "__dict__")


# --- the login --------------------------------------------------------------------------------------------------------


def test_a_login_cannot_be_made_by_hand() -> None:
    """Only verification makes one."""
    with pytest.raises(UsageError) as caught:
        Authentication()
    assert str(caught.value) == (
        "An Authentication cannot be made by hand. In tests, let the simulator approve one. [authentication]"
    )


async def test_a_login_shows_nothing_of_the_person() -> None:
    """Its repr tells the level and the issuer, and hides subject, claims and tokens; a pickle holds the same login."""
    login = await Case().verify()
    assert repr(login).startswith("Authentication(id_token=<redacted>, person_confirmed=True")
    assert not [canary for canary in CANARIES if canary in repr(login)]
    assert set(fields_dict(Authentication)) == {
        "subject",
        "claims",
        "id_token",
        "tokens",
        "person_confirmed",
        "acr",
        "issuer",
        "trace_id",
    }
    back = pickle.loads(pickle.dumps(login))  # noqa: S301 - pickled in the same line
    assert copy.copy(login) == back == login
