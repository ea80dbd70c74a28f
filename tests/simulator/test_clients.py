"""Tests of client authentication at the simulator."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from idura_ciba.simulator.clients import KEY_ALGORITHMS, ClientRegistry, Signatures
from idura_ciba.simulator.ledger import Totals
from idura_ciba.simulator.messages import Refusal

NOW = 1_767_225_600.0
ISSUER = "https://simulator.idura.broker"
CLIENT = "urn:my:application:identifier:0001"
SECRET = "a b+c/d=e:f%"

Sign = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def key() -> ECKey:
    """The client's key."""
    return ECKey.generate_key("P-256")


@pytest.fixture
def registry(key: ECKey) -> ClientRegistry:
    """One client with a key and one with a secret."""
    clients = ClientRegistry(Totals(), tolerance=15)
    clients.register(CLIENT, jwks={"keys": [key.as_dict(private=False)]}, secret=None)
    clients.register("urn:secretive", jwks=None, secret=SECRET)
    return clients


def authenticate(
    clients: ClientRegistry, form: dict[str, str], headers: dict[str, str] | None = None, now: float = NOW
) -> str:
    """Ask who sends this."""
    return clients.authenticate(headers or {}, form, audiences={ISSUER}, now=now)


def refused(
    clients: ClientRegistry, form: dict[str, str], headers: dict[str, str] | None = None, now: float = NOW
) -> Refusal:
    """Ask who sends this, and get a refusal."""
    with pytest.raises(Refusal) as refusal:
        authenticate(clients, form, headers, now)
    return refusal.value


RSA_KEY = RSAKey.generate_key(2048)


def basic(text: str) -> dict[str, str]:
    """An Authorization header over a text."""
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        *((alg, RSA_KEY) for alg in KEY_ALGORITHMS if alg[:2] in {"RS", "PS"}),
        ("ES256", ECKey.generate_key("P-256")),
        ("ES384", ECKey.generate_key("P-384")),
        ("ES512", ECKey.generate_key("P-521")),
        ("Ed25519", OKPKey.generate_key("Ed25519")),
    ],
    ids=[alg for alg in KEY_ALGORITHMS if alg != "EdDSA"],
)
def test_an_assertion_of_each_algorithm_is_accepted(alg: str, key: Key, assertion: Sign) -> None:
    """A client proves itself with its private key."""
    clients = ClientRegistry(Totals(), tolerance=15)
    clients.register(CLIENT, jwks={"keys": [key.as_dict(private=False)]}, secret=None)
    assert authenticate(clients, assertion(key, alg)) == CLIENT
    assert authenticate(clients, {**assertion(key, alg), "client_id": CLIENT}) == CLIENT


def test_eddsa_by_its_old_name_is_accepted_without_a_warning() -> None:
    """Servers still speak what the library warns of."""
    key = OKPKey.generate_key("Ed25519")
    clients = ClientRegistry(Totals(), tolerance=15)
    clients.register(CLIENT, jwks={"keys": [key.as_dict(private=False)]}, secret=None)
    claims = {"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "jti": "1", "exp": NOW + 60}
    token = jwt.encode({"alg": "EdDSA"}, claims, key, registry=Signatures(["EdDSA"]))
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert authenticate(clients, {"client_assertion_type": kind, "client_assertion": token}) == CLIENT


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_secret_can_sign(alg: str, registry: ClientRegistry, assertion: Sign) -> None:
    """`client_secret_jwt` with the bytes of the secret, short ones too."""
    form = assertion(OctKey(SECRET.encode(), SECRET), alg, iss="urn:secretive", sub="urn:secretive")
    assert authenticate(registry, form) == "urn:secretive"


def test_a_key_id_picks_the_key(assertion: Sign) -> None:
    """With two keys the assertion must say which one; with one it may keep silent."""
    one, two = ECKey.generate_key("P-256", {"kid": "1"}), ECKey.generate_key("P-256", {"kid": "2"})
    clients = ClientRegistry(Totals(), tolerance=15)
    clients.register(CLIENT, jwks={"keys": [one.as_dict(private=False), two.as_dict(private=False)]}, secret=None)
    assert authenticate(clients, assertion(two, "ES256", header={"kid": "2"})) == CLIENT
    assert refused(clients, assertion(two, "ES256", header={"kid": "1"})).error == "invalid_client"
    assert refused(clients, assertion(two, "ES256")).error == "invalid_client"
    assert refused(clients, assertion(two, "ES256", header={"kid": "3"})).error == "invalid_client"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "urn:other"},
        {"sub": "urn:other"},
        {"iss": "urn:secretive", "sub": "urn:secretive"},
        {"iss": ...},
        {"sub": ...},
        {"sub": ["x"]},
        {"aud": ISSUER + "/"},
        {"aud": ISSUER + "/oauth2/token"},
        {"aud": [ISSUER]},
        {"aud": ...},
        {"exp": ...},
        {"exp": int(NOW) - 15},
        {"exp": str(int(NOW) + 60)},
        {"exp": True},
        {"exp": int(NOW) + 316},
        {"exp": int(NOW) + 316, "iat": ...},
        {"iat": int(NOW) + 16},
        {"nbf": int(NOW) + 16},
        {"iat": int(NOW) - 300, "exp": int(NOW) + 60},
        {"jti": ...},
        {"jti": ""},
        {"jti": 7},
    ],
    ids=str,
)
def test_an_assertion_with_a_wrong_claim_is_refused(
    changes: dict[str, Any], registry: ClientRegistry, key: ECKey, assertion: Sign
) -> None:
    """Every claim is checked, and every failure is the same 401."""
    refusal = refused(registry, assertion(key, "ES256", **changes))
    assert (refusal.error, refusal.status) == ("invalid_client", 401)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(NOW) - 14, "iat": int(NOW) - 60},
        {"exp": int(NOW) + 315},
        {"iat": int(NOW) + 15},
        {"iat": ..., "exp": NOW + 0.5},
        {"nbf": int(NOW)},
    ],
    ids=str,
)
def test_a_clock_may_be_a_little_off(
    changes: dict[str, Any], registry: ClientRegistry, key: ECKey, assertion: Sign
) -> None:
    """Up to the tolerance, either way."""
    assert authenticate(registry, assertion(key, "ES256", **changes)) == CLIENT


def test_an_assertion_is_taken_once(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """The same one is refused for as long as it could live, and counted."""
    form = assertion(key, "ES256")
    assert authenticate(registry, form) == CLIENT
    assert refused(registry, form).description == "the assertion was used before"
    assert refused(registry, form, now=NOW + 300).error == "invalid_client"
    assert registry._totals == Totals(rejected_clients=2, replayed_jti=2)


def test_a_replay_is_noticed_across_generations(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """The memory of assertions turns over without forgetting one that still lives."""
    early = assertion(key, "ES256", iat=NOW + 320, exp=NOW + 620)
    assert authenticate(registry, assertion(key, "ES256")) == CLIENT
    assert authenticate(registry, early, now=NOW + 320) == CLIENT
    assert authenticate(registry, assertion(key, "ES256", iat=NOW + 400, exp=NOW + 600), now=NOW + 400) == CLIENT
    assert refused(registry, early, now=NOW + 600).description == "the assertion was used before"


def test_an_id_is_taken_once_for_each_client(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """Two clients may use the same `jti`."""
    registry.register("urn:other", jwks={"keys": [key.as_dict(private=False)]}, secret=None)
    assert authenticate(registry, assertion(key, "ES256", jti="same")) == CLIENT
    assert authenticate(registry, assertion(key, "ES256", jti="same", iss="urn:other", sub="urn:other")) == "urn:other"


def test_a_forged_assertion_burns_nothing(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """Only a proven assertion uses up its id."""
    forged = assertion(ECKey.generate_key("P-256"), "ES256", jti="mine")
    assert refused(registry, forged).description == "the signature of the assertion is wrong"
    assert authenticate(registry, assertion(key, "ES256", jti="mine")) == CLIENT


def test_keys_and_secrets_do_not_mix(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """A client with keys cannot sign with a secret, nor the other way round."""
    hmac = assertion(OctKey(b"guess-guess-guess", "x"), "HS256")
    signed = assertion(key, "ES256", iss="urn:secretive", sub="urn:secretive")
    assert refused(registry, hmac).error == "invalid_client"
    assert refused(registry, signed).error == "invalid_client"
    assert refused(registry, {"client_id": CLIENT, "client_secret": "x"}).error == "invalid_client"


def _unsigned(header: object, claims: object) -> str:
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage",
        "a.b.c",
        "å.b.c",
        _unsigned({"alg": "none"}, {"iss": CLIENT, "sub": CLIENT}),
        _unsigned({"alg": "none"}, [CLIENT]),
        _unsigned(["alg"], {"sub": CLIENT}),
        _unsigned({"alg": ["ES256"]}, {"iss": CLIENT, "sub": CLIENT}),
        _unsigned({"alg": "ES256", "crit": 1}, {"iss": CLIENT, "sub": CLIENT}),
    ],
)
def test_a_hostile_assertion_is_an_invalid_client(token: str, registry: ClientRegistry) -> None:
    """Whatever a token holds, the answer is the same."""
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    form = {"client_assertion_type": kind, "client_assertion": token}
    assert refused(registry, form).error == "invalid_client"


def test_an_assertion_needs_its_type(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """Without the type, or with another one, an assertion is nothing."""
    form = assertion(key, "ES256")
    assert refused(registry, {"client_assertion": form["client_assertion"]}).error == "invalid_client"
    assert refused(registry, {**form, "client_assertion_type": "jwt"}).error == "invalid_client"
    assert refused(registry, {"client_assertion_type": form["client_assertion_type"]}).error == "invalid_client"


def test_the_client_id_beside_an_assertion_must_agree(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """Optional, but not another client's (RFC 7521 section 4.2)."""
    assert refused(registry, {**assertion(key, "ES256"), "client_id": "urn:other"}).error == "invalid_client"


def test_basic_is_form_encoded_first(registry: ClientRegistry) -> None:
    """Each part is form-encoded before the base64, which lets ids have colons (RFC 6749 section 2.3.1)."""
    assert authenticate(registry, {}, basic("urn%3Asecretive:a+b%2Bc%2Fd%3De%3Af%25")) == "urn:secretive"
    assert authenticate(registry, {}, basic("urn%3Asecretive:a%20b%2Bc%2Fd%3De%3Af%25")) == "urn:secretive"


@pytest.mark.parametrize(
    "headers",
    [
        basic("urn:secretive:a+b%2Bc%2Fd%3De%3Af%25"),
        basic("urn%3Asecretive:wrong"),
        basic("urn%3Aother:a+b%2Bc%2Fd%3De%3Af%25"),
        basic("nothing"),
        basic("å:b"),
        basic("a%FF:b"),
        {"authorization": "Basic !!!"},
        {"authorization": "Bearer " + base64.b64encode(b"urn%3Asecretive:x").decode()},
    ],
)
def test_a_bad_basic_header_is_challenged(headers: dict[str, str], registry: ClientRegistry) -> None:
    """The answer names the scheme, because the header was used (RFC 6749 section 5.2)."""
    refusal = refused(registry, {}, headers)
    assert (refusal.error, refusal.status) == ("invalid_client", 401)
    assert refusal.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_secret_in_the_form_is_accepted(registry: ClientRegistry) -> None:
    """`client_secret_post`."""
    assert authenticate(registry, {"client_id": "urn:secretive", "client_secret": SECRET}) == "urn:secretive"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"client_id": "urn:secretive"},
        {"client_secret": SECRET},
        {"client_id": "urn:secretive", "client_secret": "wrong"},
        {"client_id": "urn:secretive", "client_secret": "å"},
        {"client_id": "urn:nobody", "client_secret": SECRET},
    ],
    ids=["nothing", "no secret", "no id", "wrong secret", "not ASCII", "unknown"],
)
def test_whoever_proves_nothing_is_refused(form: dict[str, str], registry: ClientRegistry) -> None:
    """No credentials, wrong ones, or an unknown client."""
    refusal = refused(registry, form)
    assert (refusal.error, refusal.status, dict(refusal.headers)) == ("invalid_client", 401, {})


def test_two_methods_are_an_invalid_request(registry: ClientRegistry, key: ECKey, assertion: Sign) -> None:
    """Any two of the three, even if both are right (RFC 6749 section 2.3)."""
    posted = {"client_id": "urn:secretive", "client_secret": SECRET}
    header = basic("urn%3Asecretive:a+b%2Bc%2Fd%3De%3Af%25")
    for form, headers in (
        (posted, header),
        ({**assertion(key, "ES256"), **posted}, {}),
        (assertion(key, "ES256"), header),
    ):
        refusal = refused(registry, form, headers)
        assert (refusal.error, refusal.status) == ("invalid_request", 400)
    assert registry._totals.rejected_clients == 0


def test_a_client_has_keys_or_a_secret(key: ECKey) -> None:
    """Not both and not neither."""
    clients = ClientRegistry(Totals(), tolerance=15)
    with pytest.raises(ValueError, match="either keys or a secret"):
        clients.register(CLIENT, jwks=None, secret=None)
    with pytest.raises(ValueError, match="either keys or a secret"):
        clients.register(CLIENT, jwks={"keys": [key.as_dict()]}, secret=SECRET)


def test_only_the_allowed_algorithms_are_known() -> None:
    """`none` is not one of them, whoever asks."""
    with pytest.raises(UnsupportedAlgorithmError):
        Signatures(["RS256"]).get_alg("none")
