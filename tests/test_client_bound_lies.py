"""Tests of what comes of a provider that says wrong things about keys, nonces and whoever has logged in."""

from __future__ import annotations

import pytest

from tests.bound_lies import LIES, try_out

pytestmark = pytest.mark.unmeasured


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_leads_where_the_rules_say(name: str) -> None:
    """The outcome is the demanded one; one order was sent, polls were polite, and no proof was used twice."""
    lie = LIES[name]
    tried = await try_out(lie)
    assert (tried.outcome, tried.complaints) == (lie.demanded, ())


def test_the_table_has_every_way_to_bind() -> None:
    """And every step of a client, approvals too: whoever refuses everything is not right."""
    assert len(LIES) > 100
    for binding in ("DPoP", "certificate"):
        demanded = {(lie.when, lie.demanded) for lie in LIES.values() if lie.binding == binding}
        assert {("login", "approved"), ("login", "token_other_key"), ("refresh", "token_other_key")} <= demanded
