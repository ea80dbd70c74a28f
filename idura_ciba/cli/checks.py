"""The checks of `idura-ciba doctor`: those of this machine, and those of `idura_ciba.checks` at the provider."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from idura_ciba import CertificateBound, ClientAuth, DPoP, PrivateKeyJwt, TlsClientAuth, UsageError
from idura_ciba.aio.clock import Clock
from idura_ciba.checks import Finding, check_provider, problem
from idura_ciba.cli.config import Settings
from idura_ciba.http.capabilities import Needs
from idura_ciba.protocol.http import Transport
from idura_ciba.redaction import clean

__all__ = ["check_at_provider", "check_client"]


# --- on this machine --------------------------------------------------------------------------------------------------


def check_client(settings: Settings) -> Iterator[Finding]:
    """Check the credential, without sending it anywhere."""
    try:
        auth = settings.client_auth()
    except UsageError as error:
        yield problem(error)
    else:
        yield Finding("ok", f"client: {clean(auth.client_id)} authenticates with {_describe(auth)}")
        try:
            settings.needs()
        except UsageError as error:
            yield problem(error)
    for name in ("key_file", "request_key_file", "decryption_key_file"):
        path: Path | None = getattr(settings, name)
        if path is not None and path.exists() and os.name == "posix":
            yield _check_mode(name.replace("_", " "), path)


def _describe(auth: ClientAuth) -> str:
    if isinstance(auth, DPoP | CertificateBound):
        how = "by DPoP" if isinstance(auth, DPoP) else "to a certificate"
        return f"{_describe(auth.auth)}; tokens are bound {how}"
    if isinstance(auth, TlsClientAuth):
        return f"a certificate for {clean(auth.subject)}"
    if not isinstance(auth, PrivateKeyJwt):
        return "a client secret; Idura recommends a private key"
    (public,) = auth.public_jwks()["keys"]
    return f"a private key: {_kind(public)}, {auth.alg}, kid {clean(auth.kid or '')}"


def _kind(jwk: Mapping[str, object]) -> str:
    if jwk["kty"] != "RSA":
        return str(jwk["crv"])
    modulus = str(jwk["n"])
    return f"{int.from_bytes(base64.urlsafe_b64decode(modulus + '==')).bit_length()}-bit RSA"


def _check_mode(what: str, path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        text = f"{what}: other users can access {path} (mode {mode:04o}); protect it with chmod 600"
        return Finding("warning", text)
    return Finding("ok", f"{what}: only its owner can access {path}")


# --- at the provider --------------------------------------------------------------------------------------------------


async def check_at_provider(
    settings: Settings, transport: Transport, clock: Clock, *, probe: bool, acr_values: Sequence[str] = ()
) -> AsyncIterator[Finding]:
    """Check the provider; see `check_provider`.

    Args:
        settings: The provider, and the client, whose settings are compared with what the provider says.
        transport: Sends the requests.
        clock: The clock to compare with the provider's.
        probe: Send the credentials once, with an `auth_req_id` that does not exist.
        acr_values: What people are to be asked with.
    """
    needs = Needs()
    with suppress(UsageError):  # reported by `check_client`
        needs = settings.needs()
    try:
        issuer = settings.require_issuer()
    except UsageError as error:
        yield problem(error)
        return
    auth = settings.client_auth if probe else None
    given = settings.endpoints()
    async for finding in check_provider(
        issuer, transport, clock, endpoints=given, needs=needs, acr_values=acr_values, probe=auth
    ):
        yield finding
