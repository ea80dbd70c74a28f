"""Tests of how the simulator reads an authentication request."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest

from idura_ciba.simulator.eids import FREJA_ID, NORWEGIAN_BANKID, SWEDISH_BANKID, Eid, Wish, read_wish
from idura_ciba.simulator.messages import Refusal

SE = {
    "scope": "openid",
    "login_hint": "sub:ssn:209801011231",
    "acr_values": "urn:grn:authn:se:bankid",
    "authorization_details": '[{"type":"phoneAuth","callInitiator":"RP"}]',
}
NO = {
    "scope": "openid",
    "login_hint": "sub:ssn:01023990128",
    "acr_values": "urn:grn:authn:no:bankid",
    "authorization_details": '[{"type":"customerServiceCall.v1"}]',
}
FREJA = {"scope": "openid", "login_hint": "sub:ssn:209712310011", "acr_values": "urn:grn:authn:se:frejaid"}


def refusal(base: dict[str, str], **changes: str | None) -> str:
    """The code with which a request with such changes is refused."""
    form = {name: value for name, value in {**base, **changes}.items() if value is not None}
    with pytest.raises(Refusal) as refused:
        read_wish(form)
    return refused.value.error


@pytest.mark.parametrize(
    ("form", "eid", "person", "country"),
    [
        (SE, SWEDISH_BANKID, "209801011231", "SE"),
        (NO, NORWEGIAN_BANKID, "01023990128", "NO"),
        (FREJA, FREJA_ID, "209712310011", "SE"),
    ],
)
def test_each_eid_is_understood(form: dict[str, str], eid: Eid, person: str, country: str) -> None:
    """The acr decides the eID, the hint the person."""
    assert read_wish(form) == Wish(eid, person, is_number=True, country=country, requested_expiry=None)


@pytest.mark.parametrize("initiator", ["RP", "user"])
def test_a_call_may_come_from_either_side(initiator: str) -> None:
    """`callInitiator` is `RP` or `user`."""
    details = f'[{{"type":"phoneAuth","callInitiator":"{initiator}"}}]'
    assert read_wish({**SE, "authorization_details": details}).eid is SWEDISH_BANKID


@pytest.mark.parametrize(
    ("hint", "person", "is_number", "country"),
    [
        ("sub:email:somebody@simulator.invalid", "somebody@simulator.invalid", False, "SE"),
        ("sub:phone:+4600000000", "+4600000000", False, "SE"),
        ("sub:ssncountry:NO sub:ssn:01023990128", "01023990128", True, "NO"),
        ("sub:ssn:010190-999A sub:ssncountry:FI minregistrationlevel:plus", "010190-999A", True, "FI"),
    ],
)
def test_freja_knows_people_in_several_ways(hint: str, person: str, is_number: bool, country: str) -> None:
    """By e-mail, by phone, and by numbers of several countries."""
    assert read_wish({**FREJA, "login_hint": hint}) == Wish(FREJA_ID, person, is_number, country, None)


@pytest.mark.parametrize(
    ("base", "hint"),
    [
        (SE, "209801011231"),
        (SE, "sub:209801011231"),
        (SE, "sub:ssn:9801011231"),
        (SE, "sub:ssn:209801011231\n"),
        (SE, "sub:ssn:٢٠٩٨٠١٠١١٢٣١"),
        (SE, "sub:ssn:209801011231 sub:ssn:209602294564"),
        (SE, "sub:ssn:209801011231 minregistrationlevel:plus"),
        (SE, "sub:email:somebody@simulator.invalid"),
        (NO, "sub:ssn:209801011231"),
        (NO, ":01023990128"),
        (FREJA, "sub:email:nobody"),
        (FREJA, "sub:phone:0700"),
        (FREJA, "minregistrationlevel:plus"),
        (FREJA, "sub:ssn:209712310011 sub:email:somebody@simulator.invalid"),
    ],
)
def test_a_hint_of_another_grammar_is_refused(base: dict[str, str], hint: str) -> None:
    """Each eID has its own grammar, ASCII digits only, and exactly one person."""
    assert refusal(base, login_hint=hint) == "invalid_request"


def test_exactly_one_hint_is_required() -> None:
    """None and two are refused (CIBA Core section 7.2)."""
    assert refusal(SE, login_hint=None) == "invalid_request"
    assert refusal(SE, id_token_hint="x.y.z") == "invalid_request"
    assert refusal(SE, login_hint_token="x", id_token_hint="y") == "invalid_request"


@pytest.mark.parametrize("name", ["login_hint_token", "id_token_hint"])
def test_other_hints_identify_nobody(name: str) -> None:
    """The tenant knows people by `login_hint`."""
    assert refusal({**SE, name: "x"}, login_hint=None) == "unknown_user_id"


def test_scope_must_have_openid() -> None:
    """A missing scope is a missing parameter, a scope without `openid` a bad one; more scopes are fine."""
    assert refusal(SE, scope=None) == "invalid_request"
    assert refusal(SE, scope="profile openid2") == "invalid_scope"
    assert read_wish({**SE, "scope": "ssn openid"}).eid is SWEDISH_BANKID


@pytest.mark.parametrize("acr", [None, "urn:grn:authn:dk:mitid", "urn:grn:authn:se:bankid urn:grn:authn:no:bankid"])
def test_acr_values_must_name_one_known_eid(acr: str | None) -> None:
    """Idura takes one value."""
    assert refusal(SE, acr_values=acr) == "invalid_request"


def test_the_norwegian_level_may_be_asked_for() -> None:
    """Biometrics is what the caller authentication uses anyway."""
    assert read_wish({**NO, "acr_values": "urn:grn:authn:no:bankid:substantial"}).eid is NORWEGIAN_BANKID


def test_a_signed_request_is_not_supported() -> None:
    """The parameter `request` is refused instead of being ignored."""
    assert refusal(SE, request="x.y.z") == "request_not_supported"


def test_norwegian_words_are_not_the_clients() -> None:
    """Norwegian BankID must not be sent a binding message."""
    assert refusal(NO, binding_message="Hello") == "invalid_binding_message"


def test_a_binding_message_holds_1125_bytes() -> None:
    """The limit counts bytes, not characters."""
    assert read_wish({**SE, "binding_message": "å" * 562 + "a"}).eid is SWEDISH_BANKID
    assert refusal(SE, binding_message="å" * 563) == "invalid_binding_message"


@pytest.mark.parametrize("base", [SE, NO])
def test_authorization_details_are_required(base: dict[str, str]) -> None:
    """Both BankIDs need to be told that this is a call."""
    assert refusal(base, authorization_details=None) == "invalid_request"


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
def test_bad_authorization_details_have_their_own_code(details: str) -> None:
    """Unknown type, unknown member, bad value, missing member (RFC 9396 section 5)."""
    assert refusal(SE, authorization_details=details) == "invalid_authorization_details"


def test_norwegian_details_have_no_members() -> None:
    """`customerServiceCall.v1` stands alone."""
    details = '[{"type":"customerServiceCall.v1","callInitiator":"RP"}]'
    assert refusal(NO, authorization_details=details) == "invalid_authorization_details"


def test_freja_takes_any_well_formed_details() -> None:
    """What Freja wants is not published, so only the shape is checked."""
    assert read_wish({**FREJA, "authorization_details": '[{"type":"anything"}]'}).eid is FREJA_ID
    assert refusal(FREJA, authorization_details="[1]") == "invalid_authorization_details"


@pytest.mark.parametrize("expiry", ["0", "-1", "1.5", "1e3", "٣", "9999999999", "abc"])
def test_a_requested_expiry_is_a_positive_integer(expiry: str) -> None:
    """Everything else is `invalid_request`."""
    assert refusal(SE, requested_expiry=expiry) == "invalid_request"


def test_a_requested_expiry_is_read() -> None:
    """A good one is a number of seconds."""
    assert read_wish({**SE, "requested_expiry": "45"}).requested_expiry == 45


def test_unknown_parameters_are_ignored() -> None:
    """Providers ignore what they do not know (CIBA Core section 7.2)."""
    assert read_wish({**SE, "callInitiator": "RP", "user_code": "1"}) == read_wish(SE)


def test_a_wish_hides_the_person() -> None:
    """No number in a repr."""
    assert "209801011231" not in repr(read_wish(SE))


def test_the_documented_encoding_of_the_details_is_understood() -> None:
    """The form bytes of Idura's own example."""
    body = "authorization_details=%5B%7B%22type%22%3A%22phoneAuth%22%2C%22callInitiator%22%3A%22RP%22%7D%5D"
    details = dict(parse_qsl(body))["authorization_details"]
    assert json.loads(details) == [{"type": "phoneAuth", "callInitiator": "RP"}]
    assert read_wish({**SE, "authorization_details": details}).eid is SWEDISH_BANKID
