"""Tests of how the client proves who it is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import attrs
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact

from idura_ciba.credentials.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    Credentials,
    PrivateKeyJwt,
)
from idura_ciba.errors import UsageError
from idura_ciba.protocol.requests import build_token_request, encode_form

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "private-key-jwt.json").read_text("utf-8"))
ISSUER = "https://example-tenant.idura.broker"
ENDPOINT = f"{ISSUER}/oauth2/token"
CLIENT_ID = "urn:my:application:identifier:0001"
SECRET = "0123456789abcdef" * 4
NOW = 1767225600.9
#: A fresh one in each run; what it signs is verified with it.
EC_KEY = ECKey.generate_key("P-256")
ALGORITHMS: dict[str, Callable[[], RSAKey | ECKey | OKPKey]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), lambda: RSAKey.generate_key(2048)),
    "ES256": lambda: ECKey.generate_key("P-256"),
    "ES384": lambda: ECKey.generate_key("P-384"),
    "ES512": lambda: ECKey.generate_key("P-521"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
}


@pytest.fixture(scope="session", name="keys")
def _keys() -> dict[str, RSAKey | ECKey | OKPKey]:
    """One fresh key for each algorithm."""
    return {alg: generate() for alg, generate in ALGORITHMS.items()}


def credentials(auth: ClientAuth, jti: str = "one") -> Credentials:
    """The credentials of one request."""
    return auth.credentials(issuer=ISSUER, endpoint=ENDPOINT, now=NOW, jti=jti)


def decoded(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unverified."""
    header, claims, _ = assertion.split(".")
    return json.loads(unpadded(header)), json.loads(unpadded(claims))


def unpadded(text: str) -> bytes:
    """Decode base64url without its padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def assertion_of(auth: ClientAuth, jti: str = "one") -> str:
    """The assertion of one request."""
    return credentials(auth, jti).parameters["client_assertion"]


def refused(make: Callable[[], object]) -> UsageError:
    """The error that making something raises."""
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value


# --- private_key_jwt --------------------------------------------------------------------------------------------------


def test_the_worked_example_comes_out_byte_by_byte() -> None:
    """Header, claims, their order, the default `kid` and the signature are those of the worked example."""
    auth = PrivateKeyJwt(CLIENT_ID, VECTOR["private_jwk_test_only"], lifetime=300, send_client_id=False)
    made = auth.credentials(issuer=ISSUER, endpoint=ENDPOINT, now=NOW, jti=VECTOR["payload"]["jti"])
    assert made.parameters == {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": VECTOR["assertion"],
    }
    assert made.headers == {}


def test_the_body_of_a_poll_is_that_of_the_worked_example() -> None:
    """The whole form, in its order, is the documented one."""
    auth = PrivateKeyJwt(CLIENT_ID, VECTOR["private_jwk_test_only"], lifetime=300, send_client_id=False)
    made = auth.credentials(issuer=ISSUER, endpoint=ENDPOINT, now=NOW, jti=VECTOR["payload"]["jti"])
    form = build_token_request("3857f8ff-21b9-48ae-a732-a3bd8128a7ae") | dict(made.parameters)
    assert encode_form(form).decode() == (
        "auth_req_id=3857f8ff-21b9-48ae-a732-a3bd8128a7ae&grant_type=urn%3Aopenid%3Aparams%3Agrant-type%3Aciba"
        "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        f"&client_assertion={VECTOR['assertion']}"
    )


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_assertion_verifies_with_the_registered_key(keys: dict[str, Any], alg: str) -> None:
    """What `public_jwks` gives out verifies what is signed, found by its `kid`, and no algorithm warns."""
    auth = PrivateKeyJwt(CLIENT_ID, keys[alg], alg=alg)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assertion = assertion_of(auth)
        header, claims = decoded(assertion)
    assert header == {"alg": alg, "kid": keys[alg].thumbprint(), "typ": "JWT"}
    assert claims == {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": ISSUER,
        "jti": "one",
        "iat": 1767225600,
        "exp": 1767225660,
    }
    registered: Any = json.loads(json.dumps(auth.public_jwks()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joserfc warns of EdDSA, here where this test verifies
        registry = JWSRegistry(algorithms=[alg])
        deserialize_compact(assertion, KeySet.import_key_set(registered), registry=registry)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_registered_key_set_is_public(keys: dict[str, Any], alg: str) -> None:
    """It holds one key with the members that verify, and what it is for."""
    jwks = PrivateKeyJwt(CLIENT_ID, keys[alg], alg=alg, kid="2026-01").public_jwks()
    (jwk,) = jwks["keys"]
    public = {"n", "e"} if keys[alg].key_type == "RSA" else {"crv", "x", "y"}
    if keys[alg].key_type == "OKP":
        public = {"crv", "x"}
    assert set(jwk) == {"kty", "use", "alg", "kid"} | public
    assert (jwk["use"], jwk["alg"], jwk["kid"]) == ("sig", alg, "2026-01")


@given(jti=st.text(st.characters(categories=["L", "N", "P", "S"])), now=st.floats(0, 4e9))
def test_any_jti_and_any_second_make_an_honest_assertion(jti: str, now: float) -> None:
    """Times are whole seconds of the clock that was read, and the `jti` is the one that was given."""
    auth = PrivateKeyJwt(CLIENT_ID, EC_KEY, lifetime=90.9)
    made = auth.credentials(issuer=ISSUER, endpoint=ENDPOINT, now=now, jti=jti)
    content = deserialize_compact(made.parameters["client_assertion"], EC_KEY, algorithms=["ES256"]).payload
    claims = json.loads(content or b"")
    assert claims["jti"] == jti
    assert isinstance(claims["iat"], int)
    assert claims["iat"] <= now < claims["iat"] + 1
    assert claims["exp"] - claims["iat"] == 90


def test_a_thousand_assertions_have_a_thousand_jti() -> None:
    """Nothing of one assertion is found in the next one, and what a caller does to one does not matter to others."""
    auth = PrivateKeyJwt(CLIENT_ID, EC_KEY)
    seen = set()
    for _ in range(1000):
        made = credentials(auth, jti=str(uuid.uuid4()))
        parameters: Any = made.parameters
        seen.add(decoded(parameters["client_assertion"])[1]["jti"])
        parameters["client_assertion"] = parameters["jti"] = "stale"
    assert len(seen) == 1000
    assert "jti" not in credentials(auth).parameters


@pytest.mark.parametrize(
    ("audience", "aud"),
    [("issuer", ISSUER), ("endpoint", ENDPOINT), ("https://idp.example", "https://idp.example")],
)
@pytest.mark.parametrize(
    "make", [lambda **o: PrivateKeyJwt(CLIENT_ID, EC_KEY, **o), lambda **o: ClientSecretJwt(CLIENT_ID, SECRET, **o)]
)
def test_the_audience_is_one_text_of_the_callers_choice(
    make: Callable[..., ClientAuth], audience: str, aud: str
) -> None:
    """Servers differ in what they take: issuer, the URL called, or a text of their own."""
    assert decoded(assertion_of(make(audience=audience)))[1]["aud"] == aud


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, {"alg": "ES256", "kid": EC_KEY.thumbprint(), "typ": "JWT"}),
        ({"typ": None}, {"alg": "ES256", "kid": EC_KEY.thumbprint()}),
        (
            {"typ": "client-authentication+jwt", "kid": "a"},
            {"alg": "ES256", "kid": "a", "typ": "client-authentication+jwt"},
        ),
        ({"send_kid": False}, {"alg": "ES256", "typ": "JWT"}),
        ({"send_kid": False, "typ": None}, {"alg": "ES256"}),
    ],
)
def test_the_header_is_of_the_callers_choice(options: dict[str, Any], header: dict[str, str]) -> None:
    """`typ` and `kid` can be set and left out, and what remains keeps its order."""
    auth = PrivateKeyJwt(CLIENT_ID, EC_KEY, **options)
    assert list(decoded(assertion_of(auth))[0].items()) == list(header.items())
    assert auth.public_jwks()["keys"][0]["kid"] == options.get("kid", EC_KEY.thumbprint())


def test_a_jwk_keeps_its_own_kid() -> None:
    """The provider knows a key by the name under which it was registered."""
    jwk = {**EC_KEY.as_dict(private=True), "kid": "2026-01"}
    assert PrivateKeyJwt(CLIENT_ID, jwk).kid == "2026-01"
    assert PrivateKeyJwt(CLIENT_ID, jwk, kid="other").kid == "other"


@pytest.mark.parametrize("send", [True, False])
def test_the_client_id_may_stand_beside_the_assertion(send: bool) -> None:
    """Some servers need it there, so it is sent by default."""
    auth = PrivateKeyJwt(CLIENT_ID, EC_KEY, send_client_id=send)
    assert credentials(auth).parameters.get("client_id") == (CLIENT_ID if send else None)
    assert "client_id" in credentials(PrivateKeyJwt(CLIENT_ID, EC_KEY)).parameters


def test_only_rsa_has_threads(keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is worth its price for some hundreds of microseconds and not for less."""
    auths = {alg: PrivateKeyJwt(CLIENT_ID, key, alg=alg) for alg, key in keys.items()}
    assert {alg for alg, auth in auths.items() if auth.signing_threads} == {
        alg for alg in ALGORITHMS if alg[:2] in {"RS", "PS"}
    }
    assert not any(
        auth.signing_threads
        for auth in (
            ClientSecretBasic(CLIENT_ID, SECRET),
            ClientSecretPost(CLIENT_ID, SECRET),
            ClientSecretJwt(CLIENT_ID, SECRET),
        )
    )
    # A process may be bound to fewer cores than there are; not every system can tell.
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 2, 5}, raising=False)
    assert auths["RS256"].signing_threads == 3
    monkeypatch.delattr("os.sched_getaffinity")
    for cores, threads in ((8, 8), (None, 1)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert auths["RS256"].signing_threads == threads


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"alg": "RS256"}, "alg_mismatch"),
        ({"alg": "none"}, "alg_unsupported"),
        ({"alg": "HS256"}, "alg_unsupported"),
        ({"lifetime": 0.5}, "lifetime"),
        ({"lifetime": 0}, "lifetime"),
        ({"lifetime": -60}, "lifetime"),
        ({"lifetime": float("nan")}, "lifetime"),
        ({"lifetime": float("inf")}, "lifetime"),
        ({"audience": ""}, "audience"),
        ({"kid": b"1"}, "header"),
        ({"typ": 1}, "header"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], code: str) -> None:
    """What the provider would refuse in the middle of a login is refused when the client is set up."""
    assert refused(lambda: PrivateKeyJwt(CLIENT_ID, EC_KEY, **options)).code == code


# --- where keys come from ---------------------------------------------------------------------------------------------


@pytest.fixture(name="pem")
def _pem() -> str:
    """A key as PEM text."""
    native = EC_KEY.private_key
    assert native is not None
    return native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_key_comes_from_a_file(tmp_path: Path, pem: str, encoding: str) -> None:
    """PEM and JWK are told apart, options are passed on, and the mark that some editors leave does not matter."""
    (tmp_path / "key.pem").write_text(pem, encoding)
    (tmp_path / "key.json").write_text(json.dumps(EC_KEY.as_dict(private=True)), encoding)
    assert PrivateKeyJwt.from_file(CLIENT_ID, tmp_path / "key.pem").kid == EC_KEY.thumbprint()
    auth = PrivateKeyJwt.from_file(CLIENT_ID, str(tmp_path / "key.json"), kid="a", lifetime=300)
    assert (auth.kid, auth.lifetime) == ("a", 300)


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    """Missing, a directory, a path that cannot be, or no key in it."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path, code in (
        (tmp_path / "none", "key_file"),
        (tmp_path, "key_file"),
        ("\x00", "key_file"),
        (tmp_path / "binary", "key_unreadable"),
    ):
        error = refused(lambda path=path: PrivateKeyJwt.from_file(CLIENT_ID, path))  # type: ignore[misc]
        assert error.code == code
        assert error.__context__ is None


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, pem: str) -> None:
    r"""PEM with line breaks, PEM with \n for them as secret stores write it, and a JWK all do."""
    for content in (pem, pem.replace("\n", "\\n"), json.dumps(EC_KEY.as_dict(private=True))):
        monkeypatch.setenv("ACME_KEY", content)
        assert PrivateKeyJwt.from_env(CLIENT_ID, "ACME_KEY", send_kid=True).kid == EC_KEY.thumbprint()


def test_a_variable_without_a_key_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, empty, or something else in it; the name is in the error and the content is not."""
    monkeypatch.delenv("ACME_KEY", raising=False)
    missing = refused(lambda: PrivateKeyJwt.from_env(CLIENT_ID, "ACME_KEY"))
    assert missing.code == "key_variable"
    assert "ACME_KEY" in str(missing)
    monkeypatch.setenv("ACME_KEY", "")
    assert refused(lambda: PrivateKeyJwt.from_env(CLIENT_ID, "ACME_KEY")).code == "key_variable"
    monkeypatch.setenv("ACME_KEY", "hunter2")
    wrong = refused(lambda: PrivateKeyJwt.from_env(CLIENT_ID, "ACME_KEY"))
    assert wrong.code == "key_unreadable"
    assert "hunter2" not in shown(wrong)


# --- client_secret_* --------------------------------------------------------------------------------------------------


def test_basic_encodes_both_parts_as_a_form_does() -> None:
    """The worked example comes out byte by byte: colons in the id and anything in the secret survive."""
    made = credentials(ClientSecretBasic("urn:my:app", "a b+c/d=e:f%"))
    assert made.headers == {"Authorization": "Basic dXJuJTNBbXklM0FhcHA6YStiJTJCYyUyRmQlM0RlJTNBZiUyNQ=="}
    assert made.parameters == {}


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(client_id=PRINTABLE, secret=PRINTABLE)
def test_basic_can_be_read_back(client_id: str, secret: str) -> None:
    """Whatever the characters, a server that follows RFC 6749 finds id and secret as they were."""
    header = credentials(ClientSecretBasic(client_id, secret)).headers["Authorization"]
    pair = base64.b64decode(header.removeprefix("Basic "), validate=True).decode("ascii")
    assert [unquote_plus(part) for part in pair.split(":")] == [client_id, secret]


def test_basic_can_be_sent_raw() -> None:
    """Some servers decode nothing; then the id must do without a colon."""
    header = credentials(ClientSecretBasic("app", "a b:c%å", form_encode=False)).headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "app:a b:c%å"
    assert refused(lambda: ClientSecretBasic("urn:app", SECRET, form_encode=False)).code == "client_id_colon"


def test_post_puts_both_into_the_form() -> None:
    """As they are; the form encodes them."""
    made = credentials(ClientSecretPost("urn:my:app", "a b+c"))
    assert made.parameters == {"client_id": "urn:my:app", "client_secret": "a b+c"}
    assert made.headers == {}
    assert encode_form(made.parameters) == b"client_id=urn%3Amy%3Aapp&client_secret=a+b%2Bc"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_secret_can_sign_an_assertion(alg: Any) -> None:
    """The provider verifies it with the bytes of the secret, and the header names no key."""
    assertion = assertion_of(ClientSecretJwt(CLIENT_ID, SECRET, alg=alg))
    header, claims = decoded(assertion)
    assert header == {"alg": alg, "typ": "JWT"}
    assert claims["sub"] == claims["iss"] == CLIENT_ID
    deserialize_compact(assertion, OctKey.import_key(SECRET), registry=JWSRegistry(algorithms=[alg]))


@pytest.mark.parametrize(("alg", "needed"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_short_secret_is_refused_for_signing(alg: Any, needed: int) -> None:
    """One byte less than the hash has is refused; letters count by their bytes."""
    assert ClientSecretJwt(CLIENT_ID, "x" * needed, alg=alg).alg == alg
    assert ClientSecretJwt(CLIENT_ID, "å" * (needed // 2), alg=alg).alg == alg
    assert refused(lambda: ClientSecretJwt(CLIENT_ID, "x" * (needed - 1), alg=alg)).code == "secret_too_short"


def test_a_secret_may_be_any_text() -> None:
    """A secret that looks like a public key is still a secret."""
    secret = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA=="
    assert credentials(ClientSecretJwt(CLIENT_ID, secret)).parameters["client_assertion"]


@pytest.mark.parametrize("alg", ["RS256", "none", "hs256", ""])
def test_a_secret_signs_with_an_hmac_only(alg: Any) -> None:
    """Other algorithms are refused."""
    assert refused(lambda: ClientSecretJwt(CLIENT_ID, SECRET, alg=alg)).code == "alg_unsupported"


# --- what holds for all -----------------------------------------------------------------------------------------------

METHODS: list[Callable[[str, Any], ClientAuth]] = [
    ClientSecretBasic,
    ClientSecretPost,
    ClientSecretJwt,
    lambda client_id, _: PrivateKeyJwt(client_id, EC_KEY),
]


@pytest.mark.parametrize("make", METHODS)
@pytest.mark.parametrize("client_id", ["", None, "urn:my:app\n", "\ud800"])
def test_a_client_id_that_cannot_be_is_refused(make: Callable[[Any, Any], ClientAuth], client_id: object) -> None:
    """Empty, as an unset variable reads, or with what copying leaves behind."""
    assert refused(lambda: make(client_id, SECRET)).code == "client_id"


@pytest.mark.parametrize("make", METHODS[:3])
@pytest.mark.parametrize("secret", ["", None, f"{SECRET}\n", f"{SECRET}\ud800", 12345])
def test_a_secret_that_cannot_be_is_refused(make: Callable[[str, Any], ClientAuth], secret: object) -> None:
    """None does not become the text None, and a line break from a file does not become a puzzle at the provider."""
    error = refused(lambda: make(CLIENT_ID, secret))
    assert error.code == "client_secret"
    assert SECRET not in shown(error)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ClientSecretBasic("", SECRET),
        lambda: ClientSecretBasic("urn:app", SECRET, form_encode=False),
        lambda: ClientSecretPost("", SECRET),
        lambda: ClientSecretJwt("", SECRET),
        lambda: ClientSecretJwt(CLIENT_ID, SECRET, alg="none"),  # type: ignore[arg-type]
        lambda: ClientSecretJwt(CLIENT_ID, SECRET, lifetime=0),
        lambda: PrivateKeyJwt("", EC_KEY),
        lambda: PrivateKeyJwt(CLIENT_ID, EC_KEY.as_dict(private=True), lifetime=0),
        lambda: PrivateKeyJwt(CLIENT_ID, EC_KEY, alg="RS256"),
    ],
)
def test_a_refusal_holds_nothing_secret(make: Callable[[], object]) -> None:
    """Not in its text, not in a cause, not in the variables of this package's frames."""
    error = refused(make)
    assert error.__context__ is None
    text = shown(error)
    assert SECRET not in text
    assert not [secret for secret in private_texts(EC_KEY) if secret in text]


@pytest.mark.parametrize("make", METHODS)
def test_a_repr_shows_what_is_public(make: Callable[[str, Any], ClientAuth]) -> None:
    """Id, algorithm and key id, and no secret."""
    auth = make(CLIENT_ID, SECRET)
    text = repr(auth)
    assert text.startswith(f"{type(auth).__name__}(client_id='{CLIENT_ID}'")
    assert SECRET not in text
    assert not [secret for secret in private_texts(EC_KEY) if secret in text]
    assert ("alg=" in text) == hasattr(auth, "alg")


def test_the_repr_of_private_key_jwt_names_the_key() -> None:
    """Enough to see in a log which key is in use."""
    assert repr(PrivateKeyJwt(CLIENT_ID, EC_KEY, kid="2026-01")) == (
        f"PrivateKeyJwt(client_id='{CLIENT_ID}', alg='ES256', kid='2026-01')"
    )


@pytest.mark.parametrize("make", METHODS)
def test_credentials_do_not_show_themselves(make: Callable[[str, Any], ClientAuth]) -> None:
    """Neither an assertion nor a header is in the repr."""
    made = credentials(make(CLIENT_ID, SECRET))
    assert repr(made) == "Credentials()"


@pytest.mark.parametrize("make", METHODS)
def test_nothing_of_a_method_can_be_changed(make: Callable[[str, Any], ClientAuth]) -> None:
    """One object serves every request of a client, from several threads."""
    auth: Any = make(CLIENT_ID, SECRET)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        auth.client_id = "another"


def test_derived_keys_are_hkdf_of_the_secret() -> None:
    """RFC 5869 with SHA-256, one block: computed here by hand."""
    prk = hmac.digest(b"idura_ciba", SECRET.encode(), hashlib.sha256)
    expected = hmac.digest(prk, b"resume\x01", hashlib.sha256)
    for auth in (
        ClientSecretBasic(CLIENT_ID, SECRET),
        ClientSecretPost(CLIENT_ID, SECRET),
        ClientSecretJwt(CLIENT_ID, SECRET),
    ):
        assert auth.derive_key(b"resume") == expected


def test_derived_keys_do_not_change_with_a_release() -> None:
    """What one process sealed, another one with a newer release must open."""
    auth = PrivateKeyJwt(CLIENT_ID, VECTOR["private_jwk_test_only"])
    assert auth.derive_key(b"resume").hex() == ("f7659fdcb22c8aaecaedbf27c16cd1c83fe55627d003c61a27403084be485a5b")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_derived_keys_belong_to_key_and_label(keys: dict[str, Any], alg: str) -> None:
    """The same in each process that holds the key, whatever its options; another one for another label or key."""
    derived = PrivateKeyJwt(CLIENT_ID, keys[alg], alg=alg).derive_key(b"a")
    again = PrivateKeyJwt("another", json.dumps(keys[alg].as_dict(private=True)), send_kid=False, lifetime=5)
    assert len(derived) == 32
    assert again.derive_key(b"a") == derived
    assert again.derive_key(b"b") != derived
    assert PrivateKeyJwt(CLIENT_ID, ALGORITHMS[alg]()).derive_key(b"a") != derived


def shown(error: BaseException) -> str:
    """All that a crash report could show of an error, save the frames of this file."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in told.stack if not frame.filename.endswith("test_client_auth.py")]
    return f"{error} {error!r} {vars(error)} {[frame.locals for frame in frames]}"


def private_texts(key: ECKey) -> list[str]:
    """What must never be shown: the private number in the ways that programs write it."""
    text = str(key.as_dict(private=True)["d"])
    number = int.from_bytes(unpadded(text))
    return [text, str(number), f"{number:x}"]
