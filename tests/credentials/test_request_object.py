"""Tests of signed and encrypted authentication requests, read back with the public or the provider's key."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from attrs import frozen
from joserfc.jwe import JWERegistry, decrypt_compact
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from idura_ciba import ArgumentError, SignedRequests, UsageError
from idura_ciba.credentials.client_auth import ClientSecretBasic, Credentials, PrivateKeyJwt
from idura_ciba.credentials.request_object import (
    CONTENT_ENCRYPTION,
    KEY_MANAGEMENT,
    EncryptionKey,
    RequestSigner,
    request_signer,
)
from idura_ciba.credentials.signing_key import ALGORITHMS
from idura_ciba.http.capabilities import Needs
from tests.fakes import number, private_key, unb64

CLIENT, ISSUER, NOW = "urn:my:app", "https://bank.example", 1767225600.9
PARAMETERS = {"scope": "openid", "login_hint": "sub:ssn:209801011231", "requested_expiry": "90"}
KINDS: dict[str, Any] = {
    "RSA": RSAKey.generate_key(2048),
    "P-256": ECKey.generate_key("P-256"),
    "P-384": ECKey.generate_key("P-384"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "X25519": OKPKey.generate_key("X25519"),
    "P-521": ECKey.generate_key("P-521"),
}
SIGNATURES = [(kind, alg) for kind, algs in ALGORITHMS.items() if kind in KINDS for alg in algs]
_SMALL: Any = private_key("RSA-1024").public_key()
AUTH = PrivateKeyJwt(CLIENT, KINDS["P-256"])


def signer(key: Any = None, **options: Any) -> RequestSigner:
    """What signs for a client that authenticates with a P-256 key."""
    return SignedRequests(key, **options).signer(AUTH)


def sign(by: RequestSigner, parameters: dict[str, str] | None = None, to: EncryptionKey | None = None) -> str:
    """The value of `request`."""
    return by.sign(parameters or PARAMETERS, issuer=ISSUER, now=NOW, jti="one", recipient=to)


def opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unverified."""
    header, claims, _ = token.split(".")
    return json.loads(unb64(header)), json.loads(unb64(claims))


def is_signed_by(token: str, key: Any) -> bool:
    """Whether a signature is that of a key."""
    signed, _, signature = token.rpartition(".")
    algorithm = JWSRegistry.algorithms[opened(token)[0]["alg"]]
    return algorithm.verify(signed.encode(), unb64(signature), key)


# --- signed -----------------------------------------------------------------------------------------------------------


def test_everything_is_inside_and_each_claim_is_there() -> None:
    """As CIBA 7.1.1 demands: every parameter as a text, and the six claims; no `sub`, so it is no client assertion."""
    header, claims = opened(sign(signer()))
    assert claims == {
        **PARAMETERS,
        "iss": CLIENT,
        "aud": ISSUER,
        "jti": "one",
        "iat": 1767225600,
        "nbf": 1767225600,
        "exp": 1767225660,
    }
    assert header == {"alg": "ES256", "kid": AUTH.kid, "typ": "oauth-authz-req+jwt"}


@pytest.mark.parametrize(("kind", "alg"), SIGNATURES)
def test_each_algorithm_signs_what_its_public_key_verifies(kind: str, alg: str) -> None:
    """Another key of the same kind does not."""
    token = sign(signer(KINDS[kind], alg=alg))
    assert opened(token)[0]["alg"] == alg
    assert is_signed_by(token, KINDS[kind])
    other = {"RSA": lambda: RSAKey.generate_key(2048), "Ed25519": lambda: OKPKey.generate_key("Ed25519")}
    assert not is_signed_by(token, other.get(kind, lambda: ECKey.generate_key(kind))())


def test_details_are_json_in_a_request_object() -> None:
    """RFC 9396 section 3; in a form they are a text."""
    details = '[{"type":"phoneAuth","callInitiator":"RP"}]'
    _, claims = opened(sign(signer(), {"scope": "openid", "authorization_details": details}))
    assert claims["authorization_details"] == [{"type": "phoneAuth", "callInitiator": "RP"}]


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "nbf", "iat", "jti", "sub"])
def test_no_parameter_takes_the_place_of_a_claim(name: str) -> None:
    """An extra parameter of a caller could otherwise make a request that never ends, or another client's."""
    with pytest.raises(UsageError) as caught:
        sign(signer(), {**PARAMETERS, name: "mine"})
    assert caught.value.code == "extra_parameter"


def test_header_and_lifetime_can_be_chosen() -> None:
    """A provider may want another type, or none, and a life of up to an hour."""
    header, claims = opened(sign(signer(kid="mine", typ=None, lifetime=3600)))
    assert header == {"alg": "ES256", "kid": "mine"}
    assert claims["exp"] - claims["nbf"] == 3600


# --- with which key ---------------------------------------------------------------------------------------------------


def test_true_signs_with_the_clients_own_key_and_algorithm() -> None:
    """And with its key id."""
    auth = PrivateKeyJwt(CLIENT, KINDS["RSA"], alg="PS256", kid="k1")
    found = request_signer(sign_requests=True, client_auth=auth)
    assert found is not None
    assert (found.client_id, found.alg, found.kid) == (CLIENT, "PS256", "k1")
    assert is_signed_by(sign(found), KINDS["RSA"])
    assert request_signer(sign_requests=False, client_auth=auth) is None


def test_the_same_key_may_sign_requests_by_another_algorithm() -> None:
    """RS256 for Idura's assertions, PS256 as FAPI wants requests."""
    auth = PrivateKeyJwt(CLIENT, KINDS["RSA"])
    assert auth.alg == "RS256"
    assert SignedRequests(alg="PS256").signer(auth).alg == "PS256"


def test_the_own_key_is_found_below_what_is_wrapped_around_it() -> None:
    """Somebody may measure or log what a client authentication does."""

    @frozen
    class Wrapped:
        auth: Any
        client_id: str = CLIENT
        signing_threads: int = 0

        def credentials(self, **options: Any) -> Credentials:
            found: Credentials = self.auth.credentials(**options)
            return found

        def derive_key(self, label: bytes) -> bytes:
            return bytes(self.auth.derive_key(label))

    found = SignedRequests().signer(Wrapped(Wrapped(AUTH)))
    assert (found.alg, found.kid) == (AUTH.alg, AUTH.kid)
    needs = Needs.of(Wrapped(AUTH), found, ["RS256"])
    assert (needs.auth_method, needs.auth_alg) == ("private_key_jwt", "ES256")


def test_a_client_with_a_secret_needs_a_key_for_this() -> None:
    """CIBA allows asymmetric signatures only."""
    secret = ClientSecretBasic(CLIENT, "hush")
    with pytest.raises(UsageError) as caught:
        request_signer(sign_requests=True, client_auth=secret)
    assert caught.value.code == "sign_requests"
    assert SignedRequests(KINDS["P-384"]).signer(secret).alg == "ES384"


@pytest.mark.parametrize("wrong", [None, 1, "ES256", KINDS["P-256"]])
def test_anything_else_is_refused(wrong: Any) -> None:
    """Above all a bare key, which somebody may pass."""
    with pytest.raises(UsageError) as caught:
        request_signer(sign_requests=wrong, client_auth=AUTH)
    assert caught.value.code == "sign_requests"


@pytest.mark.parametrize(
    ("key", "options", "code"),
    [
        ("no key", {}, "key_unreadable"),
        (OctKey.generate_key(256).as_dict(), {}, "key_unsupported"),
        (KINDS["RSA"], {"alg": "ES256"}, "alg_mismatch"),
        (KINDS["RSA"], {"alg": "none"}, "alg_unsupported"),
        (None, {"lifetime": 3601}, "lifetime"),
        (None, {"lifetime": 0}, "lifetime"),
        (None, {"lifetime": "60"}, "lifetime"),
        (None, {"lifetime": True}, "lifetime"),
        (None, {"typ": 1}, "header"),
        (None, {"kid": b"k"}, "header"),
        (None, {"encryption_alg": "RSA1_5"}, "alg_unsupported"),
        (None, {"encryption_alg": "ECDH-ES", "encryption_enc": "A128KW"}, "alg_unsupported"),
    ],
)
def test_what_cannot_work_is_refused_at_once(key: Any, options: dict[str, Any], code: str) -> None:
    """Before anybody is asked, and without the key in the error."""
    with pytest.raises(ArgumentError) as caught:
        SignedRequests(key, **options)
    assert caught.value.code == code
    assert "no key" not in "".join(traceback.format_exception(caught.value)).replace('"no key"', "")


def test_an_algorithm_for_the_clients_key_is_checked_when_the_client_is_made() -> None:
    """Not at the first login."""
    with pytest.raises(UsageError) as caught:
        SignedRequests(alg="PS256").signer(AUTH)
    assert caught.value.code == "alg_mismatch"


def test_only_rsa_signs_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like assertions."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 2, 5}, raising=False)
    assert [signer(KINDS[kind]).signing_threads for kind in ("RSA", "P-256", "Ed25519")] == [3, 0, 0]


def test_a_repr_shows_nothing_secret() -> None:
    """Neither of the settings nor of what signs."""
    jwk = KINDS["P-256"].as_dict(private=True)
    for shown in (repr(SignedRequests(jwk, alg="ES256")), repr(signer(jwk))):
        assert "ES256" in shown
        assert jwk["d"] not in shown


# --- encrypted --------------------------------------------------------------------------------------------------------

PAIRS = [
    (alg, enc, kind)
    for alg, ktys in KEY_MANAGEMENT.items()
    for enc in CONTENT_ENCRYPTION
    for kind in (("RSA",) if ktys == ("RSA",) else ("P-256", "P-384", "P-521", "X25519"))
]


def published(kind: str, **members: Any) -> dict[str, Any]:
    """A public key as a provider publishes it."""
    return {**KINDS[kind].as_dict(private=False), **members}


@pytest.mark.parametrize(("alg", "enc", "kind"), PAIRS)
def test_what_is_encrypted_only_the_provider_can_read(alg: str, enc: str, kind: str) -> None:
    """It is signed first, and says that a JWT comes out."""
    by = signer(encryption_alg=alg, encryption_enc=enc)
    to = by.choose([published(kind, use="enc", kid="e1")])
    assert to is not None
    token = sign(by, to=to)
    assert token.count(".") == 4
    read = decrypt_compact(token, KINDS[kind], registry=JWERegistry(algorithms=[alg, enc]))
    header = {name: value for name, value in read.headers().items() if name != "epk"}
    assert header == {"alg": alg, "enc": enc, "cty": "JWT", "kid": "e1"}
    inner = (read.plaintext or b"").decode()
    assert is_signed_by(inner, KINDS["P-256"])
    assert opened(inner)[1]["login_hint"] == PARAMETERS["login_hint"]


@pytest.mark.parametrize(
    ("alg", "member"),
    [
        ("RSA-OAEP-256", published("RSA", use="enc")),
        ("RSA-OAEP-256", published("RSA", use="enc", alg="RSA-OAEP-256")),
        ("RSA-OAEP-256", published("RSA", alg="RSA-OAEP-256")),
        ("RSA-OAEP-256", published("RSA", key_ops=["wrapKey"])),
        ("ECDH-ES", published("X25519", use="enc")),
        ("ECDH-ES", published("P-256", key_ops=["deriveBits"])),
    ],
)
def test_a_key_that_is_meant_for_it_is_chosen(alg: str, member: dict[str, Any]) -> None:
    """By its `use`, its operations or its algorithm; one that is for signatures comes first and is passed by."""
    by = signer(encryption_alg=alg)
    found = by.choose([published("RSA", use="sig"), published("P-256", use="sig"), member])
    assert found is not None
    assert found.key.thumbprint() == member_thumbprint(member)


def member_thumbprint(member: dict[str, Any]) -> str:
    """The thumbprint of a published key."""
    return next(key.thumbprint() for key in KINDS.values() if key.as_dict(private=False).items() <= member.items())


@pytest.mark.parametrize(
    ("alg", "member"),
    [
        ("RSA-OAEP-256", published("RSA")),  # says nothing: it may be the key of its ID tokens
        ("RSA-OAEP-256", published("RSA", use="sig")),
        ("RSA-OAEP-256", published("RSA", use="sig", alg="RSA-OAEP-256")),
        ("RSA-OAEP-256", published("RSA", use="enc", alg="RSA-OAEP")),
        ("RSA-OAEP-256", published("RSA", key_ops=["verify"])),
        ("RSA-OAEP-256", published("RSA", use="enc", n="AQAB")),
        ("RSA-OAEP-256", {"kty": "RSA", "use": "enc"}),
        ("RSA-OAEP-256", {"kty": ["RSA"], "use": "enc"}),
        ("RSA-OAEP-256", published("P-256", use="enc")),
        ("RSA-OAEP", {"kty": "RSA", "use": "enc", "e": "AQAB", "n": number(_SMALL.public_numbers().n)}),
        ("ECDH-ES", published("Ed25519", use="enc")),
        ("ECDH-ES", published("RSA", use="enc")),
        ("ECDH-ES", published("P-256", use="enc", crv=["P-256"])),
        ("ECDH-ES", published("P-256", use="enc", x="AA")),
    ],
)
def test_a_key_that_is_not_meant_for_it_is_passed_by(alg: str, member: dict[str, Any]) -> None:
    """Whatever is in the set, nothing is raised."""
    assert signer(encryption_alg=alg).choose([member]) is None
