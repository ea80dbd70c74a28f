"""Tests of Norwegian BankID."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba.eids.norwegian_bankid import NORWEGIAN_BANKID, NorwegianBankID
from idura_ciba.errors import UsageError

NORWEGIAN = "01023990128"
SYNTHETIC = "10915549050"
MESSAGE = "Your call to Acme"


def code(make: Callable[[], object]) -> str:
    """The code of the usage error that making something raises."""
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value.code


def test_norwegian_bankid_sends_what_idura_documents() -> None:
    """No message goes out: the words come back."""
    request = NorwegianBankID(NORWEGIAN)
    assert request.parameters() == {
        "scope": "openid",
        "login_hint": f"sub:ssn:{NORWEGIAN}",
        "acr_values": "urn:grn:authn:no:bankid",
        "authorization_details": '[{"type":"customerServiceCall.v1"}]',
    }


def test_the_number_may_be_written_in_any_way() -> None:
    """Only its normal form goes out and is compared."""
    request = NorwegianBankID('="010239\u00a090128"')
    assert request == NorwegianBankID(NORWEGIAN)
    assert request.identity == {("socialno",): NORWEGIAN}


def test_norwegian_bankid_may_withhold_the_person() -> None:
    """The number is compared where it is there; that it must be there, only the caller can demand."""
    request = NorwegianBankID(NORWEGIAN)
    assert request.identity == {("socialno",): NORWEGIAN}
    assert not request.identity_guaranteed
    assert not request.require_person
    insisting = NorwegianBankID(NORWEGIAN, scope="openid ssn", require_person=True)
    assert insisting.parameters()["scope"] == "openid ssn"
    assert insisting.require_person


def test_the_norwegian_message_may_be_left_out_by_name() -> None:
    """None is no message."""
    assert NorwegianBankID(NORWEGIAN, binding_message=None).binding_message is None


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: NorwegianBankID(NORWEGIAN, binding_message=MESSAGE), "message_forbidden"),
        (lambda: NorwegianBankID(NORWEGIAN, binding_message=""), "message_forbidden"),
        (lambda: NorwegianBankID("01023990129"), "national_number_check_digit"),
        (lambda: NorwegianBankID(SYNTHETIC, allow_synthetic=False), "national_number_synthetic"),
    ],
)
def test_a_request_that_cannot_work_is_refused_where_it_is_made(make: Callable[[], object], expected: str) -> None:
    """Each broken rule has its code, and no phone rings."""
    assert code(make) == expected


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (NorwegianBankID, "ssn"),
    ],
)
def test_it_takes_text_and_nothing_that_looks_like_it(make: Callable[[Any], object], name: str) -> None:
    """A number loses its zeros, and None would be shown on the person's phone."""
    for value in (209801011231, b"209801011231", ["RP"], {"RP"}, True):
        assert code(lambda value=value: make(value)) == name  # type: ignore[misc]


@pytest.mark.parametrize(
    "make",
    [
        lambda: NorwegianBankID("209801011232"),
    ],
)
def test_an_error_does_not_tell_of_whom_it_speaks(make: Callable[[], object]) -> None:
    """Not in its text, not in its causes, not in the variables of the frames it has passed, save the caller's own."""
    with pytest.raises(UsageError) as caught:
        make()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    own = [frame for frame in told.stack if frame.filename != __file__]
    shown = f"{caught.value} {caught.value!r} {[frame.locals for frame in own]}"
    assert own
    assert caught.value.__context__ is None
    assert "209801011232" not in shown


def test_a_repr_shows_what_differs_from_the_defaults() -> None:
    """It is short enough for a log line."""
    assert repr(NorwegianBankID(NORWEGIAN, require_person=True)) == (
        "NorwegianBankID(acr_values='urn:grn:authn:no:bankid', require_person=True)"
    )


def test_its_declaration_makes_the_same_request() -> None:
    """For the command and for files."""
    request = NORWEGIAN_BANKID.ask(NORWEGIAN, require_person=True)
    assert request == NorwegianBankID(NORWEGIAN, require_person=True)
    assert isinstance(request, NorwegianBankID)


@pytest.mark.parametrize(
    ("given", "expected"), [({"call_initiator": "RP"}, "call_initiator"), ({"message": MESSAGE}, "message_forbidden")]
)
def test_its_declaration_refuses_what_it_does_not_take(given: dict[str, Any], expected: str) -> None:
    """By the codes of the class, and never by leaving it out in silence."""
    assert code(lambda: NORWEGIAN_BANKID.ask(NORWEGIAN, **given)) == expected
