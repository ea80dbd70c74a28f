"""Tests of HTTP messages as values."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

from idura_ciba.protocol.http import DEFAULT_MAX_BODY, HttpRequest, HttpResponse


def answer(**headers: str) -> HttpResponse:
    """An answer with these header fields."""
    return HttpResponse(200, {name.replace("_", "-"): value for name, value in headers.items()}, b"{}", 1.0, 2.0)


def test_a_request_needs_method_and_url_only() -> None:
    """What is left out is empty and bounded."""
    request = HttpRequest("GET", "https://simulator.idura.broker/.well-known/openid-configuration")
    assert (request.headers, request.body, request.max_body) == ({}, b"", DEFAULT_MAX_BODY)
    assert request.timeout == 10.0


def test_reprs_hide_headers_and_bodies() -> None:
    """An assertion, a hint or a token in a message does not show in its repr."""
    request = HttpRequest("POST", "https://x.test/token", {"Authorization": "Basic secret"}, b"auth_req_id=secret")
    response = HttpResponse(200, {"set-cookie": "secret"}, b'{"id_token": "secret"}', 1.0, 2.0)
    assert "secret" not in repr(request) + repr(response)
    assert "https://x.test/token" in repr(request)
    assert "200" in repr(response)


def test_messages_do_not_change() -> None:
    """A message that has been made stays what it is."""
    with pytest.raises(FrozenInstanceError):
        answer().status = 500  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("value", ["0a", "a1b2-c3", "1-2", "x" * 128, "with space"])
def test_a_decent_trace_id_is_given(value: str) -> None:
    """Up to 128 printable ASCII characters pass as they came."""
    assert answer(trace_id=value).trace_id == value


@pytest.mark.parametrize("value", ["", "0", "209801011231", "x" * 129, "two\nlines", "\x1b[2J", "\x7f", "å"])
def test_any_other_trace_id_is_dropped(value: str) -> None:
    """What could spoil a terminal or a log line is not a trace id, nor is a number, which might be a person's."""
    assert answer(trace_id=value).trace_id is None


def test_an_answer_may_have_no_trace_id() -> None:
    """The header is optional."""
    assert answer(date="Thu, 01 Jan 2026 00:00:00 GMT").trace_id is None
