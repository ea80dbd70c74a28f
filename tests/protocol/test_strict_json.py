"""Tests of the JSON reader that is used wherever trust hangs on what is read."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.protocol.strict_json import MAX_DEPTH, load_object

MIB = 1024 * 1024

READ: dict[str, tuple[bytes, dict[str, Any]]] = {
    "nothing in it": (b"{}", {}),
    "white space around": (b'\r\n\t {"a" : 1 } \n', {"a": 1}),
    "UTF-8": ('{"namn": "Åse 🙂"}'.encode(), {"namn": "Åse 🙂"}),
    "escapes": (rb'{"a": "\u00c5se \ud83d\ude42 \"\\\/"}', {"a": 'Åse 🙂 "\\/'}),
    "a whole number beyond 64 bits": (b'{"a": 1' + b"0" * 30 + b"}", {"a": 10**30}),
    "a large float": (b'{"a": 1e308}', {"a": 1e308}),
    "a float that is almost nothing": (b'{"a": 1e-400}', {"a": 0.0}),
    "one name in two objects": (b'{"a": {"x": 1}, "b": {"x": 2}}', {"a": {"x": 1}, "b": {"x": 2}}),
    "as deep as allowed, and wider": (
        b'{"b": [], "a": ' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
        {"b": [], "a": reduce(lambda inner, _: [inner], range(MAX_DEPTH - 2), [])},
    ),
    "wide and not deep": (b'{"a": [' + b"[],{}," * 5000 + b"0]}", {"a": [*([[], {}] * 5000), 0]}),
    "brackets in strings": (b'{"a": "' + b"[{" * 5000 + b'"}', {"a": "[{" * 5000}),
    "brackets behind an escaped quote": (rb'{"a": "\"' + b"[" * 100 + b'"}', {"a": '"' + "[" * 100}),
    "brackets in a name": (b'{"' + b"[" * 100 + b'": 1}', {"[" * 100: 1}),
}

REFUSED: dict[str, tuple[bytes, str]] = {
    "no text": (b"", "not JSON"),
    "a page of HTML": (b"<!DOCTYPE html><title>502 Bad Gateway</title>", "not JSON"),
    "cut short": (b'{"auth_req_id": "3857f8ff', "not JSON"),
    "something behind it": (b"{} {}", "not JSON"),
    "a comma too many": (b'{"a": 1,}', "not JSON"),
    "a comment": (b'{"a": 1} // so', "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "a name without quotes": (b"{a: 1}", "not JSON"),
    "a line break in a string": (b'{"a": "\n"}', "not JSON"),
    "a NUL byte": (b'{"a": "\0"}', "not JSON"),
    "a leading zero": (b'{"a": 0120}', "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "a whole number of 5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    "closed before it opens": (b"]" * 100 + b"[" * 100, "not JSON"),
    "quotes without end": (b'{"' + b'\\"' * (MIB // 2), "not JSON"),
    "an array": (b'[{"a": 1}]', "not a JSON object"),
    "a string": (b'"a"', "not a JSON object"),
    "a number": (b"1", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "a bad byte": (b'{"a": "\xff"}', "not UTF-8"),
    "Latin-1": ('{"a": "Åse"}'.encode("latin-1"), "not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "an overlong encoding": (b'{"a": "\xc0\xaf"}', "not UTF-8"),
    "half a surrogate pair as bytes": (b'{"a": "\xed\xa0\xbd"}', "not UTF-8"),
    "half a surrogate pair as an escape": (rb'{"a": "\ud83d"}', "not UTF-8"),
    "half a surrogate pair in a name": (rb'{"\uDE42": 1}', "not UTF-8"),
    "half a surrogate pair deep inside": (rb'{"a": [{"b": "\ud83d and no more"}]}', "not UTF-8"),
    "a member twice": (b'{"error": "a", "error": "b"}', "a member stands twice"),
    "a member twice, inside": (b'{"a": [{"x": 1, "x": 1}]}', "a member stands twice"),
    "a member twice, once as an escape": (rb'{"a": 1, "\u0061": 2}', "a member stands twice"),
    "NaN": (b'{"a": NaN}', "NaN or Infinity"),
    "Infinity": (b'{"a": Infinity}', "NaN or Infinity"),
    "-Infinity": (b'{"a": -Infinity}', "NaN or Infinity"),
    "a float that is too large": (b'{"a": 1e400}', "a number that is too large"),
    "a negative one": (b'{"a": -1e400}', "a number that is too large"),
    "one level too deep": (b'{"a":' * (MAX_DEPTH + 1) + b"0" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
    "a mebibyte of brackets": (b"[" * MIB, "nested too deeply"),
    "a bomb of objects": (b'{"a":' * (MIB // 5), "nested too deeply"),
    "depth hidden by brackets in strings": (b'{"a":' + b'["]",' * 100 + b"0" + b"]" * 100 + b"}", "nested too deeply"),
    "depth hidden by brackets in names": (b'{"}":' * 100 + b"0" + b"}" * 100, "nested too deeply"),
    "depth hidden behind an escaped quote": (
        rb'{"a":' + rb'["\"]",' * 100 + b"0" + b"]" * 100 + b"}",
        "nested too deeply",
    ),
}

RULES = {message for _, message in REFUSED.values()}

#: JSON can hold any text but half a surrogate pair.
_text = st.text(st.characters(codec="utf-8"), max_size=8)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(("data", "value"), READ.values(), ids=READ)
def test_strict_json_is_read(data: bytes, value: dict[str, Any]) -> None:
    """An object comes out as what it says."""
    assert load_object(data) == value


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_everything_else_is_refused(data: bytes, message: str) -> None:
    """The error names the rule that was broken, and neither it nor what stands behind it carries the text."""
    with pytest.raises(ValueError, match=f"^{message}$") as caught:
        load_object(data)
    assert type(caught.value) is ValueError
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"keys": [{"kid": "a", "kid": "b"}, {"kid": "c"}]}', {"keys": [None, {"kid": "c"}]}),
        (b'{"keys": [{"kid": "a", "n": {"x": 1, "x": 1}}]}', {"keys": [{"kid": "a", "n": None}]}),
        (rb'{"keys": [{"kid": "a", "k\u0069d": "b"}, 1]}', {"keys": [None, 1]}),
    ],
)
def test_an_object_with_a_twin_member_may_be_void_alone(data: bytes, value: dict[str, Any]) -> None:
    """For lists whose objects stand for themselves; what is around it stays."""
    assert load_object(data, duplicates="void") == value
    with pytest.raises(ValueError, match=r"^a member stands twice$"):
        load_object(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b'{"keys": [], "keys": []}', "a member stands twice"), (b" null ", "not a JSON object")],
)
def test_nothing_is_left_of_a_void_whole(data: bytes, message: str) -> None:
    """Then the text is refused as ever."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        load_object(data, duplicates="void")


@pytest.mark.unmeasured
@given(st.dictionaries(_text, _json, max_size=3), st.booleans())
def test_what_json_can_say_is_read_back(value: dict[str, Any], ensure_ascii: bool) -> None:
    """With and without escapes, every object of ordinary depth survives the way over the wire."""
    assert load_object(json.dumps(value, ensure_ascii=ensure_ascii).encode()) == value


@pytest.mark.unmeasured
@given(st.binary() | st.text('[]{}",:\\ua0dN1eE+-.').map(lambda body: ('{"' + body).encode()))
def test_no_bytes_do_harm(data: bytes) -> None:
    """Whatever comes is an object or breaks a rule that has a name."""
    try:
        result: object = type(load_object(data))
    except ValueError as error:
        result = str(error)
    assert result in {dict, *RULES}


@pytest.mark.unmeasured
@given(
    st.lists(
        st.sampled_from(["[", '{"a":', '{"]}":', '["}",', '["\\"",', '[[],{"x":[]},']),
        min_size=MAX_DEPTH - 4,
        max_size=MAX_DEPTH + 1,
    )
)
def test_the_depth_is_counted_exactly(openings: list[str]) -> None:
    """Neither strings nor what is closed again hide how deep a text is or make it look deeper."""
    closings = ["]" if opening[0] == "[" else "}" for opening in reversed(openings)]
    data = ('{"a":' + "".join(openings) + "0" + "".join(closings) + "}").encode()
    # The innermost opening may hold more levels of its own beside what follows.
    own = [2 if opening.endswith('{"x":[]},') else 0 for opening in openings]
    depth = 1 + max([level + 1 + inner for level, inner in enumerate(own)], default=0)
    if depth > MAX_DEPTH:
        with pytest.raises(ValueError, match="nested too deeply"):
            load_object(data)
    else:
        load_object(data)
