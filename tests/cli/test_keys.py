"""Tests of new keys."""

from __future__ import annotations

from typing import get_args

import pytest

from idura_ciba import PrivateKeyJwt
from idura_ciba.cli.keys import KeyAlg, generate_key


@pytest.mark.parametrize("alg", get_args(KeyAlg))
def test_a_new_key_signs_with_its_algorithm(alg: KeyAlg) -> None:
    """The library loads what was made, and no two are alike."""
    pem = generate_key(alg)
    assert pem.startswith("-----BEGIN PRIVATE KEY-----")
    assert repr(pem) == "<redacted>"
    auth = PrivateKeyJwt("urn:test", pem, alg=alg)
    assert auth.credentials(issuer="https://a", endpoint="https://a/b", now=0.0, jti="1").parameters
    assert generate_key(alg) != pem
