"""The tenant and the client, as the command is told: read once, and turned into a client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import getproxies

from attrs import field, frozen

from idura_ciba import AiohttpTransport, CibaClient, ClientAuth, Endpoints, FairScheduler, FinalPoll, Fixed
from idura_ciba.cli.files import read_secret
from idura_ciba.credentials.around import layers
from idura_ciba.credentials.environment import (
    CLIENT_ID,
    ISSUER,
    SECRET,
    Method,
    client_auth,
    client_options,
    missing,
)
from idura_ciba.credentials.request_object import request_signer
from idura_ciba.http.capabilities import Needs
from idura_ciba.http.transport import trusting
from idura_ciba.polling.final_poll import GUARD
from idura_ciba.polling.strategy import Strategy, StrategyLike
from idura_ciba.redaction import Redacted

__all__ = ["RESUME_SECRET", "Settings", "resume_secret"]

#: A secret that all machines have, 32 or more random characters; it seals what they store.
RESUME_SECRET = "IDURA_CIBA_RESUME_SECRET"  # noqa: S105 - its name, not its value


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
    """The configuration of one client of one tenant.

    Attributes are named as the options are; `cert_file` and those after it are for other providers than Idura.
    """

    issuer: str | None = None
    client_id: str | None = None
    key_file: Path | None = None
    secret_file: str | None = field(default=None, repr=False)
    method: Method | None = None
    alg: str | None = None
    idura_paths: bool = False
    resume_secret: bytes | None = field(default=None, repr=False)
    cert_file: Path | None = None
    audience: str | None = None
    send_client_id: bool | None = None
    dpop: bool = False
    sign_requests: bool = False
    request_alg: str | None = None
    request_key_file: Path | None = None
    id_token_algorithms: tuple[str, ...] = ()
    trusted_audiences: tuple[str, ...] = ()
    trusted_origins: tuple[str, ...] = ()
    decryption_key_file: Path | None = None
    ca_file: Path | None = None
    guard: float | None = None

    def require_issuer(self) -> str:
        """Return the issuer.

        Raises:
            UsageError: No issuer was given.
        """
        return self.issuer or missing(
            "issuer",
            f"Pass --issuer or set {ISSUER}; to try without an account, pass --simulate to verify, desk or batch",
        )

    def files(self) -> Mapping[str, Path | str | None]:
        """Return the files that are read, by option."""
        return {
            "--key-file": self.key_file,
            "--secret-file": self.secret_file,
            "--cert-file": self.cert_file,
            "--request-key-file": self.request_key_file,
            "--decryption-key-file": self.decryption_key_file,
            "--ca-file": self.ca_file,
        }

    def endpoints(self) -> Endpoints | None:
        """Return what is known of the endpoints."""
        if not self.idura_paths and not self.trusted_origins:
            return None
        return Endpoints(idura_paths=self.idura_paths or None, trusted_origins=self.trusted_origins)

    def transport(self) -> AiohttpTransport:
        """HTTP as every command does it: through the proxies that the environment names, where it names any.

        Raises:
            UsageError: The file of the certificate authority cannot be used.
        """
        return AiohttpTransport(trust_env=bool(getproxies()), ca_file=self.ca_file)

    def final_poll(self, strategy: Strategy) -> FinalPoll:
        """Return a strategy with its last poll as far from the end as is set."""
        return FinalPoll(strategy, GUARD if self.guard is None else self.guard)

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
        issuer, auth = self.require_issuer(), self.client_auth()
        transport = self.transport()
        client = CibaClient(
            issuer,
            auth,
            strategy=self.final_poll(Fixed()) if strategy is None else strategy,
            scheduler=scheduler,
            endpoints=self.endpoints(),
            transport=transport,
            resume_secret=self.resume_secret,
            **self.options(),
        )
        return _closing(client, transport)

    def options(self) -> dict[str, Any]:
        """Return further arguments of the client.

        Raises:
            UsageError: A file or an option cannot be used.
        """
        return client_options(
            decryption_key_file=self.decryption_key_file,
            id_token_algorithms=self.id_token_algorithms,
            trusted_audiences=self.trusted_audiences,
            sign_requests=self.sign_requests,
            request_alg=self.request_alg,
            request_key_file=self.request_key_file,
        )

    def needs(self) -> Needs:
        """Return what the client needs of its provider.

        Raises:
            UsageError: A setting is missing or unusable.
        """
        auth, options = self.client_auth(), self.options()
        signer = request_signer(options.get("sign_requests", False), auth)
        return Needs.of(auth, signer, options.get("id_token_algorithms", Needs().id_token_algorithms))

    def client_auth(self) -> ClientAuth:
        """Load the key, the certificate or the secret.

        Raises:
            UsageError: It is missing or unusable, or an option is given that does not apply to it.
        """
        client_id = self.client_id or missing("client id", f"Pass --client-id or set {CLIENT_ID}")
        method = self.method or ("private-key" if self.key_file else "basic")
        secret = Redacted(os.environ.get(SECRET, ""))
        if self.secret_file and method != "private-key":
            secret = read_secret(self.secret_file, what="client secret")
        auth = client_auth(
            client_id,
            key_file=self.key_file,
            secret=secret,
            method=method,
            alg=self.alg,
            certificate=self.cert_file,
            audience=self.audience,
            send_client_id=self.send_client_id,
            dpop=self.dpop,
        )
        if self.ca_file is not None:
            for layer in layers(auth):
                if (tls := getattr(layer, "tls", None)) is not None:
                    trusting(tls, self.ca_file)
        return auth
