"""The tenant and the client in environment variables, as a deployment names them for programs and the command alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, get_args

from idura_ciba.credentials.client_auth import (
    AssertionOptions,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    PrivateKeyJwt,
)
from idura_ciba.credentials.decryption_key import DecryptionKeys
from idura_ciba.credentials.dpop import DPoP
from idura_ciba.credentials.request_object import SignedRequests
from idura_ciba.credentials.signing_key import read_file
from idura_ciba.credentials.tls_auth import CertificateBound, SelfSignedTlsClientAuth, TlsClientAuth
from idura_ciba.errors import ArgumentError
from idura_ciba.redaction import Redacted

__all__ = [
    "ALG",
    "AUDIENCE",
    "CERTIFICATE",
    "CLIENT_AUTH",
    "CLIENT_ID",
    "DECRYPTION_KEY_FILE",
    "DPOP",
    "ID_TOKEN_ALGORITHMS",
    "ISSUER",
    "KEY_FILE",
    "REQUEST_ALG",
    "REQUEST_KEY_FILE",
    "SECRET",
    "SEND_CLIENT_ID",
    "SIGN_REQUESTS",
    "TRUSTED_AUDIENCES",
    "Method",
    "client_auth",
    "client_options",
    "from_environment",
    "listed",
    "missing",
    "options_from",
]

#: How the client proves itself, as the variable and the command spell it.
Method = Literal["private-key", "basic", "post", "secret-jwt", "tls", "self-signed-tls"]

ISSUER: Final = "IDURA_CIBA_ISSUER"
CLIENT_ID: Final = "IDURA_CIBA_CLIENT_ID"
KEY_FILE: Final = "IDURA_CIBA_KEY_FILE"
#: The client secret. No option has it: other users can see arguments, and the shell's history keeps them.
SECRET: Final = "IDURA_CIBA_CLIENT_SECRET"  # noqa: S105 - its name, not its value
CLIENT_AUTH: Final = "IDURA_CIBA_CLIENT_AUTH"
ALG: Final = "IDURA_CIBA_ALG"
AUDIENCE: Final = "IDURA_CIBA_AUDIENCE"
#: Yes or no, in the words of `_YES` and `_NO`; so are those below that are not texts.
SEND_CLIENT_ID: Final = "IDURA_CIBA_SEND_CLIENT_ID"
DECRYPTION_KEY_FILE: Final = "IDURA_CIBA_DECRYPTION_KEY_FILE"
#: A client certificate. With `tls` and `self-signed-tls`, its key may stand in the key file, and without this variable
#: both stand there. With another method, its key stands beside it, and tokens are bound to it.
CERTIFICATE: Final = "IDURA_CIBA_CERT_FILE"
#: Whether tokens are bound by DPoP.
DPOP: Final = "IDURA_CIBA_DPOP"
SIGN_REQUESTS: Final = "IDURA_CIBA_SIGN_REQUESTS"
REQUEST_ALG: Final = "IDURA_CIBA_REQUEST_ALG"
REQUEST_KEY_FILE: Final = "IDURA_CIBA_REQUEST_KEY_FILE"
#: Texts with commas or blanks between them.
ID_TOKEN_ALGORITHMS: Final = "IDURA_CIBA_ID_TOKEN_ALGORITHMS"  # noqa: S105 - a name, too
TRUSTED_AUDIENCES: Final = "IDURA_CIBA_TRUSTED_AUDIENCES"
_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"0", "false", "no"})


def from_environment(environ: Mapping[str, str]) -> tuple[str, ClientAuth]:
    """Return the issuer and the client's credentials.

    Args:
        environ: The variables; empty ones are as if they were not set.

    Raises:
        UsageError: A variable is missing or unusable; its code is `missing`, `method`, `yes_or_no`, or that of the
            credential.
    """
    given = {name: environ.get(name) or None for name in (ISSUER, CLIENT_ID, KEY_FILE, CLIENT_AUTH, ALG)}
    key_file = given[KEY_FILE]
    method = given[CLIENT_AUTH] or ("private-key" if key_file else "basic")
    if method not in get_args(Method):
        raise ArgumentError(
            f"{CLIENT_AUTH} is not a method", code="method", advice=f"Set it to one of {', '.join(get_args(Method))}"
        )
    issuer = given[ISSUER] or missing("issuer", f"Set {ISSUER}")
    auth = client_auth(
        given[CLIENT_ID] or missing("client id", f"Set {CLIENT_ID}"),
        key_file=None if key_file is None else Path(key_file),
        certificate=environ.get(CERTIFICATE),
        secret=Redacted(environ.get(SECRET, "")),
        method=method,  # type: ignore[arg-type]  # checked above
        alg=given[ALG],
        audience=environ.get(AUDIENCE) or None,
        send_client_id=_yes_or_no(environ, SEND_CLIENT_ID),
        dpop=_yes_or_no(environ, DPOP) or False,
    )
    return issuer, auth


def options_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a client that the variables set.

    Raises:
        UsageError: One cannot be read or used.
    """
    return client_options(
        decryption_key_file=environ.get(DECRYPTION_KEY_FILE),
        id_token_algorithms=listed(environ.get(ID_TOKEN_ALGORITHMS)),
        trusted_audiences=listed(environ.get(TRUSTED_AUDIENCES)),
        sign_requests=_yes_or_no(environ, SIGN_REQUESTS) or False,
        request_alg=environ.get(REQUEST_ALG) or None,
        request_key_file=environ.get(REQUEST_KEY_FILE),
    )


def client_options(
    *,
    decryption_key_file: Path | str | None = None,
    id_token_algorithms: Sequence[str] = (),
    trusted_audiences: Sequence[str] = (),
    sign_requests: bool = False,
    request_alg: str | None = None,
    request_key_file: Path | str | None = None,
) -> dict[str, Any]:
    """Return those arguments of a client that differ from its defaults; each is named as in `CibaClient`.

    Args:
        decryption_key_file: The file with the private key that opens encrypted ID tokens.
        id_token_algorithms: As for `CibaClient`; none: its default.
        trusted_audiences: As for `CibaClient`.
        sign_requests: Whether authentication requests are signed.
        request_alg: By which algorithm; None: as the key says.
        request_key_file: With which key; None: with the one that the client authenticates with.

    Raises:
        UsageError: A file cannot be read or used, or an algorithm or a key is named for requests that are not signed.
    """
    options: dict[str, Any] = {}
    if decryption_key_file:
        options["decryption_keys"] = DecryptionKeys.from_files(decryption_key_file)
    if id_token_algorithms:
        options["id_token_algorithms"] = tuple(id_token_algorithms)
    if trusted_audiences:
        options["trusted_audiences"] = tuple(trusted_audiences)
    if sign_requests:
        key = read_file(request_key_file) if request_key_file else None
        options["sign_requests"] = SignedRequests(key, alg=request_alg)
    elif request_alg or request_key_file:
        raise ArgumentError(
            "An algorithm or a key for requests is given, and requests are not signed",
            code="sign_requests",
            advice=f"Pass --sign-requests or set {SIGN_REQUESTS}=1, or leave the other out",
        )
    return options


def client_auth(
    client_id: str,
    *,
    key_file: Path | None,
    secret: Redacted,
    method: Method,
    alg: str | None,
    certificate: Path | str | None = None,
    audience: str | None = None,
    send_client_id: bool | None = None,
    dpop: bool = False,
) -> ClientAuth:
    """Return credentials.

    Args:
        client_id: As registered.
        key_file: The file with the private key, or None.
        secret: The client secret, or an empty text.
        method: How it proves itself.
        alg: The signing algorithm of a private key; None: as the key says.
        certificate: The file with the client's certificate; None: the key file has it, or there is none.
        audience: Of assertions, as for `PrivateKeyJwt`; None: the issuer.
        send_client_id: As for `PrivateKeyJwt`; None: its default.
        dpop: Whether tokens are bound by DPoP.

    Raises:
        UsageError: Something is missing or unusable.
    """
    assertion: AssertionOptions = {}
    if audience is not None:
        assertion["audience"] = audience
    if send_client_id is not None:
        assertion["send_client_id"] = send_client_id
    if assertion and method not in {"private-key", "secret-jwt"}:
        raise ArgumentError(
            "An audience, or whether the client id is sent, applies only where the client signs assertions",
            code="audience",
            advice=f"Choose the method private-key or secret-jwt, or leave out {AUDIENCE} and {SEND_CLIENT_ID}",
        )
    auth = _unbound(
        client_id,
        key_file=key_file,
        secret=secret,
        method=method,
        alg=alg,
        certificate=certificate,
        assertion=assertion,
    )
    if certificate and not isinstance(auth, TlsClientAuth):
        auth = CertificateBound(auth, read_file(certificate, "certificate"))
    return DPoP(auth) if dpop else auth


def _unbound(
    client_id: str,
    *,
    key_file: Path | None,
    secret: Redacted,
    method: Method,
    alg: str | None,
    certificate: Path | str | None,
    assertion: AssertionOptions,
) -> ClientAuth:
    if method == "private-key":
        file = key_file or missing("private key", f"Pass --key-file or set {KEY_FILE}")
        return PrivateKeyJwt.from_file(client_id, file, alg=alg, **assertion)
    if alg:
        raise ArgumentError(
            "A signing algorithm applies only to private keys", code="alg", advice=f"Omit --alg, and unset {ALG}"
        )
    if method in {"tls", "self-signed-tls"}:
        advice = f"Pass --key-file with both certificate and key, or set {CERTIFICATE}"
        source = certificate or key_file or missing("client certificate", advice)
        kind = TlsClientAuth if method == "tls" else SelfSignedTlsClientAuth
        return kind.from_file(client_id, source, key_file if certificate else None)
    if not secret:
        missing("credential", f"Pass --key-file or --secret-file, or set {KEY_FILE} or {SECRET}")
    if method == "secret-jwt":
        return ClientSecretJwt(client_id, secret, **assertion)
    return ClientSecretPost(client_id, secret) if method == "post" else ClientSecretBasic(client_id, secret)


def listed(text: str | None) -> tuple[str, ...]:
    """The texts of a list with commas or blanks between them."""
    return tuple((text or "").replace(",", " ").split())


def _yes_or_no(environ: Mapping[str, str], name: str) -> bool | None:
    """What a variable says; None if it is not set.

    Raises:
        UsageError: Neither yes nor no.
    """
    said = environ.get(name, "").lower()
    if said not in _YES | _NO | {""}:
        raise ArgumentError(f"{name} is neither yes nor no", code="yes_or_no", advice="Set it to 1 or 0, or unset it")
    return said in _YES if said else None


def missing(what: str, advice: str) -> NoReturn:
    """Refuse a configuration that lacks something.

    Raises:
        UsageError: Always.
    """
    raise ArgumentError(f"No {what} given", code="missing", advice=advice)
