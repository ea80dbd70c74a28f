"""Tests of the tenant's discovery document."""

from __future__ import annotations

from collections.abc import Callable

from joserfc.jwk import ECKey

from idura_ciba.simulator import Rules
from tests.simulator.conftest import CLIENT, Wire

DOCUMENT = "/.well-known/openid-configuration"


def test_discovery_names_the_endpoints(wire: Wire) -> None:
    """All of them below the issuer, which is told exactly as it is."""
    found = wire.get(DOCUMENT)
    issuer = "https://simulator.idura.broker"
    assert found["issuer"] == issuer
    assert found["jwks_uri"] == f"{issuer}/.well-known/jwks"
    assert found["token_endpoint"] == f"{issuer}/oauth2/token"
    assert found["backchannel_authentication_endpoint"] == f"{issuer}/ciba/bc-authorize"
    assert found["backchannel_token_delivery_modes_supported"] == ["poll", "ping"]
    assert found["backchannel_user_code_parameter_supported"] is False
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
    assert "urn:openid:params:grant-type:ciba" in found["grant_types_supported"]


def test_discovery_may_keep_silent_about_the_backchannel(make: Callable[..., Wire]) -> None:
    """Whether Idura lists it is unknown."""
    found = make(rules=Rules(announces_backchannel=False)).get(DOCUMENT)
    assert not [name for name in found if name.startswith("backchannel")]


def test_discovery_takes_a_query(wire: Wire) -> None:
    """Idura's own SDK appends one."""
    assert wire.get("/.well-known/openid-configuration?client_id=urn%3Ax")["issuer"] == wire.idura.issuer


def test_discovery_says_what_clients_can_do_and_nothing_before(make: Callable[..., Wire]) -> None:
    """Whoever reads it must not think that something is supported which this tenant does not do."""
    wire = make()
    before = wire.get(DOCUMENT)
    signing = "backchannel_authentication_request_signing_alg_values_supported"
    optional = {"dpop_signing_alg_values_supported", "mtls_endpoint_aliases", signing}
    assert not optional & before.keys()
    assert "tls_client_auth" not in before["token_endpoint_auth_methods_supported"]
    wire = make(rules=Rules(dpop=True))
    wire.idura.mtls_address = "https://mtls.example"
    for nth in range(2):
        jwks = {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}
        wire.idura.register_client(f"{CLIENT}-{nth}", jwks=jwks, request_alg="ES256")
    after = wire.get(DOCUMENT)
    assert "ES256" in after["dpop_signing_alg_values_supported"]
    assert after["mtls_endpoint_aliases"]["token_endpoint"] == "https://mtls.example/oauth2/token"
    assert "tls_client_auth" in after["token_endpoint_auth_methods_supported"]
    assert after[signing] == ["ES256"]


def test_discovery_says_whatever_it_is_told_to(make: Callable[..., Wire]) -> None:
    """Instead of its own words, beside them, or nothing."""
    found = make(metadata={"jwks_uri": "https://keys.example", "of_its_own": 1, "scopes_supported": None}).get(DOCUMENT)
    assert (found["jwks_uri"], found["of_its_own"]) == ("https://keys.example", 1)
    assert "scopes_supported" not in found
