"""Tests of the text that does not show itself."""

from __future__ import annotations

import json
import pickle

import attrs

from idura_ciba.redaction import Redacted, redact

SECRET = "Høyrøstet tiger"  # spoken words as Norwegian BankID makes them


@attrs.frozen
class Holder:
    """A value that somebody prints."""

    words: Redacted


def test_no_repr_shows_the_text() -> None:
    """Neither its own repr nor that of a container, a format with !r or an attrs class holds the text."""
    value = Redacted(SECRET)
    shown = [repr(value), repr([value]), repr({value: value}), f"{value!r}", "%r" % value, repr(Holder(value))]  # noqa: UP031 - one more way out
    assert all("tiger" not in text and "<redacted>" in text for text in shown)


def test_whoever_asks_by_name_gets_the_text() -> None:
    """`str` gives a plain string back, and encoding, formatting and JSON work as for one."""
    value = Redacted(SECRET)
    assert type(str(value)) is str
    assert str(value) == f"{value}" == SECRET
    assert value.encode() == SECRET.encode()
    assert json.loads(json.dumps({"binding_message": value})) == {"binding_message": SECRET}


def test_it_compares_and_hashes_as_text() -> None:
    """A redacted string finds what a plain one has stored, and the other way round."""
    assert Redacted(SECRET) == SECRET
    assert {SECRET: 1}[Redacted(SECRET)] == 1


def test_pickling_keeps_the_text_and_the_redaction() -> None:
    """A value that has been to another process is still redacted."""
    back = pickle.loads(pickle.dumps(Redacted(SECRET)))  # noqa: S301 - pickled one line before
    assert back == SECRET
    assert type(back) is Redacted


def test_it_carries_no_attributes() -> None:
    """A redacted string costs no more than a plain one: no `__dict__`."""
    assert not hasattr(Redacted(SECRET), "__dict__")


def test_a_json_value_hides_its_texts_however_deep() -> None:
    """And is equal to what it was; names, numbers and the rest stay legible."""
    value = {"id_token": SECRET, "deep": [{"words": [SECRET, 1, None, True, 2.5]}], "empty": {}}
    hidden = redact(value)
    assert hidden == value
    assert json.dumps(hidden) == json.dumps(value)
    assert repr(hidden) == (
        "{'id_token': <redacted>, 'deep': [{'words': [<redacted>, 1, None, True, 2.5]}], 'empty': {}}"
    )
    assert "tiger" not in f"{hidden.items()!r} {hidden['deep'][0]['words'][0]!r} {hidden}"
