"""Tests of the simulated phone of FrejaID."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba.simulator import Wish
from idura_ciba.simulator.frejaid import FREJAID

ASKED = {"scope": "openid", "login_hint": "sub:ssn:209712310011", "acr_values": "urn:grn:authn:se:frejaid"}
WISH = Wish(FREJAID, "209712310011")


def test_it_is_understood(read: Callable[..., Wish]) -> None:
    """The acr decides the eID, the hint the person."""
    assert read(ASKED) == WISH


@pytest.mark.parametrize(
    ("hint", "person", "is_number", "qualifiers"),
    [
        ("sub:email:somebody@simulator.invalid", "somebody@simulator.invalid", False, {}),
        ("sub:phone:+4600000000", "+4600000000", False, {}),
        ("sub:ssncountry:NO sub:ssn:01023990128", "01023990128", True, {"sub:ssncountry:": "NO"}),
        (
            "sub:ssn:010190-999A sub:ssncountry:FI minregistrationlevel:plus",
            "010190-999A",
            True,
            {"sub:ssncountry:": "FI", "minregistrationlevel:": "plus"},
        ),
    ],
)
def test_people_are_known_in_several_ways(
    hint: str, person: str, is_number: bool, qualifiers: dict[str, str], read: Callable[..., Wish]
) -> None:
    """By e-mail, by phone, and by numbers of several countries."""
    assert read({**ASKED, "login_hint": hint}) == Wish(FREJAID, person, is_number, qualifiers)


@pytest.mark.parametrize(
    "hint",
    [
        "sub:email:nobody",
        "sub:phone:0700",
        "minregistrationlevel:plus",
        "sub:ssn:209712310011 sub:email:somebody@simulator.invalid",
    ],
)
def test_a_hint_of_another_grammar_is_refused(hint: str, refusal: Callable[..., str]) -> None:
    """It names exactly one person."""
    assert refusal(ASKED, login_hint=hint) == "invalid_request"


def test_freja_takes_any_well_formed_details(read: Callable[..., Wish], refusal: Callable[..., str]) -> None:
    """What Freja wants is not published, so only the shape is checked."""
    assert read({**ASKED, "authorization_details": '[{"type":"anything"}]'}).eid is FREJAID
    assert refusal(ASKED, authorization_details="[1]") == "invalid_authorization_details"


def test_a_freja_token_nests_the_number(claims: Callable[..., dict[str, Any]]) -> None:
    """Number and country stand in `details.requestedAttributes.ssn`."""
    token = claims(WISH)
    assert token["identityscheme"] == "sefrejaid"
    assert token["status"] == "APPROVED"
    assert token["userInfoType"] == "SSN"
    assert token["registrationLevel"] == "PLUS"
    assert token["details"]["requestedAttributes"]["ssn"] == {"ssn": "209712310011", "country": "SE"}
    assert "ssn" not in claims(WISH, shares_number=False)["details"]["requestedAttributes"]


def test_a_token_has_the_country_of_the_number(claims: Callable[..., dict[str, Any]]) -> None:
    """As the hint had it."""
    token = claims(Wish(FREJAID, "01023990128", qualifiers={"sub:ssncountry:": "NO"}))
    assert token["country"] == token["details"]["requestedAttributes"]["ssn"]["country"] == "NO"


@pytest.mark.parametrize(("person", "kind"), [("somebody@simulator.invalid", "EMAIL"), ("+4600000000", "PHONE")])
def test_a_freja_token_says_how_the_person_was_found(
    person: str, kind: str, claims: Callable[..., dict[str, Any]]
) -> None:
    """By e-mail or by phone."""
    token = claims(Wish(FREJAID, person, is_number=False))
    assert token["userInfoType"] == kind
    assert (token["details"]["requestedAttributes"]["emailAddress"] == person) == (kind == "EMAIL")
