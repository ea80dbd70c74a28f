"""Tests of comparing what a provider says with how a client is set: what is refused, warned of, and passed by."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve, frozen
from joserfc.jwk import ECKey, RSAKey

from idura_ciba.credentials.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    Credentials,
    PrivateKeyJwt,
)
from idura_ciba.credentials.request_object import SignedRequests
from idura_ciba.http.capabilities import Needs, mentions, mismatches
from idura_ciba.protocol.documents import ProviderMetadata
from idura_ciba.protocol.requests import GRANT_TYPE

ISSUER = "https://bank.example"
SECRET = "0123456789abcdef" * 4
DELIVERY = "backchannel_token_delivery_modes_supported"
ID_TOKENS = "id_token_signing_alg_values_supported"
METHODS = "token_endpoint_auth_methods_supported"
METHOD_ALGS = "token_endpoint_auth_signing_alg_values_supported"
PROOFS = "dpop_signing_alg_values_supported"
REQUESTS = "backchannel_authentication_request_signing_alg_values_supported"
ENCRYPTION_ALGS = "request_object_encryption_alg_values_supported"
ENCRYPTION_ENCS = "request_object_encryption_enc_values_supported"
NEEDS = Needs(auth_method="private_key_jwt", auth_alg="ES256")
PROVING = evolve(NEEDS, proof_alg="ES256")
SIGNING = evolve(NEEDS, request_alg="PS256")
ENCRYPTING = evolve(SIGNING, request_encryption=("RSA-OAEP-256", "A256GCM"))


def found(needs: Needs, *, is_idura: bool = False, acr_values: tuple[str, ...] = (), **members: Any) -> dict[str, bool]:
    """What does not fit, by code, and whether it is certain."""
    metadata = ProviderMetadata(ISSUER, None, None, None, None, {"issuer": ISSUER, **members})
    return {
        each.code: each.is_certain for each in mismatches(metadata, needs, is_idura=is_idura, acr_values=acr_values)
    }


@pytest.mark.parametrize(
    ("needs", "members", "code"),
    [
        (NEEDS, {DELIVERY: ["ping", "push"]}, "delivery_unsupported"),
        (NEEDS, {ID_TOKENS: ["PS256", "ES256"]}, "id_token_algorithms_unsupported"),
        (NEEDS, {METHODS: ["client_secret_basic", "tls_client_auth"]}, "client_auth_unsupported"),
        (NEEDS, {METHOD_ALGS: ["PS256"]}, "client_auth_alg_unsupported"),
        (SIGNING, {REQUESTS: ["ES256"]}, "request_alg_unsupported"),
        (PROVING, {PROOFS: ["RS256", "PS256"]}, "proof_alg_unsupported"),
    ],
)
def test_what_a_list_rules_out_is_certain(needs: Needs, members: dict[str, Any], code: str) -> None:
    """Each by itself, with a code of its own, and the error says that the phone has not rung."""
    assert found(SIGNING if needs is SIGNING else needs, **members) == {code: True}
    metadata = ProviderMetadata(ISSUER, None, None, None, None, members)
    (only,) = mismatches(metadata, needs, is_idura=False)
    error = only.error()
    assert (error.code, error.what) == (code, only.text)
    assert "The phone has not rung" in str(error)
    assert "Endpoints(...)" in str(error)


@pytest.mark.parametrize(
    ("needs", "members"),
    [
        (NEEDS, {}),
        (NEEDS, {DELIVERY: ["ping", "poll"]}),
        (evolve(NEEDS, delivery_mode="ping"), {DELIVERY: ["ping"]}),
        (NEEDS, {ID_TOKENS: ["PS256", "RS256"]}),
        (NEEDS, {METHODS: ["private_key_jwt"], METHOD_ALGS: ["RS256", "ES256"]}),
        (SIGNING, {REQUESTS: ["ES256", "PS256"]}),
        (PROVING, {PROOFS: ["ES256", "PS256"]}),
        (NEEDS, {PROOFS: ["RS256"]}),
        (ENCRYPTING, {REQUESTS: ["PS256"], ENCRYPTION_ALGS: ["RSA-OAEP-256"], ENCRYPTION_ENCS: ["A256GCM"]}),
        (NEEDS, {"grant_types_supported": [GRANT_TYPE], "acr_values_supported": ["urn:b"]}),
        (NEEDS, {"require_signed_request_object": "yes"}),
        # What a list says of others is nothing to this client.
        (NEEDS, {REQUESTS: ["PS256"], ENCRYPTION_ALGS: ["RSA-OAEP"]}),
        (evolve(NEEDS, auth_method="client_secret_basic", auth_alg=None), {METHOD_ALGS: ["RS256"]}),
        (evolve(NEEDS, auth_method=None, auth_alg=None), {METHODS: ["client_secret_basic"], METHOD_ALGS: ["RS256"]}),
    ],
)
def test_what_fits_is_silent(needs: Needs, members: dict[str, Any]) -> None:
    """And so is what the document does not say, whatever the specification's default is."""
    assert found(needs, **members) == {}


@pytest.mark.parametrize(
    "name", [DELIVERY, ID_TOKENS, METHODS, METHOD_ALGS, "grant_types_supported", "acr_values_supported"]
)
@pytest.mark.parametrize("junk", [None, [], "", "ping", {}, 7, True, [None, 7], {"ping": 1}])
def test_a_member_of_the_wrong_type_says_nothing(name: str, junk: Any) -> None:
    """Documents are made by hand, too."""
    assert found(NEEDS, acr_values=("urn:a",), **{name: junk}) == {}


@pytest.mark.parametrize(
    ("needs", "members", "code"),
    [
        (NEEDS, {"grant_types_supported": ["authorization_code"]}, "grant_unsupported"),
        (NEEDS, {"require_signed_request_object": True}, "signed_requests_required"),
        (SIGNING, {}, "signed_requests_unmentioned"),
        (PROVING, {}, "dpop_unmentioned"),
        (ENCRYPTING, {REQUESTS: ["PS256"], ENCRYPTION_ALGS: ["RSA-OAEP"]}, "request_encryption_unsupported"),
        (ENCRYPTING, {REQUESTS: ["PS256"], ENCRYPTION_ENCS: ["A128GCM"]}, "request_encryption_unsupported"),
    ],
)
def test_what_may_be_a_fault_of_the_document_is_no_reason_to_refuse(
    needs: Needs, members: dict[str, Any], code: str
) -> None:
    """It is told by doctor, and people are asked."""
    assert found(needs, **members) == {code: False}


def test_acr_values_are_compared_one_by_one_and_never_refused() -> None:
    """A request may name several, of which any may be listed or not."""
    listed = {"acr_values_supported": ["urn:a", "urn:b"]}
    assert found(NEEDS, acr_values=("urn:a", "urn:a urn:b"), **listed) == {}
    assert found(NEEDS, acr_values=("urn:a", "urn:a urn:c"), **listed) == {"acr_unsupported": False}


def test_at_idura_client_authentication_is_never_refused() -> None:
    """What its document says of it is unknown; what is certain elsewhere is a warning there, and the rest stays."""
    assert found(NEEDS, is_idura=True, **{METHODS: ["client_secret_basic"]}) == {"client_auth_unsupported": False}
    assert found(NEEDS, is_idura=True, **{METHOD_ALGS: ["RS256"]}) == {"client_auth_alg_unsupported": False}
    assert found(NEEDS, is_idura=True, **{ID_TOKENS: ["ES256"]}) == {"id_token_algorithms_unsupported": True}


def test_one_algorithm_by_two_names_is_one() -> None:
    """RFC 9864 has renamed EdDSA, and documents name either."""
    needs = Needs(
        id_token_algorithms=frozenset({"EdDSA"}), auth_method="private_key_jwt", auth_alg="Ed25519", request_alg="EdDSA"
    )
    assert found(needs, **{ID_TOKENS: ["Ed25519"], METHOD_ALGS: ["EdDSA"], REQUESTS: ["Ed25519"]}) == {}


def test_foreign_text_is_shown_on_one_bounded_line() -> None:
    """A document may list anything."""
    members = {DELIVERY: ["\x1b[31mping\n", "x" * 500, *(f"mode{nth:03}" for nth in range(90))]}
    metadata = ProviderMetadata(ISSUER, None, None, None, None, members)
    (only,) = mismatches(metadata, NEEDS, is_idura=False)
    assert only.text.isprintable()
    assert len(only.text) < 300
    assert "others" in only.text


@frozen
class Foreign:
    """A method of the caller's own, without a name for it."""

    client_id: str = "urn:my:app"
    signing_threads: int = 0
    alg: str = "XYZ"

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:
        """None."""
        del issuer, endpoint, now, jti
        return Credentials()

    def derive_key(self, label: bytes) -> bytes:
        """None."""
        return label


@pytest.mark.parametrize(
    ("auth", "method", "alg"),
    [
        (PrivateKeyJwt("a", ECKey.generate_key("P-256")), "private_key_jwt", "ES256"),
        (ClientSecretJwt("a", SECRET, alg="HS384"), "client_secret_jwt", "HS384"),
        (ClientSecretBasic("a", SECRET), "client_secret_basic", None),
        (ClientSecretPost("a", SECRET), "client_secret_post", None),
        (Foreign(), None, None),
    ],
)
def test_a_clients_needs_are_read_off_its_settings(auth: ClientAuth, method: str | None, alg: str | None) -> None:
    """Of what nothing is known, nothing is needed."""
    signer = SignedRequests(RSAKey.generate_key(2048), alg="PS256", encryption_alg="ECDH-ES").signer(auth)
    assert Needs.of(auth, signer, ["ES256"]) == Needs(
        id_token_algorithms=frozenset({"ES256"}),
        auth_method=method,
        auth_alg=alg,
        request_alg="PS256",
        request_encryption=("ECDH-ES", "A256GCM"),
    )
    unsigned = Needs.of(auth, None, ["ES256"])
    assert (unsigned.request_alg, unsigned.request_encryption) == (None, None)


def said_in(members: dict[str, Any]) -> ProviderMetadata:
    """A document with these members."""
    return ProviderMetadata(ISSUER, None, None, None, None, {"issuer": ISSUER, **members})


def test_what_a_document_lists_and_what_it_leaves_out_is_told_apart() -> None:
    """What it contradicts is in neither: that is a mismatch."""
    needs = Needs(
        auth_method="private_key_jwt",
        auth_alg="ES256",
        request_alg="PS256",
        proof_alg="EdDSA",
        id_token_algorithms=frozenset({"ES256", "RS256"}),
        binds_to_certificate=True,
    )
    members = {
        "backchannel_token_delivery_modes_supported": ["poll", "ping"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "dpop_signing_alg_values_supported": ["Ed25519"],
    }
    listed, unmentioned = mentions(said_in(members), needs)
    assert listed == ["poll delivery", "ID tokens signed by ES256, RS256", "DPoP signed by EdDSA"]
    assert unmentioned == [
        "assertions signed by ES256",
        "requests signed by PS256",
        "tokens bound to a certificate",
    ]
    bound = said_in({**members, "tls_client_certificate_bound_access_tokens": True})
    assert "tokens bound to a certificate" in mentions(bound, needs)[0]
    assert mentions(said_in({}), Needs())[0] == []
