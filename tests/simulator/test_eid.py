"""Tests of how the simulator reads an authentication request."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from attrs import evolve

from idura_ciba.errors import UsageError
from idura_ciba.simulator import EIDS, SimulatedEid, Wish
from idura_ciba.simulator.eid import by_acr, read_wish
from idura_ciba.simulator.messages import Refusal
from idura_ciba.simulator.swedish_bankid import SWEDISH_BANKID

SE = {
    "scope": "openid",
    "login_hint": "sub:ssn:209801011231",
    "acr_values": "urn:grn:authn:se:bankid",
    "authorization_details": '[{"type":"phoneAuth","callInitiator":"RP"}]',
}


def test_exactly_one_hint_is_required(refusal: Callable[..., str]) -> None:
    """None and two are refused (CIBA Core section 7.2)."""
    assert refusal(SE, login_hint=None) == "invalid_request"
    assert refusal(SE, id_token_hint="x.y.z") == "invalid_request"
    assert refusal(SE, login_hint_token="x", id_token_hint="y") == "invalid_request"


@pytest.mark.parametrize("name", ["login_hint_token", "id_token_hint"])
def test_other_hints_identify_nobody(name: str, refusal: Callable[..., str]) -> None:
    """The tenant knows people by `login_hint`."""
    assert refusal({**SE, name: "x"}, login_hint=None) == "unknown_user_id"


def test_scope_must_have_openid(read: Callable[..., Wish], refusal: Callable[..., str]) -> None:
    """A missing scope is a missing parameter, a scope without `openid` a bad one; more scopes are fine."""
    assert refusal(SE, scope=None) == "invalid_request"
    assert refusal(SE, scope="profile openid2") == "invalid_scope"
    assert read({**SE, "scope": "ssn openid"}).eid is SWEDISH_BANKID


@pytest.mark.parametrize("acr", [None, "urn:grn:authn:dk:mitid", "urn:grn:authn:se:bankid urn:grn:authn:no:bankid"])
def test_acr_values_must_name_one_known_eid(acr: str | None, refusal: Callable[..., str]) -> None:
    """Idura takes one value."""
    assert refusal(SE, acr_values=acr) == "invalid_request"


def test_a_signed_request_is_not_supported(refusal: Callable[..., str]) -> None:
    """The parameter `request` is refused instead of being ignored."""
    assert refusal(SE, request="x.y.z") == "request_not_supported"


@pytest.mark.parametrize("expiry", ["0", "-1", "1.5", "1e3", "٣", "9999999999", "abc"])
def test_a_requested_expiry_is_a_positive_integer(expiry: str, refusal: Callable[..., str]) -> None:
    """Everything else is `invalid_request`."""
    assert refusal(SE, requested_expiry=expiry) == "invalid_request"


def test_a_requested_expiry_is_read(read: Callable[..., Wish]) -> None:
    """A good one is a number of seconds."""
    assert read({**SE, "requested_expiry": "45"}).requested_expiry == 45


def test_unknown_parameters_are_ignored(read: Callable[..., Wish]) -> None:
    """Providers ignore what they do not know (CIBA Core section 7.2)."""
    assert read({**SE, "callInitiator": "RP", "user_code": "1"}) == read(SE)


def test_a_wish_hides_the_person(read: Callable[..., Wish]) -> None:
    """No number in a repr."""
    assert "209801011231" not in repr(read(SE))


PLAIN = SimulatedEid(
    name="plain",
    acr_values=("urn:example:plain",),
    reached="urn:example:plain",
    scheme="plain",
    expires_in=60,
    pending=("waiting",) * 3,
    claims=lambda _wish, _person, _shares_number: {},
    number=re.compile("[0-9]{4}"),
    prefix="no:",
    message_bytes=5,
)


def test_an_eid_of_ones_own_is_read_by_what_it_declares() -> None:
    """With its own prefix, its own numbers and its own bound; nothing is asked of the details."""
    form = {"scope": "openid", "login_hint": "no:1234", "acr_values": "urn:example:plain", "binding_message": "Hello"}
    eids = by_acr([*EIDS, PLAIN])
    assert read_wish(form, eids) == Wish(PLAIN, "1234", message="Hello")
    for name, value in (("login_hint", "sub:ssn:1234"), ("login_hint", "no:12"), ("binding_message", "Hello!")):
        with pytest.raises(Refusal):
            read_wish({**form, name: value}, eids)


@pytest.mark.parametrize(
    "second", [evolve(PLAIN, name="se"), evolve(PLAIN, acr_values=("urn:a", "urn:grn:authn:se:bankid"))]
)
def test_two_eids_of_one_name_are_refused(second: SimulatedEid) -> None:
    """Or of one acr value: nobody could say which one was meant."""
    with pytest.raises(UsageError) as refused:
        by_acr([SWEDISH_BANKID, second])
    assert refused.value.code == "eid_twice"
