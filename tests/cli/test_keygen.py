"""Tests of `idura-ciba keygen`."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from idura_ciba import PrivateKeyJwt
from idura_ciba.cli.keys import KeyAlg


@pytest.mark.parametrize("alg", get_args(KeyAlg))
def test_a_key_and_its_public_half(alg: str, invoke: Callable[..., Any], tmp_path: Path) -> None:
    """The private file is for its owner, the key set is public and belongs to it."""
    out, jwks = tmp_path / "key.pem", tmp_path / "jwks.json"
    ran = invoke("keygen", "--alg", alg, "--out", str(out), "--jwks", str(jwks))
    assert ran.exit_code == 0
    assert ran.stdout == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    (public,) = json.loads(jwks.read_text())["keys"]
    assert public["alg"] == alg
    assert not {"d", "p", "q"} & public.keys()
    assert PrivateKeyJwt.from_file("urn:test", out, alg=alg).kid == public["kid"]
    by_default = PrivateKeyJwt.from_file("urn:test", out).alg == alg
    assert (f"--alg {alg}" in ran.stderr) is not by_default
    assert "PRIVATE" not in ran.output


def test_the_key_set_can_be_printed(invoke: Callable[..., Any], tmp_path: Path) -> None:
    """Without a file for it, the standard output is the key set and nothing else."""
    ran = invoke("keygen", "--alg", "ES256", "--out", str(tmp_path / "key.pem"))
    assert ran.exit_code == 0
    assert len(json.loads(ran.stdout)["keys"]) == 1


@pytest.mark.parametrize("existing", ["key.pem", "jwks.json"])
def test_nothing_is_overwritten(existing: str, invoke: Callable[..., Any], tmp_path: Path) -> None:
    """Where one of the two files exists, neither is written."""
    (tmp_path / existing).write_text("precious")
    out, jwks = tmp_path / "key.pem", tmp_path / "jwks.json"
    ran = invoke("keygen", "--alg", "ES256", "--out", str(out), "--jwks", str(jwks))
    assert ran.exit_code == 2
    assert existing in ran.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_the_place_of_the_private_key_must_be_named(invoke: Callable[..., Any]) -> None:
    """Where a secret goes is the user's choice."""
    assert invoke("keygen").exit_code == 2
