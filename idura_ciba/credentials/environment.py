"""The tenant and the client in environment variables, as a deployment names them for programs and the command alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, get_args

from idura_ciba.credentials.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    PrivateKeyJwt,
)
from idura_ciba.credentials.decryption_key import DecryptionKeys
from idura_ciba.credentials.dpop import DPoP
from idura_ciba.credentials.signing_key import read_file
from idura_ciba.credentials.tls_auth import CertificateBound, SelfSignedTlsClientAuth, TlsClientAuth
from idura_ciba.errors import ArgumentError
from idura_ciba.redaction import Redacted

__all__ = [
    "ALG",
    "CERTIFICATE",
    "CLIENT_AUTH",
    "CLIENT_ID",
    "DECRYPTION_KEY_FILE",
    "DPOP",
    "ISSUER",
    "KEY_FILE",
    "SECRET",
    "Method",
    "bound",
    "client_auth",
    "from_environment",
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
#: File with the private key that opens encrypted ID tokens, PEM or JWK.
DECRYPTION_KEY_FILE: Final = "IDURA_CIBA_DECRYPTION_KEY_FILE"
#: A client certificate. With `tls` and `self-signed-tls`, its key may stand in the key file, and without this variable
#: both stand there. With another method, its key stands beside it, and tokens are bound to it.
CERTIFICATE: Final = "IDURA_CIBA_CERT_FILE"
#: `1`, `true` or `yes`: tokens are bound by DPoP.
DPOP: Final = "IDURA_CIBA_DPOP"
_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"", "0", "false", "no"})


def from_environment(environ: Mapping[str, str]) -> tuple[str, ClientAuth]:
    """Return the issuer and the client's credentials.

    Args:
        environ: The variables; empty ones are as if they were not set.

    Raises:
        UsageError: A variable is missing or unusable; its code is `missing`, `method`, or that of the credential.
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
    )
    return issuer, bound(auth, environ)


def bound(auth: ClientAuth, environ: Mapping[str, str]) -> ClientAuth:
    """Bind the tokens of a client to a certificate or a key, where the variables say so.

    Raises:
        UsageError: `IDURA_CIBA_DPOP` is neither yes nor no, or the certificate cannot be used.
    """
    certificate, wanted = environ.get(CERTIFICATE), environ.get(DPOP, "").lower()
    if certificate and not isinstance(auth, TlsClientAuth):
        auth = CertificateBound(auth, read_file(certificate, "certificate"))
    if wanted not in _YES | _NO:
        raise ArgumentError(f"{DPOP} is neither yes nor no", code="dpop", advice="Set it to 1, or unset it")
    return DPoP(auth) if wanted in _YES else auth


def options_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a client that the variables set: the key that opens encrypted ID tokens, or none.

    Raises:
        UsageError: Its file cannot be read or used.
    """
    path = environ.get(DECRYPTION_KEY_FILE)
    return {"decryption_keys": DecryptionKeys.from_files(path)} if path else {}


def client_auth(
    client_id: str,
    *,
    key_file: Path | None,
    secret: Redacted,
    method: Method,
    alg: str | None,
    certificate: str | None = None,
) -> ClientAuth:
    """Return credentials.

    Args:
        client_id: As registered.
        key_file: The file with the private key, or None.
        secret: The client secret, or an empty text.
        method: How it proves itself.
        alg: The signing algorithm of a private key; None: as the key says.
        certificate: The file with the client's certificate; None: the key file has it.

    Raises:
        UsageError: Something is missing or unusable.
    """
    if method == "private-key":
        file = key_file or missing("private key", f"Pass --key-file or set {KEY_FILE}")
        return PrivateKeyJwt.from_file(client_id, file, alg=alg)
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
        return ClientSecretJwt(client_id, secret)
    return ClientSecretPost(client_id, secret) if method == "post" else ClientSecretBasic(client_id, secret)


def missing(what: str, advice: str) -> NoReturn:
    """Refuse a configuration that lacks something.

    Raises:
        UsageError: Always.
    """
    raise ArgumentError(f"No {what} given", code="missing", advice=advice)
