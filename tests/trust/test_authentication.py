"""Tests of the value that a login ends in."""

from __future__ import annotations

import copy
import pickle

import pytest
from attrs import fields_dict

from idura_ciba.errors import UsageError
from idura_ciba.trust.authentication import Authentication
from tests.id_tokens import CANARIES, Case


def test_a_login_cannot_be_made_by_hand() -> None:
    """Only verification makes one."""
    with pytest.raises(UsageError) as caught:
        Authentication()
    assert str(caught.value) == (
        "An Authentication cannot be made by hand. In tests, let the simulator approve one. [authentication]"
    )


async def test_a_login_shows_nothing_of_the_person() -> None:
    """Its repr tells the level and the issuer, and hides subject, claims and tokens; a pickle holds the same login."""
    login = await Case().verify()
    assert repr(login).startswith("Authentication(id_token=<redacted>, person_confirmed=True")
    assert not [canary for canary in CANARIES if canary in repr(login)]
    assert set(fields_dict(Authentication)) == {
        "subject",
        "claims",
        "id_token",
        "tokens",
        "person_confirmed",
        "acr",
        "issuer",
        "trace_id",
        "_after",
    }
    back = pickle.loads(pickle.dumps(login))  # noqa: S301 - pickled in the same line
    assert copy.copy(login) == back == login
