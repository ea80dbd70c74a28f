"""The discovery document of the simulated tenant (Discovery 1.0 section 3, CIBA Core section 4, RFC 8705, RFC 9449)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from idura_ciba.simulator.clients import KEY_ALGORITHMS, SECRET_ALGORITHMS
from idura_ciba.simulator.eid import SimulatedEid
from idura_ciba.simulator.orders import Rules

__all__ = ["GRANT_TYPE", "document"]

GRANT_TYPE = "urn:openid:params:grant-type:ciba"


def document(
    issuer: str,
    rules: Rules,
    *,
    mtls_address: str | None,
    eids: Iterable[SimulatedEid],
    acr_values: Iterable[str],
    id_token_alg: str,
    request_algs: Iterable[str],
    changes: Mapping[str, object],
) -> dict[str, object]:
    """Return the document.

    Args:
        issuer: The tenant's.
        rules: How it behaves.
        mtls_address: Where clients that present a certificate go, if any can.
        eids: The tenant's.
        acr_values: Theirs.
        id_token_alg: What it signs ID tokens with.
        request_algs: What clients have registered to sign requests with.
        changes: Members instead of or beside these; None leaves one out.
    """
    methods = ["private_key_jwt", "client_secret_basic", "client_secret_post", "client_secret_jwt"]
    bound: dict[str, object] = {"dpop_signing_alg_values_supported": list(KEY_ALGORITHMS)} if rules.dpop else {}
    if mtls_address is not None:
        methods += ["tls_client_auth", "self_signed_tls_client_auth"]
        bound["tls_client_certificate_bound_access_tokens"] = True
        bound["mtls_endpoint_aliases"] = {
            "backchannel_authentication_endpoint": f"{mtls_address}/ciba/bc-authorize",
            "token_endpoint": f"{mtls_address}/oauth2/token",
            **({"userinfo_endpoint": f"{mtls_address}/oauth2/userinfo"} if rules.userinfo != "none" else {}),
        }
    backchannel: dict[str, object] = {
        "backchannel_authentication_endpoint": f"{issuer}/ciba/bc-authorize",
        "backchannel_token_delivery_modes_supported": ["poll", "ping"],
        "backchannel_user_code_parameter_supported": False,
    }
    if algs := [*request_algs]:
        backchannel["backchannel_authentication_request_signing_alg_values_supported"] = algs
    members = {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks",
        "authorization_endpoint": f"{issuer}/oauth2/authorize",
        "token_endpoint": f"{issuer}/oauth2/token",
        **(backchannel if rules.announces_backchannel else {}),
        **({"userinfo_endpoint": f"{issuer}/oauth2/userinfo"} if rules.userinfo != "none" else {}),
        "scopes_supported": ["openid"],
        "response_types_supported": ["code"],
        "grant_types_supported": [GRANT_TYPE],
        "subject_types_supported": ["public"],
        "acr_values_supported": [*acr_values],
        "authorization_details_types_supported": [
            *dict.fromkeys(detail["type"] for eid in eids for detail in eid.details or ())
        ],
        "id_token_signing_alg_values_supported": [id_token_alg],
        "id_token_encryption_alg_values_supported": ["RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"],
        "id_token_encryption_enc_values_supported": ["A128CBC-HS256", "A128GCM", "A256GCM"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": [*KEY_ALGORITHMS, *SECRET_ALGORITHMS],
        **bound,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}
