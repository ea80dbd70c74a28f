"""The tenant and the client: options, with environment variables as their defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

import typer
from attrs import field, frozen

from idura_ciba import (
    CibaClient,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    FairScheduler,
    PrivateKeyJwt,
    UsageError,
)
from idura_ciba.cli.files import read_secret
from idura_ciba.polling.strategy import StrategyLike
from idura_ciba.redaction import Redacted

__all__ = [
    "AlgOption",
    "ClientIdOption",
    "IssuerOption",
    "KeyFileOption",
    "Method",
    "MethodOption",
    "SecretFileOption",
    "Settings",
]

#: The client authentication method, as `--client-auth` spells it.
Method = Literal["private-key", "basic", "post", "secret-jwt"]

#: The secret has no option: other users can see arguments, and the shell's history keeps them.
SECRET_VARIABLE: Final = "IDURA_CIBA_CLIENT_SECRET"  # noqa: S105 - its name, not its value

_PANEL = "Tenant and client"

IssuerOption = Annotated[
    str | None,
    typer.Option(
        "--issuer",
        envvar="IDURA_CIBA_ISSUER",
        rich_help_panel=_PANEL,
        help="Issuer URL; at Idura, https://NAME.idura.broker",
    ),
]
ClientIdOption = Annotated[
    str | None,
    typer.Option(
        "--client-id", envvar="IDURA_CIBA_CLIENT_ID", rich_help_panel=_PANEL, help="Client id, as registered."
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="IDURA_CIBA_KEY_FILE",
        rich_help_panel=_PANEL,
        help="File with the private key, PEM or JWK.",
    ),
]
SecretFileOption = Annotated[
    str | None,
    typer.Option(
        "--secret-file",
        rich_help_panel=_PANEL,
        help=f"File with the client secret; by default it is read from the variable {SECRET_VARIABLE}.",
    ),
]
MethodOption = Annotated[
    Method | None,
    typer.Option(
        "--client-auth",
        envvar="IDURA_CIBA_CLIENT_AUTH",
        rich_help_panel=_PANEL,
        help="Client authentication method; by default private-key if there is a key file, else basic.",
    ),
]
AlgOption = Annotated[
    str | None,
    typer.Option(
        "--alg",
        envvar="IDURA_CIBA_ALG",
        rich_help_panel=_PANEL,
        help="Signing algorithm; by default the one that the JWK names, else the usual one for the key type.",
    ),
]


@frozen(kw_only=True)
class Settings:
    """The configuration of one client of one tenant."""

    issuer: str | None = None
    client_id: str | None = None
    key_file: Path | None = None
    secret_file: str | None = field(default=None, repr=False)
    method: Method | None = None
    alg: str | None = None

    def require_issuer(self) -> str:
        """Return the issuer.

        Raises:
            UsageError: No issuer was given.
        """
        return self.issuer or _missing(
            "issuer", "--issuer or set IDURA_CIBA_ISSUER; to try without a tenant, pass --simulate to verify or batch"
        )

    def client(self, *, strategy: StrategyLike | None = None, scheduler: FairScheduler | None = None) -> CibaClient:
        """Create the client; nothing is sent yet.

        Args:
            strategy: As for `CibaClient`.
            scheduler: As for `CibaClient`.

        Raises:
            UsageError: A setting is missing or unusable.
        """
        return CibaClient(self.require_issuer(), self.client_auth(), strategy=strategy, scheduler=scheduler)

    def client_auth(self) -> ClientAuth:
        """Load the key or the secret.

        Raises:
            UsageError: It is missing or unusable, or `--alg` is given for a secret.
        """
        client_id = self.client_id or _missing("client id", "--client-id or set IDURA_CIBA_CLIENT_ID")
        method = self.method or ("private-key" if self.key_file else "basic")
        if method == "private-key":
            key_file = self.key_file or _missing("private key", "--key-file or set IDURA_CIBA_KEY_FILE")
            return PrivateKeyJwt.from_file(client_id, key_file, alg=self.alg)
        if self.alg:
            raise UsageError("--alg applies only to private keys", code="alg", advice="Omit it")
        secret = self._secret()
        if method == "secret-jwt":
            return ClientSecretJwt(client_id, secret)
        return ClientSecretPost(client_id, secret) if method == "post" else ClientSecretBasic(client_id, secret)

    def _secret(self) -> Redacted:
        if self.secret_file:
            return read_secret(self.secret_file, what="client secret")
        return Redacted(os.environ.get(SECRET_VARIABLE, "")) or _missing(
            "credential", f"--key-file or --secret-file, or set IDURA_CIBA_KEY_FILE or {SECRET_VARIABLE}"
        )


def _missing(what: str, where: str) -> NoReturn:
    raise UsageError(f"No {what} given", code="missing", advice=f"Pass {where}")
