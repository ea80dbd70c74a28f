"""Tests of what an ID token must say."""

from __future__ import annotations

import pytest

from idura_ciba.eids.frejaid import FrejaID
from idura_ciba.eids.norwegian_bankid import NorwegianBankID
from idura_ciba.eids.request import EidRequest
from idura_ciba.eids.swedish_bankid import SwedishBankID
from idura_ciba.trust.expectation import Expectation
from tests.id_tokens import SSN, SWEDISH, TAGS


@pytest.mark.parametrize(
    "request_",
    [
        SwedishBankID(SSN, call_initiator="RP", message="Hello", pin_acr=f"{SWEDISH}:x", require_acr=False),
        NorwegianBankID("01023990128", require_person=True),
        FrejaID(SSN, acr_values="urn:a urn:b"),
        FrejaID(email="someone@example.com", acr_values=None),
    ],
)
def test_a_request_says_what_its_answer_must_say(request_: EidRequest) -> None:
    """Each demand is taken over, and of the person only tags are kept."""
    expected = Expectation.of(request_, tags=TAGS, issued_from=5.0)
    demand = expected.demand
    assert demand.acr_values == tuple((request_.acr_values or "").split())
    assert demand.identity == tuple(request_.identity)
    assert demand.identity_elsewhere == tuple(request_.identity_elsewhere)
    values = {**request_.identity, **request_.identity_elsewhere}
    tagged = dict(expected.tagged())
    assert tagged.keys() == values.keys()
    assert all(TAGS.matches(path, value, tagged[path]) for path, value in values.items())
    assert expected.issued_from == 5.0
    for name in ("pin_acr", "require_acr", "identity_guaranteed", "require_person"):
        assert getattr(demand, name) == getattr(request_, name)
    assert not [number for number in values.values() if len(number) > 2 and number in repr(expected)]
    assert not [tag for tag in tagged.values() if tag.hex() in repr(expected) or repr(tag)[2:-1] in repr(expected)]
    # So many may wait that what they have in common must be there once.
    assert Expectation.of(request_, tags=TAGS, issued_from=6.0).demand is demand
    assert not hasattr(expected, "__dict__")
