"""Tests of what hides people in a store."""

from __future__ import annotations

from idura_ciba.fleet.sealing import Sealing
from tests.fakes import swede
from tests.logins import MakeClient


async def test_what_is_hidden_is_shown_to_the_same_client_for_the_same_login(make_ciba_client: MakeClient) -> None:
    """And to nobody else, nor for another login; each time it looks different."""
    one, two, other = (
        Sealing.of(make_ciba_client(resume_secret=secret)) for secret in (b"s" * 32, b"s" * 32, b"o" * 32)
    )
    members = {"words": "Glad Vaffel", "claims": {"name": "Terne"}}
    blob = one.hide("a", members)
    assert two.show("a", blob) == members
    assert b"Vaffel" not in blob
    assert one.hide("a", members) != blob
    assert two.show("b", blob) == other.show("a", blob) == two.show("a", blob[:-1]) == two.show("a", b"") == {}
    assert two.show("a", None) == {}
    token = one.hide_token("a", "a token")
    assert two.show_token("a", token) == "a token"
    assert other.show_token("a", token) is None
    assert two.show_token("b", token) is None
    assert two.show_token("a", one.hide_token("a", None)) is None


async def test_a_tag_stands_for_a_person_and_says_nothing(make_ciba_client: MakeClient) -> None:
    """Equal over replicas, and only there."""
    one, two, other = (
        Sealing.of(make_ciba_client(resume_secret=secret)) for secret in (b"s" * 32, b"s" * 32, b"o" * 32)
    )
    assert one.tag(swede(1)) == two.tag(swede(1))
    assert len({one.tag(swede(1)), one.tag(swede(2)), other.tag(swede(1))}) == 3
    assert "s" * 32 not in repr(one)


async def test_what_is_passed_on_of_a_ping_is_read_by_replicas_only(make_ciba_client: MakeClient) -> None:
    """And is nothing else that they have written."""
    one, two, other = (
        Sealing.of(make_ciba_client(resume_secret=secret)) for secret in (b"s" * 32, b"s" * 32, b"o" * 32)
    )
    text = one.hide_ping(b"a notice")
    assert two.show_ping(text) == b"a notice"
    assert b"a notice".hex() not in text
    for wrong in (text[:-2], "junk", "", one.hide_token("a ping", "00")):
        assert two.show_ping(wrong) is None
    assert other.show_ping(text) is None
