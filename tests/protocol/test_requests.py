"""Tests of what is sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import UsageError
from idura_ciba.protocol.requests import (
    GRANT_TYPE,
    _quoted_name,
    build_authentication_request,
    build_refresh_request,
    build_token_request,
    encode_form,
)

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "private-key-jwt.json").read_text(encoding="utf-8"))

AUTH_REQ_ID = "3857f8ff-21b9-48ae-a732-a3bd8128a7ae"
SSN = "209801011231"


def test_a_request_is_written_as_idura_documents_it() -> None:
    """The parameters of the example for Swedish BankID, byte for byte."""
    parameters = build_authentication_request(
        login_hint=f"sub:ssn:{SSN}",
        acr_values="urn:grn:authn:se:bankid",
        binding_message="Hej",
        authorization_details=[{"type": "phoneAuth", "callInitiator": "RP"}],
    )
    assert encode_form(parameters) == (
        b"scope=openid&login_hint=sub%3Assn%3A209801011231&acr_values=urn%3Agrn%3Aauthn%3Ase%3Abankid"
        b"&binding_message=Hej"
        b"&authorization_details=%5B%7B%22type%22%3A%22phoneAuth%22%2C%22callInitiator%22%3A%22RP%22%7D%5D"
    )


def test_a_poll_is_written_as_idura_documents_it() -> None:
    """The id and the grant type, then whatever authenticates the client."""
    body = encode_form(
        {
            **build_token_request(AUTH_REQ_ID),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": VECTOR["assertion"],
        }
    )
    assert body == (
        b"auth_req_id=3857f8ff-21b9-48ae-a732-a3bd8128a7ae&grant_type=urn%3Aopenid%3Aparams%3Agrant-type%3Aciba"
        b"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        b"&client_assertion=" + VECTOR["assertion"].encode()
    )
    assert GRANT_TYPE == "urn:openid:params:grant-type:ciba"


def test_every_parameter_has_its_place() -> None:
    """All arguments arrive under their wire names, and nothing else does."""
    assert build_authentication_request(
        scope="openid ssn",
        id_token_hint="e30.e30.",
        acr_values="a b",
        binding_message="W4SCT",
        user_code="1234",
        requested_expiry=300,
        authorization_details=({"type": "x"},),
        extra={"ui_locales": "nb"},
    ) == {
        "scope": "openid ssn",
        "id_token_hint": "e30.e30.",
        "acr_values": "a b",
        "binding_message": "W4SCT",
        "user_code": "1234",
        "requested_expiry": "300",
        "authorization_details": '[{"type":"x"}]',
        "ui_locales": "nb",
    }


def test_what_has_no_value_is_not_sent() -> None:
    """An empty parameter counts as absent on the wire, so it stays at home."""
    assert build_authentication_request(
        login_hint="kim", login_hint_token="", acr_values="", binding_message="", user_code="", authorization_details=()
    ) == {"scope": "openid", "login_hint": "kim"}


@pytest.mark.parametrize("seconds", [1, 300, 10**9])
def test_any_positive_number_of_seconds_may_be_requested(seconds: int) -> None:
    """Whether it makes sense is the provider's to say."""
    assert build_authentication_request(login_hint="kim", requested_expiry=seconds)["requested_expiry"] == str(seconds)


@pytest.mark.parametrize("hint", ["login_hint", "login_hint_token", "id_token_hint"])
def test_each_of_the_three_hints_can_stand_alone(hint: str) -> None:
    """Whichever hint is given is the one that is sent."""
    assert build_authentication_request(**{hint: "kim"}) == {"scope": "openid", hint: "kim"}


#: Parameters with an argument of their own, or set by the flow.
RESERVED = (
    *("scope", "login_hint", "login_hint_token", "id_token_hint", "acr_values", "binding_message"),
    *("user_code", "requested_expiry", "authorization_details", "client_id", "client_secret"),
    *("client_assertion", "client_assertion_type", "grant_type", "auth_req_id", "request", "request_uri"),
)
#: Parameters that a claim of the ID token answers.
ECHOED = ("nonce", "max_age")
#: What stands in the caller's log, by code: each of these tells what to change.
SENTENCES: Mapping[str, set[str]] = {
    "one_hint": {
        f"Exactly one of login_hint, login_hint_token and id_token_hint is needed, {given} were given. "
        "Say in one way who is to be asked. [one_hint]"
        for given in (0, 2, 3)
    },
    "scope": {"The scope lacks openid. CIBA is OpenID Connect: add openid to scope. [scope]"},
    "requested_expiry": {"Requested_expiry is not a positive whole number of seconds. [requested_expiry]"},
    "extra_parameter": {
        f"The extra parameter {name!r} belongs to the protocol. "
        "Use the argument of that name, or leave it to the client. [extra_parameter]"
        for name in RESERVED
    }
    | {
        f"The extra parameter {name!r} demands a claim of the ID token that this client would not compare. "
        "Leave it out: a login belongs to its request by its auth_req_id, and is never older than it. [extra_parameter]"
        for name in ECHOED
    },
    "authorization_details": {
        f"Authorization_details {fault}. [authorization_details]"
        for fault in (
            'is not a list of objects with a type. Pass for example [{"type": "phoneAuth", "callInitiator": "RP"}]',
            "holds something that JSON cannot say",
        )
    },
}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"login_hint": None}, "one_hint"),
        ({"login_hint": ""}, "one_hint"),
        ({"login_hint_token": "t"}, "one_hint"),
        ({"id_token_hint": "t"}, "one_hint"),
        ({"login_hint_token": "t", "id_token_hint": "t"}, "one_hint"),
        ({"scope": ""}, "scope"),
        ({"scope": "profile"}, "scope"),
        ({"scope": "profile\u00a0openid"}, "scope"),
        ({"scope": "profile\topenid"}, "scope"),
        ({"scope": "OpenID"}, "scope"),
        ({"scope": "openid2"}, "scope"),
        *(({"requested_expiry": value}, "requested_expiry") for value in (0, -1, True, 1.5, 60.0, "60")),
        *(({"extra": {name: "x"}}, "extra_parameter") for name in (*RESERVED, *ECHOED)),
        ({"login_hint": None, "login_hint_token": "t", "extra": {"login_hint": "x"}}, "extra_parameter"),
    ],
    ids=str,
)
def test_a_request_that_cannot_work_is_refused(arguments: dict[str, Any], code: str) -> None:
    """Before anything is sent, and by a code that says what is wrong."""
    with pytest.raises(UsageError) as caught:
        build_authentication_request(**{"login_hint": SSN, **arguments})
    assert caught.value.code == code
    assert str(caught.value) in SENTENCES[code]
    assert SSN not in str(caught.value)


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ([{"type": "a"}, {"type": "b", "n": 1}], '[{"type":"a"},{"type":"b","n":1}]'),
        (({"type": "a"},), '[{"type":"a"}]'),
        ([MappingProxyType({"type": "a"})], '[{"type":"a"}]'),
        ([{"type": "å", "deep": [{"x": None}, True, 1.5]}], '[{"type":"å","deep":[{"x":null},true,1.5]}]'),
    ],
    ids=["two", "a tuple", "any mapping", "more than ASCII"],
)
def test_details_are_sent_as_compact_json(details: Any, text: str) -> None:
    """No space is wasted, and text beyond ASCII is left to the form's encoding."""
    assert (
        build_authentication_request(login_hint="kim", authorization_details=details)["authorization_details"] == text
    )


def endless() -> list[Any]:
    """A list that holds itself."""
    ring: list[Any] = []
    ring.append(ring)
    return ring


def deep(levels: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "details",
    [
        {"type": "phoneAuth"},
        '[{"type": "phoneAuth"}]',
        b"[]x",
        7,
        ({"type": "a"} for _ in range(1)),
        ["phoneAuth"],
        [{"callInitiator": "RP"}],
        [{"type": 1}],
        [{"type": "a"}, None],
        [{"type": "a", "x": {1, 2}}],
        [{"type": "a", "x": math.nan}],
        [{"type": "a", "x": math.inf}],
        [{"type": "a", ("x",): 1}],
        [{"type": "a", "x": endless()}],
        [{"type": "a", "x": deep(100_000)}],
    ],
    ids=[
        *("one object", "ready JSON", "bytes", "a number", "a generator", "a string", "no type"),
        *("a type that is no text", "None"),
        *("a set", "NaN", "infinity", "a tuple as a name", "a ring", "too deep"),
    ],
)
def test_details_of_another_shape_are_refused(details: Any) -> None:
    """A single object or a ready JSON text would go out wrong, and what JSON cannot say cannot go out."""
    with pytest.raises(UsageError) as caught:
        build_authentication_request(login_hint="kim", authorization_details=details)
    assert caught.value.code == "authorization_details"
    assert str(caught.value) in SENTENCES["authorization_details"]
    assert caught.value.__context__ is None


@pytest.mark.unmeasured
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))))
def test_a_form_is_read_back_as_it_was(parameters: dict[str, str]) -> None:
    """Names, values and their order survive, whatever characters they are made of."""
    body = encode_form(parameters).decode("ascii")
    assert parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body)) == list(parameters.items())


def test_text_that_utf8_cannot_hold_is_refused_without_quoting_it() -> None:
    """Half a surrogate pair cannot be sent, and its neighbours may be a person's."""
    with pytest.raises(UsageError) as caught:
        encode_form({"login_hint": f"{SSN}\ud800"})
    assert str(caught.value) == "A parameter holds text that is not valid Unicode. [parameter_encoding]"
    assert caught.value.__context__ is None


def test_nothing_of_a_person_stays_in_memory() -> None:
    """Quoted names of parameters are kept for the next form, values that may be a person's are not."""
    _quoted_name.cache_clear()
    encode_form({"login_hint": f"sub:ssn:{SSN}"})
    assert _quoted_name.cache_info().currsize == 1


def test_a_refresh_names_its_token_and_nothing_else() -> None:
    """The scope stays what it was."""
    assert build_refresh_request("secret") == {"grant_type": "refresh_token", "refresh_token": "secret"}
