"""Tests of the simulated phone of Swedish BankID."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from attrs import evolve

from idura_ciba.simulator import Wish
from idura_ciba.simulator.swedish_bankid import SWEDISH_BANKID

ASKED = {
    "scope": "openid",
    "login_hint": "sub:ssn:209801011231",
    "acr_values": "urn:grn:authn:se:bankid",
    "authorization_details": '[{"type":"phoneAuth","callInitiator":"RP"}]',
}
WISH = Wish(SWEDISH_BANKID, "209801011231")


def test_it_is_understood(read: Callable[..., Wish]) -> None:
    """The acr decides the eID, the hint the person; what the person is shown is kept."""
    assert read(ASKED) == evolve(WISH, detail={"type": "phoneAuth", "callInitiator": "RP"})


@pytest.mark.parametrize("initiator", ["RP", "user"])
def test_a_call_may_come_from_either_side(initiator: str, read: Callable[..., Wish]) -> None:
    """`callInitiator` is `RP` or `user`."""
    details = f'[{{"type":"phoneAuth","callInitiator":"{initiator}"}}]'
    assert read({**ASKED, "authorization_details": details}).eid is SWEDISH_BANKID


@pytest.mark.parametrize(
    "hint",
    [
        "209801011231",
        "sub:209801011231",
        "sub:ssn:9801011231",
        "sub:ssn:209801011231\n",
        "sub:ssn:٢٠٩٨٠١٠١١٢٣١",
        "sub:ssn:209801011231 sub:ssn:209602294564",
        "sub:ssn:209801011231 minregistrationlevel:plus",
        "sub:email:somebody@simulator.invalid",
    ],
)
def test_a_hint_of_another_grammar_is_refused(hint: str, refusal: Callable[..., str]) -> None:
    """Twelve ASCII digits after one prefix, and one person."""
    assert refusal(ASKED, login_hint=hint) == "invalid_request"


def test_a_binding_message_holds_1125_bytes(read: Callable[..., Wish], refusal: Callable[..., str]) -> None:
    """The limit counts bytes, not characters."""
    assert read({**ASKED, "binding_message": "å" * 562 + "a"}).eid is SWEDISH_BANKID
    assert refusal(ASKED, binding_message="å" * 563) == "invalid_binding_message"


def test_authorization_details_are_required(refusal: Callable[..., str]) -> None:
    """It needs to be told that this is a call."""
    assert refusal(ASKED, authorization_details=None) == "invalid_request"


@pytest.mark.parametrize(
    "details",
    [
        "phoneAuth",
        "{}",
        "[]",
        "[" * 100_000,
        '["phoneAuth"]',
        '[{"callInitiator":"RP"}]',
        '[{"type":1,"callInitiator":"RP"}]',
        '[{"type":"phoneAuth"}]',
        '[{"type":"phoneAuth","callInitiator":"rp"}]',
        '[{"type":"phoneAuth","callInitiator":"RP","extra":1}]',
        '[{"type":"customerServiceCall.v1"}]',
        '[{"type":"phoneAuth","callInitiator":"RP"},{"type":"phoneAuth","callInitiator":"RP"}]',
    ],
)
def test_bad_authorization_details_have_their_own_code(details: str, refusal: Callable[..., str]) -> None:
    """Unknown type, unknown member, bad value, missing member (RFC 9396 section 5)."""
    assert refusal(ASKED, authorization_details=details) == "invalid_authorization_details"


def test_the_documented_encoding_of_the_details_is_understood(read: Callable[..., Wish]) -> None:
    """The form bytes of Idura's own example."""
    body = "authorization_details=%5B%7B%22type%22%3A%22phoneAuth%22%2C%22callInitiator%22%3A%22RP%22%7D%5D"
    details = dict(parse_qsl(body))["authorization_details"]
    assert json.loads(details) == [{"type": "phoneAuth", "callInitiator": "RP"}]
    assert read({**ASKED, "authorization_details": details}).eid is SWEDISH_BANKID


def test_a_swedish_token_has_the_shape_of_iduras_sample(claims: Callable[..., dict[str, Any]]) -> None:
    """The same members in the same order; no jti, nonce, acr, amr, auth_time, azp or at_hash."""
    token = claims(WISH)
    assert " ".join(token) == (
        "iss aud identityscheme authenticationtype authenticationmethod authenticationinstant nameidentifier sub "
        "sessionindex ssn name givenname given_name surname family_name ipaddress country iat nbf exp"
    )
    assert token["iss"] == "https://simulator.idura.broker"
    assert token["aud"] == "urn:ciba"
    assert token["identityscheme"] == "sebankid"
    assert token["authenticationtype"] == "urn:grn:authn:se:bankid"
    assert token["authenticationmethod"] == "urn:oasis:names:tc:SAML:2.0:ac:classes:SoftwarePKI"
    assert token["authenticationinstant"] == "2024-05-22T10:41:41.361Z"
    assert token["ssn"] == "209801011231"
    assert token["country"] == "SE"
    assert token["name"] == f"{token['given_name']} {token['family_name']}"
    assert (token["iat"], token["nbf"], token["exp"]) == (1716374501, 1716374501, 1716375701)


def test_a_swedish_token_can_lack_the_number(claims: Callable[..., dict[str, Any]]) -> None:
    """For tests of clients that must notice."""
    assert "ssn" not in claims(WISH, shares_number=False)
