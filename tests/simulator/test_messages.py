"""Tests of what the simulator reads and writes."""

from __future__ import annotations

import json

import pytest

from idura_ciba.simulator import SimReply, SimRequest
from idura_ciba.simulator.messages import Refusal, error_body, json_bytes, read_form

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_a_form_is_decoded() -> None:
    """Percent signs, plus signs and UTF-8 become text; a parameter without a value is absent."""
    request = SimRequest("POST", "/", FORM, b"a=1%2B1&b=x+y&empty=&bare&c=%C3%A5")
    assert read_form(request) == {"a": "1+1", "b": "x y", "c": "å"}


def test_a_charset_beside_the_type_is_fine() -> None:
    """The media type is compared without its parameters and without case."""
    headers = {"CONTENT-TYPE": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
    assert read_form(SimRequest("POST", "/", headers, b"a=1")) == {"a": "1"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"a=1"),
        ({"Content-Type": "application/json"}, b'{"a":1}'),
        (FORM, b"a=1&b=2&a=1"),
        (FORM, b"a=\xff"),
        (FORM, b"a=%FF"),
        (FORM, b"&".join(b"a%d=1" % number for number in range(101))),
    ],
    ids=["no type", "other type", "twice", "not UTF-8", "not UTF-8 inside", "too many"],
)
def test_an_unreadable_form_is_an_invalid_request(headers: dict[str, str], body: bytes) -> None:
    """Whatever is wrong with a form is told as `invalid_request`."""
    with pytest.raises(Refusal) as refused:
        read_form(SimRequest("POST", "/", headers, body))
    assert (refused.value.error, refused.value.status) == ("invalid_request", 400)


def test_a_parameter_that_is_empty_once_does_not_come_twice() -> None:
    """An empty value counts as absent before duplicates are counted."""
    assert read_form(SimRequest("POST", "/", FORM, b"a=&a=1")) == {"a": "1"}


def test_messages_hide_headers_and_bodies() -> None:
    """A repr shows neither credentials nor tokens."""
    shown = repr(SimRequest("POST", "/x", {"Authorization": "hidden"}, b"hidden")) + repr(SimReply(200, {}, b"hidden"))
    assert "hidden" not in shown


def test_json_is_compact_utf8() -> None:
    """Letters stay letters on the wire."""
    assert json_bytes({"bindingMessage": "Rød Ål"}) == b'{"bindingMessage":"R\xc3\xb8d \xc3\x85l"}'


def test_an_error_has_code_and_description() -> None:
    """The two members of an OAuth error that everybody sends."""
    assert json.loads(error_body("slow_down", "too fast")) == {"error": "slow_down", "error_description": "too fast"}
