"""`idura-ciba keygen`: a private key for this machine, and the public key set for the provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from idura_ciba import PrivateKeyJwt
from idura_ciba.cli.files import PRIVATE, PUBLIC, refuse_existing, write_new
from idura_ciba.cli.keys import KeyAlg, generate_key
from idura_ciba.cli.text import OUT, say

__all__ = ["keygen"]

#: The algorithms that `verify` derives from the key itself, so that `--alg` is not needed.
_BY_DEFAULT = {"RS256", "ES256", "ES384", "ES512", "EdDSA"}


def keygen(
    *,
    out: Annotated[Path, typer.Option(help="File for the private key; it must not exist.")],
    alg: Annotated[KeyAlg, typer.Option(help="Signing algorithm; Idura documents RS256.")] = "RS256",
    jwks: Annotated[Path | None, typer.Option(help="File for the public key set; printed by default.")] = None,
) -> None:
    """Create a private key, and the public key set (JWKS) to register at Idura.

    The private key is an unencrypted PEM file (PKCS #8) that only you can read. Keep it where you keep secrets, and
    create one for each environment. Existing files are never overwritten.
    """
    if jwks is not None:
        refuse_existing(jwks)
    pem = generate_key(alg)
    # The key set does not name the client, so any client id will do.
    auth = PrivateKeyJwt("keygen", pem, alg=alg)
    public = json.dumps(auth.public_jwks(), indent=2)
    write_new(out, pem, mode=PRIVATE)
    say(f"private key: {out}, for {alg}, kid {auth.kid}", whole=True)
    if jwks is None:
        say("public key set; register it at the provider:")
        OUT.out(public, highlight=False)
    else:
        write_new(jwks, f"{public}\n", mode=PUBLIC)
        say(f"public key set: {jwks}; register it at the provider", whole=True)
    if alg not in _BY_DEFAULT:
        say(f"Pass --alg {alg} whenever you use this key: a PEM file does not name its algorithm.")
