"""Tests of the client that a deployment describes in environment variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from idura_ciba import (
    CertificateBound,
    CibaClient,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    DPoP,
    FairScheduler,
    PrivateKeyJwt,
    SelfSignedTlsClientAuth,
    TlsClientAuth,
    UsageError,
)
from idura_ciba.cli.keys import generate_key
from idura_ciba.credentials.environment import from_environment, options_from
from tests.certificates import issue

SECRET = "a secret of the tests, long enough for HS256"
COMMON = {"IDURA_CIBA_ISSUER": "https://acme.idura.broker", "IDURA_CIBA_CLIENT_ID": "urn:me"}


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("", ClientSecretBasic),
        ("basic", ClientSecretBasic),
        ("post", ClientSecretPost),
        ("secret-jwt", ClientSecretJwt),
    ],
)
def test_a_secret_is_used_as_the_method_says(method: str, kind: type) -> None:
    """An empty variable is as if it were not set: that is how a compose file leaves one out."""
    environ = {**COMMON, "IDURA_CIBA_CLIENT_SECRET": SECRET, "IDURA_CIBA_CLIENT_AUTH": method, "IDURA_CIBA_ALG": ""}
    issuer, auth = from_environment(environ)
    assert issuer == COMMON["IDURA_CIBA_ISSUER"]
    assert type(auth) is kind
    assert SECRET not in repr(auth)


def test_a_key_file_wins_over_a_secret(tmp_path: Path) -> None:
    """As in the command."""
    path = tmp_path / "key.pem"
    path.write_text(generate_key("ES256"))
    environ = {
        **COMMON,
        "IDURA_CIBA_CLIENT_SECRET": SECRET,
        "IDURA_CIBA_KEY_FILE": str(path),
        "IDURA_CIBA_ALG": "ES256",
    }
    _, auth = from_environment(environ)
    assert isinstance(auth, PrivateKeyJwt)
    assert auth.alg == "ES256"


@pytest.mark.parametrize(
    ("environ", "code", "says"),
    [
        ({}, "missing", "Set IDURA_CIBA_ISSUER"),
        ({**COMMON, "IDURA_CIBA_CLIENT_ID": ""}, "missing", "Set IDURA_CIBA_CLIENT_ID"),
        (COMMON, "missing", "IDURA_CIBA_CLIENT_SECRET"),
        ({**COMMON, "IDURA_CIBA_CLIENT_AUTH": "private-key"}, "missing", "IDURA_CIBA_KEY_FILE"),
        ({**COMMON, "IDURA_CIBA_CLIENT_AUTH": "Basic"}, "method", "secret-jwt"),
        ({**COMMON, "IDURA_CIBA_CLIENT_SECRET": SECRET, "IDURA_CIBA_ALG": "ES256"}, "alg", "unset IDURA_CIBA_ALG"),
    ],
)
def test_what_is_missing_is_named_by_its_variable(environ: dict[str, str], code: str, says: str) -> None:
    """Whoever deploys it has nothing else to go by; the secret is not shown."""
    with pytest.raises(UsageError) as caught:
        CibaClient.from_env(environ)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_client_comes_from_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With any other argument beside it."""
    for name, value in {**COMMON, "IDURA_CIBA_CLIENT_SECRET": SECRET}.items():
        monkeypatch.setenv(name, value)
    async with CibaClient.from_env(scheduler=FairScheduler(rate=7)) as ciba:
        assert repr(ciba) == "<CibaClient https://acme.idura.broker as urn:me, 0 pending>"
        assert ciba.snapshot()["scheduler"]["rate"] == 7  # type: ignore[index]


def test_a_key_that_opens_tokens_is_read_from_its_file(tmp_path: Path) -> None:
    """An empty variable is as if it were not set; an argument wins over it."""
    path = tmp_path / "encryption.pem"
    path.write_text(generate_key("ES256"))
    assert options_from({}) == options_from({"IDURA_CIBA_DECRYPTION_KEY_FILE": ""}) == {}
    named = {"IDURA_CIBA_DECRYPTION_KEY_FILE": str(path)}
    assert len(options_from(named)["decryption_keys"].keys) == 1
    environ = {**COMMON, "IDURA_CIBA_CLIENT_SECRET": SECRET, **named}
    assert CibaClient.from_env(environ)._starter.context.verifier.decryption is not None
    assert CibaClient.from_env(environ, decryption_keys=None)._starter.context.verifier.decryption is None
    with pytest.raises(UsageError) as caught:
        options_from({"IDURA_CIBA_DECRYPTION_KEY_FILE": str(tmp_path / "missing")})
    assert caught.value.code == "key_file"


# --- certificates and DPoP --------------------------------------------------------------------------------------------

PAIR = issue("client", by=issue("authority"))


@pytest.mark.parametrize(("method", "kind"), [("tls", TlsClientAuth), ("self-signed-tls", SelfSignedTlsClientAuth)])
@pytest.mark.parametrize("files", [1, 2])
def test_a_certificate_comes_with_its_key_or_beside_it(method: str, kind: type, files: int, tmp_path: Path) -> None:
    """One file with both, or two."""
    both = PAIR.write(tmp_path / "both.pem")
    (tmp_path / "certificate.pem").write_text(PAIR.certificate)
    (tmp_path / "key.pem").write_text(PAIR.key)
    named = {"KEY_FILE": both}
    if files == 2:
        named = {"KEY_FILE": tmp_path / "key.pem", "CERT_FILE": tmp_path / "certificate.pem"}
    environ = {f"IDURA_CIBA_{name}": str(path) for name, path in named.items()}
    _, auth = from_environment({**COMMON, **environ, "IDURA_CIBA_CLIENT_AUTH": method})
    assert type(auth) is kind
    assert isinstance(auth, TlsClientAuth)
    assert auth.confirmation == TlsClientAuth("a", PAIR.certificate, PAIR.key).confirmation


def test_tokens_are_bound_where_the_variables_say_so(tmp_path: Path) -> None:
    """To a certificate beside another method, by DPoP, or both."""
    both = str(PAIR.write(tmp_path / "both.pem"))
    secret = {**COMMON, "IDURA_CIBA_CLIENT_SECRET": SECRET}
    _, auth = from_environment({**secret, "IDURA_CIBA_CERT_FILE": both})
    assert isinstance(auth, CertificateBound)
    assert isinstance(auth.auth, ClientSecretBasic)
    _, auth = from_environment({**secret, "IDURA_CIBA_CERT_FILE": both, "IDURA_CIBA_DPOP": "True"})
    assert isinstance(auth, DPoP)
    assert set(auth.confirmation) == {"jkt", "x5t#S256"}
    _, auth = from_environment({**secret, "IDURA_CIBA_CERT_FILE": "", "IDURA_CIBA_DPOP": "no"})
    assert isinstance(auth, ClientSecretBasic)


@pytest.mark.parametrize(
    ("environ", "code", "says"),
    [
        ({"IDURA_CIBA_CLIENT_AUTH": "tls"}, "missing", "IDURA_CIBA_CERT_FILE"),
        ({"IDURA_CIBA_CLIENT_AUTH": "tls", "IDURA_CIBA_CERT_FILE": "/no"}, "certificate_file", "Check the path"),
        ({"IDURA_CIBA_CLIENT_SECRET": SECRET, "IDURA_CIBA_DPOP": "maybe"}, "yes_or_no", "Set it to 1"),
        ({"IDURA_CIBA_CLIENT_SECRET": SECRET, "IDURA_CIBA_CERT_FILE": "/no"}, "certificate_file", "Check the path"),
    ],
)
def test_a_binding_that_cannot_be_is_told(environ: dict[str, str], code: str, says: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(UsageError) as caught:
        from_environment({**COMMON, **environ})
    assert caught.value.code == code
    assert says in str(caught.value)


# --- what other providers demand --------------------------------------------------------------------------------------


def test_what_a_provider_demands_of_assertions_is_read(tmp_path: Path) -> None:
    """For both methods with assertions, and for no other."""
    path = tmp_path / "key.pem"
    path.write_text(generate_key("ES256"))
    demands = {"IDURA_CIBA_AUDIENCE": "endpoint", "IDURA_CIBA_SEND_CLIENT_ID": "no"}
    for named in (
        {"IDURA_CIBA_KEY_FILE": str(path)},
        {"IDURA_CIBA_CLIENT_SECRET": SECRET, "IDURA_CIBA_CLIENT_AUTH": "secret-jwt"},
    ):
        _, auth = from_environment({**COMMON, **named, **demands})
        assert isinstance(auth, PrivateKeyJwt | ClientSecretJwt)
        assert (auth.audience, auth.send_client_id) == ("endpoint", False)
        _, usual = from_environment({**COMMON, **named, **dict.fromkeys(demands, "")})
        assert isinstance(usual, PrivateKeyJwt | ClientSecretJwt)
        assert (usual.audience, usual.send_client_id) == ("issuer", True)
    for name, value in demands.items():
        with pytest.raises(UsageError) as caught:
            from_environment({**COMMON, "IDURA_CIBA_CLIENT_SECRET": SECRET, name: value})
        assert caught.value.code == "audience"


def test_what_is_accepted_and_how_requests_are_signed_is_read(tmp_path: Path) -> None:
    """As the arguments of a client."""
    path = tmp_path / "key.pem"
    path.write_text(generate_key("ES256"))
    options = options_from(
        {
            "IDURA_CIBA_ID_TOKEN_ALGORITHMS": "PS256, ES256",
            "IDURA_CIBA_TRUSTED_AUDIENCES": "https://a.example https://b.example",
            "IDURA_CIBA_SIGN_REQUESTS": "1",
            "IDURA_CIBA_REQUEST_KEY_FILE": str(path),
        }
    )
    assert options.pop("sign_requests").signer(ClientSecretBasic("urn:me", SECRET)).alg == "ES256"
    assert options == {
        "id_token_algorithms": ("PS256", "ES256"),
        "trusted_audiences": ("https://a.example", "https://b.example"),
    }


@pytest.mark.parametrize("name", ["DPOP", "SIGN_REQUESTS", "SEND_CLIENT_ID"])
def test_a_variable_that_is_neither_yes_nor_no_is_refused(name: str) -> None:
    """A slip must not leave tokens unbound."""
    environ = {**COMMON, "IDURA_CIBA_CLIENT_SECRET": SECRET, f"IDURA_CIBA_{name}": "on"}
    with pytest.raises(UsageError, match="neither yes nor no") as caught:
        CibaClient.from_env(environ)
    assert caught.value.code == "yes_or_no"
