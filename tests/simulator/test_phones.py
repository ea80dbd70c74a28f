"""Tests of people who are played by hand."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from idura_ciba.errors import StateError
from idura_ciba.simulator import Prompt, Script, SimPing, SimulatedEid
from idura_ciba.simulator.norwegian_bankid import NORWEGIAN_BANKID

if TYPE_CHECKING:
    from conftest import Wire

SWEDE, NORWEGIAN, CLIENT = "209801011231", "01023990128", "urn:my:application:identifier:0001"


@pytest.fixture(name="played")
def _played(make: Callable[..., Wire]) -> Wire:
    """A provider whose people do nothing by themselves."""
    return make(people=lambda _: Script.by_hand())


def claims_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The claims of the ID token in an answer, unverified."""
    part = answer["id_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def only(wire: Wire) -> Prompt:
    """The one prompt there is."""
    (prompt,) = wire.idura.phones.prompts(wire.now)
    return prompt


def test_a_prompt_shows_what_the_person_sees(played: Wire) -> None:
    """Who asks, what they say, who called whom, and until when."""
    played.idura.register_client(CLIENT, secret="a b+c/d=e:f%", name="Nordvik municipality")
    played.begin("se", at=5)
    prompt = only(played)
    assert (prompt.number, prompt.eid.name, prompt.client) == (1, "se", "Nordvik municipality")
    assert (prompt.message, prompt.details) == ("Agent Anna", {"type": "phoneAuth", "callInitiator": "RP"})
    assert (prompt.person, prompt.expires_at, prompt.lifetime) == (SWEDE, played.now + 120, 120)
    assert (prompt.words, prompt.choices) == (None, ())
    assert SWEDE not in repr((prompt.person, prompt.holder, prompt))


def test_a_client_without_a_name_is_shown_by_its_id(played: Wire) -> None:
    """Rather than nothing."""
    played.begin()
    assert only(played).client == CLIENT


def test_the_steps_are_told_to_the_client(played: Wire) -> None:
    """As the eID's own words for them; nothing happens between the steps."""
    order = played.begin("se")
    prompt = only(played)
    told = [(prompt.state(played.now), played.poll(order, at=3)["error_description"])]
    prompt.open_app(played.now)
    told.append((prompt.state(played.now), played.poll(order, at=50)["error_description"]))
    prompt.acknowledge(played.now)
    told.append((prompt.state(played.now), played.poll(order, at=60)["error_description"]))
    assert told == [
        ("notified", "awaiting first user interaction"),
        ("opened", "awaiting user request acknowledgement"),
        ("identifying", "awaiting user identification"),
    ]
    played.now += 2
    prompt.approve(played.now)
    assert prompt.state(played.now) == "approved"
    assert played.idura.phones.prompts(played.now) == []
    claims = played.poll(order, at=70)
    assert "id_token" in claims
    (record,) = played.idura.ledger.orders
    assert (record.outcome, record.decided_at) == ("approved", played.now - 8)


def test_a_step_implies_those_before_it(played: Wire) -> None:
    """A test that wants an approval need not open the app first."""
    order = played.begin()
    prompt = only(played)
    prompt.approve(played.now)
    # The name is the one that was shown.
    assert claims_of(played.poll(order, at=3))["given_name"] == prompt.holder.given_name
    assert played.idura.phones.person("se", SWEDE) == prompt.holder


def test_somebody_says_no(played: Wire) -> None:
    """At any step."""
    order = played.begin()
    prompt = only(played)
    prompt.decline(played.now)
    assert prompt.state(played.now) == "denied"
    assert played.poll(order, at=3)["error"] == "access_denied"


def test_one_of_three_word_pairs_is_right(played: Wire) -> None:
    """The client was told which; the others share no word with it, and the place differs from person to person."""
    order = played.begin("no")
    prompt = only(played)
    assert len(set(prompt.choices)) == 3
    assert prompt.words in prompt.choices
    assert prompt.choices == only(played).choices
    assert len({word for pair in prompt.choices for word in pair.split()}) == 6
    assert str(prompt.words) not in repr(prompt.choices)
    assert prompt.choose_words(prompt.words, played.now)
    assert prompt.state(played.now) == "identifying"
    prompt.approve(played.now)
    assert "id_token" in played.poll(order, at=3)
    places = set()
    for number in range(12):
        played.begin("no", login_hint=f"sub:ssn:{31123990100 + number}")
    for asked in played.idura.phones.prompts(played.now):
        places.add(asked.choices.index(str(asked.words)))
    assert places == {0, 1, 2}


@pytest.mark.parametrize("wrong", ["Feil Ord", None])
def test_a_wrong_word_pair_ends_the_login(wrong: str | None, played: Wire) -> None:
    """And so does none of them."""
    order = played.begin("no")
    prompt = only(played)
    assert not prompt.choose_words(wrong, played.now)
    assert played.poll(order, at=3)["error"] == "access_denied"


def test_an_eid_of_few_words_shows_fewer_pairs(make: Callable[..., Wire]) -> None:
    """There are no decoys to invent; it does not look for them for ever."""

    def two(made_up: Random) -> str:
        return made_up.choice(("Rød Elg", "Blid Ås"))

    eid: SimulatedEid = evolve(NORWEGIAN_BANKID, words=two)
    wire = make(eids=[eid], people=lambda _: Script.by_hand())
    wire.begin("no")
    assert set(only(wire).choices) == {"Rød Elg", "Blid Ås"}


def test_what_is_over_cannot_be_answered(played: Wire) -> None:
    """It expired, was answered before, or a second order cancelled it."""
    played.begin("se", at=0)
    late = only(played)
    assert late.state(played.now + 120) == "expired"
    with pytest.raises(StateError, match="on the phone no more") as caught:
        late.approve(played.now + 120)
    assert caught.value.code == "prompt_over"
    assert "expired" in str(caught.value)
    played.begin("no", at=1)
    answered = next(prompt for prompt in played.idura.phones.prompts(played.now) if prompt.eid.name == "no")
    answered.decline(played.now)
    with pytest.raises(StateError, match="denied"):
        answered.approve(played.now)
    assert played.start("se", at=2).status == 403
    assert late.state(played.now) == "cancelled"
    with pytest.raises(StateError, match="cancelled"):
        late.open_app(played.now)
    assert played.idura.phones.prompts(played.now) == []


def test_an_answer_that_nobody_fetched_is_an_answer_to_the_person(played: Wire) -> None:
    """Their phone said so, although the login is lost."""
    order = played.begin("se")
    prompt = only(played)
    prompt.approve(played.now)
    assert played.poll(order, at=121)["error"] == "expired_token"
    assert prompt.state(played.now) == "approved"


def test_prompts_stand_in_the_order_of_their_arrival(played: Wire) -> None:
    """Also where somebody was asked before."""
    for number in (1, 2):
        played.begin("no", at=number, login_hint=f"sub:ssn:{31123990100 + number}")
    first, _ = played.idura.phones.prompts(played.now)
    first.decline(played.now)
    played.begin("no", at=3, login_hint="sub:ssn:31123990101")
    assert [prompt.number for prompt in played.idura.phones.prompts(played.now)] == [2, 3]


def test_a_hand_may_take_over_from_a_script(make: Callable[..., Wire]) -> None:
    """What the script had reached stays; what it would have done does not come."""
    wire = make()
    wire.idura.script(SWEDE, Script.approve(after=30, opened_after=4, acknowledged_after=20))
    order = wire.begin("se", at=0)
    prompt = only(wire)
    wire.now += 10
    assert prompt.state(wire.now) == "opened"
    prompt.open_app(wire.now)
    assert wire.poll(order, at=60)["error_description"] == "awaiting user request acknowledgement"
    prompt.decline(wire.now)
    assert wire.poll(order, at=70)["error"] == "access_denied"


@pytest.mark.parametrize("fields", [{"answered_by": "209602294564"}, {"shares_number": False}])
def test_the_rest_of_a_script_is_kept(fields: dict[str, Any], played: Wire) -> None:
    """Somebody else may answer, by hand as well."""
    played.idura.script(SWEDE, evolve(Script.by_hand(), **fields))
    order = played.begin("se")
    only(played).approve(played.now)
    assert claims_of(played.poll(order, at=3)).get("ssn") == fields.get("answered_by")


def test_a_decision_by_hand_is_pinged(played: Wire) -> None:
    """At its instant: nobody could know it before."""
    pings: list[SimPing] = []
    played.idura.register_client(CLIENT, secret="a b+c/d=e:f%", notification_endpoint="https://rp.example/ping")
    played.idura.listen_for_pings(pings.append)
    order = played.begin(client_notification_token="8d67dc78-7faa-4d41-aabd-67707b374255")
    prompt = only(played)
    prompt.open_app(played.now)
    assert pings == []
    played.now += 9
    prompt.approve(played.now)
    assert [(ping.auth_req_id, ping.at) for ping in pings] == [(order, played.now)]
