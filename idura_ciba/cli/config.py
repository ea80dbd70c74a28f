"""The tenant and the client: options, with environment variables as their defaults."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.request import getproxies

import typer
from attrs import field, frozen

from idura_ciba import AiohttpTransport, CibaClient, ClientAuth, Endpoints, FairScheduler
from idura_ciba.cli.files import read_secret
from idura_ciba.credentials.environment import (
    ALG,
    CERTIFICATE,
    CLIENT_AUTH,
    CLIENT_ID,
    ISSUER,
    KEY_FILE,
    SECRET,
    Method,
    bound,
    client_auth,
    missing,
    options_from,
)
from idura_ciba.polling.strategy import StrategyLike
from idura_ciba.redaction import Redacted

__all__ = [
    "AlgOption",
    "ClientIdOption",
    "IduraPathsOption",
    "IssuerOption",
    "KeyFileOption",
    "Method",
    "MethodOption",
    "ResumeSecretOption",
    "SecretFileOption",
    "Settings",
    "command_transport",
    "resume_secret",
]

_PANEL = "Tenant and client"
#: A secret that all machines have, 32 or more random characters; it seals what they store.
RESUME_SECRET = "IDURA_CIBA_RESUME_SECRET"  # noqa: S105 - its name, not its value

IssuerOption = Annotated[
    str | None,
    typer.Option(
        "--issuer",
        envvar=ISSUER,
        rich_help_panel=_PANEL,
        help="Issuer URL; at Idura, https://NAME.idura.broker",
    ),
]
ClientIdOption = Annotated[
    str | None,
    typer.Option("--client-id", envvar=CLIENT_ID, rich_help_panel=_PANEL, help="Client id, as registered."),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar=KEY_FILE,
        rich_help_panel=_PANEL,
        help=f"File with the private key, PEM or JWK; for tls also the certificate, unless {CERTIFICATE} names one.",
    ),
]
SecretFileOption = Annotated[
    str | None,
    typer.Option(
        "--secret-file",
        rich_help_panel=_PANEL,
        help=f"File with the client secret; by default it is read from the variable {SECRET}.",
    ),
]
MethodOption = Annotated[
    Method | None,
    typer.Option(
        "--client-auth",
        envvar=CLIENT_AUTH,
        rich_help_panel=_PANEL,
        help="Client authentication method; by default private-key if there is a key file, else basic.",
    ),
]
AlgOption = Annotated[
    str | None,
    typer.Option(
        "--alg",
        envvar=ALG,
        rich_help_panel=_PANEL,
        help="Signing algorithm; by default the one that the JWK names, else the usual one for the key type.",
    ),
]
IduraPathsOption = Annotated[
    bool,
    typer.Option(
        "--idura-paths",
        rich_help_panel=_PANEL,
        help="The issuer is a domain of your own at Idura: endpoints that it does not name are at Idura's paths.",
    ),
]
ResumeSecretOption = Annotated[
    str | None,
    typer.Option(
        "--resume-secret-file",
        rich_help_panel=_PANEL,
        help="File with a secret that all machines have, 32 or more random characters; by default it is read from the "
        f"variable {RESUME_SECRET}.",
    ),
]


def command_transport() -> AiohttpTransport:
    """HTTP as every command does it: through the proxies that the environment names, where it names any."""
    return AiohttpTransport(trust_env=bool(getproxies()))


@asynccontextmanager
async def _closing(client: CibaClient, transport: AiohttpTransport) -> AsyncIterator[CibaClient]:
    async with transport, client:
        yield client


def resume_secret(path: str | None) -> bytes | None:
    """Load the secret that seals what is stored; None if there is none.

    Raises:
        UsageError: It cannot be read.
    """
    text = os.environ.get(RESUME_SECRET, "") if path is None else read_secret(path, what="resume secret")
    return text.encode() or None


@frozen(kw_only=True)
class Settings:
    """The configuration of one client of one tenant."""

    issuer: str | None = None
    client_id: str | None = None
    key_file: Path | None = None
    secret_file: str | None = field(default=None, repr=False)
    method: Method | None = None
    alg: str | None = None
    idura_paths: bool = False
    resume_secret: bytes | None = field(default=None, repr=False)

    def require_issuer(self) -> str:
        """Return the issuer.

        Raises:
            UsageError: No issuer was given.
        """
        return self.issuer or missing(
            "issuer", f"Pass --issuer or set {ISSUER}; to try without a tenant, pass --simulate to verify or batch"
        )

    def endpoints(self) -> Endpoints | None:
        """Return what is known of the endpoints."""
        return Endpoints(idura_paths=True) if self.idura_paths else None

    def client(
        self, *, strategy: StrategyLike | None = None, scheduler: FairScheduler | None = None
    ) -> AbstractAsyncContextManager[CibaClient]:
        """Create the client, for `async with`; nothing is sent yet.

        Args:
            strategy: As for `CibaClient`.
            scheduler: As for `CibaClient`.

        Raises:
            UsageError: A setting is missing or unusable.
        """
        transport = command_transport()
        issuer, auth = self.require_issuer(), self.client_auth()
        client = CibaClient(
            issuer,
            auth,
            strategy=strategy,
            scheduler=scheduler,
            endpoints=self.endpoints(),
            transport=transport,
            resume_secret=self.resume_secret,
            **options_from(os.environ),
        )
        return _closing(client, transport)

    def client_auth(self) -> ClientAuth:
        """Load the key or the secret.

        Raises:
            UsageError: It is missing or unusable, or `--alg` is given for a secret.
        """
        client_id = self.client_id or missing("client id", f"Pass --client-id or set {CLIENT_ID}")
        method = self.method or ("private-key" if self.key_file else "basic")
        secret = Redacted(os.environ.get(SECRET, ""))
        if self.secret_file and method != "private-key":
            secret = read_secret(self.secret_file, what="client secret")
        certificate = os.environ.get(CERTIFICATE)
        auth = client_auth(
            client_id, key_file=self.key_file, secret=secret, method=method, alg=self.alg, certificate=certificate
        )
        return bound(auth, os.environ)
