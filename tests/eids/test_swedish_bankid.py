"""Tests of Swedish BankID."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.swedish_bankid import SWEDISH_BANKID, SwedishBankID
from idura_ciba.errors import UsageError
from idura_ciba.protocol.requests import encode_form

SWEDISH = "209801011231"
MESSAGE = "Your call to Acme"


def swedish(**overrides: Any) -> SwedishBankID:
    """A Swedish request that is as it should be, but for the overrides."""
    return SwedishBankID(SWEDISH, **{"call_initiator": "RP", "message": MESSAGE, **overrides})


def code(make: Callable[[], object]) -> str:
    """The code of the usage error that making something raises."""
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value.code


@pytest.mark.parametrize("call_initiator", ["RP", "user"])
def test_swedish_bankid_sends_what_idura_documents(call_initiator: str) -> None:
    """The parameters are those of Idura's example, and the details are written without a space."""
    request = swedish(call_initiator=call_initiator)
    assert request.parameters() == {
        "scope": "openid",
        "login_hint": f"sub:ssn:{SWEDISH}",
        "acr_values": "urn:grn:authn:se:bankid",
        "binding_message": MESSAGE,
        "authorization_details": f'[{{"type":"phoneAuth","callInitiator":"{call_initiator}"}}]',
    }


@pytest.mark.parametrize("written", ["20980101-1231", "980101-1231", "'980101\u20131231\n", "980101+1231"])
def test_the_number_may_be_written_in_any_way(written: str) -> None:
    """Only its normal form goes out and is compared, so that two spellings of one person are one person."""
    today = date(2198, 6, 1) if "+" in written else date(2098, 6, 1)
    request = SwedishBankID(written, call_initiator="RP", message=MESSAGE, today=today)
    assert request == swedish()
    assert request.person_key == f"sub:ssn:{SWEDISH}"
    assert (request.identity, request.identity_elsewhere) == (swedish().identity, swedish().identity_elsewhere)


def test_the_details_of_swedish_bankid_encode_as_in_iduras_example() -> None:
    """The percent-encoded text of the documentation comes out byte by byte."""
    assert (
        b"authorization_details=%5B%7B%22type%22%3A%22phoneAuth%22%2C%22callInitiator%22%3A%22RP%22%7D%5D"
        in encode_form(swedish().parameters())
    )


def test_swedish_bankid_always_confirms_the_person() -> None:
    """Its tokens always carry the number, so a token without it is no login."""
    request = swedish()
    assert request.identity == {("ssn",): SWEDISH}
    assert request.identity_guaranteed


def test_the_longest_message_of_swedish_bankid_passes() -> None:
    """1125 bytes are 1500 characters of base64, which is what BankID takes; letters count by their bytes."""
    assert swedish(message="å" * 562 + "x").binding_message == "å" * 562 + "x"


def test_no_message_can_be_sent_on_purpose() -> None:
    """Whether Idura insists on a message is not certain, so there is a way round the rule."""
    request = SwedishBankID(SWEDISH, call_initiator="RP", binding_message=None)
    assert "binding_message" not in request.parameters()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: swedish(message=""), "message_required"),
        (lambda: swedish(message=" \n"), "message_required"),
        (lambda: SwedishBankID(SWEDISH, call_initiator="RP"), "message_required"),
        (lambda: swedish(binding_message="another"), "message_required"),
        (lambda: swedish(message="å" * 563), "message_too_long"),
        (lambda: swedish(message="", binding_message="x" * 1126), "message_too_long"),
        (lambda: swedish(message="\ud800"), "parameter_encoding"),
        (lambda: swedish(call_initiator="rp"), "call_initiator"),
        (lambda: swedish(call_initiator="User"), "call_initiator"),
        (lambda: SwedishBankID("9801011231", call_initiator="RP", message=MESSAGE), "national_number_century_missing"),
        (lambda: swedish(identity={}, require_person=True), "require_person"),
    ],
)
def test_a_request_that_cannot_work_is_refused_where_it_is_made(make: Callable[[], object], expected: str) -> None:
    """Each broken rule has its code, and no phone rings."""
    assert code(make) == expected


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda value: SwedishBankID(value, call_initiator="RP", message=MESSAGE), "ssn"),
        (lambda value: SwedishBankID(SWEDISH, call_initiator="RP", message=value), "message"),
        (lambda value: SwedishBankID(SWEDISH, call_initiator=value, message=MESSAGE), "call_initiator"),
    ],
)
def test_it_takes_text_and_nothing_that_looks_like_it(make: Callable[[Any], object], name: str) -> None:
    """A number loses its zeros, and None would be shown on the person's phone."""
    for value in (209801011231, b"209801011231", ["RP"], {"RP"}, True):
        assert code(lambda value=value: make(value)) == name  # type: ignore[misc]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SwedishBankID("209801011232", call_initiator="RP", message=MESSAGE),
        lambda: SwedishBankID("209801011232", call_initiator="rp", message=MESSAGE),  # type: ignore[arg-type]
        lambda: SwedishBankID("209801011231", call_initiator="RP", message="209801011232" * 100),
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


@given(message=st.text(max_size=400))
def test_any_message_is_sent_as_it_is_or_refused(message: str) -> None:
    """What the person reads is what was passed, byte by byte, whatever its characters."""
    try:
        request = swedish(message=message)
    except UsageError:
        assert not message.strip() or not encodable(message) or len(message.encode()) > 1125
    else:
        assert dict(parse_qsl(encode_form(request.parameters()).decode()))["binding_message"] == message


def encodable(text: str) -> bool:
    """Say whether UTF-8 can hold a text."""
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def test_its_declaration_makes_the_same_request() -> None:
    """For the command and for files."""
    request = SWEDISH_BANKID.ask(SWEDISH, call_initiator="RP", message=MESSAGE, scope="openid x")
    assert request == swedish(scope="openid x")
    assert isinstance(request, SwedishBankID)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"message": MESSAGE}, "call_initiator"),
        ({"message": MESSAGE, "call_initiator": "rp"}, "call_initiator"),
        ({"call_initiator": "user"}, "message_required"),
        ({"call_initiator": "user", "message": " "}, "message_required"),
    ],
)
def test_its_declaration_says_what_is_missing(given: dict[str, Any], expected: str) -> None:
    """By the codes of the class."""
    assert code(lambda: SWEDISH_BANKID.ask(SWEDISH, **given)) == expected
