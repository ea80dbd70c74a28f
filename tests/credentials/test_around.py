"""Tests of what stands around a client authentication and changes nothing of it."""

from __future__ import annotations

from idura_ciba import ClientAuth, ClientSecretBasic, DPoP, TlsClientAuth
from idura_ciba.credentials.around import Around, innermost, layers
from tests.certificates import issue


def test_what_is_not_changed_is_the_inner_one_s() -> None:
    """A certificate, and what tokens name of it, included."""
    pair = issue("client")
    inner = TlsClientAuth("urn:my:app", pair.certificate, pair.key)
    auth: ClientAuth = Around(inner)
    assert isinstance(auth, Around)
    assert auth.credentials(issuer="i", endpoint="e", now=1.0, jti="j") == inner.credentials(
        issuer="i", endpoint="e", now=1.0, jti="j"
    )
    assert (auth.client_id, auth.signing_threads, auth.method, auth.alg) == ("urn:my:app", 0, "tls_client_auth", None)
    assert (auth.tls, auth.confirmation) == (inner.tls, inner.confirmation)
    assert auth.derive_key(b"x") == inner.derive_key(b"x")
    assert repr(auth) == f"Around({inner!r})"


def test_an_authentication_that_binds_nothing_has_nothing_to_name() -> None:
    """One of the caller's own, for example."""
    auth = Around(ClientSecretBasic("urn:my:app", "secret"))
    assert (auth.tls, dict(auth.confirmation), auth.alg) == (None, {}, None)


def test_layers_are_found_from_the_outside_in() -> None:
    """However many there are."""
    inner = ClientSecretBasic("urn:my:app", "secret")
    dpop = DPoP(inner)
    outer = Around(dpop)
    assert list(layers(outer)) == [outer, dpop, inner]
    assert innermost(outer) is inner is innermost(inner)
