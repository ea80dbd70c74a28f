"""Tests of reading private keys in all the forms that people keep them in."""

from __future__ import annotations

import base64
import datetime as dt
import json
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from idura_ciba.credentials.client_auth import PrivateKeyJwt
from idura_ciba.credentials.signing_key import ALGORITHMS, SigningKey, read_signing_key
from idura_ciba.errors import UsageError

NativeKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
GENERATORS: dict[str, Callable[[], NativeKey]] = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "private-key-jwt.json").read_text("utf-8"))


@pytest.fixture(scope="session", name="natives")
def _natives() -> dict[str, NativeKey]:
    """One fresh key of each kind that may sign."""
    return {kind: generate() for kind, generate in GENERATORS.items()}


def jose(native: NativeKey) -> RSAKey | ECKey | OKPKey:
    """The same key as an object of joserfc."""
    if isinstance(native, rsa.RSAPrivateKey):
        return RSAKey.import_key(native)
    return ECKey.import_key(native) if isinstance(native, ec.EllipticCurvePrivateKey) else OKPKey.import_key(native)


def pem(native: Any, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
    """The same key as PEM."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    content: bytes = native.private_bytes(Encoding.PEM, form, encryption)
    return content


def read(key: object) -> SigningKey:
    """Read a key that must be readable."""
    loaded = read_signing_key(key)
    assert isinstance(loaded, SigningKey), loaded
    return loaded


FORMS: dict[str, Callable[[NativeKey], object]] = {
    "PEM bytes": pem,
    "PEM text": lambda native: pem(native).decode(),
    "PEM with a text before it": lambda native: b"Bag Attributes\n    friendlyName: key\n" + pem(native),
    "PEM with CRLF": lambda native: pem(native).replace(b"\n", b"\r\n"),
    "JWK": lambda native: jose(native).as_dict(private=True),
    "JWK text": lambda native: "\n " + json.dumps(jose(native).as_dict(private=True)),
    "JWK bytes": lambda native: json.dumps(jose(native).as_dict(private=True)).encode(),
    "joserfc": jose,
    "cryptography": lambda native: native,
}


@pytest.mark.parametrize("kind", ALGORITHMS)
@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_the_same_in_every_form(natives: dict[str, NativeKey], kind: str, form: str) -> None:
    """Kind, public half and the material for derived keys do not depend on how the key was written down."""
    loaded = read(FORMS[form](natives[kind]))
    assert loaded.kind == kind
    assert loaded.key.as_dict(private=False) == jose(natives[kind]).as_dict(private=False)
    assert loaded.material == read(natives[kind]).material
    assert (loaded.kid, loaded.alg) == (None, None)


def test_the_older_pem_forms_are_read(natives: dict[str, NativeKey]) -> None:
    """What openssl wrote for years begins with BEGIN RSA PRIVATE KEY or BEGIN EC PRIVATE KEY."""
    for kind in ("RSA", "P-256", "P-384", "P-521"):
        text = pem(natives[kind], PrivateFormat.TraditionalOpenSSL)
        assert b"BEGIN PRIVATE KEY" not in text
        assert read(text).material == read(natives[kind]).material


def test_a_jwk_without_primes_is_the_same_key() -> None:
    """The primes are recovered, in whichever order, and the derived material does not change."""
    whole: dict[str, str] = VECTOR["private_jwk_test_only"]
    short = {name: whole[name] for name in ("kty", "n", "e", "d")}
    swapped = {**whole, "p": whole["q"], "q": whole["p"], "dp": whole["dq"], "dq": whole["dp"]}
    p, q = (int.from_bytes(base64.urlsafe_b64decode(whole[name] + "==")) for name in "pq")
    swapped["qi"] = base64.urlsafe_b64encode(pow(p, -1, q).to_bytes(128)).decode().rstrip("=")
    assert read(whole).material == read(short).material == read(swapped).material


def test_the_thumbprint_of_the_specification_is_reproduced() -> None:
    """The key of the worked example has its RFC 7638 thumbprint as `kid`."""
    assert read(VECTOR["private_jwk_test_only"]).key.thumbprint() == VECTOR["kid"]


@pytest.mark.parametrize("form", [dict, json.dumps, RSAKey.import_key])
def test_a_jwk_names_itself_and_its_algorithm(form: Callable[[Any], object]) -> None:
    """`kid` and `alg` of a JWK are what its public half was registered with."""
    loaded = read(form({**VECTOR["private_jwk_test_only"], "kid": "2026-01", "alg": "PS256", "use": "sig"}))
    assert (loaded.kid, loaded.alg) == ("2026-01", "PS256")
    assert loaded.choose_alg(None) == "PS256"
    assert loaded.choose_alg("RS256") == "RS256"


def test_members_of_the_wrong_type_are_not_taken_over() -> None:
    """A `kid` that is a number would break the header of each assertion."""
    loaded = read({**VECTOR["private_jwk_test_only"], "kid": 7, "alg": ["RS256"], "use": None, "key_ops": None})
    assert (loaded.kid, loaded.alg) == (None, None)


@pytest.mark.parametrize(("kind", "names"), ALGORITHMS.items())
def test_each_kind_of_key_has_its_algorithms(natives: dict[str, NativeKey], kind: str, names: tuple[str, ...]) -> None:
    """The first is the default, the others are there for the asking, and those of other kinds are refused."""
    loaded = read(natives[kind])
    assert loaded.choose_alg(None) == names[0]
    for alg in [alg for others in ALGORITHMS.values() for alg in others]:
        if alg in names:
            assert loaded.choose_alg(alg) == alg
        else:
            with pytest.raises(UsageError) as caught:
                loaded.choose_alg(alg)
            assert caught.value.code == "alg_mismatch"


@pytest.mark.parametrize("alg", ["none", "HS256", "RS1024", "ES256K", "rs256", "RS1", "dir"])
def test_other_algorithms_are_refused(natives: dict[str, NativeKey], alg: str) -> None:
    """Whether unknown, too weak or simply not on the list."""
    with pytest.raises(UsageError) as caught:
        read(natives["RSA"]).choose_alg(alg)
    assert caught.value.code == "alg_unsupported"


# --- what is refused --------------------------------------------------------------------------------------------------


def certificate(native: NativeKey) -> bytes:
    """A self-signed certificate."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme")])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, native.public_key(), 1, day, day + dt.timedelta(days=1))
    digest = None if isinstance(native, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(native, digest).public_bytes(Encoding.PEM)


def public_pem(native: NativeKey) -> bytes:
    """The public half as PEM."""
    return native.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def altered(native: NativeKey, **changes: object) -> dict[str, object]:
    """The key as a JWK with other members."""
    return {**jose(native).as_dict(private=True), **changes}


def lacking(native: NativeKey, name: str) -> Mapping[str, object]:
    """The key as a JWK without a member."""
    return {key: value for key, value in jose(native).as_dict(private=True).items() if key != name}


#: For each kind of key: what is made of it, and the code of the refusal.
REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "encrypted PEM": (lambda native: pem(native, password=b"secret"), "key_encrypted"),
    "public PEM": (public_pem, "key_public"),
    "public PEM as text": (lambda native: public_pem(native).decode(), "key_public"),
    "certificate": (certificate, "key_public"),
    "public JWK": (lambda native: jose(native).as_dict(private=False), "key_public"),
    "public object of cryptography": (lambda native: native.public_key(), "key_public"),
    "public object of joserfc": (lambda native: type(jose(native)).import_key(native.public_key()), "key_public"),
    "PEM cut short": (lambda native: pem(native)[:-60], "key_unreadable"),
    "PEM without its middle": (lambda native: pem(native)[:40] + pem(native)[60:], "key_unreadable"),
    "OpenSSH form": (lambda native: pem(native, PrivateFormat.OpenSSH), "key_unreadable"),
    "JWK for encryption": (lambda native: altered(native, use="enc"), "key_use"),
    "JWK for verifying": (lambda native: altered(native, key_ops=["verify"]), "key_use"),
    "JWK with key_ops of the wrong type": (lambda native: altered(native, key_ops=5), "key_unreadable"),
    "JWK with d of the wrong type": (lambda native: altered(native, d=5), "key_unreadable"),
    "JWK with a garbled d": (lambda native: altered(native, d="!"), "key_unreadable"),
    "JWK without kty": (lambda native: lacking(native, "kty"), "key_unreadable"),
    "JWK with a list for kty": (lambda native: altered(native, kty=["RSA"]), "key_unreadable"),
    "JWK of a symmetric key": (lambda native: altered(native, kty="oct", k="c2VjcmV0"), "key_unsupported"),
    "JWK text cut short": (lambda native: json.dumps(altered(native))[:-10], "key_unreadable"),
}


@pytest.mark.parametrize("kind", ALGORITHMS)
@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_sign_is_refused_by_name(natives: dict[str, NativeKey], kind: str, form: str) -> None:
    """Each kind of mistake has its own code, whatever the kind of key."""
    make, code = REFUSED[form]
    refused = read_signing_key(make(natives[kind]))
    assert isinstance(refused, UsageError)
    assert refused.code == code
    assert refused.advice


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: ec.generate_private_key(ec.SECP256K1()), "key_unsupported"),
        (lambda: ECKey.import_key(ec.generate_private_key(ec.SECP256K1())), "key_unsupported"),
        (lambda: pem(ec.generate_private_key(ec.SECP256K1())), "key_unsupported"),
        (ed448.Ed448PrivateKey.generate, "key_unsupported"),
        (lambda: OKPKey.generate_key("X25519"), "key_unsupported"),
        (lambda: pem(x25519.X25519PrivateKey.generate()), "key_unsupported"),
        (lambda: OctKey.generate_key(256), "key_unsupported"),
        (lambda: None, "key_unsupported"),
        (lambda: 5, "key_unsupported"),
        (lambda: "", "key_unreadable"),
        (lambda: "garbage", "key_unreadable"),
        (lambda: "\ud800", "key_unreadable"),
        (lambda: b"\x00\xff", "key_unreadable"),
        (lambda: "{}", "key_unreadable"),
        (lambda: "{" * 100_000, "key_unreadable"),
        (lambda: '{"a":' * 100_000, "key_unreadable"),
        (dict, "key_unreadable"),
        (lambda: {"kty": "RSA", "d": "AQ"}, "key_unreadable"),
        (lambda: {"kty": "EC", "crv": "P-999", "x": "AQ", "y": "AQ", "d": "AQ"}, "key_unreadable"),
        (lambda: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key_unreadable"),
    ],
)
def test_other_things_are_refused_by_name(make: Callable[[], object], code: str) -> None:
    """Keys that cannot sign, and what is no key at all."""
    refused = read_signing_key(make())
    assert isinstance(refused, UsageError)
    assert refused.code == code


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_small_rsa_key_is_refused_without_a_warning() -> None:
    """1024 bits are refused in every form; making such a key is what the filter is for, reading it warns of nothing."""
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    forms = [small, pem(small), jose(small), jose(small).as_dict(private=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused = [read_signing_key(form) for form in forms]
    assert [getattr(error, "code", None) for error in refused] == ["key_too_small"] * 4


def test_a_key_that_contradicts_itself_is_refused(natives: dict[str, NativeKey]) -> None:
    """The private number of one key beside the public one of another signs nothing that anybody can verify."""
    for kind in ("RSA", "P-256", "P-384"):
        other = jose(GENERATORS[kind]()).as_dict(private=True)
        refused = read_signing_key({**other, "d": jose(natives[kind]).as_dict(private=True)["d"]})
        assert isinstance(refused, UsageError)
        assert refused.code == "key_unreadable"


def test_the_public_half_is_computed_not_believed(natives: dict[str, NativeKey]) -> None:
    """An Ed25519 JWK with somebody else's `x` would be registered under a thumbprint that fits nothing."""
    other = jose(GENERATORS["Ed25519"]()).as_dict(private=False)
    loaded = read(altered(natives["Ed25519"], x=other["x"]))
    assert loaded.key.thumbprint() == jose(natives["Ed25519"]).thumbprint()


# --- silence ----------------------------------------------------------------------------------------------------------


def secrets_of(native: NativeKey) -> list[str]:
    """What must never be shown: the private numbers in the ways that programs write them."""
    members = jose(native).as_dict(private=True)
    private = [str(members[name]) for name in ("d", "p", "q", "dp", "dq", "qi") if name in members]
    lines = pem(native).decode().splitlines()[1:-1]
    numbers = read(native).material.split(":")[1:]
    return [*private, *lines, *numbers, *(str(int(number, 16)) for number in numbers)]


@pytest.mark.parametrize("kind", ALGORITHMS)
@pytest.mark.parametrize("form", ["encrypted PEM", "PEM cut short", "JWK for encryption", "JWK with a garbled d"])
def test_a_refusal_holds_nothing_of_the_key(natives: dict[str, NativeKey], kind: str, form: str) -> None:
    """Not in its text, not in a cause, not in the variables of this package's frames."""
    key: Any = REFUSED[form][0](natives[kind])
    with pytest.raises(UsageError) as caught:
        PrivateKeyJwt("urn:my:app", key)
    error = caught.value
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in told.stack if not frame.filename.endswith("test_signing_key.py")]
    shown = f"{error} {error!r} {vars(error)} {[frame.locals for frame in frames]}"
    assert frames
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not [secret for secret in secrets_of(natives[kind]) if secret in shown]


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_loaded_key_does_not_show_itself(natives: dict[str, NativeKey], kind: str) -> None:
    """Its repr names the kind and nothing private."""
    shown = repr(read(natives[kind]))
    assert kind in shown
    assert not [secret for secret in secrets_of(natives[kind]) if secret in shown]


@given(
    key=st.one_of(
        st.text(),
        st.binary(),
        st.dictionaries(st.text(), st.text()),
        st.fixed_dictionaries(
            {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"])},
            optional={
                name: st.one_of(st.none(), st.integers(), st.text("AQgw_-+=!", max_size=44))
                for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y", "use", "key_ops", "oth")
            }
            | {"crv": st.sampled_from(["P-256", "P-384", "P-521", "Ed25519", "X25519", "secp256k1"])},
        ),
    )
)
def test_whatever_comes_is_read_or_refused(key: object) -> None:
    """No input makes the libraries below raise through, and text is read as the object that it spells."""
    outcome = read_signing_key(key)
    assert isinstance(outcome, SigningKey | UsageError)
    if isinstance(key, dict):
        spelled = read_signing_key(json.dumps(key))
        assert getattr(spelled, "code", None) == getattr(outcome, "code", None)
