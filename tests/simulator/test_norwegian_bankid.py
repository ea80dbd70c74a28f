"""Tests of the simulated phone of Norwegian BankID."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from idura_ciba.simulator import Wish
from idura_ciba.simulator.norwegian_bankid import NORWEGIAN_BANKID, invent_words
from idura_ciba.simulator.people import dice

ASKED = {
    "scope": "openid",
    "login_hint": "sub:ssn:01023990128",
    "acr_values": "urn:grn:authn:no:bankid",
    "authorization_details": '[{"type":"customerServiceCall.v1"}]',
}
WISH = Wish(NORWEGIAN_BANKID, "01023990128")


def test_it_is_understood(read: Callable[..., Wish]) -> None:
    """The acr decides the eID, the hint the person."""
    assert read(ASKED) == evolve(WISH, detail={"type": "customerServiceCall.v1"})


def test_the_norwegian_level_may_be_asked_for(read: Callable[..., Wish]) -> None:
    """Biometrics is what the caller authentication uses anyway."""
    assert read({**ASKED, "acr_values": "urn:grn:authn:no:bankid:substantial"}).eid is NORWEGIAN_BANKID


@pytest.mark.parametrize("hint", ["sub:ssn:209801011231", ":01023990128"])
def test_a_hint_of_another_grammar_is_refused(hint: str, refusal: Callable[..., str]) -> None:
    """Eleven digits after one prefix."""
    assert refusal(ASKED, login_hint=hint) == "invalid_request"


def test_norwegian_words_are_not_the_clients(refusal: Callable[..., str]) -> None:
    """Norwegian BankID must not be sent a binding message."""
    assert refusal(ASKED, binding_message="Hello") == "invalid_binding_message"


def test_authorization_details_are_required(refusal: Callable[..., str]) -> None:
    """It needs to be told that this is a call."""
    assert refusal(ASKED, authorization_details=None) == "invalid_request"


def test_norwegian_details_have_no_members(refusal: Callable[..., str]) -> None:
    """`customerServiceCall.v1` stands alone."""
    details = '[{"type":"customerServiceCall.v1","callInitiator":"RP"}]'
    assert refusal(ASKED, authorization_details=details) == "invalid_authorization_details"


def test_words_are_a_pair_and_vary() -> None:
    """An adjective and a noun, of many."""
    made_up = dice("words")
    pairs = {invent_words(made_up) for _ in range(200)}
    assert all(len(pair.split(" ")) == 2 for pair in pairs)
    assert len(pairs) > 100


def test_a_norwegian_token_is_one_of_biometrics(claims: Callable[..., dict[str, Any]]) -> None:
    """The substantial level, no certsubject, and the number only with consent."""
    token = claims(WISH)
    assert token["identityscheme"] == "nobankid-oidc"
    assert token["authenticationtype"] == "urn:grn:authn:no:bankid:substantial"
    assert token["birthdate"] == "2039-02-01"
    assert token["socialno"] == "01023990128"
    assert token["country"] == "NO"
    assert "uniqueuserid" in token
    assert "certsubject" not in token
    assert "socialno" not in claims(WISH, shares_number=False)


@pytest.mark.parametrize(
    ("number", "birthdate"),
    [
        ("01023990128", "2039-02-01"),
        ("27034698436", "1946-03-27"),
        ("55063990360", "2039-06-15"),
        ("10915549050", "1955-11-10"),
        ("43849048075", "1990-04-03"),
        ("10456048078", "1960-05-10"),
        ("01763990128", "2039-11-01"),
    ],
    ids=["plain", "last century", "D-number", "month+80", "D-number, month+80", "month+40", "month+65"],
)
def test_a_norwegian_birthdate_is_in_the_number(
    number: str, birthdate: str, claims: Callable[..., dict[str, Any]]
) -> None:
    """Also in that of a D-number or a synthetic person."""
    assert claims(Wish(NORWEGIAN_BANKID, number))["birthdate"] == birthdate
