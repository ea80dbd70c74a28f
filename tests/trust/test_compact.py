"""Tests of the parts of a compact token. How whole tokens are refused stands with the forgeries."""

from __future__ import annotations

import pytest

from idura_ciba.errors import IdTokenRejected
from idura_ciba.trust.compact import MAX_HEADER, decode_part, parse_header, parse_object
from tests.fakes import b64


@pytest.mark.parametrize("before", [b"", b"\0", b"\0\0", bytes(6)])
def test_a_part_may_end_in_any_byte(before: bytes) -> None:
    """Whatever letter its base64url ends in, and however much padding that lacks, it is read back as it was."""
    for last in range(256):
        data = before + bytes([last])
        assert decode_part(b64(data)) == data


@pytest.mark.parametrize("part", ["A", "AAAAA", "AB", "AA==", "A A", "AA\n", "+/==", "\u0661A", "é"])
def test_each_part_has_one_spelling(part: str) -> None:
    """Whatever else base64 readers take is refused."""
    with pytest.raises(IdTokenRejected) as caught:
        decode_part(part)
    assert (caught.value.claim, caught.value.reason) == ("format", "a part is not canonical base64url")


def test_an_empty_part_is_no_bytes() -> None:
    """As the encrypted key of a direct agreement is; where there must be something is for others to say."""
    assert decode_part("") == b""


def test_an_object_says_where_it_is_none() -> None:
    """By the name of its part, and without quoting it."""
    assert parse_object(b'{"a":[1]}', "payload") == {"a": [1]}
    with pytest.raises(IdTokenRejected) as caught:
        parse_object(b'{"a":1,"a":2}', "payload")
    assert (caught.value.claim, caught.value.reason) == ("payload", "it is a member stands twice")


def test_a_header_is_bounded() -> None:
    """To the byte."""
    long = b'{"a":"%s"}' % (b"x" * (MAX_HEADER - 8))
    assert len(long) == MAX_HEADER
    assert parse_header(long)
    with pytest.raises(IdTokenRejected) as caught:
        parse_header(long + b" ")
    assert (caught.value.code, caught.value.claim) == ("id_token_malformed", "header")
    assert caught.value.reason == "it is longer than 2048 bytes"
    with pytest.raises(IdTokenRejected) as odd:
        parse_header(b"[]")
    assert (odd.value.claim, odd.value.reason) == ("header", "it is not a JSON object")
