"""Tests of faults by name, and of the rules that make them happen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from idura_ciba.simulator import Fault, Script, SimReply
from idura_ciba.simulator.catalogue import ANYWHERE, CATALOGUE, edit, on, rotate_keys
from idura_ciba.simulator.faults import Endpoint

if TYPE_CHECKING:
    from conftest import Wire

ANNA, BERT = "209801011231", "209602294564"


def altered(fault: Fault, reply: SimReply) -> SimReply:
    """What a fault makes of an answer."""
    assert fault.rewrite is not None
    return fault.rewrite(reply)


def good_answer(wire: Wire, endpoint: Endpoint) -> SimReply:
    """What the provider says where nothing goes wrong."""
    wire.idura.script(ANNA, Script.approve())
    replies: list[SimReply] = []

    def keep(reply: SimReply) -> SimReply:
        replies.append(reply)
        return reply

    wire.idura.faults.append(lambda _: Fault.change(keep))
    match endpoint:
        case "bc-authorize":
            wire.start()
        case "token":
            wire.poll(wire.begin(), at=3)
        case "discovery":
            wire.get("/.well-known/openid-configuration")
        case _:
            wire.get("/.well-known/jwks")
    return replies[-1]


@pytest.mark.parametrize("endpoint", CATALOGUE)
def test_every_fault_does_something(endpoint: Endpoint, wire: Wire) -> None:
    """None of them leaves the provider's own answer as it is, or breaks over it."""
    good = good_answer(wire, endpoint)
    idle = [
        name
        for name, fault in CATALOGUE[endpoint].items()
        if not (fault.dropped or fault.hold or fault.drip or fault.cut is not None) and altered(fault, good) == good
    ]
    assert idle == []


def test_what_can_happen_anywhere_can_happen_at_each_endpoint() -> None:
    """And each endpoint has something of its own."""
    for faults in CATALOGUE.values():
        assert ANYWHERE.items() < faults.items()


def test_a_rule_is_for_an_endpoint_a_person_and_a_number(wire: Wire) -> None:
    """Whoever is meant meets the fault, and nobody else."""
    fault = Fault.answer(418)
    wire.idura.faults += [
        on("bc-authorize", fault, person=BERT),
        on("token", fault, person=ANNA, nth=2),
        on("jwks", fault, nth=1),
    ]
    assert wire.start(login_hint=f"sub:ssn:{BERT}").status == 418
    auth_req_id = wire.begin()
    polls = [wire.post("/oauth2/token", wire.poll_body(auth_req_id), at=5 * nth).status for nth in (1, 2, 3)]
    assert polls == [400, 418, 400]
    assert wire.post("/.well-known/jwks", "").status == 418
    assert wire.get("/.well-known/jwks")["keys"]


def test_keys_rotate_once_when_somebody_comes_by(wire: Wire) -> None:
    """The old key is gone at once, or stays for a while."""

    def kids() -> list[Any]:
        return [key["kid"] for key in wire.get("/.well-known/jwks")["keys"]]

    old = kids()
    wire.idura.faults.append(rotate_keys(wire.idura, after="bc-authorize"))
    assert kids() == old
    wire.start()
    new = kids()
    wire.start()
    assert kids() == new != old
    wire.idura.faults[:] = [rotate_keys(wire.idura, after="jwks", overlap=60)]
    assert set(kids()) > set(new)


def test_an_edit_is_for_good_answers_only() -> None:
    """Members are replaced, added and taken away; an error stays as it is."""
    fault = edit(a=1, b=..., c=...)
    assert json.loads(altered(fault, SimReply(200, {}, b'{"b": 2, "d": 3}')).body) == {"a": 1, "d": 3}
    refused = SimReply(400, {}, b'{"error": "slow_down"}')
    assert altered(fault, refused) is refused


def test_tokens_are_edited_where_there_are_tokens(wire: Wire) -> None:
    """Any other answer to a poll passes."""
    wire.idura.script(ANNA, Script.approve(after=5))
    wire.idura.faults.append(on("token", CATALOGUE["token"]["id_token missing"]))
    auth_req_id = wire.begin()
    assert wire.poll(auth_req_id, at=3)["error"] == "authorization_pending"
    assert "id_token" not in wire.poll(auth_req_id, at=8)
