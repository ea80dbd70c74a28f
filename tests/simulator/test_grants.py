"""Tests of what a login's tokens open at the simulated provider."""

from __future__ import annotations

import pytest

from idura_ciba.simulator.grants import TOKEN_LIFETIME, Grant, Grants
from idura_ciba.simulator.messages import Refusal

NOW = 1000.0


def issued() -> tuple[Grants, Grant]:
    """One login with its tokens."""
    grants, grant = Grants(), Grant("urn:app", {"sub": "x"})
    grants.issue(grant, access_token="a1", refresh_token="r1", now=NOW)
    return grants, grant


def test_an_access_token_opens_userinfo_while_it_lives() -> None:
    """As a bearer token, and no longer than said."""
    grants, grant = issued()
    assert grants.opened_by("Bearer a1", NOW) is grants.opened_by("bearer a1", NOW + TOKEN_LIFETIME - 1) is grant
    for text, now in (
        ("Bearer a1", NOW + TOKEN_LIFETIME),
        ("Bearer a2", NOW),
        ("a1", NOW),
        ("Basic a1", NOW),
        ("", NOW),
    ):
        with pytest.raises(Refusal) as caught:
            grants.opened_by(text, now)
        assert (caught.value.error, caught.value.status) == ("invalid_token", 401)
        assert "invalid_token" in caught.value.headers["WWW-Authenticate"]


def test_a_refresh_token_is_its_clients() -> None:
    """And where it stays, it may be used again."""
    grants, grant = issued()
    for _ in range(2):
        assert grants.refreshed_by("r1", "urn:app", rotates=False) is grant
    assert grant.refreshed == 2
    for token, client_id in (("r1", "urn:other"), ("r2", "urn:app"), ("", "urn:app")):
        with pytest.raises(Refusal) as caught:
            grants.refreshed_by(token, client_id, rotates=False)
        assert caught.value.error == "invalid_grant"


def test_a_spent_refresh_token_revokes_everything() -> None:
    """Whoever has it is a thief, or was robbed."""
    grants, grant = issued()
    assert grants.refreshed_by("r1", "urn:app", rotates=True) is grant
    grants.issue(grant, access_token="a2", refresh_token="r2", now=NOW)
    assert grants.opened_by("Bearer a2", NOW) is grant
    for token in ("r1", "r2"):
        with pytest.raises(Refusal):
            grants.refreshed_by(token, "urn:app", rotates=True)
    with pytest.raises(Refusal):
        grants.opened_by("Bearer a2", NOW)
