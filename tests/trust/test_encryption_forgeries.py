"""Tests of the forgeries of encrypted ID tokens: each is refused, by name, and shows nothing."""

from __future__ import annotations

import pytest

from idura_ciba.errors import IdTokenRejected
from tests.forgeries import FORGERIES, OTHER_RULES, REASONS, code_of
from tests.id_tokens import leaks, refusal


@pytest.mark.parametrize("name", [name for name in FORGERIES if name.startswith("encrypted, ")])
async def test_a_forgery_is_refused_by_name_and_shows_nothing(name: str) -> None:
    """Each fails by the rule it breaks, and neither the outer token nor the one inside is in the error."""
    claim, case = FORGERIES[name]
    error = await refusal(case)
    assert isinstance(error, IdTokenRejected)
    assert error.claim == claim
    assert error.reason in REASONS.get(claim, (OTHER_RULES,))
    assert error.code == code_of(claim, error.reason, case)
    assert list(leaks(error, case.token)) == []
