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
    for text, now in (("Bearer a1", NOW), ("bearer a1", NOW + TOKEN_LIFETIME - 1)):
        assert grants.opened_by(text, {}, now) is grant
    for text, now in (
        ("Bearer a1", NOW + TOKEN_LIFETIME),
        ("Bearer a2", NOW),
        ("a1", NOW),
        ("Basic a1", NOW),
        ("", NOW),
    ):
        with pytest.raises(Refusal) as caught:
            grants.opened_by(text, {}, now)
        assert (caught.value.error, caught.value.status) == ("invalid_token", 401)
        assert "invalid_token" in caught.value.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("bound_to", "text", "proved", "opens"),
    [
        ({"jkt": "k"}, "DPoP a1", {"jkt": "k"}, True),
        ({"jkt": "k"}, "Bearer a1", {"jkt": "k"}, False),
        ({"jkt": "k"}, "DPoP a1", {"jkt": "other"}, False),
        ({"jkt": "k"}, "DPoP a1", {}, False),
        ({"x5t#S256": "c"}, "Bearer a1", {"x5t#S256": "c"}, True),
        ({"x5t#S256": "c"}, "Bearer a1", {}, False),
        ({"jkt": "k", "x5t#S256": "c"}, "DPoP a1", {"jkt": "k"}, False),
        ({}, "DPoP a1", {"jkt": "k"}, False),
    ],
)
def test_a_bound_token_opens_nothing_without_its_keys(
    bound_to: dict[str, str], text: str, proved: dict[str, str], opens: bool
) -> None:
    """Each of them, and by the scheme that goes with it."""
    grants, grant = Grants(), Grant("urn:app", {"sub": "x"}, bound_to)
    grants.issue(grant, access_token="a1", refresh_token=None, now=NOW)
    if opens:
        assert grants.opened_by(text, proved, NOW) is grant
        return
    with pytest.raises(Refusal) as caught:
        grants.opened_by(text, proved, NOW)
    assert caught.value.status == 401


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
    assert grants.opened_by("Bearer a2", {}, NOW) is grant
    for token in ("r1", "r2"):
        with pytest.raises(Refusal):
            grants.refreshed_by(token, "urn:app", rotates=True)
    with pytest.raises(Refusal):
        grants.opened_by("Bearer a2", {}, NOW)
