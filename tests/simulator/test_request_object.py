"""Tests of the tenant that demands signed requests: what it takes, and everything that it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idura_ciba.simulator import SimReply
from idura_ciba.simulator.clients import Signatures
from tests.simulator.conftest import ASKS, CLIENT, NOW, SECRET, Wire

ISSUER = "https://simulator.idura.broker"
KEY, OTHER = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
ENCRYPTION_KEY = RSAKey.generate_key(2048)
JWKS = {"keys": [KEY.as_dict(private=False)]}
MakeWire = Callable[..., Wire]


def tenant(make: MakeWire, *, encrypted: bool = False, **options: Any) -> Wire:
    """One whose client has registered ES256 for its requests."""
    wire = make(encryption_key=ENCRYPTION_KEY, **options)
    wire.idura.register_client(
        CLIENT, secret=SECRET, request_alg="ES256", request_jwks=JWKS, request_encrypted=encrypted
    )
    return wire


def claims(**changes: Any) -> dict[str, Any]:
    """What a good request says; `...` leaves a claim out."""
    said: dict[str, Any] = dict(parse_qsl(ASKS["se"]))
    said["authorization_details"] = json.loads(said["authorization_details"])
    said |= {"iss": CLIENT, "aud": ISSUER, "jti": "one", "iat": NOW, "nbf": NOW, "exp": NOW + 60, **changes}
    return {name: value for name, value in said.items() if value is not ...}


def signed(said: dict[str, Any], key: Any = KEY, alg: str = "ES256") -> str:
    """A request object."""
    return jwt.encode({"alg": alg}, said, key, registry=Signatures([alg]))


def encrypted(token: str, key: Any = ENCRYPTION_KEY, alg: str = "RSA-OAEP-256") -> str:
    """The same for the tenant's eyes."""
    registry = jwe.JWERegistry(algorithms=[alg, "A256GCM"])
    return jwe.encrypt_compact({"alg": alg, "enc": "A256GCM", "cty": "JWT"}, token, key, registry=registry)


def ask(wire: Wire, request: str, **beside: str) -> SimReply:
    """Send it."""
    return wire.post("/ciba/bc-authorize", urlencode({"request": request, **beside, **wire.credentials}))


def refusal(reply: SimReply) -> str:
    """Why not."""
    answer = json.loads(reply.body)
    return f"{answer['error']}: {answer['error_description']}"


def test_a_signed_request_asks_like_another(make: MakeWire) -> None:
    """All of its parameters count, details as JSON and the expiry as a number too; it is polled as ever."""
    wire = tenant(make)
    reply = ask(wire, signed(claims(requested_expiry=77)))
    assert (reply.status, json.loads(reply.body)["expires_in"]) == (200, 77)
    (order,) = wire.idura.ledger.orders
    assert (order.person, order.eid) == ("209801011231", "se")
    assert wire.poll(json.loads(reply.body)["auth_req_id"], at=3)["error"] == "authorization_pending"


def test_an_encrypted_one_is_opened(make: MakeWire) -> None:
    """The key for it is in the set, beside those of ID tokens."""
    wire = tenant(make, encrypted=True)
    (published,) = [key for key in wire.get("/.well-known/jwks")["keys"] if key["use"] == "enc"]
    assert "d" not in published
    assert published["n"] == ENCRYPTION_KEY.as_dict(private=False)["n"]
    assert ask(wire, encrypted(signed(claims()))).status == 200


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        *(({name: ...}, "lacks a claim") for name in ("iss", "aud", "exp", "nbf", "iat", "jti")),
        ({"iss": "urn:other"}, "iss must be"),
        ({"aud": [ISSUER]}, "iss must be"),
        ({"aud": f"{ISSUER}/ciba/bc-authorize"}, "iss must be"),
        ({"exp": NOW - 100, "nbf": NOW - 160}, "expired"),
        ({"nbf": NOW + 100, "exp": NOW + 160}, "future"),
        ({"iat": NOW + 100}, "future"),
        ({"exp": NOW + 3601}, "too long"),
        ({"exp": "soon"}, "no number"),
        ({"jti": 7}, "used before"),
        ({"binding_message": ["x"]}, "wrong type"),
        ({"requested_expiry": True}, "wrong type"),
        ({"scope": ""}, "wrong type"),
    ],
)
def test_a_claim_that_is_missing_or_wrong_is_refused(make: MakeWire, changes: dict[str, Any], why: str) -> None:
    """Nobody is asked."""
    wire = tenant(make)
    found = refusal(ask(wire, signed(claims(**changes))))
    assert found.startswith("invalid_request: ")
    assert why in found
    assert wire.idura.ledger.orders == []


@pytest.mark.parametrize(
    ("request_object", "why"),
    [
        ("no token", "signature"),
        ("é.é.é", "signature"),
        (signed(claims(), OTHER), "signature"),
        (signed(claims(), OKPKey.generate_key("Ed25519"), "EdDSA"), "signature"),
        (signed(claims()).rpartition(".")[0] + ".", "signature"),
        (jwt.encode({"alg": "none"}, claims(), KEY, registry=Signatures(["none"])), "signature"),
        ("a.b.c.d.e", "decrypted"),
        (encrypted(signed(claims()), RSAKey.generate_key(2048)), "decrypted"),
        (encrypted(signed(claims(), OTHER)), "signature"),
    ],
)
def test_a_request_that_another_has_made_is_refused(make: MakeWire, request_object: str, why: str) -> None:
    """Another key, another algorithm, no signature, another tenant's encryption."""
    assert why in refusal(ask(tenant(make), request_object))


def test_a_replay_is_refused_and_a_refused_request_is_burnt(make: MakeWire) -> None:
    """The same object twice, and one that could not be served the first time."""
    wire = tenant(make)
    assert ask(wire, signed(claims())).status == 200
    assert "used before" in refusal(ask(wire, signed(claims())))
    assert "scope" in refusal(ask(wire, signed(claims(jti="two", scope=...))))
    assert "used before" in refusal(ask(wire, signed(claims(jti="two"))))


def test_nothing_may_stand_beside_it(make: MakeWire) -> None:
    """Not even the same value once more; client authentication alone."""
    wire = tenant(make)
    assert "outside" in refusal(ask(wire, signed(claims()), scope="openid"))
    assert "outside" in refusal(ask(wire, signed(claims()), requested_expiry="5"))


def test_who_must_sign_must_and_who_may_not_may_not(make: MakeWire) -> None:
    """As registered; likewise with encryption."""
    assert "must sign" in refusal(tenant(make).start())
    assert "must encrypt" in refusal(ask(tenant(make, encrypted=True), signed(claims())))
    assert "no signed requests" in refusal(ask(make(), signed(claims())))
    without_key = make()
    without_key.idura.register_client(CLIENT, secret=SECRET, request_alg="ES256", request_jwks=JWKS)
    assert "opens nothing" in refusal(ask(without_key, encrypted(signed(claims()))))
    without_key.idura.register_client(CLIENT, secret=SECRET)
    assert without_key.start().status == 200  # registered anew, without the algorithm


def test_the_document_lists_what_clients_have_registered(make: MakeWire) -> None:
    """Without any client that signs it says that none can (CIBA Core section 4)."""
    name = "backchannel_authentication_request_signing_alg_values_supported"
    assert tenant(make).get("/.well-known/openid-configuration")[name] == ["ES256"]
    assert name not in make().get("/.well-known/openid-configuration")


def test_a_fault_for_one_person_strikes_their_signed_request(make: MakeWire) -> None:
    """Encrypted or not; what cannot be read is nobody's."""
    wire, seen = tenant(make), []
    wire.idura.faults.append(lambda arrival: seen.append(arrival.person))  # type: ignore[func-returns-value]
    ask(wire, signed(claims()))
    ask(wire, encrypted(signed(claims(jti="two", login_hint="sub:ssn:209602294564"))))
    for junk in ("no token", "a.b.c", signed(claims(scope=7)), "a.b.c.d.e"):
        ask(wire, junk)
    wire.start()
    assert seen == ["209801011231", "209602294564", None, None, None, None, "209801011231"]
