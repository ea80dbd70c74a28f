"""Tests of what comes back, and of the bodies that documentation shows."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import TransportError, TransportTimeout
from idura_ciba.protocol.answers import (
    DEFAULT_INTERVAL,
    LONGEST_PROMPT,
    Acknowledgement,
    AuthenticationAnswer,
    ErrorAnswer,
    SlowedDown,
    StillPending,
    TokenAnswer,
    Tokens,
    Unusable,
    UnusableAnswer,
    is_code,
    parse_authentication_response,
    parse_refresh_response,
    parse_retry_after,
    parse_token_response,
    unanswered,
    why,
)
from idura_ciba.protocol.documents import ProviderMetadata, parse_discovery, parse_jwks
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.redaction import Redacted

SAMPLES = Path(__file__).parents[1] / "samples"

AUTH_REQ_ID = "3857f8ff-21b9-48ae-a732-a3bd8128a7ae"
#: Thursday 2026-01-01, midnight.
WALL = 1_767_225_600.0
ISSUER = "https://simulator.idura.broker"


def answer(
    body: object = None, *, status: int = 200, text: str | bytes | None = None, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """An answer whose body is a JSON value, or a text as it stands."""
    raw = json.dumps(body) if text is None else text
    return HttpResponse(status, headers or {}, raw if isinstance(raw, bytes) else raw.encode(), 1.0, 2.0)


def acknowledge(*, lifetime: float = LONGEST_PROMPT, **members: Any) -> AuthenticationAnswer:
    """Read an acknowledgement that is as it should be, but for these members; `...` leaves one out."""
    body = {"auth_req_id": AUTH_REQ_ID, "expires_in": 120, **members}
    given_ones = answer({name: value for name, value in body.items() if value is not ...})
    return parse_authentication_response(given_ones, wall=WALL, lifetime=lifetime)


def poll(body: object = None, **how: Any) -> TokenAnswer:
    """Read the answer to a poll."""
    return parse_token_response(answer(body, **how), wall=WALL)


# --- documented bodies ------------------------------------------------------------------------------------------------

SAMPLE_ANSWERS: Mapping[str, Callable[[HttpResponse], object]] = {
    "acknowledgement": lambda sample: parse_authentication_response(sample, wall=WALL),
    "pending": lambda sample: parse_token_response(sample, wall=WALL),
    "denied": lambda sample: parse_token_response(sample, wall=WALL),
    "error": lambda sample: parse_token_response(sample, wall=WALL),
    "tokens": lambda sample: parse_token_response(sample, wall=WALL),
    "discovery": lambda sample: parse_discovery(sample, issuer="https://server.example.com"),
    "jwks": lambda sample: [key["kty"] for key in parse_jwks(sample)],
}

_ID_TOKEN = json.loads((SAMPLES / "tokens.json").read_text(encoding="utf-8"))["id_token"]
_ACCESS_TOKEN = "cf1ce646-7fbe-4740-9c56-fe3f0891f6c6"

#: By file; `members`, the whole body, is added by the test.
EXPECTED: Mapping[str, Callable[[Any], object]] = {
    "acknowledgement-se": lambda all_: Acknowledgement(AUTH_REQ_ID, 120.0, 5.0, None, all_),
    "acknowledgement-no": lambda all_: Acknowledgement(AUTH_REQ_ID, 900.0, 3.0, "Frekk Julekos", all_),
    "acknowledgement-ciba": lambda all_: Acknowledgement(all_["auth_req_id"], 120.0, 2.0, None, all_),
    "pending-se": lambda _: StillPending("awaiting user identification"),
    "pending-no": lambda _: StillPending("User has not yet granted authorization"),
    "denied": lambda all_: ErrorAnswer("access_denied", "user declined", 400, None, all_),
    "error-oauth": lambda all_: ErrorAnswer("invalid_request", None, 400, None, all_),
    "tokens": lambda all_: Tokens(_ID_TOKEN, _ACCESS_TOKEN, "Bearer", 120.0, all_),
    "tokens-expiry-as-text": lambda all_: Tokens(_ID_TOKEN, _ACCESS_TOKEN, "Bearer", 120.0, all_),
    "tokens-oauth": lambda _: UnusableAnswer(Unusable.BROKEN, 200, "neither error nor id_token is in the answer"),
    "discovery": lambda all_: ProviderMetadata(
        "https://server.example.com",
        "https://server.example.com/jwks.json",
        "https://server.example.com/connect/token",
        None,
        "https://server.example.com/connect/userinfo",
        all_,
    ),
    "jwks": lambda _: ["EC", "RSA"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_documented_body_is_read(name: str) -> None:
    """What the documentation shows comes out as what it says there."""
    body = (SAMPLES / f"{name}.json").read_bytes()
    members = json.loads(body)
    sample = answer(text=body, status=400 if "error" in members else 200)
    assert SAMPLE_ANSWERS[name.partition("-")[0]](sample) == EXPECTED[name](members)


def test_each_sample_is_used_and_names_its_source() -> None:
    """No sample is forgotten, and none comes from nowhere."""
    files = {path.name for path in SAMPLES.glob("*.json")}
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert files == {f"{name}.json" for name in EXPECTED}
    assert {name for name in files if f"| `{name}` |" in readme} == files


# --- numbers ----------------------------------------------------------------------------------------------------------

#: JSON text, and the seconds that it means; None where it means none.
NUMBERS: Mapping[str, float | None] = {
    "120": 120.0,
    "120.0": 120.0,
    "1.2e2": 120.0,
    '"120"': 120.0,
    '"0120"': 120.0,
    "1": 1.0,
    '"1"': 1.0,
    "86400": 86400.0,
    "1" + "0" * 30: 1e9,
    "1e300": 1e9,
    '"999999999999999"': 1e9,
    '"9999999999999999"': 1e9,
    '"' + "9" * 5000 + '"': None,
    '"120.0"': 120.0,
    '"1e2"': 100.0,
    '"1.2E+2"': 120.0,
    '"+120"': 120.0,
    '" 120"': 120.0,
    '"120\\n"': 120.0,
    '"\\u00a0 60\\t"': 60.0,
    '"120."': 120.0,
    '".5e1"': 5.0,
    "1.999": 1.0,
    "119.99": 119.0,
    '"59.9"': 59.0,
    "120.5": 120.0,
    "0": None,
    "-0.0": None,
    '"0"': None,
    "-1": None,
    '"-5"': None,
    "0.5": None,
    "1e-9": None,
    '"0.9"': None,
    '"-120"': None,
    '"1e99999"': None,
    '"120 s"': None,
    '"1 20"': None,
    '"1_20"': None,
    '"0x78"': None,
    '"PT2M"': None,
    '"nan"': None,
    '"inf"': None,
    "NaN": None,
    "1e400": None,
    "9" * 5000: None,
    '"\uff11\uff12\uff10"': None,
    '""': None,
    "true": None,
    "false": None,
    "null": None,
    "[120]": None,
    '{"seconds": 120}': None,
}
numbers = pytest.mark.parametrize(("text", "seconds"), NUMBERS.items(), ids=lambda value: str(value)[:20])


@numbers
def test_a_lifetime_is_read_in_any_notation(text: str, seconds: float | None) -> None:
    """Fractions are floored; what says nothing, or more than a day, is as long as the eID's own prompts live."""
    body = f'{{"auth_req_id": "{AUTH_REQ_ID}", "expires_in": {text}}}'
    read = parse_authentication_response(answer(text=body), wall=WALL, lifetime=180.0)
    assert isinstance(read, Acknowledgement)
    assert read.expires_in == (180.0 if seconds is None or seconds > 86400 else seconds)


@pytest.mark.parametrize(("lifetime", "read"), [(120.0, 120.0), (0.5, 0.5), (86400.0, 86400.0), (1e9, 86400.0)])
def test_without_a_lifetime_it_is_what_the_eid_says(lifetime: float, read: float) -> None:
    """Of a request that names none, the longest of all known; and never longer than a day."""
    for nothing in (..., None, "", [], "soon", -1):
        acknowledged = acknowledge(expires_in=nothing, lifetime=lifetime)
        assert isinstance(acknowledged, Acknowledgement)
        assert acknowledged.expires_in == read
    acknowledged = acknowledge(expires_in=...)
    assert isinstance(acknowledged, Acknowledgement)
    assert acknowledged.expires_in == LONGEST_PROMPT == 900


@numbers
def test_an_interval_that_cannot_be_read_is_five_seconds(text: str, seconds: float | None) -> None:
    """The phone rings already: nothing about the interval is worth losing the login."""
    body = f'{{"auth_req_id": "{AUTH_REQ_ID}", "expires_in": 120, "interval": {text}}}'
    read = parse_authentication_response(answer(text=body), wall=WALL)
    assert isinstance(read, Acknowledgement)
    # As long as the prompt lives or longer leaves no time to ask, and cannot be meant.
    assert read.interval == (DEFAULT_INTERVAL if seconds is None or seconds >= 120 else seconds)


@numbers
def test_other_numbers_are_read_the_same_way(text: str, seconds: float | None) -> None:
    """The lifetime of an access token and the interval of a `slow_down`, both optional."""
    tokens = poll(text=f'{{"id_token": "e30.e30.", "expires_in": {text}}}')
    assert isinstance(tokens, Tokens)
    assert tokens.expires_in == seconds
    slow_down = poll(text=f'{{"error": "slow_down", "interval": {text}}}', status=400)
    assert slow_down == SlowedDown(None, None, seconds)


#: Numbers of at least 1, in seconds, and a way to write them.
_WRITTEN = st.tuples(
    st.integers(1, 86_400),
    st.sampled_from(["", ".0", ".9", ".999", "."]),
    st.sampled_from(["", "e0", "E+00", "e-0"]),
    st.sampled_from(["", "+", "0", "00"]),
    st.text(" \t\r\n\u00a0\u2003", max_size=3),
)


@pytest.mark.unmeasured
@given(_WRITTEN, st.booleans())
def test_every_way_to_write_a_number_is_read(written: tuple[int, str, str, str, str], as_text: bool) -> None:
    """As JSON and as text, with white space around it, with a fraction that counts for nothing, with an exponent."""
    number, fraction, exponent, front, space = written
    plain = fraction != "." and not front
    value = json.dumps(f"{space}{front}{number}{fraction}{exponent}{space}")
    text = value if as_text or not plain else f"{number}{fraction}{exponent}"
    body = f'{{"auth_req_id": "{AUTH_REQ_ID}", "expires_in": {text}, "interval": {text}}}'
    read = parse_authentication_response(answer(text=body), wall=WALL)
    assert isinstance(read, Acknowledgement)
    assert (read.expires_in, read.interval) == (number, DEFAULT_INTERVAL)


@pytest.mark.unmeasured
@given(st.integers(-5, 5) | st.floats() | st.text(max_size=12) | st.from_regex(r"[0-9.eE+\- ]{1,12}", fullmatch=True))
def test_no_number_keeps_a_login_from_being_asked_for(value: float | str) -> None:
    """Whatever it says, there is a lifetime, and within it time to ask."""
    body = json.dumps({"auth_req_id": AUTH_REQ_ID, "expires_in": value, "interval": value})
    read = parse_authentication_response(answer(text=body), wall=WALL)
    assert isinstance(read, Acknowledgement)
    assert 1 <= read.expires_in <= 86_400
    assert 1 <= read.interval <= max(DEFAULT_INTERVAL, read.expires_in)
    assert read.interval == int(read.interval)


# --- acknowledgements -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "auth_req_id",
    [AUTH_REQ_ID, "a", "AZaz09.-_", "with/other+signs=", "~!{}'\"\\", "a b", " a\n", "\x00", "åäö", "x" * 65536],
    ids=["a UUID", "one letter", "all allowed", "base64", "odd", "a space", "a line break", "NUL", "å", "the longest"],
)
def test_a_handle_is_kept_as_it_is(auth_req_id: str) -> None:
    """Providers that use more than the allowed characters are understood; the handle hides itself."""
    read = acknowledge(auth_req_id=auth_req_id)
    assert isinstance(read, Acknowledgement)
    assert read.auth_req_id == auth_req_id
    assert "redacted" in repr(read.auth_req_id)


@pytest.mark.parametrize(("auth_req_id", "read"), [(4711, "4711"), (0, "0"), (10**40, "1" + "0" * 40)])
def test_a_handle_may_be_a_whole_number(auth_req_id: int, read: str) -> None:
    """In a form there are no others than texts."""
    acknowledged = acknowledge(auth_req_id=auth_req_id)
    assert isinstance(acknowledged, Acknowledgement)
    assert acknowledged.auth_req_id == read


@pytest.mark.parametrize(
    "auth_req_id",
    [..., None, "", " \n", [], {}, True, 1.5, ["a"], {"id": "a"}, "x" * 65537],
    ids=lambda value: repr(value)[:20],
)
def test_without_a_handle_there_is_no_acknowledgement(auth_req_id: object) -> None:
    """Nobody can ask for what has no name."""
    assert acknowledge(auth_req_id=auth_req_id) == UnusableAnswer(
        Unusable.BROKEN, 200, "auth_req_id is missing, or no text of at most 65536 characters"
    )


@pytest.mark.parametrize(
    ("status", "members"),
    [
        (200, {"error": "access_denied"}),
        (200, {"error": None, "error_description": None, "interval": None}),
        (202, {"error": "none"}),
        (400, {"error": "invalid_request", "error_description": "but asked all the same"}),
        (400, {}),
        (409, {"error": "already_in_progress"}),
        (500, {"error": "server_error"}),
        (302, {}),
        (429, {"error": "slow_down", "interval": " 7 "}),
    ],
)
def test_what_has_a_handle_is_an_acknowledgement(status: int, members: dict[str, Any]) -> None:
    """Whatever else it says: a phone may ring, and a poll settles what is true."""
    body = {"auth_req_id": AUTH_REQ_ID, "expires_in": "60", **members}
    read = parse_authentication_response(answer(body, status=status), wall=WALL)
    assert read == Acknowledgement(AUTH_REQ_ID, 60.0, 7.0 if status == 429 else 5.0, None, body)


@pytest.mark.parametrize(
    ("words", "read"),
    [("Frekk Julekos", "Frekk Julekos"), ("Blå Ål", "Blå Ål"), ("", None), (" ", None), (None, None), (["a"], None)],
)
def test_words_are_spoken_only_if_they_are_words(words: object, read: str | None) -> None:
    """`bindingMessage` is Idura's addition: of another type it is as good as absent."""
    acknowledged = acknowledge(bindingMessage=words)
    assert isinstance(acknowledged, Acknowledgement)
    assert acknowledged.spoken_words == read


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_acknowledges(status: int) -> None:
    """By the specification it is 200; a provider that creates with 201 has created all the same."""
    body = {"auth_req_id": AUTH_REQ_ID, "expires_in": 120}
    assert isinstance(parse_authentication_response(answer(body, status=status), wall=WALL), Acknowledgement)


def test_unknown_members_are_kept() -> None:
    """Extensions reach the caller in `members`, of every kind of answer that has a body."""
    extra = {"x": [1, {"y": None}]}
    for read in (
        acknowledge(**extra),
        poll({"id_token": "e30.e30.", **extra}),
        poll({"error": "odd", **extra}, status=400),
        parse_discovery(answer({"issuer": ISSUER, **extra}), issuer=ISSUER),
    ):
        assert read.members["x"] == [1, {"y": None}]  # type: ignore[union-attr]  # that is what is tested


# --- token answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, ("a.b.c", None, None)),
        ({"access_token": "t", "token_type": "bearer"}, ("a.b.c", "t", "bearer")),
        ({"access_token": "", "token_type": ""}, ("a.b.c", None, "")),
        ({"access_token": 1, "token_type": 2}, ("a.b.c", None, None)),
        ({"access_token": None, "token_type": None}, ("a.b.c", None, None)),
    ],
    ids=str,
)
def test_only_the_id_token_is_needed(members: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    """Whatever else is missing or of a wrong type costs no login."""
    read = poll({"id_token": "a.b.c", **members})
    assert isinstance(read, Tokens)
    assert (read.id_token, read.access_token, read.token_type) == expected


@pytest.mark.parametrize("id_token", [..., None, "", 1, ["a.b.c"], {"a": "b"}], ids=repr)
def test_success_without_an_id_token_is_broken(id_token: object) -> None:
    """An answer that was read and says nothing is against the specification."""
    members = {"access_token": "t", "id_token": id_token}
    read = poll({name: value for name, value in members.items() if value is not ...})
    assert read == UnusableAnswer(Unusable.BROKEN, 200, "neither error nor id_token is in the answer")


_PENDING = {"error": "authorization_pending", "error_description": "soon"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, _PENDING, StillPending("soon")),
        (200, _PENDING, StillPending("soon")),
        (401, _PENDING, StillPending("soon")),
        (503, _PENDING, StillPending("soon")),
        (302, _PENDING, StillPending("soon")),
        (400, {"error": "authorization_pending"}, StillPending(None)),
        (400, {"error": "authorization_pending", "error_description": 7}, StillPending(None)),
        (400, {"error": "slow_down", "interval": "10"}, SlowedDown(None, None, 10.0)),
        (400, {"error": "slow_down", "error_description": "soon"}, SlowedDown("soon")),
        (429, {"error": "slow_down"}, SlowedDown(None)),
        (500, {"error": "access_denied"}, ErrorAnswer("access_denied", None, 500)),
        (200, {"error": "access_denied", "id_token": "a.b.c"}, ErrorAnswer("access_denied", None, 200)),
        (400, {"error": "made up"}, ErrorAnswer("made up", None, 400)),
        (200, {"error": "made up"}, ErrorAnswer("made up", None, 200)),
        (403, {"error": "made up"}, ErrorAnswer("made up", None, 403)),
        # What a gateway calls an error is no verdict of the provider's.
        (408, {"error": "made up"}, Unusable.BUSY),
        (429, {"error": "too_many_requests"}, Unusable.BUSY),
        (503, {"error": "Service Unavailable"}, Unusable.BUSY),
        (500, {"error": "server_error"}, Unusable.LOST),
        (502, {"error": "Bad Gateway"}, Unusable.LOST),
        (300, {"error": "choose"}, Unusable.REDIRECT),
        (301, {"error": "moved"}, Unusable.REDIRECT),
        (400, {"error": "Slow_Down"}, ErrorAnswer("Slow_Down", None, 400)),
        (400, {"error": ""}, Unusable.TURNED_AWAY),
        (400, {"error": None}, Unusable.TURNED_AWAY),
        (400, {"error": {"code": "slow_down"}}, Unusable.TURNED_AWAY),
        (400, {"id_token": "a.b.c"}, Unusable.TURNED_AWAY),
        (500, {"id_token": "a.b.c"}, Unusable.LOST),
        (302, {"id_token": "a.b.c"}, Unusable.REDIRECT),
    ],
    ids=str,
)
def test_an_error_code_decides_and_the_status_only_without_one(
    status: int, body: dict[str, Any], expected: object
) -> None:
    """Rule 1: a code that is known is an error at any status, and only a 2xx without a code can be a success."""
    read = poll(body, status=status)
    if isinstance(read, ErrorAnswer):
        assert read.members == body
        read = ErrorAnswer(read.error, read.error_description, read.status)
    assert (read.kind if isinstance(read, UnusableAnswer) else read) == expected


@pytest.mark.parametrize(
    "code",
    [
        *("access_denied", "expired_token", "invalid_grant", "invalid_request", "invalid_client"),
        *("unauthorized_client", "unsupported_grant_type", "invalid_scope", "transaction_failed"),
        *("expired_login_hint_token", "unknown_user_id", "missing_user_code", "invalid_user_code"),
        *("invalid_binding_message", "invalid_authorization_details"),
    ],
)
@pytest.mark.parametrize("status", [302, 429, 500, 503])
def test_a_code_of_the_specifications_decides_at_any_status(status: int, code: str) -> None:
    """No gateway speaks of grants and scopes, so the words are the provider's, whatever they are wrapped in."""
    body = {"error": code}
    assert poll(body, status=status) == ErrorAnswer(code, None, status, None, body)


@pytest.mark.parametrize("error", ["", None, 0, False, [], {"code": "x"}], ids=repr)
def test_a_success_may_carry_an_error_member_that_is_no_code(error: object) -> None:
    """An `error` that is empty or no text says nothing."""
    assert isinstance(poll({"error": error, "id_token": "a.b.c"}), Tokens)
    assert isinstance(acknowledge(error=error), Acknowledgement)


def kinds() -> Iterator[tuple[int, Unusable]]:
    """Every status that an answer can have, and what it means where the body says nothing."""
    for status in [*range(100, 600), 0, 99, 600, 999]:
        if status in (408, 425, 429, 503):
            yield status, Unusable.BUSY
        elif status // 100 == 3:
            yield status, Unusable.REDIRECT
        elif status // 100 == 4:
            yield status, Unusable.TURNED_AWAY
        else:
            yield status, Unusable.LOST


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{", "null"], ids=["none", "HTML", "array", "cut", "null"])
def test_without_a_readable_body_the_status_decides(text: str) -> None:
    """Every status has a meaning, and the reason quotes nothing of the body."""
    for status, kind in kinds():
        read = poll(text=text, status=status)
        assert isinstance(read, UnusableAnswer)
        assert (read.kind, read.status) == (kind, status)
        assert read.reason.startswith(f"HTTP {status}, not ")
        first = parse_authentication_response(answer(text=text, status=status), wall=WALL)
        # A request that was accepted with words that nobody can read must not be sent again.
        assert first == (UnusableAnswer(Unusable.BROKEN, status, read.reason) if status // 100 == 2 else read)


def test_an_error_of_the_first_request_is_kept_verbatim() -> None:
    """Every code is for the caller, one of polling included."""
    for code in ("unknown_user_id", "invalid_binding_message", "slow_down", "made up"):
        body = {"error": code, "error_description": "because"}
        read = parse_authentication_response(answer(body, status=400), wall=WALL)
        assert read == ErrorAnswer(code, "because", 400, None, body)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "body",
    [
        {"error": "authorization_pending"},
        {"error": "none", "auth_req_id": ["x"], "expires_in": 60},
        {"error": "invalid_request", "auth_req_id": "x" * 65537},
    ],
)
def test_an_error_that_says_that_somebody_is_being_asked_is_no_refusal(status: int, body: dict[str, Any]) -> None:
    """A phone may ring, so nobody may say that it has not."""
    read = parse_authentication_response(answer(body, status=status), wall=WALL)
    assert isinstance(read, UnusableAnswer)
    assert (read.kind, read.status) == (Unusable.BROKEN, status)
    assert read.reason == "an error that says that somebody is being asked"


@pytest.mark.parametrize("nothing", [None, "", [], {}], ids=repr)
def test_a_refusal_with_an_empty_handle_is_a_refusal(nothing: object) -> None:
    """A provider that writes out all members of its class has still asked nobody."""
    body = {"error": "unknown_user_id", "auth_req_id": nothing, "expires_in": nothing, "interval": nothing}
    read = parse_authentication_response(answer(body, status=400), wall=WALL)
    assert read == ErrorAnswer("unknown_user_id", None, 400, None, body)


# --- why --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (500, '{"error": "server_error"}', "HTTP 500, server_error"),
        (
            503,
            '{"error": "temporarily_unavailable", "error_description": "209801011231"}',
            "HTTP 503, temporarily_unavailable",
        ),
        (502, "<html>209801011231", "HTTP 502, not JSON"),
        (400, '{"error": "access_denied"}', "HTTP 400, access_denied"),
        (403, '{"error": "Policy 209801011231"}', "HTTP 403, an error without a code"),
        (418, '{"error": 209801011231}', "HTTP 418, no error code that would say more"),
        (200, "[1]", "HTTP 200, not a JSON object"),
        (200, "{}", "neither error nor id_token is in the answer"),
        (504, '{"error": "Upstream of 209801011231"}', "HTTP 504, no error code that would say more"),
        (400, '{"error": "authorization_pending"}', None),
        (400, '{"error": "slow_down"}', None),
        (200, '{"id_token": "a.b.c"}', None),
    ],
)
def test_an_answer_that_brought_nothing_says_why(status: int, text: str, reason: str | None) -> None:
    """With the status and a code that looks like one, and with nothing else of the body."""
    assert why(poll(text=text, status=status)) == reason


@pytest.mark.parametrize("code", ["server_error", "a", "x" * 64, "_"])
def test_what_looks_like_a_code(code: str) -> None:
    """Small letters and underscores."""
    assert is_code(code)


@pytest.mark.parametrize("text", ["", "x" * 65, "209801011231", "ssn_209801011231", "Not Found", "not-found", "a\n"])
def test_what_does_not(text: str) -> None:
    """No number, and no sentence, is shown."""
    assert not is_code(text)


def broken(code: str, *, maybe_sent: bool = True, status: int = 0) -> TransportError:
    """An error of a transport."""
    error = (TransportTimeout if code == "timeout" else TransportError)("what went wrong", code=code)
    error.maybe_sent, error.status = maybe_sent, status
    return error


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (broken("connection"), UnusableAnswer(Unusable.LOST, 0, "what went wrong", code="connection")),
        (broken("timeout"), UnusableAnswer(Unusable.LOST, 0, "what went wrong", code="timeout")),
        (
            broken("damaged", status=200),
            UnusableAnswer(Unusable.LOST, 200, "HTTP 200, what went wrong", code="damaged"),
        ),
        (broken("tls", maybe_sent=False), UnusableAnswer(Unusable.NOT_CONNECTED, 0, "what went wrong", code="tls")),
        *(
            (broken(code, status=status), UnusableAnswer(kind, status, f"HTTP {status}, what went wrong", code=code))
            for code in ("oversized", "compressed")
            for status, kind in [
                (200, Unusable.UNACCEPTABLE),
                (299, Unusable.UNACCEPTABLE),
                (307, Unusable.REDIRECT),
                (400, Unusable.TURNED_AWAY),
                (429, Unusable.BUSY),
                (502, Unusable.LOST),
            ]
        ),
        # A transport that does not tell the status: tokens are what is long.
        (broken("oversized"), UnusableAnswer(Unusable.UNACCEPTABLE, 0, "what went wrong", code="oversized")),
    ],
    ids=str,
)
def test_what_a_request_without_an_answer_is(error: TransportError, answered: UnusableAnswer) -> None:
    """Only a success that cannot be taken would come the same again; all else is judged as what is known of it."""
    assert unanswered(error) == answered


def test_what_identifies_a_person_or_opens_a_door_is_not_shown() -> None:
    """Neither tokens, handles, spoken words nor a provider's echo of them is in the repr of an answer."""
    for read in (
        acknowledge(auth_req_id="secret", bindingMessage="secret", x="secret"),
        poll({"id_token": "secret", "access_token": "secret", "x": "secret"}),
        poll({"error": "odd", "error_description": "secret", "x": "secret"}, status=400),
        poll(text="secret", status=502),
        poll({"x": "secret"}, status=403),
        parse_discovery(answer({"issuer": ISSUER, "x": "secret"}), issuer=ISSUER),
    ):
        assert "secret" not in repr(read)


# --- Retry-After ------------------------------------------------------------------------------------------------------

NEW_YEAR = "Thu, 01 Jan 2026 00:00:00 GMT"
RETRY_AFTER: Mapping[str, tuple[str | None, str | None, float | None]] = {
    "absent": (None, None, None),
    "absent beside a date": (None, NEW_YEAR, None),
    "empty": ("", None, None),
    "seconds": ("20", None, 20.0),
    "seconds in spaces": (" 20 ", None, 20.0),
    "zero": ("0", None, 0.0),
    "nine digits": ("999999999", None, 999_999_999.0),
    "ten digits": ("9999999999", None, 1e9),
    "five thousand digits": ("9" * 5000, None, None),
    "negative": ("-5", None, 0.0),
    "a fraction": ("1.5", None, None),
    "digits of another script": ("\uff12\uff10", None, None),
    "a list": ("20, 30", None, None),
    "garbage": ("soon", None, None),
    "half a date": ("Thu, 01 Jan", None, None),
    "an impossible date": ("Thu, 32 Jan 2026 00:00:00 GMT", None, None),
    "a year out of range": ("Thu, 01 Jan 99999 00:00:00 GMT", None, None),
    "a date": ("Thu, 01 Jan 2026 00:00:20 GMT", None, 20.0),
    "a past date": ("Wed, 31 Dec 2025 23:59:40 GMT", None, 0.0),
    "a distant date": ("Fri, 31 Dec 9999 23:59:59 GMT", None, 251_635_075_199.0),
    "a date by RFC 850": ("Thursday, 01-Jan-26 00:00:20 GMT", None, 20.0),
    "a date by asctime": ("Thu Jan  1 00:00:20 2026", None, 20.0),
    "a date with an offset": ("Thu, 01 Jan 2026 01:00:20 +0100", None, 20.0),
    "a date without a zone": ("Thu, 01 Jan 2026 00:00:20 -0000", None, 20.0),
    "a date by a clock that is an hour fast": (
        "Thu, 01 Jan 2026 01:00:20 GMT",
        "Thu, 01 Jan 2026 01:00:00 GMT",
        20.0,
    ),
    "a date by a clock that is a day slow": ("Wed, 31 Dec 2025 00:00:20 GMT", "Wed, 31 Dec 2025 00:00:00 GMT", 20.0),
    "a past date by the same clock": (NEW_YEAR, "Thu, 01 Jan 2026 01:00:00 GMT", 0.0),
    "a date beside one that is garbage": ("Thu, 01 Jan 2026 00:00:20 GMT", "today", 20.0),
    "seconds beside a date": ("20", "Thu, 01 Jan 2026 01:00:00 GMT", 20.0),
}


@pytest.mark.parametrize(("value", "date", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_retry_after(value: str | None, date: str | None, seconds: float | None) -> None:
    """Seconds or a date, read against the answer's own clock; what is neither is ignored."""
    assert parse_retry_after(value, date=date, wall=WALL) == seconds


def test_http_dates_do_not_depend_on_where_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date that names no zone is Greenwich time, also on a machine that is not there."""
    monkeypatch.setitem(os.environ, "TZ", "UTC-9")
    time.tzset()
    try:
        assert parse_retry_after("Thu Jan  1 00:00:20 2026", date=None, wall=WALL) == 20.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_each_kind_of_answer_passes_retry_after_on() -> None:
    """Also a wait that calls itself pending may name a time, by the answer's clock or else by ours."""
    headers = {"retry-after": "Thu, 01 Jan 2026 00:00:20 GMT", "date": NEW_YEAR}
    for body, status in (
        (_PENDING, 400),
        ({"error": "slow_down"}, 400),
        ({"error": "odd"}, 400),
        ({}, 503),
    ):
        read = parse_token_response(answer(body, status=status, headers=headers), wall=0.0)
        assert read.retry_after == 20.0  # type: ignore[union-attr]  # that is what is tested
        without_date = answer(body, status=status, headers={"retry-after": headers["retry-after"]})
        read = parse_token_response(without_date, wall=WALL + 5.0)
        assert read.retry_after == 15.0  # type: ignore[union-attr]  # as above


# --- anything at all --------------------------------------------------------------------------------------------------

_names = st.sampled_from(
    [
        *("error", "error_description", "auth_req_id", "expires_in", "interval", "bindingMessage", "id_token"),
        *("access_token", "token_type", "issuer", "jwks_uri", "token_endpoint", "keys", "kty", "other"),
    ]
)
_values = st.recursive(
    st.sampled_from(
        [None, True, 0, -1, 1.5, 10**30, "", "120", "slow_down", "authorization_pending", AUTH_REQ_ID, ISSUER]
    )
    | st.integers()
    | st.floats()
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=5,
)
_bodies = (
    st.dictionaries(_names, _values, max_size=6).map(lambda members: json.dumps(members).encode())
    | _values.map(lambda value: json.dumps(value, ensure_ascii=True).encode())
    | st.binary()
)
_fields = st.text() | st.from_regex(r"(Thu|Sun)?,? ?\d{1,2} (Jan|Feb) \d{1,5} \d\d:\d\d(:\d\d)? (GMT|[+-]\d{4}|)")
_headers = st.dictionaries(st.sampled_from(["retry-after", "date", "content-type"]), _fields | st.integers().map(str))
_responses = st.builds(
    HttpResponse,
    st.sampled_from([200, 200, 200, 201, 302, 400, 401, 429, 500, 503]) | st.integers(0, 999),
    _headers,
    _bodies,
    st.just(1.0),
    st.just(2.0),
)


@pytest.mark.unmeasured
@given(_responses)
def test_no_answer_can_raise(response: HttpResponse) -> None:
    """Whatever bytes, status and header fields come back, they are read as one of the values that there are."""
    acknowledged = parse_authentication_response(response, wall=WALL)
    assert isinstance(acknowledged, AuthenticationAnswer)
    if isinstance(acknowledged, Acknowledgement):
        assert 1 <= acknowledged.expires_in <= 86400
        assert 1 <= acknowledged.interval <= 1e9
    polled = parse_token_response(response, wall=WALL)
    assert isinstance(polled, TokenAnswer)
    for read in (acknowledged, polled):
        wait = getattr(read, "retry_after", None)
        assert wait is None or 0 <= wait < math.inf


# --- refreshing -------------------------------------------------------------------------------------------------------

BEFORE = Tokens(Redacted("id 1"), Redacted("access 1"), "Bearer", 60.0, {"refresh_token": "refresh 1"})


def refresh(body: object = None, **how: Any) -> Tokens | ErrorAnswer | UnusableAnswer:
    """Read the answer to a refresh."""
    return parse_refresh_response(answer(body, **how), wall=WALL, before=BEFORE)


@pytest.mark.parametrize("nothing", [..., None, "", 7, ["x"]])
def test_a_refresh_leaves_what_it_does_not_bring(nothing: object) -> None:
    """The ID token and the refresh token; an access token it must bring."""
    body = {"access_token": "access 2", "id_token": nothing, "refresh_token": nothing, "expires_in": "30"}
    found = refresh({name: value for name, value in body.items() if value is not ...})
    assert isinstance(found, Tokens)
    assert (found.id_token, found.access_token, found.expires_in) == ("id 1", "access 2", 30.0)
    assert found.members["refresh_token"] == "refresh 1"
    assert "refresh" not in repr(found)
    lacking = refresh({"access_token": nothing if nothing is not ... else None, "id_token": "x"})
    assert isinstance(lacking, UnusableAnswer)
    assert lacking.kind is Unusable.BROKEN


def test_a_refresh_brings_what_is_new() -> None:
    """All of it, or an error as of a poll."""
    found = refresh({"access_token": "a", "id_token": "b", "refresh_token": "c", "token_type": "DPoP"})
    assert isinstance(found, Tokens)
    assert (found.id_token, found.members["refresh_token"], found.token_type) == ("b", "c", "DPoP")
    error = refresh({"error": "invalid_grant"}, status=400)
    assert isinstance(error, ErrorAnswer)
    assert error.error == "invalid_grant"
    assert isinstance(refresh(text="<html>", status=502), UnusableAnswer)
