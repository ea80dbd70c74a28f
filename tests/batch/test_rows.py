"""Tests of what a refused row says."""

from __future__ import annotations

import pytest

from idura_ciba.batch.rows import REMEDIES, BadRow


@pytest.mark.parametrize("code", [*REMEDIES, "anything"])
def test_each_reason_has_a_remedy(code: str) -> None:
    """A sentence without its full stop, also for a code that nobody has thought of."""
    remedy = BadRow(2, code, "is bad").remedy
    assert remedy[0].isupper()
    assert not remedy.endswith(".")


def test_a_remedy_can_be_named() -> None:
    """As the errors of requests do."""
    assert BadRow(2, "csv", "is bad", remedy="Do this").remedy == "Do this"
