"""Tests of what is said of an ID token that is refused. Which token is refused how stands with the forgeries."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from idura_ciba.errors import IdTokenRejected
from idura_ciba.trust.refusal import REMEDIES, Code, refuse


@pytest.mark.parametrize("code", get_args(Code))
def test_each_code_has_its_remedy(code: Code) -> None:
    """A whole sentence in one spelling, and a word for programs that no class of errors has."""
    with pytest.raises(IdTokenRejected) as caught:
        refuse(code, "some claim", "it is odd")
    error = caught.value
    assert (error.code, error.claim, error.reason) == (code, "some claim", "it is odd")
    assert error.what == "the ID token was refused: some claim, it is odd"
    assert error.advice == REMEDIES[code]
    assert re.fullmatch(r"[a-z][^\n]{20,}[^.\s]", error.advice)
    assert re.fullmatch(r"id_token_[a-z_]+|oversized", code)
    assert code != IdTokenRejected.code


def test_the_table_is_whole() -> None:
    """No code without a remedy, and none that is not a code."""
    assert set(REMEDIES) == set(get_args(Code))
