"""Tests of the proofs of DPoP, read with `cryptography` alone, and of the example of RFC 7638."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from attrs import frozen
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from idura_ciba import ArgumentError, ClientSecretBasic, ClientSecretPost, DPoP, PrivateKeyJwt
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.credentials.dpop import brings_nonce
from tests.fakes import b64, json_bytes, private_key, public_jwk, unb64

ISSUER, TOKEN = "https://acme.idura.broker", "https://acme.idura.broker/oauth2/token"
SECRET = "a secret of the tests, long enough for HS256"
AUTH = ClientSecretBasic("urn:my:app", SECRET)


@frozen
class Proof:
    """One proof, taken apart."""

    header: dict[str, Any]
    claims: dict[str, Any]
    message: bytes
    signature: bytes


def read(proof: str) -> Proof:
    """Take it apart."""
    header, claims, signature = proof.split(".")
    return Proof(json.loads(unb64(header)), json.loads(unb64(claims)), f"{header}.{claims}".encode(), unb64(signature))


def prove(auth: ClientAuth, endpoint: str = TOKEN, *, jti: str = "0a") -> Proof:
    """The proof of one request."""
    return read(auth.credentials(issuer=ISSUER, endpoint=endpoint, now=1700000000.9, jti=jti).headers["DPoP"])


def public_key(jwk: dict[str, str]) -> ec.EllipticCurvePublicKey:
    """A key of P-256 as `cryptography` has it."""
    x, y = (int.from_bytes(unb64(jwk[name])) for name in "xy")
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638: SHA-256 of the members that make up the key, in alphabetical order."""
    return b64(hashlib.sha256(json_bytes(dict(sorted(jwk.items())))).digest())


def test_a_proof_says_what_it_is_for_and_is_signed_by_the_key_in_it() -> None:
    """RFC 9449 section 4.2; nothing else is in it, and nothing private."""
    auth = DPoP(AUTH)
    proof = prove(auth)
    assert proof.claims == {"jti": "0a-dpop", "htm": "POST", "htu": TOKEN, "iat": 1700000000}
    assert set(proof.header) == {"typ", "alg", "jwk"}
    assert (proof.header["typ"], proof.header["alg"]) == ("dpop+jwt", "ES256")
    assert set(proof.header["jwk"]) == {"kty", "crv", "x", "y"}
    r, s = (int.from_bytes(half) for half in (proof.signature[:32], proof.signature[32:]))
    public_key(proof.header["jwk"]).verify(encode_dss_signature(r, s), proof.message, ec.ECDSA(hashes.SHA256()))
    assert auth.confirmation == {"jkt": thumbprint(proof.header["jwk"])}


def test_the_example_of_the_specification_has_its_thumbprint() -> None:
    """RFC 9449 sections 4.1 and 6.1: the key of its examples, and what `cnf` says of it."""
    jwk = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
    }
    assert thumbprint(jwk) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_what_the_client_authentication_sends_is_sent_beside_it() -> None:
    """In the header and in the form."""
    request = {"issuer": ISSUER, "endpoint": TOKEN, "now": 1.0, "jti": "0a"}
    made = DPoP(AUTH).credentials(**request)  # type: ignore[arg-type]  # as declared
    assert {**made.headers, "DPoP": ...} == {**AUTH.credentials(**request).headers, "DPoP": ...}  # type: ignore[arg-type]
    assert DPoP(ClientSecretPost("a", "b")).credentials(**request).parameters == {  # type: ignore[arg-type]
        "client_id": "a",
        "client_secret": "b",
    }


def test_a_query_is_no_part_of_what_is_proved() -> None:
    """RFC 9449 section 4.2: without query and fragment."""
    assert prove(DPoP(AUTH), f"{TOKEN}?tenant=a#b").claims["htu"] == TOKEN


def test_a_proof_for_an_access_token_names_it() -> None:
    """RFC 9449 section 4.2: by its hash. The example is that of section 7.1."""
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    proof = read(DPoP(AUTH).proof("GET", "https://resource.example.org/x", now=1.0, jti="b", access_token=token))
    assert proof.claims["ath"] == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    assert (proof.claims["htm"], proof.claims["jti"]) == ("GET", "b")


# --- the key ----------------------------------------------------------------------------------------------------------


def test_each_process_of_a_client_has_the_same_key() -> None:
    """And nobody else: not another client, not the same one with another credential."""
    first, again = DPoP(AUTH), DPoP(ClientSecretBasic("urn:my:app", SECRET))
    assert first.thumbprint == again.thumbprint
    assert first.thumbprint != DPoP(ClientSecretBasic("urn:my:app", f"{SECRET}!")).thumbprint
    assert first.derive_key(b"x") == AUTH.derive_key(b"x")


@pytest.mark.parametrize(("kind", "alg"), [("P-256", "ES256"), ("Ed25519", "EdDSA"), ("RSA", "PS256")])
def test_a_key_of_the_callers_own_is_used(kind: str, alg: str) -> None:
    """Of any kind that can sign assertions; an RSA key signs on threads."""
    key = private_key(kind)
    auth = DPoP(AUTH, key=key, alg=alg)  # type: ignore[arg-type]  # Ed448 is not among these
    proof = prove(auth)
    assert proof.header == {"typ": "dpop+jwt", "alg": alg, "jwk": public_jwk(key)}
    assert auth.thumbprint == thumbprint(public_jwk(key))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        key.public_key().verify(proof.signature, proof.message)
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        key.public_key().verify(proof.signature, proof.message, pss, hashes.SHA256())
    assert (auth.signing_threads > 0) == (kind == "RSA")


def test_a_key_that_cannot_sign_is_refused_without_showing_it() -> None:
    """As for a client assertion."""
    with pytest.raises(ArgumentError) as caught:
        DPoP(AUTH, key="-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----")
    assert caught.value.code == "key_unreadable"
    assert "c2VjcmV0" not in f"{caught.value!r}{caught.value.args}"
    with pytest.raises(ArgumentError, match="P-256"):
        DPoP(AUTH, alg="RS256")


def test_a_repr_shows_the_client_and_no_secret() -> None:
    """Nor the key."""
    auth = DPoP(AUTH)
    assert repr(auth) == "DPoP(ClientSecretBasic(client_id='urn:my:app'), alg='ES256')"
    assert auth.client_id == "urn:my:app"
    assert auth.tls is None


def test_slow_client_authentication_stays_on_its_threads() -> None:
    """A proof is made where the assertion is."""
    auth = PrivateKeyJwt("urn:my:app", private_key("RSA"))  # type: ignore[arg-type]  # as above
    assert DPoP(auth).signing_threads == auth.signing_threads > 0


# --- nonces -----------------------------------------------------------------------------------------------------------


def test_a_nonce_is_used_at_its_own_origin_until_the_next_one_comes() -> None:
    """RFC 9449 section 8.2."""
    auth = DPoP(AUTH)
    auth.learn(TOKEN, {})
    assert "nonce" not in prove(auth).claims
    auth.learn(TOKEN, {"dpop-nonce": "first"})
    assert prove(auth).claims["nonce"] == prove(auth, f"{ISSUER}/ciba/bc-authorize").claims["nonce"] == "first"
    assert "nonce" not in prove(auth, "https://elsewhere.example/oauth2/token").claims
    auth.learn(TOKEN, {"dpop-nonce": "second"})
    assert prove(auth).claims["nonce"] == "second"


@pytest.mark.parametrize("nonce", ["", " ", "a b", 'a"b', "a\\b", "å", "x" * 1025, "a\tb"])
def test_what_cannot_be_a_nonce_changes_nothing(nonce: str) -> None:
    """RFC 9449 section 8.1 has its letters; one without end would make requests without end."""
    auth = DPoP(AUTH)
    auth.learn(TOKEN, {"dpop-nonce": "good"})
    assert not brings_nonce({"dpop-nonce": nonce})
    auth.learn(TOKEN, {"dpop-nonce": nonce})
    assert prove(auth).claims["nonce"] == "good"
