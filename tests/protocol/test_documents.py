"""Tests of what a provider publishes about itself. Documented bodies are read in `test_answers.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.errors import RemoteProtocolError
from idura_ciba.protocol.documents import ProviderMetadata, build_discovery_url, parse_discovery, parse_jwks
from idura_ciba.protocol.http import HttpResponse

ISSUER = "https://simulator.idura.broker"


def answer(body: object = None, *, status: int = 200, text: str | bytes | None = None) -> HttpResponse:
    """An answer whose body is a JSON value, or a text as it stands."""
    raw = json.dumps(body) if text is None else text
    return HttpResponse(status, {}, raw if isinstance(raw, bytes) else raw.encode(), 1.0, 2.0)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (ISSUER, f"{ISSUER}/.well-known/openid-configuration"),
        (f"{ISSUER}/", f"{ISSUER}/.well-known/openid-configuration"),
        (f"{ISSUER}/tenant", f"{ISSUER}/tenant/.well-known/openid-configuration"),
    ],
)
def test_metadata_stands_below_the_issuer(issuer: str, url: str) -> None:
    """One slash at the end is taken off before the well-known path is put there."""
    assert build_discovery_url(issuer) == url


def document(**members: Any) -> HttpResponse:
    """Metadata of the simulator's issuer with these members."""
    return answer({"issuer": ISSUER, **members})


def test_endpoints_are_read_where_they_are_named() -> None:
    """Idura's metadata may lack some of them; the provider knows what to do then."""
    endpoints = ("jwks_uri", "token_endpoint", "backchannel_authentication_endpoint", "userinfo_endpoint")
    members = {"issuer": ISSUER, "other": [1], **{name: f"{ISSUER}/{name}" for name in endpoints}}
    read = parse_discovery(answer(members), issuer=ISSUER)
    assert read == ProviderMetadata(ISSUER, *(f"{ISSUER}/{name}" for name in endpoints), members)
    for useless in (None, "", " ", [], {}, 1, ["x"]):
        read = parse_discovery(document(**dict.fromkeys(endpoints, useless)), issuer=ISSUER)
        assert [getattr(read, name) for name in endpoints] == [None] * len(endpoints)


@pytest.mark.parametrize(
    "issuer",
    [
        f"{ISSUER}/",
        ISSUER.upper(),
        f"{ISSUER}:443",
        f" {ISSUER}",
        "https://simulator.idura.broker.evil.test",
        "",
        None,
        [ISSUER],
        ...,
    ],
    ids=repr,
)
def test_metadata_of_another_issuer_is_refused(issuer: object) -> None:
    """The name is compared code point by code point, as it is in ID tokens."""
    members = {} if issuer is ... else {"issuer": issuer}
    with pytest.raises(RemoteProtocolError) as caught:
        parse_discovery(answer(members), issuer=ISSUER)
    assert str(caught.value) == (
        f"The discovery document of {ISSUER} names another issuer. Pass the issuer exactly as the provider spells it, "
        "trailing slash included or not. [issuer_mismatch]"
    )


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (answer({}, status=404), "was answered with HTTP 404"),
        (answer({"issuer": ISSUER, "keys": []}, status=201), "was answered with HTTP 201"),
        (answer({"issuer": ISSUER, "keys": []}, status=302), "was answered with HTTP 302"),
        (answer(text="<html>secret</html>"), "cannot be read: not JSON"),
        (answer([{"keys": "secret"}]), "cannot be read: not a JSON object"),
        (answer(text='{"keys": [], "keys": ["secret"]}'), "cannot be read: a member stands twice"),
        (answer(text=b'{"keys": "\xff secret"}'), "cannot be read: not UTF-8"),
    ],
    ids=["404", "201", "302", "HTML", "array", "twice", "bad byte"],
)
def test_documents_that_cannot_be_read_are_refused(response: HttpResponse, message: str) -> None:
    """Only a 200 with strict JSON is a document, and the error quotes nothing of what it is instead."""
    readers: Mapping[str, Callable[[HttpResponse], object]] = {
        "discovery document": lambda it: parse_discovery(it, issuer=ISSUER),
        "key set": parse_jwks,
    }
    for name, read in readers.items():
        with pytest.raises(RemoteProtocolError) as caught:
            read(response)
        assert str(caught.value) == f"The {name} {message}. [bad_document]"
        assert caught.value.__context__ is None


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_is_skipped(mark: bytes) -> None:
    """RFC 8259 section 8.1 lets a reader do so, and some servers write one in front of everything."""
    body = mark + json.dumps({"issuer": ISSUER, "keys": [{"kid": "a"}]}).encode()
    assert parse_discovery(answer(text=body), issuer=ISSUER).issuer == ISSUER
    assert parse_jwks(answer(text=body)) == [{"kid": "a"}]


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ({"kid": "a", "use": None, "alg": "", "key_ops": [], "x5t": {}}, {"kid": "a"}),
        ({"kid": "", "kty": "RSA", "e": 0, "ext": False}, {"kty": "RSA", "e": 0, "ext": False}),
        ({"kid": "a", "use": ["sig"], "alg": " "}, {"kid": "a", "use": ["sig"], "alg": " "}),
    ],
)
def test_a_member_of_a_key_that_says_nothing_is_absent(key: dict[str, Any], read: dict[str, Any]) -> None:
    """Serialisers write out what nobody has set; whatever says something stays for whoever judges keys."""
    assert parse_jwks(answer({"keys": [key]})) == [read]


def test_a_key_that_two_readers_would_read_otherwise_is_left_out_alone() -> None:
    """A member that stands twice in it spoils no other key."""
    body = '{"keys": [{"kid": "a", "n": "1", "n": "2"}, {"kid": "b"}], "more": {"x": 1, "x": 2}}'
    assert parse_jwks(answer(text=body)) == [{"kid": "b"}]


def test_keys_are_handed_on_unjudged() -> None:
    """A set may be empty, large or hold keys of unknown kinds; what is no object is left out."""
    assert parse_jwks(answer({"keys": []})) == []
    assert parse_jwks(answer({"keys": [{"kty": "odd"}, "x", None, ["y"], {}]})) == [{"kty": "odd"}, {}]
    assert len(parse_jwks(answer({"keys": [{"kid": str(number)} for number in range(100)]}))) == 100


@pytest.mark.parametrize("keys", [..., None, {}, "keys", 1, [{}] * 101], ids=lambda keys: repr(keys)[:20])
def test_a_set_without_a_list_of_keys_is_refused(keys: object) -> None:
    """So is one that no issuer needs."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse_jwks(answer({} if keys is ... else {"keys": keys}))
    assert str(caught.value) == "The key set holds no list of at most 100 keys. [bad_jwks]"


_names = st.sampled_from(["issuer", "jwks_uri", "token_endpoint", "keys", "kty", "other"])
_values = st.recursive(
    st.sampled_from([None, True, 0, 10**30, "", ISSUER]) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=5,
)
_responses = st.builds(
    HttpResponse,
    st.sampled_from([200, 200, 200, 201, 302, 404, 500]),
    st.just({}),
    st.dictionaries(_names, _values, max_size=4).map(lambda members: json.dumps(members).encode()) | st.binary(),
    st.just(1.0),
    st.just(2.0),
)


@given(_responses)
def test_no_document_raises_anything_but_a_protocol_error(response: HttpResponse) -> None:
    """Metadata and keys are read or refused."""
    for read in (lambda: parse_discovery(response, issuer=ISSUER), lambda: parse_jwks(response)):
        try:
            result: object = read()
        except RemoteProtocolError as error:
            result = error.code
        assert isinstance(result, ProviderMetadata | list) or result in {"bad_document", "bad_jwks", "issuer_mismatch"}


@pytest.mark.parametrize(
    ("response", "read"),
    [
        (answer(status=503), lambda response: parse_discovery(response, issuer=ISSUER)),
        (answer(text="<html>"), lambda response: parse_discovery(response, issuer=ISSUER)),
        (answer({"issuer": "https://elsewhere.example"}), lambda response: parse_discovery(response, issuer=ISSUER)),
        (answer({"keys": {}}), parse_jwks),
    ],
)
def test_an_error_carries_the_trace_id_of_the_answer(
    response: HttpResponse, read: Callable[[HttpResponse], object]
) -> None:
    """The provider's support can find it by that."""
    with pytest.raises(RemoteProtocolError) as caught:
        read(evolve(response, headers={"trace-id": "a1b2"}))
    assert caught.value.trace_id == "a1b2"
