"""Tests of how widely an answer is read that is had only once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.protocol.strict_json import MAX_DEPTH, load_object
from idura_ciba.protocol.tolerant_json import load_answer

WORDS = {"bindingMessage": "Blå Ærfugl"}
TEXT = json.dumps(WORDS, ensure_ascii=False)

#: By what is odd about it: the bytes, the `Content-Type`, and what they say.
READ: dict[str, tuple[bytes, str | None, dict[str, Any]]] = {
    "as it should be": (TEXT.encode(), "application/json", WORDS),
    "nothing said of it": (TEXT.encode(), None, WORDS),
    "another type": (TEXT.encode(), "text/html", WORDS),
    "a charset that it is not in": (TEXT.encode(), "application/json; charset=iso-8859-1", WORDS),
    "a charset that is none": (TEXT.encode(), "application/json; charset=rot13", WORDS),
    "a byte order mark": (TEXT.encode("utf-8-sig"), "application/json; charset=utf-8", WORDS),
    "UTF-16": (TEXT.encode("utf-16"), "application/json; charset=utf-16", WORDS),
    "UTF-16 that nobody speaks of": (TEXT.encode("utf-16"), None, WORDS),
    "UTF-16 without a mark": (TEXT.encode("utf-16-be"), "application/json; charset=UTF-16BE", WORDS),
    "UTF-32": (TEXT.encode("utf-32-le"), None, WORDS),
    "Latin-1 that says so": (TEXT.encode("latin-1"), "application/json;charset=ISO-8859-1", WORDS),
    "Latin-1 that does not": (TEXT.encode("latin-1"), None, WORDS),
    "Windows": ('{"a": "\u201cHej\u201d"}'.encode("cp1252"), 'text/json; charset="Windows-1252"', {"a": "“Hej”"}),
    "Latin-9": ('{"a": "5 €"}'.encode("iso-8859-15"), "text/json; Charset = iso-8859-15 ; q=1", {"a": "5 €"}),
    "a charset that would decode to anything": (b'{"a": "\xe5"}', "a/b; charset=unicode_escape", {"a": "å"}),
    "a charset with too many digits": (b'{"a": "\xe5"}', "a/b; charset=iso-8859-99", {"a": "å"}),
    "a member twice": (b'{"auth_req_id": "a", "auth_req_id": "b"}', None, {"auth_req_id": "b"}),
    "a member twice, inside": (b'{"a": [{"x": 1, "x": 2}]}', None, {"a": [{"x": 2}]}),
    "NaN": (b'{"a": NaN, "b": 1}', None, {"a": None, "b": 1}),
    "infinities": (b'{"a": [Infinity, -Infinity]}', None, {"a": [None, None]}),
    "a float that is too large": (b'{"a": -1e400, "b": 1e308}', None, {"a": None, "b": 1e308}),
    "a whole number of 5,000 digits": (b'{"a": ' + b"9" * 5000 + b', "b": 2}', None, {"a": None, "b": 2}),
    "a whole number of 309 digits": (b'{"a": 1' + b"0" * 308 + b"}", None, {"a": 10**308}),
    "half a surrogate pair": (rb'{"a": "x\ud83dy"}', None, {"a": "x?y"}),
    "half a surrogate pair in a name": (rb'{"\uDE42": {"b": ["\ud800"]}}', None, {"?": {"b": ["?"]}}),
    "an escape that is no half": (rb'{"a": "\ud83d\ude42\\ud800"}', None, {"a": "\U0001f642\\ud800"}),
    "as deep as allowed": (b'{"a": ' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}", None, ...),  # type: ignore[dict-item]
    "wide and not deep": (b'{"a": [' + b"[],{}," * 5000 + b"0]}", None, {"a": [*([[], {}] * 5000), 0]}),
    "UTF-16 with brackets in strings": (('{"a": "' + "[{" * 99 + '"}').encode("utf-16"), None, {"a": "[{" * 99}),
}

REFUSED: dict[str, tuple[bytes, str]] = {
    "no text": (b"", "not JSON"),
    "a page of HTML": (b"<!DOCTYPE html><title>502 Bad Gateway</title>", "not JSON"),
    "a page in Latin-1": (b"<p>P\xe5 gjensyn", "not JSON"),
    "cut short": (b'{"auth_req_id": "3857f8ff', "not JSON"),
    "half of UTF-16": (TEXT.encode("utf-16")[:-3], "not JSON"),
    "two objects": (b"{} {}", "not JSON"),
    "compressed without a word": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "not JSON"),
    "a line break in a string": (b'{"a": "\n"}', "not JSON"),
    "two byte order marks": (b"\xef\xbb\xbf" * 2 + b"{}", "not JSON"),
    "an array": (b'[{"a": 1}]', "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "NaN alone": (b"NaN", "not a JSON object"),
    "one level too deep": (b'{"a":' * (MAX_DEPTH + 1) + b"0" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
    "too deep in UTF-32": (('{"a":' * 40 + "0" + "}" * 40).encode("utf-32"), "nested too deeply"),
    "a mebibyte of brackets": (b"[" * 1024 * 1024, "nested too deeply"),
}


@pytest.mark.parametrize(("data", "content_type", "value"), READ.values(), ids=READ)
def test_what_anybody_reads_is_read(data: bytes, content_type: str | None, value: dict[str, Any]) -> None:
    """However it is encoded and whatever it says of that; a number that is none, or a twin, spoils nothing else."""
    read = load_answer(data, content_type)
    assert value is ... or read == value


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_nobody_reads_is_refused(data: bytes, message: str) -> None:
    """The error names the rule that was broken, and neither it nor what stands behind it carries the text."""
    with pytest.raises(ValueError, match=f"^{message}$") as caught:
        load_answer(data, "application/json; charset=windows-1252")
    assert type(caught.value) is ValueError
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


_text = st.text(st.characters(codec="utf-8"), max_size=8)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.unmeasured
@given(
    st.dictionaries(_text, _json, max_size=3),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]),
    st.none() | st.text(max_size=30) | st.sampled_from(["utf-8", "utf-7", "hex_codec"]).map("charset={}".format),
)
def test_what_is_strict_is_read_alike_in_every_encoding(
    value: dict[str, Any], ensure_ascii: bool, encoding: str, content_type: str | None
) -> None:
    """What the strict reader takes means the same here, in each encoding that shows itself."""
    text = json.dumps(value, ensure_ascii=ensure_ascii)
    assert load_answer(text.encode(encoding), content_type) == load_object(text.encode()) == value


@pytest.mark.unmeasured
@given(
    st.binary()
    | st.text('[]{}",:\\ua0dDN1eE+-.').map(lambda body: ('{"' + body).encode())
    | st.text(st.characters(codec=None), max_size=9).map(lambda body: json.dumps({"a": body}).encode()),
    st.none() | st.text(max_size=20),
)
def test_no_bytes_do_harm(data: bytes, content_type: str | None) -> None:
    """Whatever comes is an object that can be printed and written down again, or breaks a rule that has a name."""
    try:
        result = load_answer(data, content_type)
    except ValueError as error:
        assert str(error) in {"not JSON", "not a JSON object", "nested too deeply"}  # noqa: PT017 - or there is none
    else:
        assert isinstance(json.dumps(result, ensure_ascii=False, allow_nan=False).encode(), bytes)
