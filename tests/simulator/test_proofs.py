"""Tests of what the simulated provider takes for a proof, with proofs that are put together by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from idura_ciba.simulator.messages import Refusal, SimRequest
from idura_ciba.simulator.proofs import Proofs
from tests.fakes import compact, json_bytes, private_key, public_jwk, sign

URL, NOW = "https://simulator.idura.broker/oauth2/token", 1_700_000_000.0
KEY = private_key("P-256")
GOOD: dict[str, Any] = {"jti": "1", "htm": "POST", "htu": URL, "iat": NOW}


def proof(claims: object = GOOD, header: dict[str, Any] | None = None, **changed: Any) -> SimRequest:
    """A request with a proof."""
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(KEY)} | (header or {})
    claims = claims | changed if isinstance(claims, dict) else claims
    token = compact(json_bytes(header), json_bytes(claims), lambda message: sign("ES256", KEY, message))
    return SimRequest("POST", "/oauth2/token", {"DPoP": token})


def make(nonces: float = 0.0) -> tuple[Proofs, Counter[str]]:
    """A new one, and what it counts."""
    counted = Counter[str]()
    return Proofs(counted, nonces=nonces, tolerance=15.0, seed=1), counted


def test_a_good_proof_names_its_key_and_is_good_once() -> None:
    """And a request without one names none."""
    proofs, counted = make()
    jkt = proofs.check(proof(), [URL], NOW)
    assert jkt is not None
    assert len(jkt) == 43
    assert proofs.check(proof(jti="2"), [URL], NOW) == jkt
    with pytest.raises(Refusal) as caught:
        proofs.check(proof(), [URL], NOW + 1)
    assert (caught.value.error, caught.value.status) == ("invalid_dpop_proof", 400)
    assert proofs.check(SimRequest("POST", "/oauth2/token"), [URL], NOW) is None
    assert counted == {"accepted": 2, "replayed": 1}
    assert proofs.headers(NOW) == {}


@pytest.mark.parametrize(
    "request_",
    [
        proof(jti=""),
        proof(jti=7),
        proof(htm="GET"),
        proof(htu=URL + "/"),
        proof(iat=NOW - 76),
        proof(iat=NOW + 16),
        proof(iat=None),
        proof(iat=True),
        proof([]),
        proof(header={"typ": "JWT"}),
        proof(header={"jwk": public_jwk(private_key("P-256", 1))}),
        proof(header={"jwk": {**public_jwk(KEY), "d": "AA"}}),
        proof(header={"jwk": None}),
        proof(header={"alg": "none"}),
        SimRequest("POST", "/oauth2/token", {"DPoP": "x"}),
        SimRequest("POST", "/oauth2/token", {"DPoP": "å.å.å"}),
    ],
)
def test_anything_else_is_refused(request_: SimRequest) -> None:
    """RFC 9449 section 4.3."""
    proofs, counted = make()
    with pytest.raises(Refusal) as caught:
        proofs.check(request_, [URL], NOW)
    assert caught.value.error == "invalid_dpop_proof"
    assert counted == {"refused": 1}


def test_a_proof_beside_an_access_token_names_its_hash() -> None:
    """RFC 9449 section 4.3, item 11; the hash of `token` was made with another tool."""
    proofs, counted = make()
    ath = "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A"
    assert proofs.check(proof(ath=ath), [URL], NOW, access_token="token")
    for nth, other in enumerate(({}, {"ath": "x"}, {"ath": None})):
        with pytest.raises(Refusal, match="ath"):
            proofs.check(proof(jti=f"other {nth}", **other), [URL], NOW, access_token="token")
    assert counted == {"accepted": 1, "refused": 3}


def test_a_nonce_is_demanded_and_rotates() -> None:
    """The one before it is still taken, so that a client is not refused for the time that an answer travels."""
    proofs, counted = make(nonces=10.0)
    nonce = proofs.headers(NOW)["DPoP-Nonce"]
    with pytest.raises(Refusal) as caught:
        proofs.check(proof(), [URL], NOW)
    assert caught.value.error == "use_dpop_nonce"
    assert proofs.check(proof(nonce=nonce), [URL], NOW)
    assert proofs.headers(NOW + 10)["DPoP-Nonce"] != nonce
    assert proofs.check(proof(nonce=nonce, jti="2"), [URL], NOW + 10)
    with pytest.raises(Refusal, match="use_dpop_nonce"):
        proofs.check(proof(nonce=nonce, jti="3"), [URL], NOW + 20)
    assert counted == {"nonce demanded": 2, "accepted": 2}
