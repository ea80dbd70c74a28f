"""`idura-ciba keygen`: a private key for this machine, and its public half for the provider."""

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

#: What `verify` signs with unless told otherwise, so no flag need be remembered.
_BY_DEFAULT = {"RS256", "ES256", "ES384", "EdDSA"}


def keygen(
    *,
    out: Annotated[Path, typer.Option(help="The file for the private key; it must not exist.")],
    alg: Annotated[KeyAlg, typer.Option(help="What the key signs with; Idura documents RS256.")] = "RS256",
    jwks: Annotated[Path | None, typer.Option(help="The file for the public key set; without it, printed.")] = None,
) -> None:
    """Make a private key, and the public key set (JWKS) to register at Idura.

    The private key is PEM (PKCS #8) that only you can read. It is not encrypted: keep it where secrets are kept, and
    make one for each environment. No file is ever overwritten.
    """
    if jwks is not None:
        refuse_existing(jwks)
    pem = generate_key(alg)
    # The key set says nothing of a client, so the id is anybody's.
    auth = PrivateKeyJwt("keygen", pem, alg=alg)
    public = json.dumps(auth.public_jwks(), indent=2)
    write_new(out, pem, mode=PRIVATE)
    say(f"private key: {out}, for {alg}, kid {auth.kid}")
    if jwks is None:
        say("public key set, to be registered at the provider:")
        OUT.out(public, highlight=False)
    else:
        write_new(jwks, f"{public}\n", mode=PUBLIC)
        say(f"public key set: {jwks}; register it at the provider")
    if alg not in _BY_DEFAULT:
        say(f"Use the key with --alg {alg}: PEM does not say what it signs with.")
